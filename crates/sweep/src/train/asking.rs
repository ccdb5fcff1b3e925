//! Activations that are no longer handed out once somebody asks to stop.

use attention_probes_activations::{ActivationError, ActivationSource, SiteRows};
use attention_probes_errors::Stop;

/// Activations of another source, each batch of which asks a signal to stop.
pub(crate) struct Asking<'a> {
    pub(crate) source: Box<dyn ActivationSource + 'a>,
    pub(crate) stop: Stop,
}

impl ActivationSource for Asking<'_> {
    fn n_sites(&self) -> usize {
        self.source.n_sites()
    }

    fn d_model(&self) -> usize {
        self.source.d_model()
    }

    fn n_sequences(&self) -> usize {
        self.source.n_sequences()
    }

    fn skipped(&self) -> &[usize] {
        self.source.skipped()
    }

    fn with_rows(
        &mut self,
        examples: &[(usize, usize)],
        use_rows: &mut dyn FnMut(&[SiteRows<'_>]),
    ) -> Result<(), ActivationError> {
        self.stop.check()?;
        self.source.with_rows(examples, use_rows)
    }
}
