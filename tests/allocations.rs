//! A training step in its steady state asks the allocator for nothing, outside the GEMM backend and the thread pool.
//!
//! The allocator of this test counts, on the one thread that works. The backend takes memory for a product of more than
//! one row, so a count of 0 is asked of networks without products at any size, and of recurrent ones for one caption of
//! one word, whose products have one row. For larger ones the count must be the same at every step.

#[path = "support/tapped.rs"]
mod tapped;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Mutex;

use engine::{Draw, with_batches};
use engine_core::engine::{Limits, Updater};
use engine_core::field::{NonNegative, Positive};
use engine_core::optimizers::Adam;
use engine_core::testing::engine;
use engine_core::{Batch, Mode, Sizes, Tagged, team};
use engine_datasets::{Order, Source, Split};
use engine_layers as _;
use tapped::{Tapped, scenes};

/// The system's allocator, with a count for each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // While a thread ends, its counter is gone, and with it whoever would read it.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it is; counting touches a thread's own cell and allocates
// nothing, for the cell is initialised by a constant and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
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
        (name: "words", layer: Embedding(units: 9), from: ["words_in"]),
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

fn with_cell(cell: &str) -> String {
    format!(
        r#"Graph(
            inputs: {{"features": [Batch, 5], "words_in": [Batch, Time], "words_out": [Batch, Time]}},
            nodes: [
                (name: "h0", layer: Projection(units: 4), from: ["features"]),
                (name: "words", layer: Embedding(units: 6), from: ["words_in"]),
                (name: "hidden", layer: {cell}, from: ["words", "h0"]),
                (name: "scores", layer: TemporalAffine(units: 9), from: ["hidden"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "words_out"]),
            ],
        )"#
    )
}

/// Allocations of each of a few training steps, after the first ones.
fn allocations(graph: &str, rows: usize, time: usize) -> Vec<usize> {
    let sizes: Sizes = [("Vocabulary", 9)].into_iter().collect();
    let mut engine = engine::<f32>(graph, sizes).expect("the graph is right");
    let limits = Limits {
        l2: Some(NonNegative::constant(0.01)),
        clip_value: Some(Positive::constant(5.0)),
        clip_norm: Some(Positive::constant(1.0)),
    };
    let mut updater = Updater::new(Tagged(std::sync::Arc::new(Adam::default())), limits, &engine);
    let mut batch = Batch::new();
    let mut step = |iteration| {
        let before = COUNT.get();
        batch.f32_mut("features", &[rows, 5]).fill(0.5);
        batch.tokens_mut("words_in", &[rows, time]).fill(3);
        batch.tokens_mut("words_out", &[rows, time]).fill(4);
        engine.forward(&batch, Mode::Train { iteration }).expect("the batch fits");
        engine.backward();
        updater.limit(&mut engine);
        updater.update(&mut engine, 1e-3);
        COUNT.get() - before
    };
    let _ = (step(0), step(1));
    (2..6).map(&mut step).collect()
}

#[test]
fn a_training_step_allocates_nothing() {
    // All work on the thread that counts.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    pool.unwrap().install(|| team::with_threads(1, networks_allocate_nothing));
}

fn networks_allocate_nothing() {
    for (rows, time) in [(1, 1), (3, 5), (40, 12)] {
        let counts = allocations(WITHOUT_PRODUCTS, rows, time);
        assert_eq!(counts, [0; 4], "without products, {rows} captions of {time} words");
    }
    for cell in ["Rnn(units: 4)", "Lstm(units: 4)", "Gru(units: 4)", "Gru(units: 4, reset: After)"]
    {
        assert_eq!(allocations(&with_cell(cell), 1, 1), [0; 4], "{cell}");
        let counts = allocations(&with_cell(cell), 7, 12);
        println!("{cell}, 7 captions of 12 words: {} allocations a step", counts[0]);
        assert!(counts.iter().all(|count| *count == counts[0]), "{cell}: {counts:?}");
    }
}

#[test]
fn preparing_batches_allocates_nothing() {
    let source = scenes();
    let counts = Mutex::new(Vec::with_capacity(100));
    let note = |_: Split, _: &[usize]| counts.lock().unwrap().push(COUNT.get());
    let source = Tapped { source: &*source, tap: note };
    let captions = source.captions(Split::Train);
    let draw = Draw {
        split: Split::Train,
        order: Order::Shuffled,
        seed: 1,
        rows: captions / 9,
        batches: 9,
    };
    let taken = with_batches(&source, draw, |batches| {
        let mut taken = [0; 9];
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
