//! The control of shuffled labels: what the chosen settings find where there is nothing to find.

use attention_probes_activations::ActivationSource;
use attention_probes_metrics::{
    Bootstrap, ConfusionMatrix, ControlReport, bootstrap_balanced_accuracy, predicted_class,
};
use attention_probes_probes::{Labels, ProbeState, probabilities_from_logits};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::SweepError;
use crate::config::selection::Keep;
use crate::train::find_best_fit::{FitRun, find_best_fit};
use crate::train::fit::GroupFit;
use crate::train::fit_config::FitConfig;
use crate::train::fit_data::FitData;
use crate::train::group::TrialGroup;
use crate::train::method::Method;
use crate::train::passes::predict_logits;

/// Stream of the generator of the first shuffle of labels; those of later ones are below. No other
/// draw has them.
const SHUFFLE_STREAM: u64 = u64::MAX;

/// Trains the chosen setting of every group again, on labels that say nothing.
///
/// The labels of the training examples are dealt out anew among them, so that their frequencies
/// stay; everything else is as it was. A probe that is still better than chance on the true labels
/// of the test side has found them by another way than the training labels; of one shuffle, by
/// chance alone too, as one direction separates a few examples. Nothing is reported of no shuffles. `on_control` is
/// told how many of them are done.
pub(crate) fn shuffled_label_controls(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    (groups, fits): (&[TrialGroup], &[GroupFit]),
    (config, on_control): (&FitConfig, &mut dyn FnMut(usize, usize)),
    (test, n_shuffles): (&[usize], usize),
) -> Result<Vec<ControlReport>, SweepError> {
    if n_shuffles == 0 {
        return Ok(Vec::new());
    }
    let truth = data.labels.select(test);
    let mut predicted: Vec<Vec<Vec<usize>>> = vec![Vec::new(); groups.len()];
    for shuffle in 0..n_shuffles {
        config.stop.check()?;
        on_control(shuffle, n_shuffles);
        let logits = shuffled_outputs(source, data, (groups, fits), config, (test, shuffle))?;
        for (predicted, logits) in predicted.iter_mut().zip(&logits) {
            predicted.extend(predictions(logits, data.n_classes()));
        }
    }
    on_control(n_shuffles, n_shuffles);
    let groups: Option<Vec<usize>> =
        data.groups.map(|groups| test.iter().map(|&example| groups[example]).collect());
    let bootstrap = Bootstrap { seed: config.seed, ..Bootstrap::default() };
    let bootstrap = bootstrap.of_groups(groups.as_deref());
    let judge = |predicted: &Vec<Vec<usize>>| {
        judge(predicted, truth.classes(), data.n_classes(), &bootstrap)
    };
    predicted.iter().map(judge).collect()
}

/// What the chosen setting of every group says of the test examples if it is trained on a shuffle of
/// the training labels, `[n_test, n_out]` each.
pub(crate) fn shuffled_outputs(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    (groups, fits): (&[TrialGroup], &[GroupFit]),
    config: &FitConfig,
    (test, shuffle): (&[usize], usize),
) -> Result<Vec<Vec<f32>>, SweepError> {
    let chosen: Vec<TrialGroup> = groups
        .iter()
        .zip(fits)
        .map(|(group, fit)| {
            let best = &fit.trials[fit.best];
            // As long as the chosen one, where validation said how long.
            let epochs = best.epochs.filter(|_| config.keep == Keep::Best);
            let epochs = epochs.or(group.method.epochs);
            TrialGroup {
                method: Method { folds: None, growth: 0, epochs, ..group.method },
                trials: vec![best.trial],
                ..group.clone()
            }
        })
        .collect();
    // The labels of the validation side are true, so they must not choose an epoch.
    let config = FitConfig { patience: 0, keep: Keep::Last, race: None, ..config.clone() };
    let labels = shuffled(data.labels, data.train, config.seed, shuffle);
    let shuffled = FitData { labels: &labels, ..*data };
    let fits = find_best_fit(
        source,
        &FitRun { data: &shuffled, groups: &chosen, config: &config, checkpoint: None },
        &mut |_| {},
    )?;
    let trained: Vec<(TrialGroup, Vec<ProbeState>)> =
        chosen.iter().zip(&fits).map(|(group, fit)| fit.trained(group)).collect();
    let examples: Vec<_> = test.iter().map(|&example| data.examples[example]).collect();
    predict_logits(source, &examples, &trained, &config.prediction())
}

