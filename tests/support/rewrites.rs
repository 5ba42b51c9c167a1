//! What a training step of a rewritten network comes to, beside the network as it is written.

use engine_core::engine::Engine;
use engine_core::graph::{PASSES, Passes};
use engine_core::{Batch, Mode};

/// All passes, all but each, and each alone.
pub(crate) fn selections() -> Vec<(String, Passes)> {
    let without = |names: &[&str]| Passes::without(names).expect("names of passes");
    let mut selections = vec![("all passes".to_owned(), Passes::default())];
    for pass in PASSES {
        let others: Vec<&str> =
            PASSES.iter().map(|other| other.name).filter(|name| *name != pass.name).collect();
        selections.push((format!("without {}", pass.name), without(&[pass.name])));
        selections.push((format!("{} alone", pass.name), without(&others)));
    }
    selections
}

/// A loss and the gradients of all parameters, by name.
pub(crate) struct Outcome {
    pub(crate) loss: f64,
    gradients: Vec<(String, Vec<f64>)>,
}

impl Outcome {
    /// What a network computes from a batch.
    pub(crate) fn of(engine: &mut Engine<f64>, batch: &Batch, mode: Mode) -> Self {
        engine.forward(batch, mode).unwrap_or_else(|error| panic!("{error}"));
        engine.backward();
        let named = engine.plan().parameters.iter().zip(engine.gradients());
        let gradients = named.map(|(p, gradient)| (p.name.clone(), gradient.as_slice().to_vec()));
        Outcome { loss: engine.loss().expect("a loss"), gradients: gradients.collect() }
    }

    /// The largest difference from another, each array's as a share of its largest element there or of 1, whichever is
    /// more, and what differs so.
    pub(crate) fn difference(&self, exact: &Outcome) -> (f64, String) {
        let mut worst = (share(&[self.loss], &[exact.loss]), "the loss");
        assert_eq!(self.gradients.len(), exact.gradients.len(), "as many parameters");
        for ((name, found), (_, exact)) in self.gradients.iter().zip(&exact.gradients) {
            let share = share(found, exact);
            if share > worst.0 {
                worst = (share, name);
            }
        }
        (worst.0, worst.1.to_owned())
    }
}

/// What is not a number differs infinitely.
fn share(found: &[f64], exact: &[f64]) -> f64 {
    assert_eq!(found.len(), exact.len(), "as many elements");
    let scale = exact.iter().fold(1.0f64, |most, x| most.max(x.abs()));
    let errors = found.iter().zip(exact).map(|(found, exact)| (found - exact).abs() / scale);
    errors.fold(0.0, |most, error| if error.is_nan() { f64::INFINITY } else { most.max(error) })
}
