//! One step of a recurrence against the layer that runs over time.

use engine_core::engine::{Engine, Stepper, gradient_check};
use engine_core::graph::{PASSES, Passes};
use engine_core::testing::{LayerBench, engine};
use engine_core::{
    Batch, Form, Layer, Lowered, Memory, Mode, PlanError, Port, PortShapes, Signature, Sizes,
    Tagged, Tensor, WeightOrder,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{SIZES, assert_near, random};

/// A recurrence's layer over time, that of one step, and what both are written with.
pub(crate) struct OneStep {
    pub(crate) sequence: &'static str,
    pub(crate) cell: &'static str,
    pub(crate) options: &'static str,
    /// The outputs that go on to the next step.
    pub(crate) carries: &'static [&'static str],
}

const STEPS: usize = 3;

impl OneStep {
    /// The recurrence over time beside the same written out, a node a step, with its weights.
    fn unrolled(&self, [width, units]: [usize; 2]) -> Engine<f64> {
        let starts: Vec<String> =
            (0..self.carries.len()).map(|at| format!("\"start{at}\"")).collect();
        let options = format!("units: {units}{}", self.options);
        let mut nodes = format!(
            "(name: \"seq\", layer: {}({options}), from: [\"x\", {}]), ",
            self.sequence,
            starts.join(", ")
        );
        let mut before = starts.join(", ");
        for t in 0..STEPS {
            nodes += &format!(
                "(name: \"s{t}\", layer: {}({options}), from: [\"x{t}\", {before}], weights_of: \"seq\"), ",
                self.cell
            );
            let carried = self.carries.iter().map(|output| format!("\"s{t}{output}\""));
            before = carried.collect::<Vec<_>>().join(", ");
        }
        let states = starts.iter().map(|start| format!("{start}: [Batch, {units}], "));
        let steps = (0..STEPS).map(|t| format!("\"x{t}\": [Batch, {width}], "));
        let inputs: String = states.chain(steps).collect();
        let outputs: String = (0..STEPS).map(|t| format!("\"s{t}\": \"s{t}\", ")).collect();
        graph(
            &format!("\"x\": [Batch, Time, {width}], {inputs}"),
            &nodes,
            &format!("\"seq\": \"seq\", {outputs}"),
        )
    }
}

