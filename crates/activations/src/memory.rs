//! Activations in memory, packed without padding.

use crate::{
    ActivationError, ActivationSource, Capture, ExternalActivations, Site, SiteRows, store::Layout,
    stream::stream_prefixes,
};

/// Activations in memory; batches borrow from it.
#[derive(Clone, Debug)]
pub struct MemoryActivations {
    /// Per site `[n_tokens, d_model]`, row-major.
    sites: Vec<Vec<f32>>,
    layout: Layout,
    d_model: usize,
    skipped: Vec<usize>,
}

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
                let pushed = layout.push(sequence, rows.len() / d_model);
                pushed.expect("every sequence is asked for once");
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
            let pushed = layout.push(sequence, pair[1] - pair[0]);
            pushed.expect("there are as many examples as pairs of offsets");
        }
        Self {
            sites: vec![activations.x],
            layout,
            d_model: activations.d_model,
            skipped: Vec::new(),
        }
    }
}

impl ActivationSource for MemoryActivations {
    fn n_sites(&self) -> usize {
        self.sites.len()
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn n_sequences(&self) -> usize {
        self.layout.n_sequences()
    }

    fn skipped(&self) -> &[usize] {
        &self.skipped
    }

    fn with_rows(
        &mut self,
        examples: &[(usize, usize)],
        use_rows: &mut dyn FnMut(&[SiteRows<'_>]),
    ) -> Result<(), ActivationError> {
        let sites: Vec<&[f32]> = self.sites.iter().map(Vec::as_slice).collect();
        use_rows(&self.layout.rows(&sites, self.d_model, examples)?);
        Ok(())
    }
}
