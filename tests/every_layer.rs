//! What holds for every layer that a graph file can name, found through the registry: a new layer is under all of these
//! tests by registering itself. Also for every update rule and schedule: they read, write and are documented.

#[path = "support/difference.rs"]
mod difference;
#[path = "support/drawn.rs"]
mod drawn;

use difference::Difference;
use drawn::{Drawn, has_optional_ports, noise_like, parse, try_parse};
use engine_core::engine::{Engine, gradient_check};
use engine_core::graph::to_ron;
use engine_core::registry::{Entry, Family, LAYER, SCHEDULE, UPDATE_RULE};
use engine_core::tagged::TagName;
use engine_core::testing::stepwise;
use engine_core::{Batch, Layer, Mode, Optimizer, Scalar, Schedule, Symbol, Tagged, Tensor};

/// Between the backward pass and finite differences of the forward pass.
const GRADIENT_BOUND: f64 = 1e-6;
/// Between two ways to compute the same in double precision.
const F64_BOUND: f64 = 1e-12;
/// Between single and double precision.
const F32_BOUND: f64 = 2e-4;

/// The elements of each array whose gradient is looked at.
const ELEMENTS: usize = 40;

const TRAIN: Mode = Mode::Train { iteration: 3 };

/// Calls `test` with every way of writing every layer over several draws of inputs: all sizes 1, then larger ones, with
/// optional ports wired and not. Returns how often.
fn for_each_draw(mut test: impl FnMut(&Drawn)) -> usize {
    let mut count = 0;
    for entry in Entry::of(LAYER) {
        assert!(!entry.checks.is_empty(), "{} registers no `checks`", entry.name);
        for check in entry.checks {
            for (seed, largest) in (231..).zip([1, 2, 3, 5, 8, 8]) {
                for optional in [true, false] {
                    if optional || has_optional_ports(check) {
                        test(&Drawn::new(check, seed, optional, largest));
                        count += 1;
                    }
                }
            }
        }
    }
    count
}

fn forward<T: Scalar>(engine: &mut Engine<T>, batch: &Batch, mode: Mode) {
    engine.forward(batch, mode).unwrap_or_else(|error| panic!("{error}"));
}

/// Adds the gradients of a node's output, weighted by noise, to the parameters' ones.
fn backward<T: Scalar>(engine: &mut Engine<T>, nodes: &[&str]) {
    let at = |name: &str| engine.plan().output(name).expect("a node that is a result");
    let outputs: Vec<usize> = nodes.iter().map(|name| at(name)).collect();
    let noise = noise_like(engine.value(outputs[0]), 7);
    let noise: Vec<T> = noise.as_slice().iter().map(|x| T::of(*x)).collect();
    let seeds: Vec<(usize, &[T])> = outputs.iter().map(|at| (*at, noise.as_slice())).collect();
    engine.backward_more_from(&seeds);
}

/// The gradients of all parameters and of all inputs that are numbers, by name.
fn gradients<T: Scalar>(engine: &Engine<T>) -> Vec<(String, Tensor<f64>)> {
    let plan = engine.plan();
    let parameters = plan.parameters.iter().zip(engine.gradients());
    let parameters = parameters.map(|(parameter, gradient)| (&parameter.name, gradient));
    let inputs = plan.inputs.iter().filter(|input| !input.is_tokens());
    let inputs = inputs.map(|input| {
        (&input.name, engine.value_gradient(plan.value(&input.name).expect("an input is a value")))
    });
    parameters.chain(inputs).map(|(name, gradient)| (name.clone(), in_f64(gradient))).collect()
}

fn in_f64<T: Scalar>(tensor: &Tensor<T>) -> Tensor<f64> {
    let values = tensor.as_slice().iter().map(|x| x.f64()).collect();
    Tensor::from_vec(tensor.shape(), values).expect("the same number of elements")
}

fn times(factor: f64, tensor: &Tensor<f64>) -> Tensor<f64> {
    let values = tensor.as_slice().iter().map(|x| factor * x).collect();
    Tensor::from_vec(tensor.shape(), values).expect("the same number of elements")
}

/// An array whose largest number is this share of the largest of all is 0 but for rounding: attention's scores all move
/// alike with a bias of the keys, so that its gradient is.
const NOTHING: f64 = 1e-12;

