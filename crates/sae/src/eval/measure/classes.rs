//! Sparse probing and TPP: texts of several classes.

use attention_probes_errors::Stop;
use serde_json::{Map, Value, json};

use super::findings::{EvalFindings, EvalSae, coarse, settings};
use super::setting::{
    LabelledConfig, LabelledEvaluation, MAX_TEXTS, MIN_TEXTS, Provenance, Side, check_side, split,
};
use super::texts::Grouped;
use crate::SaeError;
use crate::eval::absorption::TrainTest;
use crate::eval::binary_probe::BinaryProbeConfig;
use crate::eval::encoded::EncodedTexts;
use crate::eval::error::EvalError;
use crate::eval::examples::{ClassTexts, Sampling};
use crate::eval::output::EvalOutput;
use crate::eval::sparse_probing::{SparseProbingConfig, sparse_probing};
use crate::eval::tpp::{PerturbationConfig, tpp, train_tpp_probes};

/// The classes of some texts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Classes {
    pub(super) names: Vec<String>,
    /// Class of each text.
    pub(super) groups: Vec<Option<usize>>,
}

/// Texts of one seed, and how many there are on each side together.
struct Sides<'a> {
    seed: u64,
    train: ClassTexts<EncodedTexts>,
    test: ClassTexts<EncodedTexts>,
    n: [usize; 2],
    stop: &'a Stop,
}

impl Classes {
    /// The classes that labels name, in the order of letters; refuses one class, and classes of too
    /// few texts.
    pub(super) fn of_labels(
        labels: &[&str],
        from: &str,
        config: &LabelledConfig,
    ) -> Result<Self, SaeError> {
        let mut names: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        names.sort();
        names.dedup();
        let groups =
            labels.iter().map(|label| names.iter().position(|class| class == label)).collect();
        let classes = Self { names, groups };
        classes.check(from, config)?;
        Ok(classes)
    }

    /// As many texts of each class.
    pub(super) fn parts(&self) -> Vec<usize> {
        vec![1; self.names.len()]
    }

    /// Refuses data with one class, or with a class of too few texts.
    pub(super) fn check(&self, from: &str, config: &LabelledConfig) -> Result<(), SaeError> {
        let from = from.to_owned();
        if let [class] = &self.names[..] {
            return Err(EvalError::OneLabel { from, class: class.clone() }.into());
        }
        for (group, class) in self.names.iter().enumerate() {
            let n = self.groups.iter().filter(|one| **one == Some(group)).count();
            if n < MIN_TEXTS {
                let (class, needed) = (class.clone(), MIN_TEXTS);
                return Err(EvalError::FewTexts { from, class, n, needed }.into());
            }
        }
        let (n, max_texts) = (self.names.len(), config.max_texts);
        if max_texts / n < MIN_TEXTS {
            let (what, needed) = (format!("{n} classes need"), n * MIN_TEXTS);
            return Err(EvalError::MaxTexts { setting: MAX_TEXTS, max_texts, what, needed }.into());
        }
        Ok(())
    }

    /// Sparse probing or TPP, once for each seed.
    pub(super) fn measure(
        &self,
        subject: &EvalSae<'_>,
        texts: &Grouped,
        (evaluation, config): (&LabelledEvaluation, &LabelledConfig),
        data: &Provenance<'_>,
        stop: &Stop,
    ) -> Result<EvalFindings, SaeError> {
        let n_classes = self.names.len();
        let mut findings =
            EvalFindings { outputs: Vec::new(), on: String::new(), notes: Vec::new() };
        let mut n_tested = 0;
        for &seed in &config.seeds {
            let [train, test] = split(&texts.groups, &self.parts(), config.test, seed)?;
            let n = [&train, &test].map(|side| side.iter().map(Vec::len).min().unwrap_or(0));
            check_side(data.from, config.test, n)?;
            let [n_train, n_test] = n;
            findings.on =
                format!("{n_classes} classes, {n_train} training and {n_test} test texts of each");
            n_tested = 2 * n_test;
            let [train, test] = [train, test].map(|side| self.texts(texts, &side));
            let (train, test) = (train?, test?);
            let sides = Sides { seed, train, test, n: n.map(|n| n * n_classes), stop };
            findings.outputs.push(if *evaluation == LabelledEvaluation::Tpp {
                let (output, note) = self.perturbed(subject, &sides, config, data)?;
                findings.notes.push(note);
                output
            } else {
                self.probed(subject, &sides, config, data)?
            });
        }
        if *evaluation == LabelledEvaluation::SparseProbing {
            let chance = "each class against as many texts of the others, so 0.5 is chance";
            findings.notes.push(chance.to_owned());
        }
        findings.notes.extend(coarse(n_tested));
        Ok(findings)
    }

