//! The beginning of a sequence, with a label.

/// The beginning of a sequence, with a label.
///
/// In a causal model the activations of a prefix do not depend on what follows it, so one forward
/// pass of the sequence serves all its examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Example {
    /// The sequence, an index into [`TokenizedDataset`](crate::TokenizedDataset).
    pub sequence: usize,
    /// Number of tokens that the probe sees, `0..end`.
    pub end: usize,
    /// The class, an index into [`ExampleSet::classes`](crate::ExampleSet::classes).
    pub label: usize,
}
