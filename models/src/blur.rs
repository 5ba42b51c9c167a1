//! A slight blur, by the convolution layer: the course blurs pictures that gradients make from time to time.

use std::sync::Arc;

use engine_core::engine::{BuildError, Engine, FeedError};
use engine_core::graph::{Document, Graph};
use engine_core::{Batch, Mode, Sizes};
use engine_datasets::picture::image_utils::ShapeError;
use ndarray::{Array4, ArrayView4};
use thiserror::Error;

/// What a pixel gets of itself and of those around it, in parts of 200, row by row.
const KERNEL: [f32; 9] = [1.0, 2.0, 1.0, 2.0, 188.0, 2.0, 1.0, 2.0, 1.0];

/// Why pictures cannot be blurred.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BlurError {
    /// The array holds no pictures.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// There is no memory for the network.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The pictures do not fit the network.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// Each channel of pictures `[N, 3, height, width]` moved over by one small filter; beyond the edges everything is 0.
///
/// ```text
/// y[n, c, i, j] = sum over k, l of K[k, l] x[n, c, i + k - 1, j + l - 1]
///
///             1   2  1
/// K = 1/200   2 188  2
///             1   2  1
/// ```
///
/// (CS231n, `cs231n/image_utils.py`: `blur_image`.)
///
/// # Errors
/// When there are no pictures of three channels, or no memory for them.
pub fn blur(pictures: ArrayView4<'_, f32>) -> Result<Array4<f32>, BlurError> {
    let (count, channels, height, width) = pictures.dim();
    if channels != 3 || pictures.is_empty() {
        let found = pictures.shape().to_vec();
        return Err(ShapeError::Picture { found, expected: "[N, 3, height, width]" }.into());
    }
    let mut engine = network(height, width)?;
    let mut batch = Batch::new();
    let array = batch.f32_mut("x", &[count, channels, height, width]);
    array.iter_mut().zip(pictures).for_each(|(to, from)| *to = *from);
    engine.forward(&batch, Mode::Eval)?;
    let blurred = engine.output("y").expect("the graph has this output");
    Ok(Array4::from_shape_fn(pictures.dim(), |(n, c, i, j)| {
        blurred.as_slice()[((n * channels + c) * height + i) * width + j]
    }))
}

/// One convolution with the filter in each channel.
fn network(height: usize, width: usize) -> Result<Engine<f32>, BuildError> {
    let text = format!(
        "Graph(
            inputs: {{\"x\": [Batch, 3, {height}, {width}]}},
            nodes: [(
                name: \"blur\",
                layer: Conv2d(units: 3, kernel: 3, padding: 1, groups: 3, bias: false),
                from: [\"x\"],
            )],
            outputs: {{\"y\": \"blur\"}},
        )"
    );
    let (graph, _) = Graph::read(&Document::new("blur", text), &[]);
    let plan = graph.and_then(|graph| graph.check(&Sizes::new(), None).plan);
    let plan = plan.expect("a kernel of 3 with padding of 1 fits a picture of any size");
    let mut engine = Engine::new(Arc::new(plan), Sizes::new(), 0)?;
    for weights in engine.parameters_mut() {
        for filter in weights.as_mut_slice().chunks_exact_mut(KERNEL.len()) {
            filter.copy_from_slice(&KERNEL.map(|part| part / 200.0));
        }
    }
    Ok(engine)
}
