//! What a picture shows, and its random making.

use serde::{Deserialize, Serialize};

use crate::random::Stream;

/// The width and height of a picture in pixels.
pub const SIDE: u32 = 64;

/// Two centres closer than this along an axis count as level on it.
const LEVEL: f32 = 4.0;
/// Two centres further apart than this along an axis stand in a clear relation. No distance lies between the two, so
/// that every relation holds or does not, without doubt.
const CLEAR: f32 = 10.0;
/// What decides: anything between [`LEVEL`] and [`CLEAR`].
pub(crate) const APART: f32 = (LEVEL + CLEAR) / 2.0;
/// The pixels between the bounding boxes of two objects.
const GAP: f32 = 2.0;

/// Defines an enum of words that appear in captions.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$item_doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The word in captions.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }

            /// What this word stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| item.word() == word)
            }
        }
    };
}

words! {
    /// The outline of an object. Each fills its bounding square from edge to edge.
    Shape {
        /// A disc.
        Circle = "circle",
        /// A square on its side.
        Square = "square",
        /// Two equal sides, point up.
        Triangle = "triangle",
        /// Five points, one up.
        Star = "star",
        /// Point down.
        Heart = "heart",
        /// Two bars, upright and level.
        Cross = "cross",
    }
}

words! {
    /// The colour of an object.
    Colour {
        /// About (214, 40, 40).
        Red = "red",
        /// About (40, 160, 60).
        Green = "green",
        /// About (40, 80, 210).
        Blue = "blue",
        /// About (240, 215, 40).
        Yellow = "yellow",
        /// About (245, 135, 25).
        Orange = "orange",
        /// About (125, 50, 165).
        Purple = "purple",
        /// About (250, 150, 195).
        Pink = "pink",
        /// About (25, 25, 25).
        Black = "black",
    }
}

words! {
    /// How large an object is.
    Size {
        /// 11 to 14 pixels across.
        Small = "small",
        /// 20 to 24 pixels across.
        Large = "large",
    }
}

impl Colour {
    /// The middle of the range that objects of this colour are drawn in.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Colour::Red => [214, 40, 40],
            Colour::Green => [40, 160, 60],
            Colour::Blue => [40, 80, 210],
            Colour::Yellow => [240, 215, 40],
            Colour::Orange => [245, 135, 25],
            Colour::Purple => [125, 50, 165],
            Colour::Pink => [250, 150, 195],
            Colour::Black => [25, 25, 25],
        }
    }
}

impl Size {
    /// Half the width, from and to, in pixels.
    fn radii(self) -> (f32, f32) {
        match self {
            Size::Small => (5.5, 7.0),
            Size::Large => (10.0, 12.0),
        }
    }
}

/// One shape in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its size in words.
    pub size: Size,
    /// Its colour in words.
    pub colour: Colour,
    /// Its outline.
    pub shape: Shape,
    /// The colour it is drawn in.
    pub rgb: [u8; 3],
    /// The middle of its bounding square, in pixels from the left edge.
    pub x: f32,
    /// The same from the upper edge.
    pub y: f32,
    /// Half the side of its bounding square.
    pub radius: f32,
}

impl Object {
    /// Whether it stands clearly to the left of `other`.
    pub fn left_of(&self, other: &Object) -> bool {
        self.x + APART < other.x
    }

    /// Whether it stands clearly above `other`.
    pub fn above(&self, other: &Object) -> bool {
        self.y + APART < other.y
    }

    /// Whether it stands between `a` and `b`: clearly so along one axis at least, and clearly outside along neither.
    pub fn between(&self, a: &Object, b: &Object) -> bool {
        let along = |at: f32, one: f32, two: f32| {
            let (low, high) = (one.min(two), one.max(two));
            let inside = low + APART < at && at + APART < high;
            let outside = at + APART < low || high + APART < at;
            (inside, outside)
        };
        let (inside_x, outside_x) = along(self.x, a.x, b.x);
        let (inside_y, outside_y) = along(self.y, a.y, b.y);
        (inside_x || inside_y) && !outside_x && !outside_y
    }

    /// Whether the two can stand in one picture: apart, and in clear relations.
    fn goes_with(&self, other: &Object) -> bool {
        let (dx, dy) = ((self.x - other.x).abs(), (self.y - other.y).abs());
        let decided = |d: f32| d <= LEVEL || d >= CLEAR;
        dx.max(dy) >= self.radius + other.radius + GAP && decided(dx) && decided(dy)
    }
}

/// What one picture shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// The shade of grey behind the objects.
    pub background: u8,
    /// Two or three objects, no two of the same colour and shape, in reading order: from left to right, and from top
    /// to bottom where they stand above each other.
    pub objects: Vec<Object>,
}

impl Scene {
    /// A scene at random.
    pub(crate) fn random(stream: &mut Stream) -> Scene {
        let background = 228 + stream.below(24) as u8;
        let count = 2 + stream.below(2);
        let mut objects: Vec<Object> = Vec::with_capacity(count);
        while objects.len() < count {
            let object = random_object(stream);
            let same = |o: &Object| o.colour == object.colour && o.shape == object.shape;
            if !objects.iter().any(same) {
                objects.push(object);
            }
        }
        place(&mut objects, stream);
        reading_order(&mut objects, |o| (o.x, o.y));
        Scene { background, objects }
    }

    /// The `i`-th object in reading order.
    pub(crate) fn object(&self, i: usize) -> &Object {
        &self.objects[i]
    }
}

