//! Windows over pictures: what the pools share.

use engine_core::{
    Axis, Dependence, Dim, Pair, PlanError, Port, Scalar, Shape, Signature, Symbol, Tensor, Windows,
};

/// The port of a layer of pictures.
pub(crate) fn port() -> Port {
    Port::real("x", [Axis::BATCH, CHANNELS, Axis::Any("Height"), Axis::Any("Width")])
}

/// The default of the field `padding`.
pub(crate) fn no_padding() -> Pair {
    Pair::both(0)
}

const CHANNELS: Axis = Axis::Any("Channels");

/// The sides of pictures.
///
/// # Errors
/// Where one is `Batch` or `Time`: these change from batch to batch.
pub(crate) fn sides(x: &Shape) -> Result<[Dim; 2], PlanError> {
    let sides = [x[2], x[3]];
    match sides.iter().any(|side| side.is(Symbol::BATCH) || side.is(Symbol::TIME)) {
        true => Err(PlanError::new(format!(
            "expected pictures whose height and width have fixed sizes, found {x}"
        ))),
        false => Ok(sides),
    }
}

/// The number of channels of pictures, for layers that look at several.
///
/// # Errors
/// Where it is `Batch` or `Time`.
pub(crate) fn channels(x: &Shape) -> Result<Dim, PlanError> {
    match x[1].is(Symbol::BATCH) || x[1].is(Symbol::TIME) {
        true => Err(PlanError::new(format!(
            "expected pictures with a fixed number of channels, found {x}"
        ))),
        false => Ok(x[1]),
    }
}

/// The height and width of pictures `[.., height, width]`.
pub(crate) fn size<T: Copy + Default>(pictures: &Tensor<T>) -> [usize; 2] {
    match pictures.shape() {
        [.., height, width] => [*height, *width],
        _ => [1, 1],
    }
}

/// How many numbers a channel of such pictures has, as the length of pieces, which is never 0.
pub(crate) fn length<T: Copy + Default>(pictures: &Tensor<T>) -> usize {
    let [height, width] = size(pictures);
    (height * width).max(1)
}

/// The windows of a pool: those along the height, and those along the width.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pool {
    pub(crate) down: Windows,
    pub(crate) across: Windows,
}

impl Pool {
    /// Windows as a graph file says. Without a stride, they lie side by side.
    pub(crate) fn new(
        kernel: Pair,
        stride: Option<Pair>,
        padding: Pair,
        dilation: Pair,
        ceil: bool,
    ) -> Self {
        let stride = stride.unwrap_or(kernel);
        let along = |of: fn(Pair) -> usize| Windows {
            kernel: of(kernel),
            stride: of(stride),
            padding: of(padding),
            dilation: of(dilation),
            ceil,
        };
        Pool { down: along(|pair| pair.height), across: along(|pair| pair.width) }
    }

    /// The plan of a pool over pictures of this shape.
    ///
    /// # Errors
    /// Numbers of 0 that must not be, padding that is more than half a window, and windows that do not fit, or that would
    /// hold no number.
    pub(crate) fn signature(self, x: &Shape) -> Result<Signature, PlanError> {
        let [height, width] = sides(x)?;
        let height = along(self.down, height, "height", x)?;
        let width = along(self.across, width, "width", x)?;
        Ok(Signature::output([x[0], x[1], height, width], Dependence::Item))
    }
}

/// How many windows there are along one side.
fn along(windows: Windows, side: Dim, name: &str, x: &Shape) -> Result<Dim, PlanError> {
    let Windows { kernel, stride, padding, dilation, .. } = windows;
    for (field, number) in [("kernel", kernel), ("stride", stride), ("dilation", dilation)] {
        if number == 0 {
            let message = format!("expected a number of at least 1 for the {name}, found 0");
            return Err(PlanError::field(field, message));
        }
    }
    let extent = windows.extent();
    if padding > extent / 2 {
        let message = format!(
            "expected at most half of the {extent} places that a window goes over along the {name}, {}, found {padding}",
            extent / 2
        );
        return Err(PlanError::field("padding", message));
    }
    let count = side.windows(windows).ok_or_else(|| {
        let message = format!(
            "expected windows within the {name} of {x} with {padding} more at either end, found one over {extent} places"
        );
        PlanError::field("kernel", message)
    })?;
    if let (Some(size), Some(count)) = (side.size(), count.size())
        && let Some(empty) = (0..count).find(|o| windows.within(*o, size).is_empty())
    {
        let message = format!(
            "expected windows that hold a number of the {name} of {x}, found none in window {empty} of {count}"
        );
        return Err(PlanError::field("dilation", message));
    }
    Ok(count)
}

/// The pictures of one channel, before and after a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes {
    pub(crate) pool: Pool,
    /// Height and width of what is pooled.
    pub(crate) from: [usize; 2],
    /// Height and width of what comes out.
    pub(crate) to: [usize; 2],
}

impl Planes {
    /// Those of arrays `[.., height, width]`.
    pub(crate) fn of<T: Copy + Default>(pool: Pool, x: &Tensor<T>, y: &Tensor<T>) -> Self {
        Planes { pool, from: size(x), to: size(y) }
    }

    /// How many numbers a channel has, before and after, as lengths of pieces, which are never 0.
    pub(crate) fn lengths(&self) -> (usize, usize) {
        let length = |[height, width]: [usize; 2]| (height * width).max(1);
        (length(self.from), length(self.to))
    }

    /// For a row of what comes out, the rows that its windows hold, from the top.
    #[inline(always)]
    pub(crate) fn rows(self, row: usize) -> impl Iterator<Item = usize> {
        let down = self.pool.down;
        down.within(row, self.from[0]).map(move |i| down.place(row, i))
    }
}

/// Windows whose number at one place is looked at, one after the other: numbers `from`, `from + stride`, .. of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// The first window.
    pub(crate) first: usize,
    /// How many.
    pub(crate) count: usize,
    /// Where the first one's number is in the row.
    pub(crate) from: usize,
}

impl Run {
    /// Those of `count` windows from window `first` on whose number `i` lies within a row of `width` numbers.
    #[inline(always)]
    pub(crate) fn of(across: Windows, i: usize, width: usize, first: usize, count: usize) -> Self {
        let holding = across.holding(i, width, first + count);
        let start = holding.start.max(first);
        match start < holding.end {
            true => Run {
                first: start - first,
                count: holding.end - start,
                from: across.place(start, i),
            },
            false => Run { first: 0, count: 0, from: 0 },
        }
    }
}

/// y = f(y, x), with every stride-th x.
#[inline(always)]
pub(crate) fn fold_strided<T: Scalar>(y: &mut [T], x: &[T], stride: usize, f: impl Fn(T, T) -> T) {
    match stride {
        1 => {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = f(*y, x);
            }
        }
        // Apart from other strides, since it is the usual one and can be compiled to vectors.
        2 => {
            let (pairs, last) = x.as_chunks::<2>();
            for (y, [x, _]) in y.iter_mut().zip(pairs) {
                *y = f(*y, *x);
            }
            if let (Some(y), [x]) = (y.get_mut(pairs.len()), last) {
                *y = f(*y, *x);
            }
        }
        stride => {
            for (y, &x) in y.iter_mut().zip(x.iter().step_by(stride)) {
                *y = f(*y, x);
            }
        }
    }
}
