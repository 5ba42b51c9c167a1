//! Chains of functions: each array is read and written once, a block at a time, and what the functions hand each other
//! stays in the nearest cache.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::array::tensor::Tensor;
use crate::layer::context::{Backward, Forward, InputGradients, Inputs};
use crate::layer::kernel::Kernel;
use crate::pointwise::{Columns, Function, Pointwise};
use crate::scalar::Scalar;
use engine_kernels::shared::Shared;
use engine_kernels::team;

/// Functions in the order of computation.
///
/// Registers are the arguments from outside, then the functions' values. Outputs are the results, saved arrays what
/// derivatives look at besides.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) arguments: Vec<Argument>,
    pub(crate) links: Vec<Link>,
    /// The links whose values are results.
    pub(crate) results: Vec<usize>,
    /// The links whose values are saved.
    pub(crate) saved: Vec<usize>,
}

/// Short: the functions in their order.
impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let functions: Vec<String> =
            self.links.iter().map(|link| format!("{:?}", link.function)).collect();
        write!(f, "Chain {{ {} }}", functions.join(", "))
    }
}

/// An argument from outside: columns of the array at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) port: usize,
    pub(crate) columns: Columns,
}

/// One function of a chain.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) function: Arc<dyn Function>,
    /// The registers of its arguments.
    pub(crate) reads: Vec<usize>,
}

/// Elements of a block.
const BLOCK: usize = 256;
/// The most functions of a chain, so that a block of all values fits the stack and mostly the nearest cache.
pub(crate) const MOST_LINKS: usize = 24;
/// The most arguments of a chain.
pub(crate) const MOST_ARGUMENTS: usize = 16;
/// The most arguments of one of its functions.
pub(crate) const MOST_READS: usize = 4;
/// The fewest elements that are worth a thread's while.
const PIECE: usize = 1 << 13;

/// The rows that a chain goes through: one of all elements, where it reads whole arrays.
#[derive(Debug, Clone, Copy)]
struct Form {
    rows: usize,
    width: usize,
}

/// An array seen from a chain: where the elements of its first row are, and how far apart rows are.
#[derive(Debug, Clone, Copy)]
struct Seen {
    first: usize,
    stride: usize,
}

impl Seen {
    fn of(self, row: usize, columns: &Range<usize>) -> Range<usize> {
        let from = row * self.stride + self.first;
        from + columns.start..from + columns.end
    }
}

impl Chain {
    fn form<T: Copy + Default>(&self, output: &Tensor<T>) -> Form {
        let length = output.as_slice().len();
        let whole = self.arguments.iter().all(|argument| argument.columns == Columns::All);
        let width = if whole { length } else { output.rows().ncols() };
        Form { rows: length / width.max(1), width }
    }

