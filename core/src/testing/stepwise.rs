//! Whole sequences, one step at a time.

use crate::array::batch::{Batch, Elements};
use crate::array::tensor::Tensor;
use crate::engine::{Engine, StepError, Stepper};
use crate::scalar::Scalar;

/// Runs a graph step by step over whole sequences and puts the outputs of a role together: what its forward pass must
/// compute as well.
///
/// # Errors
/// When the graph cannot run step by step, or the batch does not fit it.
pub fn stepwise<T: Scalar>(
    engine: &Engine<T>,
    batch: &Batch,
    role: &str,
) -> Result<Tensor<T>, StepError> {
    let mut stepper = Stepper::new(engine, role)?;
    let plan = engine.plan();
    let timed: Vec<_> = plan.inputs.iter().filter(|input| input.has_time()).collect();
    let shape = |name: &str| batch.get(name).map(|a| a.shape().to_vec()).unwrap_or_default();
    let rows = plan.inputs.first().map_or(1, |input| shape(&input.name)[0]);
    let steps = timed.first().map_or(1, |input| shape(&input.name)[1]);
    stepper.start(engine, batch, rows)?;
    let mut outputs = Vec::new();
    let mut one = Batch::new();
    for t in 0..steps {
        for input in &timed {
            slice_time(batch, &input.name, t, &mut one);
        }
        outputs.push(stepper.step(engine, &one)?.clone());
    }
    let width: usize = outputs[0].shape()[2..].iter().product();
    let mut full = outputs[0].shape().to_vec();
    full[1] = steps;
    let mut all = Tensor::zeros(&full);
    for (t, output) in outputs.iter().enumerate() {
        for (row, values) in output.as_slice().chunks(width).enumerate() {
            all.as_mut_slice()[(row * steps + t) * width..][..width].copy_from_slice(values);
        }
    }
    Ok(all)
}

/// Copies time step `t` of an array, its time dimension 1.
fn slice_time(batch: &Batch, name: &str, t: usize, to: &mut Batch) {
    let Some(array) = batch.get(name) else { return };
    let shape = array.shape();
    let (steps, width): (usize, usize) = (shape[1], shape[2..].iter().product());
    let mut one = shape.to_vec();
    one[1] = 1;
    macro_rules! copy {
        ($from:expr, $to:expr) => {
            for (row, out) in $to.chunks_mut(width).enumerate() {
                out.copy_from_slice(&$from[(row * steps + t) * width..][..width]);
            }
        };
    }
    match array.elements() {
        Elements::F32(from) => copy!(from, to.f32_mut(name, &one)),
        Elements::F64(from) => copy!(from, to.f64_mut(name, &one)),
        Elements::Tokens(from) => copy!(from, to.tokens_mut(name, &one)),
    }
}
