//! Comparison of two probes on the same examples, by a paired bootstrap.

use serde::{Deserialize, Serialize};

use crate::interval::percentile_interval;
use crate::resample::{Recalls, Sampler};
use crate::{Bootstrap, ConfusionMatrix, Interval, MetricError, auroc};

/// How much better the first of two probes is than the second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Metric of the first probe.
    pub first: f64,
    /// Metric of the second probe.
    pub second: f64,
    /// `first - second`.
    pub difference: f64,
    /// Percentile interval of the difference.
    pub interval: Interval,
    /// How often a difference at least as large, to either side, would come about by the choice of
    /// examples alone.
    ///
    /// ```text
    /// p = (1 + #{r : |d_r - d| ≥ |d|}) / (1 + n_resamples)
    /// ```
    ///
    /// With `d_r` the difference on resample `r`: Davison and Hinkley, "Bootstrap methods and
    /// their application" (1997), chapter 4, with the resamples moved to the null hypothesis.
    pub p_value: f64,
    /// Share of the resamples on which the first probe is better.
    pub share_first_wins: f64,
    /// Share of the resamples on which both are equal.
    pub share_equal: f64,
    /// Number of resamples on which the metric is defined: all of them without groups.
    pub n_resamples: usize,
    /// Resamples of groups that lacked a class and were drawn again.
    #[serde(default)]
    pub n_redrawn: usize,
}

/// Compares the balanced accuracy of two probes.
///
/// # Shapes
///
/// - `labels`: `[n]`
/// - `predictions`: `[n]` of each probe
///
/// # Errors
///
/// - [`MetricError::Parameter`] if `n_resamples` is 0, or the level is not between 0 and 1
/// - [`MetricError::TooFew`] if there is only one group
/// - [`MetricError::LabelOutOfRange`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if
///   the slices do not fit
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::{Bootstrap, compare_balanced_accuracy};
///
/// let labels: Vec<usize> = (0..200).map(|i| i % 2).collect();
/// let always_right = labels.clone();
/// let often_right: Vec<usize> = (0..200).map(|i| if i % 5 == 0 { 0 } else { i % 2 }).collect();
/// let config = Bootstrap::default();
/// let result = compare_balanced_accuracy(&labels, [&always_right, &often_right], 2, &config)?;
/// assert!((result.difference - 0.1).abs() < 1e-12);
/// assert!(result.interval.lower > 0.0 && result.p_value < 0.01);
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn compare_balanced_accuracy(
    labels: &[usize],
    predictions: [&[usize]; 2],
    n_classes: usize,
    config: &Bootstrap<'_>,
) -> Result<Comparison, MetricError> {
    let [first, second] = predictions;
    let whole = [
        ConfusionMatrix::new(labels, first, n_classes)?.balanced_accuracy(),
        ConfusionMatrix::new(labels, second, n_classes)?.balanced_accuracy(),
    ];
    let recalls = Recalls::new(labels, predictions, n_classes);
    compare(labels, whole, config, |weights| recalls.balanced_accuracies(weights))
}

/// Compares the area under the ROC curve of two probes.
///
/// With groups, resamples that hold one class only are drawn again, and left out if a class is too
/// rare for that.
///
/// # Shapes
///
/// - `labels`: `[n]`
/// - `scores`: `[n]` of each probe
///
/// # Errors
///
/// - [`MetricError::OneClass`] if the labels are all alike
/// - [`MetricError::Parameter`] if `n_resamples` is 0, or the level is not between 0 and 1
/// - [`MetricError::TooFew`] if there is only one group
/// - [`MetricError::UndefinedStatistic`] if no resample holds both classes
/// - [`MetricError::NotFinite`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if the
///   slices do not fit
pub fn compare_auroc(
    labels: &[bool],
    scores: [&[f64]; 2],
    config: &Bootstrap<'_>,
) -> Result<Comparison, MetricError> {
    let whole = [auroc(scores[0], labels)?, auroc(scores[1], labels)?];
    let sorted = scores.map(Sorted::new);
    let classes: Vec<usize> = labels.iter().map(|&label| usize::from(label)).collect();
    compare(&classes, whole, config, |weights| {
        [sorted[0].auroc(labels, weights), sorted[1].auroc(labels, weights)]
    })
}

