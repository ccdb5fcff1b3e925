//! A data set at all its layers: trained, judged on the sides held out, and written.

use attention_probes_activations::{
    ExampleSet, Split, SplitConfig, TokenizedDataset, class_weights, stratified_split,
};
use attention_probes_models::LanguageModel;
use attention_probes_probes::{
    DataMetadata, ModelMetadata, ProbeConfig, ProbeMetadata, ProbeState,
};

use crate::baseline::FittedBaselines;
use crate::config::{Layers, SelectBy};
use crate::control::{ControlReport, shuffled_label_controls};
use crate::evaluation::{EvaluatedGroup, Evaluator, FittedOn};
use crate::find_best_fit::{
    FitConfig, FitData, GroupFit, TrialGroup, find_best_fit, predict_logits,
};
use crate::held_out::unfit;
use crate::judged::Judged;
use crate::predictions::{HeldOutExamples, Predictions};
use crate::report::{ArchitectureReport, AxisSpread, ExperimentReport};
use crate::results::{ExperimentFiles, FittedArchitecture, write_experiment};
use crate::run::{DataRun, Prepared};
use crate::select::compare;
use crate::tracker::Tracker;
use crate::{SweepError, folder};

/// Trains every architecture at every layer, and writes an experiment for each layer.
///
/// The experiments are those of the layers, in order; one if there are none.
pub(crate) fn run_experiments(
    run: &DataRun<'_>,
    prepared: Prepared<'_>,
    tokens: Option<&TokenizedDataset>,
    layers: &[usize],
    model: Option<&LanguageModel>,
    tracker: &mut dyn Tracker,
) -> Result<Vec<ExperimentReport>, SweepError> {
    let Prepared { mut source, examples, split, hash, n_skipped } = prepared;
    let config = run.plan.config();
    let labels = examples.labels();
    let n_classes = examples.classes.len();
    let prefixes: Vec<(usize, usize)> =
        examples.examples.iter().map(|example| (example.sequence, example.end)).collect();
    let weights = weights_of(run, &labels, &split, n_classes);
    let (choosing, set_apart) = divide_validation(run, &examples, &split)?;
    let data = FitData {
        examples: &prefixes,
        labels: &labels,
        n_classes,
        class_weights: &weights,
        train: &split.train,
        validation: &choosing,
    };
    let experiments = run.experiments(layers);
    let groups = groups_of(run, experiments.len(), source.d_model(), n_classes);
    let fit_config = FitConfig {
        epochs: config.sweep.epochs,
        batch_size: config.sweep.batch_size,
        seed: config.seed,
        select_by: config.sweep.select_by,
    };
    let name = &run.config().name;
    // Named after what it was trained on, so that it is never continued on anything else.
    let model_key = model.map(LanguageModel::fingerprint).unwrap_or_default();
    let key = blake3::hash(format!("{hash} {model_key}").as_bytes()).to_hex();
    let checkpoint = run.folder.join(format!("{name}-{}.checkpoint", &key[..16]));
    let mut on_epoch = |epoch| tracker.epoch(name, epoch, config.sweep.epochs);
    let fits =
        find_best_fit(&mut *source, &data, &groups, &fit_config, Some(&checkpoint), &mut on_epoch)?;
    let controls = if config.evaluation.shuffled_labels {
        let chosen = (&groups[..], &fits[..]);
        shuffled_label_controls(&mut *source, &data, chosen, &fit_config, &split.test)?
    } else {
        Vec::new()
    };

    let trained: Vec<(TrialGroup, Vec<ProbeState>)> =
        groups.iter().cloned().zip(fits.iter().map(states_of)).collect();
    let mut judge = |side: &[usize]| {
        let examples = held_out(&examples, side, tokens);
        let side: Vec<(usize, usize)> = side.iter().map(|&example| prefixes[example]).collect();
        let logits = predict_logits(&mut *source, &side, &trained, config.sweep.batch_size)?;
        Ok::<_, SweepError>(Judged { logits, examples, n_classes })
    };
    let validation = judge(&choosing)?;
    let set_apart = if set_apart.is_empty() { None } else { Some(judge(&set_apart)?) };
    let test = judge(&split.test)?;
    let baselines = FittedBaselines::new(&data, &split.test, tokens, config.seed)?;

    let mut reports = Vec::new();
    for (site, (layer, experiment)) in experiments.into_iter().enumerate() {
        let mut fitted = Vec::new();
        for (index, group) in groups.iter().enumerate().filter(|(_, group)| group.site == site) {
            let architecture = &config.architectures[index % config.architectures.len()];
            let mut metadata = ProbeMetadata::new(group.probe.clone(), examples.classes.clone());
            describe(&mut metadata, run, model, &split, &hash);
            metadata.layer = layer;
            fitted.push(FittedArchitecture {
                config_name: &architecture.config_name,
                group: index,
                fit: &fits[index],
                validation: validation.group(index),
                calibration: set_apart.as_ref().unwrap_or(&validation).group(index),
                test: test.group(index),
                metadata,
                names_seed: config.sweep.seeds.len() > 1,
            });
        }
        let (diverged, sound): (Vec<_>, Vec<_>) =
            fitted.iter().partition(|architecture| architecture.diverged(architecture.fit.best));
        let diverged: Vec<String> =
            diverged.into_iter().map(|one| one.config_name.to_owned()).collect();
        for config_name in &diverged {
            tracker.note(&format!(
                "every trial of `{config_name}` on `{experiment}` diverged; lower \
                 `sweep.learning_rates`"
            ));
        }
        let evaluator = Evaluator {
            config: &config.evaluation,
            fitted_on: match set_apart {
                Some(_) => FittedOn::Calibration,
                None => FittedOn::Validation,
            },
            bag_of_words: baselines.bag_of_words.as_deref(),
            best: best_of(&sound, config.sweep.select_by)
                .map(|best| (best.group, best.test.predicted(best.fit.best))),
            seed: config.seed,
        };
        let report = ExperimentReport {
            experiment: experiment.clone(),
            data: name.clone(),
            layer,
            origin: run.origin(model),
            classes: examples.classes.clone(),
            n_train: split.train.len(),
            n_validation: choosing.len(),
            n_calibration: set_apart.as_ref().map_or(0, |side| side.examples.labels.len()),
            n_test: split.test.len(),
            n_skipped,
            baselines: baselines.report.clone(),
            architectures: sound
                .iter()
                .map(|one| {
                    let control = controls.get(one.group).copied();
                    architecture_report(run, one, &evaluator, control)
                })
                .collect::<Result<_, _>>()?,
            diverged,
        };
        let chosen = || sound.iter().map(|one| (one.config_name, one.group, one.fit.best));
        let predictions = Predictions {
            validation: validation.predictions(chosen()),
            calibration: set_apart.as_ref().map(|side| side.predictions(chosen())),
            test: test.predictions(chosen()),
        };
        let files = ExperimentFiles {
            architectures: &fitted,
            predictions: &predictions,
            config: &resolved_config(run, layer)?,
            evaluation: &config.evaluation,
        };
        write_experiment(&run.folder.join(&experiment), &files, &report)?;
        tracker.finished(&experiment);
        reports.push(report);
    }
    Ok(reports)
}

