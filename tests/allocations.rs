//! A training step in its steady state asks the allocator for nothing, outside the GEMM backend.
//!
//! The allocator of this test counts for each thread, and the one that trains does all work. Every allocation counts but
//! those that the backend makes while it multiplies: for a product of more than one row it takes an aligned block to pack
//! matrices into and a zeroed array of bytes, and gives both back at once. What is of such a kind is traced back to its
//! caller, and is the backend's only if a source file of that crate is on the way. All else must be 0, on batches no
//! larger than an earlier one, whatever their padding and however many different words they have.

#[path = "support/tapped.rs"]
mod tapped;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::sync::Mutex;
use std::thread::{self, LocalKey, sleep};
use std::time::Duration;

use engine::{Draw, with_batches};
use engine_core::engine::{Limits, Updater};
use engine_core::field::{NonNegative, Positive};
use engine_core::graph::{PASSES, Passes};
use engine_core::optimizers::Adam;
use engine_core::testing::engine;
use engine_core::{Batch, Mode, Sizes, Tagged, Tensor};
use engine_datasets::{Order, Source, Split};
use engine_kernels::{gemm, team};
use engine_layers as _;
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tapped::{Tapped, scenes};

/// The system's allocator, with counts for each thread.
struct Counting;

thread_local! {
    /// Allocations that are not the backend's, and all of them while `TRACED` is not set.
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// Allocations of the backend.
    static BACKEND: Cell<usize> = const { Cell::new(0) };
    /// Whether allocations that may be the backend's are traced.
    static TRACED: Cell<bool> = const { Cell::new(false) };
}

/// The backend's blocks begin a cache line.
const LINE: usize = 64;

/// While a thread ends, its counters are gone, and with them whoever would read them.
fn count(counter: &'static LocalKey<Cell<usize>>) {
    let _ = counter.try_with(|count| count.set(count.get() + 1));
}

fn count_traced() {
    if !TRACED.try_with(Cell::get).unwrap_or(false) {
        return count(&COUNT);
    }
    // What the trace itself takes is neither traced nor counted.
    TRACED.set(false);
    let kept = COUNT.get();
    let trace = Backtrace::force_capture().to_string();
    let backend = trace.contains("/gemm-common-");
    drop(trace);
    COUNT.set(kept);
    TRACED.set(true);
    count(if backend { &BACKEND } else { &COUNT });
}

// SAFETY: every call is passed on to the system's allocator as it is; counting touches a thread's own cells, which are
// initialised by constants and have no destructors. A trace allocates, and is not begun within another.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() >= LINE {
            count_traced()
        } else {
            count(&COUNT)
        }
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() >= LINE || layout.align() == 1 {
            count_traced()
        } else {
            count(&COUNT)
        }
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(&COUNT);
        // SAFETY: the caller's promises are the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Words to scores through every layer that has no matrix product.
const WITHOUT_PRODUCTS: &str = r#"Graph(
    inputs: {"words_in": [Batch, Time], "words_out": [Batch, Time]},
    nodes: [
        (name: "words", layer: Embedding(units: 151), from: ["words_in"]),
        (name: "tanh", layer: Tanh(), from: ["words"]),
        (name: "sigmoid", layer: Sigmoid(), from: ["words"]),
        (name: "relu", layer: Relu(), from: ["words"]),
        (name: "product", layer: Multiply(), from: ["tanh", "sigmoid"]),
        (name: "sum", layer: Add(), from: ["product", "relu", "words"]),
        (name: "noise", layer: Dropout(rate: 0.3), from: ["sum"]),
        (name: "both", layer: Concat(), from: ["noise", "tanh"]),
        (name: "loss", layer: SoftmaxLoss(), from: ["both", "words_out"]),
    ],
)"#;

