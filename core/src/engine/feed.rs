//! From a batch's named arrays into a graph's inputs, checked on the way.

use super::memory::Memory;
use crate::array::batch::{Array, Batch, Elements};
use crate::array::dim::Symbol;
use crate::array::shape::{Shape, Sizes};
use crate::graph::{CountedInput, InputPlan, Plan};
use crate::layer::context::Slot;
use crate::scalar::Scalar;
use crate::sequence::PackedSequence;

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
    /// More steps than a node can tell apart.
    #[error(
        "node `{node}` takes sequences of at most {most} steps, and there are {found}; raise its `{field}`, or make the sequences shorter"
    )]
    TooLong {
        /// The node.
        node: String,
        /// The field of its layer that says how many steps there can be.
        field: &'static str,
        /// How many there can be.
        most: usize,
        /// How many there are.
        found: usize,
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
    let (rows, steps) = (rows.unwrap_or(default_batch), steps.unwrap_or(default_time));
    fit_time(plan, steps)?;
    arrange(memory, plan, batch, (rows, steps))?;
    for (_, input) in inputs().filter(|(_, input)| input.is_tokens()) {
        copy_tokens(memory, input, array(batch, input)?, sizes)?;
    }
    memory.bind(rows, steps);
    for (_, input) in inputs().filter(|(_, input)| !input.is_tokens()) {
        copy_numbers(memory, input, array(batch, input)?)?;
    }
    Ok(())
}

/// Whether no node takes fewer steps than that.
pub(super) fn fit_time(plan: &Plan, found: usize) -> Result<(), FeedError> {
    let limits = plan.nodes.iter().filter_map(|node| Some((node, node.longest?)));
    for (node, (field, most)) in limits {
        if found > most {
            return Err(FeedError::TooLong { node: node.name.clone(), field, most, found });
        }
    }
    Ok(())
}

/// Arranges the sequences by where their last counted position is.
fn arrange<T: Scalar>(
    memory: &mut Memory<T>,
    plan: &Plan,
    batch: &Batch,
    (rows, time): (usize, usize),
) -> Result<(), FeedError> {
    let (Some(steps), Some(counts)) = (&mut memory.steps, &plan.arranged) else { return Ok(()) };
    memory.lengths.clear();
    memory.lengths.resize(rows, if counts.is_empty() { time } else { 0 });
    for counted in counts {
        let (slot, ignore) = match *counted {
            CountedInput::Tokens { at, ignore } => (Slot::Tokens(at), ignore),
            CountedInput::Mask(at) => (Slot::Value(at), None),
        };
        let input = plan.inputs.iter().find(|input| input.slot == slot);
        let Some(input) = input else { continue };
        let counts = |at: usize| match array(batch, input).map(Array::elements) {
            Ok(Elements::Tokens(tokens)) => Some(tokens[at]) != ignore,
            Ok(Elements::F32(mask)) => mask[at] != 0.0,
            Ok(Elements::F64(mask)) => mask[at] != 0.0,
            Err(_) => true,
        };
        for (sequence, length) in memory.lengths.iter_mut().enumerate() {
            let last = (*length..time).rev().find(|t| counts(sequence * time + t));
            *length = last.map_or(*length, |t| t + 1);
        }
    }
    steps.arrange(&memory.lengths, time);
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

/// Calls `copy` with each row of an input's array in memory and the row of the batch's array that belongs there.
fn for_each_row(
    input: &InputPlan,
    steps: Option<&PackedSequence>,
    mut copy: impl FnMut(usize, usize),
) {
    match (steps, input.has_time()) {
        (None, _) => copy(0, 0),
        (Some(steps), false) => {
            steps.order().iter().enumerate().for_each(|(row, from)| copy(row, *from));
        }
        (Some(steps), true) => {
            steps.places().iter().enumerate().for_each(|(row, from)| copy(row, *from));
        }
    }
}

/// How many elements a row has; all of them where rows keep their order.
fn row_length(input: &InputPlan, shape: &[usize], steps: Option<&PackedSequence>) -> usize {
    let lead = match steps {
        None => 0,
        Some(_) => 1 + usize::from(input.has_time()),
    };
    shape[lead..].iter().product()
}

fn copy_numbers<T: Scalar>(
    memory: &mut Memory<T>,
    input: &InputPlan,
    array: &Array,
) -> Result<(), FeedError> {
    let Slot::Value(at) = input.slot else { return Ok(()) };
    let (shape, steps) = (array.shape(), memory.steps.as_ref());
    let length = row_length(input, shape, steps);
    let to = memory.values[at].as_mut_slice();
    macro_rules! copy {
        ($elements:expr, $convert:expr) => {
            for_each_row(input, steps, |row, from| {
                let to = to[row * length..][..length].iter_mut();
                to.zip(&$elements[from * length..][..length])
                    .for_each(|(to, x)| *to = $convert(*x));
            })
        };
    }
    match array.elements() {
        Elements::F32(elements) => copy!(elements, |x| T::of(f64::from(x))),
        Elements::F64(elements) => copy!(elements, T::of),
        Elements::Tokens(_) => return Err(wrong_kind(input, "numbers", "vocabulary indices")),
    }
    Ok(())
}

fn copy_tokens<T: Scalar>(
    memory: &mut Memory<T>,
    input: &InputPlan,
    array: &Array,
    sizes: &Sizes,
) -> Result<(), FeedError> {
    let Slot::Tokens(at) = input.slot else { return Ok(()) };
    let Elements::Tokens(elements) = array.elements() else {
        return Err(wrong_kind(input, "vocabulary indices", "numbers"));
    };
    let limits = input.below.iter().filter_map(|dim| sizes.resolve(*dim).ok());
    let vocabulary = limits.min();
    let limit = vocabulary.unwrap_or(usize::MAX);
    if let Some(bad) = elements.iter().position(|token| *token as usize >= limit) {
        let per_row = elements.len() / array.shape().first().copied().unwrap_or(1).max(1);
        return Err(FeedError::Token {
            input: input.name.clone(),
            row: bad / per_row.max(1),
            token: elements[bad],
            limit,
        });
    }
    let tokens = &mut memory.tokens[at];
    let steps = memory.steps.as_ref();
    match steps.filter(|_| input.has_time()) {
        Some(steps) => {
            tokens.all.reserve(elements.len());
            tokens.all.reshape_rows(&[steps.rows()], &array.shape()[2..]);
        }
        None => tokens.all.reshape(array.shape()),
    }
    let length = row_length(input, array.shape(), steps);
    let to = tokens.all.as_mut_slice();
    for_each_row(input, steps, |row, from| {
        to[row * length..][..length].copy_from_slice(&elements[from * length..][..length]);
    });
    if tokens.counts_words {
        tokens.words.reserve(elements.len(), vocabulary.unwrap_or(0));
        tokens.words.collect(tokens.all.as_slice());
    }
    Ok(())
}

fn wrong_kind(input: &InputPlan, expected: &'static str, found: &'static str) -> FeedError {
    FeedError::Kind { input: input.name.clone(), expected, found }
}
