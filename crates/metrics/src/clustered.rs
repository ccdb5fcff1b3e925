//! The interval of a ratio of sums over clusters, such as texts, whose members are alike.

use crate::Interval;
use crate::distribution::t_half_width;

/// Sums over some of the independent clusters, such as texts, that a ratio is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusteredRatio {
    /// The ratio `Σ a / Σ b` over all clusters.
    pub value: f64,
    /// `Σ b` over all clusters.
    pub denominator: f64,
    /// Number of all clusters.
    pub n_clusters: usize,
    /// Number of those that were looked at, which stand for the others.
    pub n_sampled: usize,
    /// How many of these have any part in the ratio.
    pub n_present: usize,
    /// `Σ (a - value b)²` over those that were looked at.
    pub squares: f64,
}

impl ClusteredRatio {
    /// Student's interval of the ratio, by linearisation (Cochran, *Sampling Techniques*, 1977,
    /// chapter 6); with all `b = 1` that of a mean.
    ///
    /// ```text
    /// value ± t sqrt(n_clusters s²) / Σ b,   s² = Σ (a - value b)² / (n_sampled - 1)
    /// ```
    ///
    /// `t` has `n_present - 1` degrees of freedom, because clusters without a part say little of how
    /// the others differ. `None` if fewer than two have one.
    pub fn interval(&self, level: f64) -> Option<Interval> {
        if self.n_present < 2 || self.denominator <= 0.0 || !(0.0..1.0).contains(&level) {
            return None;
        }
        let variance = self.squares / (self.n_sampled as f64 - 1.0);
        let error = (self.n_clusters as f64 * variance).sqrt() / self.denominator;
        let half = t_half_width(level, self.n_present as f64 - 1.0) * error;
        Some(Interval { lower: self.value - half, upper: self.value + half, level })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeedSummary;

    /// A ratio of `(a, b)` over clusters, of which some were looked at.
    fn ratio(clusters: &[(f64, f64)], n_sampled: usize) -> ClusteredRatio {
        let denominator: f64 = clusters.iter().map(|(_, b)| b).sum();
        let value = clusters.iter().map(|(a, _)| a).sum::<f64>() / denominator;
        let sampled = &clusters[..n_sampled];
        ClusteredRatio {
            value,
            denominator,
            n_clusters: clusters.len(),
            n_sampled,
            n_present: sampled.iter().filter(|(_, b)| *b > 0.0).count(),
            squares: sampled.iter().map(|(a, b)| (a - value * b).powi(2)).sum(),
        }
    }

    #[test]
    fn with_equal_clusters_it_is_the_interval_of_a_mean() {
        let values = [1.0, 4.0, 2.5, 3.0];
        let clusters = values.map(|a| (a, 1.0));
        let found = ratio(&clusters, 4).interval(0.95).unwrap();
        let expected = SeedSummary::new(&values, 0.95).unwrap().interval;
        approx::assert_relative_eq!(found.lower, expected.lower, max_relative = 1e-12);
        approx::assert_relative_eq!(found.upper, expected.upper, max_relative = 1e-12);
    }

    #[test]
    fn looking_at_some_of_like_clusters_says_the_same() {
        let clusters: Vec<(f64, f64)> =
            (0..400).map(|i| (f64::from(i % 4), f64::from(i % 2 + 1))).collect();
        let all = ratio(&clusters, 400).interval(0.95).unwrap();
        let some = ratio(&clusters, 100).interval(0.95).unwrap();
        approx::assert_relative_eq!(
            all.upper - all.lower,
            some.upper - some.lower,
            max_relative = 0.02
        );
    }

    #[test]
    fn one_cluster_says_nothing() {
        assert_eq!(ratio(&[(1.0, 2.0), (0.0, 0.0), (0.0, 0.0)], 3).interval(0.95), None);
    }
}
