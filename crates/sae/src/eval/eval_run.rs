//! What names one run of an evaluation.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// What names one run of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EvalRun {
    /// A name of this run and no other.
    pub eval_id: String,
    /// When it was, in milliseconds since 1970.
    pub datetime_epoch_millis: u64,
    /// Name of the autoencoder.
    pub sae_id: Option<String>,
    /// The collection that it is of.
    pub sae_release: Option<String>,
    /// Settings, under `SAEBench`'s names where it has them.
    pub eval_config: Map<String, Value>,
}

impl EvalRun {
    /// A run of the autoencoder `sae_id` that begins now, with a name that no other run of this
    /// machine has.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::sae::eval::EvalRun;
    ///
    /// let run = EvalRun::now("my-sae");
    /// assert!(run.eval_id.starts_with(&run.datetime_epoch_millis.to_string()));
    /// ```
    pub fn now(sae_id: impl Into<String>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Self {
            eval_id: format!("{now}-{}", std::process::id()),
            datetime_epoch_millis: now as u64,
            sae_id: Some(sae_id.into()),
            ..Self::default()
        }
    }
}
