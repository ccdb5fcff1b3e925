//! Buckets: the same metrics on short texts and on long ones.

use serde::{Deserialize, Serialize};

use crate::bins::equal_mass_bins;
use crate::{
    ClassScores, ConfusionMatrix, Interval, MetricError, auroc, auroc_one_vs_rest, check, wilson,
};

/// Confidence level of the intervals.
const LEVEL: f64 = 0.95;

/// Where one bucket ends and the next begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BucketEdges {
    /// So many buckets of about equally many examples; fewer where many keys are equal, as equal
    /// keys share a bucket.
    Quantiles(usize),
    /// The keys with which a bucket begins, rising; one more begins below the first of them.
    Given(Vec<usize>),
}

/// The metrics of the examples whose key lies in one range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Smallest key of the bucket.
    pub from: usize,
    /// First key that is too large for it. `None` of the last bucket, which has no end.
    pub to: Option<usize>,
    /// Number of examples.
    pub n_examples: usize,
    /// Number of examples of each class, `[n_classes]`.
    pub class_counts: Vec<usize>,
    /// Share of the examples that were predicted correctly. `None` without an example.
    pub accuracy: Option<f64>,
    /// Wilson interval of the accuracy, 95 %. `None` without an example.
    pub accuracy_interval: Option<Interval>,
    /// Mean recall over the classes. `None` if one of them is missing, as the mean over the others
    /// would not compare with that of other buckets.
    pub balanced_accuracy: Option<f64>,
    /// Area under the ROC curve; of more than two classes, the one-against-the-rest mean. `None` if
    /// a class is missing.
    pub auroc: Option<f64>,
}

/// Sorts examples into buckets by a key, such as the number of tokens, and measures each.
///
/// Every key is in exactly one bucket; given edges can leave one without an example. Predicts as
/// [`ClassScores::predicted`] does.
///
/// # Shapes
///
/// - `keys`: `[n]`
/// - `labels`: `[n]`
///
/// # Errors
///
/// - [`MetricError::Parameter`] if there are 0 quantiles
/// - [`MetricError::NotRising`] if the given edges do not rise
/// - [`MetricError::LabelOutOfRange`], [`MetricError::Empty`] or [`MetricError::LengthMismatch`] if
///   the slices do not fit
///
/// # Examples
///
/// ```
/// use attention_probes::metrics::{BucketEdges, ClassScores, buckets};
///
/// let n_tokens = [8, 12, 300, 500];
/// let scores = ClassScores::from_logits(&[-2.2, 1.4, -0.4, -0.8], 2)?;
/// let edges = BucketEdges::Given(vec![128]);
/// let table = buckets(&n_tokens, &[0, 1, 1, 0], &scores, &edges)?;
/// assert_eq!((table[0].to, table[0].balanced_accuracy), (Some(128), Some(1.0)));
/// assert_eq!((table[1].from, table[1].balanced_accuracy), (128, Some(0.5)));
/// # Ok::<(), attention_probes::metrics::MetricError>(())
/// ```
pub fn buckets(
    keys: &[usize],
    labels: &[usize],
    scores: &ClassScores,
    edges: &BucketEdges,
) -> Result<Vec<Bucket>, MetricError> {
    scores.check_labels(labels)?;
    check::length("keys", keys.len(), labels.len())?;

    let edges = starts(keys, edges)?;
    let mut members = vec![Vec::new(); edges.len() + 1];
    for (i, key) in keys.iter().enumerate() {
        members[edges.partition_point(|edge| edge <= key)].push(i);
    }
    let from = std::iter::once(0).chain(edges.iter().copied());
    let to = edges.iter().copied().map(Some).chain([None]);
    from.zip(to)
        .zip(members)
        .map(|((from, to), members)| {
            let labels: Vec<usize> = members.iter().map(|&i| labels[i]).collect();
            bucket((from, to), &labels, &scores.select(&members))
        })
        .collect()
}

/// The keys with which every bucket but the first begins.
fn starts(keys: &[usize], edges: &BucketEdges) -> Result<Vec<usize>, MetricError> {
    match edges {
        BucketEdges::Given(edges) => {
            if let Some(index) = edges.windows(2).position(|pair| pair[0] >= pair[1]) {
                return Err(MetricError::NotRising { name: "edges", index: index + 1 });
            }
            Ok(edges.clone())
        }
        BucketEdges::Quantiles(n_buckets) => {
            check::at_least_one("quantiles", *n_buckets)?;
            let bins = equal_mass_bins(keys, *n_buckets);
            let mut sorted: Vec<(usize, usize)> =
                keys.iter().copied().zip(bins).map(|(key, bin)| (bin, key)).collect();
            sorted.sort_unstable();
            let ends = sorted.windows(2).filter(|pair| pair[0].0 < pair[1].0);
            Ok(ends.map(|pair| pair[1].1).collect())
        }
    }
}

