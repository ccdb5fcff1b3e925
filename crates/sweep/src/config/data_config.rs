//! One data set of a sweep as a person writes it.

use std::path::{Path, PathBuf};

use attention_probes_activations::{LabelKind, Quoting, TableFormat, Target, is_on_hub};
use serde::{Deserialize, Serialize};

/// One data set and what is asked of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Name in the results; the file's name without its ending by default.
    pub name: String,
    /// A `.csv`, `.tsv`, `.jsonl`, or `.parquet` file, or a data set of the Hub,
    /// `hf://datasets/org/name[@revision][/path]`; a folder of Gurnee et al.; or activations: an
    /// `.npz`, a `.safetensors`, or a folder of shards.
    pub path: PathBuf,
    /// Which feature of a folder of Gurnee et al.; it may be left out where there is only one, or
    /// where texts have classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// The `tokenizer.json` that the tokens of a folder of Gurnee et al. are of; that of the model if
    /// left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// Which hook of activations, or `<model>_<layer>` of a MOSAIC folder; without it every layer
    /// that is there is probed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// Token whose run at either end of an example of a MOSAIC folder is padding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pad_token_id: Option<u32>,
    /// Which split of a data set of the Hub is divided.
    pub split: String,
    /// Column of the text.
    pub text: String,
    /// Column of the label.
    pub label: String,
    /// What a label is: `class`, `number`, `labels`, or `distribution`; a class if left out, unless
    /// the labels are more than 30 numbers, which are then refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_kind: Option<LabelKind>,
    /// What a quote means in CSV and TSV files: `minimal`, a field may stand in quotes, or `none`, it
    /// is a character like any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quoting: Option<Quoting>,
    /// Character before a quote within a quoted field of CSV and TSV files, such as `\\`, beside a
    /// doubled quote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escape: Option<char>,
    /// What stands between several labels in CSV and TSV files, `;` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_separator: Option<String>,
    /// Columns of the good and the bad text of minimal pairs, instead of text and label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<[String; 2]>,
    /// `sequence`, `current_token`, `next_token`, or `tokens`.
    pub task: String,
    /// What a token task looks for: a text, or a list of texts of which any counts.
    pub target: Target,
    /// Column of the words of the task `tokens`.
    pub tokens: String,
    /// Column of their tags.
    pub tags: String,
    /// Column of their places in the text, `[start, end]` in characters, instead of the words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offsets: Option<String>,
    /// Longest text in tokens; longer ones are cut.
    pub max_tokens: usize,
    /// Whether `current_token` and `next_token` take as many negative as positive examples; if not
    /// given they do.
    pub balance: Option<bool>,
    /// Most examples that a token task takes from one text.
    pub examples_per_text: usize,
    /// The examples that choose a trial.
    pub validation: HeldOut,
    /// The examples that judge it.
    pub test: HeldOut,
    /// Column whose equal values stay on one side of the split; of files held out, all rows are on
    /// their own side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What a class weighs in the loss: by default `equal` for whole texts and activations, and
    /// `sqrt` for token tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
}

/// What a class weighs in the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassWeights {
    /// Every class 1.
    Equal,
    /// The square root of how many times rarer it is than the most frequent one, at most 5; of two
    /// classes only the second, which then may weigh less than 1 too.
    Sqrt,
    /// One over its share, so that all classes count the same.
    Balanced,
}

/// Where examples that nothing is trained on come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a share such as 0.1, or the path of a file")]
pub enum HeldOut {
    /// This share of the examples of [`DataConfig::path`].
    Share(f64),
    /// All examples of another file of the same form; of a data set of the Hub that names no file,
    /// the split `validation` or `test`.
    File(PathBuf),
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            path: PathBuf::new(),
            feature: None,
            tokenizer: None,
            hook: None,
            pad_token_id: None,
            split: "train".to_owned(),
            text: "text".to_owned(),
            label: "label".to_owned(),
            label_kind: None,
            quoting: None,
            escape: None,
            label_separator: None,
            pair: None,
            task: "sequence".to_owned(),
            target: Target::default(),
            tokens: "tokens".to_owned(),
            tags: "tags".to_owned(),
            offsets: None,
            max_tokens: 256,
            balance: None,
            examples_per_text: 8,
            validation: HeldOut::Share(0.1),
            test: HeldOut::Share(0.2),
            group: None,
            class_weights: None,
        }
    }
}

impl HeldOut {
    /// The share; 0 of a file's own examples.
    pub fn share(&self) -> f64 {
        if let Self::Share(share) = self { *share } else { 0.0 }
    }

    /// The file.
    pub(crate) fn file(&self) -> Option<&Path> {
        if let Self::File(path) = self { Some(path) } else { None }
    }

    fn file_mut(&mut self) -> Option<&mut PathBuf> {
        if let Self::File(path) = self { Some(path) } else { None }
    }
}

impl DataConfig {
    /// What a label is.
    pub fn label_kind(&self) -> LabelKind {
        self.label_kind.unwrap_or_default()
    }

    /// How the fields of CSV and TSV files are written.
    pub fn format(&self) -> TableFormat {
        TableFormat { quoting: self.quoting, escape: self.escape }
    }

    /// Every file of this machine that is named.
    pub(crate) fn paths_mut(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let held_out =
            [&mut self.validation, &mut self.test].into_iter().filter_map(HeldOut::file_mut);
        let is_local = |path: &&mut PathBuf| !path.as_os_str().is_empty() && !is_on_hub(path);
        let paths = std::iter::once(&mut self.path).chain(&mut self.tokenizer).chain(held_out);
        paths.filter(is_local)
    }
}
