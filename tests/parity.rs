//! The same numbers as the NumPy system that this project supersedes, from single steps to a training run.
//!
//! Every file in `tests/parity/` is one computation of that system in double precision: inputs, parameters, results,
//! gradients. The file's name says which computation it is; all sizes are those of its arrays. The folder named by the
//! environment variable `ENGINE_PARITY_CASES`, if it is set, is run as well: cases of the same names, of any sizes.
//!
//! Each array is held to [`F64_BOUND`] in double precision and to [`F32_BOUND`] in single, as
//! `max |found - exact| / max |exact|` over the array, see [`Difference`]. Only a case that is so ill-conditioned that
//! the rounding of its inputs alone comes near these bounds is given more, see [`allowance`]; none in `tests/parity/` is.
//! To see the figures:
//!
//! ```text
//! cargo test --release -p engine --test parity -- --nocapture
//! ```

#[path = "support/arrays.rs"]
mod arrays;
#[path = "support/captioning.rs"]
mod captioning;
#[path = "support/case.rs"]
mod case;
#[path = "support/difference.rs"]
mod difference;
#[path = "support/paths.rs"]
mod paths;
#[path = "support/stored.rs"]
mod stored;

use std::marker::PhantomData;
use std::path::Path;

use arrays::{at_time, beside, columns, filled, in_time, map};
use captioning::{Captioning, PARAMETERS, caption_batch, gradients, parameter};
use case::Case;
use difference::Difference;
use engine::Experiment;
use engine::decode::{DecodeScalar, WordModel, greedy};
use engine_core::engine::{Engine, Limits, Updater};
use engine_core::graph::Document;
use engine_core::testing::{LayerBench, Value};
use engine_core::{Batch, Mode, Optimizer, Precision, Sizes, Tagged, Tensor};
use paths::in_workspace;

const F64_BOUND: f64 = 1e-10;
const F32_BOUND: f64 = 2e-4;

/// How much further than by the rounding of its inputs a result may be off: each of the sums on the way rounds as well.
const ROUNDINGS: f64 = 4.0;

/// Two scores this close may come in either order in single precision.
const F32_TIE: f64 = 1e-4;

/// The computations that a case can be, by its name.
const NAMES: [&str; 15] = [
    "affine",
    "caption_lstm",
    "caption_rnn",
    "lstm",
    "lstm_step",
    "optimizer_adam",
    "optimizer_rmsprop",
    "optimizer_sgd",
    "optimizer_sgd_momentum",
    "rnn",
    "rnn_step",
    "temporal_affine",
    "temporal_softmax_loss",
    "temporal_softmax_loss_extreme",
    "word_embedding",
];

/// A case's computation, and how far each of its results is off.
struct Trial<'a, T> {
    case: &'a Case,
    differences: Vec<(String, Difference)>,
    notes: Vec<String>,
    precision: PhantomData<T>,
}

impl<'a, T: DecodeScalar> Trial<'a, T> {
    /// Computes what the case's name says.
    fn run(case: &'a Case) -> Self {
        let mut trial =
            Trial { case, differences: Vec::new(), notes: Vec::new(), precision: PhantomData };
        match case.name.as_str() {
            "affine" => trial.affine("Projection"),
            "temporal_affine" => trial.affine("TemporalAffine"),
            "word_embedding" => trial.word_embedding(),
            "rnn" => trial.recurrence("Rnn"),
            "lstm" => trial.recurrence("Lstm"),
            "rnn_step" => trial.rnn_step(),
            "lstm_step" => trial.lstm_step(),
            "temporal_softmax_loss" | "temporal_softmax_loss_extreme" => trial.softmax_loss(),
            "caption_rnn" => trial.caption("caption_rnn"),
            "caption_lstm" => trial.caption("caption_lstm"),
            "optimizer_sgd" => trial.optimizer("Sgd(learning_rate: 1e-2)"),
            "optimizer_sgd_momentum" => {
                trial.optimizer("Momentum(learning_rate: 1e-2, momentum: 0.9)")
            }
            "optimizer_rmsprop" => {
                trial.optimizer("RmsProp(learning_rate: 1e-2, decay_rate: 0.99, epsilon: 1e-8)")
            }
            "optimizer_adam" => {
                let rest = "beta1: 0.9, beta2: 0.999, epsilon: 1e-8";
                trial.optimizer(&format!("Adam(learning_rate: 1e-2, {rest})"));
            }
            other => panic!("no computation is called `{other}`; known are {}", NAMES.join(", ")),
        }
        trial
    }

