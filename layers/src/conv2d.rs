//! Convolutions over pictures.

mod columns;
pub(crate) mod geometry;

use engine_core::context::Forward;
use engine_core::gemm::{add_product, product};
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dim, Kernel, Layer, LayerPlan, Pair, Part, PlanError, Port, PortShapes, Reach,
    Scalar, register, team,
};
use ndarray::{ArrayView2, ArrayViewMut2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::geometry::{Geometry, Window};
use crate::affine::with_bias;
use crate::fused;

/// Filters that are moved over pictures: each gives a map of how much what is at a position is like the filter.
///
/// ```text
/// y[n, u, i, j] = b[u] + sum over c, k, l of w[u, c, k, l] x[n, first + c, s i + d k - p, s j + d l - p]
/// first = Channels / groups * (u / (units / groups), rounded down)        c = 0 .. Channels / groups - 1
/// H' = (Height + 2 p - d (k - 1) - 1) / s + 1, rounded down, with the height's stride s, padding p, dilation d, kernel k
/// W' in the same way from the width's
/// ```
///
/// Beyond a picture's edge x is 0. With `groups` the channels are cut into equal parts, and each part has filters of its
/// own. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998; conventions of PyTorch.
///
/// # Shapes
/// - `x`: `[Batch, Channels, Height, Width]`, all but `Batch` known as numbers
/// - output: `[Batch, units, H', W']`
/// - parameters: `w` `[units, Channels / groups, kernel height, kernel width]`, `b` `[units]` unless `bias: false`
///
/// # Errors
/// A kernel that is larger than the padded picture, groups that do not divide channels and units, and a kernel, a stride,
/// a dilation or groups of 0 are refused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// How many filters there are, and maps that come out.
    pub units: Dim,
    /// How many pixels a filter covers, as if dilation were 1.
    pub kernel: Pair,
    /// How many pixels a filter moves from one position to the next.
    #[serde(default)]
    pub stride: Pair,
    /// How many rows and columns of zeros are added on each side.
    #[serde(default = "no_padding")]
    pub padding: Pair,
    /// How far apart the pixels are that a filter covers.
    #[serde(default)]
    pub dilation: Pair,
    /// How many parts the channels are cut into, from 1.
    #[serde(default = "one_group")]
    pub groups: usize,
    /// Whether `b` is added.
    #[serde(default = "with_bias")]
    pub bias: bool,
    /// How the first `w` is drawn, as a matrix from all that a filter covers to `units`; `b` starts at 0.
    #[serde(default)]
    pub init: Init,
}

/// The default of the field `padding`.
pub(crate) fn no_padding() -> Pair {
    Pair::both(0)
}

fn one_group() -> usize {
    1
}

const X: usize = 0;
const W: usize = 0;
const B: usize = 1;

#[typetag::serde]
impl Layer for Conv2d {
    fn ports(&self) -> Vec<Port> {
        let pictures = ["Channels", "Height", "Width"].map(Axis::Any);
        vec![Port::real("x", [&[Axis::BATCH], &pictures[..]].concat())]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let x = inputs.shape(X);
        let (channels, input) = geometry::picture(x)?;
        let output = self.window().output(input)?;
        let units = inputs.bind(self.units);
        if self.groups == 0 || !channels.is_multiple_of(self.groups) {
            let message = format!(
                "expected groups that divide the {channels} channels of {x}, found {}",
                self.groups
            );
            return Err(PlanError::field("groups", message));
        }
        if let Some(units) = units.size().filter(|units| !units.is_multiple_of(self.groups)) {
            let message =
                format!("expected groups that divide the {units} units, found {}", self.groups);
            return Err(PlanError::field("groups", message));
        }
        let [height, width] = [output.height, output.width].map(Dim::Fixed);
        let [down, right] = [self.kernel.height, self.kernel.width].map(Dim::Fixed);
        let depth = channels / self.groups;
        let taps = self.kernel.height.saturating_mul(self.kernel.width);
        let columns = [depth.saturating_mul(taps).into(), (output.height * output.width).into()];
        let memory =
            LayerPlan::output([x[0], units, height, width]).scratch(columns).reach(Reach::Row);
        let plan = self.with_hints(memory).weights(
            "w",
            [units, depth.into(), down, right],
            Fill::Filters(self.init),
        );
        Ok(if self.bias { plan.bias("b", [units], Fill::zero()) } else { plan })
    }
}

impl Conv2d {
    /// What it says to passes, beside the memory that it takes.
    fn with_hints(&self, memory: LayerPlan) -> LayerPlan {
        let plain = self.rectifiable(memory.clone());
        match self.bias {
            true => plain.per_channel(Part::new(self.clone(), self.rectifiable(memory), [W])),
            false => {
                let with_bias = Conv2d { bias: true, ..self.clone() };
                let memory = with_bias.rectifiable(memory);
                plain.per_channel(Part::new(with_bias, memory, [W]))
            }
        }
    }

    /// The same memory, and the offer to end in max(0, y).
    fn rectifiable(&self, memory: LayerPlan) -> LayerPlan {
        let own = if self.bias { vec![W, B] } else { vec![W] };
        let rectified = Part::new(fused::Rectified(self.clone()), memory.clone(), own);
        memory.rectified(rectified)
    }

