//! A training run as it is written: one model, one corpus, any number of autoencoders.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use attention_probes_activations::{DatasetConfig, Quoting, TableFormat, data_files, is_on_hub};
use attention_probes_errors::{FileError, ValueError, is_plain_name, parse_toml};
use attention_probes_models::{Dtype, HookPoint, HubAccess, LanguageModel};
use serde::{Deserialize, Serialize};

use crate::train::{
    ContextConfig, Contexts, LearningRateSchedule, SaeTrainConfig, ScheduleShape,
    TrainArchitecture, read_contexts,
};
use crate::{GuidanceConfig, KeepAttention, PoolHeads, RunError, SaeError};

/// A training run: what is read, and every autoencoder that learns from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaeRunConfig {
    /// Name of the run, and of its folder.
    pub run: String,
    /// Seed of everything that is drawn.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Folder that holds the runs.
    #[serde(default = "output")]
    pub output: PathBuf,
    /// `auto`, `cpu`, `wgpu`, `cuda`, or `cuda:N`.
    #[serde(default = "auto")]
    pub device: String,
    /// The model.
    pub model: RunModel,
    /// The texts.
    pub data: RunData,
    /// What all autoencoders of the run share.
    #[serde(default)]
    pub train: RunTraining,
    /// The attention that guides, where an autoencoder has guidance.
    #[serde(default)]
    pub attention: RunAttention,
    /// The autoencoders.
    pub saes: Vec<SaeEntry>,
}

/// The attention that guides a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunAttention {
    /// Which keys of a row are kept.
    pub keep: KeepAttention,
    /// How heads become one pattern.
    pub pool: PoolHeads,
    /// Contexts that no autoencoder is trained on, from which the weights of layers are learned.
    pub held_out_contexts: usize,
}

impl Default for RunAttention {
    fn default() -> Self {
        Self { keep: KeepAttention::default(), pool: PoolHeads::default(), held_out_contexts: 32 }
    }
}

/// The model of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunModel {
    /// `demo-gpt2`, `demo-gemma`, a directory, or a name on the Hub.
    pub name: String,
    /// Number format that it computes in.
    #[serde(default)]
    pub dtype: Dtype,
}

/// The texts of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunData {
    /// A `.csv`, `.tsv`, `.jsonl`, or `.parquet` file, relative to the configuration's folder.
    pub path: PathBuf,
    /// Its column of texts.
    #[serde(default = "text")]
    pub text: String,
    /// What a quote means in CSV and TSV files: `minimal`, a field may stand in quotes, or `none`, it
    /// is a character like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quoting: Option<Quoting>,
    /// Character before a quote within a quoted field of CSV and TSV files, such as `\\`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escape: Option<char>,
    /// Tokens of a context.
    #[serde(default = "context_size")]
    pub context_size: usize,
    /// Whether each context begins with the token for it, where the model has one. Its activations
    /// are left out.
    #[serde(default = "yes")]
    pub prepend_bos: bool,
    /// Contexts at the end that nothing is trained on.
    #[serde(default)]
    pub test_contexts: usize,
}

impl RunData {
    /// The column of the texts, and how their file is written.
    ///
    /// # Errors
    ///
    /// [`RunError::Escape`] if fields cannot be written so.
    pub fn columns(&self) -> Result<DatasetConfig, SaeError> {
        let format = TableFormat { quoting: self.quoting, escape: self.escape };
        if let Some(fault) = format.fault() {
            return Err(RunError::Escape { fault }.into());
        }
        Ok(DatasetConfig { text: self.text.clone(), format, ..DatasetConfig::default() })
    }

    /// How the texts become contexts.
    pub fn size(&self) -> ContextConfig {
        ContextConfig { context_size: self.context_size, prepend_bos: self.prepend_bos }
    }

    /// Reads the texts, a file or a data set of the Hub, into contexts, those that are held out for
    /// tests at the end.
    ///
    /// # Errors
    ///
    /// Those of [`RunData::columns`], [`data_files`], and [`read_contexts`].
    ///
    /// # Memory
    ///
    /// As [`read_contexts`].
    pub fn read_contexts(
        &self,
        model: &LanguageModel,
        hub: Option<&HubAccess>,
    ) -> Result<Contexts, SaeError> {
        let files = data_files(&self.path, "train", hub)?;
        read_contexts(&files, &self.columns()?, self.size(), model)
    }
}

/// What all autoencoders of a run share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunTraining {
    /// Tokens that each autoencoder sees; the texts are read again where they are fewer.
    pub tokens: u64,
    /// Tokens of a step.
    pub batch_size: usize,
    /// Batches that the buffer holds.
    pub buffer_batches: usize,
    /// Share of the buffer that stays when it is filled again.
    pub mix_fraction: f64,
    /// Contexts of one forward pass of the model.
    pub contexts_per_forward: usize,
    /// Highest step size.
    pub learning_rate: f64,
    /// What it does after the warm-up.
    pub schedule: ScheduleShape,
    /// Steps of the warm-up.
    pub warm_up_steps: u64,
    /// Last steps, on which it goes to 0; a fifth of all where it is left out.
    pub decay_steps: Option<u64>,
    /// Steps without being active after which a feature counts as dead.
    pub dead_feature_window: u64,
    /// Whether activations are scaled to a mean norm of `√d_in` in training; the scale becomes part
    /// of the weights.
    pub normalize: bool,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
}

