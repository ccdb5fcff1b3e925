//! How a small model sorts, by pairs of features of its attention, with what each of them carries.
//!
//! ```sh
//! cargo run --release --example sort_by_pairs
//! ```
//!
//! `nano-gpt-sort`, published with Brendan Bycroft's LLM visualization, puts six letters in order.
//! Prints which layer's scores it needs to, the features of an autoencoder of what that layer
//! reads, the pairs of features that tell the letter that comes next, the scores that they make,
//! and how well it sorts inputs that were held out without them and without others: the tables of
//! `docs/fra.md`. Takes less than a minute, and nothing but this repository.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

mod ablation;
mod features;
mod inputs;
mod model;
mod pairs;
mod scores;
mod sorter;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Result;
use attention_probes::models::HookPoint;
use attention_probes::sae::fra::{FraLayer, FraRemoved, FraScores, capture_texts};
use burn::tensor::Device;

use ablation::{Ablation, N_DRAWS};
use features::{D_SAE, Features, run};
use inputs::{Input, LETTERS, N_LETTERS, N_POS};
use pairs::{PairId, Ranked};
use scores::{Removed, by_letter, by_place, without};
use sorter::{Effect, Sorter};

const WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/crates/models/tests/golden/nano-gpt-sort/gpt-nano-sort-model.json"
);

/// Layers of the model.
const N_LAYERS: usize = 3;

/// The layer whose scores are resolved: the one that the first table shows to matter.
const LAYER: usize = 0;

/// Pairs that are shown, and pairs that are removed at a time.
const N_SHOWN: usize = 12;
const N_REMOVED: [usize; 3] = [5, FEW, 20];

/// Pairs whose removal is looked at more closely.
const FEW: usize = 10;

/// Seeds of the autoencoder; all tables but the last are of the first.
const SEEDS: [u64; 5] = [0, 1, 2, 3, 4];

/// Share of the contrast of all pairs that those have which are removed at each seed.
const SHARE: f64 = 0.9;

fn main() -> Result<()> {
    let device = Device::flex();
    let sorter = Sorter { model: model::nano_gpt_sort(Path::new(WEIGHTS), &device)?, device };
    let (seen, held_out) = inputs::split();
    println!("{} inputs to learn from, {} held out", seen.len(), held_out.len());
    print_layers(&sorter, &seen)?;

    let hook = HookPoint::Ln1Normalized(LAYER);
    let rows = rows(&sorter, &seen, hook)?;
    for seed in SEEDS {
        let features = Features::train(&seen, &rows, hook, seed)?;
        let layer = FraLayer::new(&features.sae, &sorter.model, LAYER)?;
        let texts_seen = pairs::read(&sorter, &layer, &seen)?;
        let ranked = pairs::rank(&layer, &seen, &texts_seen)?;
        let texts = pairs::read(&sorter, &layer, &held_out)?;
        let ablation = Ablation { sorter: &sorter, inputs: &held_out, texts: &texts };
        if seed == SEEDS[0] {
            print_features(&features);
            print_pairs(&features, &ranked);
            print_scores(&ablation, &ranked)?;
            print_effects(&ablation, &ranked, by_place(&seen, &texts_seen, &held_out)?)?;
            println!(
                "\nsorted without the first pairs that have {SHARE} of it, by seed of the autoencoder:"
            );
            println!(
                "  seed  FVU      pairs  sorted  shuffled  others  drawn  first {FEW}  all pairs"
            );
        }
        print_seed(seed, features.fvu, &ablation, &ranked)?;
    }
    Ok(())
}

/// What a hook reads of some inputs, `N_POS` rows for each.
fn rows(sorter: &Sorter, inputs: &[Input], hook: HookPoint) -> Result<Vec<f32>> {
    let ids: Vec<&[u32]> = inputs.iter().map(|input| &input.ids[..]).collect();
    let mut rows = Vec::new();
    for found in capture_texts(&sorter.model, &sorter.device, &ids, &[hook])? {
        rows.extend(found?.remove(&hook));
    }
    Ok(rows.concat())
}

/// What the model loses where heads attend alike to all keys.
fn print_layers(sorter: &Sorter, inputs: &[Input]) -> Result<()> {
    println!("\n  scores that are 0    sorted  letters  loss in nats");
    let row = |label: &str, effect: &Effect| {
        let loss = loss(effect);
        println!("  {label:<19}  {:<6.3}  {:<7.4}  {loss}", effect.sorted, effect.letters);
    };
    let n_heads = sorter.n_heads();
    let zero = |layer: usize, heads: &[usize]| {
        let values = vec![0.0; inputs.len() * n_heads * N_POS * N_POS];
        FraScores { layer, heads: heads.to_vec(), values }
    };
    let all: Vec<usize> = (0..n_heads).collect();
    row("none", &sorter.effect(inputs, Vec::new())?);
    for layer in 0..N_LAYERS {
        row(&format!("layer {layer}"), &sorter.effect(inputs, vec![zero(layer, &all)])?);
        for head in 0..n_heads {
            let label = format!("layer {layer}, head {head}");
            row(&label, &sorter.effect(inputs, vec![zero(layer, &[head])])?);
        }
    }
    for first in [1, 0] {
        let layers = (first..N_LAYERS).map(|layer| zero(layer, &all)).collect();
        row(&format!("layers {first} to {}", N_LAYERS - 1), &sorter.effect(inputs, layers)?);
    }
    Ok(())
}

