//! Activations of a file for an autoencoder, in pieces that are encoded together.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{ExternalActivations, ExternalConfig, TOKENS_PER_FORWARD};
use tracing::warn;

use crate::exit::InputError;
use crate::sae::kept::Kept;

/// Reads activations that are as wide as the autoencoder reads, with their classes if asked to.
pub(super) fn read(path: &Path, kept: Kept<'_>, with_labels: bool) -> Result<ExternalActivations> {
    kept.warn_of_scale();
    let sae = kept.sae;
    let config = ExternalConfig { with_labels, ..ExternalConfig::default() };
    let external = ExternalActivations::read_with(path, &config)?;
    let (found, expected) = (external.d_model, sae.config.d_in);
    if found != expected {
        let path = path.display();
        let reason =
            format!("`{path}`: `x` is {found} wide, but the autoencoder reads rows of {expected}");
        return Err(InputError(reason).into());
    }
    if with_labels && external.labels.is_none() {
        return Err(ExternalActivations::no_labels(path).into());
    }
    if !external.skipped.is_empty() {
        let n = external.skipped.len();
        warn!("{n} examples left out: NaN or infinity in a real token, or no real token");
    }
    Ok(external)
}

/// Examples by number, as many as fit into one piece, or one that does not.
pub(super) fn batches(offsets: &[usize]) -> Vec<Range<usize>> {
    let n = offsets.len() - 1;
    let mut batches = Vec::new();
    let mut first = 0;
    while first < n {
        let fits = |end: &&usize| **end - offsets[first] <= TOKENS_PER_FORWARD;
        let n_fitting = offsets[first + 1..].iter().take_while(fits).count();
        batches.push(first..first + n_fitting.max(1));
        first += n_fitting.max(1);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_in_one_batch_and_a_long_one_is_alone() {
        let n = TOKENS_PER_FORWARD;
        assert_eq!(batches(&[0, 1, n, n + 1, 3 * n]), [0..2, 2..3, 3..4]);
        assert_eq!(batches(&[0, 2 * n]), vec![0..1]);
    }
}
