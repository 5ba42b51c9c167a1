//! Forward through all steps of a scan.

use super::rows::Rows;
use super::{Carried, Kind, Memory, Scan, ScanNode, Starting};
use crate::array::tensor::Tensor;
use crate::layer::context::{Forward, Inputs, Noise, Parameters};
use crate::layer::memory::{Arrays, PackedWeights};
use crate::scalar::Scalar;

impl Scan {
    /// Computes every step, from what is handed on in `before`, or from the start.
    pub(super) fn run<T: Scalar>(&self, cx: &mut Forward<'_, T>, before: Option<&[Tensor<T>]>) {
        let rows = self.rows(cx.outputs, cx.sequences);
        self.enter(cx.saved.arrays);
        cx.scratch.arrays.iter_mut().for_each(Tensor::enter);
        for fed in &self.ports {
            let (from, to) = (cx.inputs[fed.port].as_slice(), &mut cx.saved.arrays[fed.value]);
            match (fed.per_step, cx.inputs.index(fed.port)) {
                (true, Some(index)) => rows.bring_in_indexed(from, index, to.entered_mut()),
                (true, None) => rows.bring_in(from, to.entered_mut()),
                (false, _) => to.entered_mut().copy_from_slice(from),
            }
        }
        for t in 0..rows.steps() {
            self.show(cx.saved.arrays, rows, t);
            for (at, carry) in self.carries.iter().enumerate() {
                let start = || start(carry, cx.inputs);
                match (t, before) {
                    (0, Some(before)) => {
                        hand(cx.saved.arrays, carry, Some(before[at].as_slice()), 0.0)
                    }
                    (0, None) => {
                        let (from, constant) = start();
                        hand(cx.saved.arrays, carry, from, constant);
                    }
                    _ => self.hand_on(cx.saved.arrays, carry, rows, t),
                }
            }
            for node in &self.nodes {
                node.show_scratch(cx.scratch.arrays, rows.alive(t));
                self.forward_node(node, cx, rows, t);
            }
        }
        for (output, value) in cx.outputs.iter_mut().zip(&self.leaving) {
            rows.take_out(cx.saved.arrays[*value].entered(), output.as_mut_slice());
        }
        for (output, carry) in cx.outputs[self.leaving.len()..].iter_mut().zip(&self.last) {
            self.last_rows(cx.saved.arrays, *carry, rows, output);
        }
        cx.scratch.arrays.iter_mut().for_each(Tensor::leave);
        self.leave(cx.saved.arrays);
    }

    fn forward_node<T: Scalar>(
        &self,
        node: &ScanNode,
        cx: &mut Forward<'_, T>,
        rows: Rows<'_>,
        t: usize,
    ) {
        let (values, saved) = cx.saved.arrays.split_at_mut(self.kinds.len());
        let (before, rest) = values.split_at_mut(node.outputs.start);
        let own = node.saved.start - self.kinds.len()..node.saved.end - self.kinds.len();
        T::kernel(&*node.operation).forward(&mut Forward {
            inputs: Inputs { slots: &node.slots, values: before, tokens: &[] },
            outputs: &mut rest[..node.outputs.len()],
            parameters: Parameters {
                ids: &cx.parameters.ids[node.parameters.clone()],
                table: cx.parameters.table,
            },
            packed: PackedWeights(&cx.packed.0[node.packed.clone()]),
            sequences: None,
            saved: Arrays::new(&mut saved[own]),
            scratch: Arrays::new(&mut cx.scratch.arrays[node.scratch.clone()]),
            mode: cx.mode,
            noise: self.noise(node, cx.noise, rows, t),
        });
    }

