//! `engine data build`: from pictures and captions to a data set that trains.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use engine::encoder::{Encoder, Features};
use engine_core::{Batch, Elements};
use engine_datasets::picture::{Limits, Picture};
use engine_datasets::{CocoHdf5, Dataset, Split};
use front_door::{Outcome, Room, data, report};
use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::{Value, json};

/// An encoder with six features and a grid of 16 regions with three channels each.
const ENCODER: &str = "Graph(
    pictures: (resize: Exact(4, 4), scale: 0.01),
    inputs: {\"images\": [Batch, 3, 4, 4]},
    nodes: [
        (name: \"flat\", layer: Reshape(to: [Batch, 48]),       from: [\"images\"]),
        (name: \"fc\",   layer: Affine(units: 6),               from: [\"flat\"]),
        (name: \"rows\", layer: Reshape(to: [Batch, 3, 16]),    from: [\"images\"]),
        (name: \"grid\", layer: Transpose(axes: [0, 2, 1]),     from: [\"rows\"]),
    ],
    outputs: {\"features\": \"fc\", \"grid\": \"grid\"},
)";

const THINGS: [&str; 6] = ["dog", "cat", "bus", "kite", "tree", "boat"];

/// A room with the encoder `e.ron`, its weights `w.safetensors`, and `count` pictures in `photos` with two captions each.
struct Studio {
    room: Room,
    captions: BTreeMap<String, Vec<String>>,
}

impl Studio {
    fn new(count: usize) -> Self {
        let room = Room::new();
        room.write("e.ron", ENCODER);
        fs::write(room.path("w.safetensors"), weights(6, 1.0)).unwrap();
        fs::create_dir(room.path("photos")).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut captions = BTreeMap::new();
        for i in 0..count {
            let name = format!("{i:04}.{}", ["png", "jpg"][i % 2]);
            let (width, height) = (rng.random_range(1..9), rng.random_range(1..9));
            let picture = RgbImage::from_fn(width, height, |_, _| {
                Rgb([0; 3].map(|_: u8| rng.random_range(0..=255)))
            });
            picture.save(room.path("photos").join(&name)).unwrap();
            let thing = THINGS[i % THINGS.len()];
            let all = vec![
                format!("A {thing} on the grass."),
                format!("the {thing}'s close-up, number {i}"),
            ];
            captions.insert(name, all);
        }
        Studio { room, captions }
    }

    /// The captions as a table.
    fn table(&self) -> String {
        let lines = self
            .captions
            .iter()
            .flat_map(|(name, all)| all.iter().map(move |caption| format!("{name}\t{caption}\n")));
        lines.collect()
    }

    /// The arguments of a build.
    fn building<'a>(captions: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let begin = [
            "data",
            "build",
            "--images",
            "photos",
            "--encoder",
            "e.ron",
            "--weights",
            "w.safetensors",
        ];
        let rest = ["--captions", captions, "--out", out, "--min-count", "1"];
        begin.into_iter().chain(rest).chain(more.iter().copied()).collect()
    }

    fn builds(&self, captions: &str, out: &str, more: &[&str]) -> Outcome {
        self.room.runs(&Self::building(captions, out, more))
    }
}

/// Random weights for the encoder with `width` features.
fn weights(width: usize, scale: f32) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut array = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|_| (scale * rng.random_range(-1.0f32..1.0)).to_le_bytes()).collect()
    };
    let (w, b) = (array(48 * width), array(width));
    let view = |shape, bytes| TensorView::new(Dtype::F32, shape, bytes).unwrap();
    let views = [("fc.b", view(vec![width], &b)), ("fc.w", view(vec![48, width], &w))];
    serialize(views, None).unwrap()
}

/// The files of a data set, without the encoder and the pictures.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())
        })
        .collect()
}

/// The names of files that differ.
fn differences(room: &Room, a: &str, b: &str) -> Vec<String> {
    let (a, b) = (files(&room.path(a)), files(&room.path(b)));
    let names = a.keys().chain(b.keys());
    let mut differ: Vec<String> =
        names.filter(|name| a.get(*name) != b.get(*name)).cloned().collect();
    differ.sort();
    differ.dedup();
    differ
}

