//! Parameters on disk, in the safetensors format: names, shapes and numbers, readable by other tools.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::network::Engine;
use crate::graph::nearest;
use crate::scalar::{Precision, Scalar};
use crate::tensor::Tensor;

/// Parameters that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refused.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Its reason.
        #[source]
        error: std::io::Error,
    },
    /// The file is not a safetensors file, or is damaged.
    #[error("{} is no readable safetensors file: {error}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: safetensors::SafeTensorError,
    },
    /// The graph has a parameter that the file lacks.
    #[error("{} has no parameter `{name}`{hint}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The graph's parameter.
        name: String,
        /// The nearest name in the file.
        hint: String,
    },
    /// The file has a parameter that the graph lacks.
    #[error("{} has the parameter `{name}`, which the graph has not{hint}", path.display())]
    LeftOver {
        /// The file.
        path: PathBuf,
        /// The file's parameter.
        name: String,
        /// The nearest name in the graph.
        hint: String,
    },
    /// A parameter of another shape or number type.
    #[error("{}: parameter `{name}`: expected {expected}, found {found}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The parameter.
        name: String,
        /// The graph's shape.
        expected: String,
        /// The file's shape or type.
        found: String,
    },
}

/// Writes all parameters, and `about` as the file's metadata under the key `engine`: one key, because the format's
/// metadata has no order, and the same parameters are to give the same bytes. The file appears whole or not at all.
///
/// # Errors
/// When the file system refuses.
pub fn save<T: Scalar>(
    engine: &Engine<T>,
    path: &Path,
    about: &str,
) -> Result<(), CheckpointError> {
    let io = |error| CheckpointError::Io { what: "write", path: path.to_owned(), error };
    let dtype = match T::PRECISION {
        Precision::F32 => Dtype::F32,
        Precision::F64 => Dtype::F64,
    };
    let bytes: Vec<Vec<u8>> = engine.parameters().iter().map(|p| to_bytes(p, dtype)).collect();
    let names = engine.plan().parameters.iter().map(|parameter| parameter.name.as_str());
    let views = names.zip(engine.parameters().iter().zip(&bytes)).map(|(name, (p, bytes))| {
        let view = TensorView::new(dtype, p.shape().to_vec(), bytes);
        (name, view.expect("the bytes are those of the shape"))
    });
    let about = HashMap::from([("engine".to_owned(), about.to_owned())]);
    let data = safetensors::serialize(views, Some(about))
        .map_err(|error| CheckpointError::Format { path: path.to_owned(), error })?;
    let temporary = path.with_extension("safetensors.part");
    std::fs::write(&temporary, data).map_err(io)?;
    std::fs::rename(&temporary, path).map_err(io)
}

/// Reads all parameters. Nothing is changed unless everything fits.
///
/// # Errors
/// When the file cannot be read, or its names and shapes are not exactly the graph's.
pub fn load<T: Scalar>(engine: &mut Engine<T>, path: &Path) -> Result<(), CheckpointError> {
    let data = std::fs::read(path).map_err(|error| CheckpointError::Io {
        what: "read",
        path: path.to_owned(),
        error,
    })?;
    let file = SafeTensors::deserialize(&data)
        .map_err(|error| CheckpointError::Format { path: path.to_owned(), error })?;
    let wanted: Vec<&str> = engine.plan().parameters.iter().map(|p| p.name.as_str()).collect();
    let present = file.names();
    let hint =
        |near: Option<&str>| near.map_or(String::new(), |n| format!("; the nearest is `{n}`"));
    if let Some(name) = present.iter().find(|name| !wanted.contains(*name)) {
        let hint = hint(nearest(name, wanted.iter().copied()));
        return Err(CheckpointError::LeftOver {
            path: path.into(),
            name: (*name).to_string(),
            hint,
        });
    }
    let mut read = Vec::with_capacity(wanted.len());
    for (name, parameter) in wanted.iter().zip(engine.parameters()) {
        let view = file.tensor(name).map_err(|_| CheckpointError::Missing {
            path: path.to_owned(),
            name: (*name).to_owned(),
            hint: hint(nearest(name, present.iter().copied())),
        })?;
        let values = from_bytes(&view).filter(|_| view.shape() == parameter.shape());
        let values = values.ok_or_else(|| CheckpointError::Mismatch {
            path: path.to_owned(),
            name: (*name).to_owned(),
            expected: format!("{:?}", parameter.shape()),
            found: format!("{:?} {:?}", view.dtype(), view.shape()),
        })?;
        read.push(values);
    }
    for (parameter, values) in engine.parameters_mut().iter_mut().zip(read) {
        parameter.as_mut_slice().iter_mut().zip(values).for_each(|(p, v)| *p = T::of(v));
    }
    Ok(())
}

fn to_bytes<T: Scalar>(tensor: &Tensor<T>, dtype: Dtype) -> Vec<u8> {
    let values = tensor.as_slice().iter().map(|x| x.f64());
    match dtype {
        Dtype::F64 => values.flat_map(f64::to_le_bytes).collect(),
        _ => values.flat_map(|x| (x as f32).to_le_bytes()).collect(),
    }
}

fn from_bytes(view: &TensorView<'_>) -> Option<Vec<f64>> {
    let data = view.data();
    match view.dtype() {
        Dtype::F64 => Some(data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
        Dtype::F32 => {
            Some(data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect())
        }
        _ => None,
    }
}
