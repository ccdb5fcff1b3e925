//! Short texts in a short batch have the bits that they have in a long one.

use attention_probes_models::demo::DemoModel;
use attention_probes_models::load::load_model;
use attention_probes_models::{HookPoint, HookSet, HookedModel, TokenBatch, host_values};
use burn::tensor::Device;

use crate::files::golden;

/// Bits of the real tokens of each text at every hook, in a batch of `pos` columns and at least
/// `n_rows` rows.
fn bits(model: &dyn HookedModel, texts: &[&[u32]], pos: usize, n_rows: usize) -> Vec<Vec<u32>> {
    let device = Device::flex();
    let n_rows = n_rows.max(texts.len());
    let (mut ids, mut mask) = (vec![0; n_rows * pos], vec![false; n_rows * pos]);
    for (row, text) in texts.iter().enumerate() {
        ids[row * pos..][..text.len()].copy_from_slice(text);
        mask[row * pos..][..text.len()].fill(true);
    }
    let batch = TokenBatch::from_mask(&ids, &mask, n_rows, &device).unwrap();
    let batch = batch.with_attention_pos(32);
    // Two passes, since asking for patterns takes another way through attention.
    let is_pattern =
        |hook: &HookPoint| matches!(hook, HookPoint::AttnScores(_) | HookPoint::Pattern(_));
    let (patterns, streams): (Vec<_>, Vec<_>) = model.hooks().into_iter().partition(is_pattern);
    let last = HookPoint::ResidPost(model.shape().n_layers - 1);
    let explicit = [&patterns[..], &[last]].concat();
    let mut all = vec![Vec::new(); texts.len()];
    for hooks in [streams, explicit] {
        let mut cache = model.run_with_cache(&batch, &HookSet::new(hooks.clone())).unwrap();
        for hook in hooks {
            let values = host_values(cache.remove(hook).unwrap().flatten_heads()).unwrap();
            let of_row = values.len() / n_rows;
            for ((bits, text), row) in all.iter_mut().zip(texts).zip(values.chunks(of_row)) {
                if is_pattern(&hook) {
                    for head in row.chunks(pos * pos) {
                        for query in head.chunks(pos).take(text.len()) {
                            bits.extend(query[..text.len()].iter().map(|x| x.to_bits()));
                        }
                    }
                } else {
                    let real = &row[..of_row / pos * text.len()];
                    bits.extend(real.iter().map(|x| x.to_bits()));
                }
            }
        }
    }
    all
}

#[test]
fn the_length_of_a_batch_shows_in_no_bit() {
    let device = Device::flex();
    let demo = |name| DemoModel::named(name).unwrap().load(&device).unwrap();
    let file = |name| load_model(&golden(name), &device).unwrap();
    let models = [
        demo("demo-gpt2"),
        demo("demo-gemma"),
        file("gemma3-base"),
        file("gemma2-base"),
        file("gpt2-base"),
    ];
    for model in &models {
        let n_ctx = model.shape().n_ctx.min(32);
        let ids: Vec<u32> = (0..200).map(|i| 3 + (i * 37) % 100).collect();
        let lengths = [1, 2, 3, 4, 5, 7, 8, 11, 15, 16, 17, 23, 31].map(|n: usize| n.min(n_ctx));
        let texts: Vec<&[u32]> =
            lengths.iter().enumerate().map(|(i, n)| &ids[5 * i..][..*n]).collect();
        let together = bits(&**model, &texts, n_ctx, 0);
        for (text, expected) in texts.iter().zip(&together) {
            let pos = text.len();
            // Alone in a batch just as long as it, and with others of its length.
            let alone = bits(&**model, &[text], pos, 32_usize.div_ceil(pos));
            assert!(alone[0] == *expected, "{pos} tokens alone");
            let others: Vec<&[u32]> = (0..33).map(|i| &ids[i..][..pos]).chain([*text]).collect();
            let crowd = bits(&**model, &others, pos, 0);
            assert!(crowd.last() == Some(expected), "{pos} tokens among others");
        }
    }
}
