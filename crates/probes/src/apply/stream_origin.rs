//! What the activations of a stream are, compared with the probes that read it.

use attention_probes_errors::listed;
use attention_probes_models::Convention;
use serde::Deserialize;
use serde_json::Value;

use super::error::{ApplyError, ModelRemedy};
use super::site::MetModel;
use crate::{ProbeError, SavedProbe};

/// Keys of the line that says it.
const KEYS: [&str; 4] = ["model", "revision", "hooks", "convention"];

/// What the activations of a stream are, as far as somebody says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamOrigin {
    /// Name of the model.
    pub model: Option<String>,
    /// What tells its versions apart.
    pub revision: Option<String>,
    /// The hooks whose values `x` holds side by side, in their order.
    pub hooks: Option<Vec<String>>,
    /// Which numbers they are, `raw` or `tl_processed`.
    pub convention: Option<String>,
}

impl StreamOrigin {
    /// What a line says, if it is one that says it.
    ///
    /// # Errors
    ///
    /// [`ApplyError::FirstLine`] if it has such a key, and something else that is not allowed with
    /// it.
    pub fn from_line(line: &[u8]) -> Result<Option<Self>, ApplyError> {
        let Ok(Value::Object(object)) = serde_json::from_slice(line) else { return Ok(None) };
        if !KEYS.iter().any(|key| object.contains_key(*key)) {
            return Ok(None);
        }
        let origin = serde_json::from_value(Value::Object(object));
        origin.map(Some).map_err(|source| ApplyError::FirstLine { source })
    }

    /// Keys that something is said under.
    pub fn keys(&self) -> Vec<&'static str> {
        let is_said = [
            self.model.is_some(),
            self.revision.is_some(),
            self.hooks.is_some(),
            self.convention.is_some(),
        ];
        KEYS.into_iter().zip(is_said).filter(|(_, is_said)| *is_said).map(|(key, _)| key).collect()
    }

    /// What the first line, this one, and a caller say together.
    ///
    /// # Errors
    ///
    /// [`ApplyError::SaidTwice`] if they contradict each other.
    pub fn with_given(self, given: Self) -> Result<Self, ApplyError> {
        fn either<T: PartialEq>(
            key: &'static str,
            (line, given): (Option<T>, Option<T>),
            shown: impl Fn(&T) -> String,
        ) -> Result<Option<T>, ApplyError> {
            match (&line, &given) {
                (Some(line), Some(given)) if line != given => {
                    Err(ApplyError::SaidTwice { key, line: shown(line), given: shown(given) })
                }
                _ => Ok(line.or(given)),
            }
        }
        let quoted = |text: &String| format!("`{text}`");
        Ok(Self {
            model: either("model", (self.model, given.model), quoted)?,
            revision: either("revision", (self.revision, given.revision), quoted)?,
            hooks: either("hooks", (self.hooks, given.hooks), |hooks| listed(hooks))?,
            convention: either("convention", (self.convention, given.convention), quoted)?,
        })
    }

    /// Refuses a stream of other activations than a probe was trained on, as far as both say it.
    ///
    /// # Errors
    ///
    /// - as [`SavedProbe::check_model`] and [`SavedProbe::check_convention`]
    /// - [`ApplyError::StreamConvention`] if the convention of the stream is not known
    /// - [`ApplyError::StreamHook`] if the stream does not have a hook that the probe reads
    pub fn check(&self, saved: &SavedProbe, allow_other_revision: bool) -> Result<(), ProbeError> {
        saved.check_model(&MetModel {
            name: self.model.as_deref(),
            revision: self.revision.as_deref(),
            allows_other_revision: allow_other_revision,
            remedy: ModelRemedy::SendOwn,
        })?;
        let convention = self.convention.as_deref().map(|name| {
            let unknown = || ApplyError::StreamConvention { name: name.to_owned() };
            Convention::named(name).ok_or_else(unknown)
        });
        saved.check_convention(convention.transpose()?, "the stream")?;
        let (Some(there), Some(hooks)) = (&self.hooks, saved.hooks()?) else { return Ok(()) };
        match hooks.into_iter().find(|hook| !there.contains(hook)) {
            Some(hook) => Err(ApplyError::StreamHook { hook, hooks: there.clone() }.into()),
            None => Ok(()),
        }
    }

    /// Refuses a probe of processed activations where the stream does not say that it sends these.
    ///
    /// # Errors
    ///
    /// - [`ApplyError::UnsaidConvention`] if it does not say it
    /// - as [`SavedProbe::convention`]
    pub fn check_needs(&self, saved: &SavedProbe) -> Result<(), ProbeError> {
        if self.convention.is_none() && saved.convention()? == Some(Convention::TlProcessed) {
            return Err(ApplyError::UnsaidConvention.into());
        }
        Ok(())
    }
}
