//! A layer in its place in a graph, which can be lowered in any of its forms.

use std::borrow::Cow;

use crate::array::dim::Dim;
use crate::array::shape::{Shape, Sizes};
use crate::config::tagged::Tagged;
use crate::layer::form::{Form, Lowered};
use crate::layer::memory::{Memory, MemoryPlan};
use crate::layer::port::PortShapes;
use crate::layer::{self, Layer};

/// A layer, the shapes around it, and the names of its parameters.
#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) layer: Tagged<dyn Layer>,
    /// The shapes at its ports.
    pub(crate) inputs: Vec<Option<Shape>>,
    /// What the names in its ports' patterns stand for.
    pub(crate) names: Vec<(&'static str, Dim)>,
    pub(crate) sizes: Sizes,
    pub(crate) outputs: Vec<Shape>,
    /// The names of the node's parameters, in its order.
    pub(crate) parameters: Vec<Cow<'static, str>>,
}

impl Definition {
    /// The layer in a form, and the memory that it needs; `None` if the layer does not have it.
    pub(crate) fn lower(&self, form: Form) -> Option<(Lowered, MemoryPlan)> {
        let Definition { layer, inputs, names, sizes, outputs, parameters } = self;
        let inputs = PortShapes { shapes: inputs, names, sizes };
        let mut memory = Memory::new(inputs, outputs, parameters);
        let mut lowered = layer::lower(&**layer, form, &mut memory)?;
        lowered.output = lowered.output.map(|shape| inputs.bound(&shape));
        Some((lowered, memory.plan))
    }

    /// The same layer over arrays of all steps of a dimension that comes after the batch.
    pub(crate) fn over_steps(mut self, over: Dim) -> Self {
        let inputs = self.inputs.iter_mut().flatten();
        inputs.chain(&mut self.outputs).for_each(|shape| *shape = shape.over_steps(over));
        self
    }
}
