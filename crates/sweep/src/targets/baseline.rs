//! What a probe of targets other than classes has to beat: their mean, and the words alone.

use attention_probes_activations::{LabelKind, Split, Targets};
use attention_probes_probes::SideReport;

use super::report::TargetBaselines;
use super::words::{logistic_on_words, ridge_on_words};
use crate::SweepError;
use crate::judge::bag_of_words::{BagOfWords, FitFollower};

/// Largest logit of a mean that is 0 or 1.
const LARGEST_LOGIT: f64 = 30.0;

/// Judges the mean of the training labels, and where there are words, a regression on them.
pub(super) fn baselines(
    targets: &Targets,
    split: &Split,
    words: Option<&BagOfWords>,
    (seed, follower): (u64, FitFollower<'_>),
) -> Result<TargetBaselines, SweepError> {
    let test = targets.rows(&split.test);
    let outputs = mean_outputs(&targets.rows(&split.train));
    let outputs: Vec<f32> = split.test.iter().flat_map(|_| &outputs).copied().collect();
    let mean = SideReport::new(&test, &outputs, seed)?;
    let words = words.map(|words| {
        let (penalty, outputs) = match targets.kind {
            LabelKind::Class | LabelKind::Number => {
                ridge_on_words(words, &targets.values, split, follower.stop)?
            }
            LabelKind::Labels | LabelKind::Distribution => {
                logistic_on_words(words, targets, split, follower)?
            }
        };
        Ok::<_, SweepError>((SideReport::new(&test, &outputs, seed)?, penalty))
    });
    let (bag_of_words, bag_of_words_penalty) = words.transpose()?.unzip();
    Ok(TargetBaselines { mean, bag_of_words, bag_of_words_penalty })
}

/// What a probe would say that knows the mean of the labels alone.
fn mean_outputs(train: &Targets) -> Vec<f32> {
    let (n, n_columns) = (train.len() as f64, train.n_columns());
    let mean = |column: usize| {
        train.values.iter().skip(column).step_by(n_columns).map(|value| value / n).sum::<f64>()
    };
    let means: Vec<f64> = (0..n_columns).map(mean).collect();
    let logit = |p: f64| (p / (1.0 - p)).ln().clamp(-LARGEST_LOGIT, LARGEST_LOGIT) as f32;
    match (train.kind, &means[..]) {
        (LabelKind::Class | LabelKind::Number, _) => {
            means.iter().map(|mean| *mean as f32).collect()
        }
        (LabelKind::Labels, _) => means.iter().map(|&mean| logit(mean)).collect(),
        (LabelKind::Distribution, [_, second]) => vec![logit(*second)],
        (LabelKind::Distribution, _) => {
            means.iter().map(|mean| mean.ln().max(-LARGEST_LOGIT) as f32).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_said_as_a_probe_would_say_it() {
        let targets = |kind, n: usize, values: &[f64]| Targets {
            kind,
            names: (0..n).map(|i| i.to_string()).collect(),
            values: values.to_vec(),
        };
        let number = mean_outputs(&targets(LabelKind::Number, 1, &[1.0, 3.0]));
        approx::assert_abs_diff_eq!(number[0], 2.0);
        let labels = mean_outputs(&targets(LabelKind::Labels, 2, &[1.0, 0.0, 0.0, 0.0]));
        approx::assert_abs_diff_eq!(labels[0], 0.0);
        approx::assert_abs_diff_eq!(labels[1], -30.0);
        let shares = mean_outputs(&targets(LabelKind::Distribution, 2, &[0.25, 0.75]));
        approx::assert_abs_diff_eq!(shares[0], 3.0_f32.ln(), epsilon = 1e-6);
    }
}
