//! Arrays made of others.

use engine_core::{Scalar, Tensor};

/// An array of one number.
pub(crate) fn filled<T: Scalar>(shape: &[usize], value: f64) -> Tensor<T> {
    let mut tensor = Tensor::zeros(shape);
    tensor.fill(T::of(value));
    tensor
}

/// A function of each element.
pub(crate) fn map<T: Scalar>(tensor: &Tensor<T>, f: impl Fn(T) -> T) -> Tensor<T> {
    let values = tensor.as_slice().iter().map(|x| f(*x)).collect();
    Tensor::from_vec(tensor.shape(), values).expect("the same number of elements")
}

/// `[N, A]` and `[N, B]` side by side: `[N, A + B]`.
pub(crate) fn beside<T: Scalar>(a: &Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    let rows = a.as_slice().chunks(a.dim(1)).zip(b.as_slice().chunks(b.dim(1)));
    let values = rows.flat_map(|(a, b)| [a, b].concat()).collect();
    Tensor::from_vec(&[a.dim(0), a.dim(1) + b.dim(1)], values).expect("both arrays' elements")
}

/// The first `count` columns of `[N, A]`.
pub(crate) fn columns<T: Scalar>(a: &Tensor<T>, count: usize) -> Tensor<T> {
    let values = a.as_slice().chunks(a.dim(1)).flat_map(|row| row[..count].to_vec()).collect();
    Tensor::from_vec(&[a.dim(0), count], values).expect("some of the elements of each row")
}

/// Steps `[N, A]` one after another: `[N, T, A]`.
pub(crate) fn in_time<T: Scalar>(steps: &[&Tensor<T>]) -> Tensor<T> {
    let (rows, width) = (steps[0].dim(0), steps[0].dim(1));
    let row = |row: usize| steps.iter().flat_map(move |s| &s.as_slice()[row * width..][..width]);
    let values = (0..rows).flat_map(row).copied().collect();
    Tensor::from_vec(&[rows, steps.len(), width], values).expect("all steps' elements")
}

/// One step of `[N, T, A]`.
pub(crate) fn at_time<T: Scalar>(tensor: &Tensor<T>, t: usize) -> Tensor<T> {
    let (rows, width) = (tensor.dim(0), tensor.dim(2));
    let steps = tensor.as_slice().chunks(width).skip(t).step_by(tensor.dim(1));
    Tensor::from_vec(&[rows, width], steps.flatten().copied().collect()).expect("a row each")
}
