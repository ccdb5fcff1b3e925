//! Activations that lie side by side without padding, in memory or in mapped files.

use std::ops::Range;

use crate::{ActivationError, ActivationSource, SiteRows};

/// Activations that lie side by side without padding; batches borrow from them.
///
/// `S` keeps the numbers of one site: [`MemoryActivations`](crate::MemoryActivations) and
/// [`DiskActivations`](crate::DiskActivations) differ in nothing else.
#[derive(Clone, Debug)]
pub struct PackedActivations<S> {
    /// Per site `[n_tokens, d_model]`, row-major.
    pub(crate) sites: Vec<S>,
    pub(crate) layout: Layout,
    pub(crate) d_model: usize,
    pub(crate) skipped: Vec<usize>,
}

impl<S: AsRef<[f32]> + Send> ActivationSource for PackedActivations<S> {
    fn n_sites(&self) -> usize {
        self.sites.len()
    }

    fn d_model(&self) -> usize {
        self.d_model
    }

    fn n_sequences(&self) -> usize {
        self.layout.places.len()
    }

    fn skipped(&self) -> &[usize] {
        &self.skipped
    }

    fn with_rows(
        &mut self,
        examples: &[(usize, usize)],
        use_rows: &mut dyn FnMut(&[SiteRows<'_>]),
    ) -> Result<(), ActivationError> {
        let ranges: Vec<Range<usize>> = examples
            .iter()
            .map(|&(sequence, end)| {
                let tokens = self.layout.prefix(sequence, end)?;
                Ok(tokens.start * self.d_model..tokens.end * self.d_model)
            })
            .collect::<Result<_, ActivationError>>()?;
        let mut rows: Vec<SiteRows<'_>> = Vec::with_capacity(self.sites.len());
        for site in &self.sites {
            rows.push(ranges.iter().map(|range| &site.as_ref()[range.clone()]).collect());
        }
        use_rows(&rows);
        Ok(())
    }
}

/// Where each sequence lies among packed tokens; `None` if it is not there.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    places: Vec<Option<Range<usize>>>,
    n_tokens: usize,
}

impl Layout {
    /// An empty layout of sequences from 0 to `n_sequences`.
    pub(crate) fn new(n_sequences: usize) -> Self {
        Self { places: vec![None; n_sequences], n_tokens: 0 }
    }

    /// Puts a sequence behind those that are there.
    pub(crate) fn push(&mut self, sequence: usize, length: usize) {
        let end = self.n_tokens + length;
        self.places[sequence] = Some(self.n_tokens..end);
        self.n_tokens = end;
    }

    /// Number of tokens of all sequences together.
    pub(crate) fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Where the first `end` tokens of a sequence lie.
    fn prefix(&self, sequence: usize, end: usize) -> Result<Range<usize>, ActivationError> {
        let place = self.places.get(sequence).cloned().flatten();
        place
            .filter(|place| (1..=place.len()).contains(&end))
            .map(|place| place.start..place.start + end)
            .ok_or(ActivationError::NoActivations { sequence, end })
    }
}
