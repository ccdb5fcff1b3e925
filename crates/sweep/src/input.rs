//! What a data set brings before any activation is computed.

use std::path::{Path, PathBuf};

use attention_probes_activations::{
    ActivationError, Dataset, DatasetConfig, ExampleConfig, ExampleSet, ExternalActivations, Split,
    SplitConfig, Task, TokenizeConfig, TokenizedDataset, examples, stratified_split, tokenize,
};
use attention_probes_models::LanguageModel;

use crate::SweepError;
use crate::config::DataConfig;
use crate::tracker::Tracker;

/// Texts as tokens, with the examples of their task.
pub(crate) struct Texts {
    pub(crate) tokens: TokenizedDataset,
    pub(crate) examples: ExampleSet,
    pub(crate) hash: String,
}

impl Texts {
    /// Reads and tokenizes the texts, draws the examples, and tries to divide them.
    ///
    /// Tokens are kept in `cache`, if it is given.
    pub(crate) fn read(
        config: &DataConfig,
        task: &Task,
        seed: u64,
        model: &LanguageModel,
        cache: Option<PathBuf>,
        tracker: &mut dyn Tracker,
    ) -> Result<Self, SweepError> {
        let columns = DatasetConfig {
            text: config.text.clone(),
            label: config.label.clone(),
            group: config.group.clone(),
        };
        let dataset = Dataset::read(&config.name, &config.path, &columns, *task == Task::Sequence)?;
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
        split(config, &examples, seed)?;
        Ok(Self { tokens, examples, hash: dataset.hash })
    }
}

/// Reads activations that bring their labels, makes their examples, and tries to divide them.
pub(crate) fn read_external(
    config: &DataConfig,
    seed: u64,
) -> Result<(ExternalActivations, ExampleSet), SweepError> {
    let external = ExternalActivations::read(&config.path)?;
    let examples =
        ExampleSet::from_external(&external).ok_or_else(|| ActivationError::MissingArray {
            path: config.path.clone(),
            array: "y",
            arrays: vec!["x".to_owned(), "mask".to_owned()],
        })?;
    if let [class] = &examples.classes[..] {
        let name = config.path.display().to_string();
        return Err(ActivationError::OneClass { name, class: class.clone() }.into());
    }
    split(config, &examples, seed)?;
    Ok((external, examples))
}

/// Divides examples into those to train on, to choose by, and to judge by.
pub(crate) fn split(
    config: &DataConfig,
    examples: &ExampleSet,
    seed: u64,
) -> Result<Split, SweepError> {
    let shares = SplitConfig { validation: config.validation, test: config.test, seed };
    stratified_split(&examples.labels(), examples.groups.as_deref(), &shares)
        .map_err(unfit(&config.path))
}

/// Names the file where the error itself does not.
fn unfit(path: &Path) -> impl Fn(ActivationError) -> SweepError {
    move |source| SweepError::Data { path: path.to_owned(), source: Box::new(source) }
}
