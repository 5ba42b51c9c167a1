//! A buffer with a shape: what the engine plans, layers read and write.

use std::ops::Range;

use aligned_vec::{AVec, CACHELINE_ALIGN};
use ndarray::{ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3};

/// A dense row-major array whose memory is kept when its shape changes. Its first element begins a cache line.
///
/// Layers look at it through ndarray: [`rows`](Self::rows) folds all dimensions but the last into one,
/// [`view3`](Self::view3) sees batch, time and features.
///
/// A loop over time shows layers the rows of one step: between [`enter`](Self::enter) and [`leave`](Self::leave), an
/// array looks as if it had no others.
#[derive(Debug, Clone)]
pub struct Tensor<T> {
    shape: Vec<usize>,
    data: AVec<T>,
    /// The elements that are shown.
    shown: Range<usize>,
    /// What the loops that it is in show parts of, from the outside in; those beyond `depth` are kept for their memory.
    entered: Vec<Entered>,
    depth: usize,
}

/// What a loop over time shows parts of.
#[derive(Debug, Clone, Default)]
struct Entered {
    shape: Vec<usize>,
    elements: Range<usize>,
}

impl<T: PartialEq> PartialEq for Tensor<T> {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape
            && self.data[self.shown.clone()] == other.data[other.shown.clone()]
    }
}

impl<T> Default for Tensor<T> {
    /// An array of one dimension, without elements.
    fn default() -> Self {
        Tensor::whole(vec![0], AVec::new(CACHELINE_ALIGN))
    }
}

impl<T> Tensor<T> {
    fn whole(shape: Vec<usize>, data: AVec<T>) -> Self {
        Tensor { shape, shown: 0..data.len(), data, entered: Vec::new(), depth: 0 }
    }
}