    /// TPP, with the accuracies that it begins from in words.
    fn perturbed(
        &self,
        subject: &EvalSae<'_>,
        sides: &Sides<'_>,
        config: &LabelledConfig,
        data: &Provenance<'_>,
    ) -> Result<(EvalOutput, String), SaeError> {
        let Sides { seed, train, test, n, stop } = sides;
        let probing = perturbation(*seed, stop);
        let probes = train_tpp_probes(train, test, &probing)?;
        let found = tpp(subject.sae, TrainTest { train, test }, &probes, &probing)?;
        let clean = self.names.iter().zip(&found.clean);
        let clean: Vec<String> =
            clean.map(|(class, accuracy)| format!("{class:?} {accuracy:.3}")).collect();
        let clean = clean.join(", ");
        let note = format!("seed {seed}: accuracy of the probes, nothing ablated: {clean}");
        let run = subject.run_with(perturbation_settings(&probing, config, *seed, *n, data));
        Ok((EvalOutput::tpp(run, subject.sae, &[(data.name(config, *seed), found)]), note))
    }

    /// Sparse probing.
    fn probed(
        &self,
        subject: &EvalSae<'_>,
        sides: &Sides<'_>,
        config: &LabelledConfig,
        data: &Provenance<'_>,
    ) -> Result<EvalOutput, SaeError> {
        let Sides { seed, train, test, n: [n_train, n_test], stop } = sides;
        let probing = SparseProbingConfig {
            sampling: Sampling::Seeded(*seed),
            full_width: Some(full_width(*seed, 2 * n_train / self.names.len())),
            stop: (*stop).clone(),
            ..SparseProbingConfig::default()
        };
        let found = sparse_probing(subject.sae, train, test, &probing)?;
        let mut all = common_settings(config, *seed, data);
        all.extend(settings([
            ("probe_train_set_size", json!(n_train)),
            ("probe_test_set_size", json!(n_test)),
            ("k_values", json!(probing.k_values)),
        ]));
        let found = [(data.name(config, *seed), found)];
        Ok(EvalOutput::sparse_probing(subject.run_with(all), subject.sae, &found))
    }

    /// The texts of one side, class by class.
    fn texts(&self, texts: &Grouped, side: &Side) -> Result<ClassTexts<EncodedTexts>, SaeError> {
        let of_class = self.names.iter().zip(side);
        let texts =
            of_class.map(|(class, of_class)| (class.clone(), texts.encoded.select(of_class)));
        ClassTexts::new(texts.collect())
    }
}

/// `SAEBench`'s settings of SCR and TPP with another seed.
pub(super) fn perturbation(seed: u64, stop: &Stop) -> PerturbationConfig {
    PerturbationConfig {
        stop: stop.clone(),
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

/// Settings of every evaluation of labelled texts.
fn common_settings(
    config: &LabelledConfig,
    seed: u64,
    data: &Provenance<'_>,
) -> Map<String, Value> {
    let names = json!([data.name(config, seed)]);
    let mut common = settings([("random_seed", json!(seed)), ("dataset_names", names)]);
    if let Some((name, context)) = data.model {
        common.insert("model_name".to_owned(), json!(name));
        common.insert("context_length".to_owned(), json!(context));
    }
    common
}

/// Settings of SCR and TPP.
pub(super) fn perturbation_settings(
    probing: &PerturbationConfig,
    config: &LabelledConfig,
    seed: u64,
    [n_train, n_test]: [usize; 2],
    data: &Provenance<'_>,
) -> Map<String, Value> {
    let mut all = common_settings(config, seed, data);
    all.extend(settings([
        ("early_stopping_patience", json!(probing.probe.patience)),
        ("train_set_size", json!(n_train)),
        ("test_set_size", json!(n_test)),
        ("probe_train_batch_size", json!(probing.probe.batch_size)),
        ("probe_epochs", json!(probing.probe.epochs)),
        ("probe_lr", json!(probing.probe.learning_rate)),
        ("probe_l1_penalty", json!(probing.probe.l1)),
        ("n_values", json!(probing.n_values)),
    ]));
    all
}
