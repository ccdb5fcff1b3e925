//! What the activations of a stream are, by its first line or by flags, compared with the probes.

use attention_probes_errors::{json_words, listed};
use attention_probes_models::Convention;
use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use crate::exit::InputError;
use crate::extract_args::ConventionArg;
use crate::input::{MetModel, ModelArgs, ProbeFile};

/// Keys of the line that says it.
const KEYS: [&str; 4] = ["model", "revision", "hooks", "convention"];

/// Flags that say what the activations of a stream are, beside `--model`.
#[derive(Args, Debug, Default)]
pub struct StreamOriginArgs {
    /// Name the revision of the model whose activations `--stream` reads, e.g. `--revision e49d…`.
    #[arg(long, requires = "stream")]
    pub revision: Option<String>,
    /// Name the hooks whose values `x` holds side by side, in their order, e.g. `--hooks
    /// blocks.0.hook_resid_post,blocks.3.hook_resid_post`.
    #[arg(long, requires = "stream", value_delimiter = ',')]
    pub hooks: Option<Vec<String>>,
    /// Say which numbers `--stream` reads, e.g. `--convention tl_processed`.
    #[arg(long, requires = "stream", value_enum)]
    pub convention: Option<ConventionArg>,
}

/// What the activations of a stream are, as far as somebody says it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StreamOrigin {
    model: Option<String>,
    revision: Option<String>,
    pub(super) hooks: Option<Vec<String>>,
    convention: Option<String>,
}

impl StreamOrigin {
    /// What the flags say.
    pub(super) fn from_flags(args: &StreamOriginArgs, model: &ModelArgs) -> Self {
        let convention = args.convention.map(|one| Convention::from(one).to_string());
        Self {
            model: model.model.clone(),
            revision: args.revision.clone(),
            hooks: args.hooks.clone(),
            convention,
        }
    }

    /// What a line says, if it is one that says it.
    ///
    /// # Errors
    ///
    /// [`InputError`] if it has such a key, and something else that makes no sense beside it.
    pub(super) fn from_line(line: &[u8]) -> Result<Option<Self>, InputError> {
        let Ok(Value::Object(object)) = serde_json::from_slice(line) else { return Ok(None) };
        if !KEYS.iter().any(|key| object.contains_key(*key)) {
            return Ok(None);
        }
        serde_json::from_value(Value::Object(object)).map(Some).map_err(|error| {
            InputError(format!(
                "the first line of the stream: {}; it may have `model`, `revision`, `hooks`, \
                 a list, and `convention`",
                json_words(&error)
            ))
        })
    }

    /// Keys that something is said under.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        let is_said = [
            self.model.is_some(),
            self.revision.is_some(),
            self.hooks.is_some(),
            self.convention.is_some(),
        ];
        KEYS.into_iter().zip(is_said).filter(|(_, is_said)| *is_said).map(|(key, _)| key).collect()
    }

    /// What the first line and flags say together.
    ///
    /// # Errors
    ///
    /// [`InputError`] if they contradict each other.
    pub(super) fn with_flags(self, flags: Self) -> Result<Self, InputError> {
        fn either<T: PartialEq>(
            key: &str,
            (line, flag): (Option<T>, Option<T>),
            shown: impl Fn(&T) -> String,
        ) -> Result<Option<T>, InputError> {
            match (&line, &flag) {
                (Some(line), Some(flag)) if line != flag => Err(InputError(format!(
                    "`{key}` is {} in the first line of the stream, but {} by `--{key}`; leave one \
                     of them out",
                    shown(line),
                    shown(flag)
                ))),
                _ => Ok(line.or(flag)),
            }
        }
        let quoted = |text: &String| format!("`{text}`");
        Ok(Self {
            model: either("model", (self.model, flags.model), quoted)?,
            revision: either("revision", (self.revision, flags.revision), quoted)?,
            hooks: either("hooks", (self.hooks, flags.hooks), |hooks| listed(hooks))?,
            convention: either("convention", (self.convention, flags.convention), quoted)?,
        })
    }

    /// Refuses a stream of other activations than a probe was trained on, as far as both say it.
    ///
    /// # Errors
    ///
    /// [`InputError`] if the model, the convention, or a hook is another one.
    pub(super) fn check(
        &self,
        probe: &ProbeFile,
        hooks: Option<&[String]>,
        model: &ModelArgs,
    ) -> Result<(), InputError> {
        probe.check_model(&MetModel {
            name: self.model.as_deref(),
            revision: self.revision.as_deref(),
            allows_other_revision: model.allow_other_revision,
            remedy: "send activations of the probe's model",
        })?;
        let convention = self.convention.as_deref().map(|name| {
            let expected = "expected `raw` or `tl_processed`";
            let error =
                || InputError(format!("`convention` of the stream is `{name}`, {expected}"));
            Convention::named(name).ok_or_else(error)
        });
        probe.check_convention(convention.transpose()?, "the stream")?;
        let (Some(there), Some(hooks)) = (&self.hooks, hooks) else { return Ok(()) };
        match hooks.iter().find(|hook| !there.contains(hook)) {
            Some(hook) => Err(probe.wrong(&format!(
                "it reads `{hook}`, which the stream does not have; its hooks: {}",
                listed(there)
            ))),
            None => Ok(()),
        }
    }

    /// Refuses a probe of processed activations where the stream does not say that it sends these.
    ///
    /// # Errors
    ///
    /// [`InputError`] if it does not say it.
    pub(super) fn check_needs(&self, probe: &ProbeFile) -> Result<(), InputError> {
        if self.convention.is_none() && probe.convention()? == Some(Convention::TlProcessed) {
            return Err(probe.wrong(
                "it reads activations of the convention `tl_processed`; begin the stream with a \
                 line `{\"convention\": \"tl_processed\"}` if it sends these, or give \
                 `--convention tl_processed`",
            ));
        }
        Ok(())
    }
}