    fn window(&self) -> Window {
        let Conv2d { kernel, stride, padding, dilation, .. } = *self;
        Window { kernel, stride, padding, dilation }
    }
}

/// The matrix of a slice.
fn matrix<T>(numbers: &[T], columns: usize) -> ArrayView2<'_, T> {
    let shape = (numbers.len() / columns, columns);
    ArrayView2::from_shape(shape, numbers).expect("rows of so many columns")
}

/// As [`matrix`], to be changed.
fn matrix_mut<T>(numbers: &mut [T], columns: usize) -> ArrayViewMut2<'_, T> {
    let shape = (numbers.len() / columns, columns);
    ArrayViewMut2::from_shape(shape, numbers).expect("rows of so many columns")
}

impl<T: Scalar> Kernel<T> for Conv2d {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y, w) = (&cx.inputs[X], &mut cx.outputs[0], cx.parameters[W].as_slice());
        let geometry = Geometry::of(self.window(), self.groups, x, y);
        let b = self.bias.then(|| cx.parameters[B].as_slice());
        let columns = cx.scratch[0].as_mut_slice();
        let (depth, positions) = (geometry.depth(), geometry.positions());
        let maps = geometry.channels_a_group() * geometry.pixels();
        let units = geometry.units_a_group();
        let x = x.as_slice().chunks_exact(maps);
        let y = y.as_mut_slice().chunks_exact_mut(units * positions);
        for (at, (maps, y)) in x.zip(y).enumerate() {
            let group = at % self.groups;
            let w = matrix(&w[group * units * depth..][..units * depth], depth);
            columns::unfold(&geometry, maps, columns);
            match b {
                Some(b) => {
                    let rows = y.chunks_exact_mut(positions).zip(&b[group * units..]);
                    rows.for_each(|(row, b)| row.fill(*b));
                    add_product(w, matrix(columns, positions), matrix_mut(y, positions));
                }
                None => product(w, matrix(columns, positions), matrix_mut(y, positions)),
            }
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (x, dy) = (&cx.inputs[X], &cx.output_gradients[0]);
        let geometry = Geometry::of(self.window(), self.groups, x, dy);
        let columns = cx.scratch[0].as_mut_slice();
        let (depth, positions) = (geometry.depth(), geometry.positions());
        let maps = geometry.channels_a_group() * geometry.pixels();
        let units = geometry.units_a_group();
        if self.bias {
            add_bias_gradient(&geometry, dy.as_slice(), cx.parameter_gradients[B].as_mut_slice());
        }
        let dw = cx.parameter_gradients[W].as_mut_slice();
        let both =
            x.as_slice().chunks_exact(maps).zip(dy.as_slice().chunks_exact(units * positions));
        for (at, (maps, dy)) in both.enumerate() {
            let group = at % self.groups;
            columns::unfold(&geometry, maps, columns);
            let dw = &mut dw[group * units * depth..][..units * depth];
            let columns = matrix(columns, positions).reversed_axes();
            add_product(matrix(dy, positions), columns, matrix_mut(dw, depth));
        }
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let w = cx.parameters[W].as_slice();
        let dx = dx.as_mut_slice().chunks_exact_mut(maps);
        for (at, (dx, dy)) in dx.zip(dy.as_slice().chunks_exact(units * positions)).enumerate() {
            let group = at % self.groups;
            let w = matrix(&w[group * units * depth..][..units * depth], depth).reversed_axes();
            product(w, matrix(dy, positions), matrix_mut(columns, positions));
            columns::fold(&geometry, columns, dx);
        }
    }
}

/// db = db + the sum of each map of dy, one picture after the other.
fn add_bias_gradient<T: Scalar>(geometry: &Geometry, dy: &[T], db: &mut [T]) {
    let positions = geometry.positions();
    team::for_each_chunk_mut(db, 1, |unit, db| {
        let maps = dy.chunks_exact(positions).skip(unit).step_by(geometry.units);
        let sums = maps.map(|map| map.iter().map(|x| x.f64()).sum::<f64>());
        db[0] += T::of(sums.sum());
    });
}

register!(
    Conv2d in LAYER,
    example: "Conv2d(units: 64, kernel: (3, 3), padding: (1, 1))",
    checks: [
        "Conv2d(units: Units, kernel: (1, 1))",
        "Conv2d(units: Units, kernel: (3, 3), padding: (1, 1))",
        "Conv2d(units: Units, kernel: 2, bias: false)",
        "Conv2d(units: Units, kernel: (3, 2), stride: (2, 3), padding: (2, 1), init: Xavier)",
        "Conv2d(units: Units, kernel: (2, 3), padding: (2, 4), dilation: (3, 2))",
        "Conv2d(units: 4, kernel: (3, 3), stride: 2, padding: 1, groups: 2)",
        "Conv2d(units: 6, kernel: (1, 2), groups: 3, dilation: (2, 1), bias: false, init: Orthogonal)",
        "Conv2d(units: Units, kernel: 1, stride: (1, 2), padding: (1, 0))",
    ],
);
