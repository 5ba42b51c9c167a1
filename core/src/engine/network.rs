//! Forward and backward over whole sequences.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::carried::Carried;
use super::feed::{FeedError, feed};
use super::memory::Memory;
use super::packs::Packs;
use super::profile::{Profile, measured};
use crate::array::batch::Batch;
use crate::array::dim::Symbol;
use crate::array::shape::{Shape, Sizes};
use crate::array::tensor::Tensor;
use crate::graph::{Passes, Plan};
use crate::layer::context::{Mode, Slot};
use crate::scalar::Scalar;

/// A plan that cannot be given memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A size without a number.
    #[error("`{whose}` has the shape {shape}, and nothing says what `{symbol}` is")]
    Unbound {
        /// The value or parameter.
        whose: String,
        /// Its symbolic shape.
        shape: Shape,
        /// The size that is not bound.
        symbol: Symbol,
    },
    /// More parameters than are plausible, let alone trainable.
    #[error(
        "the graph has {count} parameters, expected at most {MOST_PARAMETERS}; the largest is `{largest}`"
    )]
    TooLarge {
        /// All numbers that training would change.
        count: usize,
        /// The parameter with the most of them.
        largest: String,
    },
    /// A value is asked for that the graph does not name.
    #[error("the graph has no output `{role}`; it has: {}", roles.join(", "))]
    NoRole {
        /// What was asked for.
        role: String,
        /// The outputs that there are.
        roles: Vec<String>,
    },
}

/// A network of more parameters is a slip of the pen: one of this size takes 8 GiB, and its gradients and an update rule
/// several times that.
const MOST_PARAMETERS: usize = 1 << 31;

/// A network with its parameters, gradients and memory.
///
/// Memory is planned for a batch's shape and kept: training steps on batches of one shape allocate nothing but what the
/// GEMM backend and the thread pool take for themselves.
#[derive(Debug, Clone)]
pub struct Engine<T> {
    pub(super) plan: Arc<Plan>,
    /// The plan that runs: the one above, or a rewritten one.
    pub(super) program: Arc<Plan>,
    pub(super) sizes: Sizes,
    pub(super) seed: u64,
    pub(super) parameters: Vec<Tensor<T>>,
    /// Another number each time that someone may have changed the parameters.
    pub(super) version: u64,
    pub(super) packs: Packs<T>,
    pub(super) gradients: Vec<Tensor<T>>,
    pub(super) memory: Memory<T>,
    pub(super) carried: Carried<T>,
    pub(super) value_gradients: Vec<Tensor<T>>,
    /// The values whose gradients someone wants.
    pub(super) wanted: Vec<bool>,
    /// Whether the gradients of inputs are among them.
    pub(super) input_gradients: bool,
    /// For each value and each parameter, whether its gradient is still to be written by this pass.
    pub(super) fresh: (Vec<bool>, Vec<bool>),
    pub(super) mode: Mode,
    pub(super) passes: Passes,
    pub(super) profile: Option<Profile>,
}

impl<T: Scalar> Engine<T> {
    /// A network with freshly drawn parameters. `sizes` binds every symbol but `Batch` and `Time`; `seed` decides the
    /// parameters and all noise.
    ///
    /// Each parameter has its own stream of random numbers, keyed by its name: adding a node leaves the first values of
    /// all others as they were.
    ///
    /// # Errors
    /// When a size is not bound, or the parameters are too many to be meant.
    pub fn new(plan: Arc<Plan>, sizes: Sizes, seed: u64) -> Result<Self, BuildError> {
        Self::with_input_gradients(plan, sizes, seed, false)
    }

