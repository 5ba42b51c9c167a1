//! The truth of a caption, from the record of what the pictures show.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::parse::parse;
use super::scene::Scene;
use crate::{DataError, Judge, Split, Verdict};

/// Decides whether captions are true of the pictures of a generated set.
///
/// A caption is true if different objects of the picture can be found for all that it names, so that everything it
/// says about them holds. One that names fewer than two objects or no relation, or that is no sentence of the grammar
/// from its first word to its last, is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneJudge {
    train: Vec<Scene>,
    val: Vec<Scene>,
}

impl SceneJudge {
    /// A judge of the pictures that show these scenes.
    pub fn new(train: Vec<Scene>, val: Vec<Scene>) -> Self {
        SceneJudge { train, val }
    }

    /// Reads the record of a set with this many pictures.
    pub(crate) fn read(path: &Path, train: usize, val: usize) -> Result<Self, DataError> {
        let text = fs::read(path).map_err(|e| DataError::io("read", path, e))?;
        let judge: Self = serde_json::from_slice(&text).map_err(|e| DataError::json(path, &e))?;
        for (split, found, images) in
            [(Split::Train, judge.train.len(), train), (Split::Val, judge.val.len(), val)]
        {
            if found != images {
                return Err(DataError::Foreign {
                    path: path.to_owned(),
                    message: format!(
                        "it describes {found} {split} pictures, but there are features of {images}"
                    ),
                });
            }
        }
        Ok(judge)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), DataError> {
        let text = serde_json::to_vec(self)
            .map_err(|e| DataError::io("write", path, std::io::Error::other(e)))?;
        fs::write(path, text).map_err(|e| DataError::io("write", path, e))
    }

    /// What picture `image` shows.
    pub fn scene(&self, split: Split, image: usize) -> Option<&Scene> {
        match split {
            Split::Train => self.train.get(image),
            Split::Val => self.val.get(image),
        }
    }
}

impl Judge for SceneJudge {
    fn judge(&self, split: Split, image: usize, caption: &str) -> Verdict {
        let Some(scene) = self.scene(split, image) else {
            return Verdict::Unreadable(format!("there is no {split} picture {image}"));
        };
        let said = match parse(caption) {
            Ok(said) => said,
            Err(why) => return Verdict::Unreadable(why),
        };
        // The grammar has no sentence with fewer than two objects or without a relation; this keeps the promise if
        // it ever gets one.
        if said.objects.len() < 2 || said.claims.is_empty() {
            return Verdict::Unreadable("it does not say how two objects stand".to_owned());
        }
        match said.check(scene) {
            Ok(()) => Verdict::True,
            Err(why) => Verdict::False(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::grammar::captions;
    use super::super::scene::tests::scene;
    use super::super::scene::{Colour, Shape, Size};
    use super::*;

    fn judge(count: u64) -> SceneJudge {
        SceneJudge::new((0..count).map(scene).collect(), vec![])
    }

    /// Every sentence with one word of meaning replaced by another of its kind.
    fn swaps(caption: &str) -> Vec<String> {
        let colours: Vec<_> = Colour::ALL.iter().map(|c| c.word()).collect();
        let shapes: Vec<_> = Shape::ALL.iter().map(|c| c.word()).collect();
        let sizes: Vec<_> = Size::ALL.iter().map(|c| c.word()).collect();
        let kinds: [&[&str]; 5] =
            [&colours, &shapes, &sizes, &["left", "right"], &["above", "below"]];
        let words: Vec<&str> = caption.split(' ').collect();
        let mut swapped = Vec::new();
        for (i, word) in words.iter().enumerate() {
            for kind in kinds.iter().filter(|kind| kind.contains(word)) {
                for other in kind.iter().filter(|other| *other != word) {
                    let mut words = words.clone();
                    words[i] = other;
                    if i > 0 && ["a", "an"].contains(&words[i - 1]) {
                        words[i - 1] = if *other == "orange" { "an" } else { "a" };
                    }
                    swapped.push(words.join(" "));
                }
            }
        }
        swapped
    }

    #[test]
    fn one_false_word_makes_a_caption_false() {
        let judge = judge(200);
        let (mut total, mut lucky) = (0, 0);
        for image in 0..200 {
            for caption in captions(&scene(image), 5, image) {
                let image = image as usize;
                assert!(judge.judge(Split::Train, image, &caption).is_true(), "{caption}");
                for swapped in swaps(&caption) {
                    total += 1;
                    match judge.judge(Split::Train, image, &swapped) {
                        Verdict::False(_) => {}
                        // A third object can make the other word true as well.
                        Verdict::True => lucky += 1,
                        Verdict::Unreadable(why) => panic!("{swapped}: {why}"),
                    }
                }
            }
        }
        assert!(lucky * 100 < total, "{lucky} of {total} swapped captions are true");
    }

    #[test]
    fn one_false_word_is_always_caught_where_there_are_two_objects() {
        let judge = judge(400);
        for image in (0..400).filter(|i| scene(*i).objects.len() == 2) {
            for caption in captions(&scene(image), 5, image) {
                for swapped in swaps(&caption) {
                    let verdict = judge.judge(Split::Train, image as usize, &swapped);
                    assert!(matches!(verdict, Verdict::False(_)), "{caption}: {swapped}");
                }
            }
        }
    }

    #[test]
    fn captions_of_other_scenes_are_false() {
        let judge = judge(300);
        let (mut total, mut lucky) = (0, 0);
        for image in 0..300u64 {
            for caption in captions(&scene((image + 1) % 300), 5, image) {
                total += 1;
                lucky += usize::from(judge.judge(Split::Train, image as usize, &caption).is_true());
            }
        }
        assert!(lucky * 100 < total, "{lucky} of {total} captions are true of another scene");
    }

    #[test]
    fn no_sentence_and_no_picture_are_unreadable() {
        let judge = judge(1);
        let object = scene(0).objects[0];
        let alone = format!("there is a {} {}", object.colour.word(), object.shape.word());
        for caption in ["", "a a a", &alone] {
            let verdict = judge.judge(Split::Train, 0, caption);
            assert!(matches!(verdict, Verdict::Unreadable(_)), "{caption}: {verdict}");
        }
        assert!(!judge.judge(Split::Val, 0, "a red star above a blue cross").is_true());
    }

    #[test]
    fn the_record_is_read_back_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scenes.json");
        let judge = judge(5);
        judge.write(&path).unwrap();
        assert_eq!(SceneJudge::read(&path, 5, 0).unwrap(), judge);
        let error = SceneJudge::read(&path, 6, 0).unwrap_err().to_string();
        assert!(error.contains("5 train pictures") && error.contains("scenes.json"), "{error}");
        fs::write(&path, "{\n\"train\": [").unwrap();
        let error = SceneJudge::read(&path, 5, 0).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }
}
