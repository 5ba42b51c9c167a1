use engine_core::engine::{Engine, StepError, Stepper, gradient_check};
use engine_core::graph::Passes;
use engine_core::testing::{engine, stepwise};
use engine_core::{Batch, Mode, Scalar, Sizes, Tensor};
use engine_kernels::team;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::samples::{array, assert_near, from_fn, random, tokens};

/// A way of writing the layer, over arrays of certain sizes.
#[derive(Debug, Clone, Copy)]
struct Case {
    batch: usize,
    queries: usize,
    /// Positions of the memory; 0 for attention of x to itself.
    keys: usize,
    /// Of x and of the memory.
    widths: [usize; 2],
    heads: usize,
    causal: bool,
    masked: bool,
    bias: bool,
}

impl Case {
    fn cross(&self) -> bool {
        self.keys > 0
    }

    /// How many positions are attended to.
    fn attended(&self) -> usize {
        if self.cross() { self.keys } else { self.queries }
    }

    fn mask(&self) -> Tensor<f64> {
        from_fn([self.batch, self.attended()], |[n, s]| {
            // The last sequence has nothing to attend to.
            if n + 1 < self.batch && (n + s) % 3 != 1 { 0.7 } else { 0.0 }
        })
    }

    /// A graph over these arrays; `time` says whether queries are those of time.
    fn engine<T: Scalar>(&self, time: bool) -> Engine<T> {
        let Case { queries, keys, widths: [width, memory], heads, .. } = *self;
        let queries = if time { "Time".to_owned() } else { queries.to_string() };
        let keys = match (self.cross(), self.causal) {
            (true, false) => keys.to_string(),
            _ => queries.clone(),
        };
        let wired =
            |wired: bool, name: &str| if wired { format!(", \"{name}\"") } else { String::new() };
        let text = format!(
            r#"Graph(inputs: {{"x": [Batch, {queries}, {width}], "memory": [Batch, {keys}, {memory}], "mask": [Batch, {keys}]}},
            nodes: [(name: "out", from: ["x"{}{}], layer: MultiHeadAttention(
                heads: {heads}, causal: {}, cross: {}, masked: {}, bias: {}))],
            outputs: {{"out": "out"}})"#,
            wired(self.cross(), "memory"),
            wired(self.masked, "mask"),
            self.causal,
            self.cross(),
            self.masked,
            self.bias,
        );
        let mut engine = engine::<T>(&text, Sizes::new()).unwrap_or_else(|e| panic!("{e}\n{text}"));
        for (at, values) in engine.parameters_mut().iter_mut().enumerate() {
            let drawn = random::<T>(values.shape(), 10 + at as u64);
            values.clone_from(&drawn);
        }
        engine
    }

    fn inputs(&self) -> [Tensor<f64>; 2] {
        let Case { batch, queries, widths: [width, memory], .. } = *self;
        [random(&[batch, queries, width], 1), random(&[batch, self.attended(), memory], 2)]
    }

    fn batch(&self) -> Batch {
        let [x, memory] = self.inputs();
        let mut batch = Batch::new();
        batch.f64_mut("x", x.shape()).copy_from_slice(x.as_slice());
        if self.cross() {
            batch.f64_mut("memory", memory.shape()).copy_from_slice(memory.as_slice());
        }
        if self.masked {
            let mask = self.mask();
            batch.f64_mut("mask", mask.shape()).copy_from_slice(mask.as_slice());
        }
        batch
    }

    /// The formula, one number after the other.
    fn naive(&self, engine: &Engine<f64>) -> Tensor<f64> {
        let [x, memory] = self.inputs();
        let memory = if self.cross() { memory } else { x.clone() };
        let Case { batch, queries, widths: [width, _], heads, .. } = *self;
        let parameter = |name: &str| {
            let at = engine.plan().parameter(&format!("out.{name}"));
            at.map(|at| &engine.parameters()[at])
        };
        let map = |x: &Tensor<f64>, map: &str| {
            let (w, b) = (parameter(&format!("w{map}")).unwrap(), parameter(&format!("b{map}")));
            from_fn([batch, x.dim(1), width], |[n, t, j]| {
                let sum: f64 = (0..x.dim(2)).map(|k| x.view3()[[n, t, k]] * w.rows()[[k, j]]).sum();
                sum + b.map_or(0.0, |b| b.as_slice()[j])
            })
        };
        let (q, k, v) = (map(&x, "q"), map(&memory, "k"), map(&memory, "v"));
        let part = width / heads;
        let mask = self.mask();
        let sees = |n: usize, t: usize, s: usize| {
            (!self.causal || s <= t) && (!self.masked || mask.rows()[[n, s]] != 0.0)
        };
        let means = from_fn([batch, queries, width], |[n, t, j]| {
            let first = j / part * part;
            let e = |s: usize| -> f64 {
                let columns = first..first + part;
                let dot: f64 = columns.map(|c| q.view3()[[n, t, c]] * k.view3()[[n, s, c]]).sum();
                if sees(n, t, s) { (dot / (part as f64).sqrt()).exp() } else { 0.0 }
            };
            let sum: f64 = (0..self.attended()).map(e).sum();
            let weighted: f64 = (0..self.attended()).map(|s| e(s) * v.view3()[[n, s, j]]).sum();
            if sum > 0.0 { weighted / sum } else { 0.0 }
        });
        map(&means, "o")
    }
}

