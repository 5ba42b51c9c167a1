//! What the engine hands to a layer's mathematics: views of memory that it planned.
//!
//! The parts are public fields, so that a layer can read its inputs while it writes its gradients.

use std::ops::{Index, IndexMut, Range};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::memory::{Arrays, PackedWeights, Saved, Scratch, State, Weight};
use crate::array::tensor::Tensor;
use crate::sequence::{DistinctTokens, PackedSequence};

/// Where a port's array lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// An optional port that is not wired.
    Absent,
    /// This entry of the table of values.
    Value(usize),
    /// This entry of the table of token arrays.
    Tokens(usize),
    /// The different tokens of this entry, each once.
    Words(usize),
    /// This entry of the table of values, which has a row for each different word of a token array.
    Indexed {
        /// The entry of the table of values.
        value: usize,
        /// The entry of the table of token arrays.
        tokens: usize,
    },
    /// The node's only output, which holds the array until it is written over.
    Output,
}

impl Slot {
    /// The value that it reads, if it reads one.
    pub(crate) fn value(self) -> Option<usize> {
        match self {
            Slot::Value(at) | Slot::Indexed { value: at, .. } => Some(at),
            Slot::Absent | Slot::Tokens(_) | Slot::Words(_) | Slot::Output => None,
        }
    }
}

/// A node's inputs by port. `inputs[X]` is the array at port `X`.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T> {
    pub(crate) slots: &'a [Slot],
    pub(crate) values: &'a [Tensor<T>],
    pub(crate) tokens: &'a [Tokens],
}

/// An array of indices.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    pub(crate) all: Tensor<u32>,
    pub(crate) words: DistinctTokens,
    /// Whether anyone goes through different words in place of positions.
    pub(crate) counts_words: bool,
}

impl<'a, T> Inputs<'a, T> {
    /// The numbers at `port`, or `None` where an optional port is not wired.
    pub fn get(&self, port: usize) -> Option<&'a Tensor<T>> {
        Some(&self.values[self.slots.get(port)?.value()?])
    }

    /// For each position the row of the array at `port` that stands there; `None` where rows are positions.
    ///
    /// Only an operation that says it takes [`indexed`](super::form::Lowered::indexed) inputs meets an index.
    pub fn index(&self, port: usize) -> Option<&'a [u32]> {
        match self.slots.get(port)? {
            Slot::Indexed { tokens, .. } => Some(self.tokens[*tokens].words.index()),
            _ => None,
        }
    }

    /// The indices at `port`.
    ///
    /// # Panics
    /// When the layer did not declare the port as one of tokens.
    pub fn tokens(&self, port: usize) -> &'a [u32] {
        match self.slots[port] {
            Slot::Tokens(at) => self.tokens[at].all.as_slice(),
            Slot::Words(at) => self.tokens[at].words.distinct(),
            _ => panic!("port {port} is not declared as tokens"),
        }
    }

    /// How many inputs there are, left-out ones included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are no inputs.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl<T> Index<usize> for Inputs<'_, T> {
    type Output = Tensor<T>;
    fn index(&self, port: usize) -> &Tensor<T> {
        self.get(port).expect("a required port for numbers is wired")
    }
}

/// A node's parameters in the order of its plan.
#[derive(Debug, Clone, Copy)]
pub struct Parameters<'a, T> {
    pub(crate) ids: &'a [usize],
    pub(crate) table: &'a [Tensor<T>],
}

impl<T> Index<Weight> for Parameters<'_, T> {
    type Output = Tensor<T>;
    fn index(&self, at: Weight) -> &Tensor<T> {
        &self.table[self.ids[at.0]]
    }
}

/// An array of gradients that this pass may be the first to write.
///
/// What is not [`fresh`](Self::fresh) holds gradients of others, to be added to; a fresh one holds nothing of use.
#[derive(Debug)]
pub struct Gradient<'a, T> {
    /// The array.
    pub array: &'a mut Tensor<T>,
    /// Whether it is to be overwritten.
    pub fresh: bool,
}

