//! What a published autoencoder says of how it was trained, and what follows for whoever uses it.

use std::path::Path;

use attention_probes_models::{CentredModel, HookPoint, HookedModel, LanguageModel};
use attention_probes_sae::{Normalization, Sae, SaeMetadata};
use serde_json::Value;
use tracing::{info, warn};

use crate::exit::InputError;

/// Tokens of a context where a file says nothing.
const CONTEXT_SIZE: usize = 128;

/// Arguments of `model_from_pretrained_kwargs` that change activations, and which; `true` of one of
/// these cannot be followed here.
const PROCESSING: [(&str, &str); 2] = [
    ("fold_value_biases", "values and what heads read of them"),
    ("refactor_factored_attn_matrices", "queries, keys, and values"),
];

/// An autoencoder with the path that it was read from.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) path: &'a Path,
    pub(crate) sae: &'a Sae,
}

impl Kept<'_> {
    fn metadata(&self) -> &SaeMetadata {
        &self.sae.config.metadata
    }

    fn fault(&self, key: &str, found: &Value, rest: &str) -> InputError {
        InputError(format!("`{}`: `{key}` is {found}, {rest}", self.path.display()))
    }

    /// Warns where encoding lacks a factor that the training had.
    pub(crate) fn warn_of_scale(&self) {
        if self.sae.config.normalize_activations == Normalization::ExpectedAverageOnlyIn {
            warn!(
                "`{}`: `normalize_activations` is `expected_average_only_in`: activations were \
                 scaled in training by a factor that is in no file, so features and reconstructions \
                 are wrong unless the factor is part of the weights; compare L0 with the published one",
                self.path.display()
            );
        }
    }

    /// Refuses what reads other activations than those of a model's hook, and says what differs.
    pub(crate) fn check_site(&self) -> Result<(), InputError> {
        self.warn_of_scale();
        let metadata = self.metadata();
        if let Some(head) = metadata.get("hook_head_index").filter(|head| !head.is_null()) {
            let hook = metadata.hook_name().unwrap_or("its hook");
            let rest = format!(
                "so it reads one head of `{hook}`, which is not supported; expected an \
                 autoencoder of all heads"
            );
            return Err(self.fault("hook_head_index", head, &rest));
        }
        for (key, what) in PROCESSING {
            if self.processing(key) {
                let key = format!("model_from_pretrained_kwargs.{key}");
                let rest = format!(
                    "which changes {what}; give activations of such a model with `--activations`"
                );
                return Err(self.fault(&key, &true.into(), &rest));
            }
        }
        let slice = metadata.get("seqpos_slice").and_then(Value::as_array);
        if let Some(slice) = slice.filter(|slice| slice.iter().any(|bound| !bound.is_null())) {
            let slice = Value::from(slice.clone());
            info!(
                "`{}`: `seqpos_slice` is {slice}: it was trained on these positions of a context only; \
                 what follows is over all positions, as SAELens and SAEBench count",
                self.path.display()
            );
        }
        Ok(())
    }

    /// Whether the model was loaded with an argument that processes its weights.
    fn processing(&self, key: &str) -> bool {
        let kwargs = self.metadata().get("model_from_pretrained_kwargs");
        kwargs.and_then(|kwargs| kwargs.get(key)).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Makes the activations of a model at a hook those that the autoencoder was trained on.
    pub(crate) fn follow_processing(&self, model: LanguageModel, hook: HookPoint) -> LanguageModel {
        if !self.processing("center_writing_weights") || !CentredModel::changes(hook) {
            return model;
        }
        if model.model.centres_residuals() {
            info!(
                "`{}`: `model_from_pretrained_kwargs.center_writing_weights` is true: `{hook}` is \
                 read without its mean over the stream",
                self.path.display()
            );
        }
        LanguageModel { model: Box::new(CentredModel::new(model.model, hook)), ..model }
    }

    /// Whether its file says how long the contexts of its training were.
    pub(crate) fn names_context_size(&self) -> bool {
        self.metadata().get("context_size").is_some_and(|found| !found.is_null())
    }

    /// Tokens of a context: those that the autoencoder was trained on, at most as many as the model
    /// reads.
    pub(crate) fn context_size(&self, model: &dyn HookedModel) -> Result<usize, InputError> {
        let n_ctx = model.shape().n_ctx;
        let path = self.path.display();
        let found = self.metadata().get("context_size").filter(|_| self.names_context_size());
        let Some(found) = found else {
            let size = CONTEXT_SIZE.min(n_ctx);
            info!("`{path}` names no `context_size`: contexts have {size} tokens");
            return Ok(size);
        };
        match found.as_u64() {
            Some(size) if size > n_ctx as u64 => {
                info!(
                    "`{path}`: `context_size` is {size}, more than the model reads: contexts have \
                     {n_ctx} tokens"
                );
                Ok(n_ctx)
            }
            Some(size) if size >= 2 => Ok(size as usize),
            _ => Err(self.fault("context_size", found, "expected a whole number of at least 2")),
        }
    }
}
