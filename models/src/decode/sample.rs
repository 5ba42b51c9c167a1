//! Words drawn at random, as likely as the network has them.

use engine_core::field::{Count, Factor, Positive};
use engine_core::registry::DECODER;
use engine_core::{Scalar, register};
use engine_datasets::Vocabulary;
use engine_kernels::{math, team};
use ndarray::ArrayView2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::probability::Normalizer;
use super::rules::{Next, Rules, Writable};
use super::top_k::Scored;
use super::{Context, Decode, DecodeError, Decoder, Hypothesis, WordModel};

/// Draws words at random, as likely as the network has them.
///
/// ```text
/// p(word) ~ exp(score / temperature)
/// ```
///
/// among the `top_k` likeliest words (Fan et al. 2018) and, of these, the fewest whose probabilities add up to `top_p`
/// (Holtzman et al. 2020). What is drawn for an image depends on the seed and on its place in the data set, and on
/// nothing else that is written at the same time.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sample {
    /// Below 1 likely words become more likely, above 1 less. Default: 1, as the network has it.
    pub temperature: Positive,
    /// How many of the likeliest words can be drawn. Default: all.
    pub top_k: Option<Count>,
    /// The share of the probability that is drawn from. Default: 1, all of it.
    pub top_p: Factor,
    /// Decides what is drawn. Default: 0.
    pub seed: u64,
    /// Sentences that are drawn for each image; the likeliest come first. Default: 1.
    pub count: Count,
    /// The most tokens a sentence has, `<START>` and `<END>` counted. Default: 30.
    pub max_length: Count,
    /// What must not be written. `<NULL>` and `<START>` never are.
    pub rules: Rules,
}

impl Default for Sample {
    fn default() -> Self {
        Sample {
            temperature: Positive::constant(1.0),
            top_k: None,
            top_p: Factor::constant(1.0),
            seed: 0,
            count: Count::constant(1),
            max_length: Count::constant(30),
            rules: Rules::default(),
        }
    }
}

register!(
    Sample in DECODER,
    example: "Sample(temperature: 0.8, top_p: 0.9, seed: 1)",
    checks: [
        "Sample(top_k: 20, count: 5, max_length: 20, rules: (ban: [\"<UNK>\"], block_ngrams: 2))",
    ],
);

#[typetag::serde]
impl Decoder for Sample {
    fn check(&self, vocabulary: &Vocabulary) -> Result<(), DecodeError> {
        self.rules.of(vocabulary).map(|_| ())
    }
}

/// Sentences that one thread goes on with at a time.
const WRITERS: usize = 4;

impl<T: Scalar> Decode<T> for Sample {
    fn decode(
        &self,
        model: &mut WordModel<'_, T>,
        context: &Context<'_>,
    ) -> Result<Vec<Vec<Hypothesis>>, DecodeError> {
        let writable = self.rules.of(model.vocabulary)?;
        let (images, count, end) = (context.places.len(), self.count.as_usize(), model.end);
        model.begin(context.batch, images)?;
        let mut written = vec![Vec::new(); images];
        let begin = |image: usize| {
            let place = context.places[image];
            (0..count).map(move |draw| Writer::<T>::new(image, self.seed, place, draw))
        };
        let mut open: Vec<Writer<T>> = (0..images).flat_map(begin).collect();
        let mut words = vec![model.start; images];
        for step in 0..self.max_length.as_usize() - 1 {
            let scores = model.next(&words)?;
            self.draw(scores, &writable, &mut open);
            for writer in open.iter_mut().filter(|writer| !writer.stuck) {
                writer.sentence.attention.extend(model.attention(step, writer.row));
            }
            let done = open.extract_if(.., |writer| writer.is_done(end));
            done.for_each(|writer| writer.hand_in(&mut written));
            if open.is_empty() {
                break;
            }
            let rows: Vec<usize> = open.iter().map(|writer| writer.row).collect();
            model.select(&rows);
            open.iter_mut().enumerate().for_each(|(row, writer)| writer.row = row);
            words.clear();
            words.extend(open.iter().filter_map(|writer| writer.sentence.tokens.last()));
        }
        open.into_iter().for_each(|writer| writer.hand_in(&mut written));
        for sentences in &mut written {
            sentences.sort_by(|a: &Hypothesis, b| b.score.total_cmp(&a.score));
        }
        Ok(written)
    }
}

impl Sample {
    /// Goes on with every sentence by a word, given the scores of its row.
    fn draw<T: Scalar>(
        &self,
        scores: ArrayView2<'_, T>,
        writable: &Writable,
        open: &mut [Writer<T>],
    ) {
        let width = scores.ncols();
        let scores = scores.to_slice().expect("scores in row-major order");
        team::for_each_chunk_mut(open, WRITERS, |_, writers| {
            for writer in writers {
                writer.draw(&scores[writer.row * width..][..width], self, writable);
            }
        });
    }
}

