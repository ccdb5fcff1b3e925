//! What the configurations of all families share: parsing, and refusing a field by its name.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use attention_probes_errors::JsonFileError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::harmless::{Effect, effect_of};
use crate::ModelError;

/// A `config.json`, for what is said about its fields.
pub(super) struct ConfigFile<'a> {
    pub(super) path: &'a Path,
}

impl ConfigFile<'_> {
    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        fields: Map<String, Value>,
    ) -> Result<T, ModelError> {
        Ok(serde_json::from_value(Value::Object(fields)).map_err(JsonFileError::new(self.path))?)
    }

    pub(super) fn refuse<T>(
        &self,
        field: &str,
        value: &dyn Display,
        expected: &'static str,
    ) -> Result<T, ModelError> {
        Err(ModelError::ConfigField {
            path: self.path.to_owned(),
            field: field.to_owned(),
            value: value.to_string(),
            expected,
        })
    }

    pub(super) fn above_zero(&self, field: &str, value: f64) -> Result<f64, ModelError> {
        if value > 0.0 && value.is_finite() {
            return Ok(value);
        }
        self.refuse(field, &value, "a number above 0")
    }

    /// A norm's epsilon.
    pub(super) fn at_least_zero(&self, field: &str, value: f64) -> Result<(), ModelError> {
        if value >= 0.0 && value.is_finite() {
            return Ok(());
        }
        self.refuse(field, &value, "a number of at least 0")
    }

    pub(super) fn not_zero(&self, sizes: &[(&str, usize)]) -> Result<(), ModelError> {
        match sizes.iter().find(|(_, size)| *size == 0) {
            Some((field, size)) => self.refuse(field, size, "a number above 0"),
            None => Ok(()),
        }
    }

    /// Refuses what no family reads and may change the numbers; names what is not known in the log.
    pub(super) fn no_other(&self, other: &BTreeMap<String, Value>) -> Result<(), ModelError> {
        for (field, value) in other {
            match effect_of(field, value) {
                Effect::None => {}
                Effect::Unknown => tracing::warn!(
                    "`{}`: unknown field `{field}` ignored; its name does not suggest that it changes the model",
                    self.path.display()
                ),
                Effect::Possible => {
                    let expected = "no such field, or null: it may change what the model computes";
                    return self.refuse(field, value, expected);
                }
            }
        }
        Ok(())
    }

    /// Moves the value of a field's other spelling to the one that is read.
    ///
    /// `place` is what stands before both names in messages.
    pub(super) fn one_spelling(
        &self,
        fields: &mut Map<String, Value>,
        place: &str,
        [name, other]: [&str; 2],
    ) -> Result<(), ModelError> {
        let Some(value) = fields.remove(other).filter(|value| !value.is_null()) else {
            return Ok(());
        };
        match fields.get(name).filter(|value| !value.is_null()) {
            Some(first) if !is_equal(first, &value) => {
                let first = Stated { field: format!("{place}{name}"), value: first.to_string() };
                let second = Stated { field: format!("{place}{other}"), value: value.to_string() };
                self.contradiction(first, second)
            }
            Some(_) => Ok(()),
            None => {
                fields.insert(name.to_owned(), value);
                Ok(())
            }
        }
    }

    /// Refuses two fields that say one thing in two ways.
    pub(super) fn contradiction<T>(&self, first: Stated, second: Stated) -> Result<T, ModelError> {
        Err(ModelError::ConfigContradiction {
            path: self.path.to_owned(),
            field: first.field.into(),
            value: first.value.into(),
            other: second.field.into(),
            other_value: second.value.into(),
        })
    }
}

/// A field as it is written, for messages.
pub(super) struct Stated {
    pub(super) field: String,
    pub(super) value: String,
}

/// Whether two values are one: `1` and `1.0` are.
#[expect(clippy::float_cmp, reason = "two spellings of one number are the same number")]
fn is_equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}