/// Attention of every kind, in sizes that are 1 and larger.
fn cases() -> Vec<Case> {
    let sizes =
        [(1, 1, 1, [1, 1], 1), (3, 4, 5, [6, 4], 2), (2, 5, 1, [4, 3], 4), (4, 1, 6, [3, 2], 3)];
    let mut cases = Vec::new();
    for (batch, queries, keys, widths, heads) in sizes {
        for kind in 0..16 {
            let [cross, causal, masked, bias] = [1, 2, 4, 8].map(|bit| kind & bit != 0);
            let keys = if causal { queries } else { keys };
            let keys = if cross { keys } else { 0 };
            cases.push(Case { batch, queries, keys, widths, heads, causal, masked, bias });
        }
    }
    cases
}

#[test]
fn equals_the_formula_and_finite_differences() {
    for case in cases() {
        let mut engine = case.engine::<f64>(case.causal);
        let batch = case.batch();
        engine.forward(&batch, Mode::Eval).unwrap();
        assert_near(engine.output("out").unwrap(), &case.naive(&engine));
        // The mask is no place to take differences: what matters of it is whether it is 0.
        let worst =
            gradient_check(&mut engine, &unmasked(&case, batch), Mode::Eval, 12, 1).unwrap();
        let worst = worst.unwrap();
        assert!(worst.relative_error < 1e-6, "{case:?}: {worst}");
    }
}

/// A batch whose mask is nowhere 0, if it has one.
fn unmasked(case: &Case, mut batch: Batch) -> Batch {
    if case.masked {
        batch.f64_mut("mask", &[case.batch, case.attended()]).fill(1.0);
    }
    batch
}

#[test]
fn what_is_not_there_has_no_gradient() {
    let case = Case {
        batch: 3,
        queries: 4,
        keys: 7,
        widths: [6, 5],
        heads: 2,
        causal: false,
        masked: true,
        bias: true,
    };
    let mut engine = case.engine::<f64>(true);
    engine.forward(&case.batch(), Mode::Eval).unwrap();
    let plan = engine.plan().clone();
    engine.backward_from(&[(plan.output("out").unwrap(), &[1.0; 72])]);
    let mask = case.mask();
    let d = engine.value_gradient(plan.value("memory").unwrap()).view3();
    for ((n, s, _), d) in d.indexed_iter() {
        assert_eq!(*d == 0.0, mask.rows()[[n, s]] == 0.0, "{n} {s}");
    }
}

/// Whether a case runs step by step over time.
fn steps(case: &Case) -> bool {
    case.causal || case.cross()
}

#[test]
fn steps_equal_the_forward_pass() {
    for case in cases().iter().filter(|case| steps(case)) {
        let (mut engine, batch) = (case.engine::<f64>(true), case.batch());
        engine.forward(&batch, Mode::Eval).unwrap();
        let found = stepwise(&engine, &batch, "out").unwrap();
        assert_near(&found, engine.output("out").unwrap());
    }
}

