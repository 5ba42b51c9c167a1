//! Whole arrays out of an HDF5 file, with every fault named.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use hdf5::types::TypeDescriptor;
use rayon::prelude::*;

use crate::DataError;

/// An open HDF5 file.
pub(super) struct Arrays {
    path: PathBuf,
    file: hdf5::File,
}

/// The rows that are checked and narrowed at a time: enough to make calls cheap, few enough to stay in the cache.
const SLAB_ROWS: usize = 4096;

impl Arrays {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        // HDF5 is told not to print its error stack; ours is the only message.
        hdf5::silence_errors(true);
        if let Some((found, help)) = foreign(path)? {
            return Err(DataError::NotHdf5 { path: path.to_owned(), found, help });
        }
        let file = hdf5::File::open(path).map_err(|e| DataError::NotHdf5 {
            path: path.to_owned(),
            found: e.to_string(),
            help: "the file is cut short or damaged: fetch or make it again",
        })?;
        Ok(Arrays { path: path.to_owned(), file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The shape of the numbers `name`, which have `N` dimensions, called `expected`.
    pub(super) fn numbers_shape<const N: usize>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<[usize; N], DataError> {
        self.check_numbers(name, expected).map(|(_, shape)| shape)
    }

    /// The numbers `name` in row-major order, and their shape.
    pub(super) fn numbers<const N: usize>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<(Vec<f32>, [usize; N]), DataError> {
        let (data, shape) = self.check_numbers(name, expected)?;
        self.check_room::<f32>(name, &shape)?;
        let numbers = data.read_raw().map_err(|e| self.failed(name, &e))?;
        Ok((numbers, shape))
    }

    fn check_numbers<const N: usize>(
        &self,
        name: &'static str,
        expected: &'static str,
    ) -> Result<(hdf5::Dataset, [usize; N]), DataError> {
        let data = self.dataset(name)?;
        match descriptor(&data) {
            Ok(TypeDescriptor::Float(_)) => {}
            found => return Err(self.wrong_type(name, "floating-point numbers", found)),
        }
        let shape = self.shape(name, &data, expected)?;
        Ok((data, shape))
    }

    /// The integers of `name` in row-major order, and their shape. Any integer type will do.
    ///
    /// The first one that is negative or not below `limit` is the error `fault(row, column, value)`. The data set has
    /// `N` dimensions; the column is 0 where `N` is 1.
    pub(super) fn integers<const N: usize>(
        &self,
        name: &'static str,
        expected: &'static str,
        limit: usize,
        fault: impl Fn(usize, usize, i64) -> DataError,
    ) -> Result<(Vec<u32>, [usize; N]), DataError> {
        let data = self.dataset(name)?;
        match descriptor(&data) {
            Ok(TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_)) => {}
            found => return Err(self.wrong_type(name, "integers", found)),
        }
        let shape: [usize; N] = self.shape(name, &data, expected)?;
        self.check_room::<u32>(name, &shape)?;
        let rows = shape[0];
        let columns: usize = shape[1..].iter().product();
        // A slab of whole chunks decompresses each chunk once.
        let chunk = data.chunk().and_then(|c| c.first().copied()).unwrap_or(1).clamp(1, rows);
        let slab = SLAB_ROWS.div_ceil(chunk) * chunk;
        let limit = (limit as u64).min(1 << 32);
        // As an unsigned number a negative one is beyond every limit.
        let beyond = |value: &i64| *value as u64 >= limit;
        let mut integers = Vec::with_capacity(rows * columns);
        for first in (0..rows).step_by(slab) {
            let end = (first + slab).min(rows);
            let read = match N {
                1 => data.read_slice_1d::<i64, _>(first..end).map(|a| a.into_raw_vec_and_offset()),
                _ => data
                    .read_slice_2d::<i64, _>((first..end, ..))
                    .map(|a| a.into_raw_vec_and_offset()),
            };
            let (values, _) = read.map_err(|e| self.failed(name, &e))?;
            // Without a way out the test vectorises; only a faulty slab is searched.
            if values.iter().fold(false, |found, value| found | beyond(value))
                && let Some(at) = values.iter().position(beyond)
            {
                return Err(fault(first + at / columns, at % columns, values[at]));
            }
            integers.extend(values.iter().map(|value| *value as u32));
        }
        Ok((integers, shape))
    }

    fn dataset(&self, name: &'static str) -> Result<hdf5::Dataset, DataError> {
        if !self.file.link_exists(name) {
            let mut present = self.file.member_names().unwrap_or_default();
            present.sort_unstable();
            return Err(DataError::MissingDataset {
                path: self.path.clone(),
                dataset: name,
                present,
            });
        }
        self.file.dataset(name).map_err(|e| self.failed(name, &e))
    }

    /// The lengths of all dimensions, of which there must be `N` and none may be 0.
    fn shape<const N: usize>(
        &self,
        name: &'static str,
        data: &hdf5::Dataset,
        expected: &'static str,
    ) -> Result<[usize; N], DataError> {
        let found = data.space().map(|space| space.shape()).map_err(|e| self.failed(name, &e))?;
        let shape: [usize; N] = found.as_slice().try_into().map_err(|_| DataError::WrongShape {
            path: self.path.clone(),
            dataset: name,
            expected,
            found: found.clone(),
        })?;
        if shape.contains(&0) {
            return Err(DataError::Empty { path: self.path.clone(), dataset: name, shape: found });
        }
        Ok(shape)
    }

    /// Asks for the memory and gives it back: an impossible size is an error here and would be the end of the process
    /// in the read.
    fn check_room<T>(&self, name: &'static str, shape: &[usize]) -> Result<(), DataError> {
        let wanted = shape.iter().try_fold(1usize, |n, length| n.checked_mul(*length));
        let fits = wanted.is_some_and(|n| Vec::<T>::new().try_reserve_exact(n).is_ok());
        if fits {
            return Ok(());
        }
        Err(DataError::TooLarge { path: self.path.clone(), dataset: name, shape: shape.to_vec() })
    }

    fn wrong_type(
        &self,
        dataset: &'static str,
        expected: &'static str,
        found: Result<TypeDescriptor, hdf5::Error>,
    ) -> DataError {
        let found = match found {
            Ok(found) => found.to_string(),
            Err(e) => format!("a type that cannot be read ({e})"),
        };
        DataError::WrongType { path: self.path.clone(), dataset, expected, found }
    }

    fn failed(&self, dataset: &str, error: &hdf5::Error) -> DataError {
        DataError::Hdf5 {
            action: "read",
            path: self.path.clone(),
            dataset: dataset.to_owned(),
            message: error.to_string(),
        }
    }
}

fn descriptor(data: &hdf5::Dataset) -> Result<TypeDescriptor, hdf5::Error> {
    data.dtype()?.to_descriptor()
}

/// What a file is that does not bear HDF5's signature, and what to do about it.
fn foreign(path: &Path) -> Result<Option<(String, &'static str)>, DataError> {
    const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
    const FETCH: &str = "fetch or make the file again";
    let read = |e| DataError::io("read", path, e);
    let mut file = fs::File::open(path).map_err(read)?;
    let length = file.metadata().map_err(read)?.len();
    let mut head = Vec::new();
    file.by_ref().take(64).read_to_end(&mut head).map_err(read)?;
    // A user block may come first; it is 512 bytes or a power of two times that.
    let mut at = 0u64;
    while at + 8 <= length && at <= 1 << 20 {
        let mut bytes = [0; 8];
        file.seek(SeekFrom::Start(at)).map_err(read)?;
        file.read_exact(&mut bytes).map_err(read)?;
        if bytes == SIGNATURE {
            return Ok(None);
        }
        at = if at == 0 { 512 } else { at * 2 };
    }
    let start = String::from_utf8_lossy(&head);
    Ok(Some(if head.is_empty() {
        ("the file is empty".to_owned(), FETCH)
    } else if start.starts_with("version https://git-lfs") {
        ("it is a Git LFS pointer".to_owned(), "run `git lfs pull` in its repository")
    } else if start.trim_start().starts_with('<') {
        ("it is a web page".to_owned(), "the download was refused: fetch the file itself")
    } else {
        let shown: String = start.chars().take(16).collect();
        (format!("it has no HDF5 signature; it begins with {shown:?}"), FETCH)
    }))
}

/// The place of the first number that is not finite.
pub(super) fn first_not_finite(numbers: &[f32]) -> Option<usize> {
    // Sums of the exponent test vectorise; only a faulty block is searched.
    const BLOCK: usize = 1 << 16;
    numbers.par_chunks(BLOCK).enumerate().find_map_first(|(block, values)| {
        let bad = values.iter().fold(false, |bad, v| bad | !v.is_finite());
        let at = bad.then(|| values.iter().position(|v| !v.is_finite())).flatten()?;
        Some(block * BLOCK + at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATRIX: &str = "[images, width]";

    fn arrays(make: impl FnOnce(&hdf5::File)) -> (tempfile::TempDir, Arrays) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        let file = hdf5::File::create(&path).unwrap();
        make(&file);
        file.close().unwrap();
        let arrays = Arrays::open(&path).unwrap();
        (dir, arrays)
    }

    /// The integers of a matrix; what is wrong with one comes as the shape of an empty data set.
    fn tokens(
        arrays: &Arrays,
        name: &'static str,
        limit: usize,
    ) -> Result<(Vec<u32>, [usize; 2]), DataError> {
        arrays.integers(name, "[rows, T]", limit, |row, column, value| DataError::Empty {
            path: PathBuf::new(),
            dataset: name,
            shape: vec![row, column, value as usize],
        })
    }

    #[test]
    fn any_integer_type_and_any_layout_reads_the_same() {
        let rows = 4 * SLAB_ROWS + 321;
        let values: Vec<u32> = (0..rows as u32 * 3).map(|i| i % 120).collect();
        macro_rules! with {
            ($type:ty, $chunk:expr) => {{
                let data: Vec<$type> = values.iter().map(|v| *v as $type).collect();
                let data = ndarray::Array2::from_shape_vec((rows, 3), data).unwrap();
                let (_dir, arrays) = arrays(|file| {
                    let builder = file.new_dataset_builder();
                    let builder = match $chunk {
                        0 => builder,
                        n => builder.chunk((n, 3)).deflate(4),
                    };
                    builder.with_data(&data).create("x").unwrap();
                });
                let (found, shape) = tokens(&arrays, "x", 120).unwrap();
                assert_eq!(shape, [rows, 3]);
                assert!(found == values, stringify!($type));
            }};
        }
        with!(i8, 0);
        with!(u8, 7);
        with!(i16, 0);
        with!(i32, 256);
        with!(i64, 0);
        with!(u64, 10_000);
    }

    #[test]
    fn the_first_integer_out_of_range_is_found() {
        let rows = 2 * SLAB_ROWS + 5;
        let at = |row: usize, column: usize| row * 3 + column;
        for value in [-1, 120, i64::MIN, i64::MAX, 1 << 32] {
            let mut data = vec![119i64; rows * 3];
            (data[at(SLAB_ROWS + 7, 2)], data[at(2 * SLAB_ROWS + 1, 0)]) = (value, value);
            let data = ndarray::Array2::from_shape_vec((rows, 3), data).unwrap();
            let (_dir, arrays) = arrays(|file| {
                file.new_dataset_builder().with_data(&data).create("x").unwrap();
            });
            let found = match tokens(&arrays, "x", 120).unwrap_err() {
                DataError::Empty { shape, .. } => shape,
                other => panic!("{other}"),
            };
            assert_eq!(found, [SLAB_ROWS + 7, 2, value as usize]);
        }
    }

    #[test]
    fn both_precisions_read_as_single() {
        for seed in 0..6u64 {
            let (rows, width) = (1 + seed as usize * 3, 1 + seed as usize);
            let values: Vec<f64> = (0..rows * width).map(|i| i as f64 * 0.5 - 3.0).collect();
            let double = ndarray::Array2::from_shape_vec((rows, width), values).unwrap();
            let single = double.mapv(|v| v as f32);
            let (_dir, arrays) = arrays(|file| {
                file.new_dataset_builder().with_data(&double).create("double").unwrap();
                file.new_dataset_builder().with_data(&single).create("single").unwrap();
            });
            let read = |name| arrays.numbers::<2>(name, MATRIX).unwrap();
            assert_eq!(read("double"), read("single"));
            assert_eq!(arrays.numbers_shape("single", MATRIX).unwrap(), [rows, width]);
        }
    }

    #[test]
    fn wrong_data_sets_are_named() {
        let (_dir, arrays) = arrays(|file| {
            file.new_dataset_builder().with_data(&[1i32, 2]).create("integers").unwrap();
            file.new_dataset_builder().with_data(&[1f32, 2.0]).create("numbers").unwrap();
            file.new_dataset::<f32>().shape((0, 4)).create("none").unwrap();
            file.create_group("group").unwrap();
        });
        let fault = |name| arrays.numbers::<2>(name, MATRIX).unwrap_err();
        for (error, expected) in [
            (fault("x"), "`group`, `integers`, `none` and `numbers`"),
            (fault("group"), "could not read `group`"),
            (fault("integers"), "floating-point numbers, but holds int32"),
            (fault("numbers"), "[images, width], but has [2]"),
            (fault("none"), "is empty: its shape is [0, 4]"),
            (tokens(&arrays, "numbers", 9).unwrap_err(), "should hold integers"),
            (tokens(&arrays, "integers", 9).unwrap_err(), "but has [2]"),
        ] {
            let message = error.to_string();
            assert!(message.contains(expected), "{message}\nshould contain\n{expected}");
            assert!(message.contains("a.h5"), "{message}");
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        let (_dir, arrays) = arrays(|file| {
            file.new_dataset::<f32>().chunk((1, 1024)).shape((1 << 40, 1024)).create("x").unwrap();
        });
        let message = arrays.numbers::<2>("x", MATRIX).unwrap_err().to_string();
        assert!(message.contains("does not fit in memory"), "{message}");
    }

    #[test]
    fn files_that_are_not_hdf5_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        let fault = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            let error = Arrays::open(&path).err().unwrap();
            assert!(error.help().is_some());
            error.to_string()
        };
        assert!(fault(b"").contains("empty"));
        assert!(fault(b"version https://git-lfs.github.com/spec/v1\n").contains("Git LFS"));
        assert!(fault(b"<!doctype html>").contains("web page"));
        assert!(fault(&[7; 5000]).contains("no HDF5 signature"));
        let (whole, _) = arrays(|file| {
            let data = ndarray::Array2::<f32>::zeros((100, 10));
            file.new_dataset_builder().with_data(&data).create("features").unwrap();
        });
        let bytes = fs::read(whole.path().join("a.h5")).unwrap();
        for keep in [8, 100, bytes.len() / 2, bytes.len() - 1] {
            let message = fault(&bytes[..keep]);
            assert!(message.contains("cannot be read as HDF5"), "{keep}: {message}");
        }
    }
}
