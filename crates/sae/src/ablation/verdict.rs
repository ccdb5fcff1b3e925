//! What an ablation says, with the intervals that it has.

use attention_probes_metrics::{MetricValues, SeedSummary};
use serde::Serialize;

use super::config::{Arm, ArmRole};
use crate::SaeError;

/// Share of seeds that an interval is to hold.
const LEVEL: f64 = 0.95;

/// How much better the fully guided arm is than another on one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmDifference {
    /// The metric.
    pub metric: String,
    /// The other arm.
    pub against: String,
    /// The difference seed by seed, turned so that more is better; none where a value is not a
    /// number.
    pub difference: Option<SeedSummary>,
}

/// Whether guidance by attention helped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AblationVerdict {
    /// The fully guided arm against the baseline and every control.
    pub differences: Vec<ArmDifference>,
    /// Labels of the metrics on which it is better than all of them.
    pub helped: Vec<String>,
    /// Of those on which it is better than the baseline, but not than every control.
    pub not_of_attention: Vec<String>,
    /// Of those on which it is worse than the baseline.
    pub harmed: Vec<String>,
    /// All of that in words.
    pub text: String,
}

impl AblationVerdict {
    /// Compares the fully guided arm with the baseline and the controls, seed by seed.
    ///
    /// "Better" means that Student's 95 % interval of the paired differences lies above 0. Nothing is
    /// corrected for the number of metrics, and differences that are all the same, as those of
    /// accuracies on few texts can be, show nothing.
    ///
    /// # Errors
    ///
    /// - [`SaeError::SizeMismatch`] if a metric does not have a value for each arm and seed.
    /// - [`SaeError::Metric`] if there are fewer than two seeds.
    pub fn new(arms: &[Arm], n_seeds: usize, metrics: &[MetricValues]) -> Result<Self, SaeError> {
        SeedSummary::new(&vec![0.0; n_seeds], LEVEL)?;
        for metric in metrics {
            let found = metric.by_arm.iter().map(Vec::len).sum();
            let (what, expected) = ("the number of values of a metric", arms.len() * n_seeds);
            let is_whole = metric.by_arm.len() == arms.len();
            if found != expected || !is_whole || metric.by_arm.iter().any(|v| v.len() != n_seeds) {
                return Err(SaeError::SizeMismatch { what, found, expected });
            }
        }
        let mut verdict = Self {
            differences: Vec::new(),
            helped: Vec::new(),
            not_of_attention: Vec::new(),
            harmed: Vec::new(),
            text: String::new(),
        };
        let Some(full) = arms.iter().position(|arm| arm.role == ArmRole::Full) else {
            return Ok(verdict);
        };
        let judged = |metric: &&MetricValues| metric.higher_is_better.is_some();
        for metric in metrics.iter().filter(judged) {
            verdict.judge(arms, full, metric);
        }
        let is_measured = |metric: &&MetricValues| {
            let of_metric = verdict.differences.iter().filter(|one| one.metric == metric.name);
            of_metric.clone().any(|one| one.difference.is_some())
        };
        let n_metrics = metrics.iter().filter(judged).filter(is_measured).count();
        verdict.text = verdict.words(&arms[full].label, n_seeds, n_metrics);
        Ok(verdict)
    }

    fn judge(&mut self, arms: &[Arm], full: usize, metric: &MetricValues) {
        let sign = if metric.higher_is_better == Some(false) { -1.0 } else { 1.0 };
        let (mut beyond_baseline, mut beyond_controls, mut below_baseline) = (true, true, false);
        for (i, arm) in arms.iter().enumerate() {
            if !matches!(arm.role, ArmRole::Baseline | ArmRole::Control) {
                continue;
            }
            let pairs = metric.by_arm[full].iter().zip(&metric.by_arm[i]);
            let differences: Vec<f64> = pairs.map(|(a, b)| sign * (a - b)).collect();
            let difference = SeedSummary::new(&differences, LEVEL).ok();
            let varies = |one: &SeedSummary| one.std > 1e-9 * one.mean.abs();
            let is_better = difference.is_some_and(|one| varies(&one) && one.interval.lower > 0.0);
            if arm.role == ArmRole::Baseline {
                beyond_baseline &= is_better;
                below_baseline |=
                    difference.is_some_and(|one| varies(&one) && one.interval.upper < 0.0);
            } else {
                beyond_controls &= is_better;
            }
            let (metric, against) = (metric.name.clone(), arm.name.clone());
            self.differences.push(ArmDifference { metric, against, difference });
        }
        let list = match (beyond_baseline, beyond_controls, below_baseline) {
            (true, true, _) => &mut self.helped,
            (true, false, _) => &mut self.not_of_attention,
            (false, _, true) => &mut self.harmed,
            _ => return,
        };
        list.push(metric.label.clone());
    }