/// A sentence that is being drawn.
struct Writer<T> {
    image: usize,
    row: usize,
    sentence: Hypothesis,
    stuck: bool,
    rng: ChaCha8Rng,
    repeats: Vec<u32>,
    /// The words that can be drawn, and how likely each is.
    words: Vec<Scored<T>>,
    weights: Vec<T>,
}

impl<T: Scalar> Writer<T> {
    /// The `draw`-th sentence for an image of the batch, which is at `place` among all images.
    fn new(image: usize, seed: u64, place: usize, draw: usize) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&(place as u64).to_le_bytes());
        key[16..24].copy_from_slice(&(draw as u64).to_le_bytes());
        Writer {
            image,
            row: image,
            sentence: Hypothesis::default(),
            stuck: false,
            rng: ChaCha8Rng::from_seed(key),
            repeats: Vec::new(),
            words: Vec::new(),
            weights: Vec::new(),
        }
    }

    /// Whether nothing follows on the word that it has drawn.
    fn is_done(&self, end: u32) -> bool {
        self.stuck || self.sentence.tokens.last() == Some(&end)
    }

    fn hand_in(self, written: &mut [Vec<Hypothesis>]) {
        written[self.image].push(self.sentence);
    }

    /// Draws a word.
    fn draw(&mut self, scores: &[T], sample: &Sample, writable: &Writable) {
        writable.find_repeats(&self.sentence.tokens, &mut self.repeats);
        let repeats = std::mem::take(&mut self.repeats);
        let next = writable.next(&repeats, true);
        let share: f64 = self.rng.random();
        let word = self.choose(scores, sample, &next, share);
        self.repeats = repeats;
        match word {
            Some(word) => {
                let score = scores[word as usize];
                self.sentence.push(word, Normalizer::of(scores).log_probability(score));
            }
            None => self.stuck = true,
        }
    }

    /// The word at which the probabilities of words up to it add up to more than a share, from 0 to below 1, of all that
    /// can be drawn; `None` where no word can.
    fn choose(
        &mut self,
        scores: &[T],
        sample: &Sample,
        next: &Next<'_>,
        share: f64,
    ) -> Option<u32> {
        let words = &mut self.words;
        words.clear();
        for (word, score) in (0..).zip(scores) {
            if next.allows(word) && *score > T::neg_infinity() {
                words.push(Scored { word, score: *score });
            }
        }
        if let Some(k) = sample.top_k.map(Count::as_usize).filter(|k| *k < words.len()) {
            likeliest_first(words, k);
            words.truncate(k);
        }
        self.weigh(sample.temperature);
        if sample.top_p.get() < 1.0 {
            self.keep_share(sample);
        }
        self.at_share(share)
    }

    /// Gives each word its weight: its probability, but for a factor.
    fn weigh(&mut self, temperature: Positive) {
        let most = self.words.iter().fold(T::neg_infinity(), |most, word| most.max(word.score));
        let scaled = |word: &Scored<T>| T::of((word.score - most).f64() / temperature.get());
        self.weights.clear();
        self.weights.extend(self.words.iter().map(scaled));
        math::exp(&mut self.weights);
    }

    /// Keeps the fewest words whose weights add up to the share of all that is drawn from.
    fn keep_share(&mut self, sample: &Sample) {
        let least =
            sample.top_p.get() * self.weights.iter().map(|weight| weight.f64()).sum::<f64>();
        let mut sorted = FIRST;
        loop {
            sorted = sorted.min(self.words.len());
            likeliest_first(&mut self.words, sorted);
            self.weigh(sample.temperature);
            let mut sum = 0.0;
            let enough = |weight: &T| {
                sum += weight.f64();
                sum >= least
            };
            if let Some(last) = self.weights[..sorted].iter().position(enough) {
                self.words.truncate(last + 1);
                self.weights.truncate(last + 1);
                return;
            }
            if sorted == self.words.len() {
                return;
            }
            sorted *= 8;
        }
    }

    /// The word at which weights up to it add up to more than a share of all.
    fn at_share(&self, share: f64) -> Option<u32> {
        let total: f64 = self.weights.iter().map(|weight| weight.f64()).sum();
        let mut sum = 0.0;
        let beyond = |weight: &T| {
            sum += weight.f64();
            sum > share * total
        };
        // Nothing is beyond a sum that is not a number.
        let at = self.weights.iter().position(beyond).unwrap_or(0);
        self.words.get(at).map(|scored| scored.word)
    }
}

/// How many of the likeliest words are looked at first: most often they are enough.
const FIRST: usize = 32;

/// Brings the `count` likeliest words to the front, the likeliest first, of equals the first in the vocabulary.
fn likeliest_first<T: Scalar>(words: &mut [Scored<T>], count: usize) {
    let order = |a: &Scored<T>, b: &Scored<T>| {
        b.score.f64().total_cmp(&a.score.f64()).then(a.word.cmp(&b.word))
    };
    if count < words.len() {
        words.select_nth_unstable_by(count, order);
    }
    words[..count].sort_unstable_by(order);
}
