//! Flags about how logits become labels and probabilities.

use attention_probes_probes::{CalibrationMethod, Judge, ProbeError, VerdictConfig};
use clap::{Args, ValueEnum};

use crate::exit::InputError;
use crate::input::ProbeFile;

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
    /// What makes verdicts of a probe's logits.
    ///
    /// # Errors
    ///
    /// [`InputError`] if the probe does not bring what is asked for.
    pub(crate) fn judge<'a>(&self, file: &'a ProbeFile) -> Result<Judge<'a>, InputError> {
        let calibration = self.calibration.map(|choice| match choice {
            CalibrationChoice::Temperature => CalibrationMethod::Temperature,
            CalibrationChoice::Platt => CalibrationMethod::Platt,
            CalibrationChoice::Isotonic => CalibrationMethod::Isotonic,
        });
        let config = VerdictConfig { target_fpr: self.target_fpr, calibration, defers: self.defer };
        Judge::new(&file.saved, &config).map_err(|error| match error {
            ProbeError::NotClasses => file.wrong(
                "its outputs are no classes; leave out `--target-fpr`, `--calibration`, and \
                 `--defer`",
            ),
            error => file.wrong(&error.to_string()),
        })
    }
}
