//! Pictures with a border.

use engine_core::field::Finite;
use engine_core::registry::LAYER;
use engine_core::{
    Backward, Dependence, Dim, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Signature, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;
use crate::pooling::shared as pooling;

/// Pictures with rows and columns added around them.
///
/// ```text
/// y[n, c, i, j] = x[n, c, i - top, j - left]        within the picture
///                 number                            around it    with: Constant(number)
///                 x at the place mirrored at the edge            with: Reflect
///                 x at the nearest place                         with: Replicate
/// ```
///
/// Mirroring leaves the row or column at the edge itself single. Conventions of PyTorch's `functional.pad`.
///
/// # Shapes
/// - `x`: `[Batch, Channels, Height, Width]`
/// - output: `[Batch, Channels, Height + top + bottom, Width + left + right]`
///
/// # Errors
/// A mirrored border that is as wide as the picture or wider is refused: there is nothing left to mirror.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pad {
    /// How many rows are added above.
    pub top: usize,
    /// How many rows are added below.
    pub bottom: usize,
    /// How many columns are added on the left.
    pub left: usize,
    /// How many columns are added on the right.
    pub right: usize,
    /// What is in them.
    pub with: Border,
}

/// What is around a picture.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Border {
    /// This number.
    Constant(Finite),
    /// The picture, mirrored at its edge.
    Reflect,
    /// The row or column at its edge, again and again.
    Replicate,
}

impl Default for Pad {
    /// No border; zeros, as convolutions have them, where there is one.
    fn default() -> Self {
        let with = Border::Constant(Finite::constant(0.0));
        Pad { top: 0, bottom: 0, left: 0, right: 0, with }
    }
}

const X: usize = 0;

#[typetag::serde]
impl Layer for Pad {
    fn ports(&self) -> Vec<Port> {
        vec![pooling::port()]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        let [height, width] = pooling::sides(x)?;
        if self.with == Border::Reflect {
            let borders = [
                ("top", self.top, height),
                ("bottom", self.bottom, height),
                ("left", self.left, width),
                ("right", self.right, width),
            ];
            for (field, border, side) in borders {
                if side.size().is_some_and(|side| border >= side) {
                    let message = format!(
                        "expected a mirrored border narrower than the {side} of {x}, found {border}"
                    );
                    return Err(PlanError::field(field, message));
                }
            }
        }
        let plus = |side: Dim, border: usize| match border {
            0 => side,
            border => side.plus(Dim::Fixed(border)),
        };
        let height = plus(height, self.top.saturating_add(self.bottom));
        let width = plus(width, self.left.saturating_add(self.right));
        Ok(Signature::output([x[0], x[1], height, width], Dependence::Item))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone())
    }
}

impl Border {
    /// Where in a picture's `size` places what is at place `at` comes from, `before` places being added in front; `None`
    /// for a constant.
    fn source(self, at: usize, before: usize, size: usize) -> Option<usize> {
        let last = size.saturating_sub(1);
        match self {
            _ if (before..before + size).contains(&at) => Some(at - before),
            Border::Constant(_) => None,
            Border::Replicate => Some(at.saturating_sub(before).min(last)),
            Border::Reflect if at < before => Some((before - at).min(last)),
            Border::Reflect => Some((2 * last + before).saturating_sub(at)),
        }
    }

    fn number<T: Scalar>(self) -> T {
        match self {
            Border::Constant(number) => T::of(number.get()),
            Border::Reflect | Border::Replicate => T::zero(),
        }
    }
}

impl Pad {
    /// The places of a padded row of `width` numbers that are in its border.
    fn margins(&self, width: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.left).chain(self.left + width..self.left + width + self.right)
    }
}

