//! What a sentence says about a picture, and whether a scene bears it out.

use std::fmt;

use super::scene::{Colour, Object, Scene, Shape, Size};

/// An object as a sentence names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) size: Option<Size>,
    pub(crate) colour: Colour,
    pub(crate) shape: Shape,
}

impl Named {
    fn fits(&self, object: &Object) -> bool {
        self.colour == object.colour
            && self.shape == object.shape
            && self.size.is_none_or(|size| size == object.size)
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(size) = self.size {
            write!(f, "{} ", size.word())?;
        }
        write!(f, "{} {}", self.colour.word(), self.shape.word())
    }
}

/// How one object stands to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    LeftOf,
    RightOf,
    Above,
    Below,
}

impl Relation {
    /// Whether `a` stands so to `b`.
    pub(crate) fn holds(self, a: &Object, b: &Object) -> bool {
        match self {
            Relation::LeftOf => a.left_of(b),
            Relation::RightOf => b.left_of(a),
            Relation::Above => a.above(b),
            Relation::Below => b.above(a),
        }
    }

    /// How `b` stands to `a` where `a` stands so to `b`.
    pub(crate) fn inverse(self) -> Self {
        match self {
            Relation::LeftOf => Relation::RightOf,
            Relation::RightOf => Relation::LeftOf,
            Relation::Above => Relation::Below,
            Relation::Below => Relation::Above,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Relation::LeftOf => "to the left of",
            Relation::RightOf => "to the right of",
            Relation::Above => "above",
            Relation::Below => "below",
        }
    }
}

/// A statement about named objects, by their place in [`Claims::objects`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The first stands so to the second.
    Stands(usize, Relation, usize),
    /// The first stands between the others.
    Between(usize, usize, usize),
}

/// All that a sentence says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Claims {
    /// The objects it names, each a different one.
    pub(crate) objects: Vec<Named>,
    /// How they stand to each other.
    pub(crate) claims: Vec<Claim>,
}

impl Claims {
    /// Whether different objects of the scene can be found for all named ones so that every claim holds; if not, what
    /// is not so.
    pub(crate) fn check(&self, scene: &Scene) -> Result<(), String> {
        let mut chosen = Vec::with_capacity(self.objects.len());
        let mut furthest = Furthest::default();
        if self.assign(scene, &mut chosen, &mut furthest) {
            return Ok(());
        }
        Err(match furthest.claim {
            Some(claim) => self.denial(claim),
            None => match furthest.named {
                0 => format!("there is no {}", self.objects[0]),
                n => format!("there is no {} besides the others", self.objects[n]),
            },
        })
    }

    /// Tries every choice of different objects for the names not yet chosen for.
    fn assign(&self, scene: &Scene, chosen: &mut Vec<usize>, furthest: &mut Furthest) -> bool {
        if chosen.len() == self.objects.len() {
            let false_claim = self.claims.iter().find(|claim| !holds(claim, scene, chosen));
            if let Some(claim) = false_claim {
                furthest.claim = Some(*claim);
            }
            return false_claim.is_none();
        }
        furthest.named = furthest.named.max(chosen.len());
        for (i, object) in scene.objects.iter().enumerate() {
            if chosen.contains(&i) || !self.objects[chosen.len()].fits(object) {
                continue;
            }
            chosen.push(i);
            if self.assign(scene, chosen, furthest) {
                return true;
            }
            chosen.pop();
        }
        false
    }

    fn denial(&self, claim: Claim) -> String {
        match claim {
            Claim::Stands(a, relation, b) => {
                let (a, b) = (&self.objects[a], &self.objects[b]);
                format!("the {a} is not {} the {b}", relation.words())
            }
            Claim::Between(a, b, c) => {
                let [a, b, c] = [a, b, c].map(|i| &self.objects[i]);
                format!("the {a} is not between the {b} and the {c}")
            }
        }
    }
}

/// How far the search came: what it failed on is what is wrong.
#[derive(Default)]
struct Furthest {
    named: usize,
    claim: Option<Claim>,
}

fn holds(claim: &Claim, scene: &Scene, chosen: &[usize]) -> bool {
    let object = |i: usize| scene.object(chosen[i]);
    match *claim {
        Claim::Stands(a, relation, b) => relation.holds(object(a), object(b)),
        Claim::Between(a, b, c) => object(a).between(object(b), object(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::scene;
    use super::*;

    fn named(object: &Object) -> Named {
        Named { size: Some(object.size), colour: object.colour, shape: object.shape }
    }

    #[test]
    fn claims_hold_exactly_where_the_objects_stand_so() {
        for seed in 0..300 {
            let scene = scene(seed);
            let (a, b) = (&scene.objects[0], &scene.objects[1]);
            for relation in [Relation::LeftOf, Relation::RightOf, Relation::Above, Relation::Below]
            {
                let stands = |x, y| Claims {
                    objects: vec![named(x), named(y)],
                    claims: vec![Claim::Stands(0, relation, 1)],
                };
                assert_eq!(stands(a, b).check(&scene).is_ok(), relation.holds(a, b));
                assert_eq!(relation.holds(a, b), relation.inverse().holds(b, a));
                assert!(stands(a, a).check(&scene).is_err(), "one object is not two");
            }
        }
    }

    #[test]
    fn a_denial_says_what_is_not_so() {
        let scene = scene(1);
        let (a, b) = (named(scene.object(0)), named(scene.object(1)));
        let stranger = Colour::ALL.iter().find(|c| scene.objects.iter().all(|o| o.colour != **c));
        let stranger = Named { colour: *stranger.unwrap(), ..b };
        let check = |objects: Vec<Named>, claims| Claims { objects, claims }.check(&scene);
        let error = check(vec![a, stranger], vec![]).unwrap_err();
        assert_eq!(error, format!("there is no {stranger} besides the others"));
        let error = check(vec![stranger, a], vec![]).unwrap_err();
        assert_eq!(error, format!("there is no {stranger}"));
        let wrong = if scene.object(0).left_of(scene.object(1)) {
            Relation::RightOf
        } else {
            Relation::Below
        };
        let error = check(vec![a, b], vec![Claim::Stands(0, wrong, 1)]).unwrap_err();
        assert_eq!(error, format!("the {a} is not {} the {b}", wrong.words()));
    }
}
