//! Which words of a caption stand for which words of a reference.

use super::stemming::Stems;

/// Words of a sentence that an alignment looks at; those after them stay alone.
const LONGEST: usize = u128::BITS as usize;

/// Alignments that are followed at once. Only words that come more than once open a choice.
const BEAM: usize = 40;

/// An alignment of a caption with a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Alignment {
    /// Pairs of words.
    pub(crate) matches: usize,
    /// Runs of pairs that are neighbours in both sentences.
    pub(crate) chunks: usize,
}

/// An alignment of the caption's first words.
#[derive(Debug, Clone, Copy, Default)]
struct Partial {
    /// Words of the reference that are taken, a bit each.
    taken: u128,
    /// The reference's word that goes on the current run.
    next: Option<usize>,
    exact: usize,
    done: Alignment,
}

/// The alignment with the most pairs of equal words, then the most pairs of equal stems, then the fewest chunks.
///
/// It is found word by word, keeping the best partial alignments; with very many repeated words it may have more chunks
/// than it needs.
pub(crate) fn align(candidate: &[u32], reference: &[u32], stems: &Stems) -> Alignment {
    let candidate = &candidate[..candidate.len().min(LONGEST)];
    let reference = &reference[..reference.len().min(LONGEST)];
    let (mut beam, mut grown) = (vec![Partial::default()], Vec::new());
    for (at, word) in candidate.iter().enumerate() {
        let stem = stems.of(*word);
        let alike = |words: &[u32]| words.iter().filter(|word| stems.of(**word) == stem).count();
        let to_come = alike(&candidate[at + 1..]);
        for partial in &beam {
            let free = |j: &usize| partial.taken >> j & 1 == 0 && stems.of(reference[*j]) == stem;
            let free: Vec<usize> = (0..reference.len()).filter(free).collect();
            // A word may stay alone only where later ones take all that is free.
            if to_come >= free.len() {
                grown.push(Partial { next: None, ..*partial });
            }
            grown.extend(free.into_iter().map(|j| partial.with(j, reference[j] == *word)));
        }
        grown.sort_by_key(|p| (std::cmp::Reverse(p.exact), p.done.chunks, p.taken, p.next));
        grown.truncate(BEAM);
        std::mem::swap(&mut beam, &mut grown);
        grown.clear();
    }
    beam.first().map_or(Alignment::default(), |best| best.done)
}

impl Partial {
    /// This one, with the reference's word `j` for the caption's next.
    fn with(&self, j: usize, exact: bool) -> Self {
        Partial {
            taken: self.taken | 1 << j,
            next: Some(j + 1),
            exact: self.exact + usize::from(exact),
            done: Alignment {
                matches: self.done.matches + 1,
                chunks: self.done.chunks + usize::from(self.next != Some(j)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Every alignment there is.
    fn by_definition(candidate: &[u32], reference: &[u32], stems: &Stems) -> Alignment {
        fn go(
            at: usize,
            partial: Partial,
            (candidate, reference, stems): (&[u32], &[u32], &Stems),
            all: &mut Vec<Partial>,
        ) {
            let Some(word) = candidate.get(at) else { return all.push(partial) };
            go(at + 1, Partial { next: None, ..partial }, (candidate, reference, stems), all);
            for (j, other) in reference.iter().enumerate() {
                if partial.taken >> j & 1 == 0 && stems.of(*word) == stems.of(*other) {
                    let grown = partial.with(j, word == other);
                    go(at + 1, grown, (candidate, reference, stems), all);
                }
            }
        }
        let mut all = Vec::new();
        go(0, Partial::default(), (candidate, reference, stems), &mut all);
        let key = |p: &Partial| (p.exact, p.done.matches, std::cmp::Reverse(p.done.chunks));
        all.into_iter().max_by_key(key).unwrap().done
    }

    #[test]
    fn the_alignment_is_the_best_of_all() {
        let words = ["ride", "riding", "dog", "a"].map(str::to_owned);
        let stems = Stems::new(&words);
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut draw = |most: usize| -> Vec<u32> {
                let length = rng.random_range(0..=most);
                (0..length).map(|_| rng.random_range(0..4)).collect()
            };
            let (a, b) = (draw(6), draw(6));
            let found = align(&a, &b, &stems);
            assert_eq!(found, by_definition(&a, &b, &stems), "seed {seed}: {a:?} {b:?}");
        }
    }

    #[test]
    fn sentences_longer_than_any_caption_are_aligned_in_part() {
        let stems = Stems::new(&["a".to_owned()]);
        assert_eq!(align(&[0; 300], &[0; 300], &stems), Alignment { matches: 128, chunks: 1 });
    }
}
