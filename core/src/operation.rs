//! What a layer says about its mathematics so that a plan can be rewritten: see [`passes`](crate::graph::passes).
//!
//! Everything here is optional. A layer that says nothing is run as it is written.

use std::fmt::Debug;
use std::sync::Arc;

use crate::layer::{Kernel, LayerPlan};
use crate::pointwise::{Columns, Function};

/// Mathematics in every precision: what a node of a plan runs. Every type with both kernels is one.
pub trait Operation: Kernel<f32> + Kernel<f64> + Debug + Send + Sync {}

impl<K: Kernel<f32> + Kernel<f64> + Debug + Send + Sync> Operation for K {}

/// What an output at one position of a sequence depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// On anything.
    #[default]
    Whole,
    /// On the inputs at this position and those before it, in arrays as [`Steps`](crate::Steps) arranges them as well
    /// as in full ones. An array without time is one position of each sequence, that of all its steps.
    Past,
    /// On the inputs at this position, and on where it is: noise is drawn for it.
    Position,
    /// On the inputs at this position alone: equal inputs give equal outputs.
    Row,
}

/// Which positions influence an objective, or whatever else goes over whole sequences and takes them in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The port with the targets.
    pub targets: usize,
    /// The target whose positions do not count.
    pub ignore: Option<u32>,
    /// The port with a mask. Where it is wired, it decides alone: what is 0 does not count.
    pub mask: usize,
}

/// Other mathematics for all or some of a node, over some of the node's parameters.
#[derive(Debug, Clone)]
pub struct Part {
    pub(crate) operation: Arc<dyn Operation>,
    pub(crate) plan: LayerPlan,
    pub(crate) parameters: Vec<usize>,
}

impl Part {
    /// An operation that takes memory as `plan` says and uses these of the node's parameters, by their order in the
    /// layer's own plan.
    pub fn new(
        operation: impl Operation + 'static,
        plan: LayerPlan,
        parameters: impl Into<Vec<usize>>,
    ) -> Self {
        Part { operation: Arc::new(operation), plan, parameters: parameters.into() }
    }
}

/// A node as two: what needs only one of its inputs, row by row, and the rest.
#[derive(Debug, Clone)]
pub struct Split {
    /// Reads the node's first port.
    pub(crate) before: Part,
    /// Reads what `before` computes in place of it, and the node's other ports.
    pub(crate) after: Part,
}

/// Weights in the order in which kernels read them, kept by the engine and renewed when they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Which of the operation's parameters.
    pub parameter: usize,
    /// Whether kernels multiply by the transpose.
    pub transposed: bool,
    /// How many blocks of columns there are, such as the gates of a cell; 1 for none. See [`Cut`](crate::panels::Cut).
    pub gates: usize,
}

/// What a layer does to the channels of its only port, the second dimension, when it is not trained: see
/// [`scales_channels`](LayerPlan::scales_channels).
pub trait ChannelMap: Debug + Send + Sync {
    /// For each channel s and t of x s + t, from the layer's parameters in their order.
    fn scale_and_shift(&self, parameters: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>);
}

/// Everything that a layer says to passes.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    pub(crate) reach: Reach,
    pub(crate) counted: Option<Counted>,
    pub(crate) affine: bool,
    pub(crate) indexed: Vec<usize>,
    pub(crate) lookup: bool,
    pub(crate) branches: bool,
    pub(crate) separable: bool,
    /// Whether an output is what a sequence ends with, wherever its array ends.
    pub(crate) at_end: bool,
    pub(crate) any_lead: bool,
    pub(crate) pointwise: Option<Arc<dyn Function>>,
    pub(crate) columns: Option<Columns>,
    pub(crate) looped: Option<Box<Part>>,
    pub(crate) starts: Vec<usize>,
    pub(crate) whole: Vec<usize>,
    pub(crate) longest: Option<(&'static str, usize)>,
    pub(crate) split: Option<Box<Split>>,
    pub(crate) fused: Option<Box<Part>>,
    pub(crate) packed_weights: Option<Box<Part>>,
    pub(crate) over_affine: Option<Box<Part>>,
    pub(crate) packings: Vec<Packing>,
    pub(crate) packed_alone: bool,
    pub(crate) per_channel: Option<Box<Part>>,
    pub(crate) scales_channels: Option<Arc<dyn ChannelMap>>,
    pub(crate) rectified: Option<Box<Part>>,
    pub(crate) rectifies: bool,
    pub(crate) view: bool,
    /// The ports whose arrays the only output can be written over: each number is read before the one in its place is
    /// written. Such an operation finds what it is to write over in the output.
    pub(crate) over: Vec<usize>,
}

impl LayerPlan {
    /// Says what an output depends on.
    pub fn reach(mut self, reach: Reach) -> Self {
        self.hints.reach = reach;
        self
    }

