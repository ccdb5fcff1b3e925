//! Attention probes: of each head the highest score, the sum of weights, and the weighted values.

use super::rows::{Ring, Rows};
use crate::{AttentionActivation, AttentionProbeConfig, ProbeState, n_out};

#[derive(Clone, Debug)]
pub(super) struct Attention {
    queries: Rows,
    values: Rows,
    out: Option<Rows>,
    slopes: Vec<f32>,
    activation: AttentionActivation,
    last_only: bool,
    d_value: usize,
    /// Of each head the highest score so far.
    highest: Vec<f64>,
    /// Of each head the sum of weights.
    totals: Vec<f64>,
    /// Of each head the weighted sum of its values.
    sums: Vec<f64>,
    z: Vec<f32>,
}

impl Attention {
    pub(super) fn new(config: &AttentionProbeConfig, state: &ProbeState) -> Self {
        let values = Rows::new(state, "v.weight", Some("v.bias"));
        let d_value = values.len() / config.n_heads;
        let out = config.hidden_dim.is_some().then(|| Rows::new(state, "o.weight", Some("o.bias")));
        Self {
            queries: Rows::new(state, "q.weight", None),
            out,
            slopes: state["position_weight"].values.clone(),
            activation: config.activation,
            last_only: config.last_only,
            d_value,
            highest: vec![0.0; config.n_heads],
            totals: vec![0.0; config.n_heads],
            sums: vec![0.0; values.len()],
            z: vec![0.0; d_value],
            values,
        }
    }

    /// Adds a token: weights so far shrink where a higher score comes.
    pub(super) fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
        let is_first = position == 0 || self.last_only;
        self.z.fill(0.0);
        for head in 0..self.slopes.len() {
            let slope = f64::from(self.slopes[head]) * position as f64;
            let score = self.queries.product(head, x) + slope;
            let is_softmax = self.activation == AttentionActivation::Softmax;
            let highest = if is_first { score } else { self.highest[head].max(score) };
            let (kept, weight) = match (is_softmax, is_first) {
                (true, true) => (0.0, 1.0),
                (true, false) => ((self.highest[head] - highest).exp(), (score - highest).exp()),
                (false, true) => (0.0, score.tanh()),
                (false, false) => (1.0, score.tanh()),
            };
            self.highest[head] = highest;
            self.totals[head] = if is_first { weight } else { self.totals[head] * kept + weight };
            let scale = if is_softmax { 1.0 / self.totals[head] } else { 1.0 };
            for (column, z) in self.z.iter_mut().enumerate() {
                let row = head * self.d_value + column;
                let sum = &mut self.sums[row];
                let before = if is_first { 0.0 } else { *sum * kept };
                *sum = before + weight * self.values.product(row, x);
                *z += (*sum * scale) as f32;
            }
        }
        match &self.out {
            None => logits.copy_from_slice(&self.z),
            Some(out) => {
                for z in &mut self.z {
                    *z = z.max(0.0);
                }
                for (row, logit) in logits.iter_mut().enumerate() {
                    *logit = out.product(row, &self.z) as f32;
                }
            }
        }
    }
}

/// How far a score may be from the reference of its head before weights are taken anew: `e^±300`
/// is well within the range of `f64`.
const MAX_DISTANCE: f64 = 300.0;

#[derive(Clone, Debug)]
pub(super) struct RollingAttention {
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

impl RollingAttention {
    pub(super) fn new(n_heads: usize, window: usize, n_classes: usize, state: &ProbeState) -> Self {
        let n_out = n_out(n_classes);
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

    pub(super) fn push(&mut self, x: &[f32], position: usize, logits: &mut [f32]) {
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
