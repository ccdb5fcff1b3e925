//! Why a metric could not be computed.

use attention_probes_errors::{ErrorKind, ValueError};

/// Why a metric could not be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// There is no example.
    #[error("`{name}` is empty, expected at least one example")]
    Empty {
        /// Argument that is empty.
        name: &'static str,
    },
    /// Two arguments that describe the same examples differ in length.
    #[error("`{name}` has length {length}, expected {expected}")]
    LengthMismatch {
        /// Argument that does not fit the labels.
        name: &'static str,
        /// Its length.
        length: usize,
        /// The length that would fit.
        expected: usize,
    },
    /// A class index is not below the number of classes.
    #[error("`{name}[{index}]` is {label}, expected a class below {n_classes}")]
    LabelOutOfRange {
        /// Argument that holds the class index.
        name: &'static str,
        /// Position in that argument.
        index: usize,
        /// The class index.
        label: usize,
        /// Number of classes.
        n_classes: usize,
    },
    /// A score is NaN or infinite.
    #[error("`{name}[{index}]` is {value}, expected a finite number")]
    NotFinite {
        /// Argument that holds the score.
        name: &'static str,
        /// Position in that argument.
        index: usize,
        /// The score.
        value: f64,
    },
    /// A probability lies outside 0 to 1.
    #[error("`{name}[{index}]` is {value}, expected a probability from 0 to 1, not a logit")]
    NotAProbability {
        /// Argument that holds the value.
        name: &'static str,
        /// Position in that argument.
        index: usize,
        /// The value.
        value: f64,
    },
    /// The probabilities of one example do not add up to 1.
    #[error("the probabilities of example {row} sum to {sum}, expected 1")]
    RowSum {
        /// Example whose probabilities these are.
        row: usize,
        /// Their sum.
        sum: f64,
    },
    /// A ranking needs examples of two classes.
    #[error("every label is of one class, expected examples of at least two")]
    OneClass,
    /// Average precision needs a positive example.
    #[error("no label is positive, expected at least one")]
    NoPositives,
    /// A parameter is out of range.
    #[error(transparent)]
    Parameter(#[from] ValueError),
    /// Too few examples, groups, or seeds for what was asked.
    #[error("{n} in `{name}` are too few for this, expected at least {needed}")]
    TooFew {
        /// What there are too few of.
        name: &'static str,
        /// How many there are.
        n: usize,
        /// The smallest number that would do.
        needed: usize,
    },
    /// All values are equal where something is measured by their spread.
    #[error("every value of `{name}` is the same, expected at least two different ones")]
    Constant {
        /// Argument without a spread.
        name: &'static str,
    },
    /// Values that have to rise fall.
    #[error("`{name}[{index}]` breaks the rising order of the values before it")]
    NotRising {
        /// Argument that holds the values.
        name: &'static str,
        /// Position of the first value that is out of order.
        index: usize,
    },
    /// Every example has its true class in front, so the best temperature is 0.
    #[error(
        "the logits make no mistake, so every temperature can be bettered by a lower one; use more \
         examples, or Platt scaling"
    )]
    Separable,
    /// The scores fall where the label rises.
    #[error("the scores do not rise with the labels, so no rising calibrator fits them")]
    Reversed,
    /// A result is too large for an `f64`.
    #[error("`{name}` overflows, expected values whose squares can be added")]
    Overflow {
        /// The result.
        name: &'static str,
    },
    /// The statistic was finite on no resample.
    #[error("the statistic is undefined on all {n_resamples} resamples")]
    UndefinedStatistic {
        /// Number of resamples that were drawn.
        n_resamples: usize,
    },
}

impl MetricError {
    /// [`ErrorKind::Input`]: a metric reads nothing but what it is given.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }

    /// `false`: a metric looks for nothing.
    pub fn is_not_found(&self) -> bool {
        false
    }
}