/// The generator that shuffles labels, one for each shuffle.
pub(crate) fn shuffle_rng(seed: u64, shuffle: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(SHUFFLE_STREAM - shuffle as u64);
    rng
}

/// Labels of which those of the training examples are shuffled among them.
fn shuffled(labels: &Labels, train: &[usize], seed: u64, shuffle: usize) -> Labels {
    let mut dealt = train.to_vec();
    dealt.shuffle(&mut shuffle_rng(seed, shuffle));
    let mut order: Vec<usize> = (0..labels.len()).collect();
    for (&example, from) in train.iter().zip(dealt) {
        order[example] = from;
    }
    labels.select(&order)
}

/// Predicted classes; `None` if the probe diverged.
fn predictions(logits: &[f32], n_classes: usize) -> Option<Vec<usize>> {
    if !logits.iter().all(|logit| logit.is_finite()) {
        return None;
    }
    let probabilities = probabilities_from_logits(logits, n_classes);
    Some(probabilities.chunks(n_classes).map(|row| predicted_class(row, 0.5)).collect())
}

/// Judges what the probes of all shuffles predict.
fn judge(
    predicted: &[Vec<usize>],
    labels: &[usize],
    n_classes: usize,
    bootstrap: &Bootstrap<'_>,
) -> Result<ControlReport, SweepError> {
    let accuracy = |predicted: &Vec<usize>| {
        Ok(ConfusionMatrix::new(labels, predicted, n_classes)?.balanced_accuracy())
    };
    let found = predicted.iter().map(accuracy).collect::<Result<Vec<f64>, SweepError>>()?;
    let interval = match predicted {
        [only] => Some(bootstrap_balanced_accuracy(labels, only, n_classes, bootstrap)?.interval),
        _ => None,
    };
    let n = found.len();
    let lowest = found.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = found.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Ok(ControlReport {
        n_shuffles: n,
        balanced_accuracy: (n > 0).then(|| found.iter().sum::<f64>() / n as f64),
        interval,
        range: (n > 1).then_some((lowest, highest)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_training_labels_are_dealt_out_and_their_frequencies_stay() {
        let labels = Labels::numbered((0..300).map(|i| usize::from(i % 3 == 0)).collect(), 2);
        let train: Vec<usize> = (0..200).collect();
        let shuffled = |shuffle| shuffled(&labels, &train, 7, shuffle).classes().to_vec();
        let (dealt, labels) = (shuffled(0), labels.classes());
        assert_eq!(dealt[200..], labels[200..]);
        assert_eq!(dealt.iter().sum::<usize>(), labels.iter().sum::<usize>());
        let n_moved = dealt.iter().zip(labels).filter(|(a, b)| a != b).count();
        // Of 200 labels, two thirds of which are 0, four ninths change on average.
        assert!((60..120).contains(&n_moved), "{n_moved}");
        assert_ne!(shuffled(1), dealt);
    }

    #[test]
    fn several_shuffles_have_a_mean_and_a_range() {
        let labels = [0, 0, 1, 1];
        let all = vec![vec![0, 0, 1, 1], vec![1, 1, 1, 1], vec![1, 1, 0, 1]];
        let judge = |all: &[Vec<usize>]| judge(all, &labels, 2, &Bootstrap::default()).unwrap();
        let report = judge(&all);
        assert_eq!((report.n_shuffles, report.interval), (3, None));
        approx::assert_abs_diff_eq!(report.balanced_accuracy.unwrap(), (1.0 + 0.5 + 0.25) / 3.0);
        assert_eq!(report.range, Some((0.25, 1.0)));
        let one = judge(&all[1..2]);
        assert_eq!((one.n_shuffles, one.balanced_accuracy, one.range), (1, Some(0.5), None));
        assert!(one.interval.is_some());
        let none = judge(&[]);
        assert_eq!((none.n_shuffles, none.balanced_accuracy), (0, None));
    }
}
