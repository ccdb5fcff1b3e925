//! What a model loses without pairs of features of an induction head, beside others.

use std::collections::HashSet;

use anyhow::Result;
use attention_probes_sae::fra::{FraLayer, FraPair, FraRank, FraStatistics};
use rand::SeedableRng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::ablation::{Ablation, Effect, Removed};
use super::subject::Reader;

/// Pairs that are removed at a time, and pairs that others are drawn from to compare.
const N_REMOVED: [usize; 2] = [50, 200];
const N_CANDIDATES: usize = 20_000;

/// One thing that was taken from the head's scores, and what became of it.
#[derive(Debug, Serialize)]
pub(super) struct Arm {
    pub(super) removed: String,
    /// Share of the magnitudes of all pairs, on the texts of the statistics.
    pub(super) share: Option<f64>,
    /// On held-out passages.
    pub(super) passages: Effect,
    /// On random tokens of which a segment is repeated.
    pub(super) repeated: Effect,
}

/// What the model loses without the pairs that carry induction, and without others.
pub(super) fn without_pairs(
    reader: Reader<'_>,
    statistics: &FraStatistics,
    (layer, head): (&FraLayer<'_>, usize),
    [passages, repeated]: [&[Vec<u32>]; 2],
) -> Result<Vec<Arm>> {
    let (model, device) = (&*reader.model.model, reader.device);
    let ablation = Ablation { model, device, layer, head };
    let passages = ablation.texts(passages, reader.n_before)?;
    let repeated = ablation.texts(repeated, reader.n_before)?;
    let ranks = [FraRank::Induction, FraRank::Sum];
    let found = statistics.top(layer, &ranks, N_CANDIDATES)?;
    let found = found.iter().find(|found| found.head == head);
    let whole = found.map_or(0.0, |found| found.sum_abs).max(f64::MIN_POSITIVE);
    let [induction, all] = found.map_or([&[][..], &[][..]], |f| [&f.top[0], &f.top[1]]);
    let both = |removed: Removed<'_>, label: String, share| {
        let (passages, repeated) =
            (ablation.effect(&passages, removed)?, ablation.effect(&repeated, removed)?);
        Ok::<Arm, anyhow::Error>(Arm { removed: label, share, passages, repeated })
    };
    let without = |pairs: &[&FraPair], label: String| {
        let share = pairs.iter().map(|pair| pair.sum_abs).sum::<f64>() / whole;
        let features: Vec<(u32, u32)> = pairs.iter().map(|pair| features(pair)).collect();
        both(Removed::Pairs(&features), label, Some(share))
    };
    let mut arms = vec![both(Removed::Nothing, "nothing".to_owned(), None)?];
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
    arms.push(both(Removed::AllPairs, "all pairs".to_owned(), Some(1.0))?);
    arms.push(both(Removed::Everything, "the scores".to_owned(), None)?);
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