    fn numbers(&self, key: &str) -> Tensor<T> {
        self.case.numbers(key)
    }

    fn shape(&self, key: &str) -> Vec<usize> {
        self.case.exact(key).shape().to_vec()
    }

    fn compare(&mut self, key: &str, found: &Tensor<T>) {
        let difference = Difference::of(found, &self.case.exact(key));
        self.differences.push((key.to_owned(), difference));
    }

    /// A graph of one layer with the case's parameters.
    fn bench(&self, layer: &str, inputs: Vec<Tensor<T>>, parameters: &[&str]) -> LayerBench<T> {
        let inputs = inputs.into_iter().map(Value::Real).collect();
        let mut bench = LayerBench::new(layer, inputs);
        for name in parameters {
            *bench.parameter_mut(name) = self.numbers(&format!("param.{name}"));
        }
        bench
    }

    fn compare_parameters(&mut self, bench: &LayerBench<T>, parameters: &[&str]) {
        for name in parameters {
            self.compare(&format!("grad.{name}"), bench.parameter_gradient(name));
        }
    }

    /// An affine layer with as many units as its bias has elements.
    fn affine(&mut self, layer: &str) {
        let layer = format!("{layer}(units: {})", self.shape("param.b")[0]);
        let mut bench = self.bench(&layer, vec![self.numbers("in.x")], &["w", "b"]);
        self.compare("out.y", &bench.forward(Mode::Eval));
        bench.backward(&self.numbers("in.dout"));
        self.compare("grad.x", bench.input_gradient(0));
        self.compare_parameters(&bench, &["w", "b"]);
    }

    fn word_embedding(&mut self) {
        let [words, units] = self.shape("param.w")[..] else { panic!("`param.w` is a matrix") };
        let layer = format!("Embedding(units: {units}, vocabulary: {words})");
        let mut bench =
            LayerBench::<T>::new(&layer, vec![Value::Tokens(self.case.tokens("in.x").clone())]);
        *bench.parameter_mut("w") = self.numbers("param.w");
        self.compare("out.y", &bench.forward(Mode::Eval));
        bench.backward(&self.numbers("in.dout"));
        self.compare_parameters(&bench, &["w"]);
    }

    fn recurrence(&mut self, cell: &str) {
        let layer = format!("{cell}(units: {})", self.shape("in.h0")[1]);
        let inputs = vec![self.numbers("in.x"), self.numbers("in.h0")];
        let mut bench = self.bench(&layer, inputs, &["wx", "wh", "b"]);
        self.compare("out.h", &bench.forward(Mode::Eval));
        bench.backward(&self.numbers("in.dout"));
        self.compare("grad.x", bench.input_gradient(0));
        self.compare("grad.h0", bench.input_gradient(1));
        self.compare_parameters(&bench, &["wx", "wh", "b"]);
    }

    /// One step is a sequence of length 1.
    fn rnn_step(&mut self) {
        let layer = format!("Rnn(units: {})", self.shape("in.prev_h")[1]);
        let inputs = vec![in_time(&[&self.numbers("in.x")]), self.numbers("in.prev_h")];
        let mut bench = self.bench(&layer, inputs, &["wx", "wh", "b"]);
        self.compare("out.next_h", &bench.forward(Mode::Eval));
        bench.backward(&in_time(&[&self.numbers("in.dnext_h")]));
        self.compare("grad.x", bench.input_gradient(0));
        self.compare("grad.prev_h", bench.input_gradient(1));
        self.compare_parameters(&bench, &["wx", "wh", "b"]);
    }

