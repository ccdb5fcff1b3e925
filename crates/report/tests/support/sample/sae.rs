//! A sparse autoencoder, and an ablation of several.

use attention_probes_metrics::{Interval, MetricValues};
use attention_probes_report::{
    AblationArm, ActivationBin, ArmKind, Estimate, FeatureNeighbour, FeatureQuantile, FeatureText,
    FeatureToken, LayerWeights, PageToken, SaeAblationPage, SaeFeature, SaeGuidance, SaePage,
    SaeSummary, SaeTrainingPoint, SourceAttribution,
};

use super::dice::{Dice, interval};
use super::token::INJECTION;

const CONFIG: &str = "run = \"hook_z\"\nseed = 42\n\n[sae]\narchitecture = \"topk\"\nk = 16\n";

/// What a feature fires on, what follows it, and what somebody calls it.
const THEMES: [(&str, [&str; 4], [&str; 4]); 8] = [
    (
        "the end of a clause before \u{201c}but\u{201d}",
        [",", ";", " though", " yet"],
        [" but", " yet", " although", " however"],
    ),
    ("", [" Paris", " London", " Rome", " Berlin"], [" France", " city", " Mayor", " capital"]),
    (
        "numbers in a date",
        [" 1944", " 2008", " 17", " 1999"],
        [" BC", " edition", " season", " January"],
    ),
    ("", [" was", " were", " had", " been"], [" born", " able", " taken", " considered"]),
    (
        "names that stood earlier in the text",
        [" Kim", " Reyes", " Novak", " Adeyemi"],
        [" said", " himself", "'s", " told"],
    ),
    ("", ["ing", "ed", "er", "ness"], [".", " and", " of", " with"]),
    ("", ["\n", ".", "\n\n", "!"], [" The", " In", " However", "\n"]),
    ("opening quotation marks", [" \"", " \u{201c}", " '", "\""], ["We", "I", "It", "There"]),
];

const FILLER: [&str; 30] = [
    " the", " of", " and", " a", " in", " to", " that", " on", " for", " with", " as", " his",
    " from", " by", " which", " after", " first", " river", " station", " team", " album", " game",
    " king", " island", " school", " film", " later", " began", " two", " most",
];

fn id(text: &str) -> i64 {
    text.bytes().fold(7, |sum, byte| (sum * 31 + i64::from(byte)) % 50_257)
}

fn token(text: &str, position: usize) -> PageToken {
    PageToken { text: text.to_owned(), id: Some(id(text)), position }
}

/// A text on which a feature fires up to a strength.
fn text(
    row: u64,
    triggers: &[&str],
    strongest: f64,
    n_tokens: usize,
    dice: &mut Dice,
) -> FeatureText {
    let peak = n_tokens / 3 + dice.pick(n_tokens / 2);
    let mut text = FeatureText { row, ..FeatureText::default() };
    for position in 0..n_tokens {
        let is_trigger = position == peak || dice.roll() < 0.04;
        let word = if is_trigger {
            triggers[dice.pick(triggers.len())]
        } else {
            FILLER[dice.pick(FILLER.len())]
        };
        let activation = match (position == peak, is_trigger) {
            (true, _) => strongest,
            (false, true) => strongest * (0.2 + 0.6 * dice.roll()),
            _ if position == peak + 1 => strongest * 0.3,
            _ => 0.0,
        };
        text.tokens.push(token(word, position));
        text.activations.push(activation);
    }
    text
}

fn feature_tokens(texts: &[&str], scale: f64, dice: &mut Dice) -> Vec<FeatureToken> {
    let value = |(rank, text): (usize, &&str)| FeatureToken {
        text: (*text).to_owned(),
        id: Some(id(text)),
        value: scale * (1.0 - 0.11 * rank as f64) + 0.02 * dice.roll(),
    };
    texts.iter().enumerate().map(value).collect()
}