/// A captioning network of sizes at which kernels go through many blocks of rows and of columns.
fn captioner(cell: &str, between: &str) -> String {
    let reads = if between.is_empty() { "words" } else { "between" };
    format!(
        r#"Graph(
            inputs: {{"features": [Batch, 40], "words_in": [Batch, Time], "words_out": [Batch, Time]}},
            nodes: [
                (name: "h0", layer: Projection(units: 72), from: ["features"]),
                (name: "words", layer: Embedding(units: 48), from: ["words_in"]),
                {between}
                (name: "hidden", layer: {cell}, from: ["{reads}", "h0"]),
                (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["hidden"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "words_out"]),
            ],
        )"#
    )
}

const VOCABULARY: usize = 301;

/// Captions of random words and lengths in arrays of `time` words; `full` ones leave no room.
fn fill(batch: &mut Batch, (rows, time): (usize, usize), full: bool, rng: &mut ChaCha8Rng) {
    batch.f32_mut("features", &[rows, 40]).fill_with(|| rng.random_range(-1.0..1.0));
    let words = batch.tokens_mut("words_in", &[rows, time]);
    words.fill_with(|| rng.random_range(0..VOCABULARY as u32));
    for caption in batch.tokens_mut("words_out", &[rows, time]).chunks_mut(time) {
        let length = if full { time } else { rng.random_range(0..=time) };
        caption.fill_with(|| rng.random_range(1..VOCABULARY as u32));
        caption[length..].fill(0);
    }
}

/// What a thread allocates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allocations {
    others: usize,
    backend: usize,
}

/// What `f` allocates.
fn allocations(f: impl FnOnce()) -> Allocations {
    let before = (COUNT.get(), BACKEND.get());
    TRACED.set(true);
    f();
    TRACED.set(false);
    Allocations { others: COUNT.get() - before.0, backend: BACKEND.get() - before.1 }
}

/// Allocations of each of a few training steps and losses outside training, on batches up to the given size, after two
/// steps on captions of full length: arrays that a kernel exchanges for its own have both been used then.
fn of_steps(graph: &str, passes: &Passes, (rows, time): (usize, usize)) -> Vec<Allocations> {
    let sizes: Sizes = [("Vocabulary", VOCABULARY)].into_iter().collect();
    let mut engine = engine::<f32>(graph, sizes).expect("the graph is right").rewritten(passes);
    let limits = Limits {
        l2: Some(NonNegative::constant(0.01)),
        clip_value: Some(Positive::constant(5.0)),
        clip_norm: Some(Positive::constant(1.0)),
    };
    let mut updater = Updater::new(Tagged(std::sync::Arc::new(Adam::default())), limits, &engine);
    let mut batch = Batch::new();
    let mut rng = ChaCha8Rng::seed_from_u64(rows as u64);
    let mut step = |iteration, shape, full| {
        fill(&mut batch, shape, full, &mut rng);
        engine.forward(&batch, Mode::Train { iteration }).expect("the batch fits");
        engine.backward();
        updater.limit(&mut engine);
        updater.update(&mut engine, 1e-3);
        engine.forward(&batch, Mode::Eval).expect("the batch fits");
    };
    (0..2).for_each(|at| step(at, (rows, time), true));
    // The last batch of an epoch may have fewer captions, and those of validation may be shorter.
    let fewer = (rows.div_ceil(2), time.div_ceil(2));
    let shapes = [(rows, time), (rows, time), (rows, time), fewer, (1, 1), (rows, time)];
    let steps = (2..).zip(shapes);
    steps.map(|(at, shape)| allocations(|| step(at, shape, at == 4))).collect()
}

#[test]
fn a_training_step_allocates_nothing() {
    team::with_threads(1, || {
        all_work_is_done_here();
        the_backend_is_known_by_its_callers();
        networks_allocate_nothing();
    });
}

fn all_work_is_done_here() {
    let here = thread::current().id();
    assert_eq!(team::threads(), 1);
    team::for_each(1000, |_| assert_eq!(thread::current().id(), here));
}

