//! Golden values of the attention probe, as `tests/golden/make_attention_probe.py` wrote them.

use std::collections::BTreeMap;

use attention_probes_activations::{NpzArray, NpzData, read_npz};
use burn::tensor::{Bool, Device, Tensor, TensorData};

use crate::{Attention, Labels, ParamArray, ProbeConfig, ProbeState, TrainingData};

/// One probe with its input, and what `PyTorch` made of them.
pub(crate) struct GoldenCase {
    pub(crate) name: String,
    pub(crate) config: ProbeConfig,
    pub(crate) x: Tensor<3>,
    pub(crate) mask_pad: Tensor<2, Bool>,
    pub(crate) labels: Vec<usize>,
    pub(crate) state: ProbeState,
    pub(crate) logits: Vec<f32>,
    pub(crate) grad: ProbeState,
    /// Losses of the first steps of `AdamW`, each before its update.
    pub(crate) losses: Vec<f32>,
    /// Weights after them.
    pub(crate) final_state: ProbeState,
}

impl GoldenCase {
    pub(crate) fn data(&self) -> TrainingData {
        let labels = Labels::numbered(self.labels.clone(), self.config.n_classes());
        TrainingData::new(self.x.clone(), self.mask_pad.clone(), labels).unwrap()
    }
}

pub(crate) fn golden_cases(device: &Device) -> Vec<GoldenCase> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/attention_probe.npz");
    let arrays = read_npz(path).unwrap();
    let mut cases = Vec::new();
    for n_heads in [1, 3] {
        for hidden_dim in [0, 8] {
            for n_classes in [2, 4] {
                let name = format!("h{n_heads}_k{hidden_dim}_c{n_classes}");
                let config = ProbeConfig::new(
                    Attention {
                        n_heads,
                        hidden_dim: (hidden_dim > 0).then_some(hidden_dim),
                        ..Attention::default()
                    },
                    12,
                    n_classes,
                );
                cases.push(golden_case(&arrays, name, config, device));
            }
        }
    }
    cases
}

fn golden_case(
    arrays: &BTreeMap<String, NpzArray>,
    name: String,
    config: ProbeConfig,
    device: &Device,
) -> GoldenCase {
    let get = |key: &str| {
        let array = &arrays[&format!("{name}/{key}")];
        let NpzData::F32(values) = array.data.clone() else {
            panic!("{name}/{key} is not float32")
        };
        ParamArray { shape: array.shape.clone(), values }
    };
    let get_state = |folder: &str| -> ProbeState {
        let prefix = format!("{name}/{folder}/");
        let keys = arrays.keys().filter_map(|key| key.strip_prefix(&prefix));
        keys.map(|key| (key.to_owned(), get(&format!("{folder}/{key}")))).collect()
    };
    let x = get("x");
    let mask = get("mask");
    let labels = arrays[&format!("{name}/labels")].data.clone().into_i64().unwrap();
    GoldenCase {
        x: Tensor::from_data(TensorData::new(x.values, x.shape), device),
        mask_pad: Tensor::<2>::from_data(TensorData::new(mask.values, mask.shape), device)
            .bool()
            .bool_not(),
        labels: labels.into_iter().map(|label| label as usize).collect(),
        state: get_state("state"),
        logits: get("logits").values,
        grad: get_state("grad"),
        losses: get("losses").values,
        final_state: get_state("final"),
        config,
        name,
    }
}
