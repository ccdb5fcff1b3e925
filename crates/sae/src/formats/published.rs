//! What a published autoencoder says of how it was trained, and what follows for whoever uses it.

use std::fmt;
use std::path::{Path, PathBuf};

use attention_probes_models::{CentredModel, HookPoint, HookedModel, LanguageModel};
use serde_json::Value;

use crate::config::{Normalization, SaeMetadata};
use crate::{Sae, SaeError, SiteError};

/// Tokens of a context where a file says nothing.
const CONTEXT_SIZE: usize = 128;

/// Arguments of `model_from_pretrained_kwargs` that change activations, and which; `true` of one of
/// these cannot be followed here.
const PROCESSING: [(&str, &str); 2] = [
    ("fold_value_biases", "values and what heads read of them"),
    ("refactor_factored_attn_matrices", "queries, keys, and values"),
];

/// An autoencoder with the path that it was read from.
#[derive(Clone, Copy, Debug)]
pub struct PublishedSae<'a> {
    /// Its folder or file.
    pub path: &'a Path,
    /// What was read.
    pub sae: &'a Sae,
}

/// Something that a person who uses a published autoencoder should know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SaeNote {
    /// Encoding lacks a factor that the training had.
    UnknownScale {
        /// The autoencoder.
        path: PathBuf,
    },
    /// It was trained on some positions only.
    Positions {
        /// The autoencoder.
        path: PathBuf,
        /// Its `seqpos_slice`.
        slice: Value,
    },
    /// The mean is taken from what it reads.
    Centred {
        /// The autoencoder.
        path: PathBuf,
        /// Where it reads.
        hook: HookPoint,
    },
    /// It does not say how long the contexts of its training were.
    DefaultContext {
        /// The autoencoder.
        path: PathBuf,
        /// Tokens of a context.
        context_size: usize,
    },
    /// The contexts of its training are longer than what the model reads.
    LongContext {
        /// The autoencoder.
        path: PathBuf,
        /// Tokens of a context of the training.
        found: u64,
        /// Tokens that the model reads.
        n_ctx: usize,
    },
    /// It is read with another model than its own.
    OtherModel {
        /// Its own model.
        of: String,
        /// The one that it is read with.
        model: String,
    },
    /// Its arrays are of several types, and are written in one that holds each.
    MixedDtypes,
}

impl SaeNote {
    /// Whether results may be wrong.
    pub fn is_warning(&self) -> bool {
        matches!(self, Self::UnknownScale { .. } | Self::OtherModel { .. })
    }
}

impl fmt::Display for SaeNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownScale { path } => write!(
                f,
                "`{}`: `normalize_activations` is `expected_average_only_in`: activations were \
                 scaled in training by a factor that is in no file, so features and reconstructions \
                 are wrong unless the factor is part of the weights; compare L0 with the published one",
                path.display()
            ),
            Self::Positions { path, slice } => write!(
                f,
                "`{}`: `seqpos_slice` is {slice}: it was trained on these positions of a context only; \
                 what follows is over all positions, as SAELens and SAEBench count",
                path.display()
            ),
            Self::Centred { path, hook } => write!(
                f,
                "`{}`: `model_from_pretrained_kwargs.center_writing_weights` is true: `{hook}` is \
                 read without its mean over the stream",
                path.display()
            ),
            Self::DefaultContext { path, context_size } => write!(
                f,
                "`{}` names no `context_size`: contexts have {context_size} tokens",
                path.display()
            ),
            Self::LongContext { path, found, n_ctx } => write!(
                f,
                "`{}`: `context_size` is {found}, more than the model reads: contexts have \
                 {n_ctx} tokens",
                path.display()
            ),
            Self::OtherModel { of, model } => {
                write!(f, "an autoencoder of `{of}` is read with the scores of `{model}`")
            }
            Self::MixedDtypes => f.write_str(
                "the arrays are of several types: all are written as float32, which holds each",
            ),
        }
    }
}