    fn words(&self, label: &str, n_seeds: usize, n_metrics: usize) -> String {
        let none = format!(
            "Guidance by the attention of {label} did not help: on none of {n_metrics} metrics is \
             it better than the plain autoencoder and all three controls"
        );
        let some = format!(
            "Guidance by the attention of {label} helped on {} of {n_metrics} metrics ({}): there \
             it is better than the plain autoencoder and all three controls",
            self.helped.len(),
            self.helped.join(", ")
        );
        let first = if self.helped.is_empty() { none } else { some };
        let mut sentences = vec![format!(
            "{first}, by 95 % intervals of the paired differences over {n_seeds} seeds."
        )];
        if !self.not_of_attention.is_empty() {
            sentences.push(format!(
                "Better than the plain autoencoder, but not than every control, so not because of \
                 attention: {}.",
                self.not_of_attention.join(", ")
            ));
        }
        if !self.harmed.is_empty() {
            let harmed = self.harmed.join(", ");
            sentences.push(format!("Worse than one without guidance: {harmed}."));
        }
        sentences.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arms() -> Vec<Arm> {
        let arm = |name: &str, role| Arm {
            name: name.to_owned(),
            label: "L-1, L".to_owned(),
            role,
            d_sae: 8,
            guidance: None,
        };
        vec![
            arm("baseline", ArmRole::Baseline),
            arm("mask-10", ArmRole::Mask),
            arm("mask-11", ArmRole::Full),
            arm("control-local", ArmRole::Control),
            arm("control-uniform", ArmRole::Control),
        ]
    }

    fn metric(name: &str, higher_is_better: Option<bool>, means: [f64; 5]) -> MetricValues {
        let seeds = |(i, mean): (usize, &f64)| {
            let noise = 0.001 * i as f64;
            vec![mean - 0.01, mean + noise, mean + 0.012 - noise]
        };
        let by_arm = means.iter().enumerate().map(seeds).collect();
        let (name, label) = (name.to_owned(), name.to_uppercase());
        MetricValues { name, label, note: String::new(), higher_is_better, by_arm }
    }

    #[test]
    fn only_what_beats_every_control_is_of_attention() {
        let metrics = [
            metric("a", Some(true), [0.5, 0.9, 0.7, 0.6, 0.5]),
            metric("b", Some(true), [0.5, 0.9, 0.7, 0.7, 0.5]),
            metric("c", Some(false), [0.5, 0.1, 0.7, 0.9, 0.9]),
            metric("d", None, [0.5, 0.9, 0.7, 0.6, 0.5]),
            metric("e", Some(true), [0.5, 0.5, 0.5, 0.5, 0.5]),
        ];
        let verdict = AblationVerdict::new(&arms(), 3, &metrics).unwrap();
        assert_eq!(verdict.helped, ["A"]);
        assert_eq!(verdict.not_of_attention, ["B"]);
        assert_eq!(verdict.harmed, ["C"]);
        assert_eq!(verdict.differences.len(), 4 * 3);
        let first = verdict.differences[0].difference.unwrap();
        approx::assert_abs_diff_eq!(first.mean, 0.2, epsilon = 1e-3);
        assert!(verdict.text.contains("helped on 1 of 4 metrics (A)"), "{}", verdict.text);
        let none = AblationVerdict::new(&arms(), 3, &metrics[1..]).unwrap();
        assert!(none.text.starts_with("Guidance by the attention of L-1, L did not help: on none"));
    }

    #[test]
    fn differences_that_do_not_vary_show_nothing() {
        let mut same = metric("a", Some(true), [0.5, 0.5, 0.7, 0.5, 0.5]);
        same.by_arm = [0.5, 0.5, 0.75, 0.5, 0.5].map(|value| vec![value; 3]).to_vec();
        let verdict = AblationVerdict::new(&arms(), 3, &[same]).unwrap();
        assert!(verdict.helped.is_empty() && verdict.not_of_attention.is_empty());
    }

    #[test]
    fn a_number_that_is_none_is_no_difference() {
        let mut one = metric("a", Some(true), [0.5, 0.9, 0.7, 0.6, 0.5]);
        let none = MetricValues { by_arm: vec![vec![f64::NAN; 3]; 5], ..one.clone() };
        let none = MetricValues { name: "none".to_owned(), ..none };
        let both = AblationVerdict::new(&arms(), 3, &[one.clone(), none]).unwrap();
        assert!(both.text.contains("helped on 1 of 1 metrics"), "{}", both.text);
        one.by_arm[0][1] = f64::NAN;
        let verdict = AblationVerdict::new(&arms(), 3, &[one.clone()]).unwrap();
        assert!(verdict.differences[0].difference.is_none() && verdict.helped.is_empty());
        one.by_arm[0].pop();
        assert!(AblationVerdict::new(&arms(), 3, &[one]).is_err());
        assert!(AblationVerdict::new(&arms(), 1, &[]).is_err());
    }
}
