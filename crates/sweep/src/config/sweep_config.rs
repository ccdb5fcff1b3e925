//! A sweep as a person writes it, in TOML.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use attention_probes_activations::{Component, Storage, TOKENS_PER_FORWARD};
use attention_probes_errors::{FileError, parse_toml};
use attention_probes_models::{Convention, Dtype};
use serde::{Deserialize, Deserializer, Serialize};

use crate::SweepError;
use crate::config::SelectBy;
use crate::config::architecture_config::ArchitectureConfig;
use crate::config::data_config::DataConfig;
use crate::config::selection::Keep;

/// A sweep as a person writes it, in TOML.
///
/// Missing keys take their defaults; an unknown key is an error.
///
/// # Examples
///
/// ```
/// use attention_probes::sweep::SweepConfig;
///
/// let config = SweepConfig::parse("run = \"mine\"\n[[data]]\npath = \"reviews.csv\"\n")?;
/// assert_eq!(config.sweep.rates().len() * config.sweep.weight_decays.len(), 81);
/// # Ok::<(), attention_probes::sweep::SweepError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SweepConfig {
    /// Name of the run and of its folder.
    pub run: String,
    /// Seed of splits, initial weights, and batches.
    pub seed: u64,
    /// Folder that holds the runs.
    pub output: PathBuf,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    pub device: String,
    /// The model; not needed when every data set brings activations.
    pub model: ModelConfig,
    /// Data sets, at least one.
    pub data: Vec<DataConfig>,
    /// Which activations, and where they are kept.
    pub activations: ActivationsConfig,
    /// Kinds of probes, one attention head by default.
    pub architectures: Vec<ArchitectureConfig>,
    /// The grid.
    pub sweep: GridConfig,
    /// What is found out about the chosen probes.
    pub evaluation: EvaluationConfig,
}

/// Which model reads the texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// An embedded model, a directory in Hugging Face layout, or a model of the Hub, `org/name` or
    /// `org/name@revision`.
    pub name: String,
    /// Number format that the model computes in: `auto`, `f32`, `bf16`, or `f16`.
    pub dtype: Dtype,
    /// Whose numbers activations are.
    pub convention: Convention,
}

/// Which activations probes read, and where they are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActivationsConfig {
    /// `"all"`, `"auto"` (first, quartiles, last), a layer counted from 0, or a list of layers;
    /// -1 is the last.
    pub layers: Layers,
    /// Place in each layer, or a list of places, each of which gives experiments of its own.
    pub component: Components,
    /// Whether the rows of all layers stand side by side as one experiment, instead of one for each
    /// layer.
    pub concat: bool,
    /// `auto`, `recompute`, `memory`, or `disk`.
    pub storage: Storage,
    /// How much memory activations may take.
    pub memory_budget_gib: f64,
    /// How much of the disk they may take where `auto` puts them there; never more than is free.
    pub disk_budget_gib: f64,
    /// Most tokens of one forward pass, padding included.
    pub batch_tokens: usize,
}

/// A choice of layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"all\", \"auto\", a layer such as 3 or -1 (the last one), or a list of layers"
)]
pub enum Layers {
    /// `all` or `auto`.
    Word(String),
    /// One layer by number; -1 is the last.
    One(i64),
    /// Layers by number; -1 is the last.
    List(Vec<i64>),
}

/// The first, the quartiles, and the last of `n` layers.
pub(crate) fn quartiles(n: usize) -> impl Iterator<Item = usize> {
    (0..=4).map(move |quarter| ((n - 1) * quarter).div_ceil(4))
}

impl FromStr for Layers {
    type Err = SweepError;

