//! Files of weights: which of their arrays are a network's parameters, and how they get there.

mod error;
mod file;
mod names;
mod pattern;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use engine_core::Scalar;
use engine_core::graph::{Parameter, Plan, nearest};
use safetensors::tensor::Dtype;

use self::file::{Stored, WeightsFile};

pub use error::{Misfit, WeightsError};
pub use names::{Matrices, Names, Sources};
pub use pattern::Pattern;

/// A file that has all parameters of a network, and nothing else but what the network does without.
#[derive(Debug)]
pub struct Weights {
    file: WeightsFile,
    /// In the order of the plan's parameters.
    arrays: Vec<Found>,
    /// Whether names and layouts are the network's own.
    own: bool,
}

/// A parameter in a file.
#[derive(Debug)]
struct Found {
    parameter: String,
    stored: Stored,
    /// Its shape in the network.
    shape: Vec<usize>,
    transposed: bool,
}

/// A way to look for parameters in a file: by the names of a source, or by the network's own.
#[derive(Clone, Copy)]
struct Way<'a>(Option<(&'a str, &'a Names)>);

impl Way<'_> {
    fn name(self, parameter: &str) -> String {
        self.0.map_or_else(|| parameter.to_owned(), |(_, names)| names.of(parameter))
    }

    fn transposes(self, shape: &[usize]) -> bool {
        shape.len() == 2 && self.0.is_some_and(|(_, names)| names.matrices == Matrices::OutIn)
    }

    fn does_without(self, name: &str) -> bool {
        self.0.is_some_and(|(_, names)| names.does_without(name))
    }
}