/// The validation examples that choose a trial, and those set apart for thresholds and calibrators.
fn divide_validation(
    run: &DataRun<'_>,
    examples: &ExampleSet,
    split: &Split,
) -> Result<(Vec<usize>, Vec<usize>), SweepError> {
    let config = run.plan.config();
    if config.evaluation.calibration == 0.0 {
        return Ok((split.validation.clone(), Vec::new()));
    }
    let shares =
        SplitConfig { validation: config.evaluation.calibration, test: 0.0, seed: config.seed };
    let of = |list: &[usize]| split.validation.iter().map(|&i| list[i]).collect::<Vec<_>>();
    let groups = examples.groups.as_deref().map(of);
    let divided = stratified_split(&of(&examples.labels()), groups.as_deref(), &shares)
        .map_err(unfit(&run.config().path))?;
    let back = |side: &[usize]| side.iter().map(|&i| split.validation[i]).collect();
    Ok((back(&divided.train), back(&divided.validation)))
}

/// Examples of one side as they are reported.
fn held_out(
    examples: &ExampleSet,
    side: &[usize],
    tokens: Option<&TokenizedDataset>,
) -> HeldOutExamples {
    let example = |&i: &usize| &examples.examples[i];
    let row = |sequence: usize| tokens.map_or(sequence, |tokens| tokens.text_rows[sequence]);
    HeldOutExamples {
        labels: side.iter().map(|i| example(i).label).collect(),
        rows: side.iter().map(|i| row(example(i).sequence)).collect(),
        n_tokens: side.iter().map(|i| example(i).end).collect(),
        groups: examples.groups.as_ref().map(|groups| side.iter().map(|&i| groups[i]).collect()),
    }
}

