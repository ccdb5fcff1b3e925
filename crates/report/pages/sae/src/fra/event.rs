//! What a run over many texts tells of itself.

use std::path::Path;

use attention_probes_sae::SaeError;
use attention_probes_sae::fra::{FraProgress, InductionHead};

/// What a run over many texts tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum FraRunEvent<'a> {
    /// It goes on with what a stopped run left.
    GoesOn {
        /// The checkpoint.
        path: &'a Path,
        /// Number of texts in it.
        n_texts: u64,
    },
    /// Which head looks most behind earlier occurrences of a token.
    Head(InductionHead),
    /// The page of an autoencoder was written.
    SaePage {
        /// The page.
        path: &'a Path,
        /// Its size.
        size_bytes: usize,
        /// Number of features that it shows.
        n_features: usize,
    },
    /// How far it is.
    Progress(FraProgress),
    /// A text has no page, because its scores, which statistics do not read, are not finite.
    NoPage {
        /// Row of the text.
        row: u64,
        /// What is not finite.
        error: SaeError,
    },
}
