//! Scores of a layer without some pairs of features.

use anyhow::Result;
use attention_probes::sae::fra::FraRemoved;
use rand::SeedableRng;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::inputs::{Input, LETTERS, N_LETTERS, N_POS};
use crate::pairs::{PairId, Text};

/// What is taken from the scores.
#[derive(Clone, Copy)]
pub(crate) enum Removed<'a> {
    /// What some pairs add.
    Pairs(&'a [PairId]),
    /// The same amounts, but each query's at the letters of the input in another order.
    Shuffled(&'a [PairId]),
    /// The same of every head.
    OfEach(FraRemoved<'a>),
}

/// Scores of all heads for every input, `[n_inputs, n_heads, N_POS, N_POS]`.
pub(crate) fn without(removed: Removed<'_>, texts: &[Text]) -> Result<Vec<f32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut left = Vec::new();
    for (_, text) in texts {
        let orders = [(); N_POS].map(|()| {
            let mut order: Vec<usize> = (0..N_LETTERS).collect();
            order.shuffle(&mut rng);
            order
        });
        for number in text.heads() {
            let Some(head) = text.head(number) else { continue };
            left.extend(match removed {
                Removed::Pairs(pairs) => {
                    head.scores_without(FraRemoved::Pairs(&of_head(number, pairs)))?
                }
                Removed::Shuffled(pairs) => {
                    let amounts = shuffled(&head.pairs_map(&of_head(number, pairs)), &orders);
                    head.scores_without(FraRemoved::Amounts(&amounts))?
                }
                Removed::OfEach(removed) => head.scores_without(removed)?,
            });
        }
    }
    Ok(left)
}

/// Features at the query and the key of those pairs that are of a head.
fn of_head(head: usize, pairs: &[PairId]) -> Vec<(u32, u32)> {
    pairs.iter().filter(|pair| pair.0 == head).map(|pair| (pair.1, pair.2)).collect()
}

/// The same with each answer's values at the letters of the input in another order.
fn shuffled(values: &[f32], orders: &[Vec<usize>; N_POS]) -> Vec<f32> {
    let mut shuffled = values.to_vec();
    for pos in N_LETTERS - 1..N_POS {
        for (key, from) in orders[pos].iter().enumerate() {
            shuffled[pos * N_POS + key] = values[pos * N_POS + from];
        }
    }
    shuffled
}

/// Scores of inputs that know no more than where the query is, and the letter of the key and whether
/// it is in the input: of each head the mean of the scores of other inputs where these are the same.
pub(crate) fn by_place(seen: &[Input], texts: &[Text], inputs: &[Input]) -> Result<Vec<f32>> {
    let of_seen = without(Removed::Pairs(&[]), texts)?;
    let n_classes = 2 * LETTERS.len();
    let n_heads = of_seen.len() / (seen.len() * N_POS * N_POS);
    let class = |inputs: &[Input], at: usize| {
        let (row, key) = (at / N_POS, at % N_POS);
        let ids = &inputs[row / (N_POS * n_heads)].ids;
        let of_key = ids[key] as usize * 2 + usize::from(key < N_LETTERS);
        row % (N_POS * n_heads) * n_classes + of_key
    };
    let is_seen = |at: usize| at % N_POS <= at / N_POS % N_POS;
    let mut sums = vec![(0.0, 0.0); n_heads * N_POS * n_classes];
    for (at, score) in of_seen.iter().enumerate().filter(|(at, _)| is_seen(*at)) {
        let sum = &mut sums[class(seen, at)];
        *sum = (sum.0 + f64::from(*score), sum.1 + 1.0);
    }
    let mean = |at: usize| {
        let (sum, n) = sums[class(inputs, at)];
        if is_seen(at) { (sum / n) as f32 } else { 0.0 }
    };
    Ok((0..inputs.len() * n_heads * N_POS * N_POS).map(mean).collect())
}

/// Where each letter of the answer is to be said, the mean score of each letter of the input, over
/// heads and inputs, and less the mean of the letters.
pub(crate) fn by_letter(inputs: &[Input], scores: &[f32]) -> Vec<[f64; LETTERS.len()]> {
    let n_heads = scores.len() / (inputs.len() * N_POS * N_POS);
    let mut rows = Vec::new();
    for pos in N_LETTERS - 1..N_POS {
        let mut sums = [(0.0, 0.0); LETTERS.len()];
        for (i, scores) in scores.chunks_exact(N_POS * N_POS).enumerate() {
            let letters = &inputs[i / n_heads].ids[..N_LETTERS];
            for (letter, score) in letters.iter().zip(&scores[pos * N_POS..]) {
                let sum = &mut sums[*letter as usize];
                *sum = (sum.0 + f64::from(*score), sum.1 + 1.0);
            }
        }
        let means = sums.map(|(sum, n)| sum / n);
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        rows.push(means.map(|of_letter| of_letter - mean));
    }
    rows
}
