//! A whole ablation: autoencoders trained, measured, and judged.

use std::io::Write as _;
use std::path::PathBuf;

use attention_probes_activations::{FolderLock, write_atomically};
use attention_probes_errors::FileError;
use attention_probes_metrics::MetricValues;
use attention_probes_models::LanguageModel;
use serde::Serialize;

use super::config::{AblationConfig, Arm, ArmRole};
use super::measure::{Bench, Measured};
use super::metrics::Metric;
use super::verdict::AblationVerdict;
use crate::SaeError;
use crate::run::{
    RunError, SaeRunOptions, SaeRunPlan, is_complete, open_run_model, run_sae_on_contexts,
};

/// What an ablation found; it serialises to what `ablation.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AblationReport {
    /// The ablation as it was written.
    pub config: AblationConfig,
    /// Seeds of every arm.
    pub seeds: Vec<u64>,
    /// The arms.
    pub arms: Vec<ArmReport>,
    /// What was measured, metric by metric.
    pub metrics: Vec<MetricValues>,
    /// Whether guidance helped.
    pub verdict: AblationVerdict,
}

/// One arm of an ablation in its report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArmReport {
    /// Name of its folders.
    pub name: String,
    /// What it is called in tables.
    pub label: String,
    /// What it is there for.
    pub role: ArmRole,
}

impl AblationReport {
    /// The folder of the ablation.
    pub fn folder(&self) -> PathBuf {
        self.config.folder()
    }

    /// The folder of an arm's autoencoder.
    pub fn folder_of(&self, arm: &ArmReport, seed: u64) -> PathBuf {
        self.config.folder_of(&arm.name, seed)
    }

    /// What `ablation.json` holds.
    ///
    /// # Errors
    ///
    /// [`SaeError::File`] if the configuration cannot be written, because a path is not UTF-8.
    pub fn to_json(&self) -> Result<String, SaeError> {
        let value = serde_json::to_value(self)
            .map_err(|error| FileError::write(self.json_path())(error.into()))?;
        Ok(format!("{value:#}\n"))
    }

    /// The configuration in TOML.
    ///
    /// # Errors
    ///
    /// As [`AblationReport::to_json`].
    pub fn config_toml(&self) -> Result<String, SaeError> {
        let text = toml::to_string(&self.config).map_err(std::io::Error::other);
        Ok(text.map_err(FileError::write(self.json_path()))?)
    }

    /// Where [`AblationReport::to_json`] is written.
    pub fn json_path(&self) -> PathBuf {
        self.folder().join("ablation.json")
    }
}

impl AblationConfig {
    /// The folder of the ablation.
    fn folder(&self) -> PathBuf {
        self.output.join(&self.run)
    }

    /// The folder of an autoencoder.
    fn folder_of(&self, arm: &str, seed: u64) -> PathBuf {
        self.folder().join("sae").join(format!("{arm}-seed{seed}"))
    }

    /// Checks every key, and that the labelled texts are there.
    ///
    /// # Errors
    ///
    /// - those of [`AblationConfig::run_config`] and [`SaeRunConfig::check`](crate::SaeRunConfig::check).
    /// - [`RunError::NoEvaluationFile`] if a file of labelled texts is missing.
    pub fn check(&self) -> Result<SaeRunPlan, SaeError> {
        let plan = self.run_config()?.check()?;
        let mut paths = self.evaluation.labelled.iter().map(|data| &data.path);
        match paths.find(|path| !path.exists()) {
            Some(path) => Err(RunError::NoEvaluationFile { path: path.clone() }.into()),
            None => Ok(plan),
        }
    }
}

