//! A number with its uncertainty.

use attention_probes_metrics::Interval;
use serde::{Deserialize, Serialize};

/// A number and, where it is known, its confidence interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number; NaN where it is undefined.
    pub value: f64,
    /// Its confidence interval.
    pub interval: Option<Interval>,
}

impl From<f64> for Estimate {
    fn from(value: f64) -> Self {
        Self { value, interval: None }
    }
}

impl From<(f64, Interval)> for Estimate {
    fn from((value, interval): (f64, Interval)) -> Self {
        Self { value, interval: Some(interval) }
    }
}
