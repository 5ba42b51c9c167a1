//! Convolutions over pictures.

mod backward;
mod direct;
pub(crate) mod geometry;
mod runs;
mod slots;
mod strip;
#[cfg(test)]
mod tests;
mod winograd;

use std::any::Any;

use engine_core::context::Forward;
use engine_kernels::flops;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dim, Kernel, Layer, LayerPlan, Pair, Part, PlanError, Port, PortShapes, Reach,
    Scalar, Tensor, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::geometry::{Geometry, Window};
use crate::affine::with_bias;

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
        let depth = Dim::Fixed(channels / self.groups);
        let Window { kernel, stride, padding, dilation } = self.window();
        let (groups, units_known) = (self.groups, units.size().unwrap_or(self.groups));
        let geometry = Geometry {
            channels,
            units: units_known,
            input,
            output,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        };
        let memory = LayerPlan::output([x[0], units, height, width])
            .scratch([Dim::Fixed(scratch_length(&geometry))])
            .scratch([Dim::Fixed(backward::POSITIONS), turned_units(units, self.groups)])
            .reach(Reach::Row);
        let plan = self.with_hints(memory).weights(
            "w",
            [units, depth, down, right],
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
        let rectified = Part::new(Rectified(self.clone()), memory.clone(), own);
        memory.rectified(rectified)
    }

    fn window(&self) -> Window {
        let Conv2d { kernel, stride, padding, dilation, .. } = *self;
        Window { kernel, stride, padding, dilation }
    }
}

/// Units, those of each group filled up to whole cache lines.
fn turned_units(units: Dim, groups: usize) -> Dim {
    units.plus(Dim::Fixed(groups.saturating_mul(backward::FILL)))
}

/// Numbers that a pass works in, whatever the precision and the pass.
fn scratch_length(geometry: &Geometry) -> usize {
    let slots = |length: usize| length.saturating_mul(slots::SLOTS);
    let tiled = |geometry: &Geometry| match winograd::applies(geometry) {
        true => winograd::length(geometry),
        false => 0,
    };
    slots(direct::slot_length::<f32>(geometry))
        .max(slots(backward::slot_length::<f32>(geometry)))
        .max(tiled(geometry))
        .max(geometry.back().as_ref().map_or(0, tiled))
}

impl Conv2d {
    /// The convolution, in the way that is fastest; with `relu`, numbers below 0 become 0.
    fn convolve<T: Scalar>(&self, cx: &mut Forward<'_, T>, relu: bool) {
        let (x, y, w) = (&cx.inputs[X], &mut cx.outputs[0], &cx.parameters[W]);
        let geometry = Geometry::of(self.window(), self.groups, x, y);
        let b = self.bias.then(|| &cx.parameters[B]);
        let work = &mut cx.scratch[0];
        flops::count_product(geometry.units, geometry.depth(), x.dim(0) * geometry.positions());
        let singles = (single(x), single(w), single_mut(y), single_mut(work));
        if let (Some(x), Some(w), Some(y), Some(work)) = singles
            && winograd::applies(&geometry)
            && work.len() >= winograd::length(&geometry)
        {
            let b = b.and_then(single);
            let call = winograd::Call { geometry, x, w, b, relu, turned: false, add: false };
            return winograd::forward(&call, y, work);
        }
        let (x, w, b) = (x.as_slice(), w.as_slice(), b.map(Tensor::as_slice));
        let call = direct::Call { geometry, x, w, b, relu };
        let (y, work) = (&mut cx.outputs[0], &mut cx.scratch[0]);
        direct::forward(&call, y.as_mut_slice(), work.as_mut_slice());
    }
}

/// The numbers of an array in single precision, if it has that.
fn single<T: 'static>(tensor: &Tensor<T>) -> Option<&[f32]> {
    (tensor as &dyn Any).downcast_ref::<Tensor<f32>>().map(Tensor::as_slice)
}

/// As [`single`], to be changed.
fn single_mut<T: 'static>(tensor: &mut Tensor<T>) -> Option<&mut [f32]> {
    (tensor as &mut dyn Any).downcast_mut::<Tensor<f32>>().map(Tensor::as_mut_slice)
}

/// A convolution whose numbers below 0 become 0, as if [`Relu`](crate::Relu) came after it; for plans without a way back.
#[derive(Debug)]
pub(crate) struct Rectified(pub(crate) Conv2d);

impl<T: Scalar> Kernel<T> for Rectified {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.0.convolve(cx, true);
    }

    fn backward(&self, _: &mut Backward<'_, T>) {
        unreachable!("a plan that is evaluated has no way back")
    }
}

impl<T: Scalar> Kernel<T> for Conv2d {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.convolve(cx, false);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (x, dy) = (&cx.inputs[X], &cx.output_gradients[0]);
        let geometry = Geometry::of(self.window(), self.groups, x, dy);
        let product = || {
            let columns = x.dim(0) * geometry.positions();
            flops::count_product(geometry.units, geometry.depth(), columns);
        };
        let w = &cx.parameters[W];
        let call = backward::Call { geometry, x: x.as_slice(), w: w.as_slice(), dy: dy.as_slice() };
        let [work, turned] = &mut *cx.scratch else { unreachable!("as planned") };
        if self.bias {
            backward::biases(&call, cx.parameter_gradients[B].as_mut_slice());
        }
        let dw = cx.parameter_gradients.claim(W);
        product();
        let (turned, numbers) = (turned.as_mut_slice(), work.as_mut_slice());
        backward::filters(&call, dw.array.as_mut_slice(), dw.fresh, turned, numbers);
        if let Some(dx) = cx.input_gradients.claim(X) {
            product();
            let singles = (single(dy), single(w), single_mut(dx.array));
            let singles = (singles, single_mut(work), geometry.back());
            if let ((Some(dy), Some(w), Some(dx_numbers)), Some(work), Some(back)) = singles
                && winograd::applies(&back)
                && work.len() >= winograd::length(&back)
            {
                let add = !dx.fresh;
                let (geometry, b) = (back, None);
                let call = winograd::Call { geometry, x: dy, w, b, relu: false, turned: true, add };
                return winograd::forward(&call, dx_numbers, work);
            }
            let work = work.as_mut_slice();
            backward::pixels(&call, dx.array.as_mut_slice(), dx.fresh, work);
        }
    }
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
