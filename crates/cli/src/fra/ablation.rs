//! What a head, and the model's next token, lose without some pairs of features.

use anyhow::Result;
use attention_probes_models::{
    Activation, ForwardRequest, HookPoint, HookSet, HookedModel, Intervention, ModelError,
    PaddingSide, TokenBatch, host_values, next_token_losses,
};
use attention_probes_sae::fra::{FraActivations, FraHead, FraLayer, FraText, capture};
use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

/// What is taken from a head's scores.
#[derive(Clone, Copy, Debug)]
pub(super) enum Removed<'a> {
    /// Nothing.
    Nothing,
    /// What some pairs of features add.
    Pairs(&'a [(u32, u32)]),
    /// What all pairs of features add.
    AllPairs,
    /// Everything, so that the head attends alike to all keys that it sees.
    Everything,
}

/// Means over the places where a text goes on as it did after the last occurrence of the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Effect {
    /// Number of such places.
    pub(super) n: u64,
    /// Attention of the head to the token that came next then.
    pub(super) attention: f64,
    /// Loss of the model on that token, which comes next now, in nats.
    pub(super) loss_nats: f64,
    /// Loss on all other tokens.
    pub(super) other_loss_nats: f64,
}

/// A head whose scores are changed.
pub(super) struct Ablation<'a> {
    pub(super) model: &'a dyn HookedModel,
    pub(super) device: &'a Device,
    pub(super) layer: &'a FraLayer<'a>,
    pub(super) head: usize,
}

/// One text with its factors.
pub(super) struct AblatedText {
    ids: Vec<u32>,
    text: FraText,
    scores: Vec<f32>,
}

