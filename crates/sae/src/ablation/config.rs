//! An ablation as a person writes it, and its arms.

use std::path::{Path, PathBuf};

use attention_probes_errors::{FileError, ValueError, parse_toml};
use serde::{Deserialize, Serialize};

use crate::run::config::{
    RunAttention, RunData, RunModel, RunTraining, SaeEntry, SaeRunConfig, auto, data_path, output,
    seed, text,
};
use crate::train::TrainArchitecture;
use crate::{GuidanceConfig, GuidanceSource, LayerWeighting, SaeError, SaeTask};

/// Most layers that guide: every subset of them is an arm.
const MAX_LAYERS: usize = 4;

/// An ablation of guidance: the same autoencoder without it, with every subset of the layers, with
/// equal weights, and with three controls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AblationConfig {
    /// Name of the run, and of its folder.
    pub run: String,
    /// Seed of the order of the texts.
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
    /// The texts; `test_contexts` of them are what the arms are judged on.
    pub data: RunData,
    /// What all autoencoders share; each sees `tokens` tokens.
    #[serde(default)]
    pub train: RunTraining,
    /// The attention that guides.
    #[serde(default)]
    pub attention: RunAttention,
    /// The autoencoder.
    pub sae: AblationSae,
    /// Seeds of every arm: at least 2, so that there are intervals.
    #[serde(default = "seeds")]
    pub seeds: Vec<u64>,
    /// How the arms are guided that are.
    #[serde(default)]
    pub guidance: GuidanceConfig,
    /// What is measured beside the core metrics.
    #[serde(default)]
    pub evaluation: AblationEvaluation,
}

/// The autoencoder of an ablation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AblationSae {
    /// The hook whose activations it learns, as `TransformerLens` names it.
    pub hook: String,
    /// Number of features.
    pub d_sae: usize,
    /// What keeps the code sparse; `topk` or `batchtopk`, so that every arm has as many active
    /// features.
    #[serde(default)]
    pub architecture: TrainArchitecture,
}

/// What is measured beside the core metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AblationEvaluation {
    /// Texts with classes, for sparse probing and targeted probe perturbation, and for the removal
    /// of a spurious correlation where a second column is named.
    pub labelled: Vec<AblationData>,
}

/// Texts with classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AblationData {
    /// What they are called in tables.
    pub name: String,
    /// A `.csv`, `.tsv`, `.jsonl`, or `.parquet` file, relative to the configuration's folder.
    pub path: PathBuf,
    /// Its column of texts.
    #[serde(default = "text")]
    pub text: String,
    /// Its column of classes.
    #[serde(default = "label")]
    pub label: String,
    /// Its column of a spurious attribute, for the removal of a spurious correlation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spurious: Option<String>,
    /// Two classes for that, the positive one first, where there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<[String; 2]>,
    /// Two values of the attribute, the one that goes with the positive class first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spurious_pair: Option<[String; 2]>,
}

/// One arm of an ablation.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Name of its folders.
    pub name: String,
    /// What it is called in tables.
    pub label: String,
    /// What it is there for.
    pub role: ArmRole,
    /// Number of features.
    pub d_sae: usize,
    /// What guides it.
    pub guidance: Option<GuidanceConfig>,
}

/// What an arm is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArmRole {
    /// Without guidance.
    Baseline,
    /// Guided by some of the layers.
    Mask,
    /// Guided by all layers, with weights as configured: what the verdict is about.
    Full,
    /// Guided by all layers in equal parts.
    EqualWeights,
    /// Guided by something that is no attention of the text.
    Control,
}

fn label() -> String {
    "label".to_owned()
}

fn seeds() -> Vec<u64> {
    vec![1, 2, 3]
}

