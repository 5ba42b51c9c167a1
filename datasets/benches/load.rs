//! How long a data set takes to open: every file read, every value checked.
//!
//! The folder is the one that `ENGINE_BENCH_DATA` names, or a generated set of pictures:
//! `ENGINE_BENCH_DATA=path/to/coco cargo bench -p engine-datasets`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use divan::Bencher;
use divan::counter::BytesCount;
use engine_datasets::{CocoHdf5, Dataset};
use engine_datasets::{Options, generate};

fn main() {
    divan::main();
}

/// The sizes in headers and vocabulary, as `engine check` wants them.
#[divan::bench]
fn peek(bencher: Bencher<'_, '_>) {
    with_data(|set, _| bencher.bench_local(|| set.peek().expect("a whole data set")));
}

/// All of it.
#[divan::bench(sample_count = 15, sample_size = 1)]
fn open(bencher: Bencher<'_, '_>) {
    with_data(|set, bytes| {
        bencher
            .counter(BytesCount::new(bytes))
            .bench_local(|| set.open().expect("a whole data set"));
    });
}

/// Calls `bench` with a data set and the size of its files.
fn with_data(bench: impl FnOnce(CocoHdf5, u64)) {
    let made;
    let dir = match env::var_os("ENGINE_BENCH_DATA") {
        Some(dir) => PathBuf::from(dir),
        None => {
            made = tempfile::tempdir().expect("a temporary folder");
            let dir = made.path().join("scenes");
            let options = Options { train: 400, val: 100, ..Options::default() };
            generate(&dir, &options, &|_, _| {}).expect("a generated data set");
            dir
        }
    };
    let set = CocoHdf5::in_dir(&dir).expect("a folder with a data set");
    bench(set, size_of_files(&dir).expect("a folder that can be read"));
}

/// The bytes of all files directly in `dir`.
fn size_of_files(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let data = entry?.metadata()?;
        bytes += if data.is_file() { data.len() } else { 0 };
    }
    Ok(bytes)
}
