//! What holds for every layer, found through the registry: its examples read and write, its documentation is complete,
//! its gradients agree with finite differences, its steps with its forward pass, its two precisions with each other.

use engine_core::registry::{Entry, LAYER};
use engine_core::shape::Sizes;
use engine_core::testing::{LayerBench, Value, random_inputs};
use engine_core::{Layer, Mode, Scalar, Tagged, Tensor};
use engine_layers as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use ron::error::SpannedError;
use ron::extensions::Extensions;

/// RON as graph files use it.
fn options() -> ron::Options {
    ron::Options::default()
        .with_default_extension(Extensions::UNWRAP_VARIANT_NEWTYPES | Extensions::IMPLICIT_SOME)
}

fn parse(text: &str) -> Result<Tagged<dyn Layer>, SpannedError> {
    options().from_str(text)
}

fn write(layer: &Tagged<dyn Layer>) -> String {
    options().to_string(layer).expect("a layer can be written")
}

/// A layer over inputs of one draw, in either precision.
fn bench<T: Scalar>(check: &str, inputs: &[Value<f64>], sizes: &Sizes) -> LayerBench<T>
where
    Value<T>: From<Tensor<T>>,
{
    let inputs = inputs.iter().map(|input| match input {
        Value::Tokens(tokens) => tokens.clone().into(),
        Value::Real(x) => {
            let values = x.as_slice().iter().map(|x| T::of(*x)).collect();
            Tensor::from_vec(x.shape(), values).expect("as many as the shape has").into()
        }
    });
    LayerBench::with_sizes(check, inputs.collect(), sizes.clone())
        .unwrap_or_else(|faults| panic!("{check}: {faults}"))
}

/// Calls `test` with every way of writing every layer, several draws of inputs each, every size 1 among them.
fn for_each_draw(test: impl Fn(&str, &[Value<f64>], &Sizes)) {
    for entry in Entry::of(LAYER) {
        for check in entry.checks {
            for seed in 0..8 {
                let (optional, largest) = (seed % 2 == 0, [1, 1, 3, 5, 5, 6, 6, 6][seed as usize]);
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let check = check.replace("Units", &rng.random_range(1..=largest).to_string());
                println!("{check}, seed {seed}, optional ports {optional}");
                let layer = parse(&check).expect("a check can be read");
                let (inputs, sizes) = random_inputs(&*layer, optional, largest, &mut rng);
                test(&check, &inputs, &sizes);
            }
        }
    }
}

fn distance<A: Scalar, B: Scalar>(a: &Tensor<A>, b: &Tensor<B>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let pairs = a.as_slice().iter().zip(b.as_slice());
    pairs.map(|(a, b)| (a.f64() - b.f64()).abs()).fold(0.0, f64::max)
}

fn ones<T: Scalar>(like: &Tensor<T>) -> Tensor<T> {
    let mut ones = Tensor::zeros(like.shape());
    ones.fill(T::one());
    ones
}

#[test]
fn every_layer_is_registered() {
    let names: Vec<&str> = Entry::of(LAYER).map(|entry| entry.name).collect();
    assert_eq!(
        names.join(" "),
        "Add Concat Dropout Embedding Gru Lstm Multiply Projection Relu Rnn Sigmoid \
         SoftmaxLoss Tanh TemporalAffine"
    );
}

#[test]
fn examples_and_checks_survive_writing_and_reading() {
    for entry in Entry::of(LAYER) {
        assert!(!entry.checks.is_empty(), "{}", entry.name);
        for text in entry.checks.iter().chain([&entry.example]) {
            let written = write(&parse(text).unwrap());
            assert!(written.starts_with(entry.name), "{written}");
            let again = parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(write(&again), written);
        }
    }
}

#[test]
fn unknown_fields_are_refused() {
    for entry in Entry::of(LAYER) {
        let text = entry.example.replacen('(', "(no_such_field: 1, ", 1);
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains("no_such_field"), "{text}: {error}");
    }
}