impl Default for RunTraining {
    fn default() -> Self {
        Self {
            tokens: 2_000_000,
            batch_size: 2048,
            buffer_batches: 32,
            mix_fraction: 0.5,
            contexts_per_forward: 32,
            learning_rate: 1e-3,
            schedule: ScheduleShape::Constant,
            warm_up_steps: 50,
            decay_steps: None,
            dead_feature_window: 200,
            normalize: true,
            checkpoint_every: 500,
        }
    }
}

/// One autoencoder of a run, once for each seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaeEntry {
    /// Name of its folder.
    pub name: String,
    /// The hook whose activations it learns, as `TransformerLens` names it.
    pub hook: String,
    /// What keeps the code sparse.
    #[serde(default)]
    pub architecture: TrainArchitecture,
    /// Number of features.
    pub d_sae: usize,
    /// Seeds of its initial weights, one autoencoder each; the run's where they are left out.
    #[serde(default)]
    pub seeds: Vec<u64>,
    /// Attention that guides it. Where one autoencoder of a run has guidance, all of them learn from
    /// batches of whole contexts instead of from a shuffled buffer, so that they see the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance: Option<GuidanceConfig>,
}

/// One autoencoder with one seed.
#[derive(Clone, Debug, PartialEq)]
pub struct SaeTask {
    /// Name of its folder.
    pub name: String,
    /// The hook whose activations it learns.
    pub hook: HookPoint,
    /// How it trains.
    pub config: SaeTrainConfig,
    /// Seed of its initial weights.
    pub seed: u64,
    /// Attention that guides it.
    pub guidance: Option<GuidanceConfig>,
}

pub(crate) fn seed() -> u64 {
    42
}

pub(crate) fn output() -> PathBuf {
    "results".into()
}

pub(crate) fn auto() -> String {
    "auto".to_owned()
}

pub(crate) fn text() -> String {
    "text".to_owned()
}

fn context_size() -> usize {
    128
}

/// A path of a configuration, which is relative to the folder of its file; an address of the Hub is not.
pub(crate) fn data_path(folder: &Path, path: &Path) -> PathBuf {
    if is_on_hub(path) { path.to_owned() } else { folder.join(path) }
}

fn yes() -> bool {
    true
}

