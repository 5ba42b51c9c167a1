//! Where a network looks as it writes: the value in the role `attention`, of a sentence that is known.

use engine_core::engine::{Engine, StepError, Stepper};
use engine_core::{Batch, Scalar, Symbol};

/// The role of weights over regions, `[Batch, Time, Regions]`: for each step what the network looks at as it chooses the
/// next word.
const ATTENTION: &str = "attention";

/// Goes through sentences again and notes the weights at each step.
///
/// Decoders know nothing of it, and leave and branch sentences as they like: what they have written is read once more,
/// a row a sentence.
#[derive(Debug)]
pub(super) struct Looking<T> {
    stepper: Stepper<T>,
    words_input: String,
    words: Batch,
}

impl<T: Scalar> Looking<T> {
    /// `None` for a network that attends to nothing, or not step by step.
    pub(super) fn new(engine: &Engine<T>) -> Option<Self> {
        let plan = engine.plan();
        let shape = &plan.values[plan.output(ATTENTION)?].shape;
        let is_of_steps = shape.dims().len() == 3 && shape.dims()[1].is(Symbol::TIME);
        if !is_of_steps {
            return None;
        }
        let stepper = Stepper::new(engine, ATTENTION).ok()?;
        let words_input = stepper.step_inputs().next().unwrap_or_default().to_owned();
        Some(Looking { stepper, words_input, words: Batch::new() })
    }

    /// For each sentence the weights over regions that each of its tokens was chosen with. `context` has a row a
    /// sentence; `start` is the token before the first.
    pub(super) fn weights(
        &mut self,
        engine: &Engine<T>,
        context: &Batch,
        sentences: &[&[u32]],
        start: u32,
    ) -> Result<Vec<Vec<Vec<f32>>>, StepError> {
        let rows = sentences.len();
        let mut weights: Vec<Vec<Vec<f32>>> = vec![Vec::new(); rows];
        self.stepper.start(engine, context, rows)?;
        let longest = sentences.iter().map(|sentence| sentence.len()).max().unwrap_or(0);
        for at in 0..longest {
            let words = self.words.tokens_mut(&self.words_input, &[rows, 1]);
            for (word, sentence) in words.iter_mut().zip(sentences) {
                // A sentence that is over goes on with anything, which nobody reads.
                let before = at
                    .checked_sub(1)
                    .map_or(start, |before| sentence.get(before).copied().unwrap_or(start));
                *word = before;
            }
            let found = self.stepper.step(engine, &self.words)?;
            for ((found, sentence), weights) in
                found.rows().outer_iter().zip(sentences).zip(&mut weights)
            {
                if at < sentence.len() {
                    weights.push(found.iter().map(|weight| weight.f64() as f32).collect());
                }
            }
        }
        Ok(weights)
    }
}
