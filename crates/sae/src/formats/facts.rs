//! What an autoencoder is, fact by fact.

use serde_json::{Value, json};

use super::form::SaeFormat;
use crate::config::SaeConfig;
use crate::{Sae, SaeActivation};

/// Form, shape, and everything that the file of an autoencoder says, by name, the most important
/// first.
///
/// # Examples
///
/// ```
/// use attention_probes::sae::{Sae, SaeActivation, SaeConfig, SaeFormat, sae_facts};
///
/// let sae = Sae { config: SaeConfig::new(2, 1),
///     activation: SaeActivation::Standard { b_enc: vec![0.0] },
///     encoder: vec![1.0, 0.0], decoder: vec![1.0, 0.0], b_dec: vec![0.0; 2] };
/// let facts = sae_facts(SaeFormat::SaeLens, &sae);
/// assert_eq!(facts[0], ("format".to_owned(), "SAELens".into()));
/// assert_eq!(facts[2], ("d_in".to_owned(), 2.into()));
/// ```
pub fn sae_facts(format: SaeFormat, sae: &Sae) -> Vec<(String, Value)> {
    let config = &sae.config;
    let norms = sae.decoder_norms();
    let mean = norms.iter().map(|norm| f64::from(*norm)).sum::<f64>() / norms.len() as f64;
    let mut facts = vec![
        ("format", json!(format.as_str())),
        ("architecture", json!(sae.activation.architecture().as_str())),
        ("d_in", json!(config.d_in)),
        ("d_sae", json!(config.d_sae)),
    ];
    match &sae.activation {
        SaeActivation::TopK { k, rescale_acts_by_decoder_norm, .. } => {
            facts.push(("k", json!(k)));
            facts.push(("rescale_acts_by_decoder_norm", json!(rescale_acts_by_decoder_norm)));
        }
        SaeActivation::JumpRelu { threshold, .. } => {
            let sum: f64 = threshold.iter().map(|value| f64::from(*value)).sum();
            facts.push(("mean_threshold", json!(sum / threshold.len() as f64)));
        }
        SaeActivation::Standard { .. } | SaeActivation::Gated { .. } => {}
    }
    facts.extend([
        ("dtype", dtype(config)),
        ("apply_b_dec_to_input", json!(config.apply_b_dec_to_input)),
        ("normalize_activations", json!(config.normalize_activations)),
        ("reshape_activations", json!(config.reshape_activations)),
        ("mean_decoder_norm", json!(mean)),
    ]);
    let known = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
    let metadata = config.metadata.iter().map(|(name, value)| (name.clone(), value.clone()));
    known.chain(metadata).collect()
}

/// The type of the weights, of each array where they differ.
fn dtype(config: &SaeConfig) -> Value {
    if config.mixed_dtypes.is_empty() { json!(config.dtype) } else { json!(config.mixed_dtypes) }
}
