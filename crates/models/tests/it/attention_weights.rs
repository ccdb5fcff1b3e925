//! What [`HookedModel::attention_weights`] hands out makes the scores and outputs of the model.

use std::path::Path;

use attention_probes_models::load::load_model;
use attention_probes_models::{
    AttentionWeights, HookPoint, HookSet, HookedModel, ModelError, NormKind, NormWeights,
    PaddingSide, TokenBatch, host_values, open_model,
};
use burn::tensor::Device;

/// Tiny models with random weights, norms and biases among them, and the embedded ones.
const GOLDEN: [&str; 6] = [
    "gpt2-base",
    "gemma1-base",
    "gemma2-base",
    "gemma3-base",
    "gemma3-pattern-linear",
    "gemma3-v5-linear",
];

fn models() -> Vec<(String, Box<dyn HookedModel>)> {
    let device = Device::flex();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let golden =
        GOLDEN.map(|name| (name.to_owned(), load_model(&folder.join(name), &device).unwrap()));
    let demo = ["demo-gpt2", "demo-gemma"]
        .map(|name| (name.to_owned(), open_model(name, None, &device).unwrap().model));
    golden.into_iter().chain(demo).collect()
}

/// A norm by its formula.
fn norm(weights: &NormWeights, x: &[f64]) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = match weights.kind {
        NormKind::Layer => x.iter().sum::<f64>() / n,
        NormKind::RootMeanSquare => 0.0,
    };
    let square = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    let scale = (square + weights.epsilon).sqrt();
    let parts = weights.gain.iter().zip(&weights.bias);
    x.iter()
        .zip(parts)
        .map(|(x, (g, b))| (x - mean) / scale * f64::from(*g) + f64::from(*b))
        .collect()
}

/// `x W + b` for the columns of one head.
fn project(x: &[f64], weight: &[f32], bias: &[f32], head: usize, d_head: usize) -> Vec<f64> {
    let columns = bias.len();
    let at = |c: usize| -> f64 {
        let rows = x.iter().enumerate();
        let sum: f64 = rows.map(|(r, x)| x * f64::from(weight[r * columns + c])).sum();
        sum + f64::from(bias[c])
    };
    (head * d_head..(head + 1) * d_head).map(at).collect()
}

/// Turns a head by its position.
fn turn(weights: &AttentionWeights, position: usize, head: &mut [f64]) {
    let Some(rope) = &weights.rope else { return };
    let half = head.len() / 2;
    for i in 0..half {
        let frequency = rope.theta.powf(-2.0 * i as f64 / head.len() as f64) / rope.factor;
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        let (a, b) = (head[i], head[i + half]);
        (head[i], head[i + half]) = (a * cos - b * sin, b * cos + a * sin);
    }
}

/// Scores of one head in `f64`, minus infinity where a key is hidden.
fn scores(weights: &AttentionWeights, y: &[Vec<f64>], head: usize) -> Vec<f64> {
    let d_head = weights.d_head;
    let row = |(position, y): (usize, &Vec<f64>), is_query: bool| {
        let (w, b, of, head) = if is_query {
            (&weights.w_q, &weights.b_q, &weights.q_norm, head)
        } else {
            (&weights.w_k, &weights.b_k, &weights.k_norm, weights.key_value_head(head))
        };
        let row = project(y, w, b, head, d_head);
        let mut row = of.as_ref().map_or(row.clone(), |of| norm(of, &row));
        turn(weights, position, &mut row);
        row
    };
    let q: Vec<Vec<f64>> = y.iter().enumerate().map(|y| row(y, true)).collect();
    let k: Vec<Vec<f64>> = y.iter().enumerate().map(|y| row(y, false)).collect();
    let mut scores = Vec::new();
    for (query, q) in q.iter().enumerate() {
        for (key, k) in k.iter().enumerate() {
            let score = weights.scale * q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>();
            let capped = weights.softcap.map_or(score, |cap| cap * (score / cap).tanh());
            scores.push(if weights.sees(query, key) { capped } else { f64::NEG_INFINITY });
        }
    }
    scores
}

#[test]
fn they_make_the_scores_and_what_attention_adds() {
    let device = Device::flex();
    for (name, model) in models() {
        let shape = model.shape().clone();
        let ids: Vec<u32> = (0..13).map(|i| (3 + i * 37) % shape.d_vocab as u32).collect();
        let batch =
            TokenBatch::new(std::slice::from_ref(&ids), PaddingSide::Right, &device).unwrap();
        for layer in 0..shape.n_layers {
            let weights = model.attention_weights(layer).unwrap();
            let hooks = [
                HookPoint::ResidPre(layer),
                HookPoint::AttnScores(layer),
                HookPoint::Pattern(layer),
                HookPoint::AttnOut(layer),
            ];
            let mut cache = model.run_with_cache(&batch, &HookSet::new(hooks)).unwrap();
            let [resid, found, pattern, attn_out] =
                hooks.map(|hook| host_values(cache.remove(hook).unwrap().flatten_heads()).unwrap());
            let y: Vec<Vec<f64>> = resid
                .chunks_exact(shape.d_model)
                .map(|row| {
                    let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
                    norm(&weights.norm, &row)
                })
                .collect();
            let (n, d_model) = (ids.len(), shape.d_model);
            let mut added = vec![vec![0.0; d_model]; n];
            for head in 0..shape.n_heads {
                let of_head = head * n * n..(head + 1) * n * n;
                let expected = scores(&weights, &y, head);
                for (found, expected) in found[of_head.clone()].iter().zip(expected) {
                    let is_near = (f64::from(*found) - expected).abs() < 1e-4;
                    let both_hidden = found.is_infinite() && expected.is_infinite();
                    assert!(is_near || both_hidden, "{name} {layer} {head}: {found} {expected}");
                }
                let shared = weights.key_value_head(head);
                let value =
                    |y: &Vec<f64>| project(y, &weights.w_v, &weights.b_v, shared, weights.d_head);
                let values: Vec<Vec<f64>> = y.iter().map(value).collect();
                let pattern = &pattern[of_head];
                for (query, added) in added.iter_mut().enumerate() {
                    for (key, value) in values.iter().enumerate() {
                        let weight = f64::from(pattern[query * n + key]);
                        for (i, value) in value.iter().enumerate() {
                            let row = &weights.w_o[(head * weights.d_head + i) * d_model..];
                            for (x, w) in added.iter_mut().zip(row) {
                                *x += weight * value * f64::from(*w);
                            }
                        }
                    }
                }
            }
            for (found, mut row) in attn_out.chunks_exact(d_model).zip(added) {
                for (x, b) in row.iter_mut().zip(&weights.b_o) {
                    *x += f64::from(*b);
                }
                let row = weights.post_norm.as_ref().map_or(row.clone(), |of| norm(of, &row));
                for (found, expected) in found.iter().zip(row) {
                    let difference = (f64::from(*found) - expected).abs();
                    assert!(difference < 1e-4, "{name} {layer}: {found} {expected}");
                }
            }
        }
        let error = model.attention_weights(shape.n_layers).unwrap_err();
        assert!(matches!(error, ModelError::LayerOutOfRange { .. }), "{name}");
    }
}