impl AblationConfig {
    /// Reads a TOML file; the paths in it are relative to its folder.
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
            for data in &mut config.evaluation.labelled {
                data.path = data_path(folder, &data.path);
            }
        }
        Ok(config)
    }

    /// The arms: the baseline, one with as many weights where encoders read the context, every
    /// subset of the layers with all of them last, equal weights, and the controls.
    ///
    /// A mask is named by its layers in the order of the configuration, `1` where one guides.
    ///
    /// # Panics
    ///
    /// If there are more than four layers, which [`AblationConfig::run_config`] refuses.
    pub fn arms(&self) -> Vec<Arm> {
        let layers = &self.guidance.layers;
        let n = layers.len();
        assert!(n <= MAX_LAYERS, "{n} layers");
        let arm = |name: &str, label: &str, role, guidance| Arm {
            name: name.to_owned(),
            label: label.to_owned(),
            role,
            d_sae: self.sae.d_sae,
            guidance,
        };
        let mut arms = vec![arm("baseline", "no guidance", ArmRole::Baseline, None)];
        if self.guidance.context_encoder {
            // The encoder of all layers is as large as `n` further ones.
            let (name, label) = ("baseline-matched", "no guidance, as many weights");
            let baseline = arm(name, label, ArmRole::Baseline, None);
            arms.push(Arm { d_sae: self.sae.d_sae.saturating_mul(2 + n) / 2, ..baseline });
        }
        let mut masks: Vec<usize> = (1..1_usize << n).collect();
        masks.sort_by_key(|mask| (mask.count_ones(), std::cmp::Reverse(mask.reverse_bits())));
        for mask in masks {
            let chosen: Vec<i32> =
                (0..n).filter(|i| mask >> i & 1 == 1).map(|i| layers[i]).collect();
            let bits: String = (0..n).map(|i| if mask >> i & 1 == 1 { '1' } else { '0' }).collect();
            let role = if chosen.len() == n { ArmRole::Full } else { ArmRole::Mask };
            let names: Vec<String> = chosen.iter().map(|offset| layer_name(*offset)).collect();
            let guidance = GuidanceConfig { layers: chosen, ..self.guidance.clone() };
            arms.push(arm(&format!("mask-{bits}"), &names.join(", "), role, Some(guidance)));
        }
        if n > 1 && self.guidance.layer_weights == LayerWeighting::Learned {
            let guidance =
                GuidanceConfig { layer_weights: LayerWeighting::Uniform, ..self.guidance.clone() };
            let (name, label) = ("equal-weights", "all layers in equal parts");
            arms.push(arm(name, label, ArmRole::EqualWeights, Some(guidance)));
        }
        for (name, label, attention) in [
            ("control-shuffled", "attention of another text", GuidanceSource::Shuffled),
            ("control-local", "window as far back as attention", GuidanceSource::Local),
            ("control-uniform", "all earlier tokens alike", GuidanceSource::Uniform),
        ] {
            let guidance = GuidanceConfig { attention, ..self.guidance.clone() };
            arms.push(arm(name, label, ArmRole::Control, Some(guidance)));
        }
        arms
    }

    /// Checks every key, and makes one run of all arms and seeds, which see the same batches.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Hyperparameter`] if a seed or a name of labelled data stands twice, or there are
    ///   fewer than two seeds, no test contexts, or no or too many layers.
    /// - the errors of [`SaeRunConfig::tasks`].
    pub fn run_config(&self) -> Result<SaeRunConfig, SaeError> {
        let numbers = [
            ("the number of seeds", self.seeds.len(), 2, usize::MAX, "at least 2"),
            ("data.test_contexts", self.data.test_contexts, 1, usize::MAX, "at least 1"),
            (
                "the number of guidance.layers",
                self.guidance.layers.len(),
                1,
                MAX_LAYERS,
                "from 1 to 4",
            ),
        ];
        for (name, value, least, most, expected) in numbers {
            if value < least || value > most {
                return Err(ValueError::new(name, value, expected).into());
            }
        }
        if self.guidance.attention != GuidanceSource::Model {
            let value = format!("{:?}", self.guidance.attention).to_lowercase();
            let (key, expected) =
                ("guidance.attention", "model; the controls are arms of their own");
            return Err(ValueError::new(key, format_args!("`{value}`"), expected).into());
        }
        let names: Vec<&String> = self.evaluation.labelled.iter().map(|data| &data.name).collect();
        if let Some(name) = names.iter().find(|name| names.iter().filter(|n| n == name).count() > 1)
        {
            let (key, expected) = ("evaluation.labelled.name", "names that stand once");
            return Err(ValueError::new(key, format_args!("`{name}`"), expected).into());
        }
        let entry = |arm: Arm| SaeEntry {
            name: arm.name,
            hook: self.sae.hook.clone(),
            architecture: self.sae.architecture,
            d_sae: arm.d_sae,
            seeds: self.seeds.clone(),
            guidance: arm.guidance,
        };
        let config = SaeRunConfig {
            run: self.run.clone(),
            seed: self.seed,
            output: self.output.clone(),
            device: self.device.clone(),
            model: self.model.clone(),
            data: self.data.clone(),
            train: self.train.clone(),
            attention: self.attention,
            saes: self.arms().into_iter().map(entry).collect(),
        };
        let _: Vec<SaeTask> = config.tasks()?;
        Ok(config)
    }
}