    /// One step of a cell whose memory is no output. A second step reads it out: it sees, through one more input that is
    /// 0 in the first step, nothing but gates that are fully open (forget, output) or shut (input). So
    ///
    /// ```text
    /// c[2] = 1 * c[1] + 0 * g = c[1]        h[2] = 1 * tanh(c[2]) = tanh(c[1])
    /// ```
    ///
    /// and since the slope of a gate that is fully open or shut is 0, a gradient d of h\[2\] reaches nothing but c\[1\],
    /// as d (1 - h\[2\]^2). The step's results and its gradients, from those of both next_h and next_c, are then exactly
    /// those of the first step.
    fn lstm_step(&mut self) {
        let [_, inputs] = self.shape("in.x")[..] else { panic!("`in.x` is a matrix") };
        let [rows, units] = self.shape("in.prev_h")[..] else { panic!("`in.prev_h` is a matrix") };
        let (x, wx) = (self.numbers("in.x"), self.numbers("param.wx"));
        let first = beside(&x, &Tensor::zeros(&[rows, 1]));
        let second = beside(&Tensor::zeros(&[rows, inputs]), &filled(&[rows, 1], 1.0));
        let [shut, open] = [-1e4, 1e4].map(|sum| vec![T::of(sum); units]);
        let gates = [shut, open.clone(), open, vec![T::zero(); units]].concat();
        let wide = [wx.as_slice(), &gates].concat();
        let wide = Tensor::from_vec(&[inputs + 1, 4 * units], wide).expect("one more row");

        let (h0, c0) = (self.numbers("in.prev_h"), self.numbers("in.prev_c"));
        let layer = format!("Lstm(units: {units})");
        let over_time = vec![in_time(&[&first, &second]), h0, c0];
        let mut bench = self.bench(&layer, over_time, &["wh", "b"]);
        *bench.parameter_mut("wx") = wide;
        let h = bench.forward(Mode::Eval);
        let (next_h, tanh_c) = (at_time(&h, 0), at_time(&h, 1));
        self.compare("out.next_h", &next_h);
        self.compare("out.next_c", &map(&tanh_c, |h| T::of(h.f64().atanh())));

        // In the case's own precision, so that the rounding of tanh(c) cancels.
        let mut reading = self.numbers("in.dnext_c");
        let slopes = tanh_c.as_slice().iter().map(|&h| T::one() - h * h);
        reading.as_mut_slice().iter_mut().zip(slopes).for_each(|(d, slope)| *d /= slope);
        bench.backward(&in_time(&[&self.numbers("in.dnext_h"), &reading]));
        self.compare("grad.x", &columns(&at_time(bench.input_gradient(0), 0), inputs));
        self.compare("grad.prev_h", bench.input_gradient(1));
        self.compare("grad.prev_c", bench.input_gradient(2));
        let gradient = bench.parameter_gradient("wx").as_slice()[..wx.as_slice().len()].to_vec();
        let gradient = Tensor::from_vec(wx.shape(), gradient).expect("all rows but the last");
        self.compare("grad.wx", &gradient);
        self.compare_parameters(&bench, &["wh", "b"]);
    }

    fn softmax_loss(&mut self) {
        let (scores, mask) = (self.numbers("in.x"), self.numbers("in.mask"));
        let targets = self.case.tokens("in.y").clone();
        let inputs = vec![Value::Real(scores), Value::Tokens(targets), Value::Real(mask)];
        let mut bench = LayerBench::<T>::new("SoftmaxLoss()", inputs);
        self.compare("out.loss", &bench.forward(Mode::Eval));
        bench.backward(&filled(&[], 1.0));
        self.compare("grad.x", bench.input_gradient(0));
    }

