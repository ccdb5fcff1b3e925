//! Attention: which key a query may see, how scores and patterns come about, and the fused product
//! that needs neither.

use std::ops::Range;

use attention_probes_kernels::fast::exp;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Device, FloatDType, Tensor, activation};

use crate::TokenBatch;
use crate::host::is_host;
use crate::layers::fused::map_rows;

/// Queries of one fused product on the host. Their results, scores of a tile of keys, and the keys
/// fit into a second-level cache; the rest of the keys streams by.
const CAUSAL_QUERIES: usize = 512;

/// Queries, keys, and values of one block, `[batch, heads, pos, d_head]`.
pub(crate) struct Heads {
    pub(crate) q: Tensor<4>,
    /// As many heads as `q`, or a number that divides it.
    pub(crate) k: Tensor<4>,
    pub(crate) v: Tensor<4>,
}

/// How scores come about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scoring {
    /// What products of queries and keys are multiplied by.
    pub(crate) scale: f64,
    /// `cap tanh(score / cap)`, after scaling and before masking.
    pub(crate) softcap: Option<f64>,
    /// How many keys a query sees at most, itself included.
    pub(crate) window: Option<usize>,
}

impl Heads {
    /// As many heads of keys and values as of queries.
    pub(crate) fn repeated(self) -> Self {
        let [_, n_heads, ..] = self.q.dims();
        Self { k: repeat(self.k, n_heads), v: repeat(self.v, n_heads), ..self }
    }

    /// The same with zeros behind the texts, so that there are `pos` positions.
    pub(crate) fn padded(self, pos: usize) -> Self {
        Self { q: pad(self.q, 2, pos), k: pad(self.k, 2, pos), v: pad(self.v, 2, pos) }
    }

    /// Scores, minus infinity where a query may not see a key: `[batch, n_heads, query, key]`.
    pub(crate) fn scores(&self, scoring: Scoring, batch: &TokenBatch) -> Tensor<4> {
        let q = self.q.clone() * scoring.scale;
        let scores = q.matmul(self.k.clone().swap_dims(2, 3));
        let [n_texts, n_heads, pos, _] = scores.dims();
        let real = batch.has_left_padding().then(|| batch.mask());
        let finish = |_: &[&[f32]], row: usize, scores: &mut [f32]| {
            let query = row % pos;
            let first_key = scoring.window.map_or(0, |window| (query + 1).saturating_sub(window));
            if let Some(cap) = scoring.softcap {
                for score in &mut scores[first_key..=query] {
                    *score = cap as f32 * (*score / cap as f32).tanh();
                }
            }
            scores[..first_key].fill(f32::NEG_INFINITY);
            scores[query + 1..].fill(f32::NEG_INFINITY);
            if let Some(real) = real {
                let text = row / (n_heads * pos);
                for (score, real) in scores.iter_mut().zip(&real[text * pos..]) {
                    *score = if *real { *score } else { f32::NEG_INFINITY };
                }
            }
        };
        map_rows(scores, pos, &[] as &[&Tensor<1>], finish, |scores| {
            let scores = match scoring.softcap {
                Some(cap) => scores.div_scalar(cap).tanh().mul_scalar(cap),
                None => scores,
            };
            let device = batch.input_ids().device().inner();
            let mask = unseen(pos, 0, pos, scoring.window, &device);
            let dims = [n_texts, n_heads, pos, pos];
            let scores = scores.mask_fill(mask.expand(dims), f32::NEG_INFINITY);
            match hidden(batch, 0..pos, dims) {
                Some(hidden) => scores.mask_fill(hidden, f32::NEG_INFINITY),
                None => scores,
            }
        })
    }

    /// Values mixed by the softmax of the scores, `[batch, n_heads, pos, d_head]`; the scores are
    /// never all there at once.
    pub(crate) fn attend(&self, scoring: Scoring, batch: &TokenBatch) -> Tensor<4> {
        let [.., pos, _] = self.q.dims();
        match scoring.window.filter(|window| *window < pos) {
            Some(window) => self.attend_sliding(scoring, window, batch),
            None => self.attend_causal(scoring, batch),
        }
    }

    /// Attention to all keys so far. On the host some queries at a time, which stay in the cache of
    /// the processor, and only to the keys that one of them sees.
    fn attend_causal(&self, scoring: Scoring, batch: &TokenBatch) -> Tensor<4> {
        let [.., pos, _] = self.q.dims();
        let block = if is_host(&self.q.device()) { CAUSAL_QUERIES.min(pos) } else { pos };
        let parts = (0..pos).step_by(block).map(|start| {
            let queries = start..pos.min(start + block);
            self.attend_part(queries.clone(), 0..queries.end, scoring, None, batch)
        });
        Tensor::cat(parts.collect(), 2)
    }