/// Measures the examples of one bucket.
fn bucket(
    (from, to): (usize, Option<usize>),
    labels: &[usize],
    scores: &ClassScores,
) -> Result<Bucket, MetricError> {
    let n_classes = scores.n_classes();
    let mut class_counts = vec![0; n_classes];
    for &label in labels {
        class_counts[label] += 1;
    }
    let n_examples = labels.len();
    if n_examples == 0 {
        return Ok(Bucket {
            from,
            to,
            n_examples,
            class_counts,
            accuracy: None,
            accuracy_interval: None,
            balanced_accuracy: None,
            auroc: None,
        });
    }

    let confusion = ConfusionMatrix::new(labels, &scores.predicted(), n_classes)?;
    let is_complete = !class_counts.contains(&0);
    let area = if !is_complete {
        None
    } else if n_classes == 2 {
        let labels: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
        Some(auroc(&scores.of_class(1), &labels)?)
    } else {
        Some(auroc_one_vs_rest(scores.log_odds(), labels, n_classes)?)
    };
    Ok(Bucket {
        from,
        to,
        n_examples,
        class_counts,
        accuracy: Some(confusion.accuracy()),
        accuracy_interval: Some(wilson(confusion.n_correct(), n_examples, LEVEL)?),
        balanced_accuracy: is_complete.then(|| confusion.balanced_accuracy()),
        auroc: area,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Bootstrap, ClassificationReport};

    /// Buckets of four examples, of which the second alone is called positive.
    fn of_four(
        keys: &[usize],
        labels: &[usize],
        edges: &BucketEdges,
    ) -> Result<Vec<Bucket>, MetricError> {
        let scores = ClassScores::from_logits(&[-2.2, 1.4, -0.4, -0.8], 2)?;
        buckets(keys, labels, &scores, edges)
    }

    #[test]
    fn an_empty_bucket_stays_in_the_table() {
        let edges = BucketEdges::Given(vec![10, 20, 30]);
        let table = of_four(&[5, 9, 25, 26], &[0, 1, 1, 1], &edges).unwrap();
        let sizes: Vec<usize> = table.iter().map(|bucket| bucket.n_examples).collect();
        assert_eq!(sizes, [2, 0, 2, 0]);
        assert_eq!((table[1].accuracy, table[1].accuracy_interval), (None, None));
        assert_eq!((table[3].from, table[3].to), (30, None));
        // Class 0 is missing from the third.
        assert_eq!((table[2].balanced_accuracy, table[2].auroc), (None, None));
        assert_eq!((table[2].accuracy, &table[2].class_counts[..]), (Some(0.0), &[0, 2][..]));
    }

    #[test]
    fn equal_keys_share_a_bucket() {
        let edges = BucketEdges::Quantiles(4);
        let table = of_four(&[7, 7, 7, 9], &[0, 1, 1, 1], &edges).unwrap();
        let sizes: Vec<usize> = table.iter().map(|bucket| bucket.n_examples).collect();
        assert_eq!((sizes, table[1].from), (vec![3, 1], 9));
    }

    #[test]
    fn bad_input_is_refused() {
        let fit = |keys: &[usize], edges| of_four(keys, &[0, 1, 1, 1], &edges);
        assert_eq!(
            fit(&[1, 2, 3, 4], BucketEdges::Given(vec![2, 2])),
            Err(MetricError::NotRising { name: "edges", index: 1 })
        );
        assert!(fit(&[1, 2, 3, 4], BucketEdges::Quantiles(0)).is_err());
        assert!(fit(&[1, 2, 3], BucketEdges::Quantiles(2)).is_err());
        let none = of_four(&[], &[], &BucketEdges::Quantiles(2));
        assert_eq!(none, Err(MetricError::Empty { name: "labels" }));
    }

    proptest! {
        #[test]
        fn a_bucket_equals_the_report_of_its_examples(
            rows in prop::collection::vec((0_usize..3, 0.0..1.0_f64, 0.0..1.0_f64, 0_usize..60), 1..60),
            n_buckets in 1_usize..6,
            n_classes in 2_usize..4,
        ) {
            let labels: Vec<usize> = rows.iter().map(|row| row.0.min(n_classes - 1)).collect();
            let keys: Vec<usize> = rows.iter().map(|row| row.3).collect();
            let probabilities: Vec<f64> = rows
                .iter()
                .flat_map(|&(_, a, b, _)| {
                    if n_classes == 2 { vec![a, 1.0 - a] } else { vec![a * b, a * (1.0 - b), 1.0 - a] }
                })
                .collect();
            let scores = ClassScores::from_probabilities(&probabilities, n_classes).unwrap();
            let edges = BucketEdges::Quantiles(n_buckets);
            let table = buckets(&keys, &labels, &scores, &edges).unwrap();
            prop_assert!(table.len() <= n_buckets && table[0].from == 0);
            let sum: usize = table.iter().map(|bucket| bucket.n_examples).sum();
            prop_assert_eq!(sum, labels.len());
            for bucket in &table {
                let inside = |key: usize| key >= bucket.from && bucket.to.is_none_or(|to| key < to);
                let members: Vec<usize> = (0..keys.len()).filter(|&i| inside(keys[i])).collect();
                let labels: Vec<usize> = members.iter().map(|&i| labels[i]).collect();
                prop_assert!(!labels.is_empty());
                let bootstrap = Bootstrap { n_resamples: 1, ..Bootstrap::default() };
                let report =
                    ClassificationReport::new(&labels, &scores.select(&members), &bootstrap).unwrap();
                prop_assert_eq!(bucket.accuracy, Some(report.accuracy));
                prop_assert_eq!(bucket.accuracy_interval, Some(report.accuracy_interval));
                if bucket.class_counts.iter().all(|count| *count > 0) {
                    prop_assert_eq!(bucket.balanced_accuracy, Some(report.balanced_accuracy));
                    prop_assert_eq!(bucket.auroc, report.auroc);
                } else {
                    prop_assert_eq!((bucket.balanced_accuracy, bucket.auroc), (None, None));
                }
            }
        }
    }
}