#[test]
fn single_precision_agrees() {
    for case in cases() {
        let (mut single, mut double) =
            (case.engine::<f32>(case.causal), case.engine::<f64>(case.causal));
        single.forward(&case.batch(), Mode::Eval).unwrap();
        double.forward(&case.batch(), Mode::Eval).unwrap();
        let pairs = single
            .output("out")
            .unwrap()
            .as_slice()
            .iter()
            .zip(double.output("out").unwrap().as_slice());
        pairs.for_each(|(a, b)| assert!((f64::from(*a) - b).abs() < 1e-4, "{case:?}: {a} {b}"));
    }
}

#[test]
fn attention_to_all_of_time_needs_the_future() {
    let case = Case { causal: false, keys: 0, ..cases()[0] };
    let engine = case.engine::<f64>(true);
    let error = Stepper::new(&engine, "out").unwrap_err();
    assert_eq!(error, StepError::NeedsFuture { node: "out".into() });
}

#[test]
fn heads_divide_the_width() {
    let text = r#"Graph(inputs: {"x": [Batch, Time, 6]},
        nodes: [(name: "out", layer: MultiHeadAttention(heads: 4), from: ["x"])], outputs: {"out": "out"})"#;
    let error = engine::<f64>(text, Sizes::new()).unwrap_err();
    for part in ["`heads`", "6", "4"] {
        assert!(error.contains(part), "{error}");
    }
}

/// A decoder of words over an encoder of regions, with attention of all three kinds and with positions.
const DECODER: &str = r#"Graph(
    inputs: {"regions": [Batch, 5, 6], "there": [Batch, 5], "words": [Batch, Time], "next": [Batch, Time]},
    nodes: [
        (name: "memory", layer: MultiHeadAttention(heads: 3, masked: true), from: ["regions", "there"]),
        (name: "vectors", layer: Embedding(units: 8, vocabulary: 11, zero: Some(0)), from: ["words"]),
        (name: "waves", layer: PositionalEncoding(scale: 2), from: ["vectors"]),
        (name: "placed", layer: LearnedPositions(most: 6), from: ["waves"]),
        (name: "self", layer: MultiHeadAttention(heads: 2, causal: true), from: ["placed"]),
        (name: "sum", layer: Add(), from: ["self", "placed"]),
        (name: "cross", layer: MultiHeadAttention(heads: 4, cross: true, masked: true), from: ["sum", "memory", "there"]),
        (name: "both", layer: Add(), from: ["cross", "sum"]),
        (name: "scores", layer: TemporalAffine(units: 11), from: ["both"]),
        (name: "loss", layer: SoftmaxLoss(), from: ["scores", "next"]),
    ],
    outputs: {"loss": "loss", "scores": "scores"},
)"#;

fn decoder() -> (Engine<f64>, Batch) {
    let mut engine = engine::<f64>(DECODER, Sizes::new()).unwrap_or_else(|e| panic!("{e}"));
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let parameters = engine.parameters_mut().iter_mut().flat_map(|p| p.as_mut_slice());
    parameters.for_each(|x| *x = rng.random_range(-0.8..0.8));
    let mut batch = Batch::new();
    batch.f64_mut("regions", &[4, 5, 6]).copy_from_slice(random::<f64>(&[4, 5, 6], 1).as_slice());
    let there = batch.f64_mut("there", &[4, 5]);
    there.iter_mut().enumerate().for_each(|(at, x)| *x = f64::from(u8::from(at % 4 != 1)));
    batch.tokens_mut("words", &[4, 6]).copy_from_slice(tokens(&[4, 6], 11, 2).as_slice());
    let next = [[3, 1, 0, 0, 0, 0], [2, 0, 5, 9, 0, 0], [1, 1, 4, 5, 7, 2], [0, 0, 0, 0, 0, 0]];
    batch.tokens_mut("next", &[4, 6]).copy_from_slice(next.as_flattened());
    (engine, batch)
}

