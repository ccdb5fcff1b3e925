//! Activations in memory.

use super::packed::Layout;
use crate::capture::stream::stream_prefixes;
use crate::{ActivationError, Capture, ExternalActivations, PackedActivations, Site};

/// Activations in memory.
pub type MemoryActivations = PackedActivations<Vec<f32>>;

impl MemoryActivations {
    /// Runs the model once over some sequences and keeps their activations.
    ///
    /// # Errors
    ///
    /// As [`stream_activations`](crate::stream_activations).
    ///
    /// # Panics
    ///
    /// If there is no such sequence, or one is given twice.
    ///
    /// # Memory
    ///
    /// [`Capture::needed_bytes`].
    pub fn capture(
        capture: &Capture<'_>,
        sequences: &[usize],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, ActivationError> {
        let whole =
            sequences.iter().map(|&sequence| (sequence, capture.tokens.sequence(sequence).len()));
        Self::capture_prefixes(capture, &whole.collect::<Vec<_>>(), progress)
    }

    /// As [`MemoryActivations::capture`], for the first tokens of each `(sequence, end)`.
    pub(crate) fn capture_prefixes(
        capture: &Capture<'_>,
        prefixes: &[(usize, usize)],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, ActivationError> {
        let d_model = capture.d_model()?;
        let n_tokens: usize = prefixes.iter().map(|(_, end)| end).sum();
        let with_room = |_: &Site| Vec::with_capacity(n_tokens * d_model);
        let mut sites: Vec<Vec<f32>> = capture.sites.iter().map(with_room).collect();
        let mut layout = Layout::new(capture.tokens.len());
        let sink = |sequence: usize, site: usize, rows: &[f32]| {
            sites[site].extend_from_slice(rows);
            if site == 0 {
                layout.push(sequence, rows.len() / d_model);
            }
            Ok(())
        };
        let report = stream_prefixes(capture, prefixes, sink, progress)?;
        Ok(Self { sites, layout, d_model, skipped: report.skipped })
    }
}

impl From<ExternalActivations> for MemoryActivations {
    /// Keeps the activations as one site; sequences are numbered as the examples that were kept.
    fn from(activations: ExternalActivations) -> Self {
        let mut layout = Layout::new(activations.n_examples());
        for (sequence, pair) in activations.offsets.windows(2).enumerate() {
            layout.push(sequence, pair[1] - pair[0]);
        }
        Self {
            sites: vec![activations.x],
            layout,
            d_model: activations.d_model,
            skipped: Vec::new(),
        }
    }
}