/// The rows of an array of a split.
fn rows(set: &CocoHdf5, split: Split, array: &str) -> (Vec<f32>, usize) {
    let _open = data::writing();
    let source = set.open().unwrap();
    let mut batch = Batch::new();
    let images: Vec<usize> = (0..source.images(split)).collect();
    source.fill_images(split, &images, &mut batch);
    match batch.get(array).unwrap().elements() {
        Elements::F32(numbers) => (numbers.clone(), images.len()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_format_of_captions_gives_the_same_data_set() {
    let studio = Studio::new(40);
    let room = &studio.room;
    room.write("table.txt", studio.table());
    let numbered = studio.captions.iter().rev().flat_map(|(name, all)| {
        all.iter().enumerate().map(move |(i, caption)| format!("{name}#{i}\t{caption} .\r\n"))
    });
    room.write("flickr.txt", numbered.collect::<String>());
    let names: Vec<&String> = studio.captions.keys().collect();
    let images: Vec<Value> = names
        .iter()
        .enumerate()
        .rev()
        .map(|(i, name)| json!({"id": i + 100, "file_name": name, "height": 3}))
        .collect();
    let annotations: Vec<Value> = names
        .iter()
        .enumerate()
        .flat_map(|(i, name)| {
            studio.captions[*name]
                .iter()
                .map(move |caption| json!({"image_id": i + 100, "id": 1, "caption": caption}))
        })
        .collect();
    room.write(
        "coco.json",
        json!({"info": {}, "images": images, "annotations": annotations}).to_string(),
    );
    let described: Vec<Value> = studio
        .captions
        .iter()
        .map(|(name, all)| {
            let sentences: Vec<Value> = all
                .iter()
                .map(|raw| json!({"raw": raw, "tokens": raw.split(' ').collect::<Vec<_>>()}))
                .collect();
            json!({"filename": name, "sentences": sentences})
        })
        .collect();
    room.write("karpathy.json", json!({"images": described, "dataset": "mine"}).to_string());
    for (at, captions) in
        ["table.txt", "flickr.txt", "coco.json", "karpathy.json"].into_iter().enumerate()
    {
        let out = format!("set{at}");
        let outcome = studio.builds(captions, &out, &["--grid", "2x2"]);
        assert!(outcome.err.contains("training and"), "{}", outcome.raw);
        assert_eq!(differences(room, "set0", &out), Vec::<String>::new(), "{captions}");
    }
    assert_eq!(files(&room.path("set0")).len(), 8);
    let set = CocoHdf5::in_dir(room.path("set0")).unwrap();
    let source = set.open().unwrap();
    let vocabulary = source.vocabulary();
    assert_eq!(
        vocabulary.words().take(6).collect::<Vec<_>>(),
        ["<NULL>", "<START>", "<END>", "<UNK>", "the", "a"]
    );
    assert!(vocabulary.index("closeup").is_some() && vocabulary.index("dogs").is_some());
    // Pictures are in the order of their names, in the split that their names say.
    let pictures: Vec<usize> = Split::ALL.map(|split| source.images(split)).into();
    assert!(
        pictures[0] + pictures[1] == 40 && pictures[1] > 0 && pictures[0] > pictures[1],
        "{pictures:?}"
    );
    let name = source.image_name(Split::Train, 0).unwrap();
    assert!(room.path("set0").join(name).is_file(), "{name}");
    for split in Split::ALL {
        for image in 0..source.images(split) {
            let name = source.image_name(split, image).unwrap().strip_prefix("images/").unwrap();
            let number: usize = name[..4].parse().unwrap();
            let first = vocabulary.decode(source.references(split, image).next().unwrap());
            assert_eq!(first, format!("a {} on the grass", THINGS[number % THINGS.len()]));
        }
    }
}

#[test]
fn a_built_set_is_described_and_trains() {
    let studio = Studio::new(30);
    let room = &studio.room;
    room.write("captions.txt", studio.table());
    studio.builds("captions.txt", "set", &["--pca", "3", "--standardize", "--grid", "2x2"]);
    let info = room.runs(&["data", "info", "set"]).out;
    assert!(info.contains("Features") && info.contains("captions of"), "{info}");
    let graph = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../graphs/caption_lstm.ron");
    let graph = graph.to_str().unwrap();
    let train = ["train", graph, "--data", "set", "--steps", "3", "--batch", "5"];
    let small = ["--set", "nodes.words.layer.units=8", "--set", "nodes.hidden.layer.units=8"];
    for (out, pca) in [("full", "false"), ("reduced", "true")] {
        let pca = format!("data.pca_features={pca}");
        let rest = ["--out", out, "--set", &pca];
        room.runs(&[&train[..], &small, &rest].concat());
    }
}

#[test]
fn new_pictures_come_to_the_same_features() {
    let studio = Studio::new(50);
    let room = &studio.room;
    room.write("captions.txt", studio.table());
    let more = ["--pca", "4", "--grid", "3x2"];
    studio.builds("captions.txt", "raw", &more);
    studio.builds(
        "captions.txt",
        "one",
        &[&more[..], &["--standardize", "--threads", "1"]].concat(),
    );
    studio.builds(
        "captions.txt",
        "three",
        &[&more[..], &["--standardize", "--threads", "3"]].concat(),
    );
    assert_eq!(differences(room, "one", "three"), Vec::<String>::new(), "threads");
    for (dir, standardized) in [("raw", false), ("one", true)] {
        let set = CocoHdf5 { grid: true, ..CocoHdf5::in_dir(room.path(dir)).unwrap() };
        assert!(set.pca_features);
        let full = CocoHdf5 { pca_features: false, ..set.clone() };
        let (numbers, images) = rows(&full, Split::Train, "features");
        let column = |i: usize| numbers.iter().skip(i).step_by(6).map(|x| f64::from(*x));
        for i in 0..6 {
            let mean = column(i).sum::<f64>() / images as f64;
            let variance = column(i).map(|x| (x - mean).powi(2)).sum::<f64>() / images as f64;
            let standard = mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-5;
            assert_eq!(standard, standardized, "{dir} {i}: {mean} {variance}");
        }
        let encoder = room.path(dir).join("encoder");
        let open = || Encoder::open(&encoder).unwrap();
        let (mut to_components, mut to_full) = (open(), open().full());
        for split in Split::ALL {
            let (reduced, _) = rows(&set, split, "features");
            let (numbers, _) = rows(&full, split, "features");
            let (grid, images) = rows(&set, split, "grid");
            let names = room.read(&format!("{dir}/{split}2014_urls.txt"));
            for (image, name) in names.lines().enumerate() {
                let path = room.path(dir).join(name);
                let picture = Picture::open(&path, &Limits::default()).unwrap();
                let new = to_components.encode(std::slice::from_ref(&picture)).unwrap();
                let new_full = to_full.encode(&[picture]).unwrap();
                close(&new.features, &reduced[image * 4..][..4]);
                close(&new_full.features, &numbers[image * 6..][..6]);
                for Features { grid: new, .. } in [&new, &new_full] {
                    close(&new.as_ref().unwrap().features, &grid[image * 18..][..18]);
                }
            }
            assert_eq!(grid.len(), images * 18);
        }
    }
}

/// The encoder's products may round in another way in another company.
fn close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "{a} {b}");
    }
}

