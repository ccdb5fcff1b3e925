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
            let scores = self.changed(&head, scores, removed);
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
    fn changed(&self, head: &FraHead<'_>, scores: &[f32], removed: Removed<'_>) -> Vec<f32> {
        let terms = head.terms();
        let removed = match removed {
            Removed::Nothing => return scores.to_vec(),
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
        scores.iter().zip(&before_cap).zip(&removed).map(change).collect()
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
        let request =
            ForwardRequest { hooks: &hooks, logits: true, interventions: &changes, start: None };
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
