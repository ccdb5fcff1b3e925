//! Why a data set of Gurnee et al. could not be read.

use std::path::PathBuf;

use attention_probes_errors::{ErrorKind, did_you_mean};

use crate::HaystackFamily;
use crate::wording::shown;

/// Why a data set of Gurnee et al. could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HaystackError {
    /// A folder cannot be read by this build.
    #[error("`{}` cannot be read: build with feature `arrow`", path.display())]
    NoArrow {
        /// The folder.
        path: PathBuf,
    },
    /// A folder of `datasets` has another name than those of Gurnee et al.
    #[error(
        "`{}` is of the Python library `datasets`, but not `FAMILY.TOKENIZER.LENGTH.NUMBER` with \
         one of the families {} by its name; write it as text: \
         `datasets.load_from_disk(FOLDER).to_json(\"data.jsonl\")`",
        path.display(),
        HaystackFamily::names()
    )]
    Name {
        /// The folder.
        path: PathBuf,
    },
    /// `state.json` does not name the files of a folder.
    #[error("`{}` is damaged or of another version: {fault}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: &'static str,
    },
    /// A file is no stream of Arrow's, or a damaged one.
    #[error("`{}` is damaged: it has {fault}; copy it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: &'static str,
    },
    /// A file of Arrow's cannot be decoded.
    #[cfg(feature = "arrow")]
    #[error("`{}` is not a readable file of Arrow's stream format", path.display())]
    Arrow {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: arrow_schema::ArrowError,
    },
    /// The labels of a family are numbers.
    #[error(
        "`{}` has a number for each token, which no probe here learns; of another family, every \
         feature is read",
        path.display()
    )]
    Numbers {
        /// The folder.
        path: PathBuf,
    },
    /// The labels of a family are of tokens alone.
    #[error("`{}` has labels of tokens and none of whole texts; set the task to `tokens`", path.display())]
    NoTextLabels {
        /// The folder.
        path: PathBuf,
    },
    /// A folder has several features, and none is named.
    #[error("`{}` has several features, set `feature` to one of them: {}", path.display(), all(features))]
    WhichFeature {
        /// The folder.
        path: PathBuf,
        /// Their names.
        features: Vec<String>,
    },
    /// A feature does not exist.
    #[error(
        "`{}` has no feature `{}`; features: {}{}",
        path.display(), shown(feature), all(features),
        did_you_mean(nearest.as_deref())
    )]
    NoFeature {
        /// The folder.
        path: PathBuf,
        /// The feature that was asked for.
        feature: String,
        /// The features that exist.
        features: Vec<String>,
        /// The one that looks most like it.
        nearest: Option<String>,
    },
    /// A label is of a token that is not there.
    #[error("`{}` row {row} labels token {place}, but has {n_tokens}", path.display())]
    Place {
        /// The folder.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The token, from 0.
        place: i64,
        /// Number of tokens of the row.
        n_tokens: usize,
    },
    /// A row has more or fewer classes than tokens that are labelled.
    #[error("`{}` row {row} labels {n_places} tokens, but has {n_classes} classes", path.display())]
    ClassCount {
        /// The folder.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// Number of tokens that are labelled.
        n_places: usize,
        /// Number of classes.
        n_classes: usize,
    },
    /// A token is not of the tokenizer.
    #[error(
        "`{}` row {row} has token {id}, which is none of the tokenizer's {n_tokens}; set \
         `tokenizer` to the `tokenizer.json` that the data were made with",
        path.display()
    )]
    TokenId {
        /// The folder.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The token.
        id: i64,
        /// Number of tokens that the tokenizer has.
        n_tokens: usize,
    },
}

impl HaystackError {
    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// Every feature: a person has to choose one, so none is left out.
fn all(features: &[String]) -> String {
    let features: Vec<String> = features.iter().map(|name| format!("`{}`", shown(name))).collect();
    features.join(", ")
}
