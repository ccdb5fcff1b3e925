//! Gemma 1, 2, and 3 against Hugging Face's numbers.

use std::path::Path;

use crate::hugging_face::reference::{
    Reference, assert_rows, check_case, check_tokenizer, golden, values,
};
use attention_probes_models::load::{gemma_from_bytes, load_gemma, load_model};
use attention_probes_models::{
    HookPoint, HookSet, HookedModel, PaddingSide, TokenBatch, Tokenizer,
};
use burn::tensor::Device;

const MODELS: [&str; 7] = [
    "gemma1-base",
    "gemma2-base",
    "gemma3-base",
    "gemma3-bf16",
    "gemma3-pattern-linear",
    "gemma3-v5-linear",
    "gemma3-wrapped",
];

#[test]
fn every_hook_equals_hugging_face_with_padding_on_either_side() {
    for name in MODELS {
        let model = load_gemma(&golden(name), &Device::flex()).unwrap();
        for entry in std::fs::read_dir(golden(name).join("ref")).unwrap() {
            check_case(&model, &entry.unwrap().path());
        }
    }
}

#[test]
fn with_gradients_the_numbers_are_the_same() {
    let device = Device::flex();
    for name in ["gemma1-base", "gemma2-base", "gemma3-base"] {
        let reference = Reference::read(&golden(name).join("ref/left_pad.f32.safetensors"));
        let tracked = device.clone().autodiff();
        let model = load_gemma(&golden(name), &tracked).unwrap();
        let logits = model.forward(&reference.batch(&tracked)).unwrap();
        assert_rows(name, &values(logits), &reference.floats["logits"], &reference.real());
    }
}

#[test]
fn the_rotated_queries_and_keys_make_the_scores() {
    let device = Device::flex();
    let model = load_gemma(&golden("gemma3-base"), &device).unwrap();
    let reference = Reference::read(&golden("gemma3-base/ref/right_pad.f32.safetensors"));
    let hooks = [HookPoint::RotQ(2), HookPoint::RotK(2), HookPoint::AttnScores(2)];
    let cache = model.run_with_cache(&reference.batch(&device), &HookSet::new(hooks)).unwrap();
    let [q, k, scores] = hooks.map(|hook| cache.heads(hook).unwrap());
    let [_, pos, n_heads, d_head] = q.dims();
    let shared = n_heads / model.shape().n_key_value_heads;
    let (q, k, scores) = (values(q), values(k), values(scores));
    let (query, key) = (7, 3);
    for head in 0..n_heads {
        let at = |values: &[f32], token: usize, n: usize, head: usize| {
            values[(token * n + head) * d_head..][..d_head].to_vec()
        };
        let q = at(&q, query, n_heads, head);
        let k = at(&k, key, n_heads / shared, head / shared);
        let product: f32 = q.iter().zip(&k).map(|(q, k)| q * k).sum();
        let expected = product / 10.0_f32.sqrt(); // `query_pre_attn_scalar`
        let found = scores[(head * pos + query) * pos + key];
        assert!((found - expected).abs() < 1e-4, "head {head}: {found} {expected}");
    }
}

#[test]
fn a_text_longer_than_the_window_costs_no_square_and_changes_nothing() {
    let device = Device::flex();
    let dir = golden("gemma3-base");
    let [config, weights] =
        ["config.json", "model.safetensors"].map(|f| std::fs::read(dir.join(f)).unwrap());
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["max_position_embeddings"] = 2048.into();
    let model = gemma_from_bytes(config.to_string().as_bytes(), &weights, &dir, &device).unwrap();
    // Long enough for several products of the full layers too.
    let ids: Vec<u32> = (0..1100).map(|i| 3 + (i * 37) % 500).collect();
    let texts = [&ids[..], &ids[..700]];
    let last = HookPoint::ResidPost(4);
    for side in [PaddingSide::Left, PaddingSide::Right] {
        let batch = TokenBatch::new(&texts, side, &device).unwrap();
        let sliding = model.run_with_cache(&batch, &HookSet::new([last])).unwrap();
        let patterns = (0..5).map(HookPoint::Pattern).chain([last]);
        let explicit = model.run_with_cache(&batch, &HookSet::new(patterns)).unwrap();
        let [sliding, explicit] = [sliding, explicit].map(|c| values(c.stream(last).unwrap()));
        assert_rows("resid", &sliding, &explicit, batch.mask());
        assert!(sliding.iter().all(|value| value.is_finite()), "padding is finite");
    }
}

