//! Rolling attention probes token by token: scores and values of the last `window` tokens.

use super::RollingAttention;
use crate::ProbeState;
use crate::streaming::{Ring, Rows, StreamKind};

/// How far a score may be from the reference of its head before weights are taken anew: `e^±300`
/// is well within the range of `f64`.
const MAX_DISTANCE: f64 = 300.0;

#[derive(Clone, Debug)]
pub(super) struct RollingAttentionStream {
    queries: Rows,
    values: Rows,
    biases: Vec<f32>,
    n_out: usize,
    window: usize,
    recent: Vec<RecentScores>,
    recent_values: Vec<Ring>,
    highest: Vec<f64>,
}

/// Scores of one head over the window, and their weights.
#[derive(Clone, Debug)]
struct RecentScores {
    scores: Ring,
    /// `exp(score - reference)`, so that one exponential a token is enough.
    weights: Ring,
    reference: f64,
}

impl RecentScores {
    fn new(window: usize) -> Self {
        Self { scores: Ring::new(window), weights: Ring::new(window), reference: 0.0 }
    }

    /// Puts in the score of a position and returns the weights of the window.
    fn push(&mut self, position: usize, score: f64) -> &[f64] {
        let scores = self.scores.push(position, score);
        if position == 0 || (score - self.reference).abs() > MAX_DISTANCE {
            self.reference = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            for (weight, score) in self.weights.values.iter_mut().zip(scores) {
                *weight = (score - self.reference).exp();
            }
        }
        self.weights.push(position, (score - self.reference).exp())
    }
}

impl RollingAttentionStream {
    pub(super) fn new(kind: &RollingAttention, n_out: usize, state: &ProbeState) -> Self {
        let RollingAttention { n_heads, window } = *kind;
        Self {
            queries: Rows::new(state, "q.weight", None),
            values: Rows::new(state, "v.weight", None),
            biases: state["bias"].values.clone(),
            n_out,
            window,
            recent: vec![RecentScores::new(window); n_heads],
            recent_values: vec![Ring::new(window); n_heads * n_out],
            highest: vec![0.0; n_out],
        }
    }
}

impl StreamKind for RollingAttentionStream {
    fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        for (head, recent) in self.recent.iter_mut().enumerate() {
            recent.push(position, self.queries.product(head, x));
        }
        for (row, ring) in self.recent_values.iter_mut().enumerate() {
            ring.push(position, self.values.product(row, x));
        }
        let n_kept = self.window.min(position + 1);
        for (class, logit) in logits.iter_mut().enumerate() {
            let of_head = |(head, recent): (usize, &RecentScores)| {
                let weights = &recent.weights.values[..n_kept];
                let values = &self.recent_values[head * self.n_out + class].values[..n_kept];
                let (total, sum) =
                    weights.iter().zip(values).fold((0.0, 0.0), |(total, sum), (weight, value)| {
                        (total + weight, sum + weight * value)
                    });
                sum / total
            };
            let mean: f64 = self.recent.iter().enumerate().map(of_head).sum();
            let highest = &mut self.highest[class];
            *highest = if position < self.window { mean } else { highest.max(mean) };
            *logit = (*highest + f64::from(self.biases[class])) as f32;
        }
    }

    fn boxed_clone(&self) -> Box<dyn StreamKind> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_a_window_are_right_however_far_scores_jump() {
        let scores = [0.0, 5.0, 800.0, 799.0, -900.0, -901.0, -899.0, -898.5, 1e4, -1e4, -1e4];
        let mut recent = RecentScores::new(3);
        for (position, &score) in scores.iter().enumerate() {
            let weights = recent.push(position, score);
            let mean = weights.iter().sum::<f64>();
            let window = &scores[(position + 1).saturating_sub(3)..=position];
            let highest = window.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let expected: f64 = window.iter().map(|score| (score - highest).exp()).sum();
            // What the newest token weighs among those of the window.
            let newest = (score - recent.reference).exp() / mean;
            approx::assert_relative_eq!(
                newest,
                (score - highest).exp() / expected,
                max_relative = 1e-12
            );
        }
    }
}
