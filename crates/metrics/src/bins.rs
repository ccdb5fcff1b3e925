//! Bins: how a range of values is cut up.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::{MetricError, check};

/// How probabilities are cut into bins, and into how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// Bin `b` of `n` holds the probabilities in `(b/n, (b+1)/n]`, the first also 0.
    EqualWidth(usize),
    /// Bin `b` of `n` holds the `b`-th of `n` equal shares of the sorted values; equal values
    /// share the bin of the first of them.
    EqualMass(usize),
}

impl Binning {
    /// Bin of each probability.
    pub(crate) fn bins(self, probabilities: &[f64]) -> Result<Vec<usize>, MetricError> {
        match self {
            Self::EqualWidth(n_bins) => {
                check::at_least_one("n_bins", n_bins)?;
                let bin = |p: &f64| ((p * n_bins as f64).ceil() as usize).clamp(1, n_bins) - 1;
                Ok(probabilities.iter().map(bin).collect())
            }
            Self::EqualMass(n_bins) => {
                check::at_least_one("n_bins", n_bins)?;
                Ok(equal_mass_bins(probabilities, n_bins))
            }
        }
    }
}

/// Bin `⌊r n_bins / n⌋` of each value, `r` being the number of smaller values.
pub(crate) fn equal_mass_bins<T: Copy + PartialOrd>(values: &[T], n_bins: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].partial_cmp(&values[j]).unwrap_or(Ordering::Equal));
    let mut bins = vec![0; values.len()];
    let mut n_smaller = 0;
    for (rank, &i) in order.iter().enumerate() {
        if values[i] > values[order[n_smaller]] {
            n_smaller = rank;
        }
        bins[i] = (n_smaller as u128 * n_bins as u128 / values.len() as u128) as usize;
    }
    bins
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bins_of_equal_width_are_open_below() {
        let bins = Binning::EqualWidth(4).bins(&[0.0, 0.25, 0.26, 0.5, 1.0]).unwrap();
        assert_eq!(bins, [0, 0, 1, 1, 3]);
    }

    #[test]
    fn bins_of_equal_mass_keep_equal_values_together() {
        let bins = Binning::EqualMass(3).bins(&[0.1, 0.9, 0.2, 0.4, 0.4, 0.5]).unwrap();
        assert_eq!(bins, [0, 2, 0, 1, 1, 2]);
        assert_eq!(Binning::EqualMass(3).bins(&[0.4; 5]).unwrap(), [0; 5]);
        assert!(Binning::EqualMass(0).bins(&[0.4]).is_err());
    }

    proptest! {
        #[test]
        fn a_bin_counts_the_smaller_values(
            values in prop::collection::vec(0_usize..20, 1..40),
            n_bins in 1_usize..30,
        ) {
            for (value, bin) in values.iter().zip(equal_mass_bins(&values, n_bins)) {
                let n_smaller = values.iter().filter(|other| *other < value).count();
                prop_assert_eq!(bin, n_smaller * n_bins / values.len());
            }
        }
    }
}
