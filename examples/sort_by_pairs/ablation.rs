//! How well the model sorts inputs without some pairs of features.

use anyhow::{Context, Result};
use attention_probes::sae::fra::FraScores;
use rand::SeedableRng;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::LAYER;
use crate::inputs::Input;
use crate::pairs::{PairId, Ranked, Text};
use crate::scores::{Removed, without};
use crate::sorter::{Effect, Sorter};

/// Draws of random pairs.
pub(crate) const N_DRAWS: u64 = 20;

/// Inputs that the model sorts without some pairs.
pub(crate) struct Ablation<'a> {
    pub(crate) sorter: &'a Sorter,
    pub(crate) inputs: &'a [Input],
    pub(crate) texts: &'a [Text],
}

impl Ablation<'_> {
    /// How well it sorts without what is removed from all heads.
    pub(crate) fn effect(&self, removed: Removed<'_>) -> Result<Effect> {
        self.with(without(removed, self.texts)?)
    }

    /// How well it sorts with these scores.
    pub(crate) fn with(&self, values: Vec<f32>) -> Result<Effect> {
        let heads = (0..self.sorter.n_heads()).collect();
        self.sorter.effect(self.inputs, vec![FraScores { layer: LAYER, heads, values }])
    }

    /// Pairs drawn at random: the mean of some draws, and the least and the largest loss.
    pub(crate) fn drawn(&self, ranked: &Ranked, n: usize) -> Result<Effect> {
        let mut draws = Vec::new();
        for seed in 0..N_DRAWS {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let pairs = ranked.pairs.choose_multiple(&mut rng, n);
            let pairs: Vec<PairId> = pairs.map(|pair| pair.id).collect();
            draws.push(self.effect(Removed::Pairs(&pairs))?);
        }
        draws.sort_by(|a, b| a.loss_nats.total_cmp(&b.loss_nats));
        let mean = |of: fn(&Effect) -> f64| draws.iter().map(of).sum::<f64>() / draws.len() as f64;
        let (sorted, letters) = (mean(|draw| draw.sorted), mean(|draw| draw.letters));
        let (loss_nats, attention) = (mean(|draw| draw.loss_nats), mean(|draw| draw.attention));
        let (least, most) = (draws.first().context("no draw")?, draws.last().context("no draw")?);
        let mut interval = least.interval;
        (interval.lower, interval.upper) = (least.loss_nats, most.loss_nats);
        Ok(Effect { sorted, letters, loss_nats, interval, attention })
    }
}
