//! The default data set: small pictures of coloured shapes, with captions whose truth can be decided.
//!
//! Two or three shapes of eight colours and two sizes stand in clear spatial relations; five sentences a picture name
//! at least two of them and how they stand to each other. [`generate`](crate::generate()) writes pictures, captions and features in the
//! layout that [`CocoHdf5`](crate::CocoHdf5) reads, and a record from which [`SceneJudge`] decides whether any sentence
//! of the grammar is true of a picture.
//!
//! | File | Concept |
//! |---|---|
//! | `scene` | what a picture shows, and its random making |
//! | `draw` | from the record to pixels |
//! | `claim` | what a sentence says, and whether a scene bears it out |
//! | `grammar` | from a scene to sentences |
//! | `parse` | from a sentence to what it says |
//! | `judge` | the truth of a caption |
//! | `components` | from pixels to coherent patches |
//! | `features` | from patches to numbers |
//! | `grid` | from patches to numbers for each region |
//! | `texts` | the sentences as plain texts |
//! | `standard` | the numbers of a whole set, standardised |

pub(crate) mod claim;
pub(crate) mod components;
pub(crate) mod draw;
pub(crate) mod features;
pub(crate) mod grammar;
pub(crate) mod grid;
pub(crate) mod judge;
pub(crate) mod parse;
pub(crate) mod scene;
pub(crate) mod standard;
pub(crate) mod texts;

pub use draw::draw;
pub use features::{WIDTH, features};
pub use grammar::{MOST_WORDS, captions};
pub use grid::{CHANNELS, REGIONS, grid};
pub use judge::SceneJudge;
pub use scene::{Colour, Object, SIDE, Scene, Shape, Size};
pub use standard::Standard;
pub(crate) use texts::{CAPTIONS, LABELLED};

/// The file with what every picture shows.
pub(crate) const RECORD: &str = "scenes.json";
