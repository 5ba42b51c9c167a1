//! The backward pass against finite differences of the forward pass.

use std::fmt;

use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::feed::FeedError;
use super::network::Engine;
use crate::array::batch::{Batch, Elements};
use crate::layer::context::{Mode, Slot};

/// Where the two gradients differ most.
#[derive(Debug, Clone, PartialEq)]
pub struct Disagreement {
    /// The parameter or input.
    pub whose: String,
    /// The element, in row-major order.
    pub element: usize,
    /// What the backward pass computed.
    pub analytic: f64,
    /// What finite differences say.
    pub numeric: f64,
    /// Their difference over the larger of the two; elements far smaller than their array's largest are held to a
    /// thousandth of that one, since rounding of the objective hides their digits.
    pub relative_error: f64,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}[{}]: backward says {:e}, finite differences {:e}, relative error {:.1e}",
            self.whose, self.element, self.analytic, self.numeric, self.relative_error
        )
    }
}

/// Half the distance between the points of the five-point stencil: its truncation error is of the order of its fourth
/// power, rounding of the objective divided by it.
const STEP: f64 = 1e-4;

/// What of the sum of an objective's terms, as they are without their signs, is too small for differences to show a
/// millionth of it: rounding of that sum, over the distance between points. A gradient that is 0 for a reason, such as
/// that of what a softmax leaves out of account, is found to be as good as that.
const ROUNDING: f64 = 1e6 * f64::EPSILON / STEP;

/// Compares the gradients of all parameters, and of inputs if the engine computes those, with finite differences, on at
/// most `elements` elements of each array, and returns the worst. Running averages, which no gradient trains, are left out.
///
/// The objective is the sum of all outputs in the plan, each element weighted by a random number drawn from `seed`; a
/// loss by 1. The fourth-order central difference (f(x-2h) - 8 f(x-h) + 8 f(x+h) - f(x+2h)) / 12 h is used.
///
/// # Errors
/// When the batch does not fit the graph.
pub fn gradient_check(
    engine: &mut Engine<f64>,
    batch: &Batch,
    mode: Mode,
    elements: usize,
    seed: u64,
) -> Result<Option<Disagreement>, FeedError> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    engine.forward(batch, mode)?;
    let plan = engine.program().clone();
    let weights: Vec<(usize, Vec<f64>)> = plan
        .outputs
        .iter()
        .map(|(_, at)| {
            let count = engine.value(*at).as_slice().len();
            let draw = |_| if count == 1 { 1.0 } else { rng.random_range(-1.0..1.0) };
            (*at, (0..count).map(draw).collect())
        })
        .collect();
    let seeds: Vec<(usize, &[f64])> = weights.iter().map(|(at, w)| (*at, w.as_slice())).collect();
    engine.backward_from(&seeds);

    let objective = |engine: &Engine<f64>| -> f64 {
        let terms = weights.iter().map(|(at, weights)| {
            weights.iter().zip(engine.value(*at).as_slice()).map(|(w, x)| w * x).sum::<f64>()
        });
        terms.sum()
    };
    let size = |engine: &Engine<f64>| -> f64 {
        let terms = weights.iter().map(|(at, weights)| {
            weights
                .iter()
                .zip(engine.value(*at).as_slice())
                .map(|(w, x)| (w * x).abs())
                .sum::<f64>()
        });
        terms.sum()
    };
    let mut worst = Worst { found: None, least: (ROUNDING * size(engine)).max(1e-6) };
    let trained = plan.parameters.iter().enumerate().filter(|(_, p)| p.is_trained());
    for (at, parameter) in trained {
        let analytic = engine.gradients()[at].as_slice().to_vec();
        for element in choose(analytic.len(), elements, &mut rng) {
            let centre = engine.parameters()[at].as_slice()[element];
            let numeric = derivative(analytic[element], |offset| {
                engine.parameters_mut()[at].as_mut_slice()[element] = centre + offset;
                engine.forward(batch, mode)?;
                Ok(objective(engine))
            })?;
            engine.parameters_mut()[at].as_mut_slice()[element] = centre;
            worst.meet(&parameter.name, element, &analytic, numeric);
        }
    }
    for input in &plan.inputs {
        let Slot::Value(at) = input.slot else { continue };
        // What is carried into a batch is not fed with it.
        let carried = plan.carries.iter().any(|carry| carry.input == at);
        if carried || !engine.wants_gradient(at) {
            continue;
        }
        let analytic = engine.value_gradient(at).as_slice().to_vec();
        let mut moved = batch.clone();
        let centre = engine_input(batch, &input.name);
        for element in choose(analytic.len(), elements, &mut rng) {
            let shape = batch.get(&input.name).map(|a| a.shape().to_vec()).unwrap_or_default();
            let numeric = derivative(analytic[element], |offset| {
                let values = moved.f64_mut(&input.name, &shape);
                values.copy_from_slice(&centre);
                values[element] += offset;
                engine.forward(&moved, mode)?;
                Ok(objective(engine))
            })?;
            worst.meet(&input.name, element, &analytic, numeric);
        }
    }
    engine.forward(batch, mode)?;
    Ok(worst.found)
}

/// The derivative of `f` at 0. Where it disagrees with `expected`, a kink such as that of max(0, x) may lie between the
/// points; a narrower stencil tells that from a wrong gradient, which disagrees at any width.
fn derivative(
    expected: f64,
    mut f: impl FnMut(f64) -> Result<f64, FeedError>,
) -> Result<f64, FeedError> {
    let wide = stencil(STEP, &mut f)?;
    if (wide - expected).abs() <= 1e-7 * expected.abs() {
        return Ok(wide);
    }
    let narrow = stencil(STEP / 16.0, &mut f)?;
    let nearer = (narrow - expected).abs() < (wide - expected).abs();
    Ok(if nearer { narrow } else { wide })
}

fn stencil(step: f64, f: &mut impl FnMut(f64) -> Result<f64, FeedError>) -> Result<f64, FeedError> {
    let near = f(step)? - f(-step)?;
    let far = f(2.0 * step)? - f(-2.0 * step)?;
    Ok((8.0 * near - far) / (12.0 * step))
}

fn engine_input(batch: &Batch, name: &str) -> Vec<f64> {
    match batch.get(name).map(|array| array.elements()) {
        Some(Elements::F64(values)) => values.clone(),
        Some(Elements::F32(values)) => values.iter().map(|x| f64::from(*x)).collect(),
        _ => Vec::new(),
    }
}

fn choose(count: usize, at_most: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    if count <= at_most { (0..count).collect() } else { sample(rng, count, at_most).into_vec() }
}

struct Worst {
    found: Option<Disagreement>,
    /// What smaller elements are held to.
    least: f64,
}

impl Worst {
    fn meet(&mut self, whose: &str, element: usize, analytic: &[f64], numeric: f64) {
        let largest = analytic.iter().fold(0.0f64, |most, g| most.max(g.abs()));
        let found = analytic[element];
        let scale = found.abs().max(numeric.abs()).max(1e-3 * largest).max(self.least);
        let relative_error = (found - numeric).abs() / scale;
        if self
            .found
            .as_ref()
            .is_none_or(|worst| relative_error.total_cmp(&worst.relative_error).is_gt())
        {
            self.found = Some(Disagreement {
                whose: whose.to_owned(),
                element,
                analytic: found,
                numeric,
                relative_error,
            });
        }
    }
}
