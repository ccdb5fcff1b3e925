//! A data set whose labels are no classes, at all its layers: trained, judged, and written.

use std::path::Path;

use attention_probes_activations::{
    LabelKind, NpzArray, Place, Split, Targets, TokenizedDataset, write_npz,
};
use attention_probes_metrics::ExampleCounts;
use attention_probes_models::LanguageModel;
use attention_probes_probes::{
    DataMetadata, Features, Outputs, Pool, ProbeMetadata, SavedProbe, SideReport,
};
use rand::seq::SliceRandom;

use super::baseline::baselines;
use super::features::{pooled, rows};
use super::fit::{FitSide, FittedProbe, fit, fit_again};
use super::report::{PenaltyMetrics, TargetBaselines, TargetProbe, TargetReport};
use crate::SweepError;
use crate::config::ArchitectureConfig;
use crate::data::data_run::{DataRun, Prepared};
use crate::data::sides::{check_sides, varying};
use crate::judge::bag_of_words::{BagOfWords, FitFollower};
use crate::judge::control::shuffle_rng;
use crate::judge::findings::{describe, joined_layers, resolved_config};
use crate::judge::grid_end::End;
use crate::results::files::{create_folder, remove_probes, write_json, write_text};
use crate::tracker::Tracker;
use crate::warning::Warning;

/// Everything that the experiments of a data set have in common.
struct TargetData<'a> {
    run: &'a DataRun<'a>,
    model: Option<&'a LanguageModel>,
    targets: Targets,
    split: Split,
    /// The data, as the probes' metadata describe them.
    described: DataMetadata,
    n_skipped: usize,
    warnings: Vec<Warning>,
    d_model: usize,
    baselines: TargetBaselines,
    /// `predictions.npz` but for what probes say.
    examples: Vec<(String, NpzArray)>,
}

/// Fits every linear architecture at every place, and writes an experiment for each place.
pub(crate) fn run_target_experiments(
    run: &DataRun<'_>,
    prepared: Prepared<'_>,
    tokens: Option<&TokenizedDataset>,
    places: &[Place],
    model: Option<&LanguageModel>,
    tracker: &mut dyn Tracker,
) -> Result<Vec<TargetReport>, SweepError> {
    let described = prepared.describe(&run.config().name);
    let Prepared { mut source, examples, split, targets, rows, n_skipped, warnings, .. } = prepared;
    let Some(targets) = targets else { return Ok(Vec::new()) };
    // Examples may have been left out since the sides were looked at.
    check_sides(run.config(), &targets, &split)?;
    let targets = without_constant_labels(run, targets, &split, tracker);
    let config = run.plan.config();
    let architectures: Vec<&ArchitectureConfig> =
        config.architectures.iter().filter(|one| one.learns_targets()).collect();
    let n_idle = config.architectures.len() - architectures.len();
    if n_idle > 0 {
        tracker.note(&format!(
            "`{}`: {n_idle} architectures left out, they learn classes only",
            run.config().name
        ));
    }
    let pools: Vec<Pool> = architectures.iter().map(|architecture| architecture.pool).collect();
    let prefixes: Vec<(usize, usize)> =
        examples.examples.iter().map(|example| (example.sequence, example.end)).collect();
    let features = pooled(&mut *source, &prefixes, &pools, config.sweep.batch_size)?;
    let words = tokens.map(|tokens| {
        BagOfWords::new(prefixes.iter().map(|&(sequence, end)| &tokens.sequence(sequence)[..end]))
    });
    let mut arrays = Vec::new();
    for (side, indices) in [("validation", &split.validation), ("test", &split.test)] {
        let (n, side_targets) = (indices.len(), targets.rows(indices));
        let integers = |value: &dyn Fn(usize) -> usize| {
            NpzArray::new(vec![n], indices.iter().map(|&i| value(i) as i64).collect::<Vec<i64>>())
        };
        let shape = vec![n, targets.n_columns()];
        arrays.push((format!("{side}/targets"), NpzArray::new(shape, side_targets.values)));
        arrays.push((format!("{side}/rows"), integers(&|i| rows[prefixes[i].0])));
        arrays.push((format!("{side}/n_tokens"), integers(&|i| prefixes[i].1)));
        if let Some(groups) = &examples.groups {
            arrays.push((format!("{side}/groups"), integers(&|i| groups[i])));
        }
    }
    let follower = FitFollower {
        data: &run.config().name,
        folder: Some(&run.folder),
        stop: &run.stop,
        tracker: &mut *tracker,
    };
    let data = TargetData {
        run,
        model,
        baselines: baselines(&targets, &split, words.as_ref(), (config.seed, follower))?,
        targets,
        split,
        described,
        n_skipped,
        warnings,
        d_model: source.d_model(),
        examples: arrays,
    };
    let experiments = run.experiments(places);
    let sites = experiments.into_iter().zip(features);
    sites
        .map(|((place, experiment), features)| {
            let report = data.write(place.as_ref(), experiment, &architectures, &features)?;
            tracker.finished(&report.experiment);
            Ok(report)
        })
        .collect()
}

