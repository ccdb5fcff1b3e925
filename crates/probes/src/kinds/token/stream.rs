//! Token probes: of each class the few numbers that its aggregation needs.

use super::Aggregation;
use crate::ProbeState;
use crate::streaming::{Ring, Rows, StreamKind};

#[derive(Clone, Debug)]
pub(super) struct TokenStream {
    rows: Rows,
    aggregation: Aggregation,
    scores: Vec<Scores>,
}

impl TokenStream {
    pub(super) fn new(aggregation: Aggregation, n_out: usize, state: &ProbeState) -> Self {
        let n_kept = match aggregation {
            Aggregation::TopMean { k } => k,
            Aggregation::RollingMax { window } => window,
            Aggregation::Softmax { .. } | Aggregation::Ema { .. } => 1,
        };
        let scores = Scores { ring: Ring::new(n_kept), highest: 0.0, first: 0.0, second: 0.0 };
        Self {
            rows: Rows::new(state, "weight", Some("bias")),
            aggregation,
            scores: vec![scores; n_out],
        }
    }
}

impl StreamKind for TokenStream {
    fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        for (row, (state, logit)) in self.scores.iter_mut().zip(logits).enumerate() {
            let score = self.rows.product(row, x);
            *logit = state.push(self.aggregation, score, position) as f32;
        }
    }

    fn boxed_clone(&self) -> Box<dyn StreamKind> {
        Box::new(self.clone())
    }
}

impl Scores {
    /// Aggregate of all scores up to this one.
    fn push(&mut self, aggregation: Aggregation, score: f64, position: usize) -> f64 {
        let is_first = position == 0;
        match aggregation {
            Aggregation::Softmax { temperature } => {
                let highest = if is_first { score } else { self.highest.max(score) };
                let kept =
                    if is_first { 0.0 } else { ((self.highest - highest) / temperature).exp() };
                let weight = ((score - highest) / temperature).exp();
                self.highest = highest;
                // Without this, what an earlier text left would survive as 0 times infinity.
                let (first, second) = if is_first { (0.0, 0.0) } else { (self.first, self.second) };
                self.first = first * kept + weight;
                self.second = second * kept + weight * score;
                self.second / self.first
            }
            Aggregation::TopMean { k } => {
                if position < k {
                    self.ring.push(position, score);
                } else if let Some(lowest) =
                    self.ring.values.iter_mut().min_by(|a, b| a.total_cmp(b))
                {
                    *lowest = lowest.max(score);
                }
                mean(&self.ring.values[..k.min(position + 1)])
            }
            Aggregation::RollingMax { window } => {
                let mean = mean(self.ring.push(position, score));
                // Up to the first whole window, the mean is of all tokens.
                self.highest = if position < window { mean } else { self.highest.max(mean) };
                self.highest
            }
            Aggregation::Ema { alpha } => {
                self.first =
                    if is_first { score } else { alpha * score + (1.0 - alpha) * self.first };
                self.highest = if is_first { score } else { self.highest.max(self.first) };
                self.highest
            }
        }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// State of one class of a token probe.
#[derive(Clone, Debug)]
struct Scores {
    /// Recent or highest scores, where the aggregation needs them.
    ring: Ring,
    /// Highest score or average so far.
    highest: f64,
    /// The moving average, or the sum of weights.
    first: f64,
    /// The weighted sum of scores.
    second: f64,
}