impl PublishedSae<'_> {
    fn metadata(&self) -> &SaeMetadata {
        &self.sae.config.metadata
    }

    /// Says where encoding lacks a factor that the training had.
    pub fn scale_note(&self) -> Option<SaeNote> {
        let is_scaled =
            self.sae.config.normalize_activations == Normalization::ExpectedAverageOnlyIn;
        is_scaled.then(|| SaeNote::UnknownScale { path: self.path.to_owned() })
    }

    /// Refuses what reads other activations than those of a model's hook, and says what differs.
    ///
    /// # Errors
    ///
    /// [`SiteError::OneHead`] or [`SiteError::Processing`].
    pub fn check_site(&self) -> Result<Vec<SaeNote>, SaeError> {
        let metadata = self.metadata();
        let path = || self.path.to_owned();
        if let Some(head) = metadata.get("hook_head_index").filter(|head| !head.is_null()) {
            let hook = metadata.hook_name().unwrap_or("its hook").to_owned();
            return Err(SiteError::OneHead { path: path(), head: head.clone(), hook }.into());
        }
        for (key, what) in PROCESSING {
            if self.processing(key) {
                return Err(SiteError::Processing { path: path(), key, what }.into());
            }
        }
        let mut notes: Vec<SaeNote> = self.scale_note().into_iter().collect();
        let slice = metadata.get("seqpos_slice").and_then(Value::as_array);
        if let Some(slice) = slice.filter(|slice| slice.iter().any(|bound| !bound.is_null())) {
            notes.push(SaeNote::Positions { path: path(), slice: Value::from(slice.clone()) });
        }
        Ok(notes)
    }

    /// Whether the model was loaded with an argument that processes its weights.
    fn processing(&self, key: &str) -> bool {
        let kwargs = self.metadata().get("model_from_pretrained_kwargs");
        kwargs.and_then(|kwargs| kwargs.get(key)).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Makes the activations of a model at a hook those that the autoencoder was trained on, and
    /// says what was changed.
    pub fn follow_processing(
        &self,
        model: LanguageModel,
        hook: HookPoint,
    ) -> (LanguageModel, Option<SaeNote>) {
        if !self.processing("center_writing_weights") || !CentredModel::changes(hook) {
            return (model, None);
        }
        let path = self.path.to_owned();
        let note = model.model.centres_residuals().then_some(SaeNote::Centred { path, hook });
        let centred = Box::new(CentredModel::new(model.model, hook));
        (LanguageModel { model: centred, ..model }, note)
    }

    /// Whether its file says how long the contexts of its training were.
    pub fn names_context_size(&self) -> bool {
        self.metadata().get("context_size").is_some_and(|found| !found.is_null())
    }

    /// Tokens of a context: those that the autoencoder was trained on, at most as many as the model
    /// reads.
    ///
    /// # Errors
    ///
    /// [`SaeError::Config`] if its file says a number below 2, or none.
    pub fn context_size(
        &self,
        model: &dyn HookedModel,
    ) -> Result<(usize, Option<SaeNote>), SaeError> {
        let n_ctx = model.shape().n_ctx;
        let path = self.path.to_owned();
        let found = self.metadata().get("context_size").filter(|_| self.names_context_size());
        let Some(found) = found else {
            let context_size = CONTEXT_SIZE.min(n_ctx);
            return Ok((context_size, Some(SaeNote::DefaultContext { path, context_size })));
        };
        match found.as_u64() {
            Some(found) if found > n_ctx as u64 => {
                Ok((n_ctx, Some(SaeNote::LongContext { path, found, n_ctx })))
            }
            Some(size) if size >= 2 => Ok((size as usize, None)),
            _ => {
                let (key, expected) = ("context_size", "a whole number of at least 2");
                Err(SaeError::Config { path, key, found: found.to_string(), expected })
            }
        }
    }
}
