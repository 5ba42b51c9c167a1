//! A text that a network goes on with.

use engine_core::Batch;
use engine_core::engine::Engine;
use engine_core::graph::nearest;
use engine_datasets::{Source, Split, Vocabulary};

use crate::decode::{Context, DecodeError, DecodeScalar, Decoder, Hypothesis, WordModel};

/// A trained network that goes on with texts, and reads nothing else.
#[derive(Debug)]
pub struct Continuation<'a, T> {
    model: WordModel<'a, T>,
    decoder: &'a dyn Decoder,
    vocabulary: &'a Vocabulary,
    /// What a text begins with that nobody has begun.
    beginning: Vec<u32>,
    /// Whether `<START>` stands before every text.
    is_marked: bool,
}

/// A text in the numbers of a vocabulary, and ways to go on, the best first.
#[derive(Debug, Clone, PartialEq)]
pub struct Continued {
    /// The words that were given.
    pub prompt: Vec<u32>,
    /// What the decoder offers after them.
    pub hypotheses: Vec<Hypothesis>,
}

impl<'a, T: DecodeScalar> Continuation<'a, T> {
    /// A writer of these parameters.
    ///
    /// # Errors
    /// When the network cannot write step by step or writes about something, or the decoder asks for words that there are
    /// not.
    pub fn new(
        engine: &'a Engine<T>,
        source: &'a dyn Source,
        decoder: &'a dyn Decoder,
    ) -> Result<Self, DecodeError> {
        let vocabulary = source.vocabulary();
        decoder.check(vocabulary)?;
        let model = WordModel::new(engine, vocabulary)?;
        if let Some(input) = model.subjects().next() {
            return Err(DecodeError::NeedsSubject { input: input.to_owned() });
        }
        // A text that no mark opens begins on a new line, or else as the training text does.
        let first = source.caption(Split::Train, 0).first().copied().unwrap_or(vocabulary.start());
        let is_marked = first == vocabulary.start();
        let line = vocabulary.index("\n").filter(|_| !is_marked);
        let beginning = vec![line.unwrap_or(first)];
        Ok(Continuation { model, decoder, vocabulary, beginning, is_marked })
    }

    /// Goes on with a text, or begins one, once for each of `places`. What is drawn at random depends on the place.
    ///
    /// # Errors
    /// When the text is empty or has words that the vocabulary has not.
    pub fn write(
        &mut self,
        text: Option<&str>,
        places: &[usize],
    ) -> Result<Vec<Continued>, DecodeError> {
        let prompt = match text {
            None => self.beginning.clone(),
            Some(text) => self.prompt(text)?,
        };
        self.model.after(&prompt);
        let context = Context { batch: &Batch::new(), places };
        let found = T::decoder(self.decoder).decode(&mut self.model, &context)?;
        let continued = |hypotheses| Continued { prompt: prompt.clone(), hypotheses };
        Ok(found.into_iter().map(continued).collect())
    }

    fn prompt(&self, text: &str) -> Result<Vec<u32>, DecodeError> {
        let mut tokens = if self.is_marked { self.beginning.clone() } else { Vec::new() };
        for word in self.vocabulary.split(text) {
            tokens.push(self.vocabulary.index(word).ok_or_else(|| {
                // A character has no likeness to another.
                let near = nearest(word, self.vocabulary.words()).filter(|_| self.is_marked);
                DecodeError::UnknownWord { word: word.to_owned(), nearest: near.map(str::to_owned) }
            })?);
        }
        if tokens.is_empty() { Err(DecodeError::EmptyPrompt) } else { Ok(tokens) }
    }
}

impl Continued {
    /// The whole text with its best continuation, or with another.
    pub fn text(&self, hypothesis: &Hypothesis, vocabulary: &Vocabulary) -> String {
        vocabulary.decode(&[self.prompt.as_slice(), &hypothesis.tokens].concat())
    }
}
