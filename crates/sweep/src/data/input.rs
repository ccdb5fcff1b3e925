//! What a data set brings before any activation is computed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use attention_probes_activations::{
    ActivationError, Dataset, Example, ExampleConfig, ExampleSet, ExternalActivations, Labels,
    Side, Split, Task, TokenizeConfig, TokenizedDataset, examples, text_key, tokenize,
};
use attention_probes_models::LanguageModel;

use crate::SweepError;
use crate::config::DataConfig;
use crate::config::haystack::ModelTokenizer;
use crate::data::activation_sites::{ActivationSites, LeftOut};
use crate::data::held_out::{Files, Sources, no_labels, read_activations, read_texts, unfit};
use crate::data::leaks::{
    Compared, contradicting_activations, contradicting_texts, doubtful_classes,
};
use crate::data::sides::{check_sides, class_missing};
use crate::tracker::Tracker;
use crate::warning::Warning;

/// Fewest words of a tag: one for each side of a split.
const MIN_WORDS: usize = 3;

/// Texts as tokens, with the examples of their task.
pub(crate) struct Texts {
    pub(crate) tokens: TokenizedDataset,
    pub(crate) examples: ExampleSet,
    pub(crate) hash: String,
    /// Labels other than classes, one for each text.
    pub(crate) targets: Option<Labels>,
    /// Row of each sequence in its file.
    pub(crate) rows: Vec<usize>,
    /// Number of each sequence that equal texts share.
    pub(crate) keys: Vec<u64>,
    /// What looks wrong in the data.
    pub(crate) warnings: Vec<Warning>,
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
        let known = ModelTokenizer { name: &model.name, tokenizer: &model.tokenizer };
        let (dataset, files) = read_texts(config, sources, task, &known)?;
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
            balance: config.balance.unwrap_or(true),
            examples_per_text: config.examples_per_text,
            seed,
        };
        let examples =
            examples(&dataset, &tokens, &model.tokenizer, &drawing).map_err(unfit(&config.path))?;
        let rows = tokens.text_rows.iter().map(|&text| dataset.source_rows[text]).collect();
        let keys: Vec<u64> =
            tokens.text_rows.iter().map(|&text| text_key(&dataset.texts[text])).collect();
        let sides = tokens.text_rows.iter().map(|&text| files.side(text)).collect();
        let compared = Compared { keys: &keys, sides, things: "texts" };
        let mut warnings = compared.shared(config);
        warnings.extend(contradicting_texts(task, &dataset, &compared, &tokens.text_rows));
        let Dataset { hash, targets, .. } = dataset;
        let mut texts = Self { tokens, examples, hash, targets, rows, keys, warnings, files };
        if *task == Task::Tokens {
            texts.remove_rare_tags(config, seed, tracker)?;
        }
        let split = texts.split(config, &texts.examples, seed)?;
        if let Some(targets) = &texts.targets {
            let row = |example: &Example| texts.tokens.text_rows[example.sequence];
            let rows: Vec<usize> = texts.examples.examples.iter().map(row).collect();
            check_sides(config, &targets.select(&rows), &split)?;
        }
        texts.warnings.extend(doubtful_classes(config, &texts.examples, &split));
        Ok(texts)
    }

    /// Leaves out tags with fewer than three examples, and those that do not reach every side of the
    /// split.
    fn remove_rare_tags(
        &mut self,
        config: &DataConfig,
        seed: u64,
        tracker: &mut dyn Tracker,
    ) -> Result<(), SweepError> {
        let (name, n) = (&config.name, self.examples.n_skipped_words);
        if n > 0 {
            tracker.note(&format!(
                "`{name}`: {n} words skipped, they share a token with a word of another tag, or \
                 have none"
            ));
        }
        let mut removed: Vec<String> = Vec::new();
        loop {
            let rare = self.rare_tags(config, seed)?;
            if rare.is_empty() {
                break;
            }
            removed.extend(rare.iter().map(|&tag| self.examples.classes[tag].clone()));
            self.examples.remove_classes(&rare);
            if let [] | [_] = self.examples.classes[..] {
                let class = self.examples.classes.first().cloned().unwrap_or_default();
                let name = name.clone();
                return Err(unfit(&config.path)(ActivationError::OneClass { name, class }));
            }
        }
        if !removed.is_empty() {
            tracker.note(&format!(
                "`{name}`: tags left out, they are too rare to be on every side of the split: {}",
                removed.join(", ")
            ));
        }
        Ok(())
    }

    /// Tags that are too rare, some of them at least; none if every tag is on every side.
    fn rare_tags(&self, config: &DataConfig, seed: u64) -> Result<BTreeSet<usize>, SweepError> {
        let counts = self.examples.class_counts();
        let too_few: BTreeSet<usize> =
            (0..counts.len()).filter(|&tag| counts[tag] < MIN_WORDS).collect();
        if !too_few.is_empty() {
            return Ok(too_few);
        }
        let split = match self.split(config, &self.examples, seed) {
            Ok(split) => split,
            Err(error) => {
                return match class_missing(&error) {
                    Some(class) => Ok(BTreeSet::from([class])),
                    None => Err(error),
                };
            }
        };
        let labels = self.examples.labels();
        let lacks = |side: &[usize], tag| side.iter().all(|&example| labels[example] != tag);
        let sides = [split.train, split.validation, split.test];
        Ok((0..counts.len()).filter(|&tag| sides.iter().any(|side| lacks(side, tag))).collect())
    }

    /// The side that each sequence's file is for; `None` if it is to be divided.
    pub(crate) fn sides(&self) -> Vec<Option<Side>> {
        self.tokens.text_rows.iter().map(|&text| self.files.side(text)).collect()
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

/// Activations of one site that bring their labels.
pub(crate) struct LabelledActivations {
    pub(crate) external: ExternalActivations,
    pub(crate) examples: ExampleSet,
    pub(crate) split: Split,
    /// Number of each example that equal activations share.
    pub(crate) keys: Vec<u64>,
    /// What looks wrong in the data.
    pub(crate) warnings: Vec<Warning>,
    files: Files,
}

impl LabelledActivations {
    /// Reads them and divides their examples.
    pub(crate) fn read(
        config: &DataConfig,
        (sites, site): (&ActivationSites, usize),
        left_out: &LeftOut,
        seed: u64,
    ) -> Result<Self, SweepError> {
        let (external, files) = read_activations(config, sites, site, left_out)?;
        let keys = external.keys();
        let examples =
            ExampleSet::from_external(&external, &keys).ok_or_else(|| no_labels(&config.path))?;
        let split = files.split(config, &examples, seed, |sequence| sequence)?;
        if let Some(targets) = &external.targets {
            check_sides(config, targets, &split)?;
        }
        let of_example = |example| files.side(example);
        let compared = Compared {
            keys: &keys,
            sides: (0..keys.len()).map(of_example).collect(),
            things: "examples",
        };
        let mut warnings = compared.shared(config);
        warnings.extend(contradicting_activations(&external, &compared));
        warnings.extend(doubtful_classes(config, &examples, &split));
        Ok(Self { external, examples, split, keys, warnings, files })
    }

    /// The side that each example's file is for; `None` if it is to be divided.
    pub(crate) fn sides(&self) -> Vec<Option<Side>> {
        (0..self.keys.len()).map(|example| self.files.side(example)).collect()
    }
}
