//! Where in a sequence a step is, as waves.

use engine_core::field::Finite;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Scratch, Signature, Step, Tensor, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::for_each_row;
use crate::elementwise;

/// Adds to each step where in its sequence it is: sinusoids of wavelengths from 2 pi to 20000 pi steps.
///
/// ```text
/// y[n, t] = scale x[n, t] + p[t]
/// p[t, 2i] = sin(t / 10000^(2i / Width))        p[t, 2i + 1] = cos(t / 10000^(2i / Width))
/// ```
///
/// Vaswani et al., 2017; they scale word vectors by the root of their length.
///
/// # Shapes
/// - `x`: `[Batch, Time, Width]`
/// - output: that of `x`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PositionalEncoding {
    /// What x is multiplied by.
    pub scale: Finite,
}

impl Default for PositionalEncoding {
    /// x as it is.
    fn default() -> Self {
        PositionalEncoding { scale: Finite::constant(1.0) }
    }
}

const X: usize = 0;

#[typetag::serde]
impl Layer for PositionalEncoding {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Width")])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        Ok(Signature::output(inputs.shape(X).clone(), Dependence::Position))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let x = memory.input(X);
        let waves = memory.scratch([x[1], x[2]]);
        Lowered::new(Waves { scale: self.scale.get(), waves })
    }
}

/// scale x + p; `waves` holds p, a row a step.
#[derive(Debug)]
struct Waves {
    scale: f64,
    waves: Scratch,
}

impl<T: Scalar> Kernel<T> for Waves {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.add_waves(cx, 0);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        self.add_waves(&mut cx.forward, cx.at);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (dy, scale) = (cx.output_gradients[0].as_slice(), T::of(self.scale));
        if let Some(dx) = cx.input_gradients.get(X) {
            elementwise::add_scaled(dx.as_mut_slice(), dy, dy, |_| scale);
        }
    }
}

impl Waves {
    /// The first step of x is step `first` of its sequence.
    fn add_waves<T: Scalar>(&self, cx: &mut Forward<'_, T>, first: usize) {
        let (x, scale) = (cx.inputs[X].as_slice(), T::of(self.scale));
        waves(&mut cx.scratch[self.waves], first);
        let (waves, width) = (cx.scratch[self.waves].as_slice(), cx.scratch[self.waves].dim(1));
        for_each_row(&mut cx.outputs[0], cx.sequences, |row, t, y| {
            let read = x[row * width..].iter().zip(&waves[t * width..]);
            y.iter_mut().zip(read).for_each(|(y, (&x, &p))| *y = scale * x + p);
        });
    }
}

/// p of the steps from `first` on.
fn waves<T: Scalar>(p: &mut Tensor<T>, first: usize) {
    let width = p.dim(1);
    team::for_each_chunk_mut(p.as_mut_slice(), width, |t, p| {
        for (pair, p) in p.chunks_mut(2).enumerate() {
            let wavelength = 10_000f64.powf((2 * pair) as f64 / width as f64);
            let (sin, cos) = ((first + t) as f64 / wavelength).sin_cos();
            p.iter_mut().zip([sin, cos]).for_each(|(p, wave)| *p = T::of(wave));
        }
    });
}

register!(
    PositionalEncoding in LAYER,
    example: "PositionalEncoding()",
    checks: ["PositionalEncoding()", "PositionalEncoding(scale: 22.6)"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, assert_near, from_fn, random};

    #[test]
    fn equals_the_formula_at_every_step() {
        for [n, t, width, _] in SIZES {
            let x = random::<f64>(&[n, t, width], 1);
            let layer = "PositionalEncoding(scale: 1.5)";
            let mut bench = LayerBench::new(layer, vec![x.clone().into()]);
            let y = bench.forward(Mode::Eval);
            let expected = from_fn([n, t, width], |[i, s, j]| {
                let exponent = (j - j % 2) as f64 / width as f64;
                let angle = s as f64 / 10_000f64.powf(exponent);
                let wave = if j % 2 == 0 { angle.sin() } else { angle.cos() };
                1.5 * x.view3()[[i, s, j]] + wave
            });
            assert_near(&y, &expected);
            assert_near(&bench.steps(), &y);
            assert!(bench.gradient_error() < 1e-8);
        }
    }
}
