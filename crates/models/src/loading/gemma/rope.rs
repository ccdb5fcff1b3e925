//! The rotary parameters of Gemma's `config.json`, in both generations of its layout.

use std::collections::BTreeMap;

use attention_probes_errors::JsonFileError;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::RawGemmaConfig;
use crate::loading::config_file::{ConfigFile, Stated};
use crate::{GemmaGeneration, ModelError, Rope};

/// One set of rotary parameters.
#[derive(Deserialize)]
pub(super) struct RawRope {
    #[serde(default)]
    rope_type: Option<String>,
    #[serde(default)]
    factor: Option<f64>,
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

/// Where sets of rotary parameters stand.
const SCALING: &str = "rope_scaling";
const PARAMETERS: &str = "rope_parameters";

/// Sets of rotary parameters by kind of layer, full layers first.
const KINDS: [&str; 2] = ["full_attention", "sliding_attention"];

/// Makes one field of `rope_type` and its older spelling `type`, which files have side by side.
pub(super) fn one_rope_type(
    fields: &mut Map<String, Value>,
    file: &ConfigFile<'_>,
) -> Result<(), ModelError> {
    let names = ["rope_type", "type"];
    for field in [SCALING, PARAMETERS] {
        let Some(set) = fields.get_mut(field).and_then(Value::as_object_mut) else { continue };
        file.one_spelling(set, &format!("{field}."), names)?;
        for kind in KINDS {
            if let Some(set) = set.get_mut(kind).and_then(Value::as_object_mut) {
                file.one_spelling(set, &format!("{field}.{kind}."), names)?;
            }
        }
    }
    Ok(())
}

/// Rotary parameters of full and of sliding layers.
///
/// Newer files have `rope_parameters`, flat or by kind of layer; older ones `rope_theta`,
/// `rope_local_base_freq`, and `rope_scaling`, which in Gemma 3 is for the full layers. A file that
/// has both forms must say the same in both.
pub(super) fn ropes(
    raw: &RawGemmaConfig,
    generation: GemmaGeneration,
    file: &ConfigFile<'_>,
) -> Result<(Rope, Rope), ModelError> {
    let is_third = generation == GemmaGeneration::Three;
    let theta = raw.rope_theta.unwrap_or(if is_third { 1e6 } else { 1e4 });
    let local_theta = if is_third { raw.rope_local_base_freq.unwrap_or(1e4) } else { theta };
    let full = rope(SCALING, raw.rope_scaling.as_ref(), theta, file)?;
    let scaling = raw.rope_scaling.as_ref().filter(|_| !is_third);
    let sliding = rope(SCALING, scaling, local_theta, file)?;
    let Some(parameters) = &raw.rope_parameters else { return Ok((full, sliding)) };
    let newer = newer_ropes(parameters, (theta, local_theta), is_third, file)?;
    let agree = |old: &str, stated: Option<f64>, part: &str, value: f64| match stated {
        Some(stated) if stated.total_cmp(&value).is_ne() => {
            let new = Stated { field: format!("{PARAMETERS}.{part}"), value: value.to_string() };
            file.contradiction(Stated { field: old.to_owned(), value: stated.to_string() }, new)
        }
        _ => Ok(()),
    };
    agree("rope_theta", raw.rope_theta, "rope_theta", newer.0.theta)?;
    let local = raw.rope_local_base_freq.filter(|_| is_third);
    agree("rope_local_base_freq", local, "sliding_attention.rope_theta", newer.1.theta)?;
    let is_stated = |scaling: &&RawRope| scaling.rope_type.is_some();
    let factor = raw.rope_scaling.as_ref().filter(is_stated).map(|_| full.factor);
    agree("rope_scaling.factor", factor, "factor", newer.0.factor)?;
    Ok(newer)
}

/// The same of `rope_parameters`; `thetas` are those of full and of sliding layers where it has
/// none.
fn newer_ropes(
    parameters: &Map<String, Value>,
    thetas: (f64, f64),
    is_third: bool,
    file: &ConfigFile<'_>,
) -> Result<(Rope, Rope), ModelError> {
    let parse = |value: &Value| -> Result<RawRope, ModelError> {
        Ok(serde_json::from_value(value.clone()).map_err(JsonFileError::new(file.path))?)
    };
    let by_kind = |kind: &str, theta: f64| {
        let raw = parameters.get(kind).map(parse).transpose()?;
        rope(PARAMETERS, raw.as_ref(), theta, file)
    };
    if KINDS.iter().any(|kind| parameters.contains_key(*kind)) {
        if let Some(other) = parameters.keys().find(|key| !KINDS.contains(&key.as_str())) {
            return file.refuse(PARAMETERS, other, "full_attention, sliding_attention");
        }
        return Ok((by_kind(KINDS[0], thetas.0)?, by_kind(KINDS[1], thetas.1)?));
    }
    let flat = parse(&Value::Object(parameters.clone()))?;
    let full = rope(PARAMETERS, Some(&flat), thetas.0, file)?;
    let sliding = if is_third { Rope { theta: thetas.1, factor: 1.0 } } else { full };
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
