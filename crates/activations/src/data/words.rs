//! Tagged words as examples: each ends at the last token of its word.

use std::collections::BTreeMap;

use attention_probes_models::Tokenizer;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::{ActivationError, Dataset, Example, TokenizedDataset, Word};

/// Examples of tagged words.
pub(crate) struct WordExamples {
    pub(crate) examples: Vec<Example>,
    /// Tagged words that are no example: they have no token, or end in the same token as another
    /// word with another tag.
    pub(crate) n_skipped: usize,
}

/// Draws words with tags, at most `per_text` of each text.
///
/// Words whose last token was cut off are left out.
pub(crate) fn draw_words(
    dataset: &Dataset,
    tokens: &TokenizedDataset,
    tokenizer: &Tokenizer,
    per_text: usize,
    rng: &mut ChaCha8Rng,
) -> Result<WordExamples, ActivationError> {
    // Where tokens lie in their text is not cached: it takes more room than the tokens.
    let places: Vec<Places> = (0..tokens.len())
        .into_par_iter()
        .map(|sequence| {
            let row = tokens.text_rows[sequence];
            let encoding = tokenizer
                .encode(&dataset.texts[row])
                .map_err(|source| ActivationError::Tokenize { row, source: Box::new(source) })?;
            let n_kept = tokens.sequence(sequence).len();
            Ok(Places::find(&dataset.words[row], &encoding.byte_offsets, n_kept))
        })
        .collect::<Result<_, ActivationError>>()?;
    let mut examples = Vec::new();
    for (sequence, places) in places.iter().enumerate() {
        let n = places.ends.len();
        for drawn in index::sample(rng, n, per_text.min(n)) {
            let (end, label) = places.ends[drawn];
            examples.push(Example { sequence, end, label });
        }
    }
    Ok(WordExamples { examples, n_skipped: places.iter().map(|places| places.n_skipped).sum() })
}

/// Where the words of a text end.
struct Places {
    /// Number of tokens up to the end of a word, and the word's class.
    ends: Vec<(usize, usize)>,
    n_skipped: usize,
}

impl Places {
    /// Finds the last token of each word among tokens of which the first `n_kept` are there.
    fn find(words: &[Word], offsets: &[(usize, usize)], n_kept: usize) -> Self {
        // Special tokens stand for no byte of the text.
        let tokens: Vec<(usize, (usize, usize))> =
            offsets.iter().copied().enumerate().filter(|(_, (start, end))| start < end).collect();
        let mut n_skipped = 0;
        // The class at each end; `None` where words disagree.
        let mut ends: BTreeMap<usize, (Option<usize>, usize)> = BTreeMap::new();
        for word in words {
            let Some(label) = word.label else { continue };
            let n_before = tokens.partition_point(|(_, (start, _))| *start < word.end);
            let last = n_before.checked_sub(1).map(|index| tokens[index]);
            match last {
                Some((token, (_, end))) if end > word.start => {
                    let (found, n_words) = ends.entry(token + 1).or_insert((Some(label), 0));
                    *n_words += 1;
                    *found = found.filter(|found| *found == label);
                }
                _ => n_skipped += 1,
            }
        }
        ends.retain(|end, _| *end <= n_kept);
        n_skipped +=
            ends.values().filter(|(label, _)| label.is_none()).map(|(_, n)| n).sum::<usize>();
        let ends = ends.into_iter().filter_map(|(end, (label, _))| Some((end, label?))).collect();
        Self { ends, n_skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[(usize, usize, usize)]) -> Vec<Word> {
        let word =
            |&(start, end, label): &(usize, usize, usize)| Word { start, end, label: Some(label) };
        words.iter().map(word).collect()
    }

    #[test]
    fn a_word_ends_at_its_last_token() {
        // A token of no text, then `un`, `happ`, `y`, and ` cat`, whose space belongs to no word.
        let offsets = [(0, 0), (0, 2), (2, 6), (6, 7), (7, 11)];
        let places = Places::find(&words(&[(0, 7, 1), (8, 11, 0)]), &offsets, 5);
        assert_eq!((places.ends, places.n_skipped), (vec![(4, 1), (5, 0)], 0));
        // What was cut off is no example, and nothing to count: the cut text is.
        let places = Places::find(&words(&[(0, 7, 1), (8, 11, 0)]), &offsets, 4);
        assert_eq!((places.ends, places.n_skipped), (vec![(4, 1)], 0));
    }

    #[test]
    fn a_character_of_several_tokens_ends_at_the_last() {
        let offsets = [(0, 4), (0, 4), (4, 5)];
        let places = Places::find(&words(&[(0, 4, 2)]), &offsets, 3);
        assert_eq!(places.ends, [(2, 2)]);
    }

    #[test]
    fn words_that_share_their_last_token_must_agree() {
        let offsets = [(0, 5), (6, 9)];
        let places =
            Places::find(&words(&[(0, 2, 0), (2, 5, 1), (6, 8, 3), (8, 9, 3)]), &offsets, 2);
        assert_eq!((places.ends, places.n_skipped), (vec![(2, 3)], 2));
        // Nothing but a special token: the word has no token.
        let places = Places::find(&words(&[(0, 2, 0)]), &[(0, 0)], 1);
        assert_eq!((places.ends.len(), places.n_skipped), (0, 1));
    }
}