/// Draws resamples, and compares the two values of each.
fn compare(
    classes: &[usize],
    whole: [f64; 2],
    config: &Bootstrap<'_>,
    mut statistics: impl FnMut(&[u32]) -> [f64; 2],
) -> Result<Comparison, MetricError> {
    let mut sampler = Sampler::new(classes, config)?;
    let mut weights = vec![0; classes.len()];
    let mut differences = Vec::with_capacity(config.n_resamples);
    for _ in 0..config.n_resamples {
        sampler.draw(&mut weights);
        let [first, second] = statistics(&weights);
        differences.push(first - second);
    }
    differences.retain(|difference| difference.is_finite());

    let n_resamples = differences.len();
    let count = |is_so: &dyn Fn(f64) -> bool| differences.iter().filter(|d| is_so(**d)).count();
    let share = |n: usize| n as f64 / n_resamples as f64;
    let difference = whole[0] - whole[1];
    // Differences of ratios are equal but for rounding.
    let slack = 1e-12;
    let n_extreme = count(&|d| (d - difference).abs() >= difference.abs() - slack);
    let (n_first, n_equal) = (count(&|d| d > slack), count(&|d| d.abs() <= slack));
    if n_resamples == 0 {
        return Err(MetricError::UndefinedStatistic { n_resamples: config.n_resamples });
    }
    Ok(Comparison {
        first: whole[0],
        second: whole[1],
        difference,
        p_value: (1 + n_extreme) as f64 / (1 + n_resamples) as f64,
        share_first_wins: share(n_first),
        share_equal: share(n_equal),
        n_resamples,
        n_redrawn: sampler.n_redrawn,
        interval: percentile_interval(differences, config.level)?,
    })
}

/// Examples by falling score, sorted once for all resamples.
struct Sorted {
    order: Vec<usize>,
    /// Where in `order` each run of equal scores ends.
    ends: Vec<usize>,
}

impl Sorted {
    fn new(scores: &[f64]) -> Self {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_unstable_by(|&i, &j| scores[j].total_cmp(&scores[i]));
        let mut end = 0;
        let ties = order.chunk_by(|&i, &j| scores[i] <= scores[j]);
        let ends = ties
            .map(|tie| {
                end += tie.len();
                end
            })
            .collect();
        Self { order, ends }
    }

    /// [`auroc`] of the examples, each as often as its weight; NaN of one class.
    fn auroc(&self, labels: &[bool], weights: &[u32]) -> f64 {
        let mut twice_in_order: u128 = 0;
        let (mut positives_above, mut n_negatives) = (0_u64, 0_u64);
        let mut start = 0;
        for &end in &self.ends {
            let mut tie = [0_u64; 2];
            for &i in &self.order[start..end] {
                tie[usize::from(labels[i])] += u64::from(weights[i]);
            }
            let [negatives, positives] = tie;
            twice_in_order += u128::from(negatives) * u128::from(2 * positives_above + positives);
            positives_above += positives;
            n_negatives += negatives;
            start = end;
        }
        twice_in_order as f64 / (2.0 * positives_above as f64 * n_negatives as f64)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn config(n_resamples: usize, seed: u64) -> Bootstrap<'static> {
        Bootstrap { n_resamples, seed, ..Bootstrap::default() }
    }

    #[test]
    fn a_probe_is_no_better_than_itself() {
        let labels = [0, 0, 1, 1, 1];
        let predictions = [0, 1, 1, 1, 0];
        let result =
            compare_balanced_accuracy(&labels, [&predictions; 2], 2, &config(100, 1)).unwrap();
        assert_eq!((result.difference, result.p_value), (0.0, 1.0));
        assert_eq!((result.share_first_wins, result.share_equal), (0.0, 1.0));
        assert_eq!((result.interval.lower, result.interval.upper), (0.0, 0.0));
    }

    #[test]
    fn changing_places_changes_the_sign_only() {
        let labels: Vec<bool> = (0..60).map(|i| i % 3 == 0).collect();
        let good: Vec<f64> = (0..60).map(|i| f64::from(i % 3 == 0) + f64::from(i % 7)).collect();
        let bad: Vec<f64> = (0..60).map(|i| f64::from(i % 11)).collect();
        let one = compare_auroc(&labels, [&good, &bad], &config(500, 3)).unwrap();
        let two = compare_auroc(&labels, [&bad, &good], &config(500, 3)).unwrap();
        assert_eq!(one.difference, -two.difference);
        assert_eq!(one.p_value, two.p_value);
        assert!((one.interval.lower + two.interval.upper).abs() < 1e-12);
        assert!(
            (one.share_first_wins + two.share_first_wins + one.share_equal - 1.0).abs() < 1e-12
        );
        assert!(one.p_value >= 1.0 / 501.0);
    }