#[test]
fn documentation_is_complete() {
    for entry in Entry::of(LAYER) {
        let documentation = entry.documentation();
        assert!(documentation.summary.ends_with('.'), "{}: {}", entry.name, documentation.summary);
        assert!(documentation.text.contains("# Shapes"), "{}", entry.name);
        assert!(documentation.text.contains("```text"), "{}", entry.name);
        for field in documentation.fields {
            assert!(!field.text.is_empty(), "{}.{}", entry.name, field.name);
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for_each_draw(|check, inputs, sizes| {
        let error = bench::<f64>(check, inputs, sizes).gradient_error();
        assert!(error < 1e-6, "{check}: {error:e}");
    });
}

#[test]
fn steps_equal_the_forward_pass() {
    for_each_draw(|check, inputs, sizes| {
        let mut bench = bench::<f64>(check, inputs, sizes);
        let whole = bench.forward(Mode::Eval);
        let timed = inputs.iter().any(|input| match input {
            Value::Real(x) => x.shape().len() == 3,
            Value::Tokens(x) => x.shape().len() == 2,
        });
        if timed && whole.shape().len() == 3 {
            let error = distance(&bench.steps(), &whole);
            assert!(error < 1e-12, "{check}: {error:e}");
        }
    });
}

#[test]
fn precisions_agree() {
    for_each_draw(|check, inputs, sizes| {
        let (mut double, mut single) =
            (bench::<f64>(check, inputs, sizes), bench::<f32>(check, inputs, sizes));
        let mode = Mode::Train { iteration: 1 };
        let (exact, near) = (double.forward(mode), single.forward(mode));
        assert!(distance(&exact, &near) < 1e-5, "{check}");
        double.backward(&ones(&exact));
        single.backward(&ones(&near));
        for (port, input) in inputs.iter().enumerate() {
            if let Value::Real(_) = input {
                let error = distance(double.input_gradient(port), single.input_gradient(port));
                assert!(error < 1e-4, "{check}: {error:e}");
            }
        }
    });
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (words, wide) = (real(&[40, 9, 64]), real(&[40, 9, 300]));
    let targets = Tensor::from_vec(&[40, 9], (0..360).map(|at| at * 7 % 300).collect());
    let targets = targets.expect("as many as the shape has");
    let cases: [(&str, Vec<Value<f32>>); 11] = [
        ("Lstm(units: 128)", vec![words.clone().into(), real(&[40, 128]).into()]),
        ("Rnn(units: 300)", vec![words.clone().into()]),
        ("Gru(units: 128)", vec![words.clone().into()]),
        ("Gru(units: 128, reset: After)", vec![words.clone().into()]),
        ("TemporalAffine(units: 300)", vec![words.clone().into()]),
        ("Projection(units: 600)", vec![real(&[100, 512]).into()]),
        ("SoftmaxLoss()", vec![wide.clone().into(), targets.into()]),
        ("Dropout()", vec![wide.clone().into()]),
        ("Tanh()", vec![wide.clone().into()]),
        ("Multiply()", vec![wide.clone().into(), wide.clone().into()]),
        ("Concat()", vec![wide.into(), words.into()]),
    ];
    for (layer, inputs) in cases {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.expect("a few threads can be started").install(|| {
                let mut bench = LayerBench::<f32>::new(layer, inputs.clone());
                let y = bench.forward(Mode::Train { iteration: 2 });
                bench.backward(&y);
                let parameters = parameters(layer).iter();
                let of_parameters = parameters.map(|name| bench.parameter_gradient(name).clone());
                let of_parameters: Vec<Tensor<f32>> = of_parameters.collect();
                (bench.input_gradient(0).clone(), of_parameters, y)
            })
        };
        let one = run(1);
        for threads in [2, 3, 8] {
            assert!(run(threads) == one, "{layer}, {threads} threads");
        }
    }
}

/// Numbers that are all over the place.
fn real(shape: &[usize]) -> Tensor<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let values = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(shape, values).expect("as many as the shape has")
}

/// The names of a layer's parameters.
fn parameters(layer: &str) -> &'static [&'static str] {
    match layer.split('(').next() {
        Some("Projection" | "TemporalAffine") => &["w", "b"],
        Some("Gru") if layer.contains("After") => &["wx", "wh", "b", "bn"],
        Some("Rnn" | "Lstm" | "Gru") => &["wx", "wh", "b"],
        _ => &[],
    }
}