    /// As [`new`](Self::new); `input_gradients` says whether the backward pass also computes the gradients of inputs.
    ///
    /// # Errors
    /// When a size is not bound, or the parameters are too many to be meant.
    pub fn with_input_gradients(
        plan: Arc<Plan>,
        sizes: Sizes,
        seed: u64,
        input_gradients: bool,
    ) -> Result<Self, BuildError> {
        let (sizes, shapes) = bound(&plan, &sizes)?;
        let mut parameters = Vec::with_capacity(plan.parameters.len());
        for (parameter, shape) in plan.parameters.iter().zip(shapes) {
            let values = parameter.fill.values(&shape, &mut parameter_rng(seed, &parameter.name));
            let values = values.into_iter().map(T::of).collect();
            parameters.push(Tensor::from_vec(&shape, values).expect("a fill draws a full array"));
        }
        Ok(Engine {
            gradients: parameters.iter().map(|p: &Tensor<T>| Tensor::zeros(p.shape())).collect(),
            version: next_version(),
            packs: Packs::new(&plan),
            memory: Memory::new(&plan, &sizes),
            carried: Carried::default(),
            value_gradients: plan.values.iter().map(|_| Tensor::default()).collect(),
            wanted: wanted(&plan, input_gradients),
            input_gradients,
            fresh: (vec![false; plan.values.len()], vec![false; plan.parameters.len()]),
            mode: Mode::Eval,
            passes: Passes::none(),
            profile: None,
            program: plan.clone(),
            plan,
            sizes,
            seed,
            parameters,
        })
    }

    /// The same network, which from now on computes its loss and the gradients of that, and nothing else, by a plan that
    /// passes have rewritten. A network without a loss stays as it is.
    pub fn rewritten(mut self, passes: &Passes) -> Self {
        self.passes = passes.clone();
        let Some(program) = self.plan.rewritten("loss", passes) else { return self };
        self.packs = Packs::new(&program);
        self.memory = Memory::new(&program, &self.sizes);
        self.carried = Carried::default();
        self.value_gradients = program.values.iter().map(|_| Tensor::default()).collect();
        self.wanted = wanted(&program, self.input_gradients);
        self.fresh.0 = vec![false; program.values.len()];
        self.program = Arc::new(program);
        self
    }

    /// The network as its graph file writes it.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The plan that runs: the network as it is written, unless passes have [`rewritten`](Self::rewritten) it. Indices
    /// of values are those of this plan.
    pub fn program(&self) -> &Arc<Plan> {
        &self.program
    }

    /// Begins to measure what each node takes, or begins anew.
    pub fn begin_profile(&mut self) {
        self.profile = Some(Profile::new(&self.program));
    }

    /// What passes have taken since [`begin_profile`](Self::begin_profile).
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// What every symbol but the batch and the time stands for.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Computes all values of the graph from a batch, and from what is [carried](Self::carry) over.
    ///
    /// # Errors
    /// When the batch does not fit the graph's inputs.
    pub fn forward(&mut self, batch: &Batch, mode: Mode) -> Result<(), FeedError> {
        self.mode = mode;
        let Engine { program, sizes, memory, carried, packs, parameters, profile, .. } = self;
        measured(
            profile,
            |profile| &mut profile.feed,
            || {
                feed(memory, program, sizes, batch, (1, 1), |_, input| !program.is_carried(input))?;
                carried.feed(memory, program);
                Ok(())
            },
        )?;
        let version = self.version;
        measured(
            profile,
            |profile| &mut profile.pack,
            || packs.renew(program, parameters, version),
        );
        for at in 0..program.nodes.len() {
            measured(
                profile,
                |profile| &mut profile.nodes[at].forward,
                || {
                    memory.forward(program, at, parameters, packs.of(at), (mode, self.seed));
                },
            );
        }
        Ok(())
    }

    /// The loss of the last forward pass; `None` for a graph without one.
    pub fn loss(&self) -> Option<f64> {
        Some(self.output("loss")?.as_slice()[0].f64())
    }

    /// The value in a role, as the last forward pass left it.
    pub fn output(&self, role: &str) -> Option<&Tensor<T>> {
        Some(&self.memory.values[self.program.output(role)?])
    }

    /// A value by its index in the plan.
    pub fn value(&self, at: usize) -> &Tensor<T> {
        &self.memory.values[at]
    }

    /// The gradient of a value by its index in the plan, as the last backward pass left it.
    pub fn value_gradient(&self, at: usize) -> &Tensor<T> {
        &self.value_gradients[at]
    }