#[test]
fn the_splits_of_karpathys_file_are_kept() {
    let studio = Studio::new(12);
    let room = &studio.room;
    fs::create_dir(room.path("photos/val2014")).unwrap();
    fs::rename(room.path("photos/0003.jpg"), room.path("photos/val2014/0003.jpg")).unwrap();
    let splits = ["train", "restval", "val", "val", "test"];
    let images = studio.captions.iter().enumerate().map(|(i, (name, all))| {
        let sentences: Vec<Value> = all.iter().map(|raw| json!({"raw": raw})).collect();
        json!({"filename": name, "filepath": "val2014", "split": splits[i % 5], "sentences": sentences})
    });
    room.write("d.json", json!({"images": images.collect::<Vec<_>>()}).to_string());
    let outcome = studio.builds("d.json", "set", &[]);
    let (train, val, test) = (6, 4, 2);
    assert!(outcome.err.contains(&format!("{test} test pictures are left out")), "{}", outcome.raw);
    let lines = |split: &str| {
        room.read(&format!("set/{split}2014_urls.txt"))
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!((lines("train").len(), lines("val").len()), (train, val));
    assert!(lines("val").contains(&"images/val2014/0003.jpg".to_owned()), "{:?}", lines("val"));
    assert!(lines("train").contains(&"images/0001.jpg".to_owned()));
}

#[test]
fn a_build_that_is_killed_goes_on_where_it_was() {
    let studio = Studio::new(400);
    let room = &studio.room;
    room.write("captions.txt", studio.table());
    let more = ["--batch", "2", "--pca", "3", "--grid", "2x2"];
    studio.builds("captions.txt", "whole", &more);
    let args = Studio::building("captions.txt", "set", &more);
    let kept = || fs::read_dir(room.path(".set.building/features")).map_or(0, Iterator::count);
    for stop in [3, 60, 130] {
        let running = room.starts(&args, &[]);
        while kept() < stop && !room.path("set").exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        running.signal("KILL");
        let (code, said) = running.ends();
        assert_eq!(code, None, "it ended before it was killed: {said}");
    }
    let kept = kept();
    assert!((130..200).contains(&kept), "{kept}");
    fs::write(room.path("other.safetensors"), weights(6, 2.0)).unwrap();
    let refused = |args: &[&str], says: &str| {
        let outcome = room.engine(args);
        outcome.verdict(args, outcome.missing(2, says))
    };
    let with = |more: &[&'static str]| Studio::building("captions.txt", "set", more);
    let others: Vec<&str> = args
        .iter()
        .map(|arg| if *arg == "w.safetensors" { "other.safetensors" } else { arg })
        .collect();
    report([
        refused(&with(&["--batch", "3", "--grid", "2x2"]), "had another --batch | rm -r"),
        refused(&with(&["--batch", "2"]), ".set.building holds the features of | another --grid"),
        refused(&others, "had other weights | give what it was begun with"),
    ]);
    let outcome = room.runs(&args);
    assert!(outcome.err.contains("going on: "), "{}", outcome.raw);
    assert_eq!(differences(room, "whole", "set"), Vec::<String>::new());
    assert!(!room.path(".set.building").exists());
}

#[test]
fn a_picture_that_changes_is_read_again() {
    let studio = Studio::new(20);
    let room = &studio.room;
    room.write("captions.txt", studio.table());
    let broken = fs::read(room.path("photos/0007.jpg")).unwrap();
    room.write("photos/0007.jpg", "no picture");
    let args = Studio::building("captions.txt", "set", &["--batch", "4", "--strict"]);
    let outcome = room.engine(&args);
    outcome
        .verdict(&args, outcome.missing(2, "cannot read the picture | 0007.jpg | without --strict"))
        .unwrap();
    assert!(!room.path("set").exists());
    room.write("photos/0007.jpg", broken);
    let outcome = room.runs(&args);
    assert!(outcome.err.contains("going on: 4 of 20"), "{}", outcome.raw);
    studio.builds("captions.txt", "whole", &["--batch", "4"]);
    assert_eq!(differences(room, "whole", "set"), Vec::<String>::new());
}

#[test]
fn what_cannot_be_read_or_found_is_named() {
    let studio = Studio::new(30);
    let room = &studio.room;
    room.write(
        "captions.txt",
        studio.table() + "none1.jpg\ta dog\nnone2.jpg\ta dog\n../e.ron\ta dog\n0001.jpg\t...\n",
    );
    let half = fs::read(room.path("photos/0004.png")).unwrap();
    room.write("photos/0004.png", &half[..half.len() / 2]);
    room.write("photos/0007.jpg", "");
    let outcome = studio.builds("captions.txt", "set", &["--max-length", "3"]);
    for part in [
        "2 pictures cannot be read and are left out: 0004.png (",
        "0007.jpg (",
        "3 pictures that the captions name are not in the folder: ../e.ron, none1.jpg, none2.jpg",
        "1 captions have no word",
        "56 captions are cut to 3 words",
        "train on it with: engine train graphs/caption_lstm.ron --data set",
    ] {
        assert!(outcome.err.contains(part), "{part}\n{}", outcome.raw);
    }
    let names = room.read("set/train2014_urls.txt") + &room.read("set/val2014_urls.txt");
    assert_eq!(names.lines().count(), 28);
    assert!(!names.contains("0004") && !names.contains("0007"));
    room.runs(&["data", "info", "set"]);
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let studio = Studio::new(8);
    let room = &studio.room;
    let first: String = studio.table().lines().next().unwrap().to_owned();
    for (name, text) in [
        ("captions.txt", studio.table()),
        ("one.txt", first.clone()),
        ("comma.txt", format!("{first}\nimage.jpg,a dog\n")),
        ("cut.json", "{\"images\": [{\"id\":".to_owned()),
        ("boxes.json", "{\"images\": [{\"id\": 1, \"file_name\": \"0000.png\"}], \"annotations\": [{\"image_id\": 1}]}".to_owned()),
        ("others.txt", "a.jpg\ta dog\nb.jpg\ta cat\n".to_owned()),
        ("dots.txt", "0000.png\t...\n".to_owned()),
        ("blank.txt", "\n\n".to_owned()),
        ("g.ron", "Graph(inputs: {\"images\": [Batch, 3, 4, 4]}, nodes: [(name: \"fc\", layer: Afine(units: 6), from: [\"images\"])])".to_owned()),
    ] {
        room.write(name, text);
    }
    fs::write(room.path("narrow.safetensors"), weights(5, 1.0)).unwrap();
    fs::create_dir(room.path("empty")).unwrap();
    fs::create_dir(room.path("used")).unwrap();
    room.write("used/thesis.tex", "");
    let with = |option: &'static str, value: &'static str, says: &str| {
        let mut args = Studio::building("captions.txt", "set", &[]);
        match args.iter().position(|arg| *arg == option) {
            Some(at) => args[at + 1] = value,
            None => args.extend([option, value]),
        }
        room.refusal(&args, says)
    };
    report([
        with(
            "--images",
            "none",
            "expected a folder of pictures, found nothing at none | --images DIR",
        ),
        with("--images", "e.ron", "expected a folder of pictures, found a file"),
        with("--images", "empty", "empty holds no pictures: it holds nothing | JPEG, PNG or WebP"),
        with("--images", "used", "used holds no pictures: it holds `thesis.tex`"),
        with("--captions", "none", "could not read the captions `none`"),
        with(
            "--captions",
            "comma.txt",
            "`comma.txt`, line 2: expected `picture<TAB>caption`, found no tab in | Karpathy's dataset.json",
        ),
        with("--captions", "cut.json", "`cut.json`, line 1, column 18: EOF | cut short"),
        with(
            "--captions",
            "boxes.json",
            "`boxes.json`, annotations[0]: expected a `caption`, found none",
        ),
        with(
            "--captions",
            "others.txt",
            "none of the 2 pictures that others.txt names is in photos: it names `a.jpg`, and the folder holds `0000.png`",
        ),
        with("--captions", "dots.txt", "no caption of dots.txt has a word"),
        with("--captions", "blank.txt", "`blank.txt` holds no caption; it was read as a table"),
        with("--captions", "w.safetensors", "`w.safetensors`, line 1: "),
        with(
            "--captions",
            "one.txt",
            "none of 1 pictures for validation: one picture cannot be both",
        ),
        with("--out", "used", "the folder `used` exists and is not empty | give another folder"),
        with("--out", "e.ron", "`e.ron` is not a folder"),
        with("--encoder", "none.ron", "cannot read none.ron"),
        with("--encoder", "g.ron", "Afine | did you mean `Affine`"),
        with("--weights", "none", "cannot read none"),
        with("--weights", "narrow.safetensors", "fc.w | expected | found"),
        with("--weights", "e.ron", "e.ron"),
        with(
            "--min-count",
            "99",
            "no word comes 99 times in the | the commonest, `the`, comes | --min-count",
        ),
        with(
            "--pca",
            "9",
            "9 principal components of as many training pictures: expected at most | ask for fewer: --pca",
        ),
        with("--pca", "0", "--pca <N>"),
        with("--val", "1", "expected a number between 0 and 1"),
        with("--grid", "4", "expected rows and columns of regions, such as 4x4"),
    ]);
}

#[test]
fn an_encoder_that_does_not_fit_is_an_error_after_the_first_batch() {
    let studio = Studio::new(30);
    let room = &studio.room;
    room.write("captions.txt", studio.table());
    let flat = ENCODER.replace(", \"grid\": \"grid\"", "");
    room.write("flat.ron", flat);
    let fails = |more: &[&'static str], swap: Option<(&'static str, &'static str)>, says: &str| {
        let _ = fs::remove_dir_all(room.path(".set.building"));
        let mut args = Studio::building("captions.txt", "set", more);
        if let Some((from, to)) = swap {
            let at = args.iter().position(|arg| *arg == from).unwrap();
            args[at] = to;
        }
        let outcome = room.engine(&args);
        outcome.verdict(&args, outcome.missing(2, says))
    };
    fs::write(room.path("infinite.safetensors"), weights(6, f32::INFINITY)).unwrap();
    report([
        fails(
            &["--grid", "2x2"],
            Some(("e.ron", "flat.ron")),
            "the encoder gives no grid | leave --grid out",
        ),
        fails(
            &["--pca", "7"],
            None,
            "7 principal components of as many features as the encoder gives: expected at most 6",
        ),
        fails(
            &[],
            Some(("w.safetensors", "infinite.safetensors")),
            "the encoder's features of photos/0000.png are not finite",
        ),
    ]);
    for name in studio.captions.keys() {
        room.write(&format!("photos/{name}"), "no picture");
    }
    report([fails(
        &[],
        None,
        "cannot read the picture photos/0000.png | nor can any other be read",
    )]);
    assert!(!room.path("set").exists());
}
