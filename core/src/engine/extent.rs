//! How much memory a symbolic shape takes once a batch is known.

use smallvec::SmallVec;

use crate::array::dim::{Dim, Symbol};
use crate::array::shape::{Shape, Sizes};
use crate::array::tensor::Tensor;
use crate::layer::context::Tokens;

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
    /// `[Time, Batch, ..]`, one more each step.
    Cache(Vec<usize>),
    /// `Batch` or `Time` in other places.
    Other(Vec<Part>),
}

/// One dimension of an array in which `Batch` or `Time` are in other places than the first.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Batch,
    Time,
    /// A size that is known.
    Known(usize),
    /// A sum or product with the batch or the time in it.
    Composed(Dim, Sizes),
}

/// What arrays have rows for.
pub(super) struct RowCounts<'a> {
    pub(super) batch: usize,
    pub(super) time: usize,
    /// The positions of all sequences, where padding is left out.
    pub(super) positions: Option<usize>,
    pub(super) tokens: &'a [Tokens],
}

impl Part {
    fn new(dim: Dim, sizes: &Sizes) -> Self {
        match sizes.resolve(dim) {
            _ if dim.is(Symbol::BATCH) => Part::Batch,
            _ if dim.is(Symbol::TIME) => Part::Time,
            Ok(size) => Part::Known(size),
            Err(_) => Part::Composed(dim, sizes.clone()),
        }
    }

    fn size(&self, batch: usize, time: usize) -> usize {
        match self {
            Part::Batch => batch,
            Part::Time => time,
            Part::Known(size) => *size,
            Part::Composed(dim, sizes) => {
                let sizes = sizes.clone().with(Symbol::BATCH, batch).with(Symbol::TIME, time);
                sizes.resolve(*dim).expect("every size is bound when an engine is made")
            }
        }
    }
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
            (Err(_), ..) => Extent::Other(dims.iter().map(|dim| Part::new(*dim, sizes)).collect()),
        }
    }

    /// The extent of what is carried from step to step, which grows with time if time is in its shape.
    ///
    /// # Panics
    /// When a size is not bound.
    pub(super) fn carried(shape: &Shape, words: Option<usize>, sizes: &Sizes) -> Self {
        if !shape.has(Symbol::TIME) {
            return Extent::new(shape, words, sizes);
        }
        let [time, batch, rest @ ..] = shape.dims() else { panic!("{shape} is [Time, Batch, ..]") };
        assert!(time.is(Symbol::TIME) && batch.is(Symbol::BATCH), "{shape} is [Time, Batch, ..]");
        let rest = Shape::new(rest.iter().copied()).resolve(sizes);
        Extent::Cache(rest.expect("every size is bound when an engine is made"))
    }

    /// Takes everything out of an array that grows with time.
    pub(super) fn empty<T: Copy + Default>(&self, tensor: &mut Tensor<T>, batch: usize) {
        if let Extent::Cache(rest) = self {
            tensor.reshape_rows(&[0, batch], rest);
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
            Extent::Cache(_) => 0,
            Extent::Other(parts) => parts.iter().map(|part| part.size(batch, time)).product(),
        }
    }

    /// Gives an array its shape.
    pub(super) fn bind<T: Copy + Default>(&self, tensor: &mut Tensor<T>, rows: &RowCounts<'_>) {
        // What is carried keeps what steps have added, and grows by itself.
        if !matches!(self, Extent::Cache(_)) {
            tensor.reshape(&self.shape(rows));
        }
    }

    /// Gives an array its shape in memory that is larger, and stays so.
    pub(super) fn occupy<T: Copy + Default>(&self, tensor: &mut Tensor<T>, rows: &RowCounts<'_>) {
        tensor.occupy(&self.shape(rows));
    }

    fn shape(&self, rows: &RowCounts<'_>) -> SmallVec<[usize; 8]> {
        let lead = |lead: &[usize], rest: &[usize]| lead.iter().chain(rest).copied().collect();
        match self {
            Extent::Fixed(rest) => lead(&[], rest),
            Extent::Sequences(rest) => lead(&[rows.batch], rest),
            Extent::Positions(rest) => match rows.positions {
                Some(positions) => lead(&[positions], rest),
                None => lead(&[rows.batch, rows.time], rest),
            },
            Extent::Words { tokens, rest } => {
                lead(&[rows.tokens[*tokens].words.distinct().len()], rest)
            }
            Extent::Cache(rest) => lead(&[0, rows.batch], rest),
            Extent::Other(parts) => {
                parts.iter().map(|part| part.size(rows.batch, rows.time)).collect()
            }
        }
    }
}
