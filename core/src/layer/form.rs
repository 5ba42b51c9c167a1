//! The forms in which a layer's mathematics can be computed.

use std::sync::Arc;

use super::kernel::Operation;
use super::signature::Facts;
use crate::array::shape::Shape;

/// A way to compute a layer. Passes ask for one; [`Form::PLAIN`] is what the layer's documentation writes.
///
/// A form computes the same numbers from the same parameters as the plain one, but for rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// Which part of the mathematics.
    pub part: Part,
    /// In which order kernels read weights.
    pub weights: WeightOrder,
    /// Whether the parameter `b` is added to the output, also by a layer that has none of its own.
    pub bias: bool,
    /// Whether the output is max(0, y) of what the layer computes. Such a form has no backward pass.
    pub relu: bool,
}

/// A part of a layer's mathematics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// All of it.
    Whole,
    /// Of a recurrence, what depends on its first port alone, for all steps at once.
    Input,
    /// Of a recurrence, the rest: its first port holds what [`Input`](Part::Input) computes.
    Recurrence,
    /// All of it and the affine map before it: the first port holds the map's input, and the parameters are the map's.
    OverAffine,
}

/// The order of the numbers of weights in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightOrder {
    /// As they are stored.
    Stored,
    /// In [`Panels`](engine_kernels::panels::Panels) where the forward pass multiplies.
    Panels,
    /// In panels in both passes.
    PanelsBothWays,
}

impl Form {
    /// The mathematics as the layer's documentation writes it.
    pub const PLAIN: Form =
        Form { part: Part::Whole, weights: WeightOrder::Stored, bias: false, relu: false };

    /// Whether it is one of a whole affine map, over weights in any order.
    pub fn is_of_whole_map(self) -> bool {
        self.part == Part::Whole && !self.bias
    }

    /// Whether it is one of a whole cell over weights in panels.
    pub fn is_of_whole_cell(self) -> bool {
        let Form { part, weights, bias, relu } = self;
        part == Part::Whole && weights != WeightOrder::Stored && !bias && !relu
    }

    /// The same form of another part.
    pub fn part(self, part: Part) -> Form {
        Form { part, ..self }
    }

    /// The same form over weights in another order.
    pub fn weights(self, weights: WeightOrder) -> Form {
        Form { weights, ..self }
    }

    /// The same form with a bias.
    pub fn with_bias(self) -> Form {
        Form { bias: true, ..self }
    }

    /// The same form that ends in max(0, y).
    pub fn with_relu(self) -> Form {
        Form { relu: true, ..self }
    }

    /// All forms that there are, the plain one first.
    pub fn all() -> impl Iterator<Item = Form> {
        use Part::{Input, OverAffine, Recurrence, Whole};
        use WeightOrder::{Panels, PanelsBothWays, Stored};
        let parts = [Whole, Input, Recurrence, OverAffine].into_iter();
        let forms = parts.flat_map(|part| {
            [Stored, Panels, PanelsBothWays].map(|weights| Form::PLAIN.part(part).weights(weights))
        });
        forms.flat_map(|form| {
            [form, form.with_bias(), form.with_relu(), form.with_bias().with_relu()]
        })
    }
}

/// A layer in one of its forms: a kernel, and what the engine and passes must know of it.
///
/// What it says beside the kernel is about this form alone; [`Facts`] are the layer's unless the form has its own.
#[derive(Debug, Clone)]
pub struct Lowered {
    pub(crate) operation: Arc<dyn Operation>,
    /// What people are told that it is.
    pub(crate) label: String,
    pub(crate) facts: Option<Facts>,
    /// The shape of what it computes, if it is not the layer's output.
    pub(crate) output: Option<Shape>,
    pub(crate) abilities: Abilities,
}

/// What a kernel can do beside computing full arrays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Abilities {
    /// The ports that may hold each different row once.
    pub(crate) indexed: Vec<usize>,
    /// Whether several sequences can continue one.
    pub(crate) branches: bool,
    /// Whether the backward pass heeds which gradients are requested.
    pub(crate) separable: bool,
    /// The ports whose array the only output can be written over.
    pub(crate) in_place: Vec<usize>,
}

impl Lowered {
    /// A kernel, with the layer's own facts.
    pub fn new<K: Operation + 'static>(kernel: K) -> Self {
        Lowered {
            operation: Arc::new(kernel),
            label: short_name(std::any::type_name::<K>()),
            facts: None,
            output: None,
            abilities: Abilities::default(),
        }
    }

    /// Another text than the kernel's name for what it is.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Other facts than the layer's, of a form that computes a part of it or more.
    pub fn facts(mut self, facts: Facts) -> Self {
        self.facts = Some(facts);
        self
    }

    /// An output of another shape than the layer's, of a form that computes a part of it.
    pub fn output(mut self, shape: impl Into<Shape>) -> Self {
        self.output = Some(shape.into());
        self
    }

    /// `port` may hold each different row once, with an index that says which of them stands where: see
    /// [`Inputs::index`](super::context::Inputs::index).
    pub fn indexed(mut self, port: usize) -> Self {
        self.abilities.indexed.push(port);
        self
    }

    /// Several sequences can continue one: see [`Step::from`](super::context::Step::from).
    pub fn branches(mut self) -> Self {
        self.abilities.branches = true;
        self
    }

    /// The gradients of parameters are sums over rows, so that those of many calls are one sum over all their rows, and
    /// the backward pass heeds which gradients are [requested](super::context::Backward::requested).
    pub fn separable(mut self) -> Self {
        self.abilities.separable = true;
        self
    }

    /// The output can be written over the array at `port`: each number is read before the one in its place is written.
    pub(crate) fn in_place(mut self, port: usize) -> Self {
        self.abilities.in_place.push(port);
        self
    }
}

/// The name of a type without the modules that it is in: `Recurrence<LstmCell>`.
fn short_name(name: &str) -> String {
    let mut short = String::new();
    for part in name.split_inclusive(['<', '>', ',', ' ']) {
        short.push_str(part.rsplit("::").next().unwrap_or_default());
    }
    short
}
