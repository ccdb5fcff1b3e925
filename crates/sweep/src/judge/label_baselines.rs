//! What a probe of targets other than classes has to beat: their mean, and the words alone.

use attention_probes_activations::{LabelValues, Labels, Split};
use attention_probes_metrics::Bootstrap;
use attention_probes_probes::SideReport;

use crate::SweepError;
use crate::judge::bag_of_words::{BagOfWords, FitFollower};
use crate::judge::words_regression::{logistic_on_words, ridge_on_words};
use crate::results::target_report::TargetBaselines;

/// Largest logit of a mean that is 0 or 1.
const LARGEST_LOGIT: f64 = 30.0;

/// Judges the mean of the training labels, and where there are words, a regression on them, on the
/// test examples; `resamples` are drawn for intervals.
pub(crate) fn baselines(
    targets: &Labels,
    split: &Split,
    words: Option<&BagOfWords>,
    (resamples, follower): (&Bootstrap<'_>, FitFollower<'_>),
) -> Result<TargetBaselines, SweepError> {
    let test = targets.select(&split.test);
    let outputs = mean_outputs(&targets.select(&split.train));
    let outputs: Vec<f32> = split.test.iter().flat_map(|_| &outputs).copied().collect();
    let mean = SideReport::new(&test, &outputs, resamples)?;
    let words = words.map(|words| {
        let (penalty, outputs) = match &targets.values {
            LabelValues::Number(numbers) => ridge_on_words(words, numbers, split, follower.stop)?,
            _ => logistic_on_words(words, targets, split, follower)?,
        };
        Ok::<_, SweepError>((SideReport::new(&test, &outputs, resamples)?, penalty))
    });
    let (bag_of_words, bag_of_words_penalty) = words.transpose()?.unzip();
    Ok(TargetBaselines { mean, bag_of_words, bag_of_words_penalty })
}

/// What a probe would say that knows the mean of the labels alone.
fn mean_outputs(train: &Labels) -> Vec<f32> {
    let (n, n_columns) = (train.len() as f64, train.n_columns());
    let mean = |column: usize| {
        train.numbers().iter().skip(column).step_by(n_columns).map(|value| value / n).sum::<f64>()
    };
    let means: Vec<f64> = (0..n_columns).map(mean).collect();
    let logit = |p: f64| (p / (1.0 - p)).ln().clamp(-LARGEST_LOGIT, LARGEST_LOGIT) as f32;
    match (&train.values, &means[..]) {
        (LabelValues::Class(_) | LabelValues::Number(_), _) => {
            means.iter().map(|mean| *mean as f32).collect()
        }
        (LabelValues::Labels(_), _) => means.iter().map(|&mean| logit(mean)).collect(),
        (LabelValues::Distribution(_), [_, second]) => vec![logit(*second)],
        (LabelValues::Distribution(_), _) => {
            means.iter().map(|mean| mean.ln().max(-LARGEST_LOGIT) as f32).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_said_as_a_probe_would_say_it() {
        let names = || vec!["0".to_owned(), "1".to_owned()];
        let number = mean_outputs(&Labels::of_numbers(vec![1.0, 3.0], "y"));
        approx::assert_abs_diff_eq!(number[0], 2.0);
        let labels = mean_outputs(&Labels::of_labels(vec![1.0, 0.0, 0.0, 0.0], names()));
        approx::assert_abs_diff_eq!(labels[0], 0.0);
        approx::assert_abs_diff_eq!(labels[1], -30.0);
        let shares = mean_outputs(&Labels::of_distributions(vec![0.25, 0.75], names()));
        approx::assert_abs_diff_eq!(shares[0], 3.0_f32.ln(), epsilon = 1e-6);
    }
}