fn feature(
    number: usize,
    of: usize,
    d_sae: usize,
    [n_texts, n_tokens]: [usize; 2],
    dice: &mut Dice,
) -> SaeFeature {
    let (label, triggers, follows) = THEMES[of % THEMES.len()];
    let max_activation = 3.0 + 9.0 * dice.roll();
    let density = 10f64.powf(-4.2 + 2.6 * dice.roll());
    let texts: Vec<FeatureText> = (0..n_texts)
        .map(|rank| {
            let strongest = max_activation * (1.0 - 0.4 * rank as f64 / n_texts as f64);
            text(31 * rank as u64 + number as u64, &triggers, strongest, n_tokens, dice)
        })
        .collect();
    let quantiles = [("half to three quarters of the maximum", 0.6), ("a quarter to half", 0.35)];
    let quantiles = quantiles.map(|(name, share)| FeatureQuantile {
        name: name.to_owned(),
        texts: (0..2)
            .map(|rank| text(900 + rank, &triggers, share * max_activation, n_tokens, dice))
            .collect(),
    });
    let width = max_activation / 20.0;
    let activations = (0..20).map(|bin| ActivationBin {
        lower: f64::from(bin) * width,
        upper: f64::from(bin + 1) * width,
        n: (4000.0 * density * 100.0 * (-0.28 * f64::from(bin)).exp()) as u64 + 1,
    });
    let raw: Vec<f64> = (0..8).map(|_| dice.roll().powi(3) + 0.02).collect();
    let total: f64 = raw.iter().sum();
    let first = &texts[0];
    let peak = (0..n_tokens).find(|&at| first.activations[at] >= max_activation).unwrap_or(0);
    let sources = (0..n_tokens).map(|at| match at {
        _ if at > peak => 0.0,
        _ if at + 4 == peak || at == 1 => 0.35 * max_activation,
        _ => 0.05 * max_activation * dice.normal(),
    });
    let attribution = SourceAttribution { token: peak, values: sources.collect() };
    let lowered: Vec<&str> = (0..6).map(|_| FILLER[dice.pick(FILLER.len())]).collect();
    let raised: Vec<&str> = follows.iter().chain(&FILLER[6..8]).copied().collect();
    SaeFeature {
        feature: number,
        label: label.to_owned(),
        density,
        max_activation,
        top_tokens: feature_tokens(&triggers, 0.4, dice),
        quantiles: quantiles.into(),
        activations: activations.collect(),
        raised: feature_tokens(&raised, 1.4, dice),
        lowered: feature_tokens(&lowered, -0.9, dice),
        head_shares: raw.iter().map(|share| share / total).collect(),
        attribution: Some(attribution),
        neighbours: (1..=5)
            .map(|rank| FeatureNeighbour {
                feature: (number + 8 * rank * 7) % d_sae,
                cosine: 0.71 - 0.09 * rank as f64,
            })
            .collect(),
        texts,
    }
}

fn layer_weights(layers: &[&str], n_steps: u64, dice: &mut Dice) -> LayerWeights {
    let steps: Vec<u64> = (0..n_steps).map(|step| 10 * step).collect();
    let theta: Vec<f64> = layers.iter().map(|_| dice.normal()).collect();
    let weights = steps.iter().map(|&step| {
        let temperature = (-(step as f64) / 1000.0).exp() + 0.5;
        let progress = 1.0 - (-(step as f64) / 1500.0).exp();
        let raw: Vec<f64> = theta
            .iter()
            .map(|theta| (theta * progress / temperature + 0.02 * dice.normal()).exp())
            .collect();
        let total: f64 = raw.iter().sum();
        raw.iter().map(|weight| weight / total).collect()
    });
    LayerWeights {
        layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
        weights: weights.collect(),
        steps,
    }
}

/// An attention-output autoencoder with some of its features.
pub(crate) fn sae_page(n_features: usize, n_texts: usize, n_tokens: usize) -> SaePage {
    let mut dice = Dice::new(3);
    let d_sae = 8 * n_features.max(32);
    let features: Vec<SaeFeature> = (0..n_features)
        .map(|of| feature(8 * of + of % 7, of, d_sae, [n_texts, n_tokens], &mut dice))
        .collect();
    let mut densities: Vec<f64> = (0..d_sae)
        .map(|_| {
            if dice.roll() < 0.06 { 0.0 } else { 10f64.powf((-2.9 + 0.6 * dice.normal()).min(0.0)) }
        })
        .collect();
    for feature in &features {
        densities[feature.feature] = feature.density;
    }
    let training = (0..1500).map(|step| {
        let left = (-f64::from(step) / 180.0).exp();
        SaeTrainingPoint {
            step: 10 * step as u64,
            loss: 0.21 + 1.3 * left + 0.012 * dice.normal(),
            l0: 16.0 + 40.0 * left * left + 0.05 * dice.normal(),
            fvu: 0.14 + 0.8 * left + 0.006 * dice.normal(),
            dead_share: 0.06 * (1.0 - left) + 0.0005 * dice.roll(),
        }
    });
    let training = training.collect();
    let n_dead = densities.iter().filter(|density| **density == 0.0).count();
    SaePage {
        title: "Features of attention, layer 2".to_owned(),
        sae: SaeSummary {
            architecture: "topk".to_owned(),
            model: "demo-gpt2".to_owned(),
            hook: "blocks.2.attn.hook_z".to_owned(),
            d_in: 256,
            d_sae,
            k: Some(16),
            l0: 15.94.into(),
            fvu: interval(0.142, 0.006),
            ce_loss_score: interval(0.963, 0.008),
            n_dead: Some(n_dead),
            n_training_tokens: 30_720_000,
            n_evaluation_tokens: 1_048_576,
            library_version: "0.1.0".to_owned(),
        },
        config: CONFIG.to_owned(),
        file: "sae/blocks.2.attn.hook_z".to_owned(),
        training,
        densities,
        features,
        guidance: Some(SaeGuidance {
            weights: layer_weights(&["layer 1", "layer 2", "layer 3"], 600, &mut dice),
            contributions: vec![0.31, 0.44, 0.25],
            contribution_note: "Share of the guidance loss that each layer takes away.".to_owned(),
        }),
    }
}

