//! What looks wrong in data or results, with its number and the remedy.

use serde::{Deserialize, Serialize};

/// What looks wrong, and what to do about it.
///
/// A warning never changes a result: it is shown below the table of its data set on the terminal,
/// in the JSON, and on top of the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What kind of thing it is, for programs.
    pub kind: WarningKind,
    /// Prefix of the file names of the architecture that it is about; `None` if it is about the
    /// data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_name: Option<String>,
    /// One sentence for a person, with the number and the remedy; lowercase, no full stop.
    pub message: String,
}

/// The kinds of warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WarningKind {
    /// Every trial of an architecture diverged.
    Diverged,
    /// The chosen exact fit did not reach its minimum.
    NotConverged,
    /// The best learning rate or penalty lies at an end of its list.
    EndOfList,
    /// Validation loss still fell when training ended.
    FallingLoss,
    /// A linear probe that `AdamW` trained is worse than the exact solution.
    WorseThanExact,
    /// A file held out has texts, or examples of activations, that are in another file too.
    SharedTexts,
    /// Equal texts, or equal activations, have different labels.
    ContradictingLabels,
    /// Names of classes look alike, or stand for no label.
    ClassNames,
    /// A file held out has no example of a class.
    MissingClass,
    /// A class has fewer than ten test examples.
    FewTestExamples,
    /// Accuracy is high because nearly all examples are of one class.
    Unbalanced,
    /// Numbers differ by less than outputs can hold next to their mean.
    CoarseNumbers,
}

impl Warning {
    /// A warning about the data.
    pub fn of_data(kind: WarningKind, message: String) -> Self {
        Self { kind, config_name: None, message }
    }

    /// A warning about an architecture, whose message begins with its name.
    pub fn of_architecture(kind: WarningKind, config_name: &str, message: &str) -> Self {
        let message = format!("`{config_name}`: {message}");
        Self { kind, config_name: Some(config_name.to_owned()), message }
    }
}
