//! What a published autoencoder says of how it was trained, told on stderr.

use std::path::Path;

use attention_probes_models::{HookPoint, HookedModel, LanguageModel};
use attention_probes_sae::{PublishedSae, Sae, SaeError, SaeNote};
use tracing::{info, warn};

/// An autoencoder with the path that it was read from.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) path: &'a Path,
    pub(crate) sae: &'a Sae,
}

/// Tells what a person should know.
pub(crate) fn say<'a>(notes: impl IntoIterator<Item = &'a SaeNote>) {
    for note in notes {
        if note.is_warning() { warn!("{note}") } else { info!("{note}") }
    }
}

impl Kept<'_> {
    fn published(&self) -> PublishedSae<'_> {
        PublishedSae { path: self.path, sae: self.sae }
    }

    /// Warns where encoding lacks a factor that the training had.
    pub(crate) fn warn_of_scale(&self) {
        say(&self.published().scale_note());
    }

    /// Refuses what reads other activations than those of a model's hook, and says what differs.
    pub(crate) fn check_site(&self) -> Result<(), SaeError> {
        say(&self.published().check_site()?);
        Ok(())
    }

    /// Makes the activations of a model at a hook those that the autoencoder was trained on.
    pub(crate) fn follow_processing(&self, model: LanguageModel, hook: HookPoint) -> LanguageModel {
        let (model, note) = self.published().follow_processing(model, hook);
        say(&note);
        model
    }

    /// Whether its file says how long the contexts of its training were.
    pub(crate) fn names_context_size(&self) -> bool {
        self.published().names_context_size()
    }

    /// Tokens of a context.
    pub(crate) fn context_size(&self, model: &dyn HookedModel) -> Result<usize, SaeError> {
        let (size, note) = self.published().context_size(model)?;
        say(&note);
        Ok(size)
    }
}
