//! Files of weights in the safetensors format, read an array at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use engine_core::Scalar;
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorInfo};
use serde_json::{Map, Value};

use super::error::WeightsError;

/// A header longer than this is none: it names a million arrays.
const LONGEST_HEADER: u64 = 100 << 20;

/// What a header says beside its arrays.
const NOTES: &str = "__metadata__";

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// Columns that are read before their numbers become rows: a cache line of these, or two.
const SIDE: usize = 16;

/// An open file, and what is in it. Its numbers stay on the disk until they are asked for.
#[derive(Debug)]
pub(super) struct WeightsFile {
    path: PathBuf,
    file: File,
    arrays: BTreeMap<String, Stored>,
}

/// Where an array lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    /// Its first byte.
    start: u64,
}

impl Stored {
    /// Bytes of a number; `None` for a type that is not one of real numbers.
    pub(super) fn width(&self) -> Option<usize> {
        match self.dtype {
            Dtype::F64 => Some(8),
            Dtype::F32 => Some(4),
            Dtype::F16 | Dtype::BF16 => Some(2),
            _ => None,
        }
    }
}

impl WeightsFile {
    /// Opens a file and reads what is in it.
    pub(super) fn open(path: &Path) -> Result<Self, WeightsError> {
        let io = |error| WeightsError::Read { path: path.to_owned(), error };
        let format = |message: String| WeightsError::Format { path: path.to_owned(), message };
        let mut file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(format("it is a folder".into()));
        }
        let mut length = [0; 8];
        if metadata.len() < 8 {
            return Err(format(format!("it has {} bytes", metadata.len())));
        }
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > LONGEST_HEADER.min(metadata.len() - 8) {
            return Err(format(format!(
                "its first 8 bytes say that {length} bytes of header follow, and {} do",
                metadata.len() - 8
            )));
        }
        let mut header = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact(&mut header).map_err(io)?;
        let not_one = |error: serde_json::Error| format(format!("its header is not one: {error}"));
        let mut header: Map<String, Value> = serde_json::from_slice(&header).map_err(not_one)?;
        header.remove(NOTES);
        let (start, bytes) = (8 + length, metadata.len() - 8 - length);
        let mut arrays = BTreeMap::new();
        for (name, info) in header {
            let info: TensorInfo = serde_json::from_value(info).map_err(not_one)?;
            let (from, to) = info.data_offsets;
            let count = info.shape.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
            let needed = count.and_then(|count| count.checked_mul(info.dtype.bitsize()));
            let fits = from <= to && needed.is_some_and(|bits| bits.div_ceil(8) == to - from);
            if !fits {
                return Err(format(format!(
                    "`{name}` is {:?} {:?}, and its bytes are {from} to {to}",
                    info.dtype, info.shape
                )));
            }
            if to as u64 > bytes {
                return Err(format(format!(
                    "it ends within `{name}`: {bytes} bytes of numbers, expected at least {to}"
                )));
            }
            let stored =
                Stored { shape: info.shape, dtype: info.dtype, start: start + from as u64 };
            arrays.insert(name, stored);
        }
        Ok(WeightsFile { path: path.to_owned(), file, arrays })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of its arrays, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Stored> {
        self.arrays.get(name)
    }

    /// Reads `to.len()` numbers of an array, from number `first` on.
    pub(super) fn read<T: Scalar>(
        &self,
        array: &Stored,
        first: usize,
        to: &mut [T],
    ) -> Result<(), WeightsError> {
        let io = |error| WeightsError::Read { path: self.path.clone(), error };
        let width = array.width().unwrap_or(1);
        self.seek(array, first).map_err(io)?;
        let mut bytes = vec![0; BLOCK.min(to.len() * width)];
        for to in to.chunks_mut(BLOCK / width) {
            let bytes = &mut bytes[..to.len() * width];
            (&self.file).read_exact(bytes).map_err(io)?;
            decode(array.dtype, bytes, to);
        }
        Ok(())
    }

    /// Reads some rows of the transpose of a matrix, from row `first` on. A column of these is a row of the file.
    pub(super) fn read_transposed<T: Scalar>(
        &self,
        array: &Stored,
        first: usize,
        to: &mut [T],
    ) -> Result<(), WeightsError> {
        let [columns, depth] = array.shape[..] else { return self.read(array, first, to) };
        let rows = to.len() / columns.max(1);
        let mut block = vec![T::zero(); SIDE.min(columns) * rows];
        for begin in (0..columns).step_by(SIDE) {
            let count = SIDE.min(columns - begin);
            for (at, column) in block.chunks_exact_mut(rows.max(1)).take(count).enumerate() {
                self.read(array, (begin + at) * depth + first, column)?;
            }
            for (row, to) in to.chunks_exact_mut(columns).enumerate() {
                let column = block[row..].iter().step_by(rows);
                to[begin..][..count].iter_mut().zip(column).for_each(|(to, x)| *to = *x);
            }
        }
        Ok(())
    }