    /// A whole captioning network: loss, gradients, greedy captions, and steps of Adam on the one batch.
    fn caption(&mut self, graph: &str) {
        let network = Captioning::of_case(self.case);
        let mut engine = network.engine::<T>(graph);
        for (reference, own) in PARAMETERS {
            *parameter(&mut engine, own) = self.numbers(&format!("param.{reference}"));
        }
        let captions = self.case.tokens("in.captions");
        let batch = caption_batch(&self.case.exact("in.features"), captions);

        let loss = gradients(&mut engine, &batch);
        self.compare("out.loss", &filled(&[1], loss));
        for (reference, own) in PARAMETERS {
            let at = engine.plan().parameter(own).expect("loaded above");
            self.compare(&format!("grad.{reference}"), &engine.gradients()[at]);
        }
        self.greedy(graph, &network, &engine, &batch);

        let rule =
            update_rule("Adam(learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8)");
        let mut updater = Updater::new(rule, Limits::default(), &engine);
        let count = self.shape("out.adam_losses")[0];
        let losses = (0..count).map(|_| {
            let loss = gradients(&mut engine, &batch);
            updater.limit(&mut engine);
            updater.update(&mut engine, updater.learning_rate());
            T::of(loss)
        });
        let losses = Tensor::from_vec(&[count], losses.collect()).expect("a loss each step");
        self.compare("out.adam_losses", &losses);
        for (reference, own) in PARAMETERS {
            self.compare(&format!("after.{reference}"), parameter(&mut engine, own));
        }
    }

    /// Captions are the reference's, word for word; in single precision a word may also be one that is as likely as the
    /// reference's to within [`F32_TIE`], and what follows it is another sentence.
    fn greedy(&mut self, graph: &str, network: &Captioning, engine: &Engine<T>, batch: &Batch) {
        let expected = self.case.tokens("out.greedy");
        let (rows, length) = (expected.dim(0), expected.dim(1));
        let words = network.vocabulary();
        let mut model = WordModel::new(engine, &words).expect("a graph that writes");
        let found = greedy(&mut model, batch, rows, length, None).expect("features that fit");
        let mut wrong = 0;
        for (row, found) in found.iter().enumerate() {
            let expected = &expected.as_slice()[row * length..][..length];
            let found: Vec<u32> =
                [words.start()].into_iter().chain(found.tokens.iter().copied()).collect();
            assert_eq!(found.len(), expected.len());
            let Some(at) = (0..length).find(|&at| found[at] != expected[at]) else { continue };
            let tie = T::PRECISION == Precision::F32
                && self.score_gap(graph, network, row, at, found[at]) <= F32_TIE;
            let note =
                format!("row {row} of out.greedy: {found:?}, expected {expected:?}, a tie: {tie}");
            self.notes.push(note);
            wrong += usize::from(!tie);
        }
        let share = wrong as f64 / rows as f64;
        let difference = Difference { of_array: share, of_element: share };
        self.differences.push(("out.greedy".into(), difference));
    }

    /// By how much the reference's word at a position beats another, in double precision.
    fn score_gap(
        &self,
        graph: &str,
        network: &Captioning,
        row: usize,
        at: usize,
        word: u32,
    ) -> f64 {
        let mut engine = network.engine::<f64>(graph);
        for (reference, own) in PARAMETERS {
            *parameter(&mut engine, own) = self.case.numbers(&format!("param.{reference}"));
        }
        let captions = self.case.tokens("out.greedy");
        let batch = caption_batch(&self.case.exact("in.features"), captions);
        engine.forward(&batch, Mode::Eval).expect("a batch that fits");
        let scores = engine.value(engine.plan().value("scores").expect("a node `scores`")).view3();
        let expected = captions.as_slice()[row * captions.dim(1) + at];
        let score = |word: u32| scores[[row, at - 1, word as usize]];
        score(expected) - score(word)
    }

    /// A rule's steps on given gradients, the weights after each.
    fn optimizer(&mut self, rule: &str) {
        let count = self.numbers("in.w").as_slice().len();
        let layer = format!("Projection(units: {count}, bias: false)");
        let text = format!(
            "Graph(precision: {:?}, inputs: {{\"x\": [Batch, 1]}}, nodes: [(name: \"y\", layer: {layer}, from: \
             [\"x\"])], outputs: {{\"y\": \"y\"}})",
            T::PRECISION
        );
        let experiment =
            Experiment::read("optimizer".into(), Document::new("optimizer", text), &[])
                .unwrap_or_else(|error| panic!("{error}"));
        let plan = experiment.graph.check(&Sizes::new(), None).plan.expect("a graph without fault");
        let mut engine = Engine::<T>::new(plan.into(), Sizes::new(), 0).expect("sizes in numbers");
        let weights = self.numbers("in.w");
        parameter(&mut engine, "y.w").as_mut_slice().copy_from_slice(weights.as_slice());

        let mut updater = Updater::new(update_rule(rule), Limits::default(), &engine);
        let (gradients, mut trajectory) = (self.numbers("in.grads"), Vec::new());
        for gradient in gradients.as_slice().chunks(count) {
            let (_, gradients) = engine.parameters_and_gradients_mut();
            gradients[0].as_mut_slice().copy_from_slice(gradient);
            updater.limit(&mut engine);
            updater.update(&mut engine, updater.learning_rate());
            trajectory.extend_from_slice(engine.parameters()[0].as_slice());
        }
        let trajectory = Tensor::from_vec(gradients.shape(), trajectory);
        self.compare("out.trajectory", &trajectory.expect("weights after each gradient"));
    }

