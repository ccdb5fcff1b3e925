//! What each library computes with its own files, `tests/golden/make_formats.py`.

use std::path::{Path, PathBuf};

use approx::assert_abs_diff_eq;
use attention_probes_sae::{
    Architecture, Reshape, Sae, SaeDtype, SaeFormat, read_sae, write_sae_lens,
};
use safetensors::SafeTensors;

/// Name in `expected.safetensors`, and where the files are.
const SAES: [(&str, &str, SaeFormat, Architecture); 17] = [
    ("sae_lens_standard", "sae_lens_standard", SaeFormat::SaeLens, Architecture::Standard),
    ("sae_lens_topk", "sae_lens_topk", SaeFormat::SaeLens, Architecture::TopK),
    ("sae_lens_jumprelu", "sae_lens_jumprelu", SaeFormat::SaeLens, Architecture::JumpRelu),
    ("sae_lens_gated", "sae_lens_gated", SaeFormat::SaeLens, Architecture::Gated),
    ("sae_lens_hook_z", "sae_lens_hook_z", SaeFormat::SaeLens, Architecture::Standard),
    ("sae_lens_bf16", "sae_lens_bf16", SaeFormat::SaeLens, Architecture::Standard),
    ("sae_lens_old", "sae_lens_old", SaeFormat::SaeLens, Architecture::Standard),
    ("sae_lens_old_topk", "sae_lens_old_topk", SaeFormat::SaeLens, Architecture::TopK),
    (
        "attention_output",
        "attention_output/gpt2-small_L1_Hcat_z_lr1.20e-03_l11.20e+00_ds10_v4.pt",
        SaeFormat::AttentionOutput,
        Architecture::Standard,
    ),
    (
        "gemma_scope",
        "gemma-scope-2b-pt-att/layer_5/width_16k/average_l0_61",
        SaeFormat::GemmaScope,
        Architecture::JumpRelu,
    ),
    ("sparsify", "sparsify/layers.2.mlp", SaeFormat::Sparsify, Architecture::TopK),
    (
        "dictionary_learning_standard",
        "dictionary_learning_standard",
        SaeFormat::DictionaryLearning,
        Architecture::Standard,
    ),
    (
        "dictionary_learning_new",
        "dictionary_learning_new",
        SaeFormat::DictionaryLearning,
        Architecture::Standard,
    ),
    (
        "dictionary_learning_gated",
        "dictionary_learning_gated",
        SaeFormat::DictionaryLearning,
        Architecture::Gated,
    ),
    (
        "dictionary_learning_jumprelu",
        "dictionary_learning_jumprelu",
        SaeFormat::DictionaryLearning,
        Architecture::JumpRelu,
    ),
    (
        "dictionary_learning_topk",
        "dictionary_learning_topk",
        SaeFormat::DictionaryLearning,
        Architecture::TopK,
    ),
    (
        "dictionary_learning_batchtopk",
        "dictionary_learning_batchtopk/ae.pt",
        SaeFormat::DictionaryLearning,
        Architecture::JumpRelu,
    ),
];

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/formats")
}

/// An array of `expected.safetensors`.
pub(crate) fn expected(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(folder().join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let data = file.tensor(name).unwrap().data().to_vec();
    data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn read(path: &str) -> Sae {
    read_sae(folder().join(path)).unwrap()
}

#[test]
fn every_form_gives_the_features_that_its_library_gives() {
    let x = expected("x");
    for (name, path, format, architecture) in SAES {
        let (found, _) = SaeFormat::of(folder().join(path)).unwrap();
        assert_eq!(found, format, "{name}");
        let sae = read(path);
        assert_eq!(sae.activation.architecture(), architecture, "{name}");
        assert_eq!((sae.config.d_in, sae.config.d_sae), (6, 10), "{name}");
        // torch computes in bfloat16 where the weights are.
        let epsilon = if sae.config.dtype == SaeDtype::Bfloat16 { 0.04 } else { 2e-6 };
        let encoded = sae.encode(&x).unwrap();
        let codes = encoded.codes.to_dense();
        for (found, expected) in codes.iter().zip(expected(&format!("{name}.codes"))) {
            assert_abs_diff_eq!(*found, expected, epsilon = epsilon);
        }
        let decoded = sae.decode(&encoded);
        for (found, expected) in decoded.iter().zip(expected(&format!("{name}.decoded"))) {
            assert_abs_diff_eq!(*found, expected, epsilon = 2.0 * epsilon);
        }
    }
}

#[test]
fn every_form_is_written_and_read_back_to_the_bit() {
    for (name, path, _, _) in SAES {
        let sae = read(path);
        let folder = tempfile::tempdir().unwrap();
        write_sae_lens(&sae, folder.path()).unwrap();
        let mut back = read_sae(folder.path()).unwrap();
        // The version of the form is added.
        let version = back.config.metadata.get("sae_lens_version").cloned();
        assert!(version.is_some(), "{name}");
        back.config.metadata = sae.config.metadata.clone();
        assert_eq!(back, sae, "{name}");
    }
}

#[test]
fn what_is_known_of_a_site_is_read() {
    let site = |path| {
        let Sae { config, .. } = read(path);
        let metadata = &config.metadata;
        let text = |value: Option<&str>| value.unwrap_or("-").to_owned();
        (text(metadata.model_name()), text(metadata.hook_name()), config.reshape_activations)
    };
    let known = |model: &str, hook: &str, reshape| (model.to_owned(), hook.to_owned(), reshape);
    let z = Reshape::HookZ;
    assert_eq!(
        SAES.map(|(name, path, ..)| (name, site(path)))[4..13],
        [
            ("sae_lens_hook_z", known("gpt2", "blocks.1.attn.hook_z", z)),
            ("sae_lens_bf16", known("gpt2", "blocks.1.hook_resid_post", Reshape::None)),
            ("sae_lens_old", known("gpt2-small", "blocks.8.hook_resid_pre", Reshape::None)),
            ("sae_lens_old_topk", known("gpt2-small", "blocks.8.hook_resid_pre", Reshape::None)),
            ("attention_output", known("gpt2-small", "blocks.1.attn.hook_z", z)),
            ("gemma_scope", known("gemma-2-2b", "blocks.5.attn.hook_z", z)),
            ("sparsify", known("-", "blocks.2.hook_mlp_out", Reshape::None)),
            (
                "dictionary_learning_standard",
                known("pythia-70m-deduped", "blocks.8.hook_resid_post", Reshape::None)
            ),
            (
                "dictionary_learning_new",
                known("pythia-70m-deduped", "blocks.8.hook_resid_post", Reshape::None)
            ),
        ]
    );
    let metadata = read("attention_output/gpt2-small_L1_Hcat_z_lr1.20e-03_l11.20e+00_ds10_v4.pt")
        .config
        .metadata;
    assert_eq!((metadata.context_size(), metadata.prepend_bos()), (Some(128), Some(true)));
}
