//! The libraries of `probe`, as its errors need them.

use std::error::Error;

use attention_probes_cli::exit::Libraries;
use attention_probes_errors::ErrorKind;
use attention_probes_pages_probes::PageError;
use attention_probes_probes::ProbeError;
use attention_probes_sweep::SweepError;

/// The libraries of sweeps, probes, and their pages.
pub(crate) const LIBRARIES: Libraries = Libraries {
    kind_of,
    flags: &[
        // `SweepError::Exists`
        (
            "holds a run already; resume it, overwrite it, or name another `run` or folder",
            "holds a run already; go on with `--resume`, keep it with another `--run-name` or \
             `--output`, or replace it with `--overwrite`",
        ),
        // `SweepError::OtherConfig`
        (
            "resume with that one, overwrite it, or name another `run` or folder",
            "resume with that one, keep it with another `--run-name` or `--output`, or replace it \
             with `--overwrite`",
        ),
    ],
};

/// The kind of an error of these libraries.
fn kind_of(cause: &(dyn Error + 'static)) -> Option<ErrorKind> {
    let kind = cause.downcast_ref().map(SweepError::kind);
    kind.or_else(|| cause.downcast_ref().map(PageError::kind))
        .or_else(|| cause.downcast_ref().map(ProbeError::kind))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use attention_probes_activations::ActivationError;
    use attention_probes_models::ModelError;
    use attention_probes_probes::SavedProbe;
    use attention_probes_sweep::SweepConfig;

    use super::*;

    #[test]
    fn a_fault_of_the_model_is_one_of_the_sweep() {
        let fault = ModelError::NotReturned { output: "logits".to_owned() };
        let fault = SweepError::from(ActivationError::from(fault));
        assert_eq!(kind_of(&fault), Some(ErrorKind::Fault));
    }

    #[test]
    fn messages_name_the_flags_that_mend_them() {
        let path = || "a".into();
        for (error, n_flags) in [
            (SweepError::Exists { path: path() }, 4),
            (SweepError::OtherConfig { path: path() }, 3),
        ] {
            assert!(!error.to_string().contains("--"), "{error}");
            let shown = LIBRARIES.to_text(&error.into());
            assert_eq!(shown.matches("`--").count(), n_flags, "{shown}");
        }
    }

    #[test]
    fn a_configuration_is_shown_on_several_lines() {
        let error = SweepConfig::parse("run = 1\n").unwrap_err();
        let text = LIBRARIES.to_text(&error.into());
        assert!(text.lines().count() > 2 && text.contains('^'), "{text}");
        assert!(text.ends_with("it is `1`, expected text in quotes"), "{text}");
    }

    #[test]
    fn a_missing_file_is_told_in_plain_words() {
        let error = SavedProbe::load(Path::new("no-such-folder/a_state.npz")).unwrap_err();
        let expected = "cannot read `no-such-folder/a_state.npz`: there is no such file or folder";
        assert!(LIBRARIES.to_text(&error.into()).ends_with(expected));
    }
}