/// The architecture whose chosen trial validation likes best.
fn best_of<'a, 'b>(
    architectures: &[&'a FittedArchitecture<'b>],
    select_by: SelectBy,
) -> Option<&'a FittedArchitecture<'b>> {
    let score = |one: &FittedArchitecture<'_>| one.fit.trials[one.fit.best].score();
    // Of equals the first.
    let better = |a: &&&FittedArchitecture<'_>, b: &&&FittedArchitecture<'_>| {
        compare(score(a), score(b), select_by).then(b.group.cmp(&a.group))
    };
    architectures.iter().max_by(better).copied()
}

/// One group per site and architecture, architectures of a site side by side.
fn groups_of(
    run: &DataRun<'_>,
    n_sites: usize,
    d_model: usize,
    n_classes: usize,
) -> Vec<TrialGroup> {
    let n_architectures = run.plan.config().architectures.len();
    let probes: Vec<ProbeConfig> = (0..n_architectures)
        .map(|architecture| run.plan.probe(architecture, d_model, n_classes))
        .collect();
    let group = |index: usize| TrialGroup {
        site: index / n_architectures,
        probe: probes[index % n_architectures].clone(),
        loss: run.plan.config().architectures[index % n_architectures].loss,
        trials: run.plan.trials().to_vec(),
    };
    (0..n_sites * n_architectures).map(group).collect()
}

/// Token tasks weigh rare positives; other tasks weigh every class alike.
fn weights_of(run: &DataRun<'_>, labels: &[usize], split: &Split, n_classes: usize) -> Vec<f32> {
    let is_token_task = run.plan.task(run.data).is_some_and(|task| task.target().is_some());
    if !is_token_task {
        return vec![1.0; n_classes];
    }
    let train: Vec<usize> = split.train.iter().map(|&example| labels[example]).collect();
    class_weights(&train, n_classes)
}

/// Fills in where the probes of a data set come from.
fn describe(
    metadata: &mut ProbeMetadata,
    run: &DataRun<'_>,
    model: Option<&LanguageModel>,
    split: &Split,
    hash: &str,
) {
    let config = run.plan.config();
    if let Some(model) = model {
        metadata.model = Some(ModelMetadata {
            name: model.name.clone(),
            revision: Some(model.revision.clone()),
        });
        metadata.component = Some(config.activations.component.to_string());
        let n_ctx = model.model.shape().n_ctx;
        metadata.max_tokens = Some(run.config().max_tokens.min(n_ctx));
        metadata.convention = serde_json::to_value(config.model.convention)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned));
    }
    if let Some(task) = run.plan.task(run.data) {
        metadata.task = Some(task.to_string());
        metadata.target = task.target().map(str::to_owned);
    }
    metadata.epochs = Some(config.sweep.epochs);
    metadata.batch_size = Some(config.sweep.batch_size);
    metadata.split_seed = Some(config.seed);
    metadata.data = Some(DataMetadata {
        name: run.config().name.clone(),
        hash: Some(hash.to_owned()),
        n_train: split.train.len(),
        n_validation: split.validation.len(),
        n_test: split.test.len(),
    });
}

fn architecture_report(
    run: &DataRun<'_>,
    architecture: &FittedArchitecture<'_>,
    evaluator: &Evaluator<'_>,
    shuffled_labels: Option<ControlReport>,
) -> Result<ArchitectureReport, SweepError> {
    let fit = architecture.fit;
    let chosen = &fit.trials[fit.best];
    let group = EvaluatedGroup {
        index: architecture.group,
        fit,
        calibration: architecture.calibration,
        test: architecture.test,
    };
    let selected_by = run.plan.config().sweep.select_by;
    Ok(ArchitectureReport {
        config_name: architecture.config_name.to_owned(),
        n_trials: fit.trials.len(),
        learning_rate: chosen.trial.learning_rate,
        weight_decay: chosen.trial.weight_decay,
        seed: chosen.trial.seed,
        file: format!("{}_state.npz", architecture.stem(chosen)),
        selected_by,
        selected_value: chosen.score().and_then(|score| score.value(selected_by)),
        validation: architecture.validation.report(fit.best, chosen.trial.seed)?,
        test: architecture.test.report(fit.best, chosen.trial.seed)?,
        evaluation: evaluator.evaluate(group, shuffled_labels)?,
        axes: AxisSpread::of(fit),
    })
}

/// The configuration of one experiment alone.
fn resolved_config(run: &DataRun<'_>, layer: Option<usize>) -> Result<String, SweepError> {
    let mut config = run.plan.config().clone();
    config.data = vec![run.config().clone()];
    if let Some(layer) = layer {
        config.activations.layers = Layers::List(vec![layer]);
    }
    folder::to_toml(&config, &run.folder)
}

fn states_of(fit: &GroupFit) -> Vec<ProbeState> {
    fit.trials.iter().map(|trial| trial.state.clone()).collect()
}
