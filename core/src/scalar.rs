//! The number types that a network computes in.

use std::iter::Sum;

use ndarray::NdFloat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::layer::kernel::{Kernel, Operation};
use crate::optimizer::{Optimizer, Update};

/// Which [`Scalar`] a graph computes in, chosen in its file: `precision: F64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Precision {
    /// Single precision, 24 bits of mantissa: for training.
    #[default]
    F32,
    /// Double precision, 53 bits: for checking mathematics.
    F64,
}

/// A floating-point type. Layers and update rules are written once for all of them.
pub trait Scalar:
    NdFloat + Default + Sum + engine_kernels::gemm::Gemm + engine_kernels::math::Math
{
    /// The [`Precision`] that names this type.
    const PRECISION: Precision;

    /// The nearest value of this type.
    fn of(value: f64) -> Self;

    /// The value in double precision.
    fn f64(self) -> f64;

    /// The operation's mathematics in this type.
    fn kernel(operation: &dyn Operation) -> &dyn Kernel<Self>;

    /// The rule's mathematics in this type.
    fn update(rule: &dyn Optimizer) -> &dyn Update<Self>;
}

macro_rules! scalar {
    ($type:ty, $precision:ident) => {
        impl Scalar for $type {
            const PRECISION: Precision = Precision::$precision;
            fn of(value: f64) -> Self {
                value as $type
            }
            fn f64(self) -> f64 {
                f64::from(self)
            }
            fn kernel(operation: &dyn Operation) -> &dyn Kernel<Self> {
                operation
            }
            fn update(rule: &dyn Optimizer) -> &dyn Update<Self> {
                rule
            }
        }
    };
}

scalar!(f32, F32);
scalar!(f64, F64);
