//! What a chosen probe is worth beyond its metrics: at fixed error rates, calibrated, on short and
//! long texts, against the others, and over seeds.

use attention_probes_metrics::{
    Agreement, Bootstrap, Bucket, BucketEdges, Calibration, Comparison, ConfusionMatrix,
    ControlReport, DeferralReport, SeedReport, SeedSummary, ThresholdReport, UnfittedThreshold,
    buckets, compare_balanced_accuracy,
};
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::config::EvaluationConfig;
use crate::judge::decision::{calibrations, deferral, thresholds};
use crate::judge::judged::{LEVEL, TrialLogits};
use crate::results::predictions::HeldOutExamples;
use crate::train::fit::GroupFit;

/// Buckets of the table by text length.
const N_BUCKETS: usize = 4;

/// What a chosen probe is worth beyond its metrics, on the test examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestEvaluation {
    /// Side that thresholds and calibrators were fitted on.
    pub fitted_on: FittedOn,
    /// Thresholds at fixed false-positive rates, of two classes; those for which there are enough
    /// negatives.
    pub thresholds: Vec<ThresholdReport>,
    /// The rates for which there are too few negatives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfitted_thresholds: Vec<UnfittedThreshold>,
    /// Two thresholds with deferral between them, of two classes, if there are enough examples.
    pub deferral: Option<DeferralReport>,
    /// Calibrators and what they are worth; of more than two classes a temperature only. A
    /// calibrator that these examples do not determine is left out.
    pub calibrations: Vec<Calibration>,
    /// The metrics of shorter and longer texts, in buckets of about equally many examples.
    pub by_length: Vec<Bucket>,
    /// The same setting trained on shuffled labels; by chance, one over the number of classes.
    pub shuffled_labels: Option<ControlReport>,
    /// Balanced accuracy against that of the bag of words, on the same examples.
    pub over_bag_of_words: Option<Comparison>,
    /// Balanced accuracy against that of the architecture that validation likes best at this
    /// layer; `None` for that one itself.
    pub over_best: Option<Comparison>,
    /// The setting over all seeds, if there are several.
    pub seeds: Option<SeedReport>,
}

/// Side of a split that thresholds and calibrators were fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FittedOn {
    /// Examples that nothing else was done with, so that guarantees hold as they stand.
    Calibration,
    /// The examples that also chose the trial, so that guarantees hold approximately.
    Validation,
}

/// What thresholds and calibrators are fitted on, and what a probe is compared with.
pub(crate) struct Evaluator<'a> {
    pub(crate) config: &'a EvaluationConfig,
    pub(crate) fitted_on: FittedOn,
    /// Classes that the bag of words predicts on test.
    pub(crate) bag_of_words: Option<&'a [usize]>,
    /// Classes that the best architecture predicts on test, and its group.
    pub(crate) best: Option<(usize, Vec<usize>)>,
    pub(crate) seed: u64,
}

/// A group of trials on the sides that it is evaluated by.
#[derive(Clone, Copy)]
pub(crate) struct EvaluatedGroup<'a> {
    /// Its index.
    pub(crate) index: usize,
    pub(crate) fit: &'a GroupFit,
    /// What its trials say about the examples that thresholds and calibrators are fitted on.
    pub(crate) calibration: TrialLogits<'a>,
    pub(crate) test: TrialLogits<'a>,
}

impl Evaluator<'_> {
    /// Evaluates the chosen trial of a group.
    pub(crate) fn evaluate(
        &self,
        group: EvaluatedGroup<'_>,
        shuffled_labels: Option<ControlReport>,
    ) -> Result<TestEvaluation, SweepError> {
        let EvaluatedGroup { fit, calibration, test, .. } = group;
        let trial = fit.best;
        let predicted = test.predicted(trial);
        let over = |other: &[usize]| compare(test, [&predicted, other], self.seed);
        let over_best = match &self.best {
            Some((best, predictions)) if *best != group.index => Some(over(predictions)?),
            _ => None,
        };
        let (thresholds, unfitted_thresholds) = thresholds(self.config, calibration, trial)?;
        Ok(TestEvaluation {
            fitted_on: self.fitted_on,
            unfitted_thresholds,
            thresholds: thresholds
                .into_iter()
                .map(|fitted| ThresholdReport::new(fitted, test.binary(trial).labelled()))
                .collect::<Result<_, _>>()?,
            deferral: deferral(self.config, calibration, trial)?
                .map(|fitted| DeferralReport::new(fitted, test.binary(trial).labelled()))
                .transpose()?,
            calibrations: calibrations(calibration, test, trial)?,
            by_length: buckets(
                &test.examples.n_tokens,
                &test.examples.labels,
                &test.scores(trial)?,
                &BucketEdges::Quantiles(N_BUCKETS),
            )?,
            shuffled_labels,
            over_bag_of_words: self.bag_of_words.map(over).transpose()?,
            over_best,
            seeds: seeds(fit, test)?,
        })
    }
}

