//! What the model card reports: held-out loss, baseline, induction heads, continuations.

use anyhow::Result;
use attention_probes_models::{
    HookPoint, HookSet, HookedModel, PaddingSide, TokenBatch, Tokenizer,
};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::ngram::NGram;

/// Tokens shown before the first one that counts, so that every token has a history.
const STRIDE: usize = 128;

/// Figures of the model card.
#[derive(Serialize)]
pub(crate) struct Figures {
    held_out_tokens: usize,
    held_out_loss_nats: f64,
    five_gram_loss_nats: f64,
    induction_scores: Vec<Vec<f64>>,
    best_induction_score: f64,
    continuations: Vec<String>,
}

/// Computes every figure.
pub(crate) fn figures(
    model: &dyn HookedModel,
    tokenizer: &Tokenizer,
    train: &[u32],
    held_out: &[u32],
    device: &Device,
) -> Result<Figures> {
    let five_gram = NGram::new(train, model.shape().d_vocab);
    let induction_scores = induction_scores(model, device)?;
    let best = induction_scores.iter().flatten().copied().fold(0.0, f64::max);
    let prompts = ["Once upon a time, there was a little", "One day, Tom and Lily went to the"];
    let continuations = prompts
        .iter()
        .zip(0..)
        .map(|(prompt, seed)| continuation(model, tokenizer, prompt, seed, device))
        .collect::<Result<_>>()?;
    Ok(Figures {
        held_out_tokens: held_out.len(),
        held_out_loss_nats: loss_nats(model, held_out, device)?,
        five_gram_loss_nats: five_gram.loss_nats(held_out),
        induction_scores,
        best_induction_score: best,
        continuations,
    })
}

/// Mean negative log-likelihood per token, windows overlapping by half so that (but for the first
/// window) every token is predicted from at least `STRIDE` others.
pub(crate) fn loss_nats(model: &dyn HookedModel, ids: &[u32], device: &Device) -> Result<f64> {
    let n_ctx = model.shape().n_ctx;
    let (mut sum, mut n) = (0.0, 0);
    let mut from = 0;
    let mut counted = 1;
    while counted < ids.len() {
        let to = (from + n_ctx).min(ids.len());
        let window = &ids[from..to];
        let batch = TokenBatch::new(&[window], PaddingSide::Right, device)?;
        let logits = model.forward(&batch)?.squeeze_dim::<2>(0); // [pos, d_vocab]
        let targets: Vec<i64> = window[1..].iter().map(|id| i64::from(*id)).collect();
        let n_targets = targets.len();
        let targets = Tensor::<2, Int>::from_data(TensorData::new(targets, [n_targets, 1]), device);
        let losses = activation::log_softmax(logits.narrow(0, 0, n_targets), 1).gather(1, targets);
        let losses = losses.into_data().convert::<f64>();
        let losses: &[f64] = losses.as_slice().map_err(|error| anyhow::anyhow!("{error:?}"))?;
        for loss in &losses[counted - from - 1..] {
            sum -= loss;
            n += 1;
        }
        counted = to;
        from = to.saturating_sub(STRIDE);
    }
    Ok(sum / f64::from(n))
}

/// Attention from each token of a repeated random segment to the token after its first occurrence,
/// mean over the second half, `[n_layers][n_heads]`.
pub(crate) fn induction_scores(model: &dyn HookedModel, device: &Device) -> Result<Vec<Vec<f64>>> {
    const SEGMENT: usize = 64;
    const N_SEQUENCES: usize = 16;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let shape = model.shape();
    let texts: Vec<Vec<u32>> = (0..N_SEQUENCES)
        .map(|_| {
            let segment: Vec<u32> =
                (0..SEGMENT).map(|_| rng.random_range(1..shape.d_vocab as u32)).collect();
            segment.repeat(2)
        })
        .collect();
    let batch = TokenBatch::new(&texts, PaddingSide::Right, device)?;
    let hooks = HookSet::new((0..shape.n_layers).map(HookPoint::Pattern));
    let cache = model.run_with_cache(&batch, &hooks)?;
    let mut scores = Vec::new();
    for layer in 0..shape.n_layers {
        let Some(pattern) = cache.heads(HookPoint::Pattern(layer)) else { continue };
        let mut row = Vec::new();
        for head in 0..shape.n_heads {
            let mut sum = 0.0;
            for sequence in 0..N_SEQUENCES {
                let one = pattern.clone().slice([sequence..sequence + 1, head..head + 1]);
                let one = one.into_data().convert::<f64>();
                let one: &[f64] = one.as_slice().map_err(|error| anyhow::anyhow!("{error:?}"))?;
                let at = |query: usize| one[query * 2 * SEGMENT + query - SEGMENT + 1];
                sum += (SEGMENT..2 * SEGMENT - 1).map(at).sum::<f64>();
            }
            row.push(sum / (N_SEQUENCES * (SEGMENT - 1)) as f64);
        }
        scores.push(row);
    }
    Ok(scores)
}

/// Continues a prompt by 80 tokens, drawn at temperature 0.7.
fn continuation(
    model: &dyn HookedModel,
    tokenizer: &Tokenizer,
    prompt: &str,
    seed: u64,
    device: &Device,
) -> Result<String> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut ids = tokenizer.encode(prompt)?.ids;
    for _ in 0..80 {
        let batch = TokenBatch::new(&[&ids], PaddingSide::Right, device)?;
        let logits = model.forward(&batch)?;
        let last = logits.narrow(1, ids.len() - 1, 1) / 0.7;
        let probabilities = activation::softmax(last, 2).into_data().convert::<f64>();
        let probabilities: &[f64] =
            probabilities.as_slice().map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let mut threshold: f64 = rng.random();
        let next = probabilities.iter().position(|probability| {
            threshold -= probability;
            threshold < 0.0
        });
        ids.push(next.unwrap_or(0) as u32);
    }
    Ok(tokenizer.decode(&ids)?)
}
