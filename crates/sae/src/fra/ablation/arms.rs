//! What a model loses without pairs of features of an induction head, compared with others.

use std::collections::HashSet;

use rand::SeedableRng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::scores::{FraAblation, FraEffect, FraRemoved};
use crate::SaeError;
use crate::fra::layer::FraLayer;
use crate::fra::pairs::{FraPair, FraRank, FraStatistics};
use crate::fra::reading::FraReader;

/// Pairs that are removed at a time, and pairs that others are drawn from to compare.
const N_REMOVED: [usize; 2] = [50, 200];
const N_CANDIDATES: usize = 20_000;

/// One thing that was taken from the head's scores, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FraArm {
    /// What was taken, in words.
    pub removed: String,
    /// Share of the magnitudes of all pairs, on the texts of the statistics.
    pub share: Option<f64>,
    /// On held-out passages.
    pub passages: FraEffect,
    /// On random tokens of which a segment is repeated.
    pub repeated: FraEffect,
}

/// An induction head whose pairs are removed.
#[derive(Clone, Copy)]
pub struct FraArmsConfig<'a> {
    /// The model.
    pub reader: FraReader<'a>,
    /// The layer.
    pub layer: &'a FraLayer<'a>,
    /// The head.
    pub head: usize,
    /// Pairs of the head, over other texts than those on which the model is run.
    pub statistics: &'a FraStatistics,
    /// Held-out passages.
    pub passages: &'a [Vec<u32>],
    /// Random tokens of which a segment is repeated.
    pub repeated: &'a [Vec<u32>],
}

/// What a model loses without the pairs that carry induction, and without others: first nothing is
/// removed, then of 50 and of 200 pairs those with most induction, others of as much magnitude, and
/// others drawn from the 20,000 strongest; then all pairs, and all of the scores.
///
/// # Errors
///
/// - [`SaeError::Model`] if the model fails.
/// - [`SaeError::NonFinite`] if an activation is NaN or infinite.
/// - [`SaeError::Head`] if the layer has no such head.
/// - [`SaeError::Published`] if the layer is [`FraLayer::published`].
/// - [`SaeError::Site`] or [`SaeError::SizeMismatch`] as [`FraStatistics::add`].
/// - [`SaeError::Stopped`] if the signal of [`FraReader::with_stop`] is given.
pub fn induction_arms(config: &FraArmsConfig<'_>) -> Result<Vec<FraArm>, SaeError> {
    let FraArmsConfig { reader, layer, head, statistics, passages, repeated } = *config;
    let (model, device) = (&*reader.model().model, reader.device());
    let ablation = FraAblation { model, device, layer, head, stop: reader.stop() };
    let passages = ablation.texts(passages, reader.n_before())?;
    let repeated = ablation.texts(repeated, reader.n_before())?;
    let ranks = [FraRank::Induction, FraRank::Sum];
    let found = statistics.top(layer, &ranks, N_CANDIDATES)?;
    let found = found.iter().find(|found| found.head == head);
    let whole = found.map_or(0.0, |found| found.sum_abs).max(f64::MIN_POSITIVE);
    let [induction, all] = found.map_or([&[][..], &[][..]], |f| [&f.top[0], &f.top[1]]);
    let both = |removed: FraRemoved<'_>, label: String, share| {
        let (passages, repeated) =
            (ablation.effect(&passages, removed)?, ablation.effect(&repeated, removed)?);
        Ok::<FraArm, SaeError>(FraArm { removed: label, share, passages, repeated })
    };
    let without = |pairs: &[&FraPair], label: String| {
        let share = pairs.iter().map(|pair| pair.sum_abs).sum::<f64>() / whole;
        let features: Vec<(u32, u32)> = pairs.iter().map(|pair| features(pair)).collect();
        both(FraRemoved::Pairs(&features), label, Some(share))
    };
    let mut arms = vec![both(FraRemoved::Nothing, "nothing".to_owned(), None)?];
    for n in N_REMOVED {
        let strongest: Vec<&FraPair> = induction.iter().take(n).collect();
        arms.push(without(
            &strongest,
            format!("the {} pairs with most induction", strongest.len()),
        )?);
        let matched = matched(&strongest, all);
        arms.push(without(&matched, format!("{} others of as much magnitude", matched.len()))?);
        let taken: HashSet<(u32, u32)> = strongest.iter().map(|pair| features(pair)).collect();
        let others: Vec<&FraPair> =
            all.iter().filter(|pair| !taken.contains(&features(pair))).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let drawn: Vec<&FraPair> = others.choose_multiple(&mut rng, n).copied().collect();
        let label = format!("{} others of the {} strongest", drawn.len(), all.len());
        arms.push(without(&drawn, label)?);
    }
    arms.push(both(FraRemoved::AllPairs, "all pairs".to_owned(), Some(1.0))?);
    arms.push(both(FraRemoved::Everything, "the scores".to_owned(), None)?);
    Ok(arms)
}

fn features(pair: &FraPair) -> (u32, u32) {
    (pair.query_feature, pair.key_feature)
}

/// As many other pairs, each of about the same sum of magnitudes, and as many of the strongest
/// others as make up what these lack together; all of those that carry the least induction for
/// their size.
fn matched<'a>(pairs: &[&FraPair], all: &'a [FraPair]) -> Vec<&'a FraPair> {
    let mut shares: Vec<f64> = all.iter().map(|pair| pair.induction).collect();
    shares.sort_by(f64::total_cmp);
    let low = shares.get(shares.len() / 2).copied().unwrap_or(0.0);
    let taken: HashSet<(u32, u32)> = pairs.iter().map(|pair| features(pair)).collect();
    let is_free = |pair: &&FraPair| pair.induction <= low && !taken.contains(&features(pair));
    let mut free: Vec<&FraPair> = all.iter().filter(is_free).collect();
    let mut lacking: f64 = pairs.iter().map(|pair| pair.sum_abs).sum();
    let mut found = Vec::new();
    for pair in pairs {
        let distance = |other: &FraPair| (other.sum_abs - pair.sum_abs).abs();
        let nearest =
            (0..free.len()).min_by(|a, b| distance(free[*a]).total_cmp(&distance(free[*b])));
        if let Some(nearest) = nearest {
            found.push(free.swap_remove(nearest));
        }
    }
    lacking -= found.iter().map(|pair| pair.sum_abs).sum::<f64>();
    free.sort_by(|a, b| b.sum_abs.total_cmp(&a.sum_abs));
    for pair in free {
        if pair.sum_abs <= lacking {
            lacking -= pair.sum_abs;
            found.push(pair);
        }
    }
    found
}
