//! How often features fire, as a histogram.

use serde::Serialize;

/// Bins of one power of ten.
const PER_DECADE: f64 = 4.0;

/// Features by the logarithm of their density.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct DensityHistogram {
    /// Lower end of each bin as log10 of the density, and its features; no gaps.
    bins: Vec<(f64, usize)>,
    /// Width of a bin.
    width: f64,
    /// Features that never fire.
    n_dead: usize,
    /// Features whose density is no share: not finite, or not between 0 and 1.
    n_unknown: usize,
}

impl DensityHistogram {
    pub(crate) fn new(densities: &[f64]) -> Self {
        let mut histogram = Self { width: 1.0 / PER_DECADE, ..Self::default() };
        let mut bins = Vec::new();
        for &density in densities {
            match density {
                0.0 => histogram.n_dead += 1,
                // A feature that fires on every token belongs into the last bin below 1.
                _ if density > 0.0 && density <= 1.0 => {
                    bins.push((density.log10() * PER_DECADE).floor().min(-1.0) as i64);
                }
                _ => histogram.n_unknown += 1,
            }
        }
        if let (Some(&low), Some(&high)) = (bins.iter().min(), bins.iter().max()) {
            let mut counts = vec![0; (high - low) as usize + 1];
            for bin in bins {
                counts[(bin - low) as usize] += 1;
            }
            let lower = (low..).map(|bin| bin as f64 / PER_DECADE);
            histogram.bins = lower.zip(counts).collect();
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_is_counted_once() {
        let densities = [0.0, 0.0, 1.0, 0.99, 0.1, 0.05, f64::NAN, -0.5, 1.5];
        let histogram = DensityHistogram::new(&densities);
        assert_eq!(histogram.n_dead, 2);
        assert_eq!(histogram.n_unknown, 3);
        let expected = [(-1.5, 1), (-1.25, 0), (-1.0, 1), (-0.75, 0), (-0.5, 0), (-0.25, 2)];
        assert_eq!(histogram.bins, expected);
    }

    #[test]
    fn the_smallest_density_has_a_bin() {
        let histogram = DensityHistogram::new(&[f64::MIN_POSITIVE]);
        assert_eq!(histogram.bins, [(-307.75, 1)]);
        assert_eq!(DensityHistogram::new(&[]).bins, []);
    }
}