    /// Says that the output is `x w + b`, x the only port, w and b the first parameters, `b` perhaps left out.
    pub fn affine(mut self) -> Self {
        self.hints.affine = true;
        self
    }

    /// Says that the output is made of rows of a parameter, one for each index at the only port.
    pub fn lookup(mut self) -> Self {
        self.hints.lookup = true;
        self
    }

    /// Says that `port` may hold each different row once, with an index that says which of them stands where: see
    /// [`Inputs::index`](crate::context::Inputs::index).
    pub fn indexed(mut self, port: usize) -> Self {
        self.hints.indexed.push(port);
        self
    }

    /// Says that several sequences can go on from one: see [`Step::from`](crate::Step::from).
    pub fn branches(mut self) -> Self {
        self.hints.branches = true;
        self
    }

    /// Says that the gradients of parameters are sums over rows, so that those of many calls are one sum over all their
    /// rows, and that the backward pass heeds what it is [`asked`](crate::Backward::asked).
    pub fn separable(mut self) -> Self {
        self.hints.separable = true;
        self
    }

    /// Says that dimensions before the last of every input and output may be others, as long as all have the same: the
    /// mathematics is that of rows.
    pub fn any_lead(mut self) -> Self {
        self.hints.any_lead = true;
        self
    }

    /// Says that the output is this function of all inputs, element by element: it may be computed together with others
    /// of its kind.
    pub fn pointwise(mut self, function: impl Function + 'static) -> Self {
        self.hints.pointwise = Some(Arc::new(function));
        self
    }

    /// Says that the output is made of these columns of the only input.
    pub fn columns(mut self, columns: Columns) -> Self {
        self.hints.columns = Some(columns);
        self
    }

    /// Offers a faster way to compute the same many times with the same parameters, forward and backward.
    pub fn looped(mut self, part: Part) -> Self {
        self.hints.looped = Some(Box::new(part));
        self
    }

    /// Says that steps after the first do not read `port`: it holds where a sequence starts.
    pub fn starts(mut self, port: usize) -> Self {
        self.hints.starts.push(port);
        self
    }

    /// Says that the output at one step depends on all steps of `port`, those to come among them.
    pub fn whole(mut self, port: usize) -> Self {
        self.hints.whole.push(port);
        self
    }

    /// Says that sequences have at most so many steps; `field` of the layer's configuration is where that is written.
    pub fn longest(mut self, field: &'static str, steps: usize) -> Self {
        self.hints.longest = Some((field, steps));
        self
    }

    /// Says which positions count for this objective.
    pub fn counted(mut self, counted: Counted) -> Self {
        self.hints.counted = Some(counted);
        self
    }

    /// Offers the node as two.
    pub fn split(mut self, before: Part, after: Part) -> Self {
        self.hints.split = Some(Box::new(Split { before, after }));
        self
    }

    /// Offers a faster way to compute the same.
    pub fn fused(mut self, part: Part) -> Self {
        self.hints.fused = Some(Box::new(part));
        self
    }

    /// Offers a way to compute the same from weights in the order of kernels.
    pub fn with_packed_weights(mut self, part: Part) -> Self {
        self.hints.packed_weights = Some(Box::new(part));
        self
    }

    /// Offers a faster way to compute the same where the first port is an affine map that nobody else reads: it reads
    /// that map's input instead, and its parameters are the map's.
    pub fn over_affine(mut self, part: Part) -> Self {
        self.hints.over_affine = Some(Box::new(part));
        self
    }

    /// Asks for a parameter in the order in which kernels read it.
    pub fn packed(mut self, packing: Packing) -> Self {
        self.hints.packings.push(packing);
        self
    }

    /// Says that the way forward reads packed parameters in the order of kernels alone, so that without a way back they
    /// need not be there in another.
    pub fn packed_alone(mut self) -> Self {
        self.hints.packed_alone = true;
        self
    }

    /// Says that channel c of the output, along its second dimension, is linear in row c of the first parameter, plus
    /// number c of the second if there is one. `with_bias` computes the same with a bias in any case; it names all the
    /// node's parameters but the bias.
    pub fn per_channel(mut self, with_bias: Part) -> Self {
        self.hints.per_channel = Some(Box::new(with_bias));
        self
    }

    /// Says that, when nothing is trained, each channel of the only port is scaled and shifted by what follows from the
    /// parameters.
    pub fn scales_channels(mut self, map: impl ChannelMap + 'static) -> Self {
        self.hints.scales_channels = Some(Arc::new(map));
        self
    }

    /// Offers a way forward that ends in max(0, y).
    pub fn rectified(mut self, part: Part) -> Self {
        self.hints.rectified = Some(Box::new(part));
        self
    }

    /// Says that the output is max(0, x) of the only port.
    pub fn rectifies(mut self) -> Self {
        self.hints.rectifies = true;
        self
    }

    /// Says that the output is the only port's numbers in their order, in another shape.
    pub fn view(mut self) -> Self {
        self.hints.view = true;
        self
    }
}
