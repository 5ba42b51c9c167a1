//! From a scene to sentences about it.

use super::claim::Relation;
use super::scene::{Object, Scene};
use crate::random::Stream;

/// The words of the longest caption: enough for three objects and two relations.
pub const MOST_WORDS: usize = 13;

/// How often a size is told: seldom, so that the likeliest sentence names colour and shape.
const TELLS_SIZE: f32 = 0.25;
/// How often two objects are named in reading order: nearly always, so that the likeliest sentence is the same one
/// however it begins.
const READS_IN_ORDER: f32 = 0.92;
/// How often the relation is told along which two objects are further apart.
const TELLS_THE_PLAINER: f32 = 0.85;
/// Attempts at a new sentence before one that was said already is said again.
const ATTEMPTS: usize = 200;
/// Attempts at a sentence at all: only a scene that allows none, as no generated one is, uses them up.
const MOST_ATTEMPTS: usize = 10_000;

/// `count` true sentences about a scene: varied, different where the scene allows it, each of at most [`MOST_WORDS`]
/// words, and each naming at least two objects and how they stand to each other.
///
/// The same scene and seed give the same sentences. A scene with fewer than two objects, or with objects that do not
/// stand clearly apart, may have fewer sentences or none.
pub fn captions(scene: &Scene, count: usize, seed: u64) -> Vec<String> {
    let mut stream = Stream::new(seed, crate::random::Purpose::TrainScene, 0);
    say(scene, count, &mut stream)
}

pub(crate) fn say(scene: &Scene, count: usize, stream: &mut Stream) -> Vec<String> {
    let mut said: Vec<String> = Vec::with_capacity(count);
    let mut attempts = 0;
    while said.len() < count && attempts < MOST_ATTEMPTS {
        attempts += 1;
        let mut sentence = Sentence::new(stream);
        let complete = sentence.about(scene);
        let words = sentence.words;
        if complete.is_none() || words.len() > MOST_WORDS {
            continue;
        }
        let text = words.join(" ");
        if attempts > ATTEMPTS || !said.contains(&text) {
            said.push(text);
        }
    }
    said
}

/// A sentence in the making. `None` from a method: the scene does not allow the form.
struct Sentence<'a> {
    words: Vec<&'static str>,
    stream: &'a mut Stream,
}

impl<'a> Sentence<'a> {
    fn new(stream: &'a mut Stream) -> Self {
        Sentence { words: Vec::with_capacity(MOST_WORDS + 4), stream }
    }

    fn about(&mut self, scene: &Scene) -> Option<()> {
        let objects: Vec<&Object> = scene.objects.iter().collect();
        match objects.as_slice() {
            [a, b, c] if self.stream.chance(0.5) => self.about_three([a, b, c]),
            [a, b, c] => {
                // The first two most often, for the same reason.
                let pairs = [(a, b), (a, c), (b, c)];
                let (a, b) = pairs[self.stream.weighted(&[8.0, 1.0, 1.0])];
                self.about_two(a, b)
            }
            [a, b] => self.about_two(a, b),
            _ => None,
        }
    }

    /// A sentence about two objects, the first of which comes first in reading order.
    fn about_two(&mut self, first: &Object, second: &Object) -> Option<()> {
        let in_order = self.stream.chance(READS_IN_ORDER);
        let (a, b) = if in_order { (first, second) } else { (second, first) };
        let relation = self.relation(a, b)?;
        match self.stream.weighted(&[40.0, 16.0, 16.0, 10.0, 10.0, 8.0]) {
            0 => {
                self.object(a);
                self.put("is");
                self.stands(relation, b);
            }
            1 => {
                self.put("there is");
                self.object(a);
                self.stands(relation, b);
            }
            2 => {
                self.object(a);
                self.put("with");
                self.object(b);
                self.whereabouts(relation.inverse());
            }
            3 => {
                self.put("the picture shows");
                self.object(a);
                self.stands(relation, b);
            }
            4 => {
                self.stands(relation.inverse(), a);
                let there = self.stream.chance(0.5);
                self.put(if there { "there is" } else { "is" });
                self.object(b);
            }
            _ => {
                self.object(a);
                self.put("and");
                self.whereabouts(relation.inverse());
                self.object(b);
            }
        }
        Some(())
    }

