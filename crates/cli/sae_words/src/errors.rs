//! Errors of the library with the flags that mend them.

use std::error::Error;

use attention_probes_cli::exit::{InputError, Libraries};
use attention_probes_errors::ErrorKind;
use attention_probes_sae::eval::EvalError;
use attention_probes_sae::{RunError, SaeError, SiteError};

/// The library of autoencoders; its errors get their flags from [`in_flags`].
pub const LIBRARIES: Libraries = Libraries { kind_of, flags: &[] };

/// The kind of an error of the library of autoencoders.
pub fn kind_of(cause: &(dyn Error + 'static)) -> Option<ErrorKind> {
    cause.downcast_ref().map(SaeError::kind)
}

/// What to do about a run that is there already.
const KEEP_OR_REPLACE: &str =
    "keep it with another `run` or `--output`, or replace it with `--overwrite`";

/// An error of the library, with the command's flags where they mend it.
pub fn in_flags(mut error: SaeError) -> anyhow::Error {
    match &mut error {
        SaeError::Run(RunError::Exists { path }) => {
            let path = path.display();
            let text =
                format!("`{path}` holds a run already; go on with `--resume`, {KEEP_OR_REPLACE}");
            return InputError(text).into();
        }
        SaeError::Run(RunError::OtherSettings { path }) => {
            let path = path.display();
            let text = format!("`{path}` holds a run with other settings; {KEEP_OR_REPLACE}");
            return InputError(text).into();
        }
        SaeError::InModel(SiteError::Unnamed { setting, .. }) => *setting = flag_of(setting),
        SaeError::InModel(SiteError::Occupied { hint, .. }) if !hint.is_empty() => {
            *hint = ", or replace it with `--overwrite`";
        }
        SaeError::Evaluation(error) => match &mut **error {
            EvalError::MaxTexts { setting, .. }
            | EvalError::OneSide { setting, .. }
            | EvalError::ManyValues { setting, .. }
            | EvalError::SameValues { setting }
            | EvalError::FewWords { setting, .. }
            | EvalError::FewLetters { setting, .. } => *setting = flag_of(setting),
            _ => {}
        },
        _ => {}
    }
    error.into()
}

/// The flag that sets something.
fn flag_of(setting: &str) -> &'static str {
    match setting {
        "model" => "--model",
        "hook" => "--hook",
        "test" => "--test",
        "pair" => "--pair",
        "spurious_pair" => "--spurious-pair",
        "min_classes" => "--min-letters",
        _ => "--max-texts",
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_sae::SaeFormat;

    use super::*;

    #[test]
    fn a_missing_autoencoder_is_a_wrong_input() {
        let missing = SaeFormat::of("/nowhere/sae").unwrap_err();
        assert!(kind_of(&missing).is_some_and(|kind| kind != ErrorKind::Fault));
    }
}
