//! Functions that go element by element.

use std::fmt::Debug;

/// y = f(x_1, x_2, ..), element by element.
pub trait Pointwise<T>: Send + Sync {
    /// Computes y. All slices are equally long.
    fn value(&self, x: &[&[T]], y: &mut [T]);

    /// dx = dx + dy times the derivative of y by the argument at `port`. Of x and y, what the function does not
    /// [look at](Function::looks_at) may be empty.
    fn add_slope(&self, x: &[&[T]], y: &[T], dy: &[T], port: usize, dx: &mut [T]);
}

/// A function of a layer in every precision: see [`Meaning::Elementwise`](crate::Meaning::Elementwise).
pub trait Function: Pointwise<f32> + Pointwise<f64> + Debug + Send + Sync {
    /// What its derivatives are computed from.
    fn looks_at(&self) -> LooksAt;

    /// Whether it is max(0, x), which forms of other layers can end in.
    fn is_relu(&self) -> bool {
        false
    }
}

/// What the derivatives of a function are computed from, beside the gradient of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LooksAt {
    /// Nothing: they are constants.
    Nothing,
    /// The value.
    Value,
    /// The arguments.
    Arguments,
}

/// Which columns of an array make another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// All.
    All,
    /// Those of one of so many equal parts.
    Part {
        /// Which one.
        index: usize,
        /// Of how many.
        of: usize,
    },
    /// As many as there are, from this one on.
    From(usize),
}

impl Columns {
    /// The first of them, when there are `width`.
    pub fn first(self, width: usize) -> usize {
        match self {
            Columns::All => 0,
            Columns::Part { index, .. } => index * width,
            Columns::From(first) => first,
        }
    }
}
