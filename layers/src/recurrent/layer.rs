//! Recurrent layers of a cell: ports, parameters, and every form.

use engine_core::init::{Fill, Init};
use engine_core::layer::signature::Facts;
use engine_core::{
    Axis, Dependence, Dim, Form, Lowered, Meaning, Memory, Part, PlanError, Port, PortShapes,
    Shape, Signature, WeightOrder,
};

use super::cell::{Candidate, Cell};
use super::input::{Input, X};
use super::panels::PanelRecurrence;
use super::plain::{C, H, Plain};
use super::weights::Weights;
use crate::linear;

/// A layer that runs a cell: over the time of sequences, or one step from the states at its ports.
///
/// [`recurrent_layer!`](crate::recurrent_layer) makes a configuration that describes itself as one a layer. It has
/// - ports `x`; `h0` and, with a cell state, `c0`, both optional; for one step `h` and `c`
/// - parameters `wx` `[Inputs, gates units]`, `wh` `[units, gates units]` and, unless there is no bias, `b` `[gates units]`,
///   with a candidate [`Apart`](Candidate::Apart) also `bn` `[units]`
#[derive(Debug, Clone)]
pub struct Recurrent<C, const GATES: usize> {
    cell: C,
    units: Dim,
    over_time: bool,
    bias: Option<Fill>,
    init: Init,
    recurrent_init: Init,
}

impl<C: Cell<GATES>, const GATES: usize> Recurrent<C, GATES> {
    /// A cell over time, with biases that begin at 0.
    pub fn over_time(cell: C, units: Dim, init: Init, recurrent_init: Init) -> Self {
        let bias = Some(Fill::zero());
        Recurrent { cell, units, over_time: true, bias, init, recurrent_init }
    }

    /// One step of the same.
    pub fn one_step(self) -> Self {
        Recurrent { over_time: false, ..self }
    }

    /// The same with a `b` that begins otherwise.
    pub fn bias(self, fill: Fill) -> Self {
        Recurrent { bias: Some(fill), ..self }
    }

    /// The same, without biases unless they are wanted.
    pub fn bias_if(self, wanted: bool) -> Self {
        Recurrent { bias: self.bias.filter(|_| wanted), ..self }
    }

    /// The ports of the layer.
    pub fn ports(&self) -> Vec<Port> {
        let state = [Axis::BATCH, self.units.into()];
        let states = 1 + usize::from(C::HAS_CELL_STATE);
        if !self.over_time {
            let x = Port::real("x", [Axis::BATCH, Axis::Any("Inputs")]);
            let states = ["h", "c"].into_iter().take(states);
            return [x].into_iter().chain(states.map(|name| Port::real(name, state))).collect();
        }
        let x = Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Inputs")]);
        let states = ["h0", "c0"].into_iter().take(states);
        let states = states.map(|name| Port::real(name, state).optional());
        [x].into_iter().chain(states).collect()
    }

    /// The signature of the layer.
    ///
    /// # Errors
    /// Never: the ports say all.
    pub fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let (units, wide) = (self.units, self.units.times(GATES));
        let output = inputs.shape(X).with_last(units);
        let signature = match self.over_time {
            true => Signature::output(output, Dependence::Past)
                .port(H, Dependence::StartOnly)
                .port(C, Dependence::StartOnly),
            false => {
                let signature = Signature::output(output.clone(), Dependence::Row);
                if C::HAS_CELL_STATE { signature.and_output("c", output) } else { signature }
            }
        };
        let fill = |init| match GATES {
            1 => Fill::Random(init),
            _ => Fill::RandomBlocks(init, GATES),
        };
        let signature = signature
            .weights("wx", [inputs.dim("Inputs"), wide], fill(self.init))
            .weights("wh", [units, wide], fill(self.recurrent_init));
        let Some(bias) = self.bias.clone() else { return Ok(signature) };
        let signature = signature.bias("b", [wide], bias);
        Ok(signature.bias_if(self.cell.candidate() == Candidate::Apart, "bn", [units]))
    }

    /// The plain form of the layer.
    pub fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let input =
            |memory: &mut Memory<'_>| Input::map(WeightOrder::Stored, self.has_bias(), memory);
        match self.over_time {
            true => Lowered::new(self.plain_over_time(input(memory), memory)),
            false => self.step_of(WeightOrder::Stored, memory),
        }
    }

    /// The other forms of the layer.
    pub fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        let Form { part, weights, bias, relu } = form;
        if bias || relu {
            return None;
        }
        let wide = self.units.times(GATES);
        Some(match (self.over_time, part, weights) {
            (false, Part::Whole, order) => self.step_of(order, memory),
            (true, Part::Input, _) => {
                let output = memory.output().with_last(wide);
                let facts = Facts::new(Dependence::Row).meaning(Meaning::Affine);
                let map = linear::lower(form, ["wx", "b"], self.has_bias(), memory);
                map.output(output).facts(facts)
            }
            (true, Part::Recurrence, WeightOrder::Stored) => {
                Lowered::new(self.plain_over_time(Input::Ready, memory)).indexed(X)
            }
            (true, Part::Recurrence, WeightOrder::PanelsBothWays)
                if PanelRecurrence::takes(self.cell) =>
            {
                let panels = PanelRecurrence::new(self.cell, self.units, self.has_bias(), memory);
                Lowered::new(panels).indexed(X).branches()
            }
            _ => return None,
        })
    }

    fn has_bias(&self) -> bool {
        self.bias.is_some()
    }

    fn plain_over_time(&self, input: Input, memory: &mut Memory<'_>) -> Plain<C, GATES> {
        let wh = Weights::new("wh", WeightOrder::Stored, 1, memory);
        let bn = self.bn(memory);
        Plain::over_time((self.cell, input, wh, bn), self.units, memory)
    }

    /// One step over weights in some order.
    fn step_of(&self, order: WeightOrder, memory: &mut Memory<'_>) -> Lowered {
        let input = Input::map(order, self.has_bias(), memory);
        let blocks = if self.cell.candidate() == Candidate::State { 1 } else { GATES };
        let (wh, bn) = (Weights::new("wh", order, blocks, memory), self.bn(memory));
        let now: Shape = memory.output().clone();
        Lowered::new(Plain::one_step((self.cell, input, wh, bn), now, memory)).separable()
    }

    fn bn(&self, memory: &mut Memory<'_>) -> Option<engine_core::Weight> {
        memory.weight_if(self.has_bias() && self.cell.candidate() == Candidate::Apart, "bn")
    }
}

/// Makes a configuration a layer, whose method `recurrent` describes it as a [`Recurrent`].
#[macro_export]
macro_rules! recurrent_layer {
    ($type:ident) => {
        #[typetag::serde]
        impl engine_core::Layer for $type {
            fn ports(&self) -> Vec<engine_core::Port> {
                self.recurrent().ports()
            }

            fn signature(
                &self,
                inputs: &engine_core::PortShapes<'_>,
            ) -> Result<engine_core::Signature, engine_core::PlanError> {
                self.recurrent().signature(inputs)
            }

            fn plain(&self, memory: &mut engine_core::Memory<'_>) -> engine_core::Lowered {
                self.recurrent().plain(memory)
            }

            fn form(
                &self,
                form: engine_core::Form,
                memory: &mut engine_core::Memory<'_>,
            ) -> Option<engine_core::Lowered> {
                self.recurrent().form(form, memory)
            }
        }
    };
}
