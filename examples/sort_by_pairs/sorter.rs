//! The model, and how well it sorts when scores of its attention are others.

use anyhow::{Context, Result};
use attention_probes::metrics::{Bootstrap, Interval, bootstrap};
use attention_probes::models::{
    ForwardRequest, Gpt2, HookPoint, HookSet, HookedModel, Intervention, PaddingSide, TokenBatch,
    host_values,
};
use attention_probes::sae::fra::FraScores;
use burn::tensor::Device;

use crate::inputs::{Input, LETTERS, N_LETTERS, N_POS};

/// The model and where it computes.
pub(crate) struct Sorter {
    pub(crate) model: Gpt2,
    pub(crate) device: Device,
}

/// How well the model sorts.
pub(crate) struct Effect {
    /// Share of the inputs that are sorted without a mistake.
    pub(crate) sorted: f64,
    /// Share of the letters that are right.
    pub(crate) letters: f64,
    /// Mean loss of a letter, in nats.
    pub(crate) loss_nats: f64,
    /// 95 % interval of that mean, over inputs drawn again.
    pub(crate) interval: Interval,
    /// Attention of the heads of layer 0, where a letter is to be said, to the places of the input
    /// that have it.
    pub(crate) attention: f64,
}

impl Sorter {
    pub(crate) fn n_heads(&self) -> usize {
        self.model.shape().n_heads
    }

    /// Runs the model over inputs and their sorted letters.
    ///
    /// Each letter is judged after the right ones before it: an input counts as sorted exactly if
    /// the model sorts it when it reads its own answers.
    pub(crate) fn effect(&self, inputs: &[Input], changed: Vec<FraScores>) -> Result<Effect> {
        let n_heads = self.n_heads();
        let dims = [inputs.len(), n_heads, N_POS];
        let replace = |scores: FraScores| scores.intervention(dims, &self.device);
        let interventions: Vec<Intervention> = changed.into_iter().map(replace).collect();
        let ids: Vec<&[u32]> = inputs.iter().map(|input| &input.ids[..]).collect();
        let batch = TokenBatch::new(&ids, PaddingSide::Right, &self.device)?;
        let hooks = HookSet::new([HookPoint::Pattern(0)]);
        let request = ForwardRequest {
            logits: true,
            interventions: &interventions,
            ..ForwardRequest::hooks(&hooks)
        };
        let mut output = self.model.execute(&batch, &request)?;
        let logits = host_values(output.logits.context("the model returned no logits")?)?;
        let pattern = output.cache.remove(HookPoint::Pattern(0)).context("no pattern was kept")?;
        let pattern = host_values(pattern.flatten_heads())?;

        let (mut losses, mut n_right, mut n_sorted, mut attention) = (Vec::new(), 0, 0_usize, 0.0);
        for (i, input) in inputs.iter().enumerate() {
            let (mut loss, n_before) = (0.0, n_right);
            for (pos, letter) in input.answers() {
                let logits = &logits[(i * N_POS + pos) * LETTERS.len()..][..LETTERS.len()];
                let right = logits[letter as usize];
                let over = |logit: &f32| f64::from(logit - right).exp();
                loss += logits.iter().map(over).sum::<f64>().ln();
                n_right += usize::from(logits.iter().all(|logit| *logit <= right));
                for head in i * n_heads..(i + 1) * n_heads {
                    let row = &pattern[(head * N_POS + pos) * N_POS..][..N_LETTERS];
                    let weights = row.iter().zip(&input.ids).filter(|(_, id)| **id == letter);
                    attention += weights.map(|(weight, _)| f64::from(*weight)).sum::<f64>();
                }
            }
            n_sorted += usize::from(n_right - n_before == N_LETTERS);
            losses.push(loss / N_LETTERS as f64);
        }
        let n = inputs.len() as f64;
        let mean = |drawn: &[usize]| drawn.iter().map(|i| losses[*i]).sum::<f64>() / n;
        Ok(Effect {
            sorted: n_sorted as f64 / n,
            letters: n_right as f64 / (n * N_LETTERS as f64),
            loss_nats: losses.iter().sum::<f64>() / n,
            interval: bootstrap(inputs.len(), &Bootstrap::default(), mean)?,
            attention: attention / (n * (N_LETTERS * n_heads) as f64),
        })
    }
}
