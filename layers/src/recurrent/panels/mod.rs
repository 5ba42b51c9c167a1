//! A cell over packed sequences, its gates in panels: the form that training and writing run.
//!
//! The arrays of a step are neighbouring rows ([`PackedSequence`]). A thread owns units, the same ones at every step: it
//! computes the preactivations of their gates, takes these to their values while they are in its cache, and writes its
//! units' columns of h and c. All threads meet after each step, with a filtered candidate twice. Going back, it owns panels
//! of units and the panels of gates that belong to these.

mod backward;
mod forward;
mod gradients;
mod input;

use engine_core::{
    Backward, Dim, Forward, Kernel, Memory, Packed, PackedSequence, Saved, Scalar, Scratch,
    Sequences, Shape, State, Step, Tensor, Weight,
};
use engine_kernels::panels::PanelLayout;

use super::cell::{Candidate, Cell};
use super::plain::{C, H};
use crate::elementwise;

/// A cell run over time, from the input's part of preactivations on, which port x holds, its rows perhaps to be looked up.
#[derive(Debug)]
pub(super) struct PanelRecurrence<C, const GATES: usize> {
    cell: C,
    wh: Weight,
    bn: Option<Weight>,
    forward: Packed,
    back: Packed,
    /// Preactivations, then gates, then the gradients of preactivations, as panels.
    gates: Saved,
    /// What the first gate lets through, row by row, or the product of the last gate that is apart, as panels.
    kept: Option<Saved>,
    /// c after each step.
    c: Option<Saved>,
    /// The gradient of h as panels of units, and that of c.
    dh: Scratch,
    dc: Option<Scratch>,
    /// As panels of units, the gradients of the first gate's value and of what it lets through.
    dfilter: Option<Scratch>,
    dfiltered: Option<Scratch>,
    /// What weights were multiplied by, in the order of products over all steps.
    standing: Scratch,
    h_state: State,
    c_state: Option<State>,
}

impl<C: Cell<GATES>, const GATES: usize> PanelRecurrence<C, GATES> {
    /// Whether the gates of a cell can lie in panels.
    pub(super) fn takes(cell: C) -> bool {
        // Interleaved gates are multiplied together, and so are all but the last of three.
        cell.candidate() == Candidate::State || matches!(GATES, 2 | 3)
    }

    /// Arrays of panels take on their shape when they are written.
    pub(super) fn new(cell: C, units: Dim, bias: bool, memory: &mut Memory<'_>) -> Self {
        let over_time = memory.output().clone();
        let now = Shape::new([over_time[0], units]);
        let candidate = cell.candidate();
        let filtered = candidate == Candidate::Filtered;
        PanelRecurrence {
            cell,
            wh: memory.backward_weight("wh"),
            bn: memory.weight_if(bias && candidate == Candidate::Apart, "bn"),
            forward: memory.packed("wh", false, GATES),
            back: memory.packed("wh", true, GATES),
            gates: memory.saved(over_time.with_last(units.times(GATES))),
            kept: (candidate != Candidate::State).then(|| memory.saved(over_time.clone())),
            c: C::HAS_CELL_STATE.then(|| memory.saved(over_time.clone())),
            dh: memory.scratch(now.clone()),
            dc: C::HAS_CELL_STATE.then(|| memory.scratch(now.clone())),
            dfilter: filtered.then(|| memory.scratch(now.clone())),
            dfiltered: filtered.then(|| memory.scratch(now.clone())),
            standing: memory.scratch(over_time),
            h_state: memory.state(now.clone()),
            c_state: C::HAS_CELL_STATE.then(|| memory.state(now)),
        }
    }

    fn layout(units: usize) -> PanelLayout {
        PanelLayout { length: units * GATES, gates: GATES }
    }

    /// How many panels have gates that the state itself is multiplied for.
    fn direct_panels<T>(&self, units: usize) -> usize {
        let all = Self::layout(units).panels::<T>();
        if self.cell.candidate() == Candidate::State { all } else { all / GATES * (GATES - 1) }
    }
}

/// How the rows of arrays lie: those of one step where nothing packs them.
fn sequences<'a, T: Scalar>(h: &Tensor<T>, packed: Option<&'a PackedSequence>) -> Sequences<'a> {
    match packed {
        Some(packed) => Sequences::Packed(packed),
        None => Sequences::Padded { count: h.rows().nrows(), steps: 1 },
    }
}

impl<T: Scalar, C: Cell<GATES>, const GATES: usize> Kernel<T> for PanelRecurrence<C, GATES> {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let start = [H, C].map(|port| cx.inputs.get(port));
        self.advance(cx, start, None);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        let inputs = cx.forward.inputs;
        let before = match cx.first {
            true => [H, C].map(|port| inputs.get(port)),
            false => [Some(&cx.state[self.h_state]), self.c_state.map(|c| &cx.state[c])],
        };
        self.advance(&mut cx.forward, before, Some(cx.from));
        elementwise::copy(cx.state[self.h_state].as_mut_slice(), cx.forward.outputs[0].as_slice());
        if let (Some(to), Some(c)) = (self.c_state, self.c) {
            std::mem::swap(&mut cx.state[to], &mut cx.forward.saved[c]);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        self.go_back(cx);
        self.add_gradients(cx);
    }
}
