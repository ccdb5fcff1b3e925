//! What a sweep has fitted for a probe, measured on other examples.

use attention_probes_metrics::{
    Calibration, CalibrationReport, Calibrator, DeferralReport, LabelledLogits, MetricError,
    ThresholdReport,
};
use serde::Serialize;

use crate::ProbeMetadata;

/// Thresholds and calibrators of a probe of two classes, on examples of a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decisions {
    /// Each threshold, with what it does on these examples.
    pub thresholds: Vec<ThresholdReport>,
    /// The two thresholds to defer between, if the probe brings them.
    pub deferral: Option<DeferralReport>,
    /// Each calibrator, with what it is worth on these examples.
    pub calibrations: Vec<Calibration>,
}

impl Decisions {
    /// Measures what a probe brings, by its logits `[n]` and the classes `[n]`; `None` if it brings
    /// nothing, or the examples are of one class.
    ///
    /// # Errors
    ///
    /// [`MetricError`] if a logit is not finite.
    pub fn new(
        metadata: &ProbeMetadata,
        logits: &[f64],
        labels: &[usize],
    ) -> Result<Option<Self>, MetricError> {
        let labels: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
        let brings_none = metadata.thresholds.is_empty()
            && metadata.deferral.is_none()
            && metadata.calibrators.is_empty();
        let is_one_class = labels.iter().all(|label| *label == labels[0]);
        if metadata.config.n_classes() != 2 || brings_none || is_one_class {
            return Ok(None);
        }
        let data = LabelledLogits { logits, labels: &labels };
        let calibrate = |calibrator: &Calibrator| {
            let report = CalibrationReport::new(calibrator, data)?;
            Ok::<_, MetricError>(Calibration { calibrator: calibrator.clone(), report })
        };
        let thresholds = metadata.thresholds.iter();
        Ok(Some(Self {
            thresholds: thresholds
                .map(|fitted| ThresholdReport::new(*fitted, data))
                .collect::<Result<_, _>>()?,
            deferral: metadata
                .deferral
                .map(|fitted| DeferralReport::new(fitted, data))
                .transpose()?,
            calibrations: metadata.calibrators.iter().map(calibrate).collect::<Result<_, _>>()?,
        }))
    }
}
