//! The baseline: an interpolated 5-gram model with Kneser-Ney smoothing.
//!
//! Chen and Goodman, "An empirical study of smoothing techniques for language modeling" (1999),
//! equations 23 to 26: one discount per order, lower orders counted by distinct left contexts.

use std::collections::HashMap;

/// Longest history is one token shorter.
const ORDER: usize = 5;

/// Counts of one order: continuation counts by history and next token.
#[derive(Default)]
struct Level {
    counts: HashMap<u64, u32>,
    totals: HashMap<u64, (u64, u32)>,
    discount: f64,
}

/// An interpolated Kneser-Ney model over token ids below 4096.
pub(crate) struct NGram {
    levels: Vec<Level>,
    d_vocab: usize,
}

/// Packs up to five ids of 12 bits; the leading 1 tells lengths apart.
fn pack(ids: &[u32]) -> u64 {
    ids.iter().fold(1, |key, id| (key << 12) | u64::from(*id))
}

impl NGram {
    /// Counts every n-gram of `ids`.
    pub(crate) fn new(ids: &[u32], d_vocab: usize) -> Self {
        let mut levels: Vec<Level> = (0..ORDER).map(|_| Level::default()).collect();
        // Raw counts at the highest order; below it, the number of distinct left neighbours.
        for gram in ids.windows(ORDER) {
            *levels[ORDER - 1].counts.entry(pack(gram)).or_default() += 1;
        }
        for order in (1..ORDER).rev() {
            let mut seen: std::collections::HashSet<u64> = std::collections::HashSet::new();
            for gram in ids.windows(order + 1) {
                if seen.insert(pack(gram)) {
                    *levels[order - 1].counts.entry(pack(&gram[1..])).or_default() += 1;
                }
            }
        }
        for level in &mut levels {
            let (mut once, mut twice) = (0_u64, 0_u64);
            for (gram, count) in &level.counts {
                let total = level.totals.entry(gram >> 12).or_default();
                total.0 += u64::from(*count);
                total.1 += 1;
                once += u64::from(*count == 1);
                twice += u64::from(*count == 2);
            }
            level.discount = once as f64 / (once + 2 * twice).max(1) as f64;
        }
        Self { levels, d_vocab }
    }

    /// Probability of `next` after `history`.
    pub(crate) fn probability(&self, history: &[u32], next: u32) -> f64 {
        let mut probability = 1.0 / self.d_vocab as f64;
        for (n, level) in self.levels.iter().enumerate().take(history.len() + 1) {
            let context = &history[history.len() - n..];
            let key = pack(context);
            let Some(&(total, distinct)) = level.totals.get(&key) else { break };
            let gram = (key << 12) | u64::from(next);
            let count = f64::from(level.counts.get(&gram).copied().unwrap_or(0));
            let kept = (count - level.discount).max(0.0);
            let backoff = level.discount * f64::from(distinct);
            probability = (kept + backoff * probability) / total as f64;
        }
        probability
    }

    /// Mean negative log-likelihood per token, each token seen with up to four before it.
    pub(crate) fn loss_nats(&self, ids: &[u32]) -> f64 {
        let losses = (1..ids.len())
            .map(|i| -self.probability(&ids[i.saturating_sub(ORDER - 1)..i], ids[i]).ln());
        losses.sum::<f64>() / (ids.len() - 1) as f64
    }
}