/// `L`, or a layer counted from it.
fn layer_name(offset: i32) -> String {
    if offset == 0 { "L".to_owned() } else { format!("L{offset:+}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
run = "ablation"
[model]
name = "demo-gpt2"
[data]
path = "texts.jsonl"
test_contexts = 8
[sae]
hook = "blocks.1.hook_resid_post"
d_sae = 512
architecture = { name = "topk", k = 16 }
[guidance]
alpha = 0.2
"#;

    fn config(from: &str, to: &str) -> AblationConfig {
        toml::from_str(&MINIMAL.replacen(from, to, 1)).unwrap()
    }

    #[test]
    fn every_mask_and_control_is_an_arm() {
        let config = config("", "");
        let arms = config.arms();
        let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
        let expected = [
            "baseline",
            "mask-100",
            "mask-010",
            "mask-001",
            "mask-110",
            "mask-101",
            "mask-011",
            "mask-111",
            "equal-weights",
            "control-shuffled",
            "control-local",
            "control-uniform",
        ];
        assert_eq!(names, expected);
        assert_eq!((arms[5].label.as_str(), arms[7].role), ("L-1, L+1", ArmRole::Full));
        let run = config.run_config().unwrap();
        assert_eq!(run.tasks().unwrap().len(), 36);
        assert!(run.saes[0].guidance.is_none());
        let last = run.saes[11].guidance.as_ref().unwrap();
        assert_eq!((last.attention, last.alpha), (GuidanceSource::Uniform, 0.2));
        let context = config_of_context(&config);
        assert_eq!((context[1].name.as_str(), context[1].d_sae), ("baseline-matched", 1280));
        assert_eq!(context.len(), 13);
        let four = AblationConfig {
            guidance: GuidanceConfig { layers: vec![-2, -1, 0, 1], ..GuidanceConfig::default() },
            ..config
        };
        assert_eq!(four.arms().len(), 1 + 15 + 1 + 3);
    }

    fn config_of_context(config: &AblationConfig) -> Vec<Arm> {
        let guidance = GuidanceConfig { context_encoder: true, ..config.guidance.clone() };
        AblationConfig { guidance, ..config.clone() }.arms()
    }

    #[test]
    fn what_shows_nothing_is_refused() {
        let error = |from: &str, to: &str| config(from, to).run_config().unwrap_err().to_string();
        assert!(error("test_contexts = 8", "").contains("`data.test_contexts` is 0"));
        assert!(error("run =", "seeds = [1]\nrun =").contains("the number of seeds` is 1"));
        assert!(error("run =", "seeds = [1, 1]\nrun =").contains("that stand once"));
        assert!(error("alpha = 0.2", "attention = \"local\"").contains("`guidance.attention`"));
        assert!(error("alpha = 0.2", "layers = []").contains("from 1 to 4"));
        let many: Vec<String> = (-20..50).map(|layer| layer.to_string()).collect();
        let many = format!("layers = [{}]", many.join(", "));
        assert!(error("alpha = 0.2", &many).contains("from 1 to 4"));
        let gated = "architecture = { name = \"gated\", l1 = { value = 1.0 } }";
        let of = "architecture = { name = \"topk\", k = 16 }";
        assert!(error(of, gated).contains("which guidance needs"));
    }
}
