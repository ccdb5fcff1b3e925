//! Why texts, words, or activations cannot be used for an evaluation.

use attention_probes_errors::ErrorKind;
use attention_probes_models::HookPoint;

/// Why texts, words, or activations cannot be used for an evaluation.
///
/// A field `setting` names what the caller can change; a front end may put its own name in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A row has no value in a column.
    #[error("`{from}` row {row}: column `{column}` holds nothing")]
    EmptyCell {
        /// The data.
        from: String,
        /// Row, counted from 0.
        row: usize,
        /// The column.
        column: String,
    },
    /// Activations are not as wide as the autoencoder reads.
    #[error("`{from}`: `x` is {found} wide, but the autoencoder reads rows of {expected}")]
    Width {
        /// The data.
        from: String,
        /// Width of the activations.
        found: usize,
        /// What the autoencoder reads.
        expected: usize,
    },
    /// Activations have no labels.
    #[error("`{from}` has no labels, which this evaluation needs")]
    NoLabels {
        /// The data.
        from: String,
    },
    /// Every text has one label.
    #[error("`{from}`: every label is `{class}`, at least two are needed")]
    OneLabel {
        /// The data.
        from: String,
        /// The label.
        class: String,
    },
    /// A class has too few texts.
    #[error(
        "`{from}`: too few texts of class `{class}`: {n}, at least {needed} are needed; leave its \
         rows out, or name another column"
    )]
    FewTexts {
        /// The data.
        from: String,
        /// The class.
        class: String,
        /// Its texts.
        n: usize,
        /// How many it needs.
        needed: usize,
    },
    /// Too few texts may be read for the number of classes.
    #[error("`{setting}` is {max_texts}, but {what} at least {needed} texts")]
    MaxTexts {
        /// What the caller can raise.
        setting: &'static str,
        /// What it is.
        max_texts: usize,
        /// Who needs more, with its verb.
        what: String,
        /// How many are needed.
        needed: usize,
    },
    /// A class has no text on one side of a split.
    #[error("`{from}`: with `{setting} {test}` a class has no text on one side")]
    OneSide {
        /// The data.
        from: String,
        /// What the caller can change.
        setting: &'static str,
        /// What it is.
        test: f64,
    },
    /// Every row has one value.
    #[error("`{from}`: every row has `{value}` in `{column}`, two are needed")]
    OneValue {
        /// The data.
        from: String,
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// A column has more than two values, and none was chosen.
    #[error("`{from}`: `{column}` has {n} values, choose two with `{setting}`: {values}")]
    ManyValues {
        /// The data.
        from: String,
        /// The column.
        column: String,
        /// How many there are.
        n: usize,
        /// What the caller can set.
        setting: &'static str,
        /// The first of them.
        values: String,
    },
    /// A value that was chosen does not occur.
    #[error("`{from}`: no row has `{value}` in `{column}`, whose values are {values}")]
    UnknownValue {
        /// The data.
        from: String,
        /// The column.
        column: String,
        /// What was chosen.
        value: String,
        /// The first of those that occur.
        values: String,
    },
    /// The two values that were chosen are the same.
    #[error("`{setting}` needs two different values")]
    SameValues {
        /// What the caller can set.
        setting: &'static str,
    },
    /// A mix of label and attribute is too rare.
    #[error(
        "`{from}`: too few texts that are both `{label}` and `{value}`: {n}, at least {needed} are \
         needed"
    )]
    FewMixed {
        /// The data.
        from: String,
        /// The label.
        label: String,
        /// The attribute's value.
        value: String,
        /// How many there are.
        n: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A model has too few words of one token.
    #[error(
        "absorption reads words that are one token of letters, `{model}` gives {n}, at least \
         {needed} are needed; raise `{setting}`, or take another model"
    )]
    FewWords {
        /// The model.
        model: String,
        /// Its words, as many as may be read.
        n: usize,
        /// How many are needed.
        needed: usize,
        /// What the caller can raise.
        setting: &'static str,
    },
    /// Too few letters have a good probe.
    #[error(
        "there is no result: at `{hook}` of `{model}` at most {most} of {n_letters} letters have a \
         probe with F1 above {min_f1}, and {needed} are needed; lower `{setting}`, or take another \
         layer or model"
    )]
    FewLetters {
        /// Where the activations are.
        hook: HookPoint,
        /// The model.
        model: String,
        /// Letters that have one, of the seed with most.
        most: usize,
        /// All letters.
        n_letters: usize,
        /// What a good probe has.
        min_f1: f64,
        /// How many are needed.
        needed: usize,
        /// What the caller can lower.
        setting: &'static str,
    },
}

impl EvalError {
    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}
