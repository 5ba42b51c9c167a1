//! Shapes, symbolic until data binds them: `[Batch, Time, Features]`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::array::dim::{Dim, Symbol};

/// The dimensions of an array, outermost first. A scalar has none.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Vec<Dim>);

impl Shape {
    /// The shape of a single number.
    pub fn scalar() -> Self {
        Self::default()
    }

    /// A shape of these dimensions.
    pub fn new(dims: impl IntoIterator<Item = Dim>) -> Self {
        Shape(dims.into_iter().collect())
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[Dim] {
        &self.0
    }

    /// How many dimensions there are.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// The innermost dimension; 1 for a scalar.
    pub fn last(&self) -> Dim {
        self.0.last().copied().unwrap_or(Dim::Fixed(1))
    }

    /// Whether one of the dimensions is called `symbol`.
    pub fn has(&self, symbol: Symbol) -> bool {
        self.0.iter().any(|dim| dim.is(symbol))
    }

    /// How many of the first dimensions are those of the batch: 2 for `[Batch, Time, ..]`, 1 for `[Batch, ..]`, else 0.
    pub fn batch_lead(&self) -> usize {
        let is = |at: usize, symbol| self.0.get(at).is_some_and(|dim| dim.is(symbol));
        match (is(0, Symbol::BATCH), is(1, Symbol::TIME)) {
            (true, true) => 2,
            (true, false) => 1,
            _ => 0,
        }
    }

    /// The shape of such arrays for all steps of a dimension, which comes after the batch. One that has no row for each
    /// sequence stays as it is.
    pub fn over_steps(&self, over: Dim) -> Self {
        let mut dims = self.0.clone();
        if self.batch_lead() > 0 {
            dims.insert(1, over);
        }
        Shape(dims)
    }

    /// This shape with its innermost dimension replaced.
    pub fn with_last(&self, last: Dim) -> Self {
        let mut dims = self.0.clone();
        dims.pop();
        dims.push(last);
        Shape(dims)
    }

    /// Whether both shapes have the same rank and dimensions that can be equal.
    pub fn agrees(&self, other: &Self) -> bool {
        self.rank() == other.rank() && self.0.iter().zip(&other.0).all(|(a, b)| a.agrees(*b))
    }

    /// Every dimension's number under the given bindings, or the first symbol that has none.
    pub fn resolve(&self, sizes: &Sizes) -> Result<Vec<usize>, Symbol> {
        self.0.iter().map(|dim| sizes.resolve(*dim)).collect()
    }
}

impl std::ops::Index<usize> for Shape {
    type Output = Dim;
    fn index(&self, at: usize) -> &Dim {
        &self.0[at]
    }
}

impl<const N: usize> From<[Dim; N]> for Shape {
    fn from(dims: [Dim; N]) -> Self {
        Shape(dims.to_vec())
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, dim) in self.0.iter().enumerate() {
            write!(f, "{}{dim}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What symbols stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes(Vec<(Symbol, usize)>);

impl Sizes {
    /// No symbol is bound.
    pub fn new() -> Self {
        Self::default()
    }

    /// These bindings and `symbol = size`, in place of an earlier one of the same symbol.
    pub fn with(mut self, symbol: Symbol, size: usize) -> Self {
        self.set(symbol, size);
        self
    }

    /// Binds `symbol` to `size`, in place of an earlier binding.
    pub fn set(&mut self, symbol: Symbol, size: usize) {
        match self.0.iter_mut().find(|(known, _)| *known == symbol) {
            Some(binding) => binding.1 = size,
            None => self.0.push((symbol, size)),
        }
    }

    /// The number that `symbol` is bound to, or that follows from what it is composed of.
    pub fn get(&self, symbol: Symbol) -> Option<usize> {
        let bound = self.0.iter().find(|(known, _)| *known == symbol).map(|(_, size)| *size);
        bound.or_else(|| symbol.compose(|part| self.resolve(part).ok()))
    }

    /// All bindings, in the order in which they were made.
    pub fn iter(&self) -> impl Iterator<Item = (Symbol, usize)> + '_ {
        self.0.iter().copied()
    }

    /// `dim` with its number filled in where it is known.
    pub fn bind(&self, dim: Dim) -> Dim {
        match dim {
            Dim::Named(symbol, None) => Dim::Named(symbol, self.get(symbol)),
            known => known,
        }
    }

    /// The number of `dim`, or the symbol that is not bound. A binding beats the number a name came with.
    pub fn resolve(&self, dim: Dim) -> Result<usize, Symbol> {
        match dim {
            Dim::Fixed(size) => Ok(size),
            Dim::Named(symbol, size) => self.get(symbol).or(size).ok_or(symbol),
        }
    }
}

impl<'a> FromIterator<(&'a str, usize)> for Sizes {
    fn from_iter<I: IntoIterator<Item = (&'a str, usize)>>(pairs: I) -> Self {
        pairs
            .into_iter()
            .fold(Self::new(), |sizes, (name, size)| sizes.with(Symbol::new(name), size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_sizes_follow_from_their_parts() {
        let sizes = Sizes::new().with(Symbol::new("Units"), 5).with(Symbol::new("Width"), 2);
        let four = Dim::named("Units").times(4);
        assert_eq!(sizes.resolve(four), Ok(20));
        assert_eq!(sizes.resolve(four.plus(Dim::named("Width")).by(Dim::Fixed(3))), Ok(66));
        assert_eq!(sizes.bind(four).to_string(), "4*Units=20");
        assert_eq!(Sizes::new().resolve(four), Err(four.symbol().unwrap()));
    }
}