impl<T: Copy + Default> Tensor<T> {
    /// An array of zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        let mut tensor = Tensor::default();
        tensor.reshape(shape);
        tensor
    }

    /// An array of the given elements in row-major order, or `None` when their number is not the shape's.
    pub fn from_vec(shape: &[usize], data: Vec<T>) -> Option<Self> {
        (data.len() == shape.iter().product::<usize>())
            .then(|| Tensor::whole(shape.to_vec(), AVec::from_slice(CACHELINE_ALIGN, &data)))
    }

    /// Takes on another shape. Allocates only when it needs more memory than ever before; elements that are new are
    /// zero, those kept are unspecified.
    pub fn reshape(&mut self, shape: &[usize]) {
        self.reshape_rows(&[], shape);
    }

    /// As [`reshape`](Self::reshape), to the dimensions `lead` and `rest` one after the other.
    pub fn reshape_rows(&mut self, lead: &[usize], rest: &[usize]) {
        self.reshape_to(lead.iter().chain(rest).copied());
    }

    /// As [`reshape`](Self::reshape), to these dimensions.
    pub fn reshape_to(&mut self, shape: impl Iterator<Item = usize>) {
        self.shape.clear();
        self.shape.extend(shape);
        self.data.resize(self.shape.iter().product(), T::default());
        (self.shown, self.depth) = (0..self.data.len(), 0);
    }

    /// Takes on another shape over the first elements of its memory. What lies beyond them stays allocated and keeps its
    /// numbers, so that going back and forth between shapes costs nothing; elements are unspecified.
    pub(crate) fn occupy(&mut self, shape: &[usize]) {
        let length = shape.iter().product();
        if length > self.data.len() {
            self.data.resize(length, T::default());
        }
        self.shape.clear();
        self.shape.extend_from_slice(shape);
        (self.shown, self.depth) = (0..length, 0);
    }

    /// From now on, until [`leave`](Self::leave), [`show`](Self::show) chooses among the rows that are shown now.
    pub(crate) fn enter(&mut self) {
        if self.entered.len() == self.depth {
            self.entered.push(Entered::default());
        }
        let entered = &mut self.entered[self.depth];
        entered.elements = self.shown.clone();
        entered.shape.clear();
        entered.shape.extend_from_slice(&self.shape);
        self.depth += 1;
    }

    /// Shows these rows of what was entered, as an array of them. A row is made of the last `rank` dimensions.
    ///
    /// # Panics
    /// Outside of a loop, or when there are no such rows.
    pub(crate) fn show(&mut self, rows: Range<usize>, rank: usize) {
        let Entered { shape, elements } = &self.entered[self.depth - 1];
        let row = &shape[shape.len() - rank..];
        let length: usize = row.iter().product();
        self.shown = elements.start + rows.start * length..elements.start + rows.end * length;
        assert!(self.shown.end <= elements.end, "the rows are among those that were entered");
        self.shape.clear();
        self.shape.push(rows.len());
        self.shape.extend_from_slice(row);
    }

    /// Shows everything that was entered, in the shape that it had.
    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
        let Entered { shape, elements } = &self.entered[self.depth];
        self.shown = elements.clone();
        self.shape.clear();
        self.shape.extend_from_slice(shape);
    }

    /// All that was entered, whatever is shown of it.
    pub(crate) fn entered(&self) -> &[T] {
        &self.data[self.entered[self.depth - 1].elements.clone()]
    }

    /// As [`entered`](Self::entered), to be changed.
    pub(crate) fn entered_mut(&mut self) -> &mut [T] {
        &mut self.data[self.entered[self.depth - 1].elements.clone()]
    }

    /// Adds one more along the first dimension, behind what the array holds. Memory grows by doubling, so that adding one
    /// after the other takes constant time each.
    ///
    /// # Panics
    /// When the elements are not those of one of the first dimension.
    pub fn push(&mut self, one: &[T]) {
        let length: usize = self.shape.iter().skip(1).product();
        assert_eq!(one.len(), length, "one more along the first dimension");
        let free = self.data.capacity() - self.data.len();
        if free < length {
            self.data.reserve(self.data.len().max(length));
        }
        self.data.extend_from_slice(one);
        self.shown = 0..self.data.len();
        self.shape[0] += 1;
    }

    /// Makes room for so many elements, so that no shape of no more of them allocates.
    pub fn reserve(&mut self, elements: usize) {
        if elements > self.data.capacity() {
            self.data.reserve(elements - self.data.len());
        }
    }

    /// How many elements there is memory for.
    pub(crate) fn capacity(&self) -> usize {
        self.data.capacity()
    }

    /// The length of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The length of dimension `axis`; 1 where the array has fewer dimensions.
    pub fn dim(&self, axis: usize) -> usize {
        self.shape.get(axis).copied().unwrap_or(1)
    }

    /// The elements in row-major order.
    pub fn as_slice(&self) -> &[T] {
        &self.data[self.shown.clone()]
    }

    /// The elements in row-major order, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data[self.shown.clone()]
    }

    /// Sets every element.
    pub fn fill(&mut self, value: T) {
        self.as_mut_slice().fill(value);
    }

    /// All dimensions but the last folded into rows: `[N, T, D]` is seen as `[N*T, D]`, a scalar as `[1, 1]`.
    pub fn rows(&self) -> ArrayView2<'_, T> {
        let shape = self.row_shape();
        ArrayView2::from_shape(shape, self.as_slice()).expect("rows x last dimension is the length")
    }

    /// As [`rows`](Self::rows), to be changed.
    pub fn rows_mut(&mut self) -> ArrayViewMut2<'_, T> {
        let shape = self.row_shape();
        ArrayViewMut2::from_shape(shape, self.as_mut_slice())
            .expect("rows x last dimension is the length")
    }

    /// The first dimension against all others: `[N, C, H, W]` is seen as `[N, C*H*W]`.
    pub fn flat(&self) -> ArrayView2<'_, T> {
        let shape = self.flat_shape();
        ArrayView2::from_shape(shape, self.as_slice())
            .expect("first dimension x rest is the length")
    }

    /// As [`flat`](Self::flat), to be changed.
    pub fn flat_mut(&mut self) -> ArrayViewMut2<'_, T> {
        let shape = self.flat_shape();
        ArrayViewMut2::from_shape(shape, self.as_mut_slice())
            .expect("first dimension x rest is the length")
    }

    /// A `[batch, time, features]` array.
    ///
    /// # Panics
    /// When the array is not of rank 3, which a layer's ports rule out before it runs.
    pub fn view3(&self) -> ArrayView3<'_, T> {
        let shape = self.shape3();
        ArrayView3::from_shape(shape, self.as_slice())
            .expect("the product of the shape is the length")
    }

    /// As [`view3`](Self::view3), to be changed.
    ///
    /// # Panics
    /// When the array is not of rank 3.
    pub fn view3_mut(&mut self) -> ArrayViewMut3<'_, T> {
        let shape = self.shape3();
        ArrayViewMut3::from_shape(shape, self.as_mut_slice())
            .expect("the product of the shape is the length")
    }

    fn row_shape(&self) -> (usize, usize) {
        let width = self.shape.last().copied().unwrap_or(1);
        (self.shape.iter().rev().skip(1).product(), width)
    }

    fn flat_shape(&self) -> (usize, usize) {
        (self.dim(0), self.shape.iter().skip(1).product())
    }

    fn shape3(&self) -> (usize, usize, usize) {
        assert_eq!(self.shape.len(), 3, "an array of rank 3");
        (self.shape[0], self.shape[1], self.shape[2])
    }
}

