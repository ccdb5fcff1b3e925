//! From the logits of a probe to what is said of a text: label, probability, and decision.

use std::collections::BTreeMap;

use attention_probes_metrics::{
    CalibrationMethod, Calibrator, Decision, Deferral, FprThreshold, predicted_class,
};
use serde::Serialize;

use crate::{Outputs, ProbeError, SavedProbe, probabilities_from_logits};

/// How logits become verdicts, by what a saved probe brings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VerdictConfig {
    /// Choose the label by the probe's threshold for this false-positive rate, from 0 to 1.
    pub target_fpr: Option<f64>,
    /// Also give probabilities that are calibrated in this way.
    pub calibration: Option<CalibrationMethod>,
    /// Also decide by the probe's two thresholds.
    pub defers: bool,
}

/// What is said of a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict<'a> {
    /// Label, logits, and probabilities.
    #[serde(flatten)]
    pub scores: Scores<'a>,
    /// What the two thresholds of the probe decide, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

/// One number for two classes, a list for more; what the outputs are if they are no classes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Scores<'a> {
    /// Of two classes.
    Binary {
        /// Predicted class; `None` if the scores are not finite.
        label: Option<&'a str>,
        /// Logit of class 1.
        logit: f32,
        /// Its probability.
        probability: f64,
        /// The same, calibrated, if that was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        calibrated_probability: Option<f64>,
    },
    /// Of more classes.
    Classes {
        /// Predicted class; `None` if the scores are not finite.
        label: Option<&'a str>,
        /// Logit of each class.
        logits: Vec<f32>,
        /// Probability of each class.
        probabilities: Vec<f64>,
        /// The same, calibrated, if that was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        calibrated_probabilities: Option<Vec<f64>>,
    },
    /// Of a number.
    Number {
        /// The number.
        value: f32,
    },
    /// Of several labels.
    Labels {
        /// Those of probability 1/2 and more.
        labels: Vec<&'a str>,
        /// Logit of each label.
        logits: Vec<f32>,
        /// By label.
        probabilities: BTreeMap<&'a str, f64>,
    },
}

impl<'a> Verdict<'a> {
    /// The predicted class; `None` if the scores are not finite, or the outputs are no classes.
    pub fn label(&self) -> Option<&'a str> {
        match self.scores {
            Scores::Binary { label, .. } | Scores::Classes { label, .. } => label,
            Scores::Number { .. } | Scores::Labels { .. } => None,
        }
    }
}

/// Turns the logits of a saved probe into verdicts.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{
///     Judge, Linear, ProbeConfig, ProbeMetadata, SavedProbe, VerdictConfig,
/// };
///
/// let config = ProbeConfig::new(Linear::default(), 3, 2);
/// let metadata = ProbeMetadata::new(config.clone(), vec!["no".to_owned(), "yes".to_owned()]);
/// let saved = SavedProbe { state: config.init_state(1), metadata };
/// let judge = Judge::new(&saved, &VerdictConfig::default())?;
/// let verdict = serde_json::to_value(judge.judge(&[1.5]))?;
/// assert_eq!(verdict["label"], "yes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Judge<'a> {
    class_names: &'a [String],
    outputs: Outputs,
    /// Probability of class 1 from which on it is the label.
    threshold: f64,
    /// The same on the logit, if one was asked for.
    fpr_threshold: Option<FprThreshold>,
    calibrator: Option<&'a Calibrator>,
    deferral: Option<Deferral>,
}

impl<'a> Judge<'a> {
    /// Finds what is asked for in a probe.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::NotClasses`] if something is asked for and the outputs are no classes
    /// - [`ProbeError::NoThreshold`], [`ProbeError::NoCalibrator`], or [`ProbeError::NoDeferral`]
    ///   if the probe does not bring it
    pub fn new(saved: &'a SavedProbe, config: &VerdictConfig) -> Result<Self, ProbeError> {
        let metadata = &saved.metadata;
        if *config != VerdictConfig::default() && !metadata.outputs.are_classes() {
            return Err(ProbeError::NotClasses);
        }
        let fpr_threshold = config.target_fpr.map(|target_fpr| {
            let is_same = |fitted: &&FprThreshold| (fitted.target_fpr - target_fpr).abs() < 1e-9;
            metadata.thresholds.iter().find(is_same).copied().ok_or_else(|| {
                let known = metadata.thresholds.iter().map(|fitted| fitted.target_fpr).collect();
                ProbeError::NoThreshold { target_fpr, known }
            })
        });
        let calibrator = config.calibration.map(|method| {
            let known = metadata.calibrators.iter().find(|calibrator| is_of(method, calibrator));
            known.ok_or(ProbeError::NoCalibrator { method: name_of(method) })
        });
        if config.defers && metadata.deferral.is_none() {
            return Err(ProbeError::NoDeferral);
        }
        Ok(Self {
            class_names: &metadata.class_names,
            outputs: metadata.outputs,
            threshold: metadata.threshold,
            fpr_threshold: fpr_threshold.transpose()?,
            calibrator: calibrator.transpose()?,
            deferral: metadata.deferral.filter(|_| config.defers),
        })
    }