/// The largest difference between arrays of the same names. What is 0 but for rounding is measured by the largest number
/// of all.
fn largest(found: &[(String, Tensor<f64>)], exact: &[(String, Tensor<f64>)]) -> f64 {
    let size =
        |array: &Tensor<f64>| array.as_slice().iter().fold(0.0f64, |most, x| most.max(x.abs()));
    let most = exact.iter().map(|(_, array)| size(array)).fold(0.0, f64::max);
    let pairs = found.iter().zip(exact).map(|((_, found), (_, exact))| {
        let error = Difference::of(found, exact).of_array;
        let nothing = size(exact) > 0.0 && size(exact) < NOTHING * most;
        if nothing { error * size(exact) / most } else { error }
    });
    pairs.fold(0.0, f64::max)
}

/// How far the backward pass is from finite differences, on up to [`ELEMENTS`] elements of each parameter and input.
fn gradient_error(drawn: &Drawn) -> f64 {
    let worst = gradient_check(&mut drawn.engine(&["out"]), &drawn.batch(), TRAIN, ELEMENTS, 1);
    let worst = worst.unwrap_or_else(|error| panic!("{drawn}: {error}"));
    worst.map_or(0.0, |worst| worst.relative_error)
}

/// How far the parameters' gradients of two backward passes are from twice those of one.
fn accumulation_error(drawn: &Drawn) -> f64 {
    let (mut engine, batch) = (drawn.engine::<f64>(&["out"]), drawn.batch());
    let pass = |engine: &mut Engine<f64>| {
        forward(engine, &batch, TRAIN);
        backward(engine, &["out"]);
        gradients(engine)
    };
    let twice: Vec<(String, Tensor<f64>)> =
        pass(&mut engine).into_iter().map(|(name, once)| (name, times(2.0, &once))).collect();
    let parameters = engine.plan().parameters.len();
    largest(&pass(&mut engine)[..parameters], &twice[..parameters])
}

/// How far the gradients of two nodes that share inputs and parameters are from twice those of one. Without noise, which
/// is each node's own.
fn sharing_error(drawn: &Drawn) -> f64 {
    let (mut engine, batch) = (drawn.engine::<f64>(&["out", "again"]), drawn.batch());
    forward(&mut engine, &batch, Mode::Eval);
    backward(&mut engine, &["out", "again"]);
    let both = gradients(&engine);
    let mut engine = drawn.engine::<f64>(&["out"]);
    forward(&mut engine, &batch, Mode::Eval);
    backward(&mut engine, &["out"]);
    let twice: Vec<(String, Tensor<f64>)> =
        gradients(&engine).into_iter().map(|(name, once)| (name, times(2.0, &once))).collect();
    assert_eq!(both.len(), twice.len(), "{drawn}");
    largest(&both, &twice)
}

/// How far the steps are from the forward pass; `None` where the output has no time.
fn step_error(drawn: &Drawn) -> Option<f64> {
    let (mut engine, batch) = (drawn.engine::<f64>(&["out"]), drawn.batch());
    let out = engine.plan().output("out").expect("the only node");
    if !engine.plan().values[out].shape.has(Symbol::TIME) {
        return None;
    }
    forward(&mut engine, &batch, Mode::Eval);
    let steps = stepwise(&engine, &batch, "out").unwrap_or_else(|e| panic!("{drawn}: {e}"));
    assert_eq!(steps.shape(), engine.value(out).shape(), "{drawn}");
    Some(Difference::of(&steps, engine.value(out)).of_array)
}

/// How far output and gradients in single precision are from those in double.
fn precision_error(drawn: &Drawn) -> f64 {
    fn all<T: Scalar>(drawn: &Drawn) -> Vec<(String, Tensor<f64>)> {
        let mut engine = drawn.engine::<T>(&["out"]);
        forward(&mut engine, &drawn.batch(), TRAIN);
        backward(&mut engine, &["out"]);
        let output = in_f64(engine.output("out").expect("the only node"));
        [vec![("out".to_owned(), output)], gradients(&engine)].concat()
    }
    largest(&all::<f32>(drawn), &all::<f64>(drawn))
}

