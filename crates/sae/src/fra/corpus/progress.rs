//! What long work on many texts tells of itself.

/// What long work on many texts tells while it goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum FraProgress {
    /// The pairs of some texts are in the statistics.
    Added {
        /// Number of those texts.
        done: usize,
        /// Number of all.
        total: usize,
    },
    /// A text is left out of the statistics, because an activation is not finite.
    LeftOut {
        /// Its row.
        row: u64,
        /// Place of the first such activation.
        index: usize,
        /// The activation.
        value: f32,
    },
    /// Some texts were looked at once more.
    LookedAt {
        /// Number of those texts.
        done: usize,
        /// Number of all.
        total: usize,
    },
}
