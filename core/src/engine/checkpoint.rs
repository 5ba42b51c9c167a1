//! What training changes, as bytes in the safetensors format: names, shapes and numbers, readable by other tools.
//!
//! Whoever keeps the bytes says where they came from, so that messages can name the file.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::carried::Carried;
use super::network::Engine;
use super::update::Updater;
use crate::array::tensor::Tensor;
use crate::graph::nearest;
use crate::scalar::{Precision, Scalar};

/// Arrays that are not those of the network.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is not a safetensors file, or is damaged.
    #[error("{} is no readable safetensors file: {error}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        error: safetensors::SafeTensorError,
    },
    /// The network has an array that the file lacks.
    #[error("{} has no parameter `{name}`{hint}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The graph's parameter.
        name: String,
        /// The nearest name in the file.
        hint: String,
    },
    /// The file has an array that the network lacks.
    #[error("{} has the parameter `{name}`, which the graph has not{hint}", path.display())]
    LeftOver {
        /// The file.
        path: PathBuf,
        /// The file's parameter.
        name: String,
        /// The nearest name in the graph.
        hint: String,
    },
    /// An array of another shape or number type.
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

/// All parameters, by name. The same parameters give the same bytes.
pub fn parameters<T: Scalar>(engine: &Engine<T>) -> Vec<u8> {
    let names = engine.plan().parameters.iter().map(|parameter| parameter.name.clone());
    let arrays = names.zip(engine.parameters()).map(|(name, p)| (name, p.shape(), p.as_slice()));
    encode(arrays.collect())
}

/// Takes all parameters from the bytes of `path`. Nothing is changed unless everything fits.
///
/// # Errors
/// When they are no safetensors file, or its names and shapes are not exactly the network's.
pub fn set_parameters<T: Scalar>(
    engine: &mut Engine<T>,
    bytes: &[u8],
    path: &Path,
) -> Result<(), CheckpointError> {
    let file = File::read(bytes, path)?;
    let plan = engine.plan().clone();
    let wanted: Vec<&str> = plan.parameters.iter().map(|p| p.name.as_str()).collect();
    file.has_no_more_than(&wanted)?;
    let shaped = wanted.iter().zip(engine.parameters());
    let read =
        shaped.map(|(name, p)| file.array(name, p.shape())).collect::<Result<Vec<_>, _>>()?;
    for (parameter, values) in engine.parameters_mut().iter_mut().zip(read) {
        fill(parameter.as_mut_slice(), &values);
    }
    Ok(())
}

/// What a network could take from a file of parameters, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Parameters that the network has taken.
    pub taken: Vec<String>,
    /// Parameters of another shape in the file: the name, the network's shape, the file's.
    pub differing: Vec<(String, Vec<usize>, Vec<usize>)>,
    /// Parameters that the file lacks, with the nearest name that it has.
    pub missing: Vec<(String, Option<String>)>,
    /// The file's arrays that the network has no parameter for.
    pub left_over: Vec<String>,
}

/// Takes those parameters from the bytes of `path` that have the network's name and shape; others stay as they are.
///
/// # Errors
/// When they are no safetensors file.
pub fn adopt_parameters<T: Scalar>(
    engine: &mut Engine<T>,
    bytes: &[u8],
    path: &Path,
) -> Result<Adopted, CheckpointError> {
    let file = File::read(bytes, path)?;
    let mut adopted = Adopted::default();
    let plan = engine.plan().clone();
    for (parameter, tensor) in plan.parameters.iter().zip(engine.parameters_mut()) {
        let name = &parameter.name;
        match (file.array(name, tensor.shape()), file.tensors.tensor(name)) {
            (Ok(values), _) => {
                fill(tensor.as_mut_slice(), &values);
                adopted.taken.push(name.clone());
            }
            (Err(_), Ok(view)) => {
                let shapes = (tensor.shape().to_vec(), view.shape().to_vec());
                adopted.differing.push((name.clone(), shapes.0, shapes.1));
            }
            (Err(_), Err(_)) => {
                let near = nearest(name, file.names()).map(str::to_owned);
                adopted.missing.push((name.clone(), near));
            }
        }
    }
    let known = |name: &&str| plan.parameter(name).is_some();
    adopted.left_over =
        file.names().into_iter().filter(|name| !known(name)).map(str::to_owned).collect();
    Ok(adopted)
}

/// The numbers that an update rule keeps, each array called after its parameter and its slot: `hidden.wx/m`.
pub fn slots<T: Scalar>(updater: &Updater<T>, engine: &Engine<T>) -> Vec<u8> {
    let shapes = engine.parameters().iter().map(Tensor::shape);
    let arrays = slot_names(updater, engine).into_iter().zip(shapes).zip(&updater.slots);
    let arrays = arrays.flat_map(|((names, shape), slots)| {
        names.into_iter().zip(slots).map(move |(name, slot)| (name, shape, slot.as_slice()))
    });
    encode(arrays.collect())
}

/// Takes what [`slots`] has written, after so many steps.
///
/// # Errors
/// When the bytes are no safetensors file, or its names and shapes are not exactly those of the rule.
pub fn set_slots<T: Scalar>(
    updater: &mut Updater<T>,
    steps: u64,
    engine: &Engine<T>,
    bytes: &[u8],
    path: &Path,
) -> Result<(), CheckpointError> {
    let file = File::read(bytes, path)?;
    let names = slot_names(updater, engine);
    file.has_no_more_than(&names.iter().flatten().map(String::as_str).collect::<Vec<_>>())?;
    let mut read = Vec::new();
    for (names, parameter) in names.iter().zip(engine.parameters()) {
        for name in names {
            read.push(file.array(name, parameter.shape())?);
        }
    }
    updater.steps = steps;
    for (slot, values) in updater.slots.iter_mut().flatten().zip(read) {
        fill(slot, &values);
    }
    Ok(())
}