impl<T> AsRef<[T]> for Tensor<T> {
    fn as_ref(&self) -> &[T] {
        &self.data[self.shown.clone()]
    }
}

impl<T> AsMut<[T]> for Tensor<T> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.data[self.shown.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_fold_dimensions() {
        let tensor = Tensor::from_vec(&[2, 3, 4], (0..24).collect()).unwrap();
        assert_eq!(tensor.rows().dim(), (6, 4));
        assert_eq!(tensor.flat().dim(), (2, 12));
        assert_eq!(tensor.view3()[[1, 2, 3]], 23);
        assert_eq!(Tensor::<u32>::zeros(&[]).rows().dim(), (1, 1));
        assert!(Tensor::from_vec(&[2, 2], vec![0.0; 3]).is_none());
    }

    #[test]
    fn arrays_grow_along_their_first_dimension() {
        let mut tensor = Tensor::<u32>::zeros(&[0, 2, 3]);
        for at in 0..5 {
            tensor.push(&[at; 6]);
        }
        assert_eq!(tensor.shape(), [5, 2, 3]);
        assert!(tensor.view3().indexed_iter().all(|((t, ..), x)| *x == t as u32));
    }

    #[test]
    fn reshaping_down_and_up_again_keeps_the_memory() {
        let mut tensor = Tensor::<f32>::zeros(&[4, 5]);
        let before = tensor.as_slice().as_ptr();
        tensor.reshape(&[2, 5]);
        tensor.reshape(&[5, 4]);
        assert_eq!(tensor.as_slice().as_ptr(), before);
        assert_eq!(tensor.shape(), [5, 4]);
    }

    #[test]
    fn a_tenant_leaves_the_memory_as_large_as_it_was() {
        let mut tensor = Tensor::from_vec(&[2, 3], (0..6).collect()).unwrap();
        tensor.occupy(&[2, 1]);
        assert_eq!((tensor.shape(), tensor.as_slice()), (&[2, 1][..], &[0, 1][..]));
        tensor.occupy(&[6]);
        assert_eq!(tensor.as_slice(), [0, 1, 2, 3, 4, 5]);
        tensor.occupy(&[2, 4]);
        assert_eq!(tensor.as_slice().len(), 8);
    }

    #[test]
    fn a_loop_sees_the_rows_of_a_step() {
        let mut tensor = Tensor::from_vec(&[3, 2, 2], (0..12).collect()).unwrap();
        tensor.enter();
        tensor.show(2..4, 1);
        assert_eq!((tensor.shape(), tensor.as_slice()), (&[2, 2][..], &[4, 5, 6, 7][..]));
        // A loop in a loop sees a part of that.
        tensor.enter();
        tensor.show(1..2, 1);
        tensor.fill(0);
        tensor.leave();
        assert_eq!((tensor.shape(), tensor.as_slice()), (&[2, 2][..], &[4, 5, 0, 0][..]));
        tensor.show(0..3, 2);
        assert_eq!((tensor.shape(), tensor.as_slice().len()), (&[3, 2, 2][..], 12));
    }
}
