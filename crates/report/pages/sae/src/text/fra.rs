//! Attention by pairs of features.

use std::fmt::Write as _;

use attention_probes_errors::escaped;
use attention_probes_report::aligned;
use attention_probes_sae::fra::{FraArm, FraHeadReport, FraPair, FraSample};

use crate::fra::{FraDemo, FraFeatures};

/// Pairs of a head in a table.
const N_SHOWN: usize = 12;

/// What a feature is called in a table, after its number.
fn name_of(features: &FraFeatures, feature: u32) -> String {
    features.get(&feature).map_or_else(String::new, |found| format!(" {}", escaped(&found.label)))
}

/// What the heads of a run do with pairs of features, one line for each.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::pages::sae::fra::{FraRun, FraRunConfig, FraRunError, run_fra};
/// use attention_probes::pages::sae::text::{fra_heads_text};
/// use attention_probes::sae::fra::FraCorpus;
///
/// fn print(corpus: &FraCorpus<'_>, config: &FraRunConfig) -> Result<(), FraRunError> {
///     if let FraRun::Done { reports, found } = run_fra(corpus, config, &mut |_| {})? {
///         println!("{}", fra_heads_text(reports.iter().flatten()));
///         println!("{} files", found.files.len());
///     }
///     Ok(())
/// }
/// ```
pub fn fra_heads_text<'a>(reports: impl Iterator<Item = &'a FraHeadReport>) -> String {
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

/// The strongest pairs of a head; `features` says what features are called.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::pages::sae::fra::{FraRun, FraRunConfig, FraRunError, run_fra};
/// use attention_probes::pages::sae::text::{fra_pairs_text};
/// use attention_probes::sae::fra::FraCorpus;
///
/// fn print(corpus: &FraCorpus<'_>, config: &FraRunConfig) -> Result<(), FraRunError> {
///     if let FraRun::Done { reports, found } = run_fra(corpus, config, &mut |_| {})? {
///         for (heads, features) in reports.iter().zip(&found.features) {
///             heads.iter().for_each(|head| println!("{}", fra_pairs_text(head, features)));
///         }
///     }
///     Ok(())
/// }
/// ```
pub fn fra_pairs_text(report: &FraHeadReport, features: &FraFeatures) -> String {
    let ranking = report.main_ranking();
    let title = format!(
        "layer {}, head {}, the strongest pairs by {}:\n",
        report.layer,
        report.head,
        ranking.replace('_', " ")
    );
    title + &pairs(report.main_pairs().iter().map(|of| &of.pair), features)
}

/// Some pairs, the first of them.
fn pairs<'a>(pairs: impl Iterator<Item = &'a FraPair>, features: &FraFeatures) -> String {
    let header = ["query", "key", "score", "sum", "count", "distance", "induction"];
    let mut rows = vec![header.map(str::to_owned)];
    for pair in pairs.take(N_SHOWN) {
        let feature = |feature: u32| format!("{feature}{}", name_of(features, feature));
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

/// What one text's tokens attend to by which pairs of features; `features` says what features are
/// called.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::pages::sae::fra::FraFeatures;
/// use attention_probes::pages::sae::text::fra_sample_text;
/// use attention_probes::sae::SaeError;
/// use attention_probes::sae::fra::{FraLayer, FraReader, FraSampleConfig};
///
/// fn print(layer: &FraLayer<'_>, reader: &FraReader<'_>) -> Result<(), SaeError> {
///     let ids = reader.ids("The cat sat on the mat.")?;
///     let config = FraSampleConfig { n_top: 30, ..FraSampleConfig::default() };
///     let sample = layer.text_of_ids(reader, &ids, &[0])?.sample(&config)?;
///     println!("{}", fra_sample_text(&sample, &FraFeatures::new()));
///     Ok(())
/// }
/// ```
pub fn fra_sample_text(report: &FraSample, features: &FraFeatures) -> String {
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
        text += &pairs(strongest.iter(), features);
    }
    text
}

/// The pairs of a head that look behind an earlier occurrence of a token most, and where their
/// features are strongest.
fn induction_text(report: &FraHeadReport, features: &FraFeatures) -> String {
    let top = report.top.get("induction").map_or(&[][..], |pairs| pairs);
    let title = "the pairs with most induction, and where their features are strongest";
    let pairs = pairs(top.iter().map(|of| &of.pair), features);
    format!("head {}, {title}:\n{pairs}", report.head)
}

/// What [`run_fra_demo`](crate::fra::run_fra_demo) found, whose example prints it.
pub fn fra_demo_text(demo: &FraDemo) -> String {
    let mut text = format!(
        "{} of `{}`: {:.1} active features of {}, FVU {:.3}\n\n{}",
        demo.model,
        demo.hook,
        demo.activity.l0(),
        demo.d_sae,
        demo.activity.fvu(),
        fra_heads_text(demo.reports.iter())
    );
    if let Some(report) = demo.report() {
        let _ = write!(text, "\n{}", induction_text(report, &demo.features));
    }
    text + "\n" + &fra_arms_text(&demo.arms)
}

/// What a model loses without pairs of features, one line for each arm of
/// [`induction_arms`](attention_probes_sae::fra::induction_arms).
///
/// # Examples
///
/// ```
/// use attention_probes::pages::sae::text::fra_arms_text;
///
/// assert!(fra_arms_text(&[]).contains("removed from the head's scores"));
/// ```
pub fn fra_arms_text(arms: &[FraArm]) -> String {
    let mut text = String::new();
    let header = [
        "removed from the head's scores",
        "of all magnitudes",
        "attention",
        "loss",
        "other loss",
        "attention, repeated",
        "loss, repeated",
    ];
    let mut rows = vec![header.map(str::to_owned)];
    for arm in arms {
        let number = |value: f64| format!("{value:.3}");
        rows.push([
            arm.removed.clone(),
            arm.share.map_or("-".to_owned(), |share| format!("{:.1} %", 100.0 * share)),
            number(arm.passages.attention),
            number(arm.passages.loss_nats),
            number(arm.passages.other_loss_nats),
            number(arm.repeated.attention),
            number(arm.repeated.loss_nats),
        ]);
    }
    let n = arms.first().map_or((0, 0), |arm| (arm.passages.n, arm.repeated.n));
    let _ = writeln!(
        text,
        "where a text goes on as it did after the last occurrence of the token: {} places of \
         held-out passages, {} of repeated random tokens",
        n.0, n.1
    );
    aligned(&mut text, &rows);
    text
}
