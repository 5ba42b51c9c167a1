//! Convolutions over pictures.

mod backward;
mod direct;
pub(crate) mod geometry;
mod runs;
mod slots;
#[cfg(test)]
mod tests;
mod winograd;

use std::any::Any;

use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Form, Forward, Kernel, Layer, Lowered, Meaning, Memory, Pair,
    Part, PlanError, Port, PortShapes, Scalar, Scratch, Shape, Signature, Tensor, Weight,
    WeightOrder, register,
};
use engine_kernels::flops;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::geometry::{Geometry, Window};
use crate::linear::with_bias;

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

#[typetag::serde]
impl Layer for Conv2d {
    fn ports(&self) -> Vec<Port> {
        let pictures = ["Channels", "Height", "Width"].map(Axis::Any);
        vec![Port::real("x", [&[Axis::BATCH], &pictures[..]].concat())]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
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
        Ok(Signature::output([x[0], units, height, width], Dependence::Item)
            .weights("w", [units, depth, down, right], Fill::Filters(self.init))
            .bias_if(self.bias, "b", [units])
            .meaning(Meaning::LinearChannels))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        self.lower(Form::PLAIN, memory)
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        let fits = form.part == Part::Whole && form.weights == WeightOrder::Stored;
        fits.then(|| self.lower(form, memory))
    }
}

impl Conv2d {
    fn lower(&self, form: Form, memory: &mut Memory<'_>) -> Lowered {
        let units = memory.bind(self.units);
        let length = self.planned(memory.input(X), units).map_or(0, |g| scratch_length(&g));
        Lowered::new(Convolution {
            window: self.window(),
            groups: self.groups,
            w: memory.weight("w"),
            b: memory.weight_if(self.bias || form.bias, "b"),
            relu: form.relu,
            work: memory.scratch([Dim::Fixed(length)]),
            turned: memory
                .scratch([Dim::Fixed(backward::POSITIONS), turned_units(units, self.groups)]),
        })
    }

    /// The geometry as far as it is known when memory is planned.
    fn planned(&self, x: &Shape, units: Dim) -> Result<Geometry, PlanError> {
        let (channels, input) = geometry::picture(x)?;
        let Window { kernel, stride, padding, dilation } = self.window();
        Ok(Geometry {
            channels,
            units: units.size().unwrap_or(self.groups),
            input,
            output: self.window().output(input)?,
            kernel,
            stride,
            padding,
            dilation,
            groups: self.groups,
        })
    }

    fn window(&self) -> Window {
        let Conv2d { kernel, stride, padding, dilation, .. } = *self;
        Window { kernel, stride, padding, dilation }
    }
}

/// A convolution in one of its forms.
#[derive(Debug)]
struct Convolution {
    window: Window,
    groups: usize,
    w: Weight,
    b: Option<Weight>,
    /// Whether numbers below 0 become 0, as if [`Relu`](crate::Relu) came after it.
    relu: bool,
    /// Numbers that a pass works in.
    work: Scratch,
    /// Gradients of some positions, a row for each.
    turned: Scratch,
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

impl<T: Scalar> Kernel<T> for Convolution {
    /// The convolution, in the way that is fastest.
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y, w) = (&cx.inputs[X], &mut cx.outputs[0], &cx.parameters[self.w]);
        let geometry = Geometry::of(self.window, self.groups, x, y);
        let (b, relu) = (self.b.map(|b| &cx.parameters[b]), self.relu);
        let work = &mut cx.scratch[self.work];
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
        let (y, work) = (&mut cx.outputs[0], &mut cx.scratch[self.work]);
        direct::forward(&call, y.as_mut_slice(), work.as_mut_slice());
    }

    /// That of a form that ends in max(0, y) is never asked for.
    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (x, dy) = (&cx.inputs[X], &cx.output_gradients[0]);
        let geometry = Geometry::of(self.window, self.groups, x, dy);
        let product = || {
            let columns = x.dim(0) * geometry.positions();
            flops::count_product(geometry.units, geometry.depth(), columns);
        };
        let w = &cx.parameters[self.w];
        let call = backward::Call { geometry, x: x.as_slice(), w: w.as_slice(), dy: dy.as_slice() };
        let [work, turned] = cx.scratch.each([self.work, self.turned]);
        if let Some(b) = self.b {
            backward::biases(&call, cx.parameter_gradients[b].as_mut_slice());
        }
        let dw = cx.parameter_gradients.claim(self.w);
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

/// The numbers of an array in single precision, if it has that.
fn single<T: 'static>(tensor: &Tensor<T>) -> Option<&[f32]> {
    (tensor as &dyn Any).downcast_ref::<Tensor<f32>>().map(Tensor::as_slice)
}

/// As [`single`], to be changed.
fn single_mut<T: 'static>(tensor: &mut Tensor<T>) -> Option<&mut [f32]> {
    (tensor as &mut dyn Any).downcast_mut::<Tensor<f32>>().map(Tensor::as_mut_slice)
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
