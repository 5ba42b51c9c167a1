//! One step of attention, as sentences are written.

use engine_core::{Scalar, State, Step, Tensor};
use engine_kernels::{flops, team};
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

use super::by_heads::{Positions, gather};
use super::heads::{Heads, attend, attend_head};
use super::{Attention, Map, X};

impl Attention {
    /// Queries, times the scale of scores.
    fn ask<T: Scalar>(&self, cx: &mut Step<'_, T>, heads: Heads) {
        let Step { forward: cx, .. } = cx;
        self.map(cx.parameters, Map::Query, &cx.inputs[X], &mut cx.scratch[self.queries]);
        let scale = heads.scale();
        cx.scratch[self.queries].as_mut_slice().iter_mut().for_each(|q: &mut T| *q *= scale);
    }

    /// Adds the step's keys and values to those of the steps before, and attends to all of them.
    pub(super) fn step_causal<T: Scalar>(
        &self,
        cx: &mut Step<'_, T>,
        past: [State; 2],
        past_mask: Option<State>,
    ) {
        let heads =
            Heads::new(self.layer.heads(), &cx.forward.saved[self.q], &cx.forward.saved[self.kv]);
        self.ask(cx, heads);
        let Step { forward: cx, state, .. } = cx;
        for (past, map) in past.into_iter().zip([Map::Key, Map::Value]) {
            self.map(
                cx.parameters,
                map,
                &cx.inputs[self.layer.source()],
                &mut cx.scratch[self.keys],
            );
            state[past].push(cx.scratch[self.keys].as_slice());
        }
        if let Some(mask) = past_mask {
            state[mask].push(cx.inputs[self.layer.mask_port()].as_slice());
        }
        let mask = past_mask.map(|mask| state[mask].as_slice());
        let [keys, values] = past.map(|past| &state[past]);
        let (length, sequences) = (keys.dim(0), keys.dim(1));
        let [a, means] = cx.saved.each([self.a, self.means]);
        a.reshape(&[sequences, heads.count, length]);
        let q = cx.scratch[self.queries].as_slice();
        let width = heads.count * heads.width;
        flops::count_product(sequences * length, width, 2);
        let a = (a.as_mut_slice(), heads.count * length);
        team::for_each_chunk_mut2(a, (means.as_mut_slice(), width), |n, a, o| {
            let sees = |_, s: usize| mask.is_none_or(|mask| mask[s * sequences + n] != T::zero());
            let parts = a.chunks_exact_mut(length).zip(o.chunks_exact_mut(heads.width));
            for (head, (a, o)) in parts.enumerate() {
                let first = n * width + head * heads.width;
                let kv = [keys, values].map(|past| over_steps(past, first, heads.width));
                let q = ArrayView2::from_shape((1, heads.width), &q[first..][..heads.width]);
                let o = ArrayViewMut2::from_shape((1, heads.width), o);
                let (q, o) = (q.expect("the columns of a head"), o.expect("the columns of a head"));
                attend_head(q, kv, a, o, sees);
            }
        });
        self.map(cx.parameters, Map::Output, &cx.saved[self.means], &mut cx.outputs[0]);
    }

    /// Attends to a memory, whose keys and values the first step has computed.
    pub(super) fn step_across<T: Scalar>(&self, cx: &mut Step<'_, T>, kept: State) {
        let heads =
            Heads::new(self.layer.heads(), &cx.forward.saved[self.q], &cx.forward.saved[self.kv]);
        self.ask(cx, heads);
        let Step { forward: cx, state, first, .. } = cx;
        if *first {
            let memory = &cx.inputs[self.layer.source()];
            let order = Positions::of(memory, cx.sequences, &cx.saved[self.kv]);
            for (part, map) in [Map::Key, Map::Value].into_iter().enumerate() {
                self.map(cx.parameters, map, memory, &mut cx.scratch[self.keys]);
                gather(&cx.scratch[self.keys], order, heads, &mut state[kept], part, T::one());
            }
        }
        let mask = self.layer.masked.then(|| &cx.inputs[self.layer.mask_port()]);
        let (kv, q) = (state[kept].flat(), cx.scratch[self.queries].as_slice());
        let [a, means] = cx.saved.each([self.a, self.means]);
        let (width, keys) = (heads.count * heads.width, cx.scratch[self.keys].dim(1));
        flops::count_product(kv.nrows() * keys, width, 2);
        let a = (a.as_mut_slice(), heads.count * keys);
        team::for_each_chunk_mut2(a, (means.as_mut_slice(), width), |n, a, o| {
            let sees = |_, s| mask.is_none_or(|mask| mask.rows()[[n, s]] != T::zero());
            let kv = kv.row(n).to_slice().expect("rows of a dense array");
            attend(heads, [1, keys], &q[n * width..][..width], kv, a, o, sees);
        });
        self.map(cx.parameters, Map::Output, &cx.saved[self.means], &mut cx.outputs[0]);
    }
}

/// The columns from `first` on of one sequence, a row a step, in an array `[Time, Batch, Width]`.
fn over_steps<T: Scalar>(past: &Tensor<T>, first: usize, columns: usize) -> ArrayView2<'_, T> {
    let stride = past.flat().ncols();
    let shape = (past.dim(0), columns).strides((stride, 1));
    ArrayView2::from_shape(shape, &past.as_slice()[first..]).expect("columns of the array")
}