    fn seek(&self, array: &Stored, first: usize) -> io::Result<()> {
        let skipped = first as u64 * array.width().unwrap_or(1) as u64;
        (&self.file).seek(SeekFrom::Start(array.start + skipped)).map(|_| ())
    }
}

/// Numbers from their bytes.
fn decode<T: Scalar>(dtype: Dtype, bytes: &[u8], to: &mut [T]) {
    match dtype {
        Dtype::F64 => fill(to, bytes.as_chunks().0, f64::from_le_bytes),
        Dtype::F32 => fill(to, bytes.as_chunks().0, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::F16 => fill(to, bytes.as_chunks().0, |b| f16::from_le_bytes(b).to_f64()),
        Dtype::BF16 => fill(to, bytes.as_chunks().0, |b| bf16::from_le_bytes(b).to_f64()),
        // `width` has none of other types, so that nobody comes here with one.
        _ => {}
    }
}

fn fill<T: Scalar, const N: usize>(to: &mut [T], bytes: &[[u8; N]], f: impl Fn([u8; N]) -> f64) {
    to.iter_mut().zip(bytes).for_each(|(to, bytes)| *to = T::of(f(*bytes)));
}

#[cfg(test)]
mod tests {
    use safetensors::tensor::{TensorView, serialize};

    use super::*;

    fn stored(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> (tempfile::TempDir, WeightsFile) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let first = TensorView::new(Dtype::F32, vec![1], &[0; 4]).unwrap();
        let view = TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
        std::fs::write(&path, serialize([("a", first), ("x", view)], None).unwrap()).unwrap();
        let file = WeightsFile::open(&path).unwrap();
        (dir, file)
    }

    fn numbers(file: &WeightsFile, count: usize) -> Vec<f64> {
        let mut to = vec![0.0; count];
        file.read(file.get("x").unwrap(), 0, &mut to).unwrap();
        to
    }

    #[test]
    fn numbers_of_every_width_are_read() {
        let exact = [1.5, -2.0, 0.25, 1024.0];
        let f64s: Vec<u8> = exact.iter().flat_map(|x: &f64| x.to_le_bytes()).collect();
        let f32s: Vec<u8> = exact.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect();
        let f16s: Vec<u8> = exact.iter().flat_map(|x| f16::from_f64(*x).to_le_bytes()).collect();
        let bf16s: Vec<u8> = exact.iter().flat_map(|x| bf16::from_f64(*x).to_le_bytes()).collect();
        for (dtype, bytes) in
            [(Dtype::F64, f64s), (Dtype::F32, f32s), (Dtype::F16, f16s), (Dtype::BF16, bf16s)]
        {
            let (_dir, file) = stored(dtype, &[2, 2], &bytes);
            assert_eq!(numbers(&file, 4), exact, "{dtype:?}");
        }
    }

    #[test]
    fn rows_become_columns() {
        for (columns, rows) in [(1, 1), (1, 5), (5, 1), (3, 4), (130, 67), (64, 64), (65, 300)] {
            let values: Vec<f32> = (0..columns * rows).map(|i| i as f32).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            let (_dir, file) = stored(Dtype::F32, &[columns, rows], &bytes);
            let mut to = vec![0.0f32; columns * rows];
            let (some, rest) = to.split_at_mut(rows / 3 * columns);
            file.read_transposed(file.get("x").unwrap(), 0, some).unwrap();
            file.read_transposed(file.get("x").unwrap(), rows / 3, rest).unwrap();
            for row in 0..rows {
                for column in 0..columns {
                    assert_eq!(to[row * columns + column], values[column * rows + row]);
                }
            }
        }
    }

    #[test]
    fn damaged_files_say_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.safetensors");
        let view = TensorView::new(Dtype::F32, vec![2], &[0; 8]).unwrap();
        let whole = serialize([("x", view)], None).unwrap();
        let refused = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            WeightsFile::open(&path).unwrap_err().to_string()
        };
        assert!(refused(b"").contains("it has 0 bytes"));
        assert!(refused(b"PK\x03\x04 and so on").contains("bytes of header follow"));
        assert!(refused(&whole[..whole.len() - 1]).contains("it ends within `x`"));
        for cut in 0..whole.len() {
            refused(&whole[..cut]);
        }
        let text = String::from_utf8_lossy(&whole).into_owned();
        assert!(refused(text.replace("[2]", "[3]").as_bytes()).contains("its bytes are"));
        assert!(refused(text.replace("F32", "X32").as_bytes()).contains("header"));
        let folder = WeightsFile::open(dir.path()).unwrap_err().to_string();
        assert!(folder.contains("it is a folder"), "{folder}");
    }
}
