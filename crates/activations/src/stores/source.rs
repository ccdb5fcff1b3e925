//! Activations by prefix, wherever they are.

use crate::ActivationError;

/// Activations of some prefixes at one site: `[end, d_model]` each, row-major.
pub type SiteRows<'a> = Vec<&'a [f32]>;

/// Activations of sequences at one or more sites, by prefix.
///
/// Sequences keep the numbers they have in [`TokenizedDataset`](crate::TokenizedDataset); not every
/// number need have activations.
pub trait ActivationSource: Send {
    /// Number of sites.
    fn n_sites(&self) -> usize;

    /// Values per token.
    fn d_model(&self) -> usize;

    /// Number of sequences, those without activations included.
    fn n_sequences(&self) -> usize;

    /// Sequences that have no activations because of NaN or infinity, ascending.
    fn skipped(&self) -> &[usize];

    /// Calls `use_rows` once with the activations of prefixes, given as `(sequence, end)`.
    ///
    /// The slices live as long as the call. A prefix may occur more than once.
    ///
    /// # Shapes
    ///
    /// `use_rows` gets one list per site, with one slice per prefix: `[end, d_model]`, row-major.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::NoActivations`] if a prefix is not there; `use_rows` is not called
    /// - [`ActivationError::Model`] if activations are recomputed and the model refuses a batch
    fn with_rows(
        &mut self,
        examples: &[(usize, usize)],
        use_rows: &mut dyn FnMut(&[SiteRows<'_>]),
    ) -> Result<(), ActivationError>;
}

impl<S: ActivationSource + ?Sized> ActivationSource for &mut S {
    fn n_sites(&self) -> usize {
        (**self).n_sites()
    }

    fn d_model(&self) -> usize {
        (**self).d_model()
    }

    fn n_sequences(&self) -> usize {
        (**self).n_sequences()
    }

    fn skipped(&self) -> &[usize] {
        (**self).skipped()
    }

    fn with_rows(
        &mut self,
        examples: &[(usize, usize)],
        use_rows: &mut dyn FnMut(&[SiteRows<'_>]),
    ) -> Result<(), ActivationError> {
        (**self).with_rows(examples, use_rows)
    }
}
