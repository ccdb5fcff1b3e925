//! Activations that are kept nowhere: the model runs anew on each batch.

use std::collections::BTreeMap;

use crate::{
    ActivationError, ActivationSource, Capture, MemoryActivations, SiteRows, stream_activations,
};

/// Activations that are computed when they are asked for.
pub struct RecomputedActivations<'a> {
    capture: Capture<'a>,
    d_model: usize,
    skipped: Vec<usize>,
}

impl<'a> RecomputedActivations<'a> {
    /// Runs the model once over some sequences to find those with NaN or infinity.
    ///
    /// # Errors
    ///
    /// As [`stream_activations`].
    ///
    /// # Panics
    ///
    /// If there is no such sequence, or one is given twice.
    pub fn new(
        capture: Capture<'a>,
        sequences: &[usize],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, ActivationError> {
        let d_model = capture.d_model()?;
        let report = stream_activations(&capture, sequences, |_, _, _| Ok(()), progress)?;
        Ok(Self { capture, d_model, skipped: report.skipped })
    }
}

impl ActivationSource for RecomputedActivations<'_> {
    fn n_sites(&self) -> usize {
        self.capture.sites.len()
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn n_sequences(&self) -> usize {
        self.capture.tokens.len()
    }

    fn skipped(&self) -> &[usize] {
        &self.skipped
    }

    fn with_rows(
        &mut self,
        examples: &[(usize, usize)],
        use_rows: &mut dyn FnMut(&[SiteRows<'_>]),
    ) -> Result<(), ActivationError> {
        // The longest prefix that is asked for has all the others of its sequence in it.
        let mut prefixes = BTreeMap::new();
        for &(sequence, end) in examples {
            let is_skipped = self.skipped.binary_search(&sequence).is_ok();
            if is_skipped
                || sequence >= self.n_sequences()
                || !(1..=self.capture.tokens.sequence(sequence).len()).contains(&end)
            {
                return Err(ActivationError::NoActivations { sequence, end });
            }
            let longest = prefixes.entry(sequence).or_insert(end);
            *longest = end.max(*longest);
        }
        let prefixes: Vec<(usize, usize)> = prefixes.into_iter().collect();
        let mut rows =
            MemoryActivations::capture_prefixes(&self.capture, &prefixes, &mut |_, _| {})?;
        rows.with_rows(examples, use_rows)
    }
}
