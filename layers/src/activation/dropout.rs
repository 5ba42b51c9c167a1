//! Noise that switches numbers off.

use engine_core::field::Fraction;
use engine_core::layer::context::Noise;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, Mode, PlanError, Port,
    PortShapes, Saved, Scalar, Signature, register,
};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise;

/// Noise in training: switches a share of the numbers off, others at each step, and scales up the rest.
///
/// ```text
/// y = x m        m: 0 with probability rate, else 1 / (1 - rate)        training
/// y = x                                                                 validation and sampling
/// ```
///
/// The mean of y is x, so that nothing needs rescaling when the noise is off. Srivastava et al., 2014, with the scale
/// moved to training. The same seed, node and step draw the same m, in either precision and on any number of threads.
///
/// # Shapes
/// - `x`: any
/// - output: that of `x`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dropout {
    /// The share of numbers that are switched off, on average.
    pub rate: Fraction,
}

impl Default for Dropout {
    /// Srivastava et al. find a half close to the best for hidden units of many networks.
    fn default() -> Self {
        Dropout { rate: Fraction::constant(0.5) }
    }
}

const X: usize = 0;

#[typetag::serde]
impl Layer for Dropout {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        Ok(Signature::output(inputs.shape(X).clone(), Dependence::Position))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let mask = memory.saved(memory.output().clone());
        Lowered::new(DropoutKernel { dropout: self.clone(), mask })
    }
}

/// The noise; `mask` holds m.
#[derive(Debug)]
struct DropoutKernel {
    dropout: Dropout,
    mask: Saved,
}

impl Dropout {
    /// Draws m, one number after the other: number w of the row at place p is the `p width + w`-th of the stream.
    fn draw<T: Scalar>(&self, mask: &mut [T], noise: Noise<'_>) {
        let width = noise.row_length(mask.len());
        let rate = self.rate.get();
        let scale = T::of(1.0 / (1.0 - rate));
        let off_below = (rate * 2f64.powi(32)).round() as u64;
        let mut rng = noise.rng();
        let mut next = 0;
        for (row, mask) in mask.chunks_exact_mut(width).enumerate() {
            let place = noise.place(row);
            if place != next {
                rng.set_word_pos(place as u128 * width as u128);
            }
            next = place + 1;
            for m in mask {
                *m = if u64::from(rng.next_u32()) < off_below { T::zero() } else { scale };
            }
        }
    }
}

impl<T: Scalar> Kernel<T> for DropoutKernel {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let y = cx.outputs[0].as_mut_slice();
        y.copy_from_slice(cx.inputs[X].as_slice());
        if let Mode::Train { .. } = cx.mode {
            let mask = cx.saved[self.mask].as_mut_slice();
            self.dropout.draw(mask, cx.noise);
            elementwise::multiply(y, mask);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = cx.output_gradients[0].as_slice();
        let Some(dx) = cx.input_gradients.get(X) else { return };
        match cx.mode {
            Mode::Train { .. } => {
                elementwise::add_scaled(
                    dx.as_mut_slice(),
                    dy,
                    cx.saved[self.mask].as_slice(),
                    |m| m,
                );
            }
            Mode::Eval => elementwise::add(dx.as_mut_slice(), dy),
        }
    }
}

register!(
    Dropout in LAYER,
    example: "Dropout(rate: 0.5)",
    checks: ["Dropout()", "Dropout(rate: 0.2)", "Dropout(rate: 0)"],
);

#[cfg(test)]
mod tests {
    use engine_core::testing::LayerBench;

    use super::*;
    use crate::samples::{array, random};

    const STEP: Mode = Mode::Train { iteration: 5 };

    fn ones<T: Scalar>(count: usize) -> engine_core::Tensor<T> {
        array(&[1, count], &vec![T::one(); count])
    }

    #[test]
    fn evaluation_changes_nothing() {
        let x = random::<f64>(&[3, 4, 2], 1);
        let mut bench = LayerBench::new("Dropout(rate: 0.9)", vec![x.clone().into()]);
        assert_eq!(bench.forward(Mode::Eval), x);
        assert_eq!(bench.steps(), x);
        bench.backward(&x);
        assert_eq!(*bench.input_gradient(X), x);
    }

    #[test]
    fn a_share_is_off_and_the_rest_scaled() {
        let count = 100_000;
        for rate in [0.0, 0.2, 0.75] {
            let layer = format!("Dropout(rate: {rate})");
            let mut bench = LayerBench::<f64>::new(&layer, vec![ones::<f64>(count).into()]);
            let y = bench.forward(STEP);
            let off = y.as_slice().iter().filter(|y| **y == 0.0).count() as f64 / count as f64;
            // Four standard deviations of a binomial share.
            assert!(
                (off - rate).abs() <= 4.0 * (rate * (1.0 - rate) / count as f64).sqrt(),
                "{off}"
            );
            let scale = 1.0 / (1.0 - rate);
            assert!(y.as_slice().iter().all(|y| *y == 0.0 || (y - scale).abs() < 1e-12));
            bench.backward(&ones(count));
            assert_eq!(*bench.input_gradient(X), y, "the gradient passes where the number did");
        }
    }

    #[test]
    fn noise_is_the_steps_own_and_the_same_in_either_precision() {
        let mut double = LayerBench::<f64>::new("Dropout()", vec![ones::<f64>(500).into()]);
        let mut single = LayerBench::<f32>::new("Dropout()", vec![ones::<f32>(500).into()]);
        let y = double.forward(STEP);
        assert_eq!(y, double.forward(STEP));
        assert_ne!(y, double.forward(Mode::Train { iteration: 6 }));
        let same = y
            .as_slice()
            .iter()
            .zip(single.forward(STEP).as_slice())
            .all(|(a, b)| *a == f64::from(*b));
        assert!(same);
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let mut bench = LayerBench::new("Dropout()", vec![random::<f64>(&[3, 4, 2], 1).into()]);
        assert!(bench.gradient_error() < 1e-8);
    }

    #[test]
    fn a_rate_of_1_is_refused() {
        assert!(LayerBench::try_new("Dropout(rate: 1)", vec![ones::<f64>(1).into()]).is_err());
    }
}