    /// A sentence about three objects in reading order.
    fn about_three(&mut self, [a, b, c]: [&Object; 3]) -> Option<()> {
        match self.stream.weighted(&[16.0, 24.0, 24.0, 18.0, 18.0]) {
            0 => {
                // The middle one in reading order most often, but any will do.
                let (subject, one, two) = [(b, a, c), (a, b, c), (c, a, b)]
                    .into_iter()
                    .find(|(subject, one, two)| subject.between(one, two))?;
                let there = self.stream.chance(0.3);
                if there {
                    self.put("there is");
                }
                self.object(subject);
                self.put(if there { "between" } else { "is between" });
                self.object(one);
                self.put("and");
                self.object(two);
            }
            1 => {
                let (to_b, to_c) = (self.relation(a, b)?, self.relation(a, c)?);
                self.object(a);
                self.put("with");
                self.object(b);
                self.whereabouts(to_b.inverse());
                self.put("and");
                self.object(c);
                self.whereabouts(to_c.inverse());
            }
            2 => {
                let (to_b, to_c) = (self.relation(a, b)?, self.relation(a, c)?);
                if to_b == to_c {
                    return None;
                }
                self.object(a);
                self.put("is");
                self.stands(to_b, b);
                self.put("and");
                self.stands(to_c, c);
            }
            3 => {
                let relation = self.relation(a, b).filter(|r| r.holds(a, c))?;
                self.object(a);
                self.put("is");
                self.stands(relation, b);
                self.put("and");
                self.object(c);
            }
            _ => {
                let relation = self.relation(a, c).filter(|r| r.holds(b, c))?;
                self.object(a);
                self.put("and");
                self.object(b);
                self.put("are");
                self.stands(relation, c);
            }
        }
        Some(())
    }

    /// How `a` stands to `b`: along the axis on which they are further apart most often, and always clearly.
    fn relation(&mut self, a: &Object, b: &Object) -> Option<Relation> {
        use Relation::{Above, Below, LeftOf, RightOf};
        let level = [LeftOf, RightOf].into_iter().find(|r| r.holds(a, b));
        let upright = [Above, Below].into_iter().find(|r| r.holds(a, b));
        match (level, upright) {
            (Some(level), Some(upright)) => {
                let wide = (a.x - b.x).abs() > (a.y - b.y).abs();
                let plainer = self.stream.chance(TELLS_THE_PLAINER);
                Some(if wide == plainer { level } else { upright })
            }
            (level, upright) => level.or(upright),
        }
    }

    fn object(&mut self, object: &Object) {
        let size = self.stream.chance(TELLS_SIZE).then_some(object.size.word());
        let colour = object.colour.word();
        let first = size.unwrap_or(colour);
        self.put(if first.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" });
        self.words.extend(size);
        self.words.push(colour);
        self.words.push(object.shape.word());
    }

    fn stands(&mut self, relation: Relation, ground: &Object) {
        let short = self.stream.chance(0.3);
        self.put(match (relation, short) {
            (Relation::LeftOf, false) => "to the left of",
            (Relation::LeftOf, true) => "left of",
            (Relation::RightOf, false) => "to the right of",
            (Relation::RightOf, true) => "right of",
            (Relation::Above, _) => "above",
            (Relation::Below, _) => "below",
        });
        self.object(ground);
    }

    fn whereabouts(&mut self, relation: Relation) {
        self.put(match relation {
            Relation::LeftOf => "to its left",
            Relation::RightOf => "to its right",
            Relation::Above => "above it",
            Relation::Below => "below it",
        });
    }

    fn put(&mut self, words: &'static str) {
        self.words.extend(words.split(' '));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::parse::parse;
    use super::super::scene::tests::scene;
    use super::*;

    #[test]
    fn every_caption_is_true_of_its_scene_and_says_enough() {
        for seed in 0..2000 {
            let scene = scene(seed);
            let sentences = captions(&scene, 5, seed);
            assert_eq!(sentences.iter().collect::<HashSet<_>>().len(), 5, "seed {seed}");
            for sentence in sentences {
                let said = parse(&sentence).unwrap_or_else(|e| panic!("{sentence}: {e}"));
                assert!(said.objects.len() >= 2 && !said.claims.is_empty(), "{sentence}");
                said.check(&scene).unwrap_or_else(|e| panic!("seed {seed}: {sentence}: {e}"));
                assert!(sentence.split(' ').count() <= MOST_WORDS, "{sentence}");
            }
        }
    }

    #[test]
    fn a_scene_about_which_nothing_can_be_said_has_no_captions() {
        let mut scene = scene(1);
        scene.objects.truncate(1);
        assert!(captions(&scene, 5, 1).is_empty());
        scene.objects.push(scene.objects[0]);
        assert!(captions(&scene, 5, 1).is_empty());
    }

    #[test]
    fn the_vocabulary_is_small_and_all_of_it_is_used() {
        let mut words = HashSet::new();
        for seed in 0..500 {
            for sentence in captions(&scene(seed), 5, seed) {
                words.extend(sentence.split(' ').map(str::to_owned));
            }
        }
        assert_eq!(words.len(), 35, "{words:?}");
    }
}