    #[test]
    fn equal_probes_are_told_apart_as_rarely_as_the_level_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut n_rejected = 0;
        for seed in 0..400 {
            let labels: Vec<usize> = (0..120).map(|i| i % 2).collect();
            let mut noisy = || -> Vec<usize> {
                labels.iter().map(|&l| if rng.random_bool(0.8) { l } else { 1 - l }).collect()
            };
            let (first, second) = (noisy(), noisy());
            let result =
                compare_balanced_accuracy(&labels, [&first, &second], 2, &config(200, seed));
            n_rejected += usize::from(result.unwrap().p_value <= 0.05);
        }
        // 5 % of 400 are 20, with a standard error of 4.4.
        assert!((6..=36).contains(&n_rejected), "{n_rejected}");
    }

    #[test]
    fn copies_of_an_example_add_nothing_once_they_are_grouped() {
        let once_labels: Vec<usize> = (0..40).map(|i| i % 2).collect();
        let once: Vec<usize> =
            (0..40).map(|i| if i % 6 == 0 { 1 - i % 2 } else { i % 2 }).collect();
        let copies = |values: &[usize]| -> Vec<usize> {
            values.iter().flat_map(|value| [*value; 9]).collect()
        };
        let (labels, first) = (copies(&once_labels), copies(&once));
        let groups: Vec<usize> = (0..360).map(|i| i / 9).collect();
        let width = |groups| {
            let config = Bootstrap { groups, ..config(2000, 2) };
            let interval =
                compare_balanced_accuracy(&labels, [&labels, &first], 2, &config).unwrap().interval;
            interval.upper - interval.lower
        };
        let ratio = width(Some(groups.as_slice())) / width(None);
        assert!((2.4..3.6).contains(&ratio), "{ratio}"); // √9
    }

    #[test]
    fn bad_input_is_refused() {
        let scores = [0.1, 0.4, 0.3];
        let labels = [true, false, true];
        let groups = [7; 3];
        let one = Bootstrap { groups: Some(&groups), ..config(10, 1) };
        assert_eq!(
            compare_auroc(&labels, [&scores; 2], &one),
            Err(MetricError::TooFew { name: "groups", n: 1, needed: 2 })
        );
        let short = Bootstrap { groups: Some(&groups[1..]), ..config(10, 1) };
        assert!(compare_auroc(&labels, [&scores; 2], &short).is_err());
        assert!(compare_auroc(&labels, [&scores; 2], &config(0, 1)).is_err());
        assert_eq!(
            compare_auroc(&[true; 3], [&scores; 2], &config(9, 1)),
            Err(MetricError::OneClass)
        );
        assert!(compare_balanced_accuracy(&[0, 1], [&[0, 1], &[0]], 2, &config(9, 1)).is_err());
        assert!(compare_balanced_accuracy(&[0, 2], [&[0, 1]; 2], 2, &config(9, 1)).is_err());
    }

    proptest! {
        #[test]
        fn weights_give_what_the_resample_itself_gives(
            examples in prop::collection::vec((0_usize..2, 0_i32..6, 0_i32..6, 0_usize..8), 6..50),
            seed in any::<u64>(),
            grouped in any::<bool>(),
        ) {
            let classes: Vec<usize> = examples.iter().map(|example| example.0).collect();
            let labels: Vec<bool> = classes.iter().map(|&class| class == 1).collect();
            let groups: Vec<usize> = examples.iter().map(|example| example.3).collect();
            prop_assume!(labels.contains(&true) && labels.contains(&false));
            prop_assume!(groups.iter().any(|group| *group != groups[0]));
            let scores: [Vec<f64>; 2] = [
                examples.iter().map(|example| f64::from(example.1)).collect(),
                examples.iter().map(|example| f64::from(example.2)).collect(),
            ];
            let predictions =
                scores.clone().map(|s| s.iter().map(|&s| usize::from(s > 2.5)).collect::<Vec<_>>());
            let groups = grouped.then_some(groups.as_slice());
            let config = Bootstrap { groups, ..config(30, seed) };
            let pair = [scores[0].as_slice(), &scores[1]];
            let areas = compare_auroc(&labels, pair, &config);
            let pair = [predictions[0].as_slice(), &predictions[1]];
            let shares = compare_balanced_accuracy(&classes, pair, 2, &config).unwrap();

            let mut sampler = Sampler::new(&classes, &config).unwrap();
            let mut weights = vec![0; classes.len()];
            let (mut area, mut share) = (Vec::new(), Vec::new());
            for _ in 0..30 {
                sampler.draw(&mut weights);
                let drawn: Vec<usize> = (0..classes.len())
                    .flat_map(|i| std::iter::repeat_n(i, weights[i] as usize))
                    .collect();
                let labels: Vec<bool> = drawn.iter().map(|&i| labels[i]).collect();
                let classes: Vec<usize> = drawn.iter().map(|&i| classes[i]).collect();
                let [a, b] = [0, 1].map(|probe: usize| {
                    let scores: Vec<f64> = drawn.iter().map(|&i| scores[probe][i]).collect();
                    auroc(&scores, &labels).unwrap_or(f64::NAN)
                });
                area.push(a - b);
                let [a, b] = [0, 1].map(|probe: usize| {
                    let drawn: Vec<usize> = drawn.iter().map(|&i| predictions[probe][i]).collect();
                    ConfusionMatrix::new(&classes, &drawn, 2).unwrap().balanced_accuracy()
                });
                share.push(a - b);
            }
            area.retain(|value| value.is_finite());
            let wins = |values: &[f64]| {
                values.iter().filter(|value| **value > 1e-12).count() as f64 / values.len() as f64
            };
            prop_assert_eq!(shares.share_first_wins, wins(&share));
            let expected = percentile_interval(share, 0.95).unwrap();
            prop_assert!((shares.interval.lower - expected.lower).abs() < 1e-12);
            if let Ok(areas) = areas {
                prop_assert_eq!(areas.n_resamples, area.len());
                prop_assert_eq!(areas.share_first_wins, wins(&area));
                prop_assert_eq!(areas.interval, percentile_interval(area, 0.95).unwrap());
            } else {
                prop_assert!(area.is_empty());
            }
        }
    }
}
