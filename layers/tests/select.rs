//! Sequences that are written step by step know nothing of each other: some of them go on as if no other had been there.

use engine_core::engine::{Engine, Stepper};
use engine_core::graph::Passes;
use engine_core::testing::engine;
use engine_core::{Batch, Sizes};
use engine_layers as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const BOUND: f64 = 1e-12;
const STEPS: usize = 7;

fn graph(cell: &str, start: &str, middle: &str, reads: &str) -> String {
    format!(
        r#"Graph(
            inputs: {{"features": [Batch, Features], "words": [Batch, Time], "next": [Batch, Time]}},
            nodes: [
                (name: "h0", layer: Projection(units: Units), from: ["features"]),
                (name: "vectors", layer: Embedding(units: 5), from: ["words"]),
                {middle}
                (name: "hidden", layer: {cell}, from: ["{reads}"{start}]),
                (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["hidden"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "next"]),
            ],
        )"#
    )
}

fn graphs() -> Vec<String> {
    let cells = [
        "Lstm(units: Units)",
        "Rnn(units: Units)",
        "Rnn(units: Units, activation: Relu)",
        "Gru(units: Units)",
        "Gru(units: Units, reset: After)",
    ];
    let h0 = r#", "h0""#;
    let plain = cells.iter().map(|cell| graph(cell, h0, "", "vectors"));
    let deep = r#"(name: "first", layer: Gru(units: 6), from: ["vectors"]),
        (name: "both", layer: Concat(), from: ["first", "vectors"]),"#;
    let others = [
        graph(cells[0], r#", "h0", "h0""#, "", "vectors"),
        graph(cells[0], h0, deep, "both"),
        graph(cells[1], h0, deep, "both").replace("Vocabulary)", "Vocabulary, bias: false)"),
    ];
    plain.chain(others).collect()
}

/// A sequence so far: which features it began with, and its words.
#[derive(Clone)]
struct Sequence {
    features: usize,
    words: Vec<u32>,
}

struct Network {
    engine: Engine<f64>,
    features: Vec<Vec<f64>>,
    vocabulary: usize,
}

impl Network {
    fn drawn(text: &str, rng: &mut ChaCha8Rng) -> Self {
        let mut size = |most: usize| rng.random_range(1..=most);
        let (rows, width, units, vocabulary) = (size(9), size(5), size(40), size(80));
        let sizes = [("Features", width), ("Units", units), ("Vocabulary", vocabulary)];
        let sizes: Sizes = sizes.into_iter().collect();
        let mut engine = engine::<f64>(text, sizes).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let parameters = engine.parameters_mut().iter_mut().flat_map(|p| p.as_mut_slice());
        parameters.for_each(|x| *x = rng.random_range(-0.8..0.8));
        let mut row = || (0..width).map(|_| rng.random_range(-1.0..1.0)).collect();
        let features = (0..rows).map(|_| row()).collect();
        Network { engine, features, vocabulary }
    }

    fn start(&self, stepper: &mut Stepper<f64>, sequences: &[Sequence]) {
        let mut batch = Batch::new();
        let rows = sequences.iter().map(|sequence| &self.features[sequence.features]);
        let features: Vec<f64> = rows.flatten().copied().collect();
        let shape = [sequences.len(), self.features[0].len()];
        batch.f64_mut("features", &shape).copy_from_slice(&features);
        stepper.start(&self.engine, &batch, sequences.len()).expect("features that fit");
    }

    fn step(
        &self,
        stepper: &mut Stepper<f64>,
        words: impl ExactSizeIterator<Item = u32>,
    ) -> Vec<f64> {
        let mut batch = Batch::new();
        let to = batch.tokens_mut("words", &[words.len(), 1]);
        to.iter_mut().zip(words).for_each(|(to, word)| *to = word);
        stepper.step(&self.engine, &batch).expect("words that fit").as_slice().to_vec()
    }

    /// The scores after the last word, of a run of these sequences alone.
    fn alone(&self, sequences: &[Sequence]) -> Vec<f64> {
        let mut stepper = Stepper::new(&self.engine, "scores").expect("a graph that writes");
        self.start(&mut stepper, sequences);
        let step = |t: usize| self.step(&mut stepper, sequences.iter().map(|s| s.words[t]));
        (0..sequences[0].words.len()).map(step).last().unwrap_or_default()
    }

    /// Writes for some steps, of more and less sequences, each step against a run without those that are gone.
    fn wanders(&self, stepper: &mut Stepper<f64>, rng: &mut ChaCha8Rng, what: &str) {
        let begin = |features| Sequence { features, words: Vec::new() };
        let mut sequences: Vec<_> = (0..self.features.len()).map(begin).collect();
        self.start(stepper, &sequences);
        for t in 0..STEPS {
            if rng.random_bool(0.6) {
                let count = rng.random_range(1..=sequences.len() + 2);
                let mut row = || rng.random_range(0..sequences.len());
                let rows: Vec<usize> = (0..count).map(|_| row()).collect();
                stepper.select(&rows);
                assert_eq!(stepper.rows(), rows.len());
                sequences = rows.iter().map(|row| sequences[*row].clone()).collect();
            }
            let mut word = || rng.random_range(0..self.vocabulary) as u32;
            sequences.iter_mut().for_each(|sequence| sequence.words.push(word()));
            let found = self.step(stepper, sequences.iter().map(|s| s.words[t]));
            let right = self.alone(&sequences);
            assert_eq!(found.len(), right.len(), "{what}");
            for (at, (found, right)) in found.iter().zip(&right).enumerate() {
                assert!((found - right).abs() <= BOUND, "{what}, {t}, {at}: {found} for {right}");
            }
        }
    }
}

#[test]
fn selected_sequences_go_on_as_if_alone() {
    for (text, seed) in graphs().iter().zip(1..) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for round in 0..12 {
            let mut network = Network::drawn(text, &mut rng);
            let rewritten = round % 2 == 1;
            if rewritten {
                network.engine = network.engine.rewritten(&Passes::default());
            }
            let what = format!("seed {seed}, round {round}, rewritten {rewritten}\n{text}");
            let mut stepper = Stepper::new(&network.engine, "scores").expect("a graph that writes");
            // The second time, it finds arrays as the first has left them.
            network.wanders(&mut stepper, &mut rng, &what);
            network.wanders(&mut stepper, &mut rng, &what);
            // What it has kept of words is no longer so once the parameters are others.
            let parameters = network.engine.parameters_mut().iter_mut();
            parameters
                .flat_map(|p| p.as_mut_slice())
                .for_each(|x| *x = rng.random_range(-0.8..0.8));
            network.wanders(&mut stepper, &mut rng, &what);
        }
    }
}

#[test]
fn a_value_without_time_is_selected_as_well() {
    let text = graph("Rnn(units: Units)", r#", "h0""#, "", "vectors");
    let network = Network::drawn(&text, &mut ChaCha8Rng::seed_from_u64(6));
    let begin = |features| Sequence { features, words: Vec::new() };
    let sequences: Vec<_> = (0..network.features.len()).map(begin).collect();
    let mut stepper = Stepper::new(&network.engine, "h0").expect("a value");
    network.start(&mut stepper, &sequences);
    let value = |stepper: &mut Stepper<f64>| {
        let value = stepper.step(&network.engine, &Batch::new()).expect("no inputs");
        value.rows().outer_iter().map(|row| row.to_vec()).collect::<Vec<_>>()
    };
    let all = value(&mut stepper);
    let last = all.len() - 1;
    stepper.select(&[last, 0, last]);
    assert_eq!(value(&mut stepper), [last, 0, last].map(|row| all[row].clone()));
}