impl<T: Scalar> Kernel<T> for Pad {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y) = (&cx.inputs[X], &mut cx.outputs[0]);
        let ([height, width], [_, wide]) = (pooling::size(x), pooling::size(y));
        let (from, to, number) = (pooling::length(x), pooling::length(y), self.with.number());
        let piece = rows_a_piece(to);
        team::for_each_chunk_mut(y.as_mut_slice(), piece * to, |at, y| {
            let x = x.as_slice()[at * piece * from..].chunks_exact(from);
            for (y, x) in y.chunks_exact_mut(to).zip(x) {
                for (row, y) in y.chunks_exact_mut(wide).enumerate() {
                    let Some(row) = self.with.source(row, self.top, height) else {
                        y.fill(number);
                        continue;
                    };
                    let x = &x[row * width..][..width];
                    y[self.left..][..width].copy_from_slice(x);
                    for at in self.margins(width) {
                        y[at] = self.with.source(at, self.left, width).map_or(number, |at| x[at]);
                    }
                }
            }
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = &cx.output_gradients[0];
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let ([height, width], [_, wide]) = (pooling::size(dx), pooling::size(dy));
        let (from, to) = (pooling::length(dx), pooling::length(dy));
        let piece = rows_a_piece(to);
        team::for_each_chunk_mut(dx.as_mut_slice(), piece * from, |at, dx| {
            let dy = dy.as_slice()[at * piece * to..].chunks_exact(to);
            for (dx, dy) in dx.chunks_exact_mut(from).zip(dy) {
                for (row, dy) in dy.chunks_exact(wide).enumerate() {
                    let Some(row) = self.with.source(row, self.top, height) else { continue };
                    let dx = &mut dx[row * width..][..width];
                    dx.iter_mut().zip(&dy[self.left..]).for_each(|(dx, &dy)| *dx += dy);
                    for at in self.margins(width) {
                        if let Some(from) = self.with.source(at, self.left, width) {
                            dx[from] += dy[at];
                        }
                    }
                }
            }
        });
    }
}

register!(
    Pad in LAYER,
    example: "Pad(top: 1, bottom: 1, left: 1, right: 1)",
    checks: [
        "Pad(top: 1, left: 2, right: 1, with: Constant(0.5))",
        "Pad(bottom: 2, left: 3, with: Replicate)",
        "Pad(top: 1, bottom: 2, right: 1, with: Reflect)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{array, assert_near, graph, random};

    /// With PyTorch: `torch.nn.functional.pad(torch.tensor([[[[1., 2., 3.], [4., 5., 6.]]]]), (2, 1, 1, 0), mode)`.
    #[test]
    fn borders_are_those_of_pytorch() {
        let x = array(&[1, 1, 2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        for (with, expected) in [
            (
                "Constant(7.0)",
                [7., 7., 7., 7., 7., 7., 7., 7., 1., 2., 3., 7., 7., 7., 4., 5., 6., 7.],
            ),
            ("Reflect", [6., 5., 4., 5., 6., 5., 3., 2., 1., 2., 3., 2., 6., 5., 4., 5., 6., 5.]),
            ("Replicate", [1., 1., 1., 2., 3., 3., 1., 1., 1., 2., 3., 3., 4., 4., 4., 5., 6., 6.]),
        ] {
            let text = format!("Pad(top: 1, left: 2, right: 1, with: {with})");
            let mut bench = LayerBench::<f64>::new(&text, vec![x.clone().into()]);
            assert_near(&bench.forward(Mode::Eval), &array(&[1, 1, 3, 6], &expected));
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn without_a_border_the_picture_is_the_same() {
        let x = random::<f64>(&[2, 3, 1, 4], 1);
        let mut bench = LayerBench::new("Pad()", vec![x.clone().into()]);
        assert_eq!(bench.forward(Mode::Eval), x);
    }

    #[test]
    fn mirrors_that_are_too_wide_are_refused() {
        let node = r#"(name: "out", layer: Pad(left: 4, with: Reflect), from: ["x"])"#;
        let error = graph(r#""x": [Batch, 3, 5, 4]"#, node).unwrap_err();
        assert!(
            error.contains("field `left`: expected a mirrored border narrower than"),
            "{error}"
        );
    }
}
