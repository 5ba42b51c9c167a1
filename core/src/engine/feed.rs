//! From a batch's named arrays into a graph's inputs, checked on the way.

use super::memory::Memory;
use crate::batch::{Array, Batch, Elements};
use crate::context::Slot;
use crate::dim::Symbol;
use crate::graph::{InputPlan, Plan};
use crate::scalar::Scalar;
use crate::shape::{Shape, Sizes};

/// A batch that does not fit a graph's inputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// The graph reads an input that the batch does not have.
    #[error(
        "the graph reads the input `{input}`, and the data has none of that name; it has: {found}"
    )]
    Missing {
        /// The graph's input.
        input: String,
        /// The names in the batch.
        found: String,
    },
    /// Numbers where tokens were expected, or tokens where numbers were.
    #[error("input `{input}` takes {expected}, the data has {found}")]
    Kind {
        /// The graph's input.
        input: String,
        /// `numbers` or `vocabulary indices`.
        expected: &'static str,
        /// The other of the two.
        found: &'static str,
    },
    /// An array of another shape.
    #[error("input `{input}`: expected the shape {expected}, found {found:?}")]
    Shape {
        /// The graph's input.
        input: String,
        /// The symbolic shape, with what is bound.
        expected: String,
        /// The array's shape.
        found: Vec<usize>,
    },
    /// An index that is too large for what it indexes.
    #[error("input `{input}`, row {row}: the index {token} is out of range, expected 0 to {}", limit - 1)]
    Token {
        /// The graph's input.
        input: String,
        /// The row of the batch.
        row: usize,
        /// The index.
        token: u32,
        /// The first index that is out of range.
        limit: usize,
    },
}

/// Binds the arrays to the batch and time of the inputs that pass the filter, and copies those inputs in.
pub(super) fn feed<T: Scalar>(
    memory: &mut Memory<T>,
    plan: &Plan,
    sizes: &Sizes,
    batch: &Batch,
    (default_batch, default_time): (usize, usize),
    wanted: impl Fn(usize, &InputPlan) -> bool,
) -> Result<(), FeedError> {
    let (mut rows, mut steps) = (None, None);
    let inputs = || plan.inputs.iter().enumerate().filter(|(at, input)| wanted(*at, input));
    for (_, input) in inputs() {
        let array = array(batch, input)?;
        fit(input, array, sizes, &mut rows, &mut steps)?;
    }
    memory.bind(plan, sizes, rows.unwrap_or(default_batch), steps.unwrap_or(default_time));
    for (_, input) in inputs() {
        copy(memory, input, array(batch, input)?, sizes)?;
    }
    Ok(())
}

fn array<'a>(batch: &'a Batch, input: &InputPlan) -> Result<&'a Array, FeedError> {
    batch.get(&input.name).ok_or_else(|| {
        let names: Vec<String> = batch.iter().map(|(name, _)| format!("`{name}`")).collect();
        FeedError::Missing { input: input.name.clone(), found: names.join(", ") }
    })
}

/// Compares an array with its input's shape; the first one seen settles the batch and the time.
fn fit(
    input: &InputPlan,
    array: &Array,
    sizes: &Sizes,
    rows: &mut Option<usize>,
    steps: &mut Option<usize>,
) -> Result<(), FeedError> {
    let dims = input.shape.dims();
    let fits = dims.len() == array.shape().len()
        && !array.shape().contains(&0)
        && dims.iter().zip(array.shape()).all(|(dim, &found)| {
            if dim.is(Symbol::BATCH) {
                *rows.get_or_insert(found) == found
            } else if dim.is(Symbol::TIME) {
                *steps.get_or_insert(found) == found
            } else {
                sizes.resolve(*dim) == Ok(found)
            }
        });
    if fits {
        return Ok(());
    }
    let mut known = sizes.clone();
    rows.iter().for_each(|n| known.set(Symbol::BATCH, *n));
    steps.iter().for_each(|n| known.set(Symbol::TIME, *n));
    Err(FeedError::Shape {
        input: input.name.clone(),
        expected: Shape::new(dims.iter().map(|dim| known.bind(*dim))).to_string(),
        found: array.shape().to_vec(),
    })
}

fn copy<T: Scalar>(
    memory: &mut Memory<T>,
    input: &InputPlan,
    array: &Array,
    sizes: &Sizes,
) -> Result<(), FeedError> {
    let wrong =
        |expected, found| Err(FeedError::Kind { input: input.name.clone(), expected, found });
    match (input.slot, array.elements()) {
        (Slot::Value(at), Elements::F32(elements)) => {
            let to = memory.values[at].as_mut_slice().iter_mut();
            to.zip(elements).for_each(|(to, from)| *to = T::of(f64::from(*from)));
            Ok(())
        }
        (Slot::Value(at), Elements::F64(elements)) => {
            let to = memory.values[at].as_mut_slice().iter_mut();
            to.zip(elements).for_each(|(to, from)| *to = T::of(*from));
            Ok(())
        }
        (Slot::Tokens(at), Elements::Tokens(elements)) => {
            let limits = input.below.iter().filter_map(|dim| sizes.resolve(*dim).ok());
            let limit = limits.min().unwrap_or(usize::MAX);
            if let Some(bad) = elements.iter().position(|token| *token as usize >= limit) {
                let per_row = elements.len() / array.shape().first().copied().unwrap_or(1).max(1);
                return Err(FeedError::Token {
                    input: input.name.clone(),
                    row: bad / per_row.max(1),
                    token: elements[bad],
                    limit,
                });
            }
            memory.tokens[at].reshape(array.shape());
            memory.tokens[at].as_mut_slice().copy_from_slice(elements);
            Ok(())
        }
        (Slot::Tokens(_), _) => wrong("vocabulary indices", "numbers"),
        (Slot::Value(_) | Slot::Absent, _) => wrong("numbers", "vocabulary indices"),
    }
}
