//! A run that captions pictures, trained through the command line on pictures that are made here.

#![allow(dead_code, reason = "each test file uses its share")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Cursor;
use std::path::Path;

use engine::encoder::{Encoder, Features};
use engine::photographs::reading;
use engine_datasets::picture::Picture;
use image::{ImageFormat, Rgb, RgbImage};
use ndarray::{Array1, Array2, Array3};
use safetensors::tensor::{Dtype, TensorView};

use crate::front_door::Room;
use crate::front_door::data::writing;

const ENCODER: &str = include_str!("encoder.ron");
const PLAIN: &str = include_str!("plain.ron");
const ATTENDING: &str = include_str!("attending.ron");

/// What pictures show: a name, and its colour.
pub(crate) const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [220, 30, 30]),
    ("green", [30, 200, 40]),
    ("blue", [30, 40, 220]),
    ("yellow", [230, 220, 30]),
    ("grey", [120, 120, 120]),
    ("white", [245, 245, 245]),
];

const WORDS: [&str; 12] = [
    "<NULL>", "<START>", "<END>", "<UNK>", "a", "wall", "red", "green", "blue", "yellow", "grey",
    "white",
];

/// A picture of a colour, darker towards the bottom and by `shade`.
pub(crate) fn picture(colour: usize, shade: u8, format: ImageFormat) -> Vec<u8> {
    picture_of((60, 40), colour, shade, format)
}

/// The same of another size.
pub(crate) fn picture_of(
    (width, height): (u32, u32),
    colour: usize,
    shade: u8,
    format: ImageFormat,
) -> Vec<u8> {
    let picture = RgbImage::from_fn(width, height, |_, y| {
        let less = shade.saturating_add((10 * y / height) as u8);
        Rgb(COLOURS[colour].1.map(|channel| channel.saturating_sub(less)))
    });
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The sentence that is true of a colour's pictures.
pub(crate) fn truth(colour: usize) -> String {
    format!("a {} wall", COLOURS[colour].0)
}

/// A room with the run `R`, which reads features, and the run `A`, which attends to regions, each with its encoder.
pub(crate) fn furnished() -> Room {
    let room = Room::new();
    room.write("plain.ron", PLAIN);
    room.write("attending.ron", ATTENDING);
    write_encoder(&room.path("E"));
    write_data(&room);
    for (graph, run) in [("plain.ron", "R"), ("attending.ron", "A")] {
        room.runs(&["train", graph, "--out", run, "--log", "plain"]);
        give_encoder(&room, run);
    }
    room
}

/// Puts the encoder where a run keeps it.
pub(crate) fn give_encoder(room: &Room, run: &str) {
    let folder = room.path(run).join("encoder");
    fs::create_dir_all(&folder).unwrap();
    for file in ["graph.ron", "weights.safetensors"] {
        fs::copy(room.path("E").join(file), folder.join(file)).unwrap();
    }
}

fn write_encoder(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("graph.ron"), ENCODER).unwrap();
    let numbers = |count: usize, scale: f32| -> Vec<u8> {
        let number = |at: usize| scale * ((at * 7919 % 1009) as f32 / 504.5 - 1.0);
        (0..count).flat_map(|at| number(at).to_le_bytes()).collect()
    };
    let (w, b) = (numbers(192 * 6, 0.2), numbers(6, 0.1));
    let arrays = [
        ("features.w", TensorView::new(Dtype::F32, vec![192, 6], &w).unwrap()),
        ("features.b", TensorView::new(Dtype::F32, vec![6], &b).unwrap()),
    ];
    let bytes = safetensors::serialize(arrays, None).unwrap();
    fs::write(folder.join("weights.safetensors"), bytes).unwrap();
}

/// Data in the CS231n layout: two pictures of each colour to train on, one to validate on.
fn write_data(room: &Room) {
    let graph = room.path("E").join("graph.ron");
    let weights = room.path("E").join("weights.safetensors");
    let mut encoder = Encoder::load(&graph, &weights).unwrap();
    let dir = room.path("D");
    let _open = writing();
    fs::create_dir_all(&dir).unwrap();
    let vocabulary = serde_json::json!({ "idx_to_word": WORDS });
    fs::write(dir.join("coco2014_vocab.json"), vocabulary.to_string()).unwrap();
    let captions = hdf5::File::create(dir.join("coco2014_captions.h5")).unwrap();
    for (split, shades) in [("train", &[0, 20][..]), ("val", &[10])] {
        let all = shades.iter().flat_map(|shade| (0..COLOURS.len()).map(|at| (at, *shade)));
        let all: Vec<(usize, u8)> = all.collect();
        let pictures = all.iter().map(|(colour, shade)| decoded(*colour, *shade));
        let Features { features, width, grid } =
            encoder.encode(&pictures.collect::<Vec<_>>()).unwrap();
        let grid = grid.unwrap();
        let count = all.len();
        put(&dir, &format!("{split}2014_vgg16_fc7.h5"), |file| {
            let features = Array2::from_shape_vec((count, width), features).unwrap();
            file.new_dataset_builder().with_data(&features).create("features").unwrap();
        });
        put(&dir, &format!("{split}2014_grid.h5"), |file| {
            let shape = (count, grid.regions, grid.channels);
            let grid = Array3::from_shape_vec(shape, grid.features).unwrap();
            file.new_dataset_builder().with_data(&grid).create("features").unwrap();
        });
        let sentences = Array2::from_shape_fn((count, 6), |(row, at)| {
            [1, 4, 6 + all[row].0 as i32, 5, 2, 0][at]
        });
        let images = Array1::from_iter(0..count as i32);
        let name = |what: &str| format!("{split}_{what}");
        captions.new_dataset_builder().with_data(&sentences).create(&*name("captions")).unwrap();
        captions.new_dataset_builder().with_data(&images).create(&*name("image_idxs")).unwrap();
    }
}

fn decoded(colour: usize, shade: u8) -> Picture {
    reading::decode(&picture(colour, shade, ImageFormat::Png)).unwrap()
}

fn put(dir: &Path, name: &str, write: impl FnOnce(&hdf5::File)) {
    write(&hdf5::File::create(dir.join(name)).unwrap());
}
