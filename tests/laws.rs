//! Laws instead of promises: what every registered layer says about itself is held against what it computes, and every form
//! of it against the plain one. A new layer is under these tests by registering itself.

#[path = "support/drawn.rs"]
mod drawn;

use drawn::{Drawn, has_optional_ports, noise_like};
use engine_core::engine::Engine;
use engine_core::registry::{Entry, LAYER};
use engine_core::testing::{broken_law, in_form};
use engine_core::{Form, Mode, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Between two forms of a layer in double precision.
const BOUND: f64 = 1e-12;

const TRAIN: Mode = Mode::Train { iteration: 3 };

fn for_each_draw(mut test: impl FnMut(&Drawn, u64)) {
    for entry in Entry::of(LAYER) {
        for check in entry.checks {
            for (seed, largest) in (511..).zip([1, 2, 4, 7]) {
                for optional in [true, false] {
                    if optional || has_optional_ports(check) {
                        test(&Drawn::new(check, seed, optional, largest), seed);
                    }
                }
            }
        }
    }
}

#[test]
fn outputs_depend_on_what_layers_say() {
    for_each_draw(|drawn, seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut engine = drawn.engine::<f64>(&["out"]);
        let broken = broken_law(&mut engine, &drawn.batch(), &mut rng);
        assert!(broken.is_none(), "{drawn}: {}", broken.unwrap_or_default());
    });
}

/// Outputs, gradients of inputs and of parameters.
fn all(engine: &mut Engine<f64>, drawn: &Drawn) -> Vec<Tensor<f64>> {
    engine.forward(&drawn.batch(), TRAIN).unwrap_or_else(|error| panic!("{drawn}: {error}"));
    let plan = engine.plan().clone();
    let outputs: Vec<usize> = plan.nodes[0].outputs().collect();
    let values: Vec<Tensor<f64>> = outputs.iter().map(|at| engine.value(*at).clone()).collect();
    let noise: Vec<Tensor<f64>> = values.iter().map(|value| noise_like(value, 7)).collect();
    let seeds: Vec<(usize, &[f64])> =
        outputs.iter().copied().zip(noise.iter().map(Tensor::as_slice)).collect();
    engine.backward_from(&seeds);
    let of_inputs = plan.inputs.iter().filter(|input| !input.is_tokens());
    let of_inputs = of_inputs.filter_map(|input| plan.value(&input.name));
    let of_inputs: Vec<Tensor<f64>> =
        of_inputs.map(|at| engine.value_gradient(at).clone()).collect();
    [values, of_inputs, engine.gradients().to_vec()].concat()
}

#[test]
fn every_form_computes_what_the_plain_one_does() {
    let mut forms = std::collections::BTreeMap::<String, usize>::new();
    for_each_draw(|drawn, _| {
        let mut plain = drawn.engine::<f64>(&["out"]);
        // A form with a bias of its own needs a parameter that passes supply.
        let whole = Form::all().filter(|form| *form != Form::PLAIN && !form.bias);
        for form in whole.filter(|form| form.part == engine_core::Part::Whole) {
            let Some(mut changed) = in_form(&plain, form) else { continue };
            *forms.entry(format!("{form:?}")).or_default() += 1;
            if form.relu {
                // Such a form has no way back.
                let batch = drawn.batch();
                for engine in [&mut plain, &mut changed] {
                    engine.forward(&batch, Mode::Eval).expect("a batch that fits");
                }
                let out = |engine: &Engine<f64>| engine.output("out").expect("a result").clone();
                let (y, rectified) = (out(&plain), out(&changed));
                for (y, rectified) in y.as_slice().iter().zip(rectified.as_slice()) {
                    assert!((y.max(0.0) - rectified).abs() <= BOUND * y.abs().max(1.0), "{drawn}");
                }
                continue;
            }
            let (expected, found) = (all(&mut plain, drawn), all(&mut changed, drawn));
            for (expected, found) in expected.iter().zip(&found) {
                for (a, b) in expected.as_slice().iter().zip(found.as_slice()) {
                    let off = (a - b).abs();
                    assert!(off <= BOUND * a.abs().max(1.0), "{drawn}, {form:?}: {a} and {b}");
                }
            }
        }
    });
    println!("{forms:#?}");
    assert!(forms.len() >= 5, "stored, panels, both ways, with and without relu: {forms:?}");
}

/// A layer that says of itself what is not true.
mod liar {
    use engine_core::{
        Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
        PortShapes, Scalar, Signature,
    };
    use serde::{Deserialize, Serialize};

    /// What is claimed.
    #[derive(Debug, Clone, Copy, Serialize, Deserialize)]
    pub(crate) enum Claim {
        Elementwise,
        Row,
        Item,
        Position,
        Batch,
        Past,
        Whole,
    }

    /// What is computed: to each number is added ..
    #[derive(Debug, Clone, Copy, Serialize, Deserialize)]
    pub(crate) enum Adds {
        /// the one before it in its row.
        Neighbour,
        /// the first of the row after it.
        NextRow,
        /// how many rows come before.
        Place,
    }

    #[derive(Debug, Clone, Serialize, Deserialize)]
    pub(crate) struct Liar {
        claim: Claim,
        adds: Adds,
    }

    #[typetag::serde]
    impl Layer for Liar {
        fn ports(&self) -> Vec<Port> {
            vec![Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Width")])]
        }

        fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
            let dependence = match self.claim {
                Claim::Elementwise => Dependence::Elementwise,
                Claim::Row => Dependence::Row,
                Claim::Item => Dependence::Item,
                Claim::Position => Dependence::Position,
                Claim::Batch => Dependence::Batch,
                Claim::Past => Dependence::Past,
                Claim::Whole => Dependence::Whole,
            };
            Ok(Signature::output(inputs.shape(0).clone(), dependence))
        }

        fn plain(&self, _: &mut Memory<'_>) -> Lowered {
            Lowered::new(self.clone())
        }
    }

    impl<T: Scalar> Kernel<T> for Liar {
        fn forward(&self, cx: &mut Forward<'_, T>) {
            let (x, y) = (&cx.inputs[0], &mut cx.outputs[0]);
            let (width, x) = (x.rows().ncols(), x.as_slice());
            for (at, y) in y.as_mut_slice().iter_mut().enumerate() {
                let other = match self.adds {
                    Adds::Neighbour if at % width > 0 => x[at - 1],
                    Adds::Neighbour => T::zero(),
                    Adds::NextRow => x[(at / width + 1) * width % x.len()],
                    Adds::Place => T::of((at / width) as f64),
                };
                *y = x[at] + other;
            }
        }

        fn backward(&self, _: &mut Backward<'_, T>) {}
    }
}

#[test]
fn a_false_claim_is_caught() {
    let broken = |claim: &str, adds: &str| {
        (0..8).any(|seed| {
            let layer = format!("Liar(claim: {claim}, adds: {adds})");
            let drawn = Drawn::new(&layer, 40 + seed, true, 5);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            broken_law(&mut drawn.engine::<f64>(&["out"]), &drawn.batch(), &mut rng).is_some()
        })
    };
    // What is computed, and the narrowest claim that is true of it.
    let claims = ["Elementwise", "Row", "Item", "Position", "Batch", "Past", "Whole"];
    for (adds, first_true) in [("Neighbour", "Row"), ("NextRow", "Whole"), ("Place", "Position")] {
        let from = claims.iter().position(|claim| *claim == first_true).expect("a claim");
        for (at, claim) in claims.iter().enumerate() {
            assert_eq!(broken(claim, adds), at < from, "{adds} as {claim}");
        }
    }
}
