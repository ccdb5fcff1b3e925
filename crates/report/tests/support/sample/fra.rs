//! Feature-resolved attention of a text, and of many.

use std::collections::BTreeSet;

use attention_probes_metrics::{Interval, SelfInteractions};
use attention_probes_report::{
    Estimate, FeatureText, FraCorpusHead, FraCorpusPage, FraCorpusPair, FraEntry, FraFeature,
    FraSampleHead, FraSampleLink, FraSamplePage, FraSamplePair, FraTermMaps, PageToken,
};

use super::dice::Dice;
use super::token::INJECTION;

const TEXT: [&str; 32] = [
    "The",
    " King",
    " of",
    " Hearts",
    " sat",
    " down",
    ".",
    " \u{201c}",
    "Begin",
    " at",
    " the",
    " beginning",
    ",",
    "\u{201d}",
    " the",
    " King",
    " of",
    " Hearts",
    " said",
    ",",
    " and",
    " Alice",
    " began",
    ".",
    "\n",
    " Alice",
    " looked",
    " at",
    " the",
    " King",
    " of",
    " Spain",
];

const LABELS: [&str; 6] =
    ["", "names of persons", "the token before this one was \u{201c}of\u{201d}", "", "titles", ""];

fn tokens(n: usize) -> Vec<PageToken> {
    let token = |position: usize| PageToken {
        text: TEXT[position % TEXT.len()].to_owned(),
        id: Some(100 + (position % TEXT.len()) as i64),
        position,
    };
    (0..n).map(token).collect()
}

fn feature_text(row: u64, n: usize, dice: &mut Dice) -> FeatureText {
    let activations = (0..n).map(|_| if dice.roll() < 0.1 { 6.0 * dice.roll() } else { 0.0 });
    FeatureText { row, activations: activations.collect(), tokens: tokens(n) }
}

/// Features with texts, as many activations on the page's own text as it has tokens.
fn features(
    numbers: &BTreeSet<usize>,
    n_tokens: usize,
    n_texts: u64,
    dice: &mut Dice,
) -> Vec<FraFeature> {
    let feature = |(of, &feature): (usize, &usize)| FraFeature {
        feature,
        label: LABELS[of % LABELS.len()].to_owned(),
        activations: (0..n_tokens)
            .map(|_| if dice.roll() < 0.2 { 4.0 * dice.roll() } else { 0.0 })
            .collect(),
        texts: (0..n_texts).map(|row| feature_text(row, 24, dice)).collect(),
    };
    numbers.iter().enumerate().map(feature).collect()
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let raw: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f64 = raw.iter().sum();
    raw.iter().map(|one| one / total).collect()
}

fn sample_head(head: usize, n_tokens: usize, n_pairs: usize, dice: &mut Dice) -> FraSampleHead {
    let n = n_tokens * n_tokens;
    let mut map = |scale: f64| -> Vec<f64> { (0..n).map(|_| scale * dice.normal()).collect() };
    let terms = FraTermMaps {
        pairs: map(1.4),
        query_features: map(0.5),
        key_features: map(0.8),
        rest: map(0.3).iter().map(|value| value - 2.0).collect(),
    };
    let mut pattern = vec![0.0; n];
    for query in 0..n_tokens {
        let score = |key: usize| {
            let at = query * n_tokens + key;
            terms.pairs[at] + terms.query_features[at] + terms.key_features[at] + terms.rest[at]
        };
        let scores: Vec<f64> = (0..=query).map(score).collect();
        pattern[query * n_tokens..][..=query].copy_from_slice(&softmax(&scores));
    }
    let pairs = (0..n_pairs).map(|rank| {
        let query_feature = 7 * rank % 901 + head;
        let key_feature = if rank % 5 == 2 { query_feature } else { (31 * rank + 11) % 1200 };
        let sign = if rank % 3 == 1 { -1.0 } else { 1.0 };
        let n_entries = 1 + dice.pick(if n_tokens > 20 { 14 } else { 4 });
        let mut places = BTreeSet::new();
        for _ in 0..n_entries {
            let query_pos = dice.pick(n_tokens);
            places.insert((query_pos, dice.pick(query_pos + 1)));
        }
        let entries: Vec<FraEntry> = places
            .into_iter()
            .map(|(query_pos, key_pos)| {
                let value = sign * (0.1 + 2.0 * dice.roll()) / (1.0 + 0.05 * rank as f64);
                FraEntry { query_pos, key_pos, value }
            })
            .collect();
        FraSamplePair {
            query_feature,
            key_feature,
            sum: entries.iter().map(|entry| entry.value).sum(),
            sum_abs: entries.iter().map(|entry| entry.value.abs()).sum(),
            entries,
        }
    });
    FraSampleHead {
        head,
        corpus_page: format!("fra_{head}.html"),
        pairs: pairs.collect(),
        pattern,
        terms: Some(terms),
        window: None,
        largest_error: Some(2.3e-6),
        induction_score: Some(0.05 + 0.3 * head as f64 % 1.0),
    }
}

/// A text with two heads.
pub(crate) fn fra_sample_page(n_tokens: usize, n_pairs: usize) -> FraSamplePage {
    let mut dice = Dice::new(29);
    let heads: Vec<FraSampleHead> =
        [0, 3].map(|head| sample_head(head, n_tokens, n_pairs, &mut dice)).into();
    let numbers = heads.iter().flat_map(|head| &head.pairs);
    let numbers =
        numbers.take(12).flat_map(|pair| [pair.query_feature, pair.key_feature]).collect();
    FraSamplePage {
        title: "Row 17, layer 2".to_owned(),
        model: "demo-gpt2".to_owned(),
        layer: 2,
        hook: "blocks.2.ln1.hook_normalized".to_owned(),
        sae: "ln1-2048".to_owned(),
        sae_page: "sae.html".to_owned(),
        published: false,
        tokens: tokens(n_tokens),
        features: features(&numbers, n_tokens, 3, &mut dice),
        heads,
    }
}