    /// The name of the first node, in the order of computation, with an output that is not finite.
    pub fn first_not_finite(&self) -> Option<&str> {
        let finite = |at: usize| self.memory.values[at].as_slice().iter().all(|x| x.is_finite());
        let node = self.program.nodes.iter().find(|node| !node.outputs.clone().all(finite))?;
        Some(&node.name)
    }

    /// The parameters in the plan's order.
    pub fn parameters(&self) -> &[Tensor<T>] {
        &self.parameters
    }

    /// The parameters, to be changed.
    pub fn parameters_mut(&mut self) -> &mut [Tensor<T>] {
        self.version = next_version();
        &mut self.parameters
    }

    /// The parameters' gradients in the plan's order.
    pub fn gradients(&self) -> &[Tensor<T>] {
        &self.gradients
    }

    /// The parameters and their gradients, for an update.
    pub fn parameters_and_gradients_mut(&mut self) -> (&mut [Tensor<T>], &mut [Tensor<T>]) {
        self.version = next_version();
        (&mut self.parameters, &mut self.gradients)
    }

    /// Whether the backward pass computes this value's gradient.
    pub fn wants_gradient(&self, at: usize) -> bool {
        self.wanted[at]
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// The passes that rewrite its plans.
    pub(super) fn passes(&self) -> &Passes {
        &self.passes
    }

    /// Which state of the parameters this is: equal numbers, equal parameters.
    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

/// All sizes of a plan, and the shapes of its parameters, once every size but `Batch` and `Time` is bound.
///
/// # Errors
/// When a size is not bound, or the parameters are too many to be meant.
pub(super) fn bound(plan: &Plan, sizes: &Sizes) -> Result<(Sizes, Vec<Vec<usize>>), BuildError> {
    let sizes = sizes.iter().fold(plan.sizes.clone(), |all, (name, size)| all.with(name, size));
    let all = sizes.clone().with(Symbol::BATCH, 1).with(Symbol::TIME, 1);
    let resolve = |whose: &str, shape: &Shape| {
        shape.resolve(&all).map_err(|symbol| BuildError::Unbound {
            whose: whose.to_owned(),
            shape: shape.clone(),
            symbol,
        })
    };
    for value in &plan.values {
        resolve(&value.name, &value.shape)?;
    }
    for node in &plan.nodes {
        let own = &node.memory;
        for shape in own.saved.iter().chain(&own.scratch).chain(&own.state) {
            resolve(&node.name, shape)?;
        }
    }
    let mut shapes = Vec::with_capacity(plan.parameters.len());
    for parameter in &plan.parameters {
        shapes.push(resolve(&parameter.name, &parameter.shape)?);
    }
    let length = |shape: &Vec<usize>| shape.iter().fold(1, |n: usize, d| n.saturating_mul(*d));
    let count = shapes.iter().map(length).fold(0, usize::saturating_add);
    if count > MOST_PARAMETERS {
        let named = plan.parameters.iter().zip(&shapes);
        let largest = named.max_by_key(|(_, shape)| length(shape));
        let largest = largest.map_or(String::new(), |(parameter, _)| parameter.name.clone());
        return Err(BuildError::TooLarge { count, largest });
    }
    Ok((sizes, shapes))
}

/// A number that no engine had before.
fn next_version() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The values whose gradients someone wants: those that depend on a parameter, or on an input if its gradient counts.
fn wanted(plan: &Plan, input_gradients: bool) -> Vec<bool> {
    let mut wanted = vec![false; plan.values.len()];
    for input in &plan.inputs {
        if let Slot::Value(at) = input.slot {
            wanted[at] = input_gradients;
        }
    }
    for node in &plan.nodes {
        let reads = node.reads().any(|value| wanted[value]);
        wanted[node.outputs.clone()].fill(reads || !node.parameters.is_empty());
    }
    wanted
}

/// The stream of random numbers of one parameter: FNV-1a of its name beside the seed.
fn parameter_rng(seed: u64, name: &str) -> ChaCha8Rng {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(hash);
    rng
}
