//! One setting of a grid.

/// One setting: what tells a probe of a stack from its neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Step size.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Seed of the initial weights.
    pub seed: u64,
}

/// A number rounded to the three digits that file names have.
pub(crate) fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// The different learning rates of some trials, ascending.
pub(crate) fn rates_of(trials: &[Trial]) -> Vec<f64> {
    let mut rates: Vec<f64> = trials.iter().map(|trial| trial.learning_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    rates
}
