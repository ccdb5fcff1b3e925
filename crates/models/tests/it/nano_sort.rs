//! A published GPT-2 form model that really was trained: every intermediate, and it sorts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use attention_probes_models::{Gpt2, HookPoint, HookSet, HookedModel, PaddingSide, TokenBatch};
use burn::tensor::{Device, Tensor};

use crate::model;

const TOLERANCE: f32 = 2e-5;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nano-gpt-sort").join(name)
}

fn read(name: &str) -> BTreeMap<String, model::Published> {
    model::read(&path(name)).unwrap()
}

fn floats(array: &model::Published) -> Vec<f32> {
    array.values().unwrap()
}

fn model() -> Gpt2 {
    model::nano_gpt_sort(&path("gpt-nano-sort-model.json"), &Device::flex()).unwrap()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

fn assert_close(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Hidden scores are minus infinity, whose difference is not a number.
        let both_hidden = found.is_infinite() && expected.is_infinite();
        let equal = both_hidden || (found - expected).abs() < TOLERANCE;
        assert!(equal, "{name}[{i}]: {found} {expected}");
    }
}

#[test]
fn every_published_intermediate_is_matched_at_its_hook() {
    let partials = read("gpt-nano-sort-t0-partials.json");
    let device = Device::flex();
    let ids: Vec<u32> = floats(&partials["idx"]).iter().map(|id| *id as u32).collect();
    let texts: Vec<&[u32]> = ids.chunks(11).collect();
    let batch = TokenBatch::new(&texts, PaddingSide::Right, &device).unwrap();
    let model = model();
    let output = model.run(&batch, &HookSet::new(model.hooks()), true).unwrap();
    let cache = &output.cache;
    let stream = |hook| values(cache.stream(hook).unwrap());
    // Heads come before positions in the published tensors.
    let heads = |hook| values(cache.heads(hook).unwrap().swap_dims(1, 2));
    let plain = |hook| values(cache.heads(hook).unwrap());

    let pos_embed = stream(HookPoint::PosEmbed);
    for (name, found) in [
        ("tok_emb", stream(HookPoint::Embed)),
        ("pos_emb", pos_embed[..11 * 48].to_vec()),
        ("x", stream(HookPoint::ResidPre(0))),
        ("q", heads(HookPoint::Q(0))),
        ("k", heads(HookPoint::K(0))),
        ("v", heads(HookPoint::V(0))),
        ("att", plain(HookPoint::AttnScores(0))),
        ("attSm", plain(HookPoint::Pattern(0))),
        ("y", plain(HookPoint::Z(0))),
        ("yProj", stream(HookPoint::AttnOut(0))),
        ("attnResid", stream(HookPoint::ResidMid(0))),
        ("fc", stream(HookPoint::MlpPre(0))),
        ("gelu", stream(HookPoint::MlpPost(0))),
        ("mlp", stream(HookPoint::MlpOut(0))),
        ("mlpResid", stream(HookPoint::ResidPost(0))),
        ("block0", stream(HookPoint::ResidPost(0))),
        ("block1", stream(HookPoint::ResidPost(1))),
        ("block2", stream(HookPoint::ResidPost(2))),
        ("lm_head", values(output.logits.clone().unwrap())),
    ] {
        assert_close(name, &found, &floats(&partials[name]));
    }

    // Norms are published after their weight and bias, which our hooks come before.
    let weights = read("gpt-nano-sort-model.json");
    for (name, norm, hook) in [
        ("ln1", "h.0.ln_1", HookPoint::Ln1Normalized(0)),
        ("ln2", "h.0.ln_2", HookPoint::Ln2Normalized(0)),
        ("ln_f", "ln_f", HookPoint::LnFinalNormalized),
    ] {
        let part = |part: &str| floats(&weights[&format!("transformer.{norm}.{part}")]);
        let (weight, bias) = (part("weight"), part("bias"));
        let normalized = stream(hook);
        let affine = normalized.iter().enumerate().map(|(i, x)| x * weight[i % 48] + bias[i % 48]);
        assert_close(name, &affine.collect::<Vec<_>>(), &floats(&partials[name]));
    }
}

#[test]
fn scales_times_normalized_give_back_the_centred_stream() {
    let device = Device::flex();
    let batch = TokenBatch::new(&[[0, 1, 2, 2, 1]], PaddingSide::Right, &device).unwrap();
    let hooks = HookSet::parse([
        "blocks.1.ln2.hook_scale",
        "blocks.1.ln2.hook_normalized",
        "blocks.1.hook_resid_mid",
    ]);
    let cache = model().run_with_cache(&batch, &hooks.unwrap()).unwrap();
    let resid = cache.stream(HookPoint::ResidMid(1)).unwrap();
    let centred = resid.clone() - resid.mean_dim(2);
    let scale = cache.stream(HookPoint::Ln2Scale(1)).unwrap();
    assert_eq!(scale.dims(), [1, 5, 1]);
    let product = cache.stream(HookPoint::Ln2Normalized(1)).unwrap() * scale;
    assert_close("centred", &values(product), &values(centred));
}

#[test]
fn it_sorts() {
    let device = Device::flex();
    let model = model();
    let mut state = 1_u32;
    for _ in 0..40 {
        let letters: Vec<u32> = (0..6)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) % 3
            })
            .collect();
        let mut ids = letters.clone();
        for _ in 0..6 {
            let batch = TokenBatch::new(&[&ids], PaddingSide::Right, &device).unwrap();
            let logits = values(model.forward(&batch).unwrap());
            let last = &logits[logits.len() - 3..];
            let next = (0..3).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap();
            ids.push(next as u32);
            if ids.len() == 12 {
                break;
            }
        }
        let mut sorted = letters;
        sorted.sort_unstable();
        assert_eq!(ids[6..], sorted);
    }
}
