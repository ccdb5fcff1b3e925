//! Sides of a split, and why examples could not be divided into them.

use std::fmt;

use attention_probes_errors::ErrorKind;

/// One side of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// [`Split::train`](crate::Split::train).
    Train,
    /// [`Split::validation`](crate::Split::validation).
    Validation,
    /// [`Split::test`](crate::Split::test).
    Test,
}

impl Side {
    pub(super) const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

/// Why examples could not be divided into sides.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// The shares of a split leave nothing to train on, or are no shares.
    #[error(
        "`validation` is {validation} and `test` is {test}, expected shares from 0 on that \
         together stay below 1"
    )]
    Shares {
        /// Share of the validation side.
        validation: f64,
        /// Share of the test side.
        test: f64,
    },
    /// A side of a split would be empty.
    #[error(
        "{n_examples} examples{} are too few for the {side} side; add some, or change its share",
        in_groups(*n_groups)
    )]
    EmptySide {
        /// The side.
        side: Side,
        /// Number of examples.
        n_examples: usize,
        /// Number of groups that stay on one side each, such as equal texts, where there are any.
        n_groups: Option<usize>,
    },
    /// Every class is too rare to be on every side.
    #[error(
        "{n_examples} examples have {n_classes} classes, each at most {n_times}, which leaves the \
         {side} side empty; is this the column of the label?",
        n_times = if *most == 1 { "once" } else { "twice" }
    )]
    RareClasses {
        /// The side.
        side: Side,
        /// Number of examples.
        n_examples: usize,
        /// Number of classes.
        n_classes: usize,
        /// Examples of the most frequent class.
        most: usize,
    },
    /// A side of a split would lack a class.
    #[error(
        "the {side} side has no example of class {class}, whose {n_examples} examples lie in \
         {n_groups} groups, equal texts being one group; add other texts of the class, or group \
         by a finer column"
    )]
    ClassMissing {
        /// The side.
        side: Side,
        /// The class.
        class: usize,
        /// Examples of the class, on all sides.
        n_examples: usize,
        /// Groups that these examples lie in.
        n_groups: usize,
    },
}

impl SplitError {
    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// The groups of examples, in words.
fn in_groups(n_groups: Option<usize>) -> String {
    match n_groups {
        Some(1) => " in one group, which stays on one side,".to_owned(),
        Some(n) => format!(" in {n} groups, which stay on one side each,"),
        None => String::new(),
    }
}
