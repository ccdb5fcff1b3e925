//! What the configurations of all families share: parsing, and refusing a field by its name.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

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
        serde_json::from_value(Value::Object(fields))
            .map_err(|source| ModelError::Json { path: self.path.to_owned(), source })
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

    /// Refuses what is neither read nor known to change nothing.
    pub(super) fn no_other(
        &self,
        other: &BTreeMap<String, Value>,
        ignored: &[&str],
        expected: &'static str,
    ) -> Result<(), ModelError> {
        let unknown = other
            .iter()
            .find(|(field, value)| !ignored.contains(&field.as_str()) && !value.is_null());
        match unknown {
            Some((field, value)) => self.refuse(field, value, expected),
            None => Ok(()),
        }
    }
}