    /// The results that are further off than a bound.
    fn beyond(&self, bound: f64) -> Vec<&str> {
        let beyond = self.differences.iter().filter(|(_, d)| d.of_array > bound);
        beyond.map(|(key, _)| key.as_str()).collect()
    }
}

/// For each result of a case, [`ROUNDINGS`] times how far it is off in double precision when nothing but its inputs are
/// rounded as the precision rounds them: no program that computes in that precision can be expected to do better than
/// this. A recurrence with large weights, for one, takes two neighbouring states further apart at every step.
fn allowance(case: &Case, precision: Precision) -> Vec<f64> {
    let rounding = match precision {
        Precision::F32 => f64::from(f32::EPSILON) / 2.0,
        Precision::F64 => f64::EPSILON / 2.0,
    };
    let perturbed = case.perturbed(rounding);
    let trial = Trial::<f64>::run(&perturbed);
    // Captions are words, not numbers that round.
    let rounds = |key: &str| if key == "out.greedy" { 0.0 } else { ROUNDINGS };
    trial.differences.iter().map(|(key, d)| rounds(key) * d.of_array).collect()
}

/// An update rule as a graph file writes it.
fn update_rule(text: &str) -> Tagged<dyn Optimizer> {
    let document = Document::new("rule", text);
    document.parse(document.text()).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

/// The figures of one folder in one precision.
struct Figures {
    name: &'static str,
    bound: f64,
    /// The largest difference of all.
    worst: f64,
    /// Results that were given more than the bound.
    allowed: Vec<String>,
    failures: Vec<String>,
}

impl Figures {
    fn new(name: &'static str, bound: f64) -> Self {
        Figures { name, bound, worst: 0.0, allowed: Vec::new(), failures: Vec::new() }
    }

    /// Runs a case and returns its part of the table: the array that is furthest off.
    fn run<T: DecodeScalar>(&mut self, case: &Case) -> String {
        let trial = Trial::<T>::run(case);
        let allowance = allowance(case, T::PRECISION);
        let mut line = (String::new(), 0.0);
        for ((key, difference), allowed) in trial.differences.iter().zip(allowance) {
            let Difference { of_array, of_element } = *difference;
            if line.0.is_empty() || of_array > line.1 {
                line.0 = format!("{} {of_array:.1e} ({of_element:.1e}) {key:16}", self.name);
                line.1 = of_array;
            }
            let what = || format!("{}, {key} in {}: {of_array:.1e}", case.name, self.name);
            if allowed > self.bound {
                self.allowed.push(format!("{}, allowed {allowed:.1e}", what()));
            }
            if of_array > self.bound.max(allowed) {
                self.failures.push(what());
                self.failures.extend(trial.notes.iter().cloned());
            }
        }
        self.worst = self.worst.max(line.1);
        line.0
    }
}

/// Runs every case of a folder in both precisions and prints how far each is off.
fn run_folder(dir: &Path) -> [Figures; 2] {
    println!("{}: max |found - exact| / max |exact|; by element in brackets", dir.display());
    let (mut double, mut single) = (Figures::new("F64", F64_BOUND), Figures::new("F32", F32_BOUND));
    for case in Case::all_in(dir) {
        let line =
            format!("{:30} {}  {}", case.name, double.run::<f64>(&case), single.run::<f32>(&case));
        println!("{}", line.trim_end());
    }
    for figures in [&double, &single] {
        println!(
            "worst of all in {}: {:.1e}, bound {:e}",
            figures.name, figures.worst, figures.bound
        );
        figures.allowed.iter().for_each(|allowed| println!("  ill-conditioned: {allowed}"));
    }
    let failures = [double.failures.join("\n"), single.failures.join("\n")].join("\n");
    assert!(failures.trim().is_empty(), "beyond the bounds:\n{failures}");
    [double, single]
}

#[test]
fn every_case_agrees_with_the_reference() {
    let dir = in_workspace("tests/parity");
    let names: Vec<String> = Case::all_in(&dir).into_iter().map(|case| case.name).collect();
    assert_eq!(names, NAMES, "no case is missing");
    let figures = run_folder(&dir);
    assert!(figures.iter().all(|f| f.allowed.is_empty()), "the plain bounds hold for all of them");
}

#[test]
fn every_case_of_the_folder_that_is_asked_for_agrees() {
    match std::env::var_os("ENGINE_PARITY_CASES") {
        Some(dir) => drop(run_folder(Path::new(&dir))),
        None => println!("ENGINE_PARITY_CASES is not set: no further cases"),
    }
}

/// Any result of any case that is off by a millionth of its array's scale fails, so none goes unread.
#[test]
fn one_wrong_number_anywhere_is_found() {
    for case in Case::all_in(&in_workspace("tests/parity")) {
        for (at, key) in case.results().iter().enumerate() {
            let wrong = case.corrupted(key, 7919 * (at + 1), 1e-6);
            let trial = Trial::<f64>::run(&wrong);
            assert_eq!(trial.beyond(F64_BOUND), [key], "{}", case.name);
        }
    }
}

/// `numpy.linspace(first, last, count)`.
fn linspace(first: f64, last: f64, count: usize) -> Vec<f64> {
    let step = (last - first) / (count - 1) as f64;
    (0..count).map(|i| if i + 1 == count { last } else { first + i as f64 * step }).collect()
}

/// The course publishes two losses, which its assignment 3 (2016) has students reproduce. This defines them, with
/// `CaptioningRNN` of the course:
///
/// ```python
/// import numpy as np
/// N, D, W, H, V, T = 10, 20, 30, 40, 3, 13
/// words = {'<NULL>': 0, 'cat': 2, 'dog': 3}                    # three words: V = 3
/// for cell, first, last in (('rnn', -1.5, 0.3), ('lstm', -0.5, 1.7)):
///     model = CaptioningRNN(words, input_dim=D, wordvec_dim=W, hidden_dim=H, cell_type=cell, dtype=np.float64)
///     for name, value in model.params.items():
///         model.params[name] = np.linspace(-1.4, 1.3, num=value.size).reshape(*value.shape)
///     features = np.linspace(first, last, num=N * D).reshape(N, D)
///     captions = (np.arange(N * T) % V).reshape(N, T)
///     loss, grads = model.loss(features, captions)             # reads captions[:, :-1], predicts captions[:, 1:]
/// ```
#[test]
fn the_courses_published_losses() {
    for (graph, (first, last), expected) in
        [("caption_rnn", (-1.5, 0.3), 9.83235591003), ("caption_lstm", (-0.5, 1.7), 9.82445935443)]
    {
        let (rows, length) = (10, 13);
        let network = Captioning { features: 20, embedding: 30, hidden: 40, vocabulary: 3 };
        let mut engine = network.engine::<f64>(graph);
        for parameter in engine.parameters_mut() {
            let values = linspace(-1.4, 1.3, parameter.as_slice().len());
            parameter.as_mut_slice().copy_from_slice(&values);
        }
        let features = linspace(first, last, rows * network.features);
        let features = Tensor::from_vec(&[rows, network.features], features).expect("N x D");
        let captions = (0..rows * length).map(|i| (i % network.vocabulary) as u32).collect();
        let captions = Tensor::from_vec(&[rows, length], captions).expect("N x T");
        let loss = gradients(&mut engine, &caption_batch(&features, &captions));
        println!("{graph}: {loss:.11}, published {expected}, difference {:.1e}", loss - expected);
        assert!((loss - expected).abs() <= 1e-9, "{graph}: {loss}, published {expected}");
    }
}
