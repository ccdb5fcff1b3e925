//! How much a head attends to where an induction head looks.

use attention_probes_metrics::{Interval, SeedSummary};

/// Level of the interval.
const LEVEL: f64 = 0.95;

/// Texts beyond which Student's distribution is that of so many: the normal one within 2e-4.
const MAX_TEXTS: u64 = 10_000;

/// Attention to the token behind the last earlier occurrence of the query's, summed over texts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct InductionSums {
    /// Texts with such a place.
    pub(super) n_texts: u64,
    /// Queries that have such a place.
    pub(super) n: u64,
    /// Attention of those queries.
    pub(super) sum: f64,
    /// Over texts the sum of the squared number of such queries,
    pub(super) n_squared: f64,
    /// of that number times their attention,
    pub(super) n_sum: f64,
    /// and of their squared attention.
    pub(super) sum_squared: f64,
}

impl InductionSums {
    /// Adds the queries of one text.
    pub(super) fn add(&mut self, sum: f64, n: u64) {
        if n == 0 {
            return;
        }
        self.n_texts += 1;
        self.n += n;
        self.sum += sum;
        self.n_squared += (n as f64).powi(2);
        self.n_sum += n as f64 * sum;
        self.sum_squared += sum * sum;
    }

    /// Mean over queries.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }

    /// Interval of the mean where texts are drawn, and not queries, which are alike within a text.
    ///
    /// ```text
    /// r ± t √(T / (T - 1) Σ over texts of (sum - r n)²) / Σ n      r = Σ sum / Σ n
    /// ```
    ///
    /// with Student's `t` of `T - 1` degrees of freedom (Cochran, Sampling Techniques, 1977, 6.11).
    pub(super) fn interval(&self) -> Option<Interval> {
        let mean = self.mean()?;
        let t = student_factor(self.n_texts)?;
        let squares = self.sum_squared - 2.0 * mean * self.n_sum + mean * mean * self.n_squared;
        let n_texts = self.n_texts as f64;
        let variance = n_texts / (n_texts - 1.0) * squares.max(0.0);
        let half_width = t * variance.sqrt() / self.n as f64;
        Some(Interval {
            lower: (mean - half_width).max(0.0),
            upper: (mean + half_width).min(1.0),
            level: LEVEL,
        })
    }
}

/// How many standard errors the interval of a mean of so many numbers reaches to each side.
fn student_factor(n: u64) -> Option<f64> {
    let n = n.min(MAX_TEXTS) as usize;
    // A one among zeros has the standard error 1 / n.
    let mut values = vec![0.0; n];
    *values.first_mut()? = 1.0;
    let interval = SeedSummary::new(&values, LEVEL).ok()?.interval;
    Some((interval.upper - interval.lower) / 2.0 * n as f64)
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;

    use super::*;

    #[test]
    fn students_factor_is_the_tabled_one() {
        assert_eq!((student_factor(0), student_factor(1)), (None, None));
        assert_relative_eq!(student_factor(2).unwrap(), 12.706_204_736, max_relative = 1e-9);
        assert_relative_eq!(student_factor(11).unwrap(), 2.228_138_852, max_relative = 1e-9);
        assert_relative_eq!(student_factor(u64::MAX).unwrap(), 1.96, max_relative = 1e-3);
    }

    #[test]
    fn of_texts_as_long_as_each_other_it_is_students_interval_of_their_means() {
        let means = [0.31, 0.25, 0.4, 0.28, 0.33];
        let mut sums = InductionSums::default();
        for mean in means {
            sums.add(7.0 * mean, 7);
            // A text without such a place says nothing.
            sums.add(0.0, 0);
        }
        let expected = SeedSummary::new(&means, LEVEL).unwrap();
        assert_relative_eq!(sums.mean().unwrap(), expected.mean, max_relative = 1e-12);
        let found = sums.interval().unwrap();
        assert_relative_eq!(found.lower, expected.interval.lower, max_relative = 1e-9);
        assert_relative_eq!(found.upper, expected.interval.upper, max_relative = 1e-9);
    }

    #[test]
    fn it_is_the_formula_and_stays_a_share() {
        let texts = [(0.9, 2), (3.5, 9), (0.2, 1), (6.1, 11)];
        let mut sums = InductionSums::default();
        for (sum, n) in texts {
            sums.add(sum, n);
        }
        let mean = 10.7 / 23.0;
        let squares: f64 = texts.iter().map(|(sum, n)| (sum - mean * *n as f64).powi(2)).sum();
        let half_width = 3.182_446_305 * (4.0 / 3.0 * squares).sqrt() / 23.0;
        let found = sums.interval().unwrap();
        assert_relative_eq!(found.lower, mean - half_width, max_relative = 1e-8);
        assert_relative_eq!(found.upper, mean + half_width, max_relative = 1e-8);

        let mut sums = InductionSums::default();
        sums.add(0.0, 1);
        assert_eq!((sums.interval(), sums.mean()), (None, Some(0.0)));
        sums.add(0.9, 1);
        let found = sums.interval().unwrap();
        assert_eq!((found.lower, found.upper), (0.0, 1.0));
        assert_eq!(InductionSums::default().interval(), None);
    }
}
