//! An extraction whose hooks are known to the model.

use std::path::Path;

use attention_probes_models::HookPoint;
use tracing::warn;

use super::config::{ExtractConfig, ExtractInput};
use super::error::ExtractError;
use crate::{
    Batching, CaptureHook, CaptureOptions, HookShape, ModelCapture, NonFinitePolicy, Watch,
};

/// An extraction whose hooks are known to the model.
#[derive(Clone)]
pub(super) struct Run<'a> {
    pub(super) input: &'a ExtractInput<'a>,
    pub(super) config: &'a ExtractConfig,
    pub(super) shapes: &'a [HookShape],
    pub(super) hooks: &'a [CaptureHook],
    pub(super) watch: Watch<'a>,
}

impl<'a> Run<'a> {
    /// How the model is run, with `watch` told what it does.
    pub(super) fn capture<'b>(&'b self, watch: Watch<'b>) -> ModelCapture<'b>
    where
        'a: 'b,
    {
        let options = CaptureOptions {
            batching: Batching::SameBits { max_tokens: self.config.batch_tokens },
            non_finite: NonFinitePolicy::Keep,
            watch,
            ..CaptureOptions::default()
        };
        let (model, device) = (self.input.model, self.input.device);
        ModelCapture { model, device, hooks: self.hooks, options }
    }

    /// Refuses texts with NaN or infinity, and the hook if it is known, unless they are allowed;
    /// then each is named in the log.
    pub(super) fn check_finite(
        &self,
        non_finite: &[(usize, Option<HookPoint>)],
    ) -> Result<(), ExtractError> {
        check_finite(non_finite, self.input.path, self.config.allow_non_finite)
    }
}

fn check_finite(
    non_finite: &[(usize, Option<HookPoint>)],
    path: &Path,
    allowed: bool,
) -> Result<(), ExtractError> {
    let Some(&(text, hook)) = non_finite.first() else { return Ok(()) };
    if !allowed {
        let (path, n_texts) = (path.to_owned(), non_finite.len());
        return Err(ExtractError::NonFiniteTexts { hook, text, path, n_texts });
    }
    for (text, hook) in non_finite {
        let place = hook.map_or_else(String::new, |hook| format!("`{hook}` of "));
        warn!("{place}text {text} of `{}` has NaN or infinity", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_not_finite_are_refused_unless_allowed() {
        let bad = [(3, Some(HookPoint::ResidPost(0))), (7, Some(HookPoint::Z(1)))];
        let message = check_finite(&bad, Path::new("t.csv"), false).unwrap_err().to_string();
        let expected =
            "`blocks.0.hook_resid_post` of text 3 of `t.csv` has NaN or infinity, one of 2";
        assert!(message.starts_with(expected), "{message}");
        assert!(check_finite(&bad, Path::new("t.csv"), true).is_ok());
        assert!(check_finite(&[], Path::new("t.csv"), false).is_ok());
    }
}
