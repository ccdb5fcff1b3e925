//! What tokens add to the logits of an attention probe.

use attention_probes_kernels::dot_in_f64 as dot;

use crate::kinds::contribution::per_token;
use crate::kinds::{ProbeSize, TextReading, TokenContributions};

/// One direction for each head and logit, `[n_heads, n_out, d_model]`, weighed by the pattern.
pub(super) struct WeighedShares<'a> {
    pub(super) values: &'a [f32],
    pub(super) size: ProbeSize,
}

impl TokenContributions for WeighedShares<'_> {
    fn of_text(&self, text: TextReading<'_>) -> Option<Vec<Vec<f32>>> {
        let heads = text.pattern?;
        let ProbeSize { d_model, n_out } = self.size;
        let token = |p: usize| &text.rows[p * d_model..(p + 1) * d_model];
        let of_logit = |p: usize, logit: usize| {
            let of_head = |(head, pattern): (usize, &&[f32])| {
                let direction = &self.values[(head * n_out + logit) * d_model..][..d_model];
                f64::from(pattern[p]) * dot(direction, token(p))
            };
            heads.iter().enumerate().map(of_head).sum::<f64>() as f32
        };
        Some(per_token(text.rows.len() / d_model, n_out, of_logit))
    }
}
