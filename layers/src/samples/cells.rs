//! One step of a recurrence against the layer that runs over time.

use engine_core::engine::{Engine, gradient_check};
use engine_core::testing::engine;
use engine_core::{Batch, Mode, Sizes, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{SIZES, assert_near, random};

/// A recurrence's layer over time, that of one step, and what both are written with.
pub(crate) struct Cell {
    pub(crate) sequence: &'static str,
    pub(crate) cell: &'static str,
    pub(crate) options: &'static str,
    /// The outputs that go on to the next step.
    pub(crate) carries: &'static [&'static str],
}

const STEPS: usize = 3;

impl Cell {
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
pub(crate) fn assert_cell(cell: &Cell) {
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
