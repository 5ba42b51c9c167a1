//! What is particular to a recurrent cell: the mathematics of one step.

use std::fmt::Debug;

use super::lane::Lane;

/// The mathematics of one step of a recurrence with `GATES` gates, unit by unit.
///
/// Each gate has a block of columns in `wx`, `wh` and `b`. The driver computes the preactivations of all gates,
/// `x wx + h wh + b`, hands those of a few units to the cell, and does with gradients what follows from that: the cell sees
/// neither weights nor sequences nor memory. A gate's value lies where its preactivation was, and going back the gradient
/// of the preactivation where the value was.
///
/// Mark both functions, and what they call, `#[inline(always)]`: they are compiled for the processor's vectors only where
/// they are inlined.
pub trait Cell<const GATES: usize>: Debug + Copy + Send + Sync + 'static {
    /// Whether a cell state c is carried beside the state h.
    const HAS_CELL_STATE: bool = false;

    /// What the recurrent weights of the last gate are multiplied by.
    fn candidate(self) -> Candidate {
        Candidate::State
    }

    /// From preactivations to the values of the gates, which [`backward`](Self::backward) finds, and to the new state.
    fn forward<V: Lane>(self, gates: [V; GATES], before: Before<V>) -> ([V; GATES], State<V>);

    /// From the gradient of the new state to those of preactivations and of what was before. `after` is the new state.
    fn backward<V: Lane>(
        self,
        gates: [V; GATES],
        before: Before<V>,
        after: State<V>,
        gradient: State<V>,
    ) -> Gradients<V, GATES>;
}

/// What the recurrent weights of the last gate, the candidate for the new state, are multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate {
    /// By the state, as those of all gates.
    State,
    /// By the state. The product, plus a bias of its own `bn`, is kept out of the preactivation: it is
    /// [`Before::product`], and the cell says how it comes in.
    Apart,
    /// By the state as far as the first gate lets it through, `sigmoid(a) * h`. Cells find the first gate's value in place
    /// of its preactivation a, and leave the gradient of that value, as far as it does not come from this product. Such a
    /// cell has 2 or 3 gates.
    Filtered,
}

/// The state that is carried from step to step, or its gradient. Without a cell state, c is 0.
#[derive(Debug, Clone, Copy)]
pub struct State<V> {
    /// The state, which is the output.
    pub h: V,
    /// The cell state.
    pub c: V,
}

impl<V: Lane> State<V> {
    /// A state without a cell state.
    #[inline(always)]
    pub fn of(h: V) -> Self {
        State { h, c: h.zero() }
    }
}

/// What a step reads beside preactivations.
#[derive(Debug, Clone, Copy)]
pub struct Before<V> {
    /// The state before the step.
    pub h: V,
    /// The cell state before the step.
    pub c: V,
    /// `h wh_n + bn` of the last gate n if it is [`Apart`](Candidate::Apart); else 0.
    pub product: V,
}

/// The gradients of what a step reads.
#[derive(Debug, Clone, Copy)]
pub struct Gradients<V, const GATES: usize> {
    /// Those of preactivations.
    pub gates: [V; GATES],
    /// That of the state before the step, as far as it does not come from products.
    pub h: V,
    /// That of the cell state before the step.
    pub c: V,
    /// That of [`Before::product`].
    pub product: V,
}

impl<V: Lane, const GATES: usize> Gradients<V, GATES> {
    /// Gradients of preactivations alone; all others are 0.
    #[inline(always)]
    pub fn of(gates: [V; GATES]) -> Self {
        let zero = gates[0].zero();
        Gradients { gates, h: zero, c: zero, product: zero }
    }
}