    /// Attention to the last `window` keys, one window of queries at a time: the memory it takes
    /// grows with `pos * window`, not with `pos * pos`.
    fn attend_sliding(&self, scoring: Scoring, window: usize, batch: &TokenBatch) -> Tensor<4> {
        let [.., pos, _] = self.q.dims();
        let device = self.q.device();
        let parts = (0..pos).step_by(window).map(|start| {
            let queries = start..pos.min(start + window);
            let keys = (start + 1).saturating_sub(window)..queries.end;
            let mask = unseen(queries.len(), start - keys.start, keys.len(), Some(window), &device);
            self.attend_part(queries, keys, scoring, Some(mask), batch)
        });
        Tensor::cat(parts.collect(), 2)
    }

    /// Attention of some queries to some keys, the last query at the place of the last key. Without
    /// a mask each query sees the keys up to its own place.
    fn attend_part(
        &self,
        queries: Range<usize>,
        keys: Range<usize>,
        scoring: Scoring,
        mask: Option<Tensor<4, Bool>>,
        batch: &TokenBatch,
    ) -> Tensor<4> {
        let [n_texts, n_heads, ..] = self.q.dims();
        let dims = [n_texts, n_heads, queries.len(), keys.len()];
        let options = AttentionModuleOptions {
            scale: Some(scoring.scale),
            softcap: scoring.softcap,
            is_causal: mask.is_none(),
        };
        let hidden = hidden(batch, keys.clone(), dims);
        let mask = match (mask.map(|mask| mask.expand(dims)), hidden) {
            (Some(mask), Some(hidden)) => Some(mask.bool_or(hidden)),
            (mask, hidden) => mask.or(hidden),
        };
        let q = self.q.clone().narrow(2, queries.start, queries.len());
        let k = self.k.clone().narrow(2, keys.start, keys.len());
        let v = self.v.clone().narrow(2, keys.start, keys.len());
        attention(q, k, v, mask, None, options)
    }
}

/// The softmax of scores over keys, in their number format; zero for a query that sees no key.
///
/// # Shapes
///
/// - `scores`: `[batch, n_heads, query, key]`
pub(crate) fn pattern_from_scores(scores: Tensor<4>) -> Tensor<4> {
    let [.., pos] = scores.dims();
    let normalise = |_: &[&[f32]], _, row: &mut [f32]| {
        let max = row.iter().copied().fold(f32::MIN, f32::max);
        let mut sum = 0.0;
        for score in row.iter_mut() {
            // `exp` saturates, so what is masked must be told apart.
            *score = if *score == f32::NEG_INFINITY { 0.0 } else { exp(*score - max) };
            sum += *score;
        }
        let inverse = if sum > 0.0 { sum.recip() } else { 0.0 };
        for weight in row.iter_mut() {
            *weight *= inverse;
        }
    };
    map_rows(scores, pos, &[] as &[&Tensor<1>], normalise, |scores| {
        let dtype = FloatDType::from(scores.dtype());
        let pattern = activation::softmax(scores.cast(FloatDType::F32), 3);
        let empty = pattern.clone().is_nan();
        pattern.mask_fill(empty, 0.0).cast(dtype)
    })
}

/// Appends zeros to an axis until it is `length` long.
pub(crate) fn pad(x: Tensor<4>, axis: usize, length: usize) -> Tensor<4> {
    let mut dims = x.dims();
    if dims[axis] >= length {
        return x;
    }
    dims[axis] = length - dims[axis];
    let zeros = Tensor::zeros(dims, (&x.device(), x.dtype()));
    Tensor::cat(vec![x, zeros], axis)
}

/// Repeats each key or value head for the query heads that share it.
fn repeat(heads: Tensor<4>, n_heads: usize) -> Tensor<4> {
    let [batch, n_shared, pos, d_head] = heads.dims();
    if n_shared == n_heads {
        return heads;
    }
    let dims = [batch, n_shared, n_heads / n_shared, pos, d_head];
    heads.unsqueeze_dim::<5>(2).expand(dims).reshape([batch, n_heads, pos, d_head])
}

/// `true` at keys that are padding which the causal mask does not hide.
fn hidden(batch: &TokenBatch, keys: Range<usize>, dims: [usize; 4]) -> Option<Tensor<4, Bool>> {
    let mask_pad = batch.has_left_padding().then(|| batch.mask_pad())?;
    let keys = mask_pad.narrow(1, keys.start, keys.len());
    Some(keys.unsqueeze_dims::<4>(&[1, 1]).expand(dims))
}

/// `true` where a query may not see a key, `[1, 1, n_queries, n_keys]`: keys after it, and keys
/// `window` or more before it. The first query is at the place of key `offset`.
fn unseen(
    n_queries: usize,
    offset: usize,
    n_keys: usize,
    window: Option<usize>,
    device: &Device,
) -> Tensor<4, Bool> {
    let shape = [n_queries, n_keys];
    let future = Tensor::<2, Bool>::tril_mask(shape, offset as i64, device);
    let mask = match window {
        Some(window) => {
            let past =
                Tensor::<2, Bool>::triu_mask(shape, offset as i64 - window as i64 + 1, device);
            future.bool_or(past)
        }
        None => future,
    };
    mask.unsqueeze::<4>()
}