    /// `all`, `auto`, or numbers separated by commas.
    fn from_str(text: &str) -> Result<Self, SweepError> {
        let text = text.trim().trim_start_matches('[').trim_end_matches(']');
        if !text.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            return Ok(Self::Word(text.to_owned()));
        }
        let layers: Result<Vec<i64>, _> =
            text.split(',').map(|layer| layer.trim().parse()).collect();
        layers.map(Self::List).map_err(|_| SweepError::Word {
            key: "layers",
            value: text.to_owned(),
            expected: Self::EXPECTED,
        })
    }
}

impl Layers {
    /// What stands for layers.
    pub(crate) const EXPECTED: &str =
        "`all`, `auto`, or numbers such as `0,5`, where `-1` is the last layer";
}

/// A choice of components.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected resid_pre, resid_mid, resid_post, attn_out, mlp_out, or z, or a list of these"
)]
pub enum Components {
    /// One component.
    One(Component),
    /// Several.
    List(Vec<Component>),
}

impl Components {
    /// The components, in order.
    pub fn all(&self) -> &[Component] {
        match self {
            Self::One(component) => std::slice::from_ref(component),
            Self::List(components) => components,
        }
    }
}

/// The grid of trials and how they train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GridConfig {
    /// Learning rates, each above 0. Left out, they are [`GridConfig::RATES`], and the grid grows
    /// where the best of them lies at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rates: Option<Vec<f64>>,
    /// Weight decays, each at least 0.
    pub weight_decays: Vec<f64>,
    /// Seeds of initial weights; the run's seed alone if empty.
    pub seeds: Vec<u64>,
    /// Passes over the training examples, of every trial. Left out, a probe trains until its best
    /// trial has stopped getting better, [`GridConfig::MOST_EPOCHS`] at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Examples per step.
    pub batch_size: usize,
    /// Metric on the validation examples that chooses a trial.
    pub select_by: SelectBy,
    /// Epochs without a better validation score of the best trial after which the training of a probe
    /// stops; 0 never. By default ten where `epochs` is left out, and else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Which weights of a trial are kept: `last`, or `best`, which is the default with patience and
    /// where `epochs` is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Keep>,
    /// Penalties, each above 0, of probes of targets other than classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub penalties: Option<Vec<f64>>,
}

/// What is found out about the chosen probes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// False-positive rates that thresholds are fitted for, each between 0 and 1.
    pub target_fprs: Vec<f64>,
    /// Largest share of the negatives that two thresholds with deferral between them may call
    /// positive, between 0 and 1.
    pub defer_fpr: f64,
    /// Largest share of the positives that they may call negative, between 0 and 1.
    pub defer_fnr: f64,
    /// Probability with which the threshold of this run keeps to its rate; without it, thresholds
    /// keep to their rates on average over runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Share of the validation examples that choose no trial, and that thresholds and calibrators
    /// are fitted on instead of on all others. Guarantees hold exactly only with some. Without it,
    /// 0.3 of two classes if that has at least 100 negatives, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<f64>,
    /// How often the chosen settings are trained again on shuffled labels, as a control; `true` and
    /// `false` are once and never.
    #[serde(deserialize_with = "count_or_bool")]
    pub shuffled_labels: usize,
    /// Whether chosen probes are judged on the test examples of the other data sets that have the
    /// same classes and task.
    pub transfer: bool,
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self {
            run: "sweep".to_owned(),
            seed: 42,
            output: "results".into(),
            device: "auto".to_owned(),
            model: ModelConfig::default(),
            data: Vec::new(),
            activations: ActivationsConfig::default(),
            architectures: vec![ArchitectureConfig::default()],
            sweep: GridConfig::default(),
            evaluation: EvaluationConfig::default(),
        }
    }
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self { name: "demo-gpt2".to_owned(), dtype: Dtype::Auto, convention: Convention::Raw }
    }
}

