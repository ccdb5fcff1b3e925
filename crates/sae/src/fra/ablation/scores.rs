//! What a head, and the model's next token, lose without some pairs of features.

use attention_probes_errors::Stop;
use attention_probes_models::{
    Activation, ForwardRequest, HookPoint, HookSet, HookedModel, Intervention, ModelError,
    PaddingSide, TokenBatch, host_values, next_token_losses,
};
use burn::tensor::{Device, Tensor, TensorData};
use serde::Serialize;

use crate::SaeError;
use crate::fra::capture::{FraActivations, Running};
use crate::fra::codes::FraInput;
use crate::fra::layer::FraLayer;
use crate::fra::text::{FraHead, FraText};

/// What is taken from a head's scores.
#[derive(Clone, Copy, Debug)]
pub enum FraRemoved<'a> {
    /// Nothing.
    Nothing,
    /// What some pairs of features add, query and key, each given once.
    Pairs(&'a [(u32, u32)]),
    /// What all pairs of features add.
    AllPairs,
    /// Everything that is no pair of features.
    AllButPairs,
    /// Everything, so that the head attends alike to all keys that it sees.
    Everything,
    /// These amounts, `[n_positions, n_positions]`.
    Amounts(&'a [f32]),
}

impl FraHead<'_> {
    /// The scores before the soft cap without what is removed, `[n_positions, n_positions]`.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Published`] if the layer is [`FraLayer::published`].
    /// - [`SaeError::SizeMismatch`] if amounts are not as many as there are scores.
    pub fn scores_without(&self, removed: FraRemoved<'_>) -> Result<Vec<f32>, SaeError> {
        let terms = self.terms()?;
        let scores = terms.scores();
        let less = |removed: &[f32]| {
            scores.iter().zip(removed).map(|(score, removed)| score - removed).collect()
        };
        Ok(match removed {
            FraRemoved::Nothing => scores,
            FraRemoved::Pairs(pairs) => less(&self.pairs_map(pairs)),
            FraRemoved::AllPairs => less(&terms.pairs),
            FraRemoved::AllButPairs => {
                let rest: Vec<f32> = less(&terms.pairs);
                less(&rest)
            }
            FraRemoved::Everything => less(&scores),
            FraRemoved::Amounts(amounts) if amounts.len() != scores.len() => {
                let (what, found) = ("the number of removed amounts", amounts.len());
                return Err(SaeError::SizeMismatch { what, found, expected: scores.len() });
            }
            FraRemoved::Amounts(amounts) => less(amounts),
        })
    }
}

/// Scores that take the place of a model's own.
#[derive(Clone, Debug, PartialEq)]
pub struct FraScores {
    /// The layer.
    pub layer: usize,
    /// The heads that get them.
    pub heads: Vec<usize>,
    /// `[n_texts, n_heads, n_positions, n_positions]`, of all heads of the layer.
    pub values: Vec<f32>,
}

impl FraScores {
    /// What makes a forward pass over texts of one length compute with these scores; keys behind the
    /// query stay hidden.
    ///
    /// # Shapes
    ///
    /// - `dims`: `[n_texts, n_heads, n_positions]`
    ///
    /// # Panics
    ///
    /// If there are not as many values as the shape asks for.
    pub fn intervention(mut self, dims: [usize; 3], device: &Device) -> Intervention {
        let [n_texts, n_heads, n] = dims;
        assert_eq!(self.values.len(), n_texts * n_heads * n * n, "number of scores");
        for (at, value) in self.values.iter_mut().enumerate() {
            if at % n > at / n % n {
                *value = f32::NEG_INFINITY;
            }
        }
        let data = TensorData::new(self.values, [n_texts, n_heads, n, n]);
        let by = Activation::Heads(Tensor::from_data(data, device));
        Intervention::replace(HookPoint::AttnScores(self.layer), by).on_heads(self.heads)
    }
}

/// Means over the places where a text goes on as it did after the last occurrence of the token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct FraEffect {
    /// Number of such places.
    pub n: u64,
    /// Attention of the head to the token that came next then.
    pub attention: f64,
    /// Loss of the model on that token, which comes next now, in nats.
    pub loss_nats: f64,
    /// Loss on all other tokens.
    pub other_loss_nats: f64,
}

/// A head whose scores are changed.
#[derive(Clone, Copy)]
pub struct FraAblation<'a> {
    /// The model.
    pub model: &'a dyn HookedModel,
    /// Where it computes.
    pub device: &'a Device,
    /// The layer, whose scores are decomposed.
    pub layer: &'a FraLayer<'a>,
    /// The head.
    pub head: usize,
    /// Asked before each text, and before each block of a forward pass.
    pub stop: &'a Stop,
}

/// One text with its factors and the model's own scores.
pub struct AblatedText {
    ids: Vec<u32>,
    text: FraText,
    scores: Vec<f32>,
}

