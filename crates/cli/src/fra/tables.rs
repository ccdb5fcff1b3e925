//! Results as tables.

use std::fmt::Write as _;

use attention_probes_pages::fra::FraFeatures;
use attention_probes_sae::fra::{FraHeadReport, FraPair, FraSample};

use crate::exit::escaped;
use crate::table::aligned;

/// Pairs of a head in a table.
const N_SHOWN: usize = 12;

/// What a feature is called in a table, after its number.
pub(super) fn name_of(features: &FraFeatures, feature: u32) -> String {
    features.get(&feature).map_or_else(String::new, |found| format!(" {}", escaped(&found.label)))
}

/// One line for each head.
pub(super) fn heads_table<'a>(reports: impl Iterator<Item = &'a FraHeadReport>) -> String {
    let header = [
        "layer",
        "head",
        "induction score",
        "of the pairs",
        "self",
        "other heads",
        "permuted",
        "count-matched",
        "pairs",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    for report in reports {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
        let found = report.self_interactions.get(report.main_ranking());
        let others = found
            .filter(|found| !found.other_heads.is_empty())
            .map(|found| found.other_heads.iter().sum::<f64>() / found.other_heads.len() as f64);
        rows.push([
            report.layer.to_string(),
            report.head.to_string(),
            number(report.induction_score),
            number(Some(report.induction_share)),
            number(found.map(|found| found.share)),
            number(others),
            number(found.and_then(|found| found.permuted)),
            number(found.map(|found| found.count_matched)),
            report.n_pairs.to_string(),
        ]);
    }
    let mut text = String::new();
    aligned(&mut text, &rows);
    text
}

/// What is missing of the heads whose pairs did not fit, a line for each.
pub(super) fn missing<'a>(reports: impl Iterator<Item = &'a FraHeadReport>) -> String {
    let line = |report: &FraHeadReport| {
        let FraHeadReport { layer, head, n_dropped, largest_missing, .. } = report;
        format!(
            "layer {layer}, head {head}: pairs were dropped {n_dropped} times for want of memory \
             (`--memory-budget-gib`), none with a sum of magnitudes above {largest_missing:.3}\n"
        )
    };
    reports.filter(|report| !report.is_exact).map(line).collect()
}

/// The strongest pairs of a head; `name` says more of a feature.
pub(super) fn pairs_table(report: &FraHeadReport, name: &dyn Fn(u32) -> String) -> String {
    let ranking = report.main_ranking();
    let title = format!(
        "layer {}, head {}, the strongest pairs by {}:\n",
        report.layer,
        report.head,
        ranking.replace('_', " ")
    );
    title + &pairs(report.main_pairs().iter().map(|of| &of.pair), name)
}

/// Some pairs; `name` says more of a feature.
pub(super) fn pairs<'a>(
    pairs: impl Iterator<Item = &'a FraPair>,
    name: &dyn Fn(u32) -> String,
) -> String {
    let header = ["query", "key", "score", "sum", "count", "distance", "induction"];
    let mut rows = vec![header.map(str::to_owned)];
    for pair in pairs.take(N_SHOWN) {
        let feature = |feature: u32| format!("{feature}{}", name(feature));
        rows.push([
            feature(pair.query_feature),
            feature(pair.key_feature),
            format!("{:.4}", pair.score),
            format!("{:.2}", pair.sum),
            pair.count.to_string(),
            format!("{:.1}", pair.mean_distance),
            format!("{:.3}", pair.induction),
        ]);
    }
    let mut text = String::new();
    aligned(&mut text, &rows);
    text
}

/// What is found of one text.
pub(super) fn sample_tables(report: &FraSample, known: &FraFeatures) -> String {
    let mut text = String::new();
    let n_active: usize = report.tokens.iter().map(|token| token.features.len()).sum();
    let _ = writeln!(
        text,
        "{} tokens, {n_active} active features of `{}`, layer {}",
        report.tokens.len(),
        report.hook,
        report.layer
    );
    for head in &report.heads {
        let _ = writeln!(
            text,
            "\nhead {}: {} values of {} pairs",
            head.head, head.n_values, head.n_pairs
        );
        if let Some(identity) = &head.identity {
            let terms: Vec<String> = identity
                .terms
                .iter()
                .map(|(name, mean)| format!("{} {mean:.3}", name.replace('_', " ")))
                .collect();
            let _ = writeln!(
                text,
                "  mean magnitude of the scores {:.3}; of their terms: {}\n  the terms add up to \
                 the model's scores within {:.1e}",
                identity.score,
                terms.join(", "),
                identity.largest_difference
            );
        }
        let strongest: Vec<FraPair> = head.pairs.iter().map(|pair| pair.pair).collect();
        text += &pairs(strongest.iter(), &|feature| name_of(known, feature));
    }
    text
}