fn graph(inputs: &str, nodes: &str, outputs: &str) -> Engine<f64> {
    let text = format!("Graph(inputs: {{{inputs}}}, nodes: [{nodes}], outputs: {{{outputs}}})");
    let mut engine = engine::<f64>(&text, Sizes::new()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    let parameters = engine.parameters_mut().iter_mut().flat_map(|p| p.as_mut_slice());
    parameters.for_each(|x| *x += rng.random_range(-0.5..0.5));
    engine
}

fn feed(batch: &mut Batch, name: &str, values: &Tensor<f64>) {
    batch.f64_mut(name, values.shape()).copy_from_slice(values.as_slice());
}

/// Step `t` of an array with time.
fn at(array: &Tensor<f64>, t: usize) -> Tensor<f64> {
    let [n, _, d] = [0, 1, 2].map(|axis| array.dim(axis));
    super::from_fn([n, d], |[i, j]| array.view3()[[i, t, j]])
}

/// Refuses a cell whose steps differ from those of the layer over time, by values, by gradients of parameters, of inputs
/// and of where the state starts, or whose gradients differ from finite differences.
pub(crate) fn assert_one_step(cell: &OneStep) {
    for [n, _, width, units] in SIZES {
        println!("{}, {n} sequences, {width} to {units}", cell.cell);
        let (x, dy) = (random(&[n, STEPS, width], 1), random::<f64>(&[n, STEPS, units], 2));
        let mut batch = Batch::new();
        feed(&mut batch, "x", &x);
        (0..STEPS).for_each(|t| feed(&mut batch, &format!("x{t}"), &at(&x, t)));
        for start in 0..cell.carries.len() {
            feed(&mut batch, &format!("start{start}"), &random(&[n, units], 3 + start as u64));
        }
        let mut engine = cell.unrolled([width, units]);
        let plan = engine.plan().clone();
        let run = |engine: &mut Engine<f64>, seeds: &[(usize, &[f64])]| {
            engine.forward(&batch, Mode::Eval).unwrap();
            engine.backward_from(seeds);
            let start = plan.value("start0").unwrap();
            (engine.gradients().to_vec(), engine.value_gradient(start).clone())
        };
        let seq = plan.output("seq").unwrap();
        let (over_time, from_start) = run(&mut engine, &[(seq, dy.as_slice())]);
        let dys: Vec<Tensor<f64>> = (0..STEPS).map(|t| at(&dy, t)).collect();
        let step = |t: usize| plan.output(&format!("s{t}")).unwrap();
        let seeds: Vec<(usize, &[f64])> =
            dys.iter().enumerate().map(|(t, dy)| (step(t), dy.as_slice())).collect();
        let (by_step, from_start_by_step) = run(&mut engine, &seeds);
        for t in 0..STEPS {
            assert_near(engine.value(step(t)), &at(engine.value(seq), t));
        }
        assert_near(&from_start_by_step, &from_start);
        over_time.iter().zip(&by_step).for_each(|(a, b)| assert_near(a, b));
        let worst = gradient_check(&mut engine, &batch, Mode::Eval, 40, 1).unwrap().unwrap();
        assert!(worst.relative_error < 1e-6, "{worst}");
    }
}

/// Refuses a cell with `bias: false` that differs from one whose biases are 0. It takes x and `carries` arrays, which are
/// its outputs as well.
pub(crate) fn assert_without_bias(cell: &str, options: &str, carries: &[&str], biases: &[&str]) {
    let (n, width, units) = (3, 4, 5);
    let mut batch = Batch::new();
    feed(&mut batch, "x", &random(&[n, width], 1));
    let mut from = "\"x\"".to_owned();
    let mut inputs = format!("\"x\": [Batch, {width}]");
    for at in 0..carries.len() {
        feed(&mut batch, &format!("h{at}"), &random(&[n, units], 2 + at as u64));
        from += &format!(", \"h{at}\"");
        inputs += &format!(", \"h{at}\": [Batch, {units}]");
    }
    let outputs: String =
        carries.iter().enumerate().map(|(at, c)| format!("\"h{at}\": \"cell{c}\", ")).collect();
    let engine = |bias: bool| {
        let layer = format!("{cell}(units: {units}{options}, bias: {bias})");
        let node = format!("(name: \"cell\", layer: {layer}, from: [{from}])");
        graph(&inputs, &node, &outputs)
    };
    let (mut with, mut without) = (engine(true), engine(false));
    let plan = with.plan().clone();
    assert_eq!(without.parameters().len() + biases.len(), plan.parameters.len());
    for bias in biases {
        let at = plan.parameter(&format!("cell.{bias}")).unwrap();
        with.parameters_mut()[at].fill(0.0);
    }
    for (parameter, values) in
        without.plan().clone().parameters.iter().zip(without.parameters_mut())
    {
        let at = plan.parameter(&parameter.name).unwrap();
        values.clone_from(&with.parameters()[at]);
    }
    with.forward(&batch, Mode::Eval).unwrap();
    let worst = gradient_check(&mut without, &batch, Mode::Eval, 40, 1).unwrap().unwrap();
    assert!(worst.relative_error < 1e-6, "{worst}");
    without.forward(&batch, Mode::Eval).unwrap();
    for at in 0..carries.len() {
        let role = format!("h{at}");
        assert_near(without.output(&role).unwrap(), with.output(&role).unwrap());
    }
}

/// The form of a layer over weights in panels, as a layer of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct InPanels(Tagged<dyn Layer>);

#[typetag::serde]
impl Layer for InPanels {
    fn ports(&self) -> Vec<Port> {
        self.0.ports()
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        self.0.signature(inputs)
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let form = Form::PLAIN.weights(WeightOrder::PanelsBothWays);
        self.0.form(form, memory).expect("the layer has the form")
    }
}

/// Refuses a cell of so many states that over packed weights computes something else.
pub(crate) fn assert_packed(cell: &str, options: &str, states: usize, biases: &[&str]) {
    for [n, _, width, units] in SIZES.into_iter().chain([[150, 1, 20, 70]]) {
        for bias in [true, false] {
            let layer = format!("{cell}(units: {units}{options}, bias: {bias})");
            let widths = [width].into_iter().chain(vec![units; states]);
            let inputs: Vec<_> =
                widths.zip(1..).map(|(w, seed)| random::<f64>(&[n, w], seed).into()).collect();
            let mut plain = LayerBench::new(&layer, inputs.clone());
            let mut packed = LayerBench::new(&format!("InPanels({layer})"), inputs);
            let biases = if bias { biases } else { &[] };
            let names = [&["wx", "wh"], biases].concat();
            for (name, seed) in names.iter().zip(5..) {
                *plain.parameter_mut(name) = random(plain.parameter(name).shape(), seed);
                *packed.parameter_mut(name) = plain.parameter(name).clone();
            }
            assert_near(&packed.forward(Mode::Eval), &plain.forward(Mode::Eval));
            let dy = random(&[n, units], 9);
            packed.backward(&dy);
            plain.backward(&dy);
            for name in names {
                assert_near(packed.parameter_gradient(name), plain.parameter_gradient(name));
            }
            for port in 0..=states {
                assert_near(packed.input_gradient(port), plain.input_gradient(port));
            }
        }
    }
}

/// Refuses a recurrence of so many states of which some form computes something else than the plain one: over packed
/// sequences of any lengths, with the input's part apart, with each different word once, in panels, and step by step where
/// several sequences continue one.
pub(crate) fn assert_forms(layer: &str, options: &str, states: usize) {
    let sizes = SIZES.into_iter().chain([[7, 6, 3, 33], [4, 5, 2, 70], [2, 3, 9, 130]]);
    for ([n, t, width, units], seed) in sizes.zip(1..) {
        for started in 0..=states {
            println!(
                "{layer}{options}: {n} sequences of {t}, {width} to {units}, {started} starts"
            );
            let nodes = |at| {
                format!(
                    r#"(name: "s{at}", layer: Projection(units: {units}), from: ["features"]), "#
                )
            };
            let from: String = (0..started).map(|at| format!(", \"s{at}\"")).collect();
            let nodes: String = (0..started).map(nodes).collect();
            let nodes = nodes
                + &format!(
                    r#"(name: "words", layer: Embedding(units: {width}), from: ["words_in"]),
                    (name: "hidden", layer: {layer}(units: {units}{options}), from: ["words"{from}]),
                    (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["hidden"]),
                    (name: "loss", layer: SoftmaxLoss(), from: ["scores", "words_out"]),"#
                );
            let text = format!(
                r#"Graph(
                    inputs: {{"features": [Batch, 3], "words_in": [Batch, Time], "words_out": [Batch, Time]}},
                    nodes: [{nodes}],
                    outputs: {{"loss": "loss", "scores": "scores"}},
                )"#
            );
            let text =
                if started > 0 { text } else { text.replace(r#""features": [Batch, 3], "#, "") };
            assert_forms_of(&text, [n, t], seed);
        }
    }
}

/// Gradients are computed in training.
const TRAIN: Mode = Mode::Train { iteration: 1 };

fn assert_forms_of(text: &str, [n, t]: [usize; 2], seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let sizes: Sizes = [("Vocabulary", 6)].into_iter().collect();
    let mut plain = engine::<f64>(text, sizes).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let numbers = plain.parameters_mut().iter_mut().flat_map(|p| p.as_mut_slice());
    numbers.for_each(|x| *x = rng.random_range(-0.8..0.8));
    let mut batch = Batch::new();
    feed(&mut batch, "features", &random(&[n, 3], seed));
    let mut words = vec![0; n * t];
    for sequence in words.chunks_mut(t) {
        let length = rng.random_range(0..=t);
        sequence[..length].iter_mut().for_each(|word| *word = rng.random_range(1..6));
    }
    words[0] = 1;
    batch.tokens_mut("words_out", &[n, t]).copy_from_slice(&words);
    let words_in = batch.tokens_mut("words_in", &[n, t]);
    words_in.iter_mut().for_each(|word| *word = rng.random_range(0..6));
    plain.forward(&batch, TRAIN).unwrap();
    plain.backward();
    let all: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
    let sets = [
        &["hoist"][..],
        &["padding"],
        &["hoist", "padding"],
        &["hoist", "distinct-words"],
        &["hoist", "fused-cells"],
        &["hoist", "fused-cells", "distinct-words"],
        &all,
    ];
    for kept in sets {
        let without: Vec<&&str> = all.iter().filter(|pass| !kept.contains(pass)).collect();
        let mut other = plain.clone().rewritten(&Passes::without(&without).unwrap());
        // A second pass finds arrays as the first has left them.
        for _ in 0..2 {
            other.forward(&batch, TRAIN).unwrap();
            other.backward();
            let (a, b) = (other.loss().unwrap(), plain.loss().unwrap());
            assert!((a - b).abs() < 1e-12 * b.abs().max(1.0), "{kept:?}: {a} and {b}");
            let names = plain.plan().parameters.iter().map(|parameter| &parameter.name);
            for (name, (a, b)) in names.zip(other.gradients().iter().zip(plain.gradients())) {
                println!("{name} with {kept:?}");
                assert_equal(a, b);
            }
        }
    }
    assert_branches(&plain, &batch, n);
}

/// Refuses steps in panels that differ from plain ones as sequences are continued, several from one.
fn assert_branches(plain: &Engine<f64>, batch: &Batch, n: usize) {
    let fast = plain.clone().rewritten(&Passes::default());
    let mut steppers =
        [plain, &fast].map(|engine| (engine, Stepper::new(engine, "scores").unwrap()));
    let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
    for (engine, stepper) in &mut steppers {
        stepper.start(engine, batch, n).unwrap();
    }
    let mut words = Batch::new();
    for _ in 0..4 {
        let rows = steppers[0].1.rows();
        words
            .tokens_mut("words_in", &[rows, 1])
            .iter_mut()
            .for_each(|word| *word = rng.random_range(0..6));
        let [plain, fast] = &mut steppers;
        assert_equal(fast.1.step(fast.0, &words).unwrap(), plain.1.step(plain.0, &words).unwrap());
        let selected: Vec<usize> =
            (0..rng.random_range(1..2 * n + 2)).map(|_| rng.random_range(0..rows)).collect();
        steppers.iter_mut().for_each(|(_, stepper)| stepper.select(&selected));
    }
}

/// Refuses two arrays that differ by more than rounding, as far as their greatest number lets expect it.
fn assert_equal(a: &Tensor<f64>, b: &Tensor<f64>) {
    assert_eq!(a.shape(), b.shape());
    let greatest = b.as_slice().iter().fold(1.0, |most: f64, x| most.max(x.abs()));
    for (a, b) in a.as_slice().iter().zip(b.as_slice()) {
        assert!((a - b).abs() < 1e-12 * greatest, "{a} and {b}");
    }
}
