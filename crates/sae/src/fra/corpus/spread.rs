//! How the values of pairs differ from text to text.

use std::collections::BTreeMap;

/// How the values of pairs differ from text to text, on some texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FraSpreads {
    /// Number of texts that were looked at.
    pub(super) n_texts: usize,
    /// By head, feature at the query, and feature at the key.
    pub(super) pairs: BTreeMap<(usize, u32, u32), Spread>,
}

impl FraSpreads {
    /// Number of texts that were looked at.
    pub fn n_texts(&self) -> usize {
        self.n_texts
    }

    pub(super) fn of_pair(&self, head: usize, query: u32, key: u32) -> Option<&Spread> {
        self.pairs.get(&(head, query, key))
    }
}

/// What each text adds to a pair beyond its means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spread {
    /// Texts in which the pair occurs.
    pub(super) n_present: usize,
    /// `Σ value - mean count` of each text.
    pub(super) signed: Residuals,
    /// `Σ |value| - shrunk_mean count`, which do not add up to 0 over all texts.
    pub(super) magnitudes: Residuals,
}

/// Sum and sum of squares of a number of each text.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Residuals {
    sum: f64,
    squares: f64,
}

impl Residuals {
    pub(super) fn add(&mut self, residual: f64) {
        self.sum += residual;
        self.squares += residual * residual;
    }

    /// Sum of squares about their mean over `n` texts, of which those without the pair have 0.
    pub(super) fn about_mean(self, n: usize) -> f64 {
        (self.squares - self.sum * self.sum / n.max(1) as f64).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_metrics::ClusteredRatio;

    use super::*;

    #[test]
    fn how_often_a_pair_occurs_is_uncertain_too() {
        // The same value once in each of 20 of 1000 texts: its mean is sure, but not the shrunk one,
        // which depends on how many texts have it.
        let (n, n_present, prior) = (1000, 20, 20.0);
        let value = 0.5;
        let (mut plain, mut shrunk) = (Residuals::default(), Residuals::default());
        let shrunk_mean = value * 20.0 / (20.0 + prior);
        for _ in 0..n_present {
            plain.add(0.0);
            shrunk.add(value - shrunk_mean);
        }
        assert!(plain.about_mean(n) <= 0.0);
        let ratio = ClusteredRatio {
            value: shrunk_mean,
            denominator: 20.0 + prior,
            n_clusters: n,
            n_sampled: n,
            n_present,
            squares: shrunk.about_mean(n),
        };
        // As many texts as a binomial draw of 20 of 1000 has, each of which moves it by 0.25 / 40.
        let deviation = (1000.0_f64 * 0.02 * 0.98).sqrt() * 0.25 / 40.0;
        let interval = ratio.interval(0.95).unwrap();
        let half = (interval.upper - interval.lower) / 2.0;
        assert!((half / deviation - 2.093).abs() < 0.01, "{}", half / deviation);
    }
}