impl SaeRunConfig {
    /// Reads a TOML file; `data.path` in it is relative to its folder.
    ///
    /// # Errors
    ///
    /// [`SaeError::File`] or [`SaeError::Toml`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, SaeError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(FileError::read(path))?;
        let mut config: Self = parse_toml(&text)
            .map_err(|source| SaeError::Toml { path: path.to_owned(), source: Box::new(source) })?;
        if let Some(folder) = path.parent() {
            config.data.path = data_path(folder, &config.data.path);
        }
        Ok(config)
    }

    /// Number of steps of each autoencoder.
    pub fn n_steps(&self) -> u64 {
        self.train.tokens / self.train.batch_size.max(1) as u64
    }

    /// Checks every key, and says which autoencoders there are.
    ///
    /// # Errors
    ///
    /// [`SaeError::Hyperparameter`] or the error of a hook's name.
    pub fn tasks(&self) -> Result<Vec<SaeTask>, SaeError> {
        let train = &self.train;
        let word = |key, value: &str, expected| {
            Err(ValueError::new(key, format_args!("`{value}`"), expected).into())
        };
        if !is_plain_name(&self.run) {
            return word("run", &self.run, NAME);
        }
        let sizes = [
            ("train.batch_size", train.batch_size, 1),
            ("train.buffer_batches", train.buffer_batches, 2),
            ("train.contexts_per_forward", train.contexts_per_forward, 1),
            ("data.context_size", self.data.context_size, 2),
            ("attention.keep.top", self.attention.keep.top, 1),
            ("attention.held_out_contexts", self.attention.held_out_contexts, 1),
        ];
        for (name, value, least) in sizes {
            if value < least {
                let expected = if least == 1 { "at least 1" } else { "at least 2" };
                return Err(ValueError::new(name, value, expected).into());
            }
        }
        if !(0.0..=0.9).contains(&train.mix_fraction) {
            let (name, value) = ("train.mix_fraction", train.mix_fraction);
            return Err(ValueError::new(name, value, "from 0 to 0.9").into());
        }
        let mass = self.attention.keep.mass;
        if !(mass > 0.0 && mass <= 1.0) {
            let (name, expected) = ("attention.keep.mass", "above 0 and at most 1");
            return Err(ValueError::new(name, mass, expected).into());
        }
        if self.n_steps() == 0 {
            let (name, value) = ("train.tokens", train.tokens as f64);
            let expected = "at least `train.batch_size`";
            return Err(ValueError::new(name, value, expected).into());
        }
        if self.saes.is_empty() {
            return word("saes", "", "at least one autoencoder");
        }
        let mut names = BTreeSet::new();
        let mut tasks = Vec::new();
        for entry in &self.saes {
            if !is_plain_name(&entry.name) {
                return word("saes.name", &entry.name, NAME);
            }
            let hook: HookPoint = entry.hook.parse()?;
            let config = self.config_of(entry);
            config.check()?;
            if let Some(guidance) = &entry.guidance {
                guidance.check(hook)?;
                if !config.architecture.can_be_guided() {
                    let expected = "topk, batchtopk, or standard, which guidance needs";
                    return word("saes.architecture", config.architecture.as_str(), expected);
                }
            }
            let seeds = if entry.seeds.is_empty() { vec![self.seed] } else { entry.seeds.clone() };
            for &seed in &seeds {
                let name = match seeds.len() {
                    1 => entry.name.clone(),
                    _ => format!("{}-seed{seed}", entry.name),
                };
                if !names.insert(name.clone()) {
                    return word("saes.name", &name, "a name, and seeds, that stand once");
                }
                let guidance = entry.guidance.clone();
                tasks.push(SaeTask { name, hook, config: config.clone(), seed, guidance });
            }
        }
        Ok(tasks)
    }

    fn config_of(&self, entry: &SaeEntry) -> SaeTrainConfig {
        let (train, total_steps) = (&self.train, self.n_steps());
        let warm_up_steps = train.warm_up_steps.min(total_steps / 2);
        let decay_steps = train.decay_steps.unwrap_or(total_steps / 5);
        SaeTrainConfig {
            architecture: entry.architecture,
            d_sae: entry.d_sae,
            learning_rate: LearningRateSchedule {
                value: train.learning_rate,
                shape: train.schedule,
                end: train.learning_rate / 10.0,
                warm_up_steps,
                decay_steps: decay_steps.min(total_steps - warm_up_steps),
                total_steps,
            },
            dead_feature_window: train.dead_feature_window,
            ..SaeTrainConfig::default()
        }
    }
}

/// What a name must be.
const NAME: &str = "letters, digits, `-`, `_`, and `.`, not beginning with a point";

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
run = "small"
[model]
name = "demo-gpt2"
[data]
path = "texts.jsonl"
[train]
tokens = 100_000
[[saes]]
name = "z1"
hook = "blocks.1.attn.hook_z"
d_sae = 512
architecture = { name = "topk", k = 16 }
seeds = [1, 2]
[[saes]]
name = "resid"
hook = "blocks.2.hook_resid_post"
d_sae = 256
architecture = { name = "standard", l1 = { value = 2.0, warm_up_steps = 10 } }
"#;

    fn tasks(text: &str) -> Result<Vec<SaeTask>, String> {
        let config: SaeRunConfig = parse_toml(text).map_err(|error| error.to_string())?;
        config.tasks().map_err(|error| error.to_string())
    }

    #[test]
    fn every_autoencoder_and_seed_is_a_task() {
        let tasks = tasks(MINIMAL).unwrap();
        let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
        assert_eq!(names, ["z1-seed1", "z1-seed2", "resid"]);
        assert_eq!(tasks[2].seed, 42);
        let rate = tasks[0].config.learning_rate;
        assert_eq!((rate.total_steps, rate.warm_up_steps, rate.decay_steps), (48, 24, 9));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_key() {
        let error = |from: &str, to: &str| tasks(&MINIMAL.replacen(from, to, 1)).unwrap_err();
        assert!(error("\"small\"", "\"../up\"").contains("`run` is `../up`, expected letters"));
        assert!(error("d_sae = 512", "d_sae = 8").contains("`k` is 16, expected from 1 to"));
        assert!(error("100_000", "10").contains("`train.tokens` is 10, expected at least"));
        assert!(error("\"resid\"", "\"z1-seed2\"").contains("that stand once"));
        assert!(error("hook_z", "hook_zz").contains("hook_z"), "a near name is given");
        assert!(
            error("tokens =", "token =")
                .contains("unknown key `token` in `train`; did you mean `tokens`?")
        );
        let guided =
            |guidance: &str| tasks(&format!("{MINIMAL}guidance = {{ {guidance} }}\n")).unwrap_err();
        assert!(guided("alpha = -1.0").contains("`guidance.alpha` is -1"));
        assert!(guided("layers = [-3]").contains("`guidance.layers` is -3"));
        assert!(guided("alpa = 0.1").contains("unknown key `alpa`; did you mean `alpha`?"));
        assert!(error("\"topk\"", "\"topp\"").contains("topp"));
    }
}