/// The warnings about penalties that lie at an end of their list, at most one of each probe: of the
/// label that would gain most.
fn end_of_list(name: &str, fitted: &FittedProbe, targets: &Targets) -> Option<Warning> {
    let end = |(output, chosen): (usize, &f64)| {
        let of_output = fitted
            .path
            .iter()
            .filter(|one| one.output.as_ref().is_none_or(|name| *name == targets.names[output]));
        let score = |one: &PenaltyMetrics| if one.converged { one.validation } else { f64::NAN };
        let scores: Vec<(f64, f64)> = of_output.map(|one| (one.penalty, score(one))).collect();
        End::of(&scores, *chosen)
    };
    let ends = fitted.penalties.iter().enumerate().filter_map(end);
    let worst = ends.max_by(|a, b| a.worse_by.total_cmp(&b.worse_by))?;
    Some(worst.warning(name, ("penalty", "`sweep.penalties`")))
}

/// Leaves out labels that every training example has, or none.
fn without_constant_labels(
    run: &DataRun<'_>,
    targets: Targets,
    split: &Split,
    tracker: &mut dyn Tracker,
) -> Targets {
    if targets.kind != LabelKind::Labels {
        return targets;
    }
    let kept = varying(&targets.rows(&split.train));
    if kept.len() == targets.n_columns() {
        return targets;
    }
    let removed: Vec<&str> = (0..targets.n_columns())
        .filter(|column| !kept.contains(column))
        .map(|column| targets.names[column].as_str())
        .collect();
    tracker.note(&format!(
        "`{}`: labels left out, every training example has them, or none: {}",
        run.config().name,
        removed.join(", ")
    ));
    targets.columns(&kept)
}

/// The same labels dealt out anew among the examples.
fn shuffled(targets: &Targets, seed: u64) -> Targets {
    let mut rows: Vec<usize> = (0..targets.len()).collect();
    rows.shuffle(&mut shuffle_rng(seed, 0));
    targets.rows(&rows)
}