fn random_object(stream: &mut Stream) -> Object {
    let size = *stream.choose(Size::ALL);
    let colour = *stream.choose(Colour::ALL);
    let shape = *stream.choose(Shape::ALL);
    // Neither the colour nor the size is always the same: reading them off the pixels takes a little tolerance.
    let rgb =
        colour.rgb().map(|c| (i32::from(c) + stream.below(17) as i32 - 8).clamp(0, 255) as u8);
    let (low, high) = size.radii();
    Object { size, colour, shape, rgb, x: 0.0, y: 0.0, radius: quarter(stream.within(low, high)) }
}

/// Coordinates are multiples of a quarter: exact in the record and in every precision.
fn quarter(value: f32) -> f32 {
    (value * 4.0).round() / 4.0
}

/// Gives every object a place. Three large ones do not always find one: after many attempts all become small, and at
/// last they stand on a diagonal.
fn place(objects: &mut [Object], stream: &mut Stream) {
    const ATTEMPTS: usize = 400;
    for attempt in 0..2 * ATTEMPTS {
        if attempt == ATTEMPTS {
            for object in objects.iter_mut() {
                object.size = Size::Small;
                object.radius = quarter(Size::Small.radii().0);
            }
        }
        for object in objects.iter_mut() {
            let (low, high) = (object.radius + 1.0, SIDE as f32 - 1.0 - object.radius);
            object.x = quarter(stream.within(low, high));
            object.y = quarter(stream.within(low, high));
        }
        let fits = |(i, object): (usize, &Object)| {
            objects[..i].iter().all(|other| object.goes_with(other))
        };
        if objects.iter().enumerate().all(fits) {
            return;
        }
    }
    for (i, object) in objects.iter_mut().enumerate() {
        object.x = 12.0 + 20.0 * i as f32;
        object.y = object.x;
    }
}

/// Sorts from left to right, and those above each other from top to bottom. `centre` gives `(x, y)`.
pub(crate) fn reading_order<T>(items: &mut [T], centre: impl Fn(&T) -> (f32, f32)) {
    items.sort_by(|a, b| centre(a).0.total_cmp(&centre(b).0));
    // Being level is transitive in a scene: two distances of at most LEVEL make less than CLEAR.
    let level = |a: &T, b: &T| centre(b).0 - centre(a).0 <= APART;
    for column in items.chunk_by_mut(level) {
        column.sort_by(|a, b| centre(a).1.total_cmp(&centre(b).1));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::random::Purpose;

    pub(crate) fn scene(seed: u64) -> Scene {
        Scene::random(&mut Stream::new(seed, Purpose::TrainScene, 1))
    }

    #[test]
    fn every_relation_is_decided() {
        for seed in 0..2000 {
            let scene = scene(seed);
            assert!((2..=3).contains(&scene.objects.len()));
            for (i, a) in scene.objects.iter().enumerate() {
                assert!(a.x - a.radius >= 1.0 && a.x + a.radius <= 63.0, "seed {seed}");
                assert!(a.y - a.radius >= 1.0 && a.y + a.radius <= 63.0, "seed {seed}");
                for b in &scene.objects[..i] {
                    assert!(a.goes_with(b), "seed {seed}: {a:?} {b:?}");
                    assert!((a.colour, a.shape) != (b.colour, b.shape), "seed {seed}");
                    let relations = [a.left_of(b), b.left_of(a), a.above(b), b.above(a)]
                        .iter()
                        .filter(|r| **r)
                        .count();
                    assert!((1..=2).contains(&relations), "seed {seed}");
                    assert!(!a.left_of(b), "seed {seed}: not in reading order");
                }
            }
        }
    }

    #[test]
    fn everything_comes_up() {
        let scenes: Vec<_> = (0..3000).map(scene).collect();
        let objects: Vec<_> = scenes.iter().flat_map(|s| &s.objects).collect();
        for shape in Shape::ALL {
            for colour in Colour::ALL {
                let n = objects.iter().filter(|o| o.shape == *shape && o.colour == *colour).count();
                assert!(n > objects.len() / 100, "{shape:?} {colour:?}: {n}");
            }
        }
        let large = objects.iter().filter(|o| o.size == Size::Large).count();
        assert!(large * 5 > objects.len() * 2, "{large} of {}", objects.len());
        let between = |s: &&Scene| {
            let o = &s.objects;
            o.len() == 3
                && (o[0].between(&o[1], &o[2])
                    || o[1].between(&o[0], &o[2])
                    || o[2].between(&o[0], &o[1]))
        };
        assert!(scenes.iter().filter(between).count() > 200);
    }

    #[test]
    fn the_last_resort_is_a_scene() {
        let mut stream = Stream::new(0, Purpose::TrainScene, 0);
        let mut objects: Vec<Object> = (0..3).map(|_| random_object(&mut stream)).collect();
        for (i, object) in objects.iter_mut().enumerate() {
            object.radius = 7.0;
            (object.x, object.y) = (12.0 + 20.0 * i as f32, 12.0 + 20.0 * i as f32);
        }
        assert!(objects[0].goes_with(&objects[1]) && objects[1].goes_with(&objects[2]));
    }

    #[test]
    fn words_are_read_back() {
        for colour in Colour::ALL {
            assert_eq!(Colour::from_word(colour.word()), Some(*colour));
        }
        assert_eq!(Shape::from_word("blob"), None);
    }
}
