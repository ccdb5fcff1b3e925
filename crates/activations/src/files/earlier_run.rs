//! What becomes of a run that is in a folder already.

/// What becomes of a run that is in a folder already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlierRun {
    /// It stays, and the new one is refused.
    #[default]
    Refuse,
    /// It goes on where it was stopped.
    Resume,
    /// It is replaced; what is not of the run stays.
    Overwrite,
}