/// A page in which every string and every number is as bad as it can be.
pub(crate) fn hostile_sae_page() -> SaePage {
    let mut page = sae_page(6, 3, 20);
    page.title = String::from(INJECTION);
    page.config = String::from(INJECTION);
    page.file = String::from(INJECTION);
    page.sae.hook = INJECTION.repeat(2);
    page.sae.fvu = f64::NAN.into();
    let feature = &mut page.features[0];
    feature.label = INJECTION.repeat(3);
    feature.density = f64::NAN;
    feature.top_tokens[0].text = String::from(INJECTION);
    feature.raised[0] =
        FeatureToken { text: String::from(INJECTION), id: None, value: f64::INFINITY };
    feature.texts[0].tokens[2].text = String::from(INJECTION);
    feature.texts[0].activations[2] = f64::NAN;
    feature.quantiles[0].name = String::from(INJECTION);
    feature.head_shares.fill(f64::NAN);
    feature.neighbours[0].cosine = f64::NAN;
    if let Some(attribution) = &mut feature.attribution {
        attribution.values.fill(f64::NAN);
    }
    page.training[4].loss = f64::NAN;
    page
}

/// Every mask of three layers beside the baseline and three controls.
pub(crate) fn sae_ablation_page() -> SaeAblationPage {
    let mut dice = Dice::new(13);
    let seeds = vec![1, 2, 3, 4, 5];
    let metric = |name: &str, note: &str, higher_is_better| MetricValues {
        name: name.to_lowercase().replace(' ', "_"),
        label: name.to_owned(),
        note: note.to_owned(),
        higher_is_better,
        by_arm: Vec::new(),
    };
    let mut metrics = vec![
        metric("SCR", "Spurious correlation removed with 20 features.", Some(true)),
        metric("TPP", "Targeted probe perturbation with 20 features.", Some(true)),
        metric("sparse probing", "Accuracy of probes on one feature.", Some(true)),
        metric("FVU", "Share of the variance that is not explained.", Some(false)),
        metric("dead features", "", Some(false)),
        metric("L0", "The same in every arm, by design.", None),
    ];
    let base = [0.112, 0.034, 0.741, 0.142, 131.0, 16.0];
    let spread = [0.012, 0.004, 0.008, 0.002, 14.0, 0.01];
    let mut arm = |name: &str, kind: ArmKind, gain: f64, layers: &[&str]| {
        let by_seed: Vec<Vec<f64>> = (0..metrics.len())
            .map(|m| {
                let better = if metrics[m].higher_is_better == Some(false) { -0.3 } else { 1.0 };
                let centre = base[m] + spread[m] * gain * better;
                seeds.iter().map(|_| centre + spread[m] * dice.normal()).collect()
            })
            .collect();
        let values = by_seed.iter().map(|values| {
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let half = 2.776 * (variance / n).sqrt();
            Estimate {
                value: mean,
                interval: Some(Interval { lower: mean - half, upper: mean + half, level: 0.95 }),
            }
        });
        let values: Vec<Estimate> = values.collect();
        let layer_weights = (layers.len() > 1).then(|| layer_weights(layers, 300, &mut dice));
        for (metric, values) in metrics.iter_mut().zip(by_seed) {
            metric.by_arm.push(values);
        }
        AblationArm { name: name.to_owned(), kind, values, layer_weights }
    };
    let arms = vec![
        arm("plain TopK", ArmKind::Baseline, 0.0, &[]),
        arm("L-1", ArmKind::Mask, 0.4, &["L-1"]),
        arm("L", ArmKind::Mask, 0.9, &["L"]),
        arm("L+1", ArmKind::Mask, 0.6, &["L+1"]),
        arm("L-1, L", ArmKind::Mask, 1.3, &["L-1", "L"]),
        arm("L-1, L+1", ArmKind::Mask, 0.8, &["L-1", "L+1"]),
        arm("L, L+1", ArmKind::Mask, 1.5, &["L", "L+1"]),
        arm("L-1, L, L+1", ArmKind::Mask, 1.7, &["L-1", "L", "L+1"]),
        arm("shuffled across texts", ArmKind::Control, 0.2, &["L-1", "L", "L+1"]),
        arm("local window of equal distance", ArmKind::Control, 1.2, &[]),
        arm("uniform over the past", ArmKind::Control, 0.7, &[]),
    ];
    SaeAblationPage {
        title: "Does attention guide an autoencoder?".to_owned(),
        model: "demo-gpt2".to_owned(),
        hook: "blocks.2.hook_resid_post".to_owned(),
        verdict: "Guidance by all three layers beats the plain autoencoder on SCR, and so does a \
                  local window that knows nothing of attention. What helps is that neighbours share \
                  features; that they attend to each other adds nothing that five seeds could show."
            .to_owned(),
        n_training_tokens: 10_240_000,
        l0: 16.0,
        seeds,
        config: CONFIG.to_owned(),
        metrics,
        arms,
    }
}
