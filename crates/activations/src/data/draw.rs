//! The positions of a token task: where the target is and is not, and how they are drawn.

use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use super::target::TargetIds;
use crate::{Example, TokenizedDataset};

/// What is looked at around the end of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looking {
    /// The last tokens of the prefix.
    Back,
    /// The tokens after it.
    Ahead,
}

/// Where the prefixes of one sequence may end.
pub(crate) struct Places {
    sequence: usize,
    positives: Vec<usize>,
    negatives: Vec<usize>,
}

impl Places {
    /// The places of every sequence; those where too little follows to tell are left out.
    pub(crate) fn find(
        looking: Looking,
        tokens: &TokenizedDataset,
        target: &TargetIds,
    ) -> Vec<Self> {
        let of_sequence = |sequence: usize| {
            let ids = tokens.sequence(sequence);
            let (mut positives, mut negatives) = (Vec::new(), Vec::new());
            for end in 1..=ids.len() {
                let is_target = match looking {
                    Looking::Back => Some(target.ends(&ids[..end])),
                    Looking::Ahead => target.begins(&ids[end..]),
                };
                match is_target {
                    Some(true) => positives.push(end),
                    Some(false) => negatives.push(end),
                    None => {}
                }
            }
            Self { sequence, positives, negatives }
        };
        (0..tokens.len()).map(of_sequence).collect()
    }

    /// Number of places.
    pub(crate) fn n(&self) -> usize {
        self.positives.len() + self.negatives.len()
    }

    /// Number of places with the target.
    pub(crate) fn n_targets(&self) -> usize {
        self.positives.len()
    }

    fn example(&self, end: usize, label: usize) -> Example {
        Example { sequence: self.sequence, end, label }
    }
}

/// Distinct places, uniformly drawn from each sequence.
pub(crate) fn draw_uniform(
    places: &[Places],
    per_text: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Example> {
    let mut examples = Vec::new();
    for place in places {
        for drawn in index::sample(rng, place.n(), per_text.min(place.n())) {
            examples.push(match drawn.checked_sub(place.positives.len()) {
                None => place.example(place.positives[drawn], 1),
                Some(negative) => place.example(place.negatives[negative], 0),
            });
        }
    }
    examples
}

/// Places with the target from each sequence, and as many without it from the same sequences.
pub(crate) fn draw_balanced(
    places: &[Places],
    per_text: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Example> {
    let (mut positives, mut negatives) = (Vec::new(), Vec::new());
    for place in places.iter().filter(|place| !place.positives.is_empty()) {
        let n = place.positives.len();
        let drawn = index::sample(rng, n, per_text.min(n));
        positives.extend(drawn.iter().map(|i| place.example(place.positives[i], 1)));
        negatives.extend(place.negatives.iter().map(|&end| place.example(end, 0)));
    }
    let n_each = positives.len().min(negatives.len());
    let mut examples = Vec::with_capacity(2 * n_each);
    for side in [positives, negatives] {
        let drawn = index::sample(rng, side.len(), n_each);
        examples.extend(drawn.iter().map(|i| side[i]));
    }
    examples
}
