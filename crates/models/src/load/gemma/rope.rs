//! The rotary parameters of Gemma's `config.json`, in both generations of its layout.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{ConfigFile, RawGemmaConfig};
use crate::{GemmaGeneration, ModelError, Rope};

/// One set of rotary parameters.
#[derive(Deserialize)]
pub(super) struct RawRope {
    #[serde(default, alias = "type")]
    rope_type: Option<String>,
    #[serde(default)]
    factor: Option<f64>,
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// Rotary parameters of full and of sliding layers.
///
/// Newer files have `rope_parameters`, flat or by kind of layer; older ones `rope_theta`,
/// `rope_local_base_freq`, and `rope_scaling`, which in Gemma 3 is for the full layers.
pub(super) fn ropes(
    raw: &RawGemmaConfig,
    generation: GemmaGeneration,
    file: &ConfigFile<'_>,
) -> Result<(Rope, Rope), ModelError> {
    let theta = raw.rope_theta.unwrap_or(1e4);
    let is_third = generation == GemmaGeneration::Three;
    let local_theta = raw.rope_local_base_freq.filter(|_| is_third).unwrap_or(theta);
    let Some(parameters) = &raw.rope_parameters else {
        let full = rope("rope_scaling", raw.rope_scaling.as_ref(), theta, file)?;
        let scaling = raw.rope_scaling.as_ref().filter(|_| !is_third);
        return Ok((full, rope("rope_scaling", scaling, local_theta, file)?));
    };
    let parse = |value: &Value| -> Result<RawRope, ModelError> {
        serde_json::from_value(value.clone())
            .map_err(|source| ModelError::Json { path: file.path.to_owned(), source })
    };
    let by_kind = |kind: &str, theta: f64| {
        let raw = parameters.get(kind).map(parse).transpose()?;
        rope("rope_parameters", raw.as_ref(), theta, file)
    };
    let kinds = ["full_attention", "sliding_attention"];
    if kinds.iter().any(|kind| parameters.contains_key(*kind)) {
        if let Some(other) = parameters.keys().find(|key| !kinds.contains(&key.as_str())) {
            return file.refuse("rope_parameters", other, "full_attention, sliding_attention");
        }
        return Ok((by_kind(kinds[0], theta)?, by_kind(kinds[1], local_theta)?));
    }
    let flat = parse(&Value::Object(parameters.clone()))?;
    let full = rope("rope_parameters", Some(&flat), theta, file)?;
    let sliding = if is_third { Rope { theta: local_theta, factor: 1.0 } } else { full };
    Ok((full, sliding))
}

/// Default or linearly scaled positions; every other kind is refused.
fn rope(
    field: &str,
    raw: Option<&RawRope>,
    theta: f64,
    file: &ConfigFile<'_>,
) -> Result<Rope, ModelError> {
    let Some(raw) = raw else { return Ok(Rope { theta, factor: 1.0 }) };
    let kind = raw.rope_type.as_deref().unwrap_or("default");
    let name = |part: &str| format!("{field}.{part}");
    if !["default", "linear"].contains(&kind) {
        return file.refuse(&name("rope_type"), &kind, "default or linear");
    }
    if let Some((key, value)) = raw.other.iter().find(|(_, value)| !value.is_null()) {
        return file.refuse(&name(key), value, "rope_type, factor, and rope_theta alone");
    }
    let theta = file.above_zero(&name("rope_theta"), raw.rope_theta.unwrap_or(theta))?;
    let factor = match (kind, raw.factor) {
        ("linear", Some(factor)) => file.above_zero(&name("factor"), factor)?,
        ("linear", None) => return file.refuse(&name("factor"), &"absent", "a number above 0"),
        _ => 1.0,
    };
    Ok(Rope { theta, factor })
}
