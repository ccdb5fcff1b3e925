//! What a data set brings before any activation is computed.

use std::path::PathBuf;

use attention_probes_activations::{
    ExampleConfig, ExampleSet, ExternalActivations, Split, Task, TokenizeConfig, TokenizedDataset,
    examples, tokenize,
};
use attention_probes_models::LanguageModel;

use crate::SweepError;
use crate::config::DataConfig;
use crate::held_out::{Files, Sources, no_labels, read_activations, read_texts, unfit};
use crate::tracker::Tracker;

/// Texts as tokens, with the examples of their task.
pub(crate) struct Texts {
    pub(crate) tokens: TokenizedDataset,
    pub(crate) examples: ExampleSet,
    pub(crate) hash: String,
    files: Files,
}

impl Texts {
    /// Reads and tokenizes the texts, draws the examples, and tries to divide them.
    ///
    /// Tokens are kept in `cache`, if it is given.
    pub(crate) fn read(
        config: &DataConfig,
        sources: &Sources,
        task: &Task,
        seed: u64,
        model: &LanguageModel,
        cache: Option<PathBuf>,
        tracker: &mut dyn Tracker,
    ) -> Result<Self, SweepError> {
        let (dataset, files) = read_texts(config, sources, *task == Task::Sequence)?;
        let max_tokens = config.max_tokens.min(model.model.shape().n_ctx);
        let tokens = tokenize(&dataset, &model.tokenizer, &TokenizeConfig { max_tokens, cache })
            .map_err(unfit(&config.path))?;
        for (n, what) in [
            (dataset.skipped_empty, "empty texts skipped".to_owned()),
            (tokens.empty_rows.len(), "texts without a token skipped".to_owned()),
            (tokens.n_truncated, format!("texts cut to {max_tokens} tokens")),
        ] {
            if n > 0 {
                tracker.note(&format!("`{}`: {n} {what}", config.name));
            }
        }
        let drawing = ExampleConfig {
            task: task.clone(),
            balance: config.balance,
            examples_per_text: config.examples_per_text,
            seed,
        };
        let examples =
            examples(&dataset, &tokens, &model.tokenizer, &drawing).map_err(unfit(&config.path))?;
        let texts = Self { tokens, examples, hash: dataset.hash, files };
        texts.split(config, &texts.examples, seed)?;
        Ok(texts)
    }

    /// Divides examples, of which some may have been left out since the texts were read.
    pub(crate) fn split(
        &self,
        config: &DataConfig,
        examples: &ExampleSet,
        seed: u64,
    ) -> Result<Split, SweepError> {
        self.files.split(config, examples, seed, |sequence| self.tokens.text_rows[sequence])
    }
}

/// Activations that bring their labels.
pub(crate) struct LabelledActivations {
    pub(crate) external: ExternalActivations,
    pub(crate) examples: ExampleSet,
    pub(crate) split: Split,
}

impl LabelledActivations {
    /// Reads them and divides their examples.
    pub(crate) fn read(config: &DataConfig, seed: u64) -> Result<Self, SweepError> {
        let (external, files) = read_activations(config)?;
        let examples =
            ExampleSet::from_external(&external).ok_or_else(|| no_labels(&config.path))?;
        let split = files.split(config, &examples, seed, |sequence| sequence)?;
        Ok(Self { external, examples, split })
    }
}
