//! The numbers of a convolution: which pixels a filter sees where.

use engine_core::{Dim, Pair, PlanError, Shape, Tensor};

/// A convolution's options beside the sizes of what it reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Maps that come in and go out.
    pub(crate) channels: usize,
    pub(crate) units: usize,
    /// The sides of the maps that come in and go out.
    pub(crate) input: Pair,
    pub(crate) output: Pair,
    pub(crate) kernel: Pair,
    pub(crate) stride: Pair,
    pub(crate) padding: Pair,
    pub(crate) dilation: Pair,
    pub(crate) groups: usize,
}

/// A picture with longer sides is a slip of the pen.
const MOST_SIDE: usize = 1 << 20;

/// What a graph file says of a convolution's windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) kernel: Pair,
    pub(crate) stride: Pair,
    pub(crate) padding: Pair,
    pub(crate) dilation: Pair,
}

impl Window {
    /// The sides of the output for an input of these sides.
    ///
    /// # Errors
    /// Where an option is 0 that must not be, and where the kernel is larger than the padded input.
    pub(crate) fn output(&self, input: Pair) -> Result<Pair, PlanError> {
        for (field, of) in
            [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation)]
        {
            if of.height == 0 || of.width == 0 {
                let message = format!("expected numbers of at least 1, found {of}");
                return Err(PlanError::field(field, message));
            }
        }
        let side = |name: &str, of: fn(Pair) -> usize| {
            let padded = of(self.padding).saturating_mul(2).saturating_add(of(input));
            if padded > MOST_SIDE {
                let message =
                    format!("expected a padded {name} of at most {MOST_SIDE}, found {padded}");
                return Err(PlanError::field("padding", message));
            }
            let covered = (of(self.kernel) - 1).saturating_mul(of(self.dilation)).saturating_add(1);
            let left = padded.checked_sub(covered).ok_or_else(|| {
                let message = format!(
                    "expected a kernel within the padded {name}, {padded} = {} + 2 * {}, found {covered} = {} * ({} - 1) + 1",
                    of(input),
                    of(self.padding),
                    of(self.dilation),
                    of(self.kernel),
                );
                PlanError::field("kernel", message)
            })?;
            Ok(left / of(self.stride) + 1)
        };
        Ok(Pair {
            height: side("height", |pair| pair.height)?,
            width: side("width", |pair| pair.width)?,
        })
    }
}

/// The channels and sides of pictures `[Batch, channels, height, width]`.
///
/// # Errors
/// Where one of them is not a number yet.
pub(crate) fn picture(x: &Shape) -> Result<(usize, Pair), PlanError> {
    let number = |axis: usize| -> Result<usize, PlanError> {
        let unknown = |dim: Dim| {
            let message = format!(
                "expected pictures whose channels, height and width are known, found {x}: write `{dim}` as a number, or set it in `sizes`"
            );
            PlanError::new(message)
        };
        x[axis].size().ok_or_else(|| unknown(x[axis]))
    };
    Ok((number(1)?, Pair { height: number(2)?, width: number(3)? }))
}

impl Geometry {
    /// The geometry of a running layer, from what it reads and writes.
    pub(crate) fn of<T: Copy + Default>(
        window: Window,
        groups: usize,
        x: &Tensor<T>,
        y: &Tensor<T>,
    ) -> Self {
        let sides = |of: &Tensor<T>| Pair { height: of.dim(2), width: of.dim(3) };
        Geometry {
            channels: x.dim(1),
            units: y.dim(1),
            input: sides(x),
            output: sides(y),
            kernel: window.kernel,
            stride: window.stride,
            padding: window.padding,
            dilation: window.dilation,
            groups,
        }
    }

    /// The convolution that leads from gradients of the output to those of the input: by the same filters, turned round,
    /// with channels and units exchanged. Only where filters move by one pixel does it have their shape, and only where
    /// padding is not wider than what a filter covers.
    pub(crate) fn back(&self) -> Option<Self> {
        let Geometry { kernel, dilation, padding, stride, .. } = *self;
        let reach = |kernel: usize, dilation: usize| (kernel - 1) * dilation;
        let padding = Pair {
            height: reach(kernel.height, dilation.height).checked_sub(padding.height)?,
            width: reach(kernel.width, dilation.width).checked_sub(padding.width)?,
        };
        (stride == Pair::both(1)).then_some(Geometry {
            channels: self.units,
            units: self.channels,
            input: self.output,
            output: self.input,
            padding,
            ..*self
        })
    }

    /// Numbers in a map that comes in.
    pub(crate) fn pixels(&self) -> usize {
        self.input.height * self.input.width
    }

    /// Numbers in a map that goes out.
    pub(crate) fn positions(&self) -> usize {
        self.output.height * self.output.width
    }

    /// Maps that a filter sees.
    pub(crate) fn channels_a_group(&self) -> usize {
        self.channels / self.groups
    }

    /// Filters that see the same maps.
    pub(crate) fn units_a_group(&self) -> usize {
        self.units / self.groups
    }

    /// Numbers in a filter for one map.
    pub(crate) fn taps(&self) -> usize {
        self.kernel.height * self.kernel.width
    }

    /// Whether filters see a pixel each, and all pixels in their order.
    pub(crate) fn sees_pixels(&self) -> bool {
        let Geometry { kernel, stride, padding, .. } = *self;
        (kernel, stride, padding) == (Pair::both(1), Pair::both(1), Pair::both(0))
    }

    /// Numbers in a filter.
    pub(crate) fn depth(&self) -> usize {
        self.channels_a_group() * self.taps()
    }
}

/// The first place along a side at which a tap sees a pixel, and the first one after those. `offset` is how far the tap is
/// from the window's edge.
pub(crate) fn seen(
    offset: usize,
    padding: usize,
    stride: usize,
    input: usize,
    output: usize,
) -> (usize, usize) {
    let first = padding.saturating_sub(offset).div_ceil(stride).min(output);
    let end = (input + padding).saturating_sub(offset).div_ceil(stride).min(output);
    (first, end.max(first))
}