fn the_backend_is_known_by_its_callers() {
    let of = |f: &dyn Fn()| allocations(f);
    let (a, b) = (Array2::<f32>::ones((70, 60)), Array2::<f32>::ones((60, 50)));
    let c = RefCell::new(Array2::<f32>::zeros((70, 50)));
    let product = || gemm::product(a.view(), b.view(), c.borrow_mut().view_mut());
    // The first product of a thread takes what later ones share.
    product();
    assert_eq!(of(&product), Allocations { others: 0, backend: 2 });
    let other = Allocations { others: 1, backend: 0 };
    assert_eq!(of(&|| drop(black_box(vec![false; 9]))), other);
    assert_eq!(of(&|| drop(black_box(vec![0u64; 9]))), other);
    assert_eq!(of(&|| drop(black_box(Box::new(9)))), other);
    // An array's elements, and its shape, which begins with room for one dimension.
    let array = of(&|| drop(black_box(Tensor::<f64>::zeros(&[9]))));
    assert_eq!(array, Allocations { others: 2, backend: 0 });
}

fn networks_allocate_nothing() {
    for (size, passes) in [(1, 1), (3, 5), (40, 12)]
        .iter()
        .flat_map(|size| [Passes::none(), Passes::default()].map(|passes| (*size, passes)))
    {
        let steps = of_steps(WITHOUT_PRODUCTS, &passes, size);
        let nothing = Allocations { others: 0, backend: 0 };
        assert!(steps.iter().all(|step| *step == nothing), "without products, {size:?}: {steps:?}");
    }
    let dropout = r#"(name: "between", layer: Dropout(rate: 0.3), from: ["words"]),"#;
    let graphs = [
        captioner("Rnn(units: 72)", ""),
        captioner("Rnn(units: 72, activation: Relu)", ""),
        captioner("Lstm(units: 72)", ""),
        captioner("Gru(units: 72)", ""),
        captioner("Gru(units: 72, reset: After)", ""),
        captioner("Lstm(units: 72)", dropout),
    ];
    let selections = || [Passes::none(), Passes::default()];
    let both = graphs.iter().flat_map(|graph| selections().map(|passes| (graph, passes)));
    let without = PASSES.iter().map(|pass| Passes::without(&[pass.name]).expect("a pass"));
    for (graph, passes) in both.chain(without.map(|passes| (&graphs[2], passes))) {
        let steps = of_steps(graph, &passes, (50, 9));
        let backend: Vec<usize> = steps.iter().map(|step| step.backend).collect();
        println!("{passes:?}: {backend:?} allocations of the backend");
        assert!(steps.iter().all(|step| step.others == 0), "{passes:?}: {steps:?}\n{graph}");
        assert!(backend[0] > 0, "some product is the backend's: {graph}");
    }
}

#[test]
fn preparing_batches_allocates_nothing() {
    let source = scenes();
    let counts = Mutex::new(Vec::with_capacity(100));
    // A thread that waits at a channel for the first time takes memory for it, whenever chance has it. So both are made to
    // wait early: the one that fills until the first batch is asked for, the one that trains until the second is filled.
    let wait = Duration::from_millis(100);
    let note = |_: Split, _: &[usize]| {
        let mut counts = counts.lock().unwrap();
        counts.push(COUNT.get());
        let second = counts.len() == 2;
        drop(counts);
        if second {
            sleep(wait);
        }
    };
    let source = Tapped { source: &*source, tap: note };
    let captions = source.captions(Split::Train);
    let draw = Draw {
        split: Split::Train,
        order: Order::Shuffled,
        seed: 1,
        rows: captions / 9,
        skip: 0,
        batches: 9,
    };
    let taken = with_batches(&source, draw, |batches| {
        let mut taken = [0; 9];
        while counts.lock().unwrap().is_empty() {
            sleep(wait);
        }
        sleep(wait);
        for taken in &mut taken {
            let before = COUNT.get();
            assert!(batches.next().is_some());
            *taken = COUNT.get() - before;
        }
        taken
    });
    assert_eq!(taken[2..], [0; 7], "of the thread that trains: {taken:?}");
    // Each count stands before a batch is filled, and what the two batches first take comes between the first three.
    let counts = counts.into_inner().unwrap();
    assert!(counts[2..].iter().all(|count| *count == counts[2]), "of the other: {counts:?}");
}