/// The gradients of a node's parameters, to be added to.
///
/// Indexing gives an array that holds the sum so far, 0 at first; [`claim`](Self::claim) spares the zeros.
#[derive(Debug)]
pub struct ParameterGradients<'a, T> {
    pub(crate) ids: &'a [usize],
    pub(crate) table: &'a mut [Tensor<T>],
    pub(crate) fresh: &'a mut [bool],
}

impl<T: Copy + Default> ParameterGradients<'_, T> {
    /// The gradient of a parameter, to be overwritten or added to.
    pub fn claim(&mut self, at: Weight) -> Gradient<'_, T> {
        let id = self.ids[at.0];
        let fresh = std::mem::take(&mut self.fresh[id]);
        Gradient { array: &mut self.table[id], fresh }
    }
}

impl<T> Index<Weight> for ParameterGradients<'_, T> {
    type Output = Tensor<T>;
    fn index(&self, at: Weight) -> &Tensor<T> {
        &self.table[self.ids[at.0]]
    }
}

impl<T: Copy + Default> IndexMut<Weight> for ParameterGradients<'_, T> {
    fn index_mut(&mut self, at: Weight) -> &mut Tensor<T> {
        self.claim(at).or_zero()
    }
}

impl<'a, T: Copy + Default> Gradient<'a, T> {
    /// The array, holding the sum so far.
    pub fn or_zero(self) -> &'a mut Tensor<T> {
        if self.fresh {
            self.array.fill(T::default());
        }
        self.array
    }
}

/// The gradients of a node's inputs, to be added to.
#[derive(Debug)]
pub struct InputGradients<'a, T> {
    pub(crate) slots: &'a [Slot],
    pub(crate) wanted: &'a [bool],
    pub(crate) table: &'a mut [Tensor<T>],
    pub(crate) fresh: &'a mut [bool],
}

impl<T: Copy + Default> InputGradients<'_, T> {
    /// The gradient at `port`, holding the sum so far, or `None` where nobody wants it: the port is not wired, takes
    /// tokens, or nothing before it has parameters.
    pub fn get(&mut self, port: usize) -> Option<&mut Tensor<T>> {
        self.claim(port).map(Gradient::or_zero)
    }

    /// Whether somebody wants the gradient at `port`.
    pub fn wants(&self, port: usize) -> bool {
        let value = self.slots.get(port).and_then(|slot| slot.value());
        value.is_some_and(|at| self.wanted[at])
    }

    /// As [`get`](Self::get), to be overwritten or added to.
    pub fn claim(&mut self, port: usize) -> Option<Gradient<'_, T>> {
        let at = self.slots.get(port)?.value().filter(|at| self.wanted[*at])?;
        let fresh = std::mem::take(&mut self.fresh[at]);
        Some(Gradient { array: &mut self.table[at], fresh })
    }
}

/// Whether parameters are being trained or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A training step: noise such as dropout is on.
    Train {
        /// How many steps came before, so that each step draws other noise.
        iteration: u64,
    },
    /// Validation or sampling: no noise.
    Eval,
}

/// Random numbers for one node in one step: the same for the same seed, node and iteration, whatever else runs.
#[derive(Debug, Clone, Copy)]
pub struct Noise<'a> {
    pub(crate) seed: u64,
    pub(crate) iteration: u64,
    pub(crate) node: u64,
    /// For each row of the node's output its place, if rows are in another order than those of the batch.
    pub(crate) places: Option<&'a [usize]>,
    /// How many rows there are, where they are counted.
    pub(crate) rows: Option<usize>,
    /// Places are those above times the first, and the second beyond.
    pub(crate) spread: (usize, usize),
}