impl FraAblation<'_> {
    /// Reads texts, each of which begins with `n_before` tokens that have no features.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Model`] if the model fails.
    /// - [`SaeError::NonFinite`] if an activation is NaN or infinite.
    /// - [`SaeError::Head`] if the layer has no such head.
    /// - [`SaeError::Stopped`] if the signal to stop is given.
    ///
    /// # Memory
    ///
    /// The scores and factors of every text, and the activations of up to 64 texts, or of as many as
    /// take 256 MiB, one at least.
    pub fn texts(&self, texts: &[Vec<u32>], n_before: usize) -> Result<Vec<AblatedText>, SaeError> {
        let mut hooks = self.layer.hooks();
        hooks.push(HookPoint::AttnScores(self.layer.layer()));
        let running = Running { model: self.model, device: self.device, stop: self.stop };
        let mut found = Vec::with_capacity(texts.len());
        running.each(texts, &hooks, |text, kept| {
            let (ids, kept): (_, FraActivations) = (&texts[text], kept?);
            let n = ids.len();
            let all = &kept[&HookPoint::AttnScores(self.layer.layer())];
            let input = FraInput { ids, activations: &kept, n_before };
            found.push(AblatedText {
                scores: all[self.head * n * n..(self.head + 1) * n * n].to_vec(),
                text: FraText::new(self.layer, &[self.head], input)?,
                ids: ids.clone(),
            });
            Ok(())
        })?;
        Ok(found)
    }

    /// Runs the model over the texts without what is removed.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Model`] if the model fails.
    /// - [`SaeError::Published`] if the layer is [`FraLayer::published`].
    pub fn effect(
        &self,
        texts: &[AblatedText],
        removed: FraRemoved<'_>,
    ) -> Result<FraEffect, SaeError> {
        let mut effect = FraEffect::default();
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
        removed: FraRemoved<'_>,
    ) -> Result<Vec<f32>, SaeError> {
        if let FraRemoved::Nothing = removed {
            return Ok(scores.to_vec());
        }
        let left = head.scores_without(removed)?;
        let softcap = self.layer.weights().softcap;
        let change = |(old, left): (&f32, f32)| match softcap {
            _ if *old == f32::NEG_INFINITY => *old,
            Some(cap) => cap as f32 * (left / cap as f32).tanh(),
            None => left,
        };
        Ok(scores.iter().zip(left).map(change).collect())
    }

    /// Pattern of the head and losses of the next tokens, with these scores.
    fn run(&self, ids: &[u32], scores: &[f32]) -> Result<(Vec<f32>, Vec<f32>), SaeError> {
        let n = ids.len();
        let n_heads = self.layer.n_heads();
        let pattern_hook = HookPoint::Pattern(self.layer.layer());
        let mut values = vec![0.0; n_heads * n * n];
        values[self.head * n * n..(self.head + 1) * n * n].copy_from_slice(scores);
        let scores = FraScores { layer: self.layer.layer(), heads: vec![self.head], values };
        let changes = [scores.intervention([1, n_heads, n], self.device)];
        let batch = TokenBatch::new(&[ids], PaddingSide::Right, self.device)?;
        let hooks = HookSet::new([pattern_hook]);
        let request = ForwardRequest {
            interventions: &changes,
            logits: true,
            stop: self.stop.clone(),
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
    use super::*;
    use crate::fra::capture::{NEVER, capture};
    use crate::{Sae, SaeActivation, SaeConfig};
    use attention_probes_models::{ActivationFunction, Gpt2, Gpt2Config};

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
            activation: SaeActivation::Standard { b_enc: vec![0.1; d_sae] },
            encoder: wave(d_in * d_sae, 0.9),
            decoder: wave(d_in * d_sae, 1.3),
            b_dec: vec![0.0; d_in],
        };
        sae.set_hook(HookPoint::Ln1Normalized(LAYER));
        let text = |seed: u32| (0..14).map(|i| (i * i * (seed + 2) + seed) % 5).collect();
        (config.init(device), sae, (0..3).map(text).collect())
    }

    /// What the model does by itself, at the places that an effect is about.
    fn as_it_is(model: &Gpt2, device: &Device, texts: &[Vec<u32>]) -> FraEffect {
        let mut effect = FraEffect::default();
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

    fn assert_near(found: FraEffect, expected: FraEffect) {
        assert_eq!(found.n, expected.n);
        let of = |effect: FraEffect| [effect.attention, effect.loss_nats, effect.other_loss_nats];
        for (found, expected) in of(found).into_iter().zip(of(expected)) {
            assert!((found - expected).abs() < 1e-4, "{found} {expected}");
        }
    }

    #[test]
    fn what_is_left_is_what_was_not_removed() {
        let device = Device::flex();
        let (model, sae, texts) = subject(&device);
        let layer = FraLayer::new(&sae, &model, LAYER).unwrap();
        let ablation =
            FraAblation { model: &model, device: &device, layer: &layer, head: HEAD, stop: &NEVER };
        let read = ablation.texts(&texts, 0).unwrap();
        let effect = |removed| ablation.effect(&read, removed).unwrap();
        let whole = effect(FraRemoved::Nothing);
        assert!(whole.n > 3, "{whole:?}");
        assert_near(whole, as_it_is(&model, &device, &texts));
        assert_near(effect(FraRemoved::Pairs(&[])), whole);
        // All pairs one by one are all pairs at once, and more than some of them.
        let all: Vec<(u32, u32)> = (0..30).flat_map(|i| (0..30).map(move |j| (i, j))).collect();
        let without = effect(FraRemoved::AllPairs);
        assert_near(effect(FraRemoved::Pairs(&all)), without);
        assert!((without.attention - whole.attention).abs() > 1e-3);
        assert!(
            (effect(FraRemoved::Pairs(&all[..200])).attention - without.attention).abs() > 1e-3
        );
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
        assert!((effect(FraRemoved::Everything).attention - mean).abs() < 1e-5);
    }
}
