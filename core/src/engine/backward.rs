//! The backward pass of an engine.

use super::memory::{noise, places};
use super::network::Engine;
use super::profile::measured;
use crate::array::tensor::Tensor;
use crate::graph::NodePlan;
use crate::layer::context::{
    Backward, GradientRequest, InputGradients, Inputs, ParameterGradients, Parameters,
};
use crate::layer::memory::{Arrays, PackedWeights};
use crate::scalar::Scalar;

impl<T: Scalar> Engine<T> {
    /// Computes the parameters' gradients of the value in the role `loss`, at the batch of the last
    /// [`forward`](Self::forward). Without a loss, they are 0.
    pub fn backward(&mut self) {
        match self.program.output("loss") {
            Some(loss) => self.backward_from(&[(loss, &[T::one()])]),
            None => self.backward_from(&[]),
        }
    }

    /// Computes the parameters' gradients of a sum of values, each weighted by the given gradient.
    ///
    /// # Panics
    /// When a gradient is not as long as its value.
    pub fn backward_from(&mut self, seeds: &[(usize, &[T])]) {
        self.fresh.1.fill(true);
        self.backward_more_from(seeds);
    }

    /// As [`backward_from`](Self::backward_from), adding to the gradients that the parameters have.
    ///
    /// # Panics
    /// When a gradient is not as long as its value.
    pub fn backward_more_from(&mut self, seeds: &[(usize, &[T])]) {
        self.fresh.0.fill(true);
        for (gradient, value) in self.value_gradients.iter_mut().zip(&self.memory.values) {
            gradient.reshape(value.shape());
        }
        for (value, seed) in seeds {
            let gradient = zeroed(&mut self.value_gradients[*value], &mut self.fresh.0[*value]);
            assert_eq!(gradient.len(), seed.len(), "a gradient for each element of the value");
            gradient.iter_mut().zip(*seed).for_each(|(g, s)| *g += *s);
        }
        let program = self.program.clone();
        for (at, node) in program.nodes.iter().enumerate().rev() {
            // What is computed only to be carried to the next batch has no gradient.
            let reached = node.outputs.clone().any(|value| !self.fresh.0[value]);
            if reached && node.outputs.clone().any(|value| self.wanted[value]) {
                for value in node.outputs.clone() {
                    zeroed(&mut self.value_gradients[value], &mut self.fresh.0[value]);
                }
                self.backward_through(at, node);
            }
        }
        // What no node has written is 0.
        let gradients = self.value_gradients.iter_mut().zip(&mut self.fresh.0);
        gradients.zip(&self.wanted).filter(|(_, wanted)| **wanted).for_each(
            |((gradient, fresh), _)| {
                zeroed(gradient, fresh);
            },
        );
        self.gradients.iter_mut().zip(&mut self.fresh.1).for_each(|(gradient, fresh)| {
            zeroed(gradient, fresh);
        });
    }

    fn backward_through(&mut self, at: usize, node: &NodePlan) {
        let Engine { memory, packs, parameters, profile, value_gradients, .. } = self;
        let (before, rest) = memory.values.split_at(node.outputs.start);
        let (before_gradients, rest_gradients) = value_gradients.split_at_mut(node.outputs.start);
        let arrays = &mut memory.nodes[at];
        let mut cx = Backward {
            inputs: Inputs { slots: &node.slots, values: before, tokens: &memory.tokens },
            outputs: &rest[..node.outputs.len()],
            output_gradients: &rest_gradients[..node.outputs.len()],
            parameters: Parameters { ids: &node.parameters, table: parameters },
            packed: PackedWeights(packs.of(at)),
            sequences: memory.steps.as_ref(),
            saved: Arrays::new(&mut arrays.saved),
            scratch: Arrays::new(&mut arrays.scratch),
            input_gradients: InputGradients {
                slots: &node.slots,
                wanted: &self.wanted,
                table: before_gradients,
                fresh: &mut self.fresh.0,
            },
            parameter_gradients: ParameterGradients {
                ids: &node.parameters,
                table: &mut self.gradients,
                fresh: &mut self.fresh.1,
            },
            requested: GradientRequest::All,
            mode: self.mode,
            noise: noise(
                self.seed,
                self.mode,
                node.stream,
                places(memory.steps.as_ref(), &self.program, node),
            ),
        };
        measured(
            profile,
            |profile| &mut profile.nodes[at].backward,
            || {
                T::kernel(&*node.operation).backward(&mut cx);
            },
        );
    }
}

/// A gradient that holds the sum so far: 0 where nobody has written it yet.
fn zeroed<'a, T: Scalar>(gradient: &'a mut Tensor<T>, fresh: &mut bool) -> &'a mut [T] {
    if std::mem::take(fresh) {
        gradient.fill(T::zero());
    }
    gradient.as_mut_slice()
}
