//! The memory that a form of a layer needs, asked for by handles.
//!
//! A layer asks for an array once, when it is lowered, and its kernel keeps the handle; nothing is found by counting.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use engine_kernels::panels::{Packing, Panels};

use super::port::PortShapes;
use crate::array::dim::Dim;
use crate::array::shape::Shape;
use crate::array::tensor::Tensor;

/// Declares kinds of handles, each for arrays of one kind.
macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub(crate) usize);

        impl Handle for $name {
            fn at(self) -> usize {
                self.0
            }
        }
    )*};
}

/// A handle of one of a node's arrays.
pub trait Handle: Copy {
    #[doc(hidden)]
    fn at(self) -> usize;
}

handles! {
    /// An array that the forward pass writes and the backward pass reads and may overwrite.
    Saved
    /// An array to work in during one call.
    Scratch
    /// An array that is carried from step to step.
    State
    /// A parameter, as it is stored.
    Weight
    /// A parameter in the order in which kernels read it.
    Packed
}

/// The arrays of one kind that belong to a node.
#[derive(Debug)]
pub struct Arrays<'a, T, H> {
    pub(crate) arrays: &'a mut [Tensor<T>],
    handle: PhantomData<H>,
}

impl<'a, T, H: Handle> Arrays<'a, T, H> {
    pub(crate) fn new(arrays: &'a mut [Tensor<T>]) -> Self {
        Arrays { arrays, handle: PhantomData }
    }

    /// Several arrays at once, to be changed.
    ///
    /// # Panics
    /// When a handle is given twice, or belongs to another layer.
    pub fn each<const N: usize>(&mut self, handles: [H; N]) -> [&mut Tensor<T>; N] {
        let all = self.arrays.get_disjoint_mut(handles.map(Handle::at));
        all.expect("handles of one layer, each once")
    }

    /// Several arrays at once, to be changed, and others that may not have been asked for.
    ///
    /// # Panics
    /// As [`each`](Self::each).
    pub fn each_and<const N: usize, const M: usize>(
        &mut self,
        handles: [H; N],
        optional: [Option<H>; M],
    ) -> ([&mut Tensor<T>; N], [Option<&mut Tensor<T>>; M]) {
        let (mut found, mut others) = ([const { None }; N], [const { None }; M]);
        for (at, array) in self.arrays.iter_mut().enumerate() {
            if let Some(place) = handles.iter().position(|handle| handle.at() == at) {
                found[place] = Some(array);
            } else if let Some(place) =
                optional.iter().position(|handle| handle.is_some_and(|handle| handle.at() == at))
            {
                others[place] = Some(array);
            }
        }
        (found.map(|array| array.expect("handles of one layer, each once")), others)
    }

    /// The same arrays, for a shorter time.
    pub fn reborrow(&mut self) -> Arrays<'_, T, H> {
        Arrays::new(self.arrays)
    }
}

impl<T, H: Handle> Index<H> for Arrays<'_, T, H> {
    type Output = Tensor<T>;
    fn index(&self, handle: H) -> &Tensor<T> {
        &self.arrays[handle.at()]
    }
}

impl<T, H: Handle> IndexMut<H> for Arrays<'_, T, H> {
    fn index_mut(&mut self, handle: H) -> &mut Tensor<T> {
        &mut self.arrays[handle.at()]
    }
}

/// The parameters of a node in the order in which kernels read them.
#[derive(Debug, Clone, Copy)]
pub struct PackedWeights<'a, T>(pub(crate) &'a [Panels<T>]);

impl<T> Index<Packed> for PackedWeights<'_, T> {
    type Output = Panels<T>;
    fn index(&self, handle: Packed) -> &Panels<T> {
        &self.0[handle.0]
    }
}

/// What a form of a layer needs, as it has asked for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryPlan {
    pub(crate) saved: Vec<Shape>,
    pub(crate) scratch: Vec<Shape>,
    pub(crate) state: Vec<Shape>,
    pub(crate) packings: Vec<Packing>,
    /// For each of the node's parameters, whether kernels read it as it is stored.
    pub(crate) stored: Vec<bool>,
}