impl Ablation<'_> {
    /// Reads the texts, of which each begins with `n_before` tokens that have no features.
    pub(super) fn texts(&self, texts: &[Vec<u32>], n_before: usize) -> Result<Vec<AblatedText>> {
        let mut hooks = self.layer.hooks();
        hooks.push(HookPoint::AttnScores(self.layer.layer()));
        let text = |ids: &Vec<u32>| {
            let kept: FraActivations = capture(self.model, self.device, ids, &hooks)?;
            let n = ids.len();
            let all = &kept[&HookPoint::AttnScores(self.layer.layer())];
            Ok(AblatedText {
                scores: all[self.head * n * n..(self.head + 1) * n * n].to_vec(),
                text: FraText::new(self.layer, &[self.head], ids, &kept, n_before)?,
                ids: ids.clone(),
            })
        };
        texts.iter().map(text).collect()
    }

    /// Runs the model over the texts without what is removed.
    pub(super) fn effect(&self, texts: &[AblatedText], removed: Removed<'_>) -> Result<Effect> {
        let mut effect = Effect::default();
        let mut n_others = 0_u64;
        for AblatedText { ids, text, scores } in texts {
            let Some(head) = text.head(self.head) else { continue };
            let scores = self.changed(&head, scores, removed)?;
            let (patterns, losses) = self.run(ids, &scores)?;
            let n = ids.len();
            for (query, loss) in losses.iter().enumerate() {
                let target = text.codes().induction_target(query);
                if let Some(target) = target.filter(|target| ids[*target] == ids[query + 1]) {
                    effect.n += 1;
                    effect.loss_nats += f64::from(*loss);
                    effect.attention += f64::from(patterns[query * n + target]);
                } else {
                    n_others += 1;
                    effect.other_loss_nats += f64::from(*loss);
                }
            }
        }
        let n = effect.n.max(1) as f64;
        effect.loss_nats /= n;
        effect.attention /= n;
        effect.other_loss_nats /= n_others.max(1) as f64;
        Ok(effect)
    }

    /// Scores of the head without what is removed.
    fn changed(
        &self,
        head: &FraHead<'_>,
        scores: &[f32],
        removed: Removed<'_>,
    ) -> Result<Vec<f32>> {
        let terms = head.terms()?;
        let removed = match removed {
            Removed::Nothing => return Ok(scores.to_vec()),
            Removed::Pairs(pairs) => head.pairs_map(pairs),
            Removed::AllPairs => terms.pairs.clone(),
            Removed::Everything => terms.scores(),
        };
        let before_cap = terms.scores();
        let weights = self.layer.weights();
        let change = |((old, sum), removed): ((&f32, &f32), &f32)| {
            let left = sum - removed;
            match weights.softcap {
                _ if *old == f32::NEG_INFINITY => *old,
                Some(cap) => cap as f32 * (left / cap as f32).tanh(),
                None => left,
            }
        };
        Ok(scores.iter().zip(&before_cap).zip(&removed).map(change).collect())
    }

    /// Pattern of the head and losses of the next tokens, with these scores.
    fn run(&self, ids: &[u32], scores: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        let n = ids.len();
        let n_heads = self.layer.n_heads();
        let (scores_hook, pattern_hook) =
            (HookPoint::AttnScores(self.layer.layer()), HookPoint::Pattern(self.layer.layer()));
        let mut all = vec![0.0; n_heads * n * n];
        all[self.head * n * n..(self.head + 1) * n * n].copy_from_slice(scores);
        let data = TensorData::new(all, [1, n_heads, n, n]);
        let by = Activation::Heads(Tensor::from_data(data, self.device));
        let changes = [Intervention::replace(scores_hook, by).on_heads([self.head])];
        let batch = TokenBatch::new(&[ids], PaddingSide::Right, self.device)?;
        let hooks = HookSet::new([pattern_hook]);
        let request = ForwardRequest {
            interventions: &changes,
            logits: true,
            ..ForwardRequest::hooks(&hooks)
        };
        let output = self.model.execute(&batch, &request)?;
        let mut cache = output.cache;
        let missing = |what: &str| ModelError::NotReturned { output: what.to_owned() };
        let logits = output.logits.ok_or_else(|| missing("logits"))?;
        let patterns = cache.remove(pattern_hook).ok_or_else(|| missing("hook_pattern"))?;
        let patterns = host_values(patterns.flatten_heads())?;
        let of_head = patterns[self.head * n * n..(self.head + 1) * n * n].to_vec();
        Ok((of_head, next_token_losses(&logits, &batch)?))
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_models::{ActivationFunction, Gpt2, Gpt2Config};
    use attention_probes_sae::{Activation as Kind, Sae, SaeConfig};

    use super::*;

    const LAYER: usize = 1;
    const HEAD: usize = 1;

    /// A model, an autoencoder of what its second layer reads, and texts with tokens that occur
    /// again.
    fn subject(device: &Device) -> (Gpt2, Sae, Vec<Vec<u32>>) {
        device.seed(5);
        let config = Gpt2Config {
            n_layers: 2,
            n_heads: 2,
            d_model: 12,
            d_mlp: 8,
            d_vocab: 9,
            n_ctx: 20,
            activation: ActivationFunction::GeluTanh,
            layer_norm_epsilon: 1e-5,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            tie_word_embeddings: true,
        };
        let (d_in, d_sae) = (12, 30);
        let wave = |n: usize, at: f32| (0..n).map(|i| (i as f32 * at).sin()).collect::<Vec<_>>();
        let mut sae = Sae {
            config: SaeConfig::new(d_in, d_sae),
            activation: Kind::Standard { b_enc: vec![0.1; d_sae] },
            encoder: wave(d_in * d_sae, 0.9),
            decoder: wave(d_in * d_sae, 1.3),
            b_dec: vec![0.0; d_in],
        };
        sae.set_hook(HookPoint::Ln1Normalized(LAYER));
        let text = |seed: u32| (0..14).map(|i| (i * i * (seed + 2) + seed) % 5).collect();
        (config.init(device), sae, (0..3).map(text).collect())
    }

    /// What the model does by itself, at the places that an effect is about.
    fn as_it_is(model: &Gpt2, device: &Device, texts: &[Vec<u32>]) -> Effect {
        let mut effect = Effect::default();
        let mut n_others = 0.0;
        for ids in texts {
            let n = ids.len();
            let kept = capture(model, device, ids, &[HookPoint::Pattern(LAYER)]).unwrap();
            let pattern = &kept[&HookPoint::Pattern(LAYER)][HEAD * n * n..];
            let batch = TokenBatch::new(&[&ids[..]], PaddingSide::Right, device).unwrap();
            let logits = model.forward(&batch).unwrap();
            for (query, loss) in next_token_losses(&logits, &batch).unwrap().iter().enumerate() {
                let before = ids[..query].iter().rposition(|id| *id == ids[query]);
                let target = before.map(|before| before + 1).filter(|target| *target < query);
                if let Some(target) = target.filter(|target| ids[*target] == ids[query + 1]) {
                    effect.n += 1;
                    effect.attention += f64::from(pattern[query * n + target]);
                    effect.loss_nats += f64::from(*loss);
                } else {
                    n_others += 1.0;
                    effect.other_loss_nats += f64::from(*loss);
                }
            }
        }
        effect.attention /= effect.n as f64;
        effect.loss_nats /= effect.n as f64;
        effect.other_loss_nats /= n_others;
        effect
    }

    fn assert_near(found: Effect, expected: Effect) {
        assert_eq!(found.n, expected.n);
        let of = |effect: Effect| [effect.attention, effect.loss_nats, effect.other_loss_nats];
        for (found, expected) in of(found).into_iter().zip(of(expected)) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
    }

    #[test]
    fn what_is_left_is_what_was_not_removed() {
        let device = Device::flex();
        let (model, sae, texts) = subject(&device);
        let layer = FraLayer::new(&sae, &model, LAYER).unwrap();
        let ablation = Ablation { model: &model, device: &device, layer: &layer, head: HEAD };
        let read = ablation.texts(&texts, 0).unwrap();
        let effect = |removed| ablation.effect(&read, removed).unwrap();
        let whole = effect(Removed::Nothing);
        assert!(whole.n > 3, "{whole:?}");
        assert_near(whole, as_it_is(&model, &device, &texts));
        assert_near(effect(Removed::Pairs(&[])), whole);
        // All pairs one by one are all pairs at once, and more than some of them.
        let all: Vec<(u32, u32)> = (0..30).flat_map(|i| (0..30).map(move |j| (i, j))).collect();
        let without = effect(Removed::AllPairs);
        assert_near(effect(Removed::Pairs(&all)), without);
        assert!((without.attention - whole.attention).abs() > 1e-3);
        assert!((effect(Removed::Pairs(&all[..200])).attention - without.attention).abs() > 1e-3);
        // Without its scores a head attends alike to all that it sees.
        let mut mean = 0.0;
        for ids in &texts {
            for query in 0..ids.len() - 1 {
                let before = ids[..query].iter().rposition(|id| *id == ids[query]);
                let target = before.map(|before| before + 1).filter(|target| *target < query);
                if target.is_some_and(|target| ids[target] == ids[query + 1]) {
                    mean += 1.0 / (query + 1) as f64 / whole.n as f64;
                }
            }
        }
        assert!((effect(Removed::Everything).attention - mean).abs() < 1e-5);
    }
}
