//! The texts of `fra accumulate`, and what a run with them is known by.

use anyhow::{Context, Result};
use attention_probes_models::HookPoint;
use attention_probes_sae::fra::{FraActivations, capture};
use attention_probes_sae::{Sae, SaeError};
use tracing::{info, warn};

use super::accumulate::AccumulateArgs;
use super::subject::{Subject, TextIds};
use crate::exit::InputError;

/// The texts of a run. They are read from their file each time they are needed, so that memory does
/// not grow with their number.
pub(super) struct Corpus<'a> {
    pub(super) args: &'a AccumulateArgs,
    pub(super) subject: &'a Subject,
    pub(super) n_texts: usize,
    /// Of everything that statistics depend on beside their settings.
    pub(super) digest: String,
}

impl<'a> Corpus<'a> {
    /// Reads everything once.
    pub(super) fn survey(args: &'a AccumulateArgs, subject: &'a Subject) -> Result<Self> {
        let mut hasher = blake3::Hasher::new();
        for sae in &subject.saes {
            hash_sae(&mut hasher, sae)?;
        }
        let (mut n_texts, mut n_rows) = (0, 0);
        for text in texts(args, subject)? {
            let TextIds { row, ids } = text?;
            hasher.update(&(ids.len() as u64).to_le_bytes());
            for id in ids {
                hasher.update(&id.to_le_bytes());
            }
            n_texts += 1;
            n_rows = row + 1;
        }
        if n_texts == 0 {
            let (data, most) = (args.data.display(), subject.max_tokens);
            let error = format!("`{data}` has no text of two tokens, with `--max-tokens` {most}");
            return Err(InputError(error).into());
        }
        let n_short = n_rows - n_texts as u64;
        if n_short > 0 {
            info!("{n_short} texts of one token or none left out");
        }
        // Another device computes other last bits.
        let settings = format!(
            "{} {} {:?}",
            subject.model.fingerprint(),
            subject.is_published(),
            subject.device
        );
        hasher.update(settings.as_bytes());
        Ok(Self { args, subject, n_texts, digest: hasher.finalize().to_hex().to_string() })
    }

    /// The texts, from the first on.
    pub(super) fn texts(&self) -> Result<impl Iterator<Item = Result<TextIds>>> {
        texts(self.args, self.subject)
    }

    /// What is at some hooks in a text; `None`, with a warning, if it is not finite.
    pub(super) fn activations(
        &self,
        text: &TextIds,
        hooks: &[HookPoint],
    ) -> Result<Option<FraActivations>> {
        let (subject, TextIds { row, ids }) = (self.subject, text);
        match capture(&*subject.model.model, &subject.device, ids, hooks) {
            Err(SaeError::NonFinite { index, value, .. }) => {
                let data = self.args.data.display();
                warn!(
                    "row {row} of `{data}` left out: value {index} of its activations is {value}"
                );
                Ok(None)
            }
            found => Ok(Some(found.with_context(|| format!("row {row}"))?)),
        }
    }
}

/// The texts of a run, from the first on.
fn texts(
    args: &AccumulateArgs,
    subject: &Subject,
) -> Result<impl Iterator<Item = Result<TextIds>>> {
    Ok(subject.texts(&args.data, args.table.columns(&args.column)?)?.take(args.samples))
}

fn hash_sae(hasher: &mut blake3::Hasher, sae: &Sae) -> Result<()> {
    let config = &sae.config;
    let settings = (&config.metadata, config.normalize_activations, config.apply_b_dec_to_input);
    hasher.update(&serde_json::to_vec(&settings)?);
    hasher.update(format!("{:?}", sae.activation).as_bytes());
    for weights in [&sae.encoder, &sae.decoder, &sae.b_dec] {
        for chunk in weights.chunks(1 << 16) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|weight| weight.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
    Ok(())
}