/// Trains the autoencoders of an ablation, measures all of them, and says whether guidance helped;
/// writes `ablation.json` beside them.
///
/// The model is opened once. The test contexts run once as they are, once with zeros at the hook,
/// and once with the reconstructions of each autoencoder; every labelled text runs once, for all
/// autoencoders, seeds, and evaluations. What was measured of an autoencoder is kept in its folder
/// and read again by an ablation that is resumed.
///
/// # Errors
///
/// As [`run_sae`](crate::run_sae) and [`evaluate_labelled`](crate::eval::evaluate_labelled).
///
/// # Memory
///
/// Training: as [`run_sae`](crate::run_sae). Measuring: the model, the weights of all autoencoders
/// (a quarter of what they take in training), the activations of the test contexts, and for each
/// autoencoder and labelled text its mean and 16 bytes for each feature that is active anywhere in it.
/// Nothing is kept on disk: activations of labelled texts are encoded by all autoencoders batch by
/// batch.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::sae::SaeRunOptions;
/// use attention_probes::sae::ablation::{AblationConfig, run_ablation};
/// use burn::tensor::Device;
///
/// let config = AblationConfig::read("ablation.toml")?;
/// let report = run_ablation(&config, &SaeRunOptions::new(&Device::default()))?;
/// println!("{}", report.verdict.text);
/// # Ok::<(), attention_probes::sae::SaeError>(())
/// ```
pub fn run_ablation(
    config: &AblationConfig,
    options: &SaeRunOptions<'_>,
) -> Result<AblationReport, SaeError> {
    let plan = config.check()?;
    let _lock = FolderLock::claim(&config.folder())?;
    // Before the model is opened, which takes longer.
    is_complete(&plan, options)?;
    let model = open_run_model(&config.model, options)?;
    run_locked(config, &plan, &model, options)
}

/// As [`run_ablation`], with a model that is open, which must be that of the configuration.
///
/// # Errors
///
/// As [`run_ablation`].
///
/// # Memory
///
/// As [`run_ablation`].
pub fn run_ablation_on(
    config: &AblationConfig,
    model: &LanguageModel,
    options: &SaeRunOptions<'_>,
) -> Result<AblationReport, SaeError> {
    let plan = config.check()?;
    let _lock = FolderLock::claim(&config.folder())?;
    run_locked(config, &plan, model, options)
}

fn run_locked(
    config: &AblationConfig,
    plan: &SaeRunPlan,
    model: &LanguageModel,
    options: &SaeRunOptions<'_>,
) -> Result<AblationReport, SaeError> {
    let contexts = config.data.read_contexts(model, options.hub)?;
    run_sae_on_contexts(plan, model, contexts.clone(), options)?;
    let arms = config.arms();
    let bench = Bench::open(config, plan, model, contexts, options)?;
    let measured: Vec<Measured<'_>> = arms
        .iter()
        .enumerate()
        .flat_map(|(i, arm)| {
            config.seeds.iter().map(move |seed| Measured {
                folder: config.folder_of(&arm.name, *seed),
                seed: *seed,
                arm: (i + 1, &arm.label),
            })
        })
        .collect();
    let values = bench.measure(&measured)?;
    let metrics = by_metric(bench.metrics(), &values, config.seeds.len());
    let verdict = AblationVerdict::new(&arms, config.seeds.len(), &metrics)?;
    let of_arm = |arm: Arm| ArmReport { name: arm.name, label: arm.label, role: arm.role };
    let report = AblationReport {
        config: config.clone(),
        seeds: config.seeds.clone(),
        arms: arms.into_iter().map(of_arm).collect(),
        metrics,
        verdict,
    };
    let json = report.to_json()?;
    write_atomically(&report.json_path(), |file| file.write_all(json.as_bytes()))?;
    Ok(report)
}

/// What was measured, metric by metric.
fn by_metric(metrics: &[Metric], values: &[Vec<f64>], n_seeds: usize) -> Vec<MetricValues> {
    let of = |(i, metric): (usize, &Metric)| {
        let by_arm = values.chunks(n_seeds).map(|seeds| seeds.iter().map(|one| one[i]).collect());
        let Metric { name, label, note, higher_is_better } = metric.clone();
        MetricValues { name, label, note, higher_is_better, by_arm: by_arm.collect() }
    };
    metrics.iter().enumerate().map(of).collect()
}
