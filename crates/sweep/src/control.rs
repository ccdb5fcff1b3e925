//! The control of shuffled labels: what the chosen settings find where there is nothing to find.

use attention_probes_activations::ActivationSource;
use attention_probes_metrics::{
    ConfusionMatrix, Interval, bootstrap_balanced_accuracy, predicted_class,
};
use attention_probes_probes::{ProbeState, n_out, probabilities_from_logits};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::early_stopping::Keep;
use crate::find_best_fit::{find_best_fit, predict_logits};
use crate::fit::{FitConfig, FitData, GroupFit, TrialGroup};
use crate::judged::LEVEL;
use crate::method::Method;

/// Stream of the generator that shuffles labels; no other draw has it.
const SHUFFLE_STREAM: u64 = u64::MAX;

/// Resamples of the bootstrap.
const N_RESAMPLES: usize = 1000;

/// A probe that was trained on shuffled labels, judged on the true ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlReport {
    /// Mean recall over the classes, on test: by chance, one over their number. `None` if the
    /// probe diverged.
    pub balanced_accuracy: Option<f64>,
    /// Its 95 % bootstrap interval.
    pub interval: Option<Interval>,
}

/// Trains the chosen setting of every group once more, on labels that say nothing.
///
/// The labels of the training examples are dealt out anew among them, so that their frequencies
/// stay; everything else is as it was. A probe that is still better than chance on the true labels
/// of the test side has found them by another way than the training labels.
pub(crate) fn shuffled_label_controls(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    (groups, fits): (&[TrialGroup], &[GroupFit]),
    config: &FitConfig,
    test: &[usize],
) -> Result<Vec<ControlReport>, SweepError> {
    let labels = shuffled(data.labels, data.train, config.seed);
    let shuffled = FitData { labels: &labels, ..*data };
    let chosen: Vec<TrialGroup> = groups
        .iter()
        .zip(fits)
        .map(|(group, fit)| TrialGroup {
            method: Method { folds: None, ..group.method },
            trials: vec![fit.trials[fit.best].trial],
            ..group.clone()
        })
        .collect();
    // The labels of the validation side are true, so they must not choose an epoch.
    let config = FitConfig { patience: 0, keep: Keep::Last, ..*config };
    let fits = find_best_fit(source, &shuffled, &chosen, &config, None, &mut |_| {})?;
    let trained: Vec<(TrialGroup, Vec<ProbeState>)> =
        chosen.iter().zip(&fits).map(|(group, fit)| fit.trained(group)).collect();
    let examples: Vec<_> = test.iter().map(|&example| data.examples[example]).collect();
    let truth: Vec<usize> = test.iter().map(|&example| data.labels[example]).collect();
    let logits = predict_logits(source, &examples, &trained, config.batch_size)?;
    logits.iter().map(|logits| judge(logits, &truth, data.n_classes, config.seed)).collect()
}

/// The generator that deals labels out anew.
pub(crate) fn shuffle_rng(seed: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(SHUFFLE_STREAM);
    rng
}

/// Labels of which those of the training examples are dealt out anew among them.
fn shuffled(labels: &[usize], train: &[usize], seed: u64) -> Vec<usize> {
    let mut dealt: Vec<usize> = train.iter().map(|&example| labels[example]).collect();
    dealt.shuffle(&mut shuffle_rng(seed));
    let mut labels = labels.to_vec();
    for (&example, label) in train.iter().zip(dealt) {
        labels[example] = label;
    }
    labels
}

fn judge(
    logits: &[f32],
    labels: &[usize],
    n_classes: usize,
    seed: u64,
) -> Result<ControlReport, SweepError> {
    debug_assert_eq!(logits.len(), labels.len() * n_out(n_classes));
    if !logits.iter().all(|logit| logit.is_finite()) {
        return Ok(ControlReport { balanced_accuracy: None, interval: None });
    }
    let probabilities = probabilities_from_logits(logits, n_classes);
    let predicted: Vec<usize> =
        probabilities.chunks(n_classes).map(|row| predicted_class(row, 0.5)).collect();
    let confusion = ConfusionMatrix::new(labels, &predicted, n_classes)?;
    let interval =
        bootstrap_balanced_accuracy(labels, &predicted, n_classes, N_RESAMPLES, LEVEL, seed)?;
    Ok(ControlReport {
        balanced_accuracy: Some(confusion.balanced_accuracy()),
        interval: Some(interval),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_training_labels_are_dealt_out_and_their_frequencies_stay() {
        let labels: Vec<usize> = (0..300).map(|i| usize::from(i % 3 == 0)).collect();
        let train: Vec<usize> = (0..200).collect();
        let dealt = shuffled(&labels, &train, 7);
        assert_eq!(dealt[200..], labels[200..]);
        assert_eq!(dealt.iter().sum::<usize>(), labels.iter().sum::<usize>());
        let n_moved = dealt.iter().zip(&labels).filter(|(a, b)| a != b).count();
        // Of 200 labels, two thirds of which are 0, four ninths change on average.
        assert!((60..120).contains(&n_moved), "{n_moved}");
    }
}
