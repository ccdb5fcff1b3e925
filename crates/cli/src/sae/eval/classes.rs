//! Sparse probing and TPP: texts of several classes.

use std::path::Path;

use anyhow::Result;
use attention_probes_sae::eval::{
    BinaryProbeConfig, EncodedTexts, EvalOutput, LabelledTexts, PerturbationConfig, Sampling,
    SparseProbingConfig, TextActivations, draw_in_parts, sparse_probing, tpp, train_tpp_probes,
};
use attention_probes_sae::{Sae, read_sae};
use serde_json::json;

use super::labelled::{Labelled, MIN_TEXTS, Side, encode, read_rows};
use super::{EvalArgs, Evaluation, Findings, activations, report};
use crate::exit::InputError;
use crate::sae::kept::Kept;

/// Texts of classes, the autoencoder, and what is known of the model.
struct Subject {
    sae: Sae,
    labelled: Labelled,
    classes: Vec<String>,
    /// Name and context, where a model was run.
    model: Option<(String, usize)>,
}

/// Texts of one seed, and how many there are on each side together.
struct Sides {
    seed: u64,
    train: LabelledTexts<EncodedTexts>,
    test: LabelledTexts<EncodedTexts>,
    n: [usize; 2],
}

/// Runs the evaluation, once for each seed.
pub(super) fn run(args: &EvalArgs) -> Result<Findings> {
    let subject = match (&args.activations, &args.data) {
        (Some(path), _) => of_file(args, path),
        (None, Some(path)) => of_texts(args, path),
        (None, None) => unreachable!("one of the two was asked for"),
    }?;
    let Subject { labelled, classes, .. } = &subject;
    let n_classes = classes.len();
    let mut findings = Findings { outputs: Vec::new(), on: String::new(), notes: Vec::new() };
    let mut n_tested = 0;
    for seed in args.seeds() {
        let [train, test] = labelled.split(&vec![1; n_classes], args.test(), seed)?;
        let n = [&train, &test].map(|side| side.iter().map(Vec::len).min().unwrap_or(0));
        check_side(args, n)?;
        let [n_train, n_test] = n;
        findings.on =
            format!("{n_classes} classes, {n_train} training and {n_test} test texts of each");
        n_tested = 2 * n_test;
        let [train, test] = [train, test].map(|side| of_classes(labelled, classes, &side));
        let (train, test) = (train?, test?);
        let sides = Sides { seed, train, test, n: n.map(|n| n * n_classes) };
        findings.outputs.push(if args.eval == Evaluation::Tpp {
            let (output, note) = perturbed(args, &subject, &sides)?;
            findings.notes.push(note);
            output
        } else {
            probed(args, &subject, &sides)?
        });
    }
    if args.eval == Evaluation::SparseProbing {
        let chance = "each class against as many texts of the others, so 0.5 is chance";
        findings.notes.push(chance.to_owned());
    }
    findings.notes.extend(report::coarse(n_tested));
    Ok(findings)
}

/// TPP, with the accuracies that it begins from in words.
fn perturbed(args: &EvalArgs, subject: &Subject, sides: &Sides) -> Result<(EvalOutput, String)> {
    let Sides { seed, train, test, n } = sides;
    let config = perturbation(*seed);
    let probes = train_tpp_probes(train, test, &config)?;
    let found = tpp(&subject.sae, train, test, &probes, &config)?;
    let clean = subject.classes.iter().zip(&found.clean);
    let clean: Vec<String> =
        clean.map(|(class, accuracy)| format!("{class:?} {accuracy:.3}")).collect();
    let clean = clean.join(", ");
    let note = format!("seed {seed}: accuracy of the probes, nothing ablated: {clean}");
    let settings = report::perturbation(args, &config, *seed, *n, subject.model.as_ref());
    let run = report::eval_run(args, settings);
    Ok((EvalOutput::tpp(run, &subject.sae, &[(args.data_name(*seed), found)]), note))
}

/// Sparse probing.
fn probed(args: &EvalArgs, subject: &Subject, sides: &Sides) -> Result<EvalOutput> {
    let Sides { seed, train, test, n: [n_train, n_test] } = sides;
    let config = SparseProbingConfig {
        sampling: Sampling::Seeded(*seed),
        full_width: Some(full_width(*seed, 2 * n_train / subject.classes.len())),
        ..SparseProbingConfig::default()
    };
    let found = sparse_probing(&subject.sae, train, test, &config)?;
    let mut settings = report::common(args, *seed, subject.model.as_ref());
    settings.extend(report::settings([
        ("probe_train_set_size", json!(n_train)),
        ("probe_test_set_size", json!(n_test)),
        ("k_values", json!(config.k_values)),
    ]));
    let run = report::eval_run(args, settings);
    Ok(EvalOutput::sparse_probing(run, &subject.sae, &[(args.data_name(*seed), found)]))
}

