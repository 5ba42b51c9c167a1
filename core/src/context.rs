//! What the engine hands to a layer's mathematics: views of memory that it planned.
//!
//! The parts are public fields, so that a layer can read its inputs while it writes its gradients.

use std::ops::{Index, IndexMut};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::tensor::Tensor;

/// Where a port's array lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// An optional port that is not wired.
    Absent,
    /// This entry of the table of values.
    Value(usize),
    /// This entry of the table of token arrays.
    Tokens(usize),
}

/// A node's inputs by port. `inputs[X]` is the array at port `X`.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a, T> {
    pub(crate) slots: &'a [Slot],
    pub(crate) values: &'a [Tensor<T>],
    pub(crate) tokens: &'a [Tensor<u32>],
}

impl<'a, T> Inputs<'a, T> {
    /// The numbers at `port`, or `None` where an optional port is not wired.
    pub fn get(&self, port: usize) -> Option<&'a Tensor<T>> {
        match self.slots.get(port)? {
            Slot::Value(at) => Some(&self.values[*at]),
            Slot::Absent | Slot::Tokens(_) => None,
        }
    }

    /// The indices at `port`.
    ///
    /// # Panics
    /// When the layer did not declare the port as one of tokens.
    pub fn tokens(&self, port: usize) -> &'a Tensor<u32> {
        match self.slots[port] {
            Slot::Tokens(at) => &self.tokens[at],
            Slot::Absent | Slot::Value(_) => panic!("port {port} is not declared as tokens"),
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

impl<T> Index<usize> for Parameters<'_, T> {
    type Output = Tensor<T>;
    fn index(&self, at: usize) -> &Tensor<T> {
        &self.table[self.ids[at]]
    }
}

/// The gradients of a node's parameters, to be added to.
#[derive(Debug)]
pub struct ParameterGradients<'a, T> {
    pub(crate) ids: &'a [usize],
    pub(crate) table: &'a mut [Tensor<T>],
}

impl<T> Index<usize> for ParameterGradients<'_, T> {
    type Output = Tensor<T>;
    fn index(&self, at: usize) -> &Tensor<T> {
        &self.table[self.ids[at]]
    }
}

impl<T> IndexMut<usize> for ParameterGradients<'_, T> {
    fn index_mut(&mut self, at: usize) -> &mut Tensor<T> {
        &mut self.table[self.ids[at]]
    }
}

/// The gradients of a node's inputs, to be added to.
#[derive(Debug)]
pub struct InputGradients<'a, T> {
    pub(crate) slots: &'a [Slot],
    pub(crate) wanted: &'a [bool],
    pub(crate) table: &'a mut [Tensor<T>],
}

impl<T> InputGradients<'_, T> {
    /// The gradient at `port`, or `None` where nobody wants it: the port is not wired, takes tokens, or nothing before
    /// it has parameters.
    pub fn get(&mut self, port: usize) -> Option<&mut Tensor<T>> {
        match *self.slots.get(port)? {
            Slot::Value(at) if self.wanted[at] => Some(&mut self.table[at]),
            _ => None,
        }
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
pub struct Noise {
    pub(crate) seed: u64,
    pub(crate) iteration: u64,
    pub(crate) node: u64,
}

impl Noise {
    /// A generator at the start of this node's stream.
    pub fn rng(&self) -> ChaCha8Rng {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&self.iteration.to_le_bytes());
        key[16..24].copy_from_slice(&self.node.to_le_bytes());
        ChaCha8Rng::from_seed(key)
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
    /// What its backward pass will find.
    pub saved: &'a mut [Tensor<T>],
    /// Memory for this call.
    pub scratch: &'a mut [Tensor<T>],
    /// Training or not.
    pub mode: Mode,
    /// Random numbers of this node and step.
    pub noise: Noise,
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
    /// What its forward pass left; it may be overwritten.
    pub saved: &'a mut [Tensor<T>],
    /// Memory for this call.
    pub scratch: &'a mut [Tensor<T>],
    /// To be added to.
    pub input_gradients: InputGradients<'a, T>,
    /// To be added to.
    pub parameter_gradients: ParameterGradients<'a, T>,
    /// That of the forward pass.
    pub mode: Mode,
    /// That of the forward pass.
    pub noise: Noise,
}

/// One time step through one node.
#[derive(Debug)]
pub struct Step<'a, T> {
    /// The step as a forward pass over a time of length 1.
    pub forward: Forward<'a, T>,
    /// What the step before left, in the order of the plan; zero at the first.
    pub state: &'a mut [Tensor<T>],
    /// Whether this is the first step.
    pub first: bool,
}
