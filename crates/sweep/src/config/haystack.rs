//! Folders of Gurnee et al., *Finding Neurons in a Haystack*, as data sets.

use std::path::Path;

use attention_probes_activations::{
    Dataset, HaystackConfig, HaystackFolder, Task, is_datasets_folder,
};
use attention_probes_models::Tokenizer;

use crate::SweepError;
use crate::config::DataConfig;

/// The tokenizer of a model.
pub(crate) struct ModelTokenizer<'a> {
    /// What the model is called.
    pub(crate) name: &'a str,
    pub(crate) tokenizer: &'a Tokenizer,
}

/// Reads a folder of Gurnee et al.
pub(crate) fn read_haystack(
    config: &DataConfig,
    path: &Path,
    task: &Task,
    model: &ModelTokenizer<'_>,
) -> Result<Dataset, SweepError> {
    let folder = HaystackFolder::open(path)?;
    let given = config.tokenizer.as_deref().map(Tokenizer::from_file).transpose()?;
    if given.is_none() && !folder.is_made_for(model.name) {
        return Err(SweepError::Contradiction {
            key: "data.tokenizer",
            reason: "is missing: by its name, the folder's tokens are of another tokenizer than \
                     the model's; give the `tokenizer.json` that they are of",
        });
    }
    let tokenizer = given.as_ref().unwrap_or(model.tokenizer);
    let reading = HaystackConfig {
        feature: config.feature.clone(),
        group: config.group.clone(),
        of_texts: *task == Task::Sequence,
    };
    Ok(Dataset::read_haystack(&config.name, &folder, tokenizer, &reading)?)
}

/// What such a folder is called in the results, with its feature; `None` of anything else.
pub(crate) fn haystack_name(data: &DataConfig) -> Option<String> {
    let folder =
        is_datasets_folder(&data.path).then(|| HaystackFolder::open(&data.path).ok())??;
    let name = match &data.feature {
        Some(feature) => format!("{}-{feature}", folder.name()),
        None => folder.name().to_owned(),
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
    Some(name.chars().map(plain).collect())
}

/// Refuses keys that make no sense for a folder of Gurnee et al., or only for one.
pub(crate) fn check_haystack(data: &DataConfig, task: &Task) -> Result<(), SweepError> {
    if !is_datasets_folder(&data.path) {
        let of_haystack = [
            (data.feature.is_some(), "data.feature"),
            (data.tokenizer.is_some(), "data.tokenizer"),
        ];
        let reason = "is for a folder of Gurnee et al. as `data.path`, remove it";
        return match of_haystack.into_iter().find(|(is_set, _)| *is_set) {
            Some((_, key)) => Err(SweepError::Contradiction { key, reason }),
            None => Ok(()),
        };
    }
    let folder = HaystackFolder::open(&data.path)?;
    let default = DataConfig::default();
    let of_text = [
        (data.text != default.text, "data.text"),
        (data.label != default.label, "data.label"),
        (!data.label_kind().is_class(), "data.label_kind"),
        (data.pair.is_some(), "data.pair"),
        (data.tokens != default.tokens, "data.tokens"),
        (data.tags != default.tags, "data.tags"),
        (data.offsets.is_some(), "data.offsets"),
    ];
    if let Some((_, key)) = of_text.into_iter().find(|(is_set, _)| *is_set) {
        let reason = "is not allowed with a folder of Gurnee et al., whose labels are those of \
                      `data.feature`; remove it";
        return Err(SweepError::Contradiction { key, reason });
    }
    let reason = match (task, folder.family().has_classes_of_texts()) {
        (Task::Tokens, _) | (Task::Sequence, true) => return Ok(()),
        (_, true) => "must be `sequence`, the class of a text, or `tokens` for this folder",
        (_, false) => "must be `tokens` for this folder, whose labels are of tokens",
    };
    Err(SweepError::Contradiction { key: "data.task", reason })
}