impl Weights {
    /// Opens a file and finds every parameter of a plan in it: by the names of that one of `sources`, or of the network
    /// itself, that finds the most.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that does not fit.
    pub fn open(path: &Path, plan: &Plan, sources: &Sources) -> Result<Self, WeightsError> {
        let file = WeightsFile::open(path)?;
        let sources = sources.iter().map(|(source, names)| Way(Some((source.as_str(), names))));
        let ways: Vec<Way<'_>> = [Way(None)].into_iter().chain(sources).collect();
        let found = |way: &Way<'_>| {
            plan.parameters.iter().filter(|p| file.get(&way.name(&p.name)).is_some()).count()
        };
        // Where none finds anything, the graph's own section says what was expected.
        let way = ways.iter().copied().max_by_key(found).unwrap_or(Way(None));
        let (arrays, misfits) = find(&file, plan, way);
        if !misfits.is_empty() {
            let names = way.0.map(|(source, _)| source.to_owned());
            return Err(WeightsError::Misfit { path: path.to_owned(), names, misfits });
        }
        Ok(Weights { file, arrays, own: way.0.is_none() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Reads numbers of a parameter, in whole rows, from number `first` on.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read<T: Scalar>(
        &self,
        parameter: &Parameter,
        first: usize,
        to: &mut [T],
    ) -> Result<(), WeightsError> {
        let found = self.arrays.iter().find(|found| found.parameter == parameter.name);
        self.read_found(found.expect("every parameter of the plan was found"), first, to)
    }

    fn read_found<T: Scalar>(
        &self,
        found: &Found,
        first: usize,
        to: &mut [T],
    ) -> Result<(), WeightsError> {
        match found.transposed {
            true => {
                let row = found.shape[1].max(1);
                self.file.read_transposed(&found.stored, first / row, to)
            }
            false => self.file.read(&found.stored, first, to),
        }
    }

    /// Writes the parameters to another file by the network's own names. Where the file has these already, the other
    /// becomes the same file by another name if the file system can do that, and a copy otherwise.
    ///
    /// # Errors
    /// When one of the files cannot be read or written.
    pub fn save(&self, path: &Path) -> Result<(), WeightsError> {
        let write = |error| WeightsError::Write { path: path.to_owned(), error };
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = Path::new(&part);
        let same = fs::canonicalize(path).ok();
        if same.is_some() && same == fs::canonicalize(self.path()).ok() {
            return Ok(());
        }
        _ = fs::remove_file(part);
        let made = if !self.own {
            self.convert(part)
        } else if fs::hard_link(self.path(), part).is_ok() {
            Ok(())
        } else {
            fs::copy(self.path(), part).map(|_| ()).map_err(write)
        };
        made.and_then(|()| fs::rename(part, path).map_err(write))
            .inspect_err(|_| _ = fs::remove_file(part))
    }

    /// Writes the parameters by the network's own names and layouts, in single precision unless they have more.
    fn convert(&self, path: &Path) -> Result<(), WeightsError> {
        let write = |error| WeightsError::Write { path: path.to_owned(), error };
        let double = self.arrays.iter().any(|found| found.stored.dtype == Dtype::F64);
        let mut to = BufWriter::new(File::create(path).map_err(write)?);
        let (width, dtype) = if double { (8, "F64") } else { (4, "F32") };
        let mut end = 0;
        let mut entries = serde_json::Map::new();
        for Found { parameter, shape, .. } in &self.arrays {
            let start = end;
            end += width * shape.iter().product::<usize>();
            let entry =
                serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
            entries.insert(parameter.clone(), entry);
        }
        let mut header = serde_json::Value::Object(entries).to_string();
        // Numbers begin at a multiple of their width.
        header += &" ".repeat(header.len().next_multiple_of(8) - header.len());
        to.write_all(&(header.len() as u64).to_le_bytes()).map_err(write)?;
        to.write_all(header.as_bytes()).map_err(write)?;
        for found in &self.arrays {
            match double {
                true => self.copy(found, &mut to, f64::to_le_bytes),
                false => self.copy(found, &mut to, f32::to_le_bytes),
            }
            .map_err(write)?;
        }
        let file = to.into_inner().map_err(|error| write(error.into_error()))?;
        file.sync_all().map_err(write)
    }

    /// Writes the bytes of one parameter, some rows of it at a time.
    fn copy<T: Scalar, const N: usize>(
        &self,
        found: &Found,
        to: &mut impl Write,
        bytes: impl Fn(T) -> [u8; N],
    ) -> io::Result<()> {
        let refused = |error: WeightsError| io::Error::other(error.to_string());
        let count: usize = found.shape.iter().product();
        let row: usize = found.shape.iter().skip(1).product::<usize>().max(1);
        let (rows, mut block) = ((ROWS_BLOCK / row).max(1), Vec::new());
        for first in (0..count / row).step_by(rows) {
            block.resize(rows.min(count / row - first) * row, T::zero());
            self.read_found(found, first * row, &mut block).map_err(refused)?;
            for block in block.chunks(WRITTEN) {
                let bytes: Vec<u8> = block.iter().flat_map(|x| bytes(*x)).collect();
                to.write_all(&bytes)?;
            }
        }
        Ok(())
    }
}

/// Numbers that are converted at once.
const ROWS_BLOCK: usize = 1 << 23;

/// Numbers that are written at once.
const WRITTEN: usize = 1 << 16;

/// The parameters of a plan in a file, and what does not fit.
fn find(file: &WeightsFile, plan: &Plan, way: Way<'_>) -> (Vec<Found>, Vec<Misfit>) {
    let (mut arrays, mut misfits, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    for parameter in &plan.parameters {
        let name = way.name(&parameter.name);
        let shape = parameter.shape.resolve(&plan.sizes).unwrap_or_default();
        let transposed = way.transposes(&shape);
        let expected: Vec<usize> = match transposed {
            true => shape.iter().rev().copied().collect(),
            false => shape.clone(),
        };
        let parameter = parameter.name.clone();
        match file.get(&name) {
            None => misfits.push(Misfit::Missing { parameter, name: name.clone(), near: None }),
            Some(stored) if stored.width().is_none() => {
                let found = format!("{:?}", stored.dtype);
                misfits.push(Misfit::Kind { name: name.clone(), found });
            }
            Some(stored) if stored.shape != expected => {
                let found = stored.shape.clone();
                let name = name.clone();
                misfits.push(Misfit::Shape { parameter, name, expected, found });
            }
            Some(stored) => {
                arrays.push(Found { parameter, stored: stored.clone(), shape, transposed });
            }
        }
        wanted.push(name);
    }
    let taken: std::collections::HashSet<&str> = wanted.iter().map(String::as_str).collect();
    let others: Vec<&str> = file.names().filter(|name| !taken.contains(name)).collect();
    for misfit in &mut misfits {
        if let Misfit::Missing { name, near, .. } = misfit {
            *near = nearest(name, others.iter().copied()).map(str::to_owned);
        }
    }
    let absent: Vec<String> = misfits
        .iter()
        .filter_map(|misfit| match misfit {
            Misfit::Missing { name, .. } => Some(name.clone()),
            _ => None,
        })
        .collect();
    for name in others.into_iter().filter(|name| !way.does_without(name)) {
        let near = nearest(name, absent.iter().map(String::as_str)).map(str::to_owned);
        misfits.push(Misfit::LeftOver { name: name.to_owned(), near });
    }
    (arrays, misfits)
}