#[test]
fn damaged_checkpoints_are_refused_in_words_that_help() {
    let cases: [(&str, &[&str]); 3] = [
        ("missing-tensor", &["model.layers.1.mlp.down_proj.weight"]),
        ("wrong-shape", &["q_proj", "shape"]),
        ("unsupported-rope", &["yarn", "rope"]),
    ];
    for (name, words) in cases {
        let dir = golden("negative").join(name);
        let message = load_model(&dir, &Device::flex()).err().unwrap().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{name}: {message}");
    }
}

#[test]
fn a_configuration_that_changes_the_numbers_is_refused_by_field() {
    let dir = golden("gemma3-base");
    let config = std::fs::read_to_string(dir.join("config.json")).unwrap();
    let weights = std::fs::read(dir.join("model.safetensors")).unwrap();
    let cases = [
        ("\"attention_bias\": true,", "attention_bias"),
        ("\"use_bidirectional_attention\": true,", "use_bidirectional_attention"),
        ("\"quantization_config\": {\"bits\": 4},", "quantization_config"),
        ("\"hidden_activation\": \"mish\",", "hidden_activation"),
        ("\"attn_logit_softcapping\": 50.0,", "attn_logit_softcapping"),
        ("\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0},", "rope_scaling.rope_type"),
        ("\"rope_scaling\": {\"rope_type\": \"linear\"},", "rope_scaling.factor"),
        ("\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"llama3\"}},", "llama3"),
        ("\"layer_types\": [\"full_attention\"],", "layer_types"),
        ("\"num_key_value_heads\": 3,", "num_key_value_heads"),
        ("\"head_dim\": 7,", "head_dim"),
        ("\"num_hidden_layers\": 1000000000000,", "num_hidden_layers"),
        ("\"intermediate_size\": 9223372036854775807,", "intermediate_size"),
        ("\"moe_experts\": 8,", "moe_experts"),
    ];
    for (field, word) in cases {
        let key = field.split(':').next().unwrap();
        let mut kept: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&config).unwrap();
        kept.remove(key.trim_matches('"'));
        let kept = serde_json::to_string(&kept).unwrap();
        let changed = kept.replacen('{', &format!("{{{field}"), 1);
        let path = Path::new("config.json");
        let error = gemma_from_bytes(changed.as_bytes(), &weights, path, &Device::flex());
        let message = error.unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn what_is_around_a_text_config_is_refused_by_field_too() {
    let dir = golden("gemma3-wrapped");
    let [config, weights] =
        ["config.json", "model.safetensors"].map(|f| std::fs::read(dir.join(f)).unwrap());
    for (field, value) in [
        ("quantization_config", serde_json::json!({ "bits": 4 })),
        ("tie_word_embeddings", false.into()),
        ("audio_config", serde_json::json!({})),
    ] {
        let mut changed: serde_json::Value = serde_json::from_slice(&config).unwrap();
        changed[field] = value;
        let changed = changed.to_string();
        let error = gemma_from_bytes(changed.as_bytes(), &weights, &dir, &Device::flex());
        let message = error.unwrap_err().to_string();
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn tokens_offsets_and_decodings_are_exact() {
    let tokenizer = Tokenizer::from_dir(&golden("gemma3-base")).unwrap();
    check_tokenizer(&tokenizer, "spm.golden.json");
}
