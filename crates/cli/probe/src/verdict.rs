//! Flags about how logits become labels and probabilities.

use attention_probes_metrics::CalibrationMethod;
use attention_probes_probes::VerdictConfig;
use clap::{Args, ValueEnum};

/// Flags about how logits become labels and probabilities.
#[derive(Args, Clone, Debug, Default)]
pub struct VerdictArgs {
    /// Choose the label by the probe's threshold for this false-positive rate.
    #[arg(long, value_name = "RATE")]
    pub target_fpr: Option<f64>,
    /// Also print probabilities that are calibrated in this way.
    #[arg(long, value_enum, value_name = "METHOD")]
    pub calibration: Option<CalibrationChoice>,
    /// Also decide by the probe's two thresholds: `negative`, `positive`, or `defer` to a better
    /// judge.
    #[arg(long)]
    pub defer: bool,
}

/// A way to calibrate probabilities that a probe brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CalibrationChoice {
    /// One number that divides the logits.
    Temperature,
    /// A slope and an intercept.
    Platt,
    /// A rising curve.
    Isotonic,
}

impl VerdictArgs {
    /// How logits become verdicts.
    pub(crate) fn config(&self) -> VerdictConfig {
        let calibration = self.calibration.map(|choice| match choice {
            CalibrationChoice::Temperature => CalibrationMethod::Temperature,
            CalibrationChoice::Platt => CalibrationMethod::Platt,
            CalibrationChoice::Isotonic => CalibrationMethod::Isotonic,
        });
        VerdictConfig { target_fpr: self.target_fpr, calibration, defers: self.defer }
    }
}