/// A node that is being lowered: the shapes around it, and the memory that it asks for.
#[derive(Debug)]
pub struct Memory<'a> {
    inputs: PortShapes<'a>,
    outputs: &'a [Shape],
    /// The names of the node's parameters.
    parameters: &'a [Cow<'static, str>],
    pub(crate) plan: MemoryPlan,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(
        inputs: PortShapes<'a>,
        outputs: &'a [Shape],
        parameters: &'a [Cow<'static, str>],
    ) -> Self {
        let plan = MemoryPlan { stored: vec![false; parameters.len()], ..MemoryPlan::default() };
        Memory { inputs, outputs, parameters, plan }
    }

    /// The shapes of the inputs, as the signature met them.
    pub fn inputs(&self) -> &PortShapes<'a> {
        &self.inputs
    }

    /// The shape of the input at position `port`.
    ///
    /// # Panics
    /// When an optional port is not wired.
    pub fn input(&self, port: usize) -> &'a Shape {
        self.inputs.shape(port)
    }

    /// The shape of the first output.
    pub fn output(&self) -> &'a Shape {
        &self.outputs[0]
    }

    /// An array that the forward pass writes and the backward pass reads and may overwrite.
    pub fn saved(&mut self, shape: impl Into<Shape>) -> Saved {
        Saved(push(&mut self.plan.saved, self.inputs.bound(&shape.into())))
    }

    /// An array to work in during one call.
    pub fn scratch(&mut self, shape: impl Into<Shape>) -> Scratch {
        Scratch(push(&mut self.plan.scratch, self.inputs.bound(&shape.into())))
    }

    /// An array that is carried from step to step when sampling. Its first dimension is the batch, so that a search can
    /// reorder its rows. One of the shape `[Time, Batch, ..]` is empty at the first step, and the kernel
    /// [adds](Tensor::push) to it at each.
    pub fn state(&mut self, shape: impl Into<Shape>) -> State {
        State(push(&mut self.plan.state, self.inputs.bound(&shape.into())))
    }

    /// The parameter of this name.
    ///
    /// # Panics
    /// When the node has none of this name.
    pub fn weight(&mut self, name: &str) -> Weight {
        let at = self.position(name);
        self.plan.stored[at] = true;
        Weight(at)
    }

    /// Whether the node has a parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|known| known == name)
    }

    /// The parameter of this name, if it is wanted.
    ///
    /// # Panics
    /// As [`weight`](Self::weight).
    pub fn weight_if(&mut self, wanted: bool, name: &str) -> Option<Weight> {
        wanted.then(|| self.weight(name))
    }

    /// The parameter of this name for the backward pass alone: where nothing is trained, it need not be there as stored.
    ///
    /// # Panics
    /// As [`weight`](Self::weight).
    pub fn backward_weight(&mut self, name: &str) -> Weight {
        Weight(self.position(name))
    }

    /// The parameter of this name, a matrix, in panels for a product with it, or with its transpose. `gates` is the
    /// number of blocks of columns, such as the gates of a cell; 1 for none.
    ///
    /// # Panics
    /// As [`weight`](Self::weight).
    pub fn packed(&mut self, name: &str, transposed: bool, gates: usize) -> Packed {
        let parameter = self.position(name);
        Packed(push(&mut self.plan.packings, Packing { parameter, transposed, gates }))
    }

    /// A dimension of the layer's configuration, with its number filled in where it is known.
    pub fn bind(&self, dim: Dim) -> Dim {
        self.inputs.bind(dim)
    }

    fn position(&self, name: &str) -> usize {
        let at = self.parameters.iter().position(|known| known == name);
        at.unwrap_or_else(|| panic!("a layer asks for `{name}`, which is none of its parameters"))
    }
}

fn push<A>(all: &mut Vec<A>, one: A) -> usize {
    all.push(one);
    all.len() - 1
}
