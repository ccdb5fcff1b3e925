//! An autoencoder of an ablation in memory.

use std::ops::Range;
use std::path::Path;

use crate::guided::{AttentionLayers, ContextRows, GuidanceRecord, context_rows, read_guidance};
use crate::{Sae, SaeError, read_sae};

/// An autoencoder in memory.
pub(super) struct Opened {
    /// Which of the measured ones it is.
    pub(super) number: usize,
    pub(super) sae: Sae,
    /// What guided it, where it reads a context.
    pub(super) context: Option<GuidanceRecord>,
    pub(super) digest: String,
}

impl Opened {
    pub(super) fn read(number: usize, folder: &Path, digest: String) -> Result<Self, SaeError> {
        let sae = read_sae(folder)?;
        let context = read_guidance(folder)?.filter(|record| record.config.context_encoder);
        Ok(Self { number, sae, context, digest })
    }

    /// Rows as the autoencoder reads them.
    pub(super) fn wide(
        &self,
        x: &[f32],
        d_in: usize,
        attention: Option<&AttentionLayers>,
        (contexts, positions): (&[usize], Range<usize>),
    ) -> Result<Vec<f32>, SaeError> {
        match (&self.context, attention) {
            (Some(record), Some(attention)) => {
                context_rows(ContextRows { x, d_in, contexts, positions }, record, attention)
            }
            _ => Ok(x.to_vec()),
        }
    }
}

/// The part of decoded rows that stands for the activation.
pub(super) fn of_activation(sae: &Sae, decoded: Vec<f32>, d_in: usize) -> Vec<f32> {
    if sae.config.d_in == d_in {
        return decoded;
    }
    decoded.chunks_exact(sae.config.d_in).flat_map(|row| &row[..d_in]).copied().collect()
}