fn print_features(features: &Features) {
    println!("\n{D_SAE} features of what layer {LAYER} reads, FVU {:.5}:", features.fvu);
    println!("  feature  letter  share  positions  share");
    for feature in 0..D_SAE {
        let Some(named) = features.named(feature) else { continue };
        let ((letter, of_letter), (first, last, of_run)) = (named.letter, named.positions);
        let positions = run(first, last);
        println!("  {feature:<7}  {letter:<6}  {of_letter:<5.3}  {positions:<9}  {of_run:.3}");
    }
}

fn print_pairs(features: &Features, ranked: &Ranked) {
    let [of_pairs, of_rest] = ranked.contrast;
    println!(
        "\nscore of the right letter over others, sum of heads: {of_pairs:.4} by {} pairs, \
         {of_rest:.4} by the rest",
        ranked.pairs.len()
    );
    let shares = N_REMOVED.map(|n| format!("the first {n} have {:.3} of it", ranked.share(n)));
    println!("{}:", shares.join(", "));
    println!("  head  query            key              mean     over others");
    for pair in &ranked.pairs[..N_SHOWN.min(ranked.pairs.len())] {
        let (head, query, key) = pair.id;
        let (query, key) = (features.name(query), features.name(key));
        println!("  {head:<4}  {query:<15}  {key:<15}  {:<7.3}  {:.4}", pair.mean, pair.contrast);
    }
}

/// What the scores are for each letter, before and after.
fn print_scores(ablation: &Ablation<'_>, ranked: &Ranked) -> Result<()> {
    let of = |pairs: &[PairId]| {
        let scores = without(Removed::Pairs(pairs), ablation.texts)?;
        Ok::<_, anyhow::Error>(by_letter(ablation.inputs, &scores))
    };
    let (before, after) = (of(&[])?, of(&ranked.top(FEW))?);
    println!("\nscore of each letter of the input, mean of heads and inputs held out:");
    println!("            right letter     score                  without {FEW} pairs");
    println!("  position  A    B    C      A      B      C        A      B      C");
    for (i, (before, after)) in before.iter().zip(after).enumerate() {
        let right = |letter: usize| {
            let n = ablation.inputs.iter().filter(|input| input.sorted[i] as usize == letter);
            format!("{:.2}", n.count() as f64 / ablation.inputs.len() as f64)
        };
        let right: Vec<String> = (0..LETTERS.len()).map(right).collect();
        let cells = |scores: &[f64]| {
            scores.iter().map(|score| format!("{score:<+5.2}")).collect::<Vec<_>>().join("  ")
        };
        let position = N_LETTERS - 1 + i;
        println!(
            "  {position:<8}  {}   {}    {}",
            right.join(" "),
            cells(before),
            cells(&after).trim_end()
        );
    }
    Ok(())
}

/// How well the model sorts without pairs, and without others.
fn print_effects(ablation: &Ablation<'_>, ranked: &Ranked, by_place: Vec<f32>) -> Result<()> {
    println!("\nremoved from the scores of layer {LAYER}, inputs held out:");
    println!("  {:<27}  sorted  letters  loss in nats                attention", "");
    let row = |label: &str, effect: &Effect| {
        let Effect { sorted, letters, attention, .. } = effect;
        let loss = loss(effect);
        println!("  {label:<27}  {sorted:<6.3}  {letters:<7.4}  {loss:<26}  {attention:.3}");
    };
    row("nothing", &ablation.effect(Removed::Pairs(&[]))?);
    for n in N_REMOVED {
        let (first, others) = (ranked.top(n), ranked.others(n));
        row(&format!("the first {n} pairs"), &ablation.effect(Removed::Pairs(&first))?);
        row("the same amounts, shuffled", &ablation.effect(Removed::Shuffled(&first))?);
        let label = format!("{} others that add as much", others.len());
        row(&label, &ablation.effect(Removed::Pairs(&others))?);
        row(&format!("{n} drawn, mean of {N_DRAWS} draws"), &ablation.drawn(ranked, n)?);
    }
    row("all pairs", &ablation.effect(Removed::OfEach(FraRemoved::AllPairs))?);
    row("all that is no pair", &ablation.effect(Removed::OfEach(FraRemoved::AllButPairs))?);
    row("all but means by place", &ablation.with(by_place)?);
    row("the scores", &ablation.effect(Removed::OfEach(FraRemoved::Everything))?);
    Ok(())
}

/// The loss with its interval.
fn loss(effect: &Effect) -> String {
    let Effect { loss_nats, interval, .. } = effect;
    format!("{loss_nats:.5} [{:.5}, {:.5}]", interval.lower, interval.upper)
}

/// The same of the autoencoder of a seed, in one line.
fn print_seed(seed: u64, fvu: f64, ablation: &Ablation<'_>, ranked: &Ranked) -> Result<()> {
    let n = (1..ranked.pairs.len()).find(|n| ranked.share(*n) >= SHARE).unwrap_or(0);
    let (first, others) = (ranked.top(n), ranked.others(n));
    let sorted = |removed| Ok::<f64, anyhow::Error>(ablation.effect(removed)?.sorted);
    println!(
        "  {seed:<4}  {fvu:.5}  {n:<5}  {:<6.3}  {:<8.3}  {:<6.3}  {:<5.3}  {:<8.3}  {:.3}",
        sorted(Removed::Pairs(&first))?,
        sorted(Removed::Shuffled(&first))?,
        sorted(Removed::Pairs(&others))?,
        ablation.drawn(ranked, n)?.sorted,
        sorted(Removed::Pairs(&ranked.top(FEW)))?,
        sorted(Removed::OfEach(FraRemoved::AllPairs))?
    );
    Ok(())
}
