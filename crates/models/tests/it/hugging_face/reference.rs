//! Reference files of Hugging Face's numbers, and the comparison with ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attention_probes_models::{HookPoint, HookSet, HookedModel, TokenBatch, Tokenizer};
use burn::tensor::{Device, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// Hugging Face in f32 is itself within 3e-5 of the truth; the weakest mistake moves 2e-3.
pub(crate) const TOLERANCE: f32 = 1e-4;

/// A file or folder of the goldens.
pub(crate) fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

/// Tensors of a reference file: floats by name, and the integer inputs.
pub(crate) struct Reference {
    pub(crate) floats: BTreeMap<String, Vec<f32>>,
    ints: BTreeMap<String, (Vec<usize>, Vec<i64>)>,
}

impl Reference {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let mut reference = Self { floats: BTreeMap::new(), ints: BTreeMap::new() };
        for (name, view) in file.tensors() {
            let data = view.data();
            if view.dtype() == Dtype::I64 {
                let values = data.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b));
                reference.ints.insert(name, (view.shape().to_vec(), values.collect()));
            } else if view.dtype() == Dtype::BF16 {
                let widen = |b: &[u8; 2]| half::bf16::from_le_bytes(*b).to_f32();
                let values = data.as_chunks::<2>().0.iter().map(widen);
                reference.floats.insert(name, values.collect());
            } else {
                let values = data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
                reference.floats.insert(name, values.collect());
            }
        }
        reference
    }

    /// The tokens, padded as they were.
    pub(crate) fn batch(&self, device: &Device) -> TokenBatch {
        let (shape, ids) = &self.ints["input_ids"];
        let ids: Vec<u32> = ids.iter().map(|id| u32::try_from(*id).unwrap()).collect();
        let mask: Vec<bool> = self.ints["attention_mask"].1.iter().map(|m| *m == 1).collect();
        TokenBatch::from_mask(&ids, &mask, shape[0], device).unwrap()
    }

    /// Which tokens are real.
    pub(crate) fn real(&self) -> Vec<bool> {
        self.ints["attention_mask"].1.iter().map(|m| *m == 1).collect()
    }
}

/// The numbers of a tensor.
pub(crate) fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Compares rows of real tokens; `per_row` values belong to each token.
pub(crate) fn assert_rows(name: &str, found: &[f32], expected: &[f32], real: &[bool]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let per_row = found.len() / real.len();
    for (row, real) in real.iter().enumerate() {
        for i in row * per_row..(row + 1) * per_row {
            let difference = (found[i] - expected[i]).abs();
            assert!(!real || difference < TOLERANCE, "{name}[{i}]: {} {}", found[i], expected[i]);
        }
    }
}

/// Compares every tensor of a reference file with the model's.
pub(crate) fn check_case(model: &dyn HookedModel, path: &Path) {
    let device = Device::flex();
    let reference = Reference::read(path);
    let batch = reference.batch(&device);
    let real = reference.real();
    let n_layers = model.shape().n_layers;
    let hooks = HookSet::new(model.hooks());
    let output = model.run(&batch, &hooks, true).unwrap();
    let cache = output.cache;
    let [n_batch, pos] = batch.dims();

    let mut checked = 0;
    for (name, expected) in &reference.floats {
        let (kind, layer) = name.split_once('.').unwrap_or((name, "0"));
        let layer: usize = layer.parse().unwrap();
        let hook = match kind {
            "hs" if layer < n_layers => HookPoint::ResidPre(layer),
            "hs" => {
                // The last entry is after the final norm, which no single hook returns.
                continue;
            }
            "resid_final" => HookPoint::ResidPost(n_layers - 1),
            "resid_mid" => HookPoint::ResidMid(layer),
            "z" => HookPoint::Z(layer),
            // Before the norm that follows attention or MLP there is no hook, but its two parts.
            "attn_out" | "mlp_out" if model.has_hook(HookPoint::Ln1PostScale(0)) => {
                let (scale, normalized) = if kind == "attn_out" {
                    (HookPoint::Ln1PostScale(layer), HookPoint::Ln1PostNormalized(layer))
                } else {
                    (HookPoint::Ln2PostScale(layer), HookPoint::Ln2PostNormalized(layer))
                };
                let [scale, normalized] =
                    [scale, normalized].map(|hook| cache.stream(hook).unwrap());
                assert_rows(name, &values(scale * normalized), expected, &real);
                checked += 1;
                continue;
            }
            "attn_out" | "attn_out_post" => HookPoint::AttnOut(layer),
            "mlp_out" | "mlp_out_post" => HookPoint::MlpOut(layer),
            "attn" => {
                let pattern = cache.heads(HookPoint::Pattern(layer)).unwrap();
                let pattern = values(pattern.swap_dims(1, 2)); // [batch, query, head, key]
                let [_, n_heads, ..] = cache.heads(HookPoint::Pattern(layer)).unwrap().dims();
                let mut by_query = Vec::with_capacity(expected.len());
                for b in 0..n_batch {
                    for q in 0..pos {
                        for h in 0..n_heads {
                            let from = ((b * n_heads + h) * pos + q) * pos;
                            by_query.extend_from_slice(&expected[from..from + pos]);
                        }
                    }
                }
                assert_rows(name, &pattern, &by_query, &real);
                checked += 1;
                continue;
            }
            "logits" => {
                assert_rows(name, &values(output.logits.clone().unwrap()), expected, &real);
                checked += 1;
                continue;
            }
            "loss" | "token_loss" => continue,
            other => panic!("unknown reference tensor `{other}`"),
        };
        let found = values(cache.get(hook).unwrap().clone().flatten_heads());
        assert_rows(name, &found, expected, &real);
        checked += 1;
    }
    let expected = reference.floats.keys().filter(|name| !name.contains("loss")).count() - 1;
    assert_eq!(checked, expected, "every tensor but the last hidden state is compared");

    let losses = token_losses(&values(output.logits.unwrap()), &reference, model);
    let mean = losses.iter().sum::<f64>() / losses.len() as f64;
    if let Some(expected) = reference.floats.get("loss") {
        assert!((mean - f64::from(expected[0])).abs() < f64::from(TOLERANCE), "loss {mean}");
    }
    fused_attention_equals_the_explicit_one(model, &batch, &real);
}