/// Compares two lists of predicted classes on the same examples: the first less the second.
pub(crate) fn compare(
    test: TrialLogits<'_>,
    predicted: [&[usize]; 2],
    seed: u64,
) -> Result<Comparison, SweepError> {
    let HeldOutExamples { labels, groups, .. } = test.examples;
    let bootstrap = Bootstrap { n_resamples: Bootstrap::PAIRED, seed, ..Bootstrap::default() };
    let bootstrap = bootstrap.of_groups(groups.as_deref());
    Ok(compare_balanced_accuracy(labels, predicted, test.n_classes, &bootstrap)?)
}

/// The chosen learning rate and weight decay with every seed; `None` with one seed, or if one
/// diverged.
fn seeds(fit: &GroupFit, test: TrialLogits<'_>) -> Result<Option<SeedReport>, SweepError> {
    let chosen = fit.trials[fit.best].trial;
    let same = |i: &usize| {
        let trial = fit.trials[*i].trial;
        trial.learning_rate.to_bits() == chosen.learning_rate.to_bits()
            && trial.weight_decay.to_bits() == chosen.weight_decay.to_bits()
    };
    let trials: Vec<usize> = (0..fit.trials.len()).filter(same).collect();
    if trials.len() < 2 || !trials.iter().all(|&trial| test.are_finite(trial)) {
        return Ok(None);
    }
    let predicted: Vec<Vec<usize>> = trials.iter().map(|&trial| test.predicted(trial)).collect();
    let lists: Vec<&[usize]> = predicted.iter().map(Vec::as_slice).collect();
    let accuracies = lists.iter().map(|list| {
        let confusion = ConfusionMatrix::new(&test.examples.labels, list, test.n_classes)?;
        Ok(confusion.balanced_accuracy())
    });
    let accuracies = accuracies.collect::<Result<Vec<f64>, SweepError>>()?;
    Ok(Some(SeedReport {
        agreement: Agreement::new(&lists, test.n_classes)?,
        balanced_accuracy: SeedSummary::new(&accuracies, LEVEL)?,
    }))
}

#[cfg(test)]
mod tests {
    use attention_probes_probes::{Linear, ProbeConfig, ProbeState};

    use attention_probes_metrics::Calibrator;

    use super::*;
    use crate::config::trial::Trial;
    use crate::results::predictions::HeldOutExamples;
    use crate::train::fit::TrialFit;

    /// Trials that differ in their seed only.
    fn fit(n_trials: u64) -> GroupFit {
        let trial = |seed| Trial { learning_rate: 1e-3, weight_decay: 0.0, seed };
        let fit = |seed| TrialFit {
            trial: trial(seed),
            state: ProbeState::default(),
            history: Vec::new(),
            kept: 0,
            epochs: None,
            converged: None,
        };
        GroupFit {
            probe: ProbeConfig::new(Linear::default(), 1, 2),
            trials: (0..n_trials).map(fit).collect(),
            best: 0,
            cross_validation: None,
            best_per_weight_decay: vec![0],
        }
    }

    fn examples(n: usize) -> HeldOutExamples {
        HeldOutExamples {
            labels: (0..n).map(|i| i % 2).collect(),
            rows: (0..n).collect(),
            n_tokens: (0..n).map(|i| 1 + i / 10).collect(),
            groups: None,
            pairs: None,
        }
    }