    /// What is said of a text with these logits, `[n_out]`.
    pub fn judge(&self, logits: &[f32]) -> Verdict<'a> {
        match self.outputs {
            Outputs::Classes => {}
            Outputs::Number => {
                return Verdict { scores: Scores::Number { value: logits[0] }, decision: None };
            }
            Outputs::Labels => return Verdict { scores: self.labels(logits), decision: None },
        }
        let n_classes = self.class_names.len();
        let probabilities = probabilities_from_logits(logits, n_classes);
        let label = self.label(logits, &probabilities);
        let [logit] = logits else {
            let calibrated_probabilities = self.calibrated(logits, n_classes);
            let logits = logits.to_vec();
            let scores = Scores::Classes { label, logits, probabilities, calibrated_probabilities };
            return Verdict { scores, decision: None };
        };
        let score = f64::from(*logit);
        Verdict {
            scores: Scores::Binary {
                label,
                logit: *logit,
                probability: probabilities[1],
                calibrated_probability: self.calibrator.map(|calibrator| calibrator.apply(score)),
            },
            decision: self.deferral.map(|deferral| deferral.decide(score)),
        }
    }

    /// Which of several labels there are, and how probable each is.
    fn labels(&self, logits: &[f32]) -> Scores<'a> {
        let names = self.class_names.iter().map(String::as_str);
        let labels = names.clone().zip(logits).filter(|(_, logit)| **logit >= 0.0);
        Scores::Labels {
            labels: labels.map(|(name, _)| name).collect(),
            logits: logits.to_vec(),
            probabilities: names.zip(Outputs::Labels.values(logits, 0)).collect(),
        }
    }

    /// Name of the predicted class: of two by a threshold, of more the most probable.
    fn label(&self, logits: &[f32], probabilities: &[f64]) -> Option<&'a str> {
        if probabilities.iter().any(|probability| probability.is_nan()) {
            return None;
        }
        let class = match (self.fpr_threshold, logits) {
            (Some(threshold), &[logit]) => usize::from(threshold.is_positive(f64::from(logit))),
            _ => predicted_class(probabilities, self.threshold),
        };
        self.class_names.get(class).map(String::as_str)
    }

    /// Probabilities of several classes by a temperature, the only calibrator they have.
    fn calibrated(&self, logits: &[f32], n_classes: usize) -> Option<Vec<f64>> {
        let Calibrator::Temperature(temperature) = self.calibrator? else { return None };
        let logits: Vec<f64> = logits.iter().map(|logit| f64::from(*logit)).collect();
        temperature.apply_multiclass(&logits, n_classes).ok()
    }
}

fn is_of(method: CalibrationMethod, calibrator: &Calibrator) -> bool {
    matches!(
        (method, calibrator),
        (CalibrationMethod::Temperature, Calibrator::Temperature(_))
            | (CalibrationMethod::Platt, Calibrator::Platt(_))
            | (CalibrationMethod::Isotonic, Calibrator::Isotonic(_))
    )
}

fn name_of(method: CalibrationMethod) -> &'static str {
    match method {
        CalibrationMethod::Temperature => "temperature",
        CalibrationMethod::Platt => "platt",
        CalibrationMethod::Isotonic => "isotonic",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_null_and_has_no_label() {
        let class_names = ["no".to_owned(), "yes".to_owned()];
        let judge = Judge {
            class_names: &class_names,
            outputs: Outputs::Classes,
            threshold: 0.5,
            fpr_threshold: None,
            calibrator: None,
            deferral: None,
        };
        let json = |logit| serde_json::to_string(&judge.judge(&[logit])).unwrap();
        assert_eq!(json(f32::NAN), r#"{"label":null,"logit":null,"probability":null}"#);
        assert_eq!(json(0.0), r#"{"label":"yes","logit":0.0,"probability":0.5}"#);

        let of = |outputs, logits: &[f32]| {
            serde_json::to_string(&Judge { outputs, ..judge }.judge(logits)).unwrap()
        };
        assert_eq!(of(Outputs::Number, &[1.5]), r#"{"value":1.5}"#);
        assert_eq!(of(Outputs::Number, &[f32::NAN]), r#"{"value":null}"#);
        assert_eq!(
            of(Outputs::Labels, &[0.0, -900.0]),
            r#"{"labels":["no"],"logits":[0.0,-900.0],"probabilities":{"no":0.5,"yes":0.0}}"#
        );
    }
}
