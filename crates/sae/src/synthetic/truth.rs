//! Features that are known because they were drawn, and activations made of them.

use attention_probes_errors::ValueError;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::{SaeError, SparseCodes};

/// How known features fire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SyntheticConfig {
    /// Number of features.
    pub n_features: usize,
    /// Width of the activations.
    pub d_in: usize,
    /// Features that fire at a time on average, but for what the hierarchy takes away.
    pub mean_l0: f64,
    /// Feature `i` fires in proportion to `(i + 1)^-exponent`: 0 for all alike, 1 for Zipf's law.
    pub zipf_exponent: f64,
    /// How many of the rarest features fire only when their parent does, one of the most frequent.
    pub n_children: usize,
    /// Features in a row that belong together; 0 or 1 for none.
    pub group_size: usize,
    /// Probability with which a feature takes its group's draw instead of its own.
    pub correlation: f64,
    /// Standard deviation of how strongly a feature fires; 1 is the mean.
    pub magnitude_deviation: f64,
    /// Standard deviation of the noise in each place of the activation.
    pub noise: f64,
}

impl Default for SyntheticConfig {
    fn default() -> Self {
        Self {
            n_features: 64,
            d_in: 32,
            mean_l0: 3.0,
            zipf_exponent: 0.5,
            n_children: 8,
            group_size: 4,
            correlation: 0.1,
            magnitude_deviation: 0.2,
            noise: 0.01,
        }
    }
}

/// Features with known directions.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticTruth {
    config: SyntheticConfig,
    /// `[n_features, d_in]`, each of norm 1.
    directions: Vec<f32>,
    /// How often each feature would fire without a parent.
    probabilities: Vec<f64>,
}

/// Activations, and the features that they were made of.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticSample {
    /// `[n, d_in]`
    pub activations: Vec<f32>,
    /// The features that fired, with their strengths, `[n, n_features]`.
    pub codes: SparseCodes,
}

impl SyntheticTruth {
    /// Draws directions, independent and of norm 1.
    ///
    /// # Errors
    ///
    /// [`SaeError::Hyperparameter`] if a field of the config is out of range.
    pub fn new(config: SyntheticConfig, seed: u64) -> Result<Self, SaeError> {
        config.check()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut directions: Vec<f32> =
            (0..config.n_features * config.d_in).map(|_| StandardNormal.sample(&mut rng)).collect();
        for row in directions.chunks_exact_mut(config.d_in) {
            let norm = row.iter().map(|w| w * w).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
            for w in row {
                *w /= norm;
            }
        }
        let weights: Vec<f64> =
            (1..=config.n_features).map(|i| (i as f64).powf(-config.zipf_exponent)).collect();
        let scale = config.mean_l0 / weights.iter().sum::<f64>();
        let probabilities = weights.into_iter().map(|weight| (weight * scale).min(1.0)).collect();
        Ok(Self { config, directions, probabilities })
    }

    /// Direction of every feature, `[n_features, d_in]`, each of norm 1.
    pub fn directions(&self) -> &[f32] {
        &self.directions
    }

    /// The config.
    pub fn config(&self) -> &SyntheticConfig {
        &self.config
    }

    /// The feature without which another does not fire, if there is one.
    pub fn parent(&self, feature: usize) -> Option<usize> {
        let SyntheticConfig { n_features, n_children, .. } = self.config;
        let from_last = n_features.checked_sub(feature + 1)?;
        (from_last < n_children).then_some(from_last)
    }

    /// Draws activations.
    ///
    /// ```text
    /// x = Σ_i a_i direction_i + noise,   a_i = max(1 + deviation N(0, 1), 0) where i fires
    /// ```
    ///
    /// One seed gives the same bits on every platform.
    ///
    /// # Memory
    ///
    /// `n d_in` numbers, and the features that fire.
    pub fn sample(&self, n: usize, seed: u64) -> SyntheticSample {
        let SyntheticConfig { d_in, n_features, group_size, correlation, .. } = self.config;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let normal = |rng: &mut ChaCha8Rng| -> f64 { StandardNormal.sample(rng) };
        let mut activations = vec![0.0_f32; n * d_in];
        let mut codes = SparseCodes::new(n_features);
        let mut fires = vec![false; n_features];
        for x in activations.chunks_exact_mut(d_in) {
            let mut of_group = 0.0;
            let mut row = Vec::new();
            for feature in 0..n_features {
                if feature.is_multiple_of(group_size.max(1)) {
                    of_group = rng.random::<f64>();
                }
                let own = rng.random::<f64>();
                let takes_group = group_size > 1 && rng.random::<f64>() < correlation;
                let draw = if takes_group { of_group } else { own };
                let parent = self.parent(feature);
                // Given the parent, so that a child fires as often as it would without.
                let given = parent.map_or(1.0, |parent| self.probabilities[parent]);
                fires[feature] = draw * given < self.probabilities[feature]
                    && parent.is_none_or(|parent| fires[parent]);
                if fires[feature] {
                    let strength = 1.0 + self.config.magnitude_deviation * normal(&mut rng);
                    row.push((feature as u32, strength.max(0.0) as f32));
                }
            }
            for (feature, strength) in &row {
                let direction = &self.directions[*feature as usize * d_in..][..d_in];
                for (x, d) in x.iter_mut().zip(direction) {
                    *x += strength * d;
                }
            }
            for x in x {
                *x += (self.config.noise * normal(&mut rng)) as f32;
            }
            codes.push_row(row);
        }
        SyntheticSample { activations, codes }
    }
}