#[test]
fn without_padding_loss_and_gradients_are_the_same() {
    let (mut plain, batch) = decoder();
    let mut arranged = plain.clone().rewritten(&Passes::default());
    assert!(arranged.program().ends_early());
    for engine in [&mut plain, &mut arranged] {
        // The second time, it finds arrays as the first has left them.
        for _ in 0..2 {
            engine.forward(&batch, Mode::Train { iteration: 1 }).unwrap();
            engine.backward();
        }
    }
    assert_near(&array(&[], &[arranged.loss().unwrap()]), &array(&[], &[plain.loss().unwrap()]));
    let parameters = plain.plan().parameters.iter();
    let pairs = arranged.gradients().iter().zip(plain.gradients());
    for (parameter, (a, b)) in parameters.zip(pairs) {
        println!("{}", parameter.name);
        assert_near(a, b);
    }
    let worst = gradient_check(&mut plain, &batch, Mode::Eval, 10, 1).unwrap().unwrap();
    assert!(worst.relative_error < 1e-5, "{worst}");
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (engine, batch) = decoder();
    let run = |threads| {
        team::with_threads(threads, || {
            let mut engine = engine.clone().rewritten(&Passes::default());
            engine.forward(&batch, Mode::Train { iteration: 1 }).unwrap();
            engine.backward();
            (engine.loss(), engine.gradients().to_vec())
        })
    };
    assert!(run(1) == run(3));
}

/// Sequences that are written together: the row of the batch that each began with, and its words.
type Sequences = Vec<(usize, Vec<u32>)>;

fn start(engine: &Engine<f64>, stepper: &mut Stepper<f64>, batch: &Batch, sequences: &Sequences) {
    let mut begun = Batch::new();
    for (name, width) in [("regions", 30), ("there", 5)] {
        let Some(engine_core::Elements::F64(all)) = batch.get(name).map(|a| a.elements()) else {
            unreachable!("numbers")
        };
        let rows = sequences.iter().flat_map(|(row, _)| &all[row * width..][..width]);
        let rows: Vec<f64> = rows.copied().collect();
        let shape: &[usize] =
            if width == 30 { &[sequences.len(), 5, 6] } else { &[sequences.len(), 5] };
        begun.f64_mut(name, shape).copy_from_slice(&rows);
    }
    stepper.start(engine, &begun, sequences.len()).unwrap();
}

fn step(engine: &Engine<f64>, stepper: &mut Stepper<f64>, words: &[u32]) -> Vec<f64> {
    let mut batch = Batch::new();
    batch.tokens_mut("words", &[words.len(), 1]).copy_from_slice(words);
    stepper.step(engine, &batch).unwrap().as_slice().to_vec()
}

#[test]
fn selected_sequences_go_on_as_if_alone() {
    let (engine, batch) = decoder();
    for engine in [engine.clone(), engine.rewritten(&Passes::default())] {
        let mut stepper = Stepper::new(&engine, "scores").unwrap();
        for selection in [&[0, 1, 2, 3][..], &[2, 2, 0], &[3], &[1, 1, 1, 0, 3, 3]] {
            let mut sequences: Sequences = (0..4).map(|row| (row, Vec::new())).collect();
            start(&engine, &mut stepper, &batch, &sequences);
            for t in 0..5 {
                if t % 2 == 0 {
                    let rows: Vec<usize> =
                        selection.iter().map(|row| row % sequences.len()).collect();
                    stepper.select(&rows);
                    sequences = rows.iter().map(|row| sequences[*row].clone()).collect();
                }
                let words = (0..sequences.len()).map(|at| ((3 * at + t * t + 1) % 11) as u32);
                sequences.iter_mut().zip(words).for_each(|((_, words), word)| words.push(word));
                let now: Vec<u32> = sequences.iter().map(|(_, words)| words[t]).collect();
                let found = step(&engine, &mut stepper, &now);
                let mut alone = Stepper::new(&engine, "scores").unwrap();
                start(&engine, &mut alone, &batch, &sequences);
                let right = (0..=t).map(|t| {
                    let words: Vec<u32> = sequences.iter().map(|(_, words)| words[t]).collect();
                    step(&engine, &mut alone, &words)
                });
                let right = right.last().unwrap();
                assert_eq!(found.len(), right.len());
                for (found, right) in found.iter().zip(&right) {
                    assert!((found - right).abs() < 1e-12, "{selection:?}, step {t}");
                }
            }
        }
    }
}