/// Negative log-likelihoods where both the token and its target are real.
fn token_losses(logits: &[f32], reference: &Reference, model: &dyn HookedModel) -> Vec<f64> {
    let (shape, ids) = &reference.ints["input_ids"];
    let real = reference.real();
    let d_vocab = model.shape().d_vocab;
    let mut losses = Vec::new();
    for row in 0..shape[0] * shape[1] {
        if (row + 1) % shape[1] == 0 || !real[row] || !real[row + 1] {
            continue;
        }
        let scores = &logits[row * d_vocab..(row + 1) * d_vocab];
        let sum: f64 = scores.iter().map(|s| f64::from(*s).exp()).sum();
        losses.push(sum.ln() - f64::from(scores[usize::try_from(ids[row + 1]).unwrap()]));
    }
    losses
}

fn fused_attention_equals_the_explicit_one(
    model: &dyn HookedModel,
    batch: &TokenBatch,
    real: &[bool],
) {
    let last = HookPoint::ResidPost(model.shape().n_layers - 1);
    let explicit = HookSet::new([last, HookPoint::Pattern(0), HookPoint::Pattern(1)]);
    let fused = model.run_with_cache(batch, &HookSet::new([last])).unwrap();
    let explicit = model.run_with_cache(batch, &explicit).unwrap();
    let of = |cache: &attention_probes_models::ActivationCache| values(cache.stream(last).unwrap());
    assert_rows("fused attention", &of(&fused), &of(&explicit), real);
}

/// Compares ids, offsets, tokens, and decodings of every string of a golden file.
pub(crate) fn check_tokenizer(tokenizer: &Tokenizer, file: &str) {
    let text = std::fs::read_to_string(golden(file)).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pairs = |value: &serde_json::Value| -> Vec<(usize, usize)> {
        serde_json::from_value(value.clone()).unwrap()
    };
    let strings = golden["strings"].as_array().unwrap();
    assert!(strings.len() > 30);
    for string in strings {
        let text = string["text"].as_str().unwrap();
        let encoding = tokenizer.encode(text).unwrap();
        let ids: Vec<u32> = serde_json::from_value(string["ids"].clone()).unwrap();
        assert_eq!(encoding.ids, ids, "{text:?}");
        assert_eq!(encoding.byte_offsets, pairs(&string["offsets_byte"]), "{text:?}");
        assert_eq!(tokenizer.char_offsets(text).unwrap(), pairs(&string["offsets_char"]));
        assert_eq!(tokenizer.decode(&ids).unwrap(), string["decode_keep_special"], "{text:?}");
        let tokens: Vec<String> = serde_json::from_value(string["tokens"].clone()).unwrap();
        let found: Vec<String> = ids.iter().map(|id| tokenizer.id_to_token(*id).unwrap()).collect();
        assert_eq!(found, tokens);
    }
}
