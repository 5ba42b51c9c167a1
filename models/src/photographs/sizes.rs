//! The sizes that data gave a network, found without the data.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine_core::graph::Plan;
use engine_core::{Dim, Sizes, Symbol};
use engine_datasets::Vocabulary;
use engine_datasets::picture::Picture;
use safetensors::SafeTensors;

use super::error::PhotographsError;
use super::image_input::ImageInput;
use crate::encoder::{FEATURES, Features, GRID};
use crate::experiment::Experiment;
use crate::trained::{Parameters, TrainedError};

/// The sizes that a run's data gave its network, as the run has stored them, and the number of its words.
pub(super) fn of_data(stored: &BTreeMap<String, usize>, vocabulary: &Vocabulary) -> Sizes {
    let sizes: Sizes = stored.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    sizes.with(Symbol::new("Vocabulary"), vocabulary.len())
}

/// Lays a network out for the sizes of its data, and finds those that are not known, of a run that has not stored them:
/// in the shapes of parameters, and where no parameter depends on them, such as the number of regions, in what the
/// encoder makes of a picture.
pub(super) fn laid_out(
    experiment: &Experiment,
    mut sizes: Sizes,
    input: &mut ImageInput,
    parameters: &Parameters,
) -> Result<(Arc<Plan>, Sizes), PhotographsError> {
    let plan = |sizes: &Sizes| experiment.plan(sizes).map_err(TrainedError::from);
    let (checked, _) = plan(&sizes)?;
    let known = sizes.iter().count();
    of_parameters(&checked, parameters, &mut sizes)?;
    if let ImageInput::Encoder(encoder) = input
        && unbound(&checked, &sizes)
    {
        let features = encoder.encode(&[Picture::new(1, 1, vec![0; 3])])?;
        if features.grid.is_none() && checked.inputs.iter().any(|input| input.name == GRID) {
            return Err(PhotographsError::NotGiven { input: GRID });
        }
        of_inputs(&checked, &features, &mut sizes);
    }
    match sizes.iter().count() == known {
        true => Ok((checked, sizes)),
        false => Ok((plan(&sizes)?.0, sizes)),
    }
}

/// Whether an input that is read once has a size that is not known.
fn unbound(plan: &Plan, sizes: &Sizes) -> bool {
    let inputs = plan.inputs.iter().filter(|input| !input.has_time());
    let mut dims = inputs.flat_map(|input| &input.shape.dims()[1..]);
    dims.any(|dim| sizes.resolve(*dim).is_err())
}

/// Binds the names in the shapes of parameters to the numbers of their file.
fn of_parameters(
    plan: &Plan,
    Parameters { bytes, file: path }: &Parameters,
    sizes: &mut Sizes,
) -> Result<(), PhotographsError> {
    // Bytes that are not in this format are refused where parameters are read.
    let Ok(tensors) = SafeTensors::deserialize(bytes) else { return Ok(()) };
    for parameter in &plan.parameters {
        let Ok(found) = tensors.tensor(&parameter.name) else { continue };
        let expected = parameter.shape.dims();
        let fits = expected.len() == found.shape().len()
            && expected.iter().zip(found.shape()).all(|(dim, size)| bind(*dim, *size, sizes));
        if !fits {
            return Err(PhotographsError::OtherShape {
                path: path.to_owned(),
                parameter: parameter.name.clone(),
                expected: parameter.shape.to_string(),
                found: found.shape().to_vec(),
            });
        }
    }
    Ok(())
}

/// Binds the names in the shapes of inputs to the numbers that an encoder gives.
fn of_inputs(plan: &Plan, features: &Features, sizes: &mut Sizes) {
    let grid = features.grid.as_ref().map(|grid| [grid.regions, grid.channels]);
    for (name, given) in
        [(FEATURES, &[features.width][..]), (GRID, grid.as_ref().map_or(&[], |g| g))]
    {
        let input = plan.inputs.iter().find(|input| input.name == name);
        for (dim, size) in input.iter().flat_map(|input| &input.shape.dims()[1..]).zip(given) {
            bind(*dim, *size, sizes);
        }
    }
}

/// Binds a name that has no number yet. False where it has another.
fn bind(dim: Dim, size: usize, sizes: &mut Sizes) -> bool {
    match (sizes.resolve(dim), dim.symbol()) {
        (Ok(known), _) => known == size,
        (Err(_), Some(symbol)) => {
            // What a size is composed of does not follow from it.
            if !symbol.is_composed() {
                sizes.set(symbol, size);
            }
            true
        }
        (Err(_), None) => true,
    }
}
