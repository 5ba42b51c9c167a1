//! Backward through all steps of a scan.

use smallvec::{SmallVec, smallvec};

use super::rows::Rows;
use super::{Kind, Memory, Scan, ScanNode, Starting};
use crate::array::tensor::Tensor;
use crate::layer::context::{
    Backward, GradientRequest, InputGradients, Inputs, ParameterGradients, Parameters,
};
use crate::layer::memory::{Arrays, PackedWeights};
use crate::scalar::Scalar;

/// A flag for each value of a body, on the stack for bodies of a usual size.
type Flags = SmallVec<[bool; 96]>;

impl Scan {
    /// Goes back through every step, the last first.
    ///
    /// Gradients of what a step was handed are kept apart until the step before takes them up; those of static inputs add
    /// up over all steps; those of parameters that a node can add up for all steps at once wait until the end.
    pub(super) fn run_back<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let rows = self.rows(cx.outputs, cx.sequences);
        let wanted = self.wanted(cx);
        let mut fresh: Flags = smallvec![true; self.kinds.len()];
        let assigned: SmallVec<[bool; 16]> =
            self.ports.iter().map(|fed| fed.per_step && begin(cx, fed.port)).collect();
        self.enter(cx.saved.arrays);
        cx.scratch.arrays.iter_mut().for_each(Tensor::enter);
        for fed in self.ports.iter().filter(|fed| !fed.per_step) {
            cx.scratch.arrays[fed.value].as_mut_slice().fill(T::zero());
        }
        for t in (0..rows.steps()).rev() {
            self.show(cx.saved.arrays, rows, t);
            self.show_gradients(cx.scratch.arrays, rows, t);
            for (fresh, kind) in fresh.iter_mut().zip(&self.kinds) {
                *fresh = matches!(kind, Kind::Steps { .. });
            }
            self.take_up(cx, rows, t, &mut fresh);
            for node in self.nodes.iter().rev() {
                if node.outputs.clone().any(|value| wanted[value]) {
                    node.outputs.clone().for_each(|at| zeroed(cx.scratch.arrays, &mut fresh, at));
                    node.show_scratch(cx.scratch.arrays, rows.alive(t));
                    let request = match node.apart {
                        true => GradientRequest::Inputs,
                        false => GradientRequest::All,
                    };
                    self.back_through(node, cx, (rows, t), (&wanted, &mut fresh), request);
                }
            }
            self.hand_back(cx, rows, t, &mut fresh);
            self.give_out(cx, rows, t, &wanted, &mut fresh, &assigned);
        }
        self.add_up(cx, rows, &wanted);
        self.give_rest(cx, &wanted);
        cx.scratch.arrays.iter_mut().for_each(Tensor::leave);
        self.leave(cx.saved.arrays);
    }

    /// The values whose gradients someone wants.
    fn wanted<T: Scalar>(&self, cx: &Backward<'_, T>) -> Flags {
        let mut wanted: Flags = smallvec![false; self.kinds.len()];
        for fed in &self.ports {
            wanted[fed.value] = cx.input_gradients.wants(fed.port);
        }
        for carry in &self.carries {
            carry.value.iter().for_each(|value| wanted[*value] = true);
        }
        for node in &self.nodes {
            let reads = node.slots.iter().filter_map(|slot| slot.value()).any(|at| wanted[at]);
            wanted[node.outputs.clone()].fill(reads || !node.parameters.is_empty());
        }
        wanted
    }

    fn show_gradients<T: Scalar>(&self, scratch: &mut [Tensor<T>], rows: Rows<'_>, t: usize) {
        for ((kind, apart), gradient) in self.kinds.iter().zip(&self.apart).zip(scratch.iter_mut())
        {
            match *kind {
                Kind::Steps { rank } if *apart => gradient.show(rows.at(t), rank),
                Kind::Steps { rank } | Kind::Static { rank, of_batch: true } => {
                    gradient.show(0..rows.alive(t), rank);
                }
                Kind::Static { of_batch: false, .. } | Kind::Unused => {}
            }
        }
    }

    /// Adds what step t + 1 hands back, and what is asked of the node's outputs, to the gradients of step t.
    fn take_up<T: Scalar>(
        &self,
        cx: &mut Backward<'_, T>,
        rows: Rows<'_>,
        t: usize,
        fresh: &mut Flags,
    ) {
        let (gradients, handed) = cx.scratch.arrays.split_at_mut(self.kinds.len());
        for (output, value) in cx.output_gradients.iter().zip(&self.leaving) {
            let gradient = &mut gradients[*value];
            let assign = std::mem::take(&mut fresh[*value]);
            let length = gradient.as_slice().len() / rows.alive(t).max(1);
            let (to, from) = (gradient.as_mut_slice(), output.as_slice());
            rows.for_each_run(t, length, |outer, inner| {
                put(&mut to[inner], &from[outer], assign);
            });
        }
        for (carry, handed) in self.carries.iter().zip(handed.iter()) {
            zeroed(gradients, fresh, carry.next);
            let to = gradients[carry.next].as_mut_slice();
            let length = to.len() / rows.alive(t).max(1);
            let from = &handed.entered()[..rows.alive(t + 1) * length];
            put(&mut to[..from.len()], from, false);
        }
        let last = &cx.output_gradients[self.leaving.len()..];
        for (output, carry) in last.iter().zip(&self.last) {
            let to = gradients[self.carries[*carry].next].as_mut_slice();
            let length = to.len() / rows.alive(t).max(1);
            let ends = rows.alive(t + 1) * length..rows.alive(t) * length;
            put(&mut to[ends.clone()], &output.as_slice()[ends], false);
        }
    }

    fn back_through<T: Scalar>(
        &self,
        node: &ScanNode,
        cx: &mut Backward<'_, T>,
        (rows, t): (Rows<'_>, usize),
        (wanted, fresh): (&[bool], &mut [bool]),
        request: GradientRequest,
    ) {
        let (values, saved) = cx.saved.arrays.split_at_mut(self.kinds.len());
        let (before, rest) = values.split_at(node.outputs.start);
        let (gradients, scratch) = cx.scratch.arrays.split_at_mut(self.kinds.len());
        let (before_gradients, rest_gradients) = gradients.split_at_mut(node.outputs.start);
        let own = |range: &std::ops::Range<usize>| {
            range.start - self.kinds.len()..range.end - self.kinds.len()
        };
        T::kernel(&*node.operation).backward(&mut Backward {
            inputs: Inputs { slots: &node.slots, values: before, tokens: &[] },
            outputs: &rest[..node.outputs.len()],
            output_gradients: &rest_gradients[..node.outputs.len()],
            parameters: Parameters {
                ids: &cx.parameters.ids[node.parameters.clone()],
                table: cx.parameters.table,
            },
            packed: PackedWeights(&cx.packed.0[node.packed.clone()]),
            sequences: None,
            saved: Arrays::new(&mut saved[own(&node.saved)]),
            scratch: Arrays::new(&mut scratch[own(&node.scratch)]),
            input_gradients: InputGradients {
                slots: &node.slots,
                wanted,
                table: before_gradients,
                fresh,
            },
            parameter_gradients: ParameterGradients {
                ids: &cx.parameter_gradients.ids[node.parameters.clone()],
                table: cx.parameter_gradients.table,
                fresh: cx.parameter_gradients.fresh,
            },
            requested: request,
            mode: cx.mode,
            noise: self.noise(node, cx.noise, rows, t),
        });
    }

    /// Keeps the gradients of what step t was handed for the step before.
    fn hand_back<T: Scalar>(
        &self,
        cx: &mut Backward<'_, T>,
        rows: Rows<'_>,
        t: usize,
        fresh: &mut Flags,
    ) {
        let (gradients, handed) = cx.scratch.arrays.split_at_mut(self.kinds.len());
        for (carry, handed) in self.carries.iter().zip(handed) {
            handed.show(0..rows.alive(t), carry.rank);
            match carry.value {
                Some(value) => {
                    zeroed(gradients, fresh, value);
                    handed.as_mut_slice().copy_from_slice(gradients[value].as_slice());
                }
                None => handed.fill(T::zero()),
            }
        }
    }

    /// Adds the gradients of what step t has of the inputs to those of the node's.
    fn give_out<T: Scalar>(
        &self,
        cx: &mut Backward<'_, T>,
        rows: Rows<'_>,
        t: usize,
        wanted: &[bool],
        fresh: &mut Flags,
        assigned: &[bool],
    ) {
        for (fed, assign) in self.ports.iter().zip(assigned) {
            if !fed.per_step || !wanted[fed.value] {
                continue;
            }
            zeroed(cx.scratch.arrays, fresh, fed.value);
            let from = &cx.scratch.arrays[fed.value];
            let Some(to) = cx.input_gradients.claim(fed.port) else { continue };
            let length = from.as_slice().len() / rows.alive(t).max(1);
            let (to, from) = (to.array.as_mut_slice(), from.as_slice());
            match cx.inputs.index(fed.port) {
                None => rows.for_each_run(t, length, |outer, inner| {
                    put(&mut to[outer], &from[inner], *assign);
                }),
                Some(index) => rows.for_each_run(t, length, |outer, inner| {
                    let rows = index[outer.start / length..outer.end / length].iter();
                    for (row, from) in rows.zip(from[inner].chunks_exact(length)) {
                        put(&mut to[*row as usize * length..][..length], from, false);
                    }
                }),
            }
        }
    }

    /// Adds up the gradients of parameters of nodes that do so once for all steps.
    fn add_up<T: Scalar>(&self, cx: &mut Backward<'_, T>, rows: Rows<'_>, wanted: &[bool]) {
        let nobody: Flags = smallvec![false; self.kinds.len()];
        let mut fresh: Flags = smallvec![false; self.kinds.len()];
        for (at, kind) in self.kinds.iter().enumerate() {
            if let Kind::Steps { rank } = *kind {
                cx.saved.arrays[at].show(0..rows.all(), rank);
                if self.apart[at] {
                    cx.scratch.arrays[at].show(0..rows.all(), rank);
                }
            }
        }
        let apart = |node: &&ScanNode| node.apart && node.outputs.clone().any(|at| wanted[at]);
        for node in self.nodes.iter().filter(apart) {
            let saved = &mut cx.saved.arrays[node.saved.clone()];
            for (saved, memory) in saved.iter_mut().zip(&node.saved_memory) {
                if let Memory::Rows { rank } = *memory {
                    saved.show(0..rows.all(), rank);
                }
            }
            let flags = (&nobody[..], &mut fresh[..]);
            self.back_through(node, cx, (rows, 0), flags, GradientRequest::Parameters);
        }
    }

    /// Adds the gradients of static inputs, and of where what is handed on starts, to those of the node's inputs.
    fn give_rest<T: Scalar>(&self, cx: &mut Backward<'_, T>, wanted: &[bool]) {
        for fed in self.ports.iter().filter(|fed| !fed.per_step && wanted[fed.value]) {
            if let Some(to) = cx.input_gradients.claim(fed.port) {
                put(to.array.as_mut_slice(), cx.scratch.arrays[fed.value].entered(), to.fresh);
            }
        }
        let handed = &cx.scratch.arrays[self.kinds.len()..];
        for (carry, handed) in self.carries.iter().zip(handed) {
            if let Starting::Port(port) = carry.start
                && let Some(to) = cx.input_gradients.claim(port)
            {
                put(to.array.as_mut_slice(), handed.entered(), to.fresh);
            }
        }
    }
}

/// Begins to add to the gradient of a port whose rows come step by step. Returns whether they are to be overwritten, for
/// each comes once and nobody has written them.
fn begin<T: Scalar>(cx: &mut Backward<'_, T>, port: usize) -> bool {
    let often = cx.inputs.index(port).is_some();
    match cx.input_gradients.claim(port) {
        Some(gradient) if often => {
            gradient.or_zero();
            false
        }
        Some(gradient) => gradient.fresh,
        None => false,
    }
}

/// Makes the gradient of a value one that holds the sum so far.
fn zeroed<T: Scalar>(gradients: &mut [Tensor<T>], fresh: &mut Flags, at: usize) {
    if std::mem::take(&mut fresh[at]) {
        gradients[at].fill(T::zero());
    }
}

/// Adds numbers to others, or puts them in their place.
fn put<T: Scalar>(to: &mut [T], from: &[T], assign: bool) {
    match assign {
        true => to.copy_from_slice(from),
        false => to.iter_mut().zip(from).for_each(|(to, from)| *to += *from),
    }
}