    /// Logits that are right but for every `wrong`-th example.
    fn logits(n: usize, wrong: usize) -> Vec<f32> {
        let logit = |i: usize| {
            let size = 1.0 + (i % 7) as f32;
            if (i % 2 == 1) == i.is_multiple_of(wrong) { -size } else { size }
        };
        (0..n).map(logit).collect()
    }

    fn evaluate(
        logits: &[f32],
        n_trials: u64,
        best: Option<(usize, Vec<usize>)>,
    ) -> TestEvaluation {
        let examples = examples(logits.len() / n_trials as usize);
        let trials = TrialLogits { logits, examples: &examples, n_classes: 2 };
        let config = EvaluationConfig::default();
        let evaluator = Evaluator {
            config: &config,
            fitted_on: FittedOn::Validation,
            bag_of_words: Some(&examples.labels),
            best,
            seed: 1,
        };
        let fit = fit(n_trials);
        let group = EvaluatedGroup { index: 0, fit: &fit, calibration: trials, test: trials };
        evaluator.evaluate(group, None).unwrap()
    }

    #[test]
    fn thresholds_keep_to_their_rates_and_name_what_they_cost() {
        let found = evaluate(&logits(400, 5), 1, None);
        // 200 negatives are enough for 1 %, the least of the targets.
        assert_eq!(found.thresholds.len(), 3);
        for report in &found.thresholds {
            assert!(report.false_positive_rate <= report.fitted.target_fpr);
            assert!(report.true_positive_interval.upper >= report.true_positive_rate);
        }
        // Every false positive has logits up to 7, as the right positives have.
        approx::assert_abs_diff_eq!(found.thresholds[0].true_positive_rate, 0.0);
        assert_eq!(found.thresholds[0].precision, None);
        let deferral = found.deferral.unwrap();
        assert!(deferral.false_positive_rate <= 0.05 && deferral.false_negative_rate <= 0.05);
        assert!(deferral.deferred > 0.5, "wrong logits are as large as right ones");
        let few = evaluate(&logits(20, 5), 1, None);
        assert_eq!(few.deferral, None);
        assert_eq!(few.thresholds.len(), 1, "10 negatives are enough for 10 % alone");
        let unfitted = few.unfitted_thresholds.iter();
        let unfitted: Vec<_> = unfitted.map(|one| (one.n_negatives, one.n_needed)).collect();
        assert_eq!(unfitted, [(10, 99), (10, 19)]);
        assert_eq!(found.unfitted_thresholds, []);
    }

    #[test]
    fn calibrators_that_the_examples_do_not_determine_are_left_out() {
        let found = evaluate(&logits(400, 5), 1, None);
        assert_eq!(found.calibrations.len(), 3);
        assert!(found.calibrations.iter().all(|c| c.report.after.ece < c.report.before.ece));
        // Without an error a temperature goes to 0; Platt's targets stay away from 0 and 1.
        let perfect = evaluate(&logits(400, 1_000_000), 1, None);
        assert!(perfect.calibrations.iter().any(|c| matches!(c.calibrator, Calibrator::Platt(_))));
    }

    #[test]
    fn a_probe_is_compared_with_the_words_and_with_the_best_but_not_with_itself() {
        let own = logits(200, 4);
        let found = evaluate(&own, 1, Some((0, vec![0; 200])));
        assert_eq!(found.over_best, None);
        let words = found.over_bag_of_words.unwrap();
        assert!(words.difference < -0.2 && words.interval.upper < 0.0);
        let found = evaluate(&own, 1, Some((1, vec![0; 200])));
        approx::assert_abs_diff_eq!(found.over_best.unwrap().difference, 0.25, epsilon = 0.01);
        assert_eq!(found.by_length.len(), 4);
    }

    #[test]
    fn seeds_are_summed_up_where_there_are_several() {
        assert_eq!(evaluate(&logits(100, 5), 1, None).seeds, None);
        let two = [logits(100, 5), logits(100, 10)].concat();
        let seeds = evaluate(&two, 2, None).seeds.unwrap();
        approx::assert_abs_diff_eq!(seeds.agreement.mean, 0.9);
        approx::assert_abs_diff_eq!(seeds.balanced_accuracy.mean, 0.85);
    }
}
