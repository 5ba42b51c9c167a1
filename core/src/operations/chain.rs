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
use engine_kernels::team::{self, Chunks};

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

/// The rows that a chain goes through. Arrays that it reads whole are cut into rows of [`PIECE`] numbers, the last of which
/// may be shorter.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// Numbers of an output.
    length: usize,
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
        let whole = self.arguments.iter().all(|argument| argument.columns == Columns::All);
        let width = if whole { PIECE } else { output.rows().ncols() };
        Form { length: output.as_slice().len(), width: width.max(1) }
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
                .map_or(form.width, |array| form.stride(array.as_slice().len())),
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
    fn rows(self) -> usize {
        self.length.div_ceil(self.width)
    }

    /// How far apart the rows of an array of so many numbers are.
    fn stride(self, numbers: usize) -> usize {
        if numbers == self.length { self.width } else { numbers / self.rows().max(1) }
    }

    /// Rows that a thread goes through at a time.
    fn piece(self) -> usize {
        PIECE.div_ceil(self.width)
    }

    /// An array in pieces of rows.
    fn pieces<T: Copy + Default>(self, array: &mut Tensor<T>) -> Chunks<'_, T> {
        let array = array.as_mut_slice();
        let stride = self.stride(array.len());
        Chunks::new(array, (self.piece() * stride).max(1))
    }

    /// Arrays in pieces of rows; `None` beyond the last.
    fn all_pieces<T: Copy + Default>(
        self,
        arrays: &mut [Tensor<T>],
    ) -> [Option<Chunks<'_, T>>; MOST_LINKS] {
        let mut arrays = arrays.iter_mut();
        std::array::from_fn(|_| arrays.next().map(|array| self.pieces(array)))
    }

    /// Calls `f` with the rows of piece `at` and blocks of their columns: a row's number in the piece, and among all rows.
    fn for_each_block(self, at: usize, mut f: impl FnMut(usize, usize, Range<usize>)) {
        let first = at * self.piece();
        for row in first..self.rows().min(first + self.piece()) {
            let width = self.width.min(self.length - row * self.width);
            for column in (0..width).step_by(BLOCK) {
                f(row - first, row, column..width.min(column + BLOCK));
            }
        }
    }
}

impl<T: Scalar> Kernel<T> for Chain
where
    dyn Function: Pointwise<T>,
{
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let form = self.form(&cx.outputs[0]);
        let (inputs, seen) = (cx.inputs, self.seen(form, &cx.inputs));
        let own = Seen { first: 0, stride: form.width };
        let pieces = (form.all_pieces(cx.outputs), form.all_pieces(cx.saved.arrays));
        team::for_each_disjoint(pieces, |at, (mut results, mut saved)| {
            let mut values = [T::zero(); MOST_LINKS * BLOCK];
            form.for_each_block(at, |row_here, row, columns| {
                let length = columns.len();
                for (at, link) in self.links.iter().enumerate() {
                    let (before, y) = values.split_at_mut(at * BLOCK);
                    let mut x: [&[T]; MOST_READS] = [&[]; MOST_READS];
                    for (x, register) in x.iter_mut().zip(&link.reads) {
                        *x = match register.checked_sub(seen.len()) {
                            None => {
                                let (seen, port) =
                                    (seen[*register], self.arguments[*register].port);
                                match (inputs.get(port), &results[0]) {
                                    (Some(array), _) => &array.as_slice()[seen.of(row, &columns)],
                                    // What the output's array held before.
                                    (None, Some(result)) => &result[seen.of(row_here, &columns)],
                                    (None, None) => &[],
                                }
                            }
                            Some(link) => &before[link * BLOCK..][..length],
                        };
                    }
                    link.function.value(&x[..link.reads.len()], &mut y[..length]);
                }
                let kept = results.iter_mut().zip(&self.results);
                for (array, link) in kept.chain(saved.iter_mut().zip(&self.saved)) {
                    if let Some(array) = array {
                        let to = &mut array[own.of(row_here, &columns)];
                        to.copy_from_slice(&values[link * BLOCK..][..length]);
                    }
                }
            });
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let form = self.form(&cx.outputs[0]);
        let (inputs, seen) = (cx.inputs, self.seen(form, &cx.inputs));
        let Gradients { pieces, of, fresh } = Gradients::claim(self, form, &mut cx.input_gradients);
        if pieces.iter().all(Option::is_none) {
            return;
        }
        let (outputs, output_gradients, saved) =
            (cx.outputs, cx.output_gradients, &*cx.saved.arrays);
        let count = self.arguments.len();
        team::for_each_disjoint(pieces, |at, mut arrays| {
            let mut gradients = [T::zero(); (MOST_ARGUMENTS + MOST_LINKS) * BLOCK];
            form.for_each_block(at, |row_here, row, columns| {
                let length = columns.len();
                let own = Seen { first: 0, stride: form.width }.of(row, &columns);
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
                    let Some(array) = of[at].and_then(|array| arrays[array].as_deref_mut()) else {
                        continue;
                    };
                    let to = &mut array[seen.of(row_here, &columns)];
                    let dx = &gradients[at * BLOCK..][..length];
                    if fresh[at] { to.copy_from_slice(dx) } else { add(to, dx) }
                }
            });
        });
    }
}

/// Where the gradients of arguments go.
struct Gradients<'a, T> {
    /// Arrays of gradients, in pieces.
    pieces: [Option<Chunks<'a, T>>; MOST_ARGUMENTS],
    /// For each argument its array, if anybody wants it.
    of: SmallVec<[Option<usize>; MOST_ARGUMENTS]>,
    /// Whether it is to be overwritten.
    fresh: SmallVec<[bool; MOST_ARGUMENTS]>,
}

impl<'a, T: Scalar> Gradients<'a, T> {
    fn claim(chain: &Chain, form: Form, input_gradients: &'a mut InputGradients<'_, T>) -> Self {
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
        let mut arrays = input_gradients.table.iter_mut().enumerate();
        let mut known: SmallVec<[usize; MOST_ARGUMENTS]> = SmallVec::new();
        let pieces = std::array::from_fn(|_| {
            let (value, array) = arrays.find(|(value, _)| values.contains(&Some(*value)))?;
            known.push(value);
            Some(form.pieces(array))
        });
        let place = |value: usize| known.iter().position(|known| *known == value);
        let of = values.iter().map(|value| value.and_then(place)).collect();
        Gradients { pieces, of, fresh }
    }
}

fn add<T: Scalar>(to: &mut [T], from: &[T]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += *from);
}
