//! `nano-gpt-sort` as it was published, a minGPT model in JSON, as a model of this library.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use attention_probes_models::Gpt2;
use attention_probes_models::load::gpt2_from_bytes;
use base64::Engine;
use burn::tensor::Device;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;

/// One array of the published files.
#[derive(Deserialize)]
pub(crate) struct Published {
    shape: Vec<usize>,
    data: String,
}

impl Published {
    /// The numbers.
    ///
    /// # Errors
    ///
    /// If they are not written in base64.
    pub(crate) fn values(&self) -> Result<Vec<f32>> {
        let bytes = base64::engine::general_purpose::STANDARD.decode(&self.data)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }
}

/// Reads the arrays of a published file by name.
///
/// # Errors
///
/// If there is no such file, or it is of another form.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Published>> {
    let text = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut file: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&text)?;
    file.remove("config");
    let arrays = file.into_iter().map(|(name, value)| Ok((name, serde_json::from_value(value)?)));
    arrays.collect()
}

/// The model in Hugging Face layout: linear weights turned to `[d_input, d_output]`.
///
/// # Errors
///
/// If the file cannot be read, or is of another model.
pub(crate) fn nano_gpt_sort(path: &Path, device: &Device) -> Result<Gpt2> {
    let mut tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = BTreeMap::new();
    for (name, array) in read(path)? {
        let (mut shape, mut values) = (array.shape.clone(), array.values()?);
        if name.contains(".c_") && name.ends_with(".weight") {
            let [rows, columns] = shape[..] else { bail!("`{name}` is no matrix") };
            values = (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect();
            shape = vec![columns, rows];
        }
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensors.insert(name, (shape, bytes));
    }
    let views: Vec<(&String, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, (shape, bytes))| {
            Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?))
        })
        .collect::<Result<_>>()?;
    let weights = safetensors::serialize(views, None)?;
    let config = serde_json::json!({
        "model_type": "gpt2", "n_layer": 3, "n_head": 3, "n_embd": 48, "vocab_size": 3,
        "n_positions": 11, "tie_word_embeddings": false,
    });
    Ok(gpt2_from_bytes(&serde_json::to_vec(&config)?, &weights, path, device)?)
}