    fn seen<T>(&self, form: Form, inputs: &Inputs<'_, T>) -> SmallVec<[Seen; MOST_ARGUMENTS]>
    where
        T: Copy + Default,
    {
        let seen = |argument: &Argument| Seen {
            first: argument.columns.first(form.width),
            // What a chain writes over has the output's rows.
            stride: inputs
                .get(argument.port)
                .map_or(form.width, |array| array.as_slice().len() / form.rows.max(1)),
        };
        self.arguments.iter().map(seen).collect()
    }

    /// Whether the arguments at a port are all of its columns, each once.
    fn covers(&self, port: usize) -> bool {
        let columns = || self.arguments.iter().filter(|a| a.port == port).map(|a| a.columns);
        match columns().next() {
            Some(Columns::All) => true,
            Some(Columns::Part { of, .. }) => {
                let part =
                    |columns| matches!(columns, Columns::Part { of: other, .. } if other == of);
                columns().all(part) && columns().count() == of
            }
            Some(Columns::From(_)) | None => false,
        }
    }
}

impl Form {
    /// Calls `f` with pieces of rows, and columns where there is but one row.
    fn for_each_piece(self, f: impl Fn(Range<usize>, Range<usize>) + Sync) {
        let Form { rows, width } = self;
        if rows == 1 {
            team::for_each(width.div_ceil(PIECE), |at| {
                f(0..1, at * PIECE..width.min((at + 1) * PIECE));
            });
        } else {
            let piece = PIECE.div_ceil(width.max(1));
            team::for_each(rows.div_ceil(piece), |at| {
                f(at * piece..rows.min((at + 1) * piece), 0..width);
            });
        }
    }
}

/// Calls `f` with a row and a block of its columns, one after the other.
fn for_each_block(
    rows: Range<usize>,
    columns: Range<usize>,
    mut f: impl FnMut(usize, Range<usize>),
) {
    for row in rows {
        for first in columns.clone().step_by(BLOCK) {
            f(row, first..columns.end.min(first + BLOCK));
        }
    }
}

/// Arrays that threads take parts of.
fn shared<T>(arrays: &mut [Tensor<T>]) -> SmallVec<[Shared<'_, T>; MOST_LINKS]>
where
    T: Copy + Default,
{
    arrays.iter_mut().map(|array| Shared::new(array.as_mut_slice())).collect()
}

impl<T: Scalar> Kernel<T> for Chain
where
    dyn Function: Pointwise<T>,
{
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let form = self.form(&cx.outputs[0]);
        let (inputs, seen) = (cx.inputs, self.seen(form, &cx.inputs));
        let (results, saved) = (shared(cx.outputs), shared(cx.saved.arrays));
        let kept = || results.iter().zip(&self.results).chain(saved.iter().zip(&self.saved));
        form.for_each_piece(|rows, columns| {
            let mut values = [T::zero(); MOST_LINKS * BLOCK];
            for_each_block(rows, columns, |row, columns| {
                let length = columns.len();
                for (at, link) in self.links.iter().enumerate() {
                    let (before, y) = values.split_at_mut(at * BLOCK);
                    let mut x: [&[T]; MOST_READS] = [&[]; MOST_READS];
                    for (x, register) in x.iter_mut().zip(&link.reads) {
                        *x = match register.checked_sub(seen.len()) {
                            None => {
                                let place = seen[*register].of(row, &columns);
                                match inputs.get(self.arguments[*register].port) {
                                    Some(array) => &array.as_slice()[place],
                                    // SAFETY: it is this block of the output, which is somebody's once, and these
                                    // borrows, however many, end before the block is written.
                                    None => unsafe { results[0].read(place) },
                                }
                            }
                            Some(link) => &before[link * BLOCK..][..length],
                        };
                    }
                    link.function.value(&x[..link.reads.len()], &mut y[..length]);
                }
                let own = row * form.width + columns.start..row * form.width + columns.end;
                for (array, link) in kept() {
                    // SAFETY: every block of rows and columns is somebody's once.
                    let to = unsafe { array.part(own.clone()) };
                    to.copy_from_slice(&values[link * BLOCK..][..length]);
                }
            });
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let form = self.form(&cx.outputs[0]);
        let (inputs, seen) = (cx.inputs, self.seen(form, &cx.inputs));
        let Gradients { arrays, of, fresh } = Gradients::claim(self, &mut cx.input_gradients);
        let (outputs, output_gradients, saved) =
            (cx.outputs, cx.output_gradients, &*cx.saved.arrays);
        let count = self.arguments.len();
        form.for_each_piece(|rows, columns| {
            let mut gradients = [T::zero(); (MOST_ARGUMENTS + MOST_LINKS) * BLOCK];
            for_each_block(rows, columns, |row, columns| {
                let length = columns.len();
                let own = row * form.width + columns.start..row * form.width + columns.end;
                let value = |register: usize| -> &[T] {
                    let Some(link) = register.checked_sub(count) else {
                        let array = inputs[self.arguments[register].port].as_slice();
                        return &array[seen[register].of(row, &columns)];
                    };
                    let result = self.results.iter().position(|known| *known == link);
                    let kept = self.saved.iter().position(|known| *known == link);
                    match (result, kept) {
                        (Some(at), _) => &outputs[at].as_slice()[own.clone()],
                        (None, Some(at)) => &saved[at].as_slice()[own.clone()],
                        (None, None) => &[],
                    }
                };
                gradients[..(count + self.links.len()) * BLOCK].fill(T::zero());
                for (dy, link) in output_gradients.iter().zip(&self.results) {
                    let to = &mut gradients[(count + link) * BLOCK..][..length];
                    add(to, &dy.as_slice()[own.clone()]);
                }
                for (at, link) in self.links.iter().enumerate().rev() {
                    let (before, dy) = gradients.split_at_mut((count + at) * BLOCK);
                    let mut x: [&[T]; MOST_READS] = [&[]; MOST_READS];
                    x.iter_mut().zip(&link.reads).for_each(|(x, register)| *x = value(*register));
                    let (x, y) = (&x[..link.reads.len()], value(count + at));
                    for (port, register) in link.reads.iter().enumerate() {
                        if of.get(*register).is_none_or(Option::is_some) {
                            let dx = &mut before[register * BLOCK..][..length];
                            link.function.add_slope(x, y, &dy[..length], port, dx);
                        }
                    }
                }
                for (at, seen) in seen.iter().enumerate() {
                    let Some(array) = of[at] else { continue };
                    // SAFETY: a piece has whole rows, or it is of the only row and no argument is a part of an array.
                    let to = unsafe { arrays[array].1.part(seen.of(row, &columns)) };
                    let dx = &gradients[at * BLOCK..][..length];
                    if fresh[at] { to.copy_from_slice(dx) } else { add(to, dx) }
                }
            });
        });
    }
}

/// Where the gradients of arguments go.
struct Gradients<'a, T> {
    /// Arrays of gradients, by the values that they are of.
    arrays: SmallVec<[(usize, Shared<'a, T>); MOST_ARGUMENTS]>,
    /// For each argument its array, if anybody wants it.
    of: SmallVec<[Option<usize>; MOST_ARGUMENTS]>,
    /// Whether it is to be overwritten.
    fresh: SmallVec<[bool; MOST_ARGUMENTS]>,
}

impl<'a, T: Scalar> Gradients<'a, T> {
    fn claim(chain: &Chain, input_gradients: &'a mut InputGradients<'_, T>) -> Self {
        let mut fresh: SmallVec<[bool; MOST_ARGUMENTS]> = smallvec![false; chain.arguments.len()];
        for (at, argument) in chain.arguments.iter().enumerate() {
            let before = chain.arguments[..at].iter().position(|a| a.port == argument.port);
            fresh[at] = match before {
                // The arguments at one port are of one mind.
                Some(first) => fresh[first],
                None => match input_gradients.claim(argument.port) {
                    Some(gradient) if chain.covers(argument.port) => gradient.fresh,
                    Some(gradient) => {
                        gradient.or_zero();
                        false
                    }
                    None => false,
                },
            };
        }
        let value = |argument: &Argument| {
            let wanted = input_gradients.wants(argument.port);
            input_gradients.slots[argument.port].value().filter(|_| wanted)
        };
        let values: SmallVec<[Option<usize>; MOST_ARGUMENTS]> =
            chain.arguments.iter().map(value).collect();
        let arrays: SmallVec<[_; MOST_ARGUMENTS]> = input_gradients
            .table
            .iter_mut()
            .enumerate()
            .filter(|(value, _)| values.contains(&Some(*value)))
            .map(|(value, array)| (value, Shared::new(array.as_mut_slice())))
            .collect();
        let place = |value: usize| arrays.iter().position(|(known, _)| *known == value);
        let of = values.iter().map(|value| value.and_then(place)).collect();
        Gradients { arrays, of, fresh }
    }
}

fn add<T: Scalar>(to: &mut [T], from: &[T]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += *from);
}