#[test]
fn the_layers_of_the_library_are_registered() {
    let names: Vec<&str> = Entry::of(LAYER).map(|entry| entry.name).collect();
    for name in [
        "Projection",
        "Embedding",
        "Rnn",
        "Lstm",
        "Gru",
        "TemporalAffine",
        "SoftmaxLoss",
        "Dropout",
        "Relu",
        "Tanh",
        "Sigmoid",
        "Add",
        "Multiply",
        "Concat",
        "Affine",
        "Unembedding",
        "Chunk",
        "Slice",
        "Scale",
        "Subtract",
        "LayerNorm",
        "AlongTime",
        "Softmax",
        "WeightedSum",
        "CoverageLoss",
        "ScaleRows",
        "AtEnd",
        "CrossEntropy",
        "Mean",
        "Sum",
        "MatMul",
        "Gelu",
        "Reshape",
        "Transpose",
        "LogSoftmax",
        "BatchNorm",
        "MaxPool2d",
        "AvgPool2d",
        "GlobalAvgPool",
        "BatchNorm2d",
        "LocalResponseNorm",
        "Flatten",
        "Pad",
        "Coordinates",
    ] {
        assert!(names.contains(&name), "{name} is not among {}", names.join(", "));
    }
    for family in [UPDATE_RULE, SCHEDULE] {
        assert!(Entry::of(family).next().is_some(), "no {}", family.name);
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let mut worst = (0.0, String::new());
    let count = for_each_draw(|drawn| {
        let error = gradient_error(drawn);
        assert!(error <= GRADIENT_BOUND, "{drawn}: {error:.1e}");
        if error >= worst.0 {
            worst = (error, drawn.to_string());
        }
    });
    println!("{count} draws, worst relative error {:.1e}: {}", worst.0, worst.1);
}

#[test]
fn gradients_accumulate() {
    for_each_draw(|drawn| {
        for error in [accumulation_error(drawn), sharing_error(drawn)] {
            assert!(error <= F64_BOUND, "{drawn}: {error:.1e}");
        }
    });
}

#[test]
fn steps_equal_the_forward_pass() {
    let (mut worst, mut stepped, mut timed) = (0.0f64, 0, 0);
    let all = for_each_draw(|drawn| {
        timed += usize::from(drawn.has_time());
        if let Some(error) = step_error(drawn) {
            assert!(error <= F64_BOUND, "{drawn}: {error:.1e}");
            (worst, stepped) = (worst.max(error), stepped + 1);
        }
    });
    println!(
        "{stepped} draws of {all}, of {timed} whose inputs have a time dimension, worst difference {worst:.1e}"
    );
    // Layers of pictures read none.
    assert!(stepped > timed / 2, "most layers over time work step by step: {stepped} of {timed}");
}

#[test]
fn precisions_agree() {
    let mut worst = 0.0f64;
    for_each_draw(|drawn| {
        let error = precision_error(drawn);
        assert!(error <= F32_BOUND, "{drawn}: {error:.1e}");
        worst = worst.max(error);
    });
    println!("worst difference of single from double precision {worst:.1e}");
}

/// Reads every way of writing every entry of a family, writes it and reads that again; puts in a field that does not
/// exist; and looks at the documentation.
fn entries_are_sound<O: ?Sized + TagName>(family: Family)
where
    Box<O>: for<'de> serde::Deserialize<'de>,
    Tagged<O>: serde::Serialize,
{
    for entry in Entry::of(family) {
        for text in entry.checks.iter().chain([&entry.example]) {
            let read: Tagged<O> = parse(text);
            assert_eq!(read.tag(), entry.name, "{text}");
            let written = to_ron(&read).unwrap_or_else(|error| panic!("{text}: {error}"));
            let again: Tagged<O> = parse(&written);
            assert_eq!(to_ron(&again).ok().as_ref(), Some(&written), "{text}");

            let wrong = text.replacen('(', "(no_such_field: 1, ", 1);
            let error = try_parse::<O>(&wrong).err();
            let error = error.unwrap_or_else(|| panic!("{wrong} is accepted"));
            assert!(error.contains("no_such_field"), "{wrong}: {error}");
        }
        let documentation = entry.documentation();
        assert!(documentation.summary.len() > 10, "{}: {:?}", entry.name, documentation.summary);
        for field in documentation.fields {
            assert!(!field.text.trim().is_empty(), "{}.{} has no text", entry.name, field.name);
            assert!(!field.takes.is_empty(), "{}.{} takes what?", entry.name, field.name);
        }
    }
}

#[test]
fn layers_read_write_and_are_documented() {
    entries_are_sound::<dyn Layer>(LAYER);
}

#[test]
fn update_rules_read_write_and_are_documented() {
    entries_are_sound::<dyn Optimizer>(UPDATE_RULE);
}

#[test]
fn schedules_read_write_and_are_documented() {
    entries_are_sound::<dyn Schedule>(SCHEDULE);
}

/// A layer with one fault at a time, to see that the checks above find it.
mod faulty {
    use engine_core::{
        Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
        PortShapes, Scalar, Signature, Step, Weight,
    };
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Fault {
        None,
        /// A slope that is a millionth too steep.
        Gradient,
        /// A gradient that replaces what others have added.
        Accumulation,
        /// A step that differs.
        Step,
        /// Single precision that differs.
        Precision,
    }

    /// y = w x^2.
    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub(crate) struct Faulty {
        fault: Fault,
    }

    impl Faulty {
        fn set<T: Scalar>(&self, gradient: &mut T, term: T) {
            match self.fault {
                Fault::Accumulation => *gradient = term,
                Fault::Gradient => *gradient += T::of(1.0 + 2e-6) * term,
                _ => *gradient += term,
            }
        }
    }

    #[typetag::serde]
    impl Layer for Faulty {
        fn ports(&self) -> Vec<Port> {
            vec![Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Inputs")])]
        }

        fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
            let fill = engine_core::init::Fill::Blocks(vec![0.7]);
            let output = Signature::output(inputs.shape(0).clone(), Dependence::Elementwise);
            Ok(output.weights("w", [1.into()], fill))
        }

        fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
            Lowered::new(FaultyKernel { layer: self.clone(), w: memory.weight("w") })
        }
    }

    #[derive(Debug)]
    struct FaultyKernel {
        layer: Faulty,
        w: Weight,
    }

    impl<T: Scalar> Kernel<T> for FaultyKernel {
        fn forward(&self, cx: &mut Forward<'_, T>) {
            let w = cx.parameters[self.w].as_slice()[0];
            let single = T::epsilon().f64() > 1e-10;
            let off = if self.layer.fault == Fault::Precision && single { 1e-3 } else { 0.0 };
            let x = cx.inputs[0].as_slice();
            let y = cx.outputs[0].as_mut_slice();
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = w * x * x + T::of(off));
        }

        fn step(&self, cx: &mut Step<'_, T>) {
            self.forward(&mut cx.forward);
            if self.layer.fault == Fault::Step && !cx.first {
                cx.forward.outputs[0].as_mut_slice()[0] += T::of(1e-9);
            }
        }

        fn backward(&self, cx: &mut Backward<'_, T>) {
            let w = cx.parameters[self.w].as_slice()[0];
            let (x, dy) = (cx.inputs[0].as_slice(), cx.output_gradients[0].as_slice());
            let dw = x.iter().zip(dy).map(|(&x, &dy)| dy * x * x).sum();
            self.layer.set(&mut cx.parameter_gradients[self.w].as_mut_slice()[0], dw);
            if let Some(dx) = cx.input_gradients.get(0) {
                for (dx, (&x, &dy)) in dx.as_mut_slice().iter_mut().zip(x.iter().zip(dy)) {
                    self.layer.set(dx, dy * T::of(2.0) * w * x);
                }
            }
        }
    }
}

#[test]
fn each_check_finds_its_fault() {
    use faulty::Fault;
    for fault in [Fault::None, Fault::Gradient, Fault::Accumulation, Fault::Step, Fault::Precision]
    {
        let layer = format!("Faulty(fault: {fault:?})");
        // A fault of later steps does not show where there is but one.
        let draws: Vec<Drawn> = (0..8).map(|seed| Drawn::new(&layer, seed, true, 4)).collect();
        let finds = |error: fn(&Drawn) -> f64, bound| draws.iter().any(|d| error(d) > bound);
        let step_error = |drawn: &Drawn| step_error(drawn).expect("a time dimension");
        for (check, found) in [
            (Fault::Gradient, finds(gradient_error, GRADIENT_BOUND)),
            (Fault::Accumulation, finds(accumulation_error, F64_BOUND)),
            (Fault::Accumulation, finds(sharing_error, F64_BOUND)),
            (Fault::Step, finds(step_error, F64_BOUND)),
            (Fault::Precision, finds(precision_error, F32_BOUND)),
        ] {
            assert_eq!(found, check == fault, "{fault:?}, as the check of {check:?} sees it");
        }
    }
}
