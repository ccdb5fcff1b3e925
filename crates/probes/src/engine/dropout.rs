//! Which tokens are hidden from which heads in a step: drawn on the host, the same for every engine.

use std::ops::Range;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::ragged::blocks;
use crate::kinds::TokenDropout;

/// First random stream of dropout: streams below are those of weights and batches.
const DROPOUT_STREAM: u64 = 1 << 32;

/// Draws tokens that are hidden, the same for every trial, whatever it is stacked with.
pub(super) struct Dropout {
    config: TokenDropout,
    seed: u64,
    rng: ChaCha8Rng,
}

impl Dropout {
    pub(super) fn new(config: TokenDropout, seed: u64) -> Self {
        Self { config, seed, rng: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Begins to draw for a step, counted from 0.
    pub(super) fn begin_step(&mut self, step: usize) {
        self.rng = ChaCha8Rng::seed_from_u64(self.seed);
        self.rng.set_stream(DROPOUT_STREAM + step as u64);
    }

    /// Draws for the next block of a step, `[n_heads, n_tokens]`.
    pub(super) fn draw(&mut self, n_tokens: usize) -> Vec<bool> {
        let TokenDropout { n_heads, probability } = self.config;
        (0..n_heads * n_tokens).map(|_| self.rng.random::<f64>() < probability).collect()
    }

    /// Draws for all blocks of a batch that is padded to `pos`, `[batch, n_heads, pos]`.
    pub(super) fn draw_padded(&mut self, lengths: &[usize], pos: usize) -> Vec<bool> {
        let n_heads = self.config.n_heads;
        let mut all = vec![false; lengths.len() * n_heads * pos];
        for block in blocks(lengths) {
            let lengths = &lengths[block.clone()];
            let drawn = self.draw(lengths.iter().sum());
            place(&drawn, lengths, (block, n_heads, pos), &mut all);
        }
        all
    }

    /// Number of heads.
    pub(super) fn n_heads(&self) -> usize {
        self.config.n_heads
    }
}

/// Puts what was drawn for a block, `[n_heads, n_tokens]`, where it belongs in a padded batch.
fn place(
    drawn: &[bool],
    lengths: &[usize],
    (block, n_heads, pos): (Range<usize>, usize, usize),
    all: &mut [bool],
) {
    let n_tokens = lengths.iter().sum::<usize>();
    for (head, drawn) in drawn.chunks(n_tokens.max(1)).enumerate() {
        let mut from = 0;
        for (example, length) in block.clone().zip(lengths) {
            let into = (example * n_heads + head) * pos;
            all[into..into + length].copy_from_slice(&drawn[from..from + length]);
            from += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropout_hides_about_as_many_tokens_as_asked_and_others_in_every_step() {
        let mut dropout = Dropout::new(TokenDropout { n_heads: 2, probability: 0.25 }, 1);
        let mut draw = |step| {
            dropout.begin_step(step);
            dropout.draw(2000)
        };
        let first = draw(0);
        let share = first.iter().filter(|hidden| **hidden).count() as f64 / 4000.0;
        assert!((share - 0.25).abs() < 0.03, "{share}");
        assert_eq!(first, draw(0));
        assert_ne!(first, draw(1));
    }

    #[test]
    fn a_padded_batch_hides_what_its_blocks_hide() {
        let config = TokenDropout { n_heads: 2, probability: 0.5 };
        let lengths = [700, 400, 3, 1024, 5];
        let mut by_block = Dropout::new(config, 7);
        by_block.begin_step(3);
        let mut padded = Dropout::new(config, 7);
        padded.begin_step(3);
        let found = padded.draw_padded(&lengths, 1024);
        for block in blocks(&lengths) {
            let drawn = by_block.draw(lengths[block.clone()].iter().sum());
            let n_tokens = drawn.len() / 2;
            let mut from = 0;
            for example in block {
                for head in 0..2 {
                    let expected = &drawn[head * n_tokens + from..][..lengths[example]];
                    let found = &found[(example * 2 + head) * 1024..][..lengths[example]];
                    assert_eq!(found, expected);
                }
                from += lengths[example];
            }
        }
    }
}