/// For each parameter the names of its slots.
fn slot_names<T: Scalar>(updater: &Updater<T>, engine: &Engine<T>) -> Vec<Vec<String>> {
    let slots = updater.rule.slots();
    let of = |name: &str| slots.iter().map(|slot| format!("{name}/{slot}")).collect();
    engine.plan().parameters.iter().map(|parameter| of(&parameter.name)).collect()
}

/// What is carried from batch to batch, each array called after its input; `None` for a graph that carries nothing.
pub fn carried<T: Scalar>(engine: &Engine<T>) -> Option<Vec<u8>> {
    let names = carried_inputs(engine);
    let arrays = engine.carried.arrays.iter().filter(|_| engine.carried.begun);
    let arrays = names.iter().cloned().zip(arrays).map(|(name, a)| (name, a.shape(), a.as_slice()));
    (!names.is_empty()).then(|| encode(arrays.collect()))
}

/// Takes what [`carried`] has written.
///
/// # Errors
/// When the bytes are no safetensors file, or its names and shapes are not exactly those of what the graph carries.
pub fn set_carried<T: Scalar>(
    engine: &mut Engine<T>,
    bytes: &[u8],
    path: &Path,
) -> Result<(), CheckpointError> {
    let file = File::read(bytes, path)?;
    let names = carried_inputs(engine);
    file.has_no_more_than(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut carried = Carried { arrays: Vec::new(), begun: !file.tensors.is_empty() };
    for (name, carry) in names.iter().zip(&engine.program.carries).filter(|_| carried.begun) {
        let mut shape = engine.program.values[carry.value].shape.dims().iter();
        let rows = file.tensors.tensor(name).ok().and_then(|view| view.shape().first().copied());
        let rest = shape.by_ref().skip(1).map(|dim| engine.sizes.resolve(*dim));
        let rest = rest.map(|size| size.expect("every size is bound when an engine is made"));
        let shape: Vec<usize> = [rows.unwrap_or(1)].into_iter().chain(rest).collect();
        let values = file.array(name, &shape)?.into_iter().map(T::of).collect();
        carried.arrays.push(Tensor::from_vec(&shape, values).expect("an array of this shape"));
    }
    engine.carried = carried;
    Ok(())
}

/// The names of the inputs that are carried, in the order of the plan's carries.
fn carried_inputs<T: Scalar>(engine: &Engine<T>) -> Vec<String> {
    let values = engine.program.carries.iter().map(|carry| &engine.program.values[carry.input]);
    values.map(|value| value.name.clone()).collect()
}

fn fill<T: Scalar>(to: &mut [T], values: &[f64]) {
    to.iter_mut().zip(values).for_each(|(to, value)| *to = T::of(*value));
}

/// The bytes of a safetensors file with these arrays: name, shape, elements.
fn encode<T: Scalar>(arrays: Vec<(String, &[usize], &[T])>) -> Vec<u8> {
    let dtype = match T::PRECISION {
        Precision::F32 => Dtype::F32,
        Precision::F64 => Dtype::F64,
    };
    let bytes: Vec<Vec<u8>> = arrays.iter().map(|(_, _, values)| to_bytes(values, dtype)).collect();
    let views = arrays.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        let view = TensorView::new(dtype, shape.to_vec(), bytes);
        (name, view.expect("the bytes are those of the shape"))
    });
    safetensors::serialize(views, None).expect("names differ, and lengths are those of the shapes")
}

fn to_bytes<T: Scalar>(values: &[T], dtype: Dtype) -> Vec<u8> {
    let values = values.iter().map(|x| x.f64());
    match dtype {
        Dtype::F64 => values.flat_map(f64::to_le_bytes).collect(),
        _ => values.flat_map(|x| (x as f32).to_le_bytes()).collect(),
    }
}

/// A safetensors file in memory.
struct File<'a> {
    tensors: SafeTensors<'a>,
    path: &'a Path,
}

impl<'a> File<'a> {
    fn read(bytes: &'a [u8], path: &'a Path) -> Result<Self, CheckpointError> {
        let tensors = SafeTensors::deserialize(bytes);
        let format = |error| CheckpointError::Format { path: path.to_owned(), error };
        Ok(File { tensors: tensors.map_err(format)?, path })
    }

    /// The names of its arrays, sorted.
    fn names(&self) -> Vec<&str> {
        let mut names = self.tensors.names();
        names.sort_unstable();
        names
    }

    fn has_no_more_than(&self, wanted: &[&str]) -> Result<(), CheckpointError> {
        let known: HashSet<&str> = wanted.iter().copied().collect();
        match self.names().into_iter().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => Err(CheckpointError::LeftOver {
                path: self.path.to_owned(),
                name: name.to_owned(),
                hint: hint(nearest(name, wanted.iter().copied())),
            }),
        }
    }

    /// The elements of an array of this shape.
    fn array(&self, name: &str, shape: &[usize]) -> Result<Vec<f64>, CheckpointError> {
        let view = self.tensors.tensor(name).map_err(|_| CheckpointError::Missing {
            path: self.path.to_owned(),
            name: name.to_owned(),
            hint: hint(nearest(name, self.names())),
        })?;
        let values = from_bytes(&view).filter(|_| view.shape() == shape);
        values.ok_or_else(|| CheckpointError::Mismatch {
            path: self.path.to_owned(),
            name: name.to_owned(),
            expected: format!("{shape:?}"),
            found: format!("{:?} {:?}", view.dtype(), view.shape()),
        })
    }
}

fn hint(near: Option<&str>) -> String {
    near.map_or(String::new(), |near| format!("; the nearest is `{near}`"))
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