    /// The noise of a node at step `t`: that of its own stream at the places of the rows.
    pub(super) fn noise<'a>(
        &self,
        node: &ScanNode,
        outer: Noise<'a>,
        rows: Rows<'_>,
        t: usize,
    ) -> Noise<'a> {
        match rows {
            Rows::Arranged(_) => outer.of_rows(node.stream, rows.at(t)),
            Rows::Even { sequences, steps } => outer.of_step(node.stream, sequences, steps, t),
        }
    }

    /// How the steps lie, by the arrays of what is computed.
    pub(super) fn rows<'a, T: Copy + Default>(
        &self,
        outputs: &[Tensor<T>],
        steps: Option<&'a crate::sequence::PackedSequence>,
    ) -> Rows<'a> {
        match steps.filter(|_| self.over_time) {
            Some(steps) => Rows::Arranged(steps),
            None => Rows::Even { sequences: outputs[0].dim(0), steps: outputs[0].dim(1) },
        }
    }

    /// Enters what has a row for each sequence.
    pub(super) fn enter<T: Copy + Default>(&self, saved: &mut [Tensor<T>]) {
        saved.iter_mut().for_each(Tensor::enter);
    }

    pub(super) fn leave<T: Copy + Default>(&self, saved: &mut [Tensor<T>]) {
        saved.iter_mut().for_each(Tensor::leave);
    }

    /// Shows the rows of step `t` of every value and of everything that nodes save.
    pub(super) fn show<T: Copy + Default>(
        &self,
        saved: &mut [Tensor<T>],
        rows: Rows<'_>,
        t: usize,
    ) {
        for (kind, value) in self.kinds.iter().zip(saved.iter_mut()) {
            match *kind {
                Kind::Steps { rank } => value.show(rows.at(t), rank),
                Kind::Static { rank, of_batch: true } => value.show(0..rows.alive(t), rank),
                Kind::Static { of_batch: false, .. } | Kind::Unused => {}
            }
        }
        for node in &self.nodes {
            for (saved, memory) in saved[node.saved.clone()].iter_mut().zip(&node.saved_memory) {
                if let Memory::Rows { rank } = *memory {
                    saved.show(rows.at(t), rank);
                }
            }
        }
    }

    /// Hands what the step before computed to step `t`.
    fn hand_on<T: Scalar>(
        &self,
        saved: &mut [Tensor<T>],
        carry: &Carried,
        rows: Rows<'_>,
        t: usize,
    ) {
        let Some(value) = carry.value else { return };
        let Ok([to, next]) = saved.get_disjoint_mut([value, carry.next]) else { return };
        let to = to.as_mut_slice();
        let length = to.len() / rows.alive(t).max(1);
        let first = match self.kinds[carry.next] {
            Kind::Static { .. } | Kind::Unused => 0,
            Kind::Steps { .. } => rows.at(t - 1).start * length,
        };
        to.copy_from_slice(&next.entered()[first..][..to.len()]);
    }

    /// For each sequence what its last step hands on.
    fn last_rows<T: Scalar>(
        &self,
        saved: &[Tensor<T>],
        carry: usize,
        rows: Rows<'_>,
        output: &mut Tensor<T>,
    ) {
        let next = saved[self.carries[carry].next].entered();
        let to = output.as_mut_slice();
        let length = to.len() / rows.alive(0).max(1);
        for t in 0..rows.steps() {
            let ends = rows.alive(t + 1) * length..rows.alive(t) * length;
            let first = rows.at(t).start * length;
            to[ends.clone()].copy_from_slice(&next[first + ends.start..first + ends.end]);
        }
    }
}

impl ScanNode {
    /// Shows a row for each of so many sequences of what the node needs for a moment.
    pub(super) fn show_scratch<T: Copy + Default>(&self, scratch: &mut [Tensor<T>], rows: usize) {
        for (scratch, memory) in scratch[self.scratch.clone()].iter_mut().zip(&self.scratch_memory)
        {
            if let Memory::Rows { rank } = *memory {
                scratch.show(0..rows, rank);
            }
        }
    }
}

/// What the first step is handed.
fn start<'a, T: Scalar>(carry: &Carried, inputs: Inputs<'a, T>) -> (Option<&'a [T]>, f64) {
    match carry.start {
        Starting::Port(port) => (Some(inputs.get(port).map_or(&[][..], Tensor::as_slice)), 0.0),
        Starting::Constant(constant) => (None, constant),
    }
}

/// Hands a step an array, or a number throughout.
fn hand<T: Scalar>(saved: &mut [Tensor<T>], carry: &Carried, from: Option<&[T]>, constant: f64) {
    let Some(value) = carry.value else { return };
    let to = saved[value].as_mut_slice();
    match from {
        Some(from) => to.copy_from_slice(&from[..to.len()]),
        None => to.fill(T::of(constant)),
    }
}
