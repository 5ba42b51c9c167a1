//! From raw sentences to all scores: 40,000 captions with five references each.

use divan::Bencher;
use engine::score::{self, Corpus, References, tokenize};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

fn main() {
    divan::main();
}

const IMAGES: usize = 40_000;
const VOCABULARY: usize = 10_000;

/// A sentence of 8 to 14 words, the commonest of which are as common as in English.
fn sentence(rng: &mut ChaCha8Rng) -> String {
    let length = rng.random_range(8..15);
    let word = |rng: &mut ChaCha8Rng| {
        // The logarithm of a word's rank is uniform: Zipf's law.
        let rank = (VOCABULARY as f64).powf(rng.random::<f64>());
        format!("w{}", rank as usize)
    };
    let words: Vec<String> = (0..length).map(|_| word(rng)).collect();
    words.join(" ") + " ."
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn all_scores(bencher: Bencher<'_, '_>) {
    let mut rng = ChaCha8Rng::seed_from_u64(231);
    let candidates: Vec<String> = (0..IMAGES).map(|_| sentence(&mut rng)).collect();
    let references: Vec<Vec<String>> =
        (0..IMAGES).map(|_| (0..5).map(|_| sentence(&mut rng)).collect()).collect();
    bencher.bench(|| {
        let split = |sentences: &Vec<String>| sentences.iter().map(|s| tokenize(s)).collect();
        let references: Vec<Vec<Vec<String>>> = references.par_iter().map(split).collect();
        let candidates: Vec<Vec<String>> = candidates.par_iter().map(|s| tokenize(s)).collect();
        let references = References::new(&references).expect("every image has references");
        let corpus = Corpus::new(&references, &candidates).expect("a candidate an image");
        score::evaluate(&score::all(), &corpus)
    });
}