impl Default for ActivationsConfig {
    fn default() -> Self {
        Self {
            layers: Layers::Word("all".to_owned()),
            component: Components::One(Component::ResidPost),
            concat: false,
            storage: Storage::Auto,
            memory_budget_gib: 4.0,
            disk_budget_gib: 20.0,
            batch_tokens: TOKENS_PER_FORWARD,
        }
    }
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            target_fprs: vec![0.01, 0.05, 0.1],
            defer_fpr: 0.05,
            defer_fnr: 0.05,
            confidence: None,
            calibration: None,
            shuffled_labels: 1,
            transfer: true,
        }
    }
}

impl Default for GridConfig {
    fn default() -> Self {
        Self {
            learning_rates: None,
            weight_decays: vec![0.0, 1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3],
            seeds: Vec::new(),
            epochs: None,
            batch_size: 256,
            select_by: SelectBy::BalancedAccuracy,
            patience: None,
            keep: None,
            penalties: None,
        }
    }
}

impl GridConfig {
    /// Learning rates where nothing is said.
    pub const RATES: [f64; 9] = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3];

    /// Most epochs where nothing is said.
    pub const MOST_EPOCHS: usize = 200;

    /// Epochs without a better score where nothing is said.
    const PATIENCE: usize = 10;

    /// The learning rates that the grid begins with.
    pub fn rates(&self) -> &[f64] {
        self.learning_rates.as_deref().unwrap_or(&Self::RATES)
    }

    /// Most passes over the training examples.
    pub fn most_epochs(&self) -> usize {
        self.epochs.unwrap_or(Self::MOST_EPOCHS)
    }

    /// How long the trials train, such as `10 epochs`.
    pub fn epochs_in_words(&self) -> String {
        match self.epochs {
            Some(1) => "1 epoch".to_owned(),
            Some(epochs) => format!("{epochs} epochs"),
            None => format!("at most {} epochs", self.most_epochs()),
        }
    }

    /// Epochs without a better score after which the training of a probe stops; 0 never.
    pub fn patience(&self) -> usize {
        self.patience.unwrap_or(if self.epochs.is_none() { Self::PATIENCE } else { 0 })
    }

    /// Which weights of a trial are kept.
    pub fn keep(&self) -> Keep {
        let is_open = self.epochs.is_none() || self.patience() > 0;
        self.keep.unwrap_or(if is_open { Keep::Best } else { Keep::Last })
    }
}

/// A number, or `true` for 1 and `false` for 0.
fn count_or_bool<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected true, false, or a number such as 5")]
    enum CountOrBool {
        Bool(bool),
        Count(usize),
    }
    Ok(match CountOrBool::deserialize(deserializer)? {
        CountOrBool::Bool(is_on) => usize::from(is_on),
        CountOrBool::Count(n) => n,
    })
}

impl SweepConfig {
    /// Folder of its run, `<output>/<run>/seed_<seed>`.
    pub(crate) fn folder(&self) -> PathBuf {
        self.output.join(&self.run).join(format!("seed_{}", self.seed))
    }

    /// Reads a TOML file; paths of data in it are relative to its folder.
    ///
    /// # Errors
    ///
    /// - [`SweepError::File`] if the file cannot be read
    /// - [`SweepError::Toml`] if it is not a sweep, with a caret under what is wrong
    pub fn read(path: &Path) -> Result<Self, SweepError> {
        let text = std::fs::read_to_string(path).map_err(FileError::read(path))?;
        let mut config = Self::parse_named(&text, path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for data in &mut config.data {
            for path in data.paths_mut() {
                *path = folder.join(&*path);
            }
        }
        Ok(config)
    }

    /// Parses TOML that is already in memory.
    ///
    /// # Errors
    ///
    /// [`SweepError::Toml`] if it is not a sweep.
    pub fn parse(text: &str) -> Result<Self, SweepError> {
        Self::parse_named(text, Path::new("sweep.toml"))
    }

    pub(crate) fn parse_named(text: &str, path: &Path) -> Result<Self, SweepError> {
        parse_toml(text)
            .map_err(|source| SweepError::Toml { path: path.to_owned(), source: Box::new(source) })
    }
}