impl SyntheticConfig {
    /// Checks every field.
    fn check(&self) -> Result<(), SaeError> {
        let from_0 = |value: f64| value >= 0.0 && value.is_finite();
        let n = self.n_features as f64;
        let checks = [
            ("n_features", n, (1..1 << 24).contains(&self.n_features), "from 1 to 2^24"),
            ("d_in", self.d_in as f64, (1..1 << 24).contains(&self.d_in), "from 1 to 2^24"),
            ("mean_l0", self.mean_l0, from_0(self.mean_l0), "a finite number from 0 on"),
            (
                "zipf_exponent",
                self.zipf_exponent,
                from_0(self.zipf_exponent),
                "a finite number from 0 on",
            ),
            (
                "n_children",
                self.n_children as f64,
                self.n_children <= self.n_features / 2,
                "at most half of the features",
            ),
            (
                "correlation",
                self.correlation,
                (0.0..=1.0).contains(&self.correlation),
                "from 0 to 1",
            ),
            (
                "magnitude_deviation",
                self.magnitude_deviation,
                from_0(self.magnitude_deviation),
                "a finite number from 0 on",
            ),
            ("noise", self.noise, from_0(self.noise), "a finite number from 0 on"),
        ];
        match checks.into_iter().find(|(_, _, is_right, _)| !is_right) {
            Some((name, value, _, expected)) => Err(ValueError::new(name, value, expected).into()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(config: SyntheticConfig) -> (SyntheticTruth, SyntheticSample, Vec<f64>) {
        let truth = SyntheticTruth::new(config, 1).unwrap();
        let sample = truth.sample(20_000, 2);
        let mut counts = vec![0.0; config.n_features];
        for (features, _) in sample.codes.rows() {
            for feature in features {
                counts[*feature as usize] += 1.0 / 20_000.0;
            }
        }
        (truth, sample, counts)
    }

    #[test]
    fn features_fire_as_often_as_they_should() {
        let config =
            SyntheticConfig { n_features: 8, mean_l0: 2.0, n_children: 2, ..Default::default() };
        let (truth, _, rates) = rates(config);
        for (rate, expected) in rates.iter().zip(&truth.probabilities) {
            assert!((rate - expected).abs() < 0.02, "{rate} {expected}");
        }
        assert!((rates.iter().sum::<f64>() - 2.0).abs() < 0.05);
        assert!(rates[0] > 2.0 * rates[7]);
    }

    #[test]
    fn a_child_fires_with_its_parent_only() {
        let (truth, sample, rates) =
            rates(SyntheticConfig { n_features: 10, n_children: 3, ..Default::default() });
        assert_eq!((truth.parent(9), truth.parent(7), truth.parent(6)), (Some(0), Some(2), None));
        for (features, _) in sample.codes.rows() {
            for parent in features.iter().filter_map(|child| truth.parent(*child as usize)) {
                assert!(features.contains(&(parent as u32)));
            }
        }
        assert!(rates[9] > 0.0);
    }

    #[test]
    fn groups_fire_together_more_often_than_chance() {
        let together = |correlation| {
            let config = SyntheticConfig { n_children: 0, correlation, ..Default::default() };
            let (_, sample, rates) = rates(config);
            let both =
                sample.codes.rows().filter(|(f, _)| f.contains(&1) && f.contains(&2)).count();
            both as f64 / 20_000.0 / (rates[1] * rates[2])
        };
        assert!((together(0.0) - 1.0).abs() < 0.2);
        assert!(together(0.8) > 2.0);
    }

    #[test]
    fn activations_are_sums_of_directions() {
        let config = SyntheticConfig { noise: 0.0, ..Default::default() };
        let truth = SyntheticTruth::new(config, 3).unwrap();
        let sample = truth.sample(5, 4);
        for (x, (features, strengths)) in
            sample.activations.chunks_exact(32).zip(sample.codes.rows())
        {
            let mut sum = vec![0.0_f32; 32];
            for (feature, strength) in features.iter().zip(strengths) {
                let direction = &truth.directions()[*feature as usize * 32..][..32];
                sum.iter_mut().zip(direction).for_each(|(sum, d)| *sum += strength * d);
            }
            assert_eq!(x, sum);
        }
        assert_eq!(truth.sample(5, 4), sample);
    }

    #[test]
    fn a_config_out_of_range_is_refused() {
        let error =
            SyntheticTruth::new(SyntheticConfig { n_children: 40, ..Default::default() }, 0);
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "`n_children` is 40, expected at most half of the features");
    }
}
