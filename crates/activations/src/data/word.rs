//! A word of a text.

/// A word of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word {
    /// Where it begins, in bytes of the text.
    pub start: usize,
    /// Where it ends, in bytes of the text.
    pub end: usize,
    /// Its class, an index into [`Dataset::classes`](crate::Dataset::classes); `None` if it has no tag.
    pub label: Option<usize>,
}
