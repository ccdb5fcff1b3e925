//! Numbers that look random and are the same every time.

use attention_probes_metrics::Interval;
use attention_probes_report::Estimate;

/// Numbers between 0 and 1 that are the same every time.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn pick(&mut self, n: usize) -> usize {
        ((self.roll() * n as f64) as usize).min(n - 1)
    }

    /// About normal, mean 0, standard deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.roll()).sum::<f64>() - 6.0
    }
}

pub(crate) fn interval(value: f64, half: f64) -> Estimate {
    let interval =
        Interval { lower: (value - half).max(0.0), upper: (value + half).min(1.0), level: 0.95 };
    Estimate { value, interval: Some(interval) }
}