/// `SAEBench`'s settings of SCR and TPP with another seed.
pub(super) fn perturbation(seed: u64) -> PerturbationConfig {
    PerturbationConfig {
        sampling: Sampling::Seeded(seed),
        probe: BinaryProbeConfig { seed, ..BinaryProbeConfig::scr_and_tpp() },
        ..PerturbationConfig::default()
    }
}

/// `SAEBench`'s settings of the probes on everything, which are for 1600 texts of a class and the
/// others: where there are fewer, the batch is a sixth of them, so that a pass has as many steps.
fn full_width(seed: u64, n_texts: usize) -> BinaryProbeConfig {
    let config = BinaryProbeConfig::full_width();
    BinaryProbeConfig { seed, batch_size: config.batch_size.min(n_texts.div_ceil(6)), ..config }
}

fn of_texts(args: &EvalArgs, path: &Path) -> Result<Subject> {
    let rows = read_rows(args, path, None)?;
    let labels: Vec<&str> = rows.iter().map(|(_, label, _)| &label[..]).collect();
    let mut classes: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
    classes.sort();
    classes.dedup();
    let groups: Vec<Option<usize>> =
        labels.iter().map(|label| classes.iter().position(|class| class == label)).collect();
    check_classes(args, &classes, &groups)?;
    let subject = args.open_model()?;
    let drawn =
        draw_in_parts(&groups, &vec![1; classes.len()], args.max_texts(), args.first_seed());
    let texts: Vec<(&str, usize)> =
        drawn.iter().filter_map(|row| Some((&rows[*row].0[..], groups[*row]?))).collect();
    let labelled = encode(&subject, &texts)?;
    let model = Some((subject.model.name.clone(), subject.context_size));
    Ok(Subject { sae: subject.sae, labelled, classes, model })
}

fn of_file(args: &EvalArgs, path: &Path) -> Result<Subject> {
    let sae = read_sae(&args.sae)?;
    let external = activations::read(path, Kept { path: &args.sae, sae: &sae }, true)?;
    let labels = external.labels.unwrap_or_default();
    let groups: Vec<Option<usize>> = labels.iter().map(|label| Some(*label)).collect();
    check_classes(args, &external.classes, &groups)?;
    let drawn = draw_in_parts(
        &groups,
        &vec![1; external.classes.len()],
        args.max_texts(),
        args.first_seed(),
    );
    let d_in = sae.config.d_in;
    let mut offsets = vec![0];
    for &example in &drawn {
        let n = external.offsets[example + 1] - external.offsets[example];
        offsets.push(offsets[offsets.len() - 1] + n);
    }
    let mut encoded = EncodedTexts::new(&sae);
    for batch in activations::batches(&offsets) {
        let (mut values, mut lengths) = (Vec::new(), Vec::new());
        for &example in &drawn[batch] {
            let rows = external.offsets[example]..external.offsets[example + 1];
            lengths.push(rows.len());
            values.extend_from_slice(&external.x[rows.start * d_in..rows.end * d_in]);
        }
        encoded.push(&sae, &TextActivations::ragged(values, &lengths, d_in)?)?;
    }
    let groups = drawn.iter().map(|example| labels[*example]).collect();
    let labelled = Labelled { encoded, groups };
    Ok(Subject { sae, labelled, classes: external.classes, model: None })
}

/// Refuses data with one class, or with a class of too few texts.
fn check_classes(args: &EvalArgs, classes: &[String], groups: &[Option<usize>]) -> Result<()> {
    let from = args.source();
    if let [class] = classes {
        let reason = format!("`{from}`: every label is `{class}`, at least two are needed");
        return Err(InputError(reason).into());
    }
    for (group, class) in classes.iter().enumerate() {
        let n = groups.iter().filter(|one| **one == Some(group)).count();
        if n < MIN_TEXTS {
            let reason = format!(
                "`{from}`: too few texts of class `{class}`: {n}, at least {MIN_TEXTS} are needed; \
                 leave its rows out, or name another column"
            );
            return Err(InputError(reason).into());
        }
    }
    let most = args.max_texts() / classes.len();
    if most < MIN_TEXTS {
        let n = classes.len();
        let least = n * MIN_TEXTS;
        let reason = format!(
            "`--max-texts` is {}, but {n} classes need at least {least} texts",
            args.max_texts()
        );
        return Err(InputError(reason).into());
    }
    Ok(())
}

/// Refuses a side without a text of each class.
pub(super) fn check_side(args: &EvalArgs, [n_train, n_test]: [usize; 2]) -> Result<()> {
    if n_train > 0 && n_test > 0 {
        return Ok(());
    }
    let (test, from) = (args.test(), args.source());
    let reason = format!("`{from}`: with `--test {test}` a class has no text on one side");
    Err(InputError(reason).into())
}

fn of_classes(
    labelled: &Labelled,
    classes: &[String],
    side: &Side,
) -> Result<LabelledTexts<EncodedTexts>> {
    let of_class = classes.iter().zip(side);
    let texts = of_class.map(|(class, texts)| (class.clone(), labelled.encoded.select(texts)));
    Ok(LabelledTexts::new(texts.collect())?)
}