fn around(value: f64, half: f64) -> Interval {
    Interval { lower: value - half, upper: value + half, level: 0.95 }
}

fn estimate(value: f64, half: f64) -> Estimate {
    (value, around(value, half)).into()
}

fn corpus_head(head: usize, n_pairs: usize, n_samples: usize, dice: &mut Dice) -> FraCorpusHead {
    let pair = |rank: usize| {
        let query_feature = (13 * rank + 5 * head) % 1777;
        let key_feature = if rank % 6 == 1 { query_feature } else { (97 * rank + 40) % 2048 };
        let sign = if dice.roll() < 0.25 { -1.0 } else { 1.0 };
        let count = 3 + (4000.0 * dice.roll().powi(4)) as u64;
        let mean = 0.02 + 1.8 * dice.roll() / (1.0 + 0.02 * rank as f64);
        let shrunk = mean * count as f64 / (count as f64 + 10.0);
        FraCorpusPair {
            query_feature,
            key_feature,
            count,
            sum: sign * mean * count as f64,
            mean: estimate(sign * mean, 0.08 * mean),
            shrunk_mean: estimate(shrunk, 0.08 * shrunk),
            max: mean * (1.5 + 4.0 * dice.roll()),
            mean_distance: 1.0 + 40.0 * dice.roll().powi(2),
            induction: dice.roll().powi(3),
            missed: if rank % 40 == 39 { 0.3 } else { 0.0 },
            samples: (0..n_samples).filter(|_| dice.roll() < 0.3).collect(),
        }
    };
    let pairs: Vec<FraCorpusPair> = (0..n_pairs).map(pair).collect();
    let n_self = pairs.iter().filter(|pair| pair.query_feature == pair.key_feature).count();
    let share = n_self as f64 / n_pairs.max(1) as f64;
    FraCorpusHead {
        head,
        page: String::new(),
        induction_score: Some(estimate(0.04 + 0.11 * head as f64, 0.02)),
        n_pairs: 1_284_077 + 1000 * head as u64,
        n_dropped: 2_117 * (head as u64 % 2),
        largest_missing: 0.037 * (head % 2) as f64,
        sum_abs: 84_233.0 / (1.0 + head as f64),
        induction: 0.03 + 0.02 * head as f64,
        self_interactions: Some(SelfInteractions {
            head,
            n_pairs,
            n_self,
            share,
            share_interval: around(share, 0.04),
            other_heads: vec![share * 0.7, share * 1.1, share * 0.5],
            permuted: Some(0.012),
            permuted_interval: Some(around(0.012, 0.006)),
            count_matched: 0.043,
            count_matched_interval: around(0.043, 0.003),
        }),
        pairs,
    }
}

/// Four heads over some texts.
pub(crate) fn fra_corpus_page(n_pairs: usize, n_samples: usize) -> FraCorpusPage {
    let mut dice = Dice::new(31);
    let heads: Vec<FraCorpusHead> =
        (0..4).map(|head| corpus_head(head, n_pairs, n_samples, &mut dice)).collect();
    let numbers = heads.iter().flat_map(|head| head.pairs.iter().take(10));
    let numbers = numbers.flat_map(|pair| [pair.query_feature, pair.key_feature]).collect();
    let sample = |row: usize| FraSampleLink {
        name: format!("row {row}"),
        page: format!("samples/row_{row}.html"),
    };
    FraCorpusPage {
        title: "Which features attend to which, layer 2".to_owned(),
        model: "demo-gpt2".to_owned(),
        layer: 2,
        hook: "blocks.2.ln1.hook_normalized".to_owned(),
        sae: "ln1-2048".to_owned(),
        sae_page: "sae.html".to_owned(),
        published: false,
        n_texts: 500,
        n_tokens: 61_440,
        shrinkage: "sum of magnitudes over count + 10".to_owned(),
        features: features(&numbers, 0, 3, &mut dice),
        heads,
        samples: (0..n_samples).map(sample).collect(),
        config: "layer = 2\nheads = [0, 1, 2, 3]\n".to_owned(),
    }
}

/// A page of one text in which every string is as bad as it can be.
pub(crate) fn hostile_fra_sample_page() -> FraSamplePage {
    let mut page = fra_sample_page(14, 9);
    let bad = String::from(INJECTION);
    for field in [&mut page.title, &mut page.model, &mut page.hook, &mut page.sae] {
        field.clone_from(&bad);
    }
    page.published = true;
    page.heads[0].terms = None;
    page.tokens[3].text = INJECTION.repeat(3);
    page.features[0].label = INJECTION.repeat(4);
    page.features[0].texts[0].tokens[2].text.clone_from(&bad);
    page.sae_page = String::from("a\"><img src=x onerror=b>.html");
    page
}

/// A page of many texts in which every string is as bad as it can be.
pub(crate) fn hostile_fra_corpus_page() -> FraCorpusPage {
    let mut page = fra_corpus_page(12, 3);
    let bad = String::from(INJECTION);
    for field in
        [&mut page.title, &mut page.model, &mut page.hook, &mut page.shrinkage, &mut page.config]
    {
        field.clone_from(&bad);
    }
    page.published = true;
    page.samples[0].name = INJECTION.repeat(2);
    page.features[0].label = INJECTION.repeat(4);
    page.heads[1].self_interactions = None;
    page.heads[2].induction_score = None;
    page
}