impl<'a> Noise<'a> {
    /// The noise of a node that computes the given rows of all steps, as these lie in an array of all of them.
    pub(crate) fn of_rows(self, node: u64, rows: Range<usize>) -> Noise<'a> {
        let count = Some(rows.len());
        Noise { node, places: self.places.map(|places| &places[rows]), rows: count, ..self }
    }

    /// The noise of a node that computes step `t` of `steps` of so many sequences, where each sequence's steps lie side by
    /// side.
    pub(crate) fn of_step(self, node: u64, sequences: usize, steps: usize, t: usize) -> Noise<'a> {
        let (stride, first) = self.spread;
        let spread = (stride * steps, first * steps + t);
        Noise { node, rows: Some(sequences), spread, ..self }
    }

    /// A generator at the start of this node's stream.
    pub fn rng(&self) -> ChaCha8Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&self.iteration.to_le_bytes());
        key[16..24].copy_from_slice(&self.node.to_le_bytes());
        ChaCha8Rng::from_seed(key)
    }

    /// Where row `row` of the node's output is among all rows of the batch, padding included. Noise that is drawn for this
    /// place is the same whether padding is left out or not.
    pub fn place(&self, row: usize) -> usize {
        let (stride, first) = self.spread;
        self.places.map_or(row, |places| places[row]) * stride + first
    }

    /// How many numbers a row of an output of so many numbers has. Rows in the batch's own order count as one.
    pub fn row_length(&self, numbers: usize) -> usize {
        let rows = self.rows.or(self.places.map(<[usize]>::len));
        rows.map_or(numbers, |rows| numbers / rows.max(1)).max(1)
    }
}

/// A forward pass through one node.
#[derive(Debug)]
pub struct Forward<'a, T> {
    /// What the node reads.
    pub inputs: Inputs<'a, T>,
    /// What it computes.
    pub outputs: &'a mut [Tensor<T>],
    /// Its parameters.
    pub parameters: Parameters<'a, T>,
    /// The parameters that it asked for in the order of kernels.
    pub packed: PackedWeights<'a, T>,
    /// How sequences lie in arrays with time, where padding is left out; `None` where arrays are as their shapes say.
    pub sequences: Option<&'a PackedSequence>,
    /// What its backward pass will find.
    pub saved: Arrays<'a, T, Saved>,
    /// Memory for this call.
    pub scratch: Arrays<'a, T, Scratch>,
    /// Training or not.
    pub mode: Mode,
    /// Random numbers of this node and step.
    pub noise: Noise<'a>,
}

/// Which gradients a backward pass is to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GradientRequest {
    /// Those of inputs and parameters.
    All,
    /// Those of inputs.
    Inputs,
    /// Those of parameters. Nobody wants those of inputs.
    Parameters,
}

/// A backward pass through one node.
#[derive(Debug)]
pub struct Backward<'a, T> {
    /// What the node read.
    pub inputs: Inputs<'a, T>,
    /// What it computed.
    pub outputs: &'a [Tensor<T>],
    /// The gradient of the objective with respect to each output.
    pub output_gradients: &'a [Tensor<T>],
    /// Its parameters.
    pub parameters: Parameters<'a, T>,
    /// The parameters that it asked for in the order of kernels.
    pub packed: PackedWeights<'a, T>,
    /// As in the forward pass.
    pub sequences: Option<&'a PackedSequence>,
    /// What its forward pass left; it may be overwritten.
    pub saved: Arrays<'a, T, Saved>,
    /// Memory for this call.
    pub scratch: Arrays<'a, T, Scratch>,
    /// To be added to.
    pub input_gradients: InputGradients<'a, T>,
    /// To be added to.
    pub parameter_gradients: ParameterGradients<'a, T>,
    /// Which gradients this call is about. Only a kernel that is
    /// [`separable`](super::form::Lowered::separable) is asked for some of them.
    pub requested: GradientRequest,
    /// That of the forward pass.
    pub mode: Mode,
    /// That of the forward pass.
    pub noise: Noise<'a>,
}

/// One time step through one node.
#[derive(Debug)]
pub struct Step<'a, T> {
    /// The step as a forward pass over a time of length 1.
    pub forward: Forward<'a, T>,
    /// What the step before left, in the order of the plan; zero at the first.
    pub state: Arrays<'a, T, State>,
    /// For each sequence the row of the state that it continues; `None` where it is its own. Every row is that of the
    /// first sequence that continues it or of one after it, and they are numbered in the order of these first
    /// sequences; rows beyond them hold nothing. Only a kernel that [`branches`](super::form::Lowered::branches) finds one.
    pub from: Option<&'a [usize]>,
    /// How many steps came before this one.
    pub at: usize,
    /// Whether this is the first step.
    pub first: bool,
}
