//! How much memory a symbolic shape takes once a batch is known.

use super::memory::Rows;
use crate::dim::Symbol;
use crate::shape::{Shape, Sizes};
use crate::tensor::Tensor;

/// A shape with every size bound but those of the batch.
#[derive(Debug, Clone)]
pub(super) enum Extent {
    /// No size of the batch is in it.
    Fixed(Vec<usize>),
    /// `[Batch, ..]`.
    Sequences(Vec<usize>),
    /// `[Batch, Time, ..]`.
    Positions(Vec<usize>),
    /// A row for each different word of a token array.
    Words {
        /// The entry of the table of tokens.
        tokens: usize,
        /// The shape of a row.
        rest: Vec<usize>,
    },
    /// `Batch` or `Time` in other places.
    Other(Shape, Sizes),
}

impl Extent {
    /// The extent of an array; `words` names the token array whose different words stand for its positions.
    ///
    /// # Panics
    /// When a size is not bound, which an engine rules out when it is made.
    pub(super) fn new(shape: &Shape, words: Option<usize>, sizes: &Sizes) -> Self {
        let dims = shape.dims();
        let lead = shape.batch_lead();
        let rest = Shape::new(dims[lead..].iter().copied());
        match (rest.resolve(sizes), lead, words) {
            (Ok(rest), 2, Some(tokens)) => Extent::Words { tokens, rest },
            (Ok(rest), 2, None) => Extent::Positions(rest),
            (Ok(rest), 1, _) => Extent::Sequences(rest),
            (Ok(rest), ..) => Extent::Fixed(rest),
            (Err(_), ..) => Extent::Other(shape.clone(), sizes.clone()),
        }
    }

    /// The most elements that it has for a batch of this size and time.
    pub(super) fn most(&self, batch: usize, time: usize) -> usize {
        let size = |rest: &[usize]| rest.iter().product::<usize>();
        match self {
            Extent::Fixed(rest) => size(rest),
            Extent::Sequences(rest) => batch * size(rest),
            Extent::Positions(rest) => batch * time * size(rest),
            Extent::Words { rest, .. } => batch * time * size(rest),
            Extent::Other(shape, sizes) => size(&resolved(shape, sizes, batch, time)),
        }
    }

    /// Gives an array its shape.
    pub(super) fn bind<T: Copy + Default>(&self, tensor: &mut Tensor<T>, rows: &Rows<'_>) {
        match self {
            Extent::Fixed(rest) => tensor.reshape(rest),
            Extent::Sequences(rest) => tensor.reshape_rows(&[rows.batch], rest),
            Extent::Positions(rest) => match rows.positions {
                Some(positions) => tensor.reshape_rows(&[positions], rest),
                None => tensor.reshape_rows(&[rows.batch, rows.time], rest),
            },
            Extent::Words { tokens, rest } => {
                let words = rows.tokens[*tokens].words.distinct().len();
                tensor.reshape_rows(&[words], rest);
            }
            Extent::Other(shape, sizes) => {
                tensor.reshape(&resolved(shape, sizes, rows.batch, rows.time));
            }
        }
    }
}

fn resolved(shape: &Shape, sizes: &Sizes, batch: usize, time: usize) -> Vec<usize> {
    let sizes = sizes.clone().with(Symbol::BATCH, batch).with(Symbol::TIME, time);
    shape.resolve(&sizes).expect("every size is bound when an engine is made")
}
