//! From an error to one line and an exit code.

use std::process::ExitCode;

use attention_probes_activations::ActivationError;
use attention_probes_metrics::MetricError;
use attention_probes_models::ModelError;
use attention_probes_probes::ProbeError;
use attention_probes_sweep::SweepError;

/// A wrong input that no library has a variant for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InputError(pub String);

/// Exit code 2 for a wrong input or a file that cannot be used, 1 for an internal fault.
///
/// Prints `error: ` and the chain of causes on one line, but for what a configuration file's
/// parser shows with a caret.
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    if is_input(error) { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// Whether the user can mend it: every error of our libraries names an input.
fn is_input(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<InputError>()
            || cause.is::<SweepError>()
            || cause.is::<ActivationError>()
            || cause.is::<ModelError>()
            || cause.is::<ProbeError>()
            || cause.is::<MetricError>()
            || cause.is::<std::io::Error>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_told_from_faults() {
        assert!(is_input(&InputError("no such column".to_owned()).into()));
        assert!(is_input(&anyhow::Error::from(ModelError::EmptyBatch).context("reading")));
        assert!(!is_input(&anyhow::anyhow!("a fault")));
    }
}
