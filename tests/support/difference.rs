//! How far results are from what they should be.

use engine_core::{Scalar, Tensor};

/// The distance between an array and its exact values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    /// The largest |found - exact| over the largest |exact| of the array: nothing is divided by zero, and no element
    /// may be off by more than this share of the array's scale. An array of zeros must be met exactly.
    pub(crate) of_array: f64,
    /// The largest |found - exact| / |exact| over the elements that are not 0. For information: where terms cancel,
    /// rounding alone makes it large.
    pub(crate) of_element: f64,
}

impl Difference {
    /// Compares element by element; what is not a number differs infinitely.
    pub(crate) fn between<T: Scalar>(found: &[T], exact: &[f64]) -> Difference {
        assert_eq!(found.len(), exact.len(), "as many elements as there should be");
        let pairs = || found.iter().zip(exact).map(|(found, exact)| (found.f64(), *exact));
        let error = |(found, exact): (f64, f64)| {
            let error = (found - exact).abs();
            if error.is_nan() { f64::INFINITY } else { error }
        };
        let most = |errors: &mut dyn Iterator<Item = f64>| errors.fold(0.0, f64::max);
        let largest = most(&mut exact.iter().map(|exact| exact.abs()));
        let of_array = most(&mut pairs().map(error)) / largest.max(f64::MIN_POSITIVE);
        let of_elements = pairs().filter(|(_, exact)| *exact != 0.0);
        let of_element = most(&mut of_elements.map(|pair| error(pair) / pair.1.abs()));
        Difference { of_array, of_element }
    }

    /// As [`between`](Self::between), for arrays of the same shape; dimensions of length 1 do not count.
    pub(crate) fn of<T: Scalar>(found: &Tensor<T>, exact: &Tensor<f64>) -> Difference {
        let shape = |shape: &[usize]| -> Vec<usize> {
            shape.iter().copied().filter(|length| *length != 1).collect()
        };
        assert_eq!(shape(found.shape()), shape(exact.shape()), "the shape that there should be");
        Self::between(found.as_slice(), exact.as_slice())
    }
}