impl TargetData<'_> {
    /// Fits and judges the architectures of a site and writes their experiment.
    fn write(
        &self,
        place: Option<&Place>,
        experiment: String,
        architectures: &[&ArchitectureConfig],
        features: &[Vec<f32>],
    ) -> Result<TargetReport, SweepError> {
        let folder = self.run.folder.join(&experiment);
        let trained = folder.join("trained");
        // Probes of other data or another version, if the experiment is made anew.
        remove_probes(&trained)?;
        create_folder(&trained)?;
        let mut scores: Vec<PenaltyMetrics> = Vec::new();
        let mut arrays = self.examples.clone();
        let mut probes = Vec::new();
        let mut warnings = self.warnings.clone();
        for (architecture, features) in architectures.iter().zip(features) {
            self.run.stop.check()?;
            let (probe, fitted) =
                self.probe(architecture, features, place, &trained, &mut arrays)?;
            warnings.extend(end_of_list(&architecture.config_name, &fitted, &self.targets));
            scores.extend(fitted.path);
            probes.push(probe);
        }
        let report = TargetReport {
            experiment,
            data: self.run.config().name.clone(),
            layer: place.and_then(Place::layer),
            layers: joined_layers(place).unwrap_or_default(),
            component: place.map(|place| place.component().to_string()),
            origin: self.run.origin(self.model),
            label_kind: self.targets.kind,
            names: self.targets.names.clone(),
            counts: ExampleCounts {
                n_train: self.split.train.len(),
                n_validation: self.split.validation.len(),
                n_calibration: None,
                n_test: self.split.test.len(),
                n_skipped: self.n_skipped,
            },
            baselines: self.baselines.clone(),
            probes,
            warnings,
        };
        write_text(&folder.join("config.toml"), &resolved_config(self.run, place)?)?;
        write_json(&folder.join("metrics.json"), &scores)?;
        let named: Vec<(&str, NpzArray)> =
            arrays.iter().map(|(name, array)| (name.as_str(), array.clone())).collect();
        write_npz(folder.join("predictions.npz"), &named)?;
        write_json(&folder.join("best.json"), &report)?;
        Ok(report)
    }

    /// Fits, judges, and saves the probe of an architecture.
    fn probe(
        &self,
        architecture: &ArchitectureConfig,
        features: &[f32],
        place: Option<&Place>,
        trained: &Path,
        arrays: &mut Vec<(String, NpzArray)>,
    ) -> Result<(TargetProbe, FittedProbe), SweepError> {
        let config = self.run.plan.config();
        let penalties = config.sweep.penalties.as_deref().unwrap_or_default();
        let of = |side: &[usize]| (rows(features, self.d_model, side), self.targets.rows(side));
        let sides = [&self.split.train, &self.split.validation, &self.split.test].map(|s| of(s));
        let [train, validation, test] = sides.each_ref().map(|(values, targets)| {
            Ok::<_, SweepError>(FitSide { features: Features::new(values, self.d_model)?, targets })
        });
        let (train, validation, test) = (train?, validation?, test?);
        let name = &architecture.config_name;
        let fitted = fit(name, train, validation, (penalties, &self.run.stop))?;
        let shuffled_labels = (config.evaluation.shuffled_labels > 0).then(|| {
            let targets = shuffled(train.targets, config.seed);
            let readout = fit_again(
                FitSide { targets: &targets, ..train },
                &fitted.penalties,
                &self.run.stop,
            )?;
            let outputs = readout.map(|readout| readout.outputs(test.features)).transpose()?;
            let report =
                outputs.map(|outputs| SideReport::new(test.targets, &outputs, config.seed));
            Ok::<_, SweepError>(report.transpose()?)
        });
        let shuffled_labels = shuffled_labels.transpose()?.flatten();
        let mut judge = |side: FitSide<'_>, of: &str| {
            let outputs = fitted.readout.outputs(side.features)?;
            let shape = vec![side.targets.len(), fitted.readout.n_out()];
            let report = SideReport::new(side.targets, &outputs, config.seed)?;
            arrays.push((format!("{of}/outputs/{name}"), NpzArray::new(shape, outputs)));
            Ok::<_, SweepError>(report)
        };
        let (validation, test) = (judge(validation, "validation")?, judge(test, "test")?);

        let stem = format!("{name}_probe");
        let (probe_config, state) = match self.targets.kind {
            LabelKind::Distribution => {
                fitted.readout.to_linear_probe(self.targets.n_columns(), architecture.pool)?
            }
            _ => fitted.readout.to_output_probe(architecture.pool),
        };
        let mut metadata = ProbeMetadata::new(probe_config, self.targets.names.clone());
        describe(&mut metadata, self.run, self.model, &self.described);
        metadata.outputs = match self.targets.kind {
            LabelKind::Number => Outputs::Number,
            LabelKind::Labels => Outputs::Labels,
            LabelKind::Class | LabelKind::Distribution => Outputs::Classes,
        };
        metadata.layer = place.and_then(Place::layer);
        metadata.layers = joined_layers(place);
        metadata.component = place.map(|place| place.component().to_string());
        metadata.seed = config.seed;
        metadata.penalties.clone_from(&fitted.penalties);
        metadata.metrics.validation = validation.likeliest();
        metadata.metrics.test = test.likeliest();
        metadata.metrics.outputs = SideReport::output_metrics(&validation, &test);
        SavedProbe { state, metadata }.save(trained, &stem)?;
        let probe = TargetProbe {
            config_name: name.clone(),
            pool: architecture.pool,
            n_penalties: penalties.len(),
            penalties: fitted.penalties.clone(),
            file: format!("{stem}_state.npz"),
            validation,
            test,
            shuffled_labels,
        };
        Ok((probe, fitted))
    }
}
