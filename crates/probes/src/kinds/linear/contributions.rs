//! What tokens add to the logits of a linear probe.

use attention_probes_kernels::dot_in_f64 as dot;

use crate::Pool;
use crate::kinds::contribution::per_token;
use crate::kinds::{ProbeSize, TextReading, TokenContributions};

/// One direction for each logit, `[n_out, d_model]`, on pooled activations.
pub(super) struct PooledShares<'a> {
    pub(super) weight: &'a [f32],
    pub(super) pool: Pool,
    pub(super) size: ProbeSize,
}

impl TokenContributions for PooledShares<'_> {
    fn of_text(&self, text: TextReading<'_>) -> Option<Vec<Vec<f32>>> {
        let ProbeSize { d_model, n_out } = self.size;
        let n_tokens = text.rows.len() / d_model;
        let token = |p: usize| &text.rows[p * d_model..(p + 1) * d_model];
        let direction = |logit: usize| &self.weight[logit * d_model..][..d_model];
        Some(match self.pool {
            Pool::Mean => per_token(n_tokens, n_out, |p, logit| {
                (dot(direction(logit), token(p)) / n_tokens as f64) as f32
            }),
            Pool::Last => per_token(n_tokens, n_out, |p, logit| {
                if p + 1 == n_tokens { dot(direction(logit), token(p)) as f32 } else { 0.0 }
            }),
            Pool::Max | Pool::AbsMax => {
                let size = |value: f32| if self.pool == Pool::Max { value } else { value.abs() };
                // The token that each dimension is taken from, the first on a tie.
                let first_largest = |d: usize| {
                    (0..n_tokens).fold(0, |best, p| {
                        if size(token(p)[d]) > size(token(best)[d]) { p } else { best }
                    })
                };
                let chosen: Vec<usize> = (0..d_model).map(first_largest).collect();
                per_token(n_tokens, n_out, |p, logit| {
                    let dimensions = (0..d_model).filter(|&d| chosen[d] == p);
                    let direction = direction(logit);
                    dimensions
                        .map(|d| f64::from(direction[d]) * f64::from(token(p)[d]))
                        .sum::<f64>() as f32
                })
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contributions_of_every_pool_add_up_to_the_logit() {
        let rows = [1.0, -4.0, 3.0, 2.0, 3.0, 0.5]; // three tokens, two wide
        let weight = [2.0, 10.0];
        let size = ProbeSize { d_model: 2, n_out: 1 };
        // The pooled vectors are (7/3, -1/2), (3, 0.5), (3, 2), and (3, -4).
        for (pool, logit) in
            [(Pool::Mean, -1.0 / 3.0), (Pool::Last, 11.0), (Pool::Max, 26.0), (Pool::AbsMax, -34.0)]
        {
            let shares = PooledShares { weight: &weight, pool, size };
            let scores = shares.of_text(TextReading { rows: &rows, pattern: None }).unwrap();
            let sum: f32 = scores.iter().map(|score| score[0]).sum();
            assert!((sum - logit).abs() < 1e-5, "{pool:?}: {scores:?}");
        }
    }
}
