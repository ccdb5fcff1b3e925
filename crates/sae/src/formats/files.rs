//! What the readers of several forms share.

use std::path::Path;

use attention_probes_errors::JsonFileError;
use attention_probes_models::{ModelError, read_description};
use serde::de::DeserializeOwned;

use crate::SaeError;

/// Reads a configuration.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, SaeError> {
    let text = read_description(path).map_err(|error| match error {
        ModelError::File(error) => SaeError::File(error),
        error => error.into(),
    })?;
    Ok(serde_json::from_slice(&text).map_err(JsonFileError::new(path))?)
}

/// The number in a name such as `layer_20` or `layers.5`.
pub(super) fn layer_of(name: &str) -> Option<usize> {
    let at = name.find("layer")?;
    let rest = name[at..].trim_start_matches(|c: char| !c.is_ascii_digit());
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_found_in_names() {
        let names =
            ["layer_20/width_16k", "layers.5.mlp", "gpt2/layers_11", "embedding", "layer_x"];
        assert_eq!(names.map(layer_of), [Some(20), Some(5), Some(11), None, None]);
    }
}
