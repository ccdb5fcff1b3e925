//! Saved probes: weights and everything that is needed to use them again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use attention_probes_activations::{
    NpzArray, NpzData, Target, read_npz, write_atomically, write_npz,
};
use attention_probes_errors::{FileAction, FileError, ValueError};
use attention_probes_metrics::{Calibrator, ClassificationReport, Deferral, FprThreshold};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::{
    Kinds, Loss, Optimizer, OutputMetrics, Outputs, ParamArray, Probe, ProbeConfig, ProbeError,
    ProbeState, TrainedOn,
};

/// Version of the file format that is read and written here.
pub const FORMAT_VERSION: u64 = 1;

/// Name of the array that holds the metadata, JSON as bytes.
const METADATA: &str = "metadata";

/// A probe as it lies on disk.
///
/// `<stem>_state.npz` is a plain npz that `numpy.load` reads: the arrays of [`ProbeState`] as
/// `float32`, and `metadata`, the JSON of [`ProbeMetadata`] as `uint8`.
/// The same JSON lies beside it as `<stem>_meta.json`, for people, without the list of texts that
/// the probe was trained on.
/// Only the npz is needed to load the probe.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedProbe {
    /// The weights.
    pub state: ProbeState,
    /// What they are, and how they came about.
    pub metadata: ProbeMetadata,
}

/// What a saved probe is, what it was trained on, and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeMetadata {
    /// Version of the file format, [`FORMAT_VERSION`].
    pub format_version: u64,
    /// Version of this library that saved the probe.
    pub library_version: String,
    /// Kind and sizes of the probe.
    pub config: ProbeConfig,
    /// Model whose activations the probe reads.
    pub model: Option<ModelMetadata>,
    /// Layer that the activations come from, from 0.
    pub layer: Option<usize>,
    /// Layers whose activations stand side by side, ascending, instead of one layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<usize>>,
    /// Where in the layer, such as `resid_post`.
    pub component: Option<String>,
    /// Hook that the activations come from, where it is no component of a layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// Convention of the activations, `raw` or `tl_processed`.
    pub convention: Option<String>,
    /// Task, such as `sequence` or `next_token`.
    pub task: Option<String>,
    /// What a token task looks for.
    pub target: Option<Target>,
    /// Most tokens of a text that the probe was trained on.
    #[serde(default)]
    pub max_tokens: Option<usize>,
    /// What the outputs are.
    #[serde(default, skip_serializing_if = "Outputs::are_classes")]
    pub outputs: Outputs,
    /// Name of each class; of each label, or of the number, if the outputs are these.
    pub class_names: Vec<String>,
    /// Penalty of each output, or of all, if the probe is the solution of a convex problem.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub penalties: Vec<f64>,
    /// How the loss was made small; `None` if a formula gave the probe.
    #[serde(default)]
    pub optimizer: Option<Optimizer>,
    /// Name of what was done beside it, such as `finetune_attn`, or of the formula, such as `lda`.
    #[serde(default)]
    pub recipe: Option<String>,
    /// What training made small; `None` if a formula gave the probe.
    #[serde(default)]
    pub loss: Option<Loss>,
    /// Folds of the cross-validation that chose this weight decay; `None` if none did.
    #[serde(default)]
    pub folds: Option<usize>,
    /// Step size.
    pub learning_rate: Option<f64>,
    /// Weight decay.
    pub weight_decay: Option<f64>,
    /// Passes over the training examples.
    pub epochs: Option<usize>,
    /// Examples per step.
    pub batch_size: Option<usize>,
    /// Seed of initial weights and batches.
    pub seed: u64,
    /// Data that the probe was trained on.
    pub data: Option<DataMetadata>,
    /// Seed that divided the data.
    pub split_seed: Option<u64>,
    /// How good the probe is.
    pub metrics: ProbeMetrics,
    /// Probability of class 1 from which on a binary probe says 1, 0.5 by default.
    pub threshold: f64,
    /// Thresholds that keep to a false-positive rate, on the logit of a binary probe.
    #[serde(default)]
    pub thresholds: Vec<FprThreshold>,
    /// Two thresholds on the logit of a binary probe, between which a text is passed on to a better
    /// judge.
    #[serde(default)]
    pub deferral: Option<Deferral>,
    /// Ways to make better probabilities of the logits, the simplest first.
    #[serde(default)]
    pub calibrators: Vec<Calibrator>,
}

/// The model whose activations a probe reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelMetadata {
    /// Name or Hub id.
    pub name: String,
    /// Revision or hash of the weights.
    pub revision: Option<String>,
}

/// The data that a probe was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataMetadata {
    /// Name of the data set.
    pub name: String,
    /// Hash of its content.
    pub hash: Option<String>,
    /// Number of training examples.
    pub n_train: usize,
    /// Number of validation examples.
    pub n_validation: usize,
    /// Number of test examples.
    pub n_test: usize,
    /// The texts that it was trained or selected on; of older probes none. `<stem>_meta.json`
    /// leaves them out.
    #[serde(default, skip_serializing_if = "TrainedOn::is_empty")]
    pub trained_on: TrainedOn,
}

/// Metrics of a probe on data that it was not trained on, and its training loss.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbeMetrics {
    /// On the data that chose it.
    pub validation: Option<ClassificationReport>,
    /// On data that nothing was chosen by.
    pub test: Option<ClassificationReport>,
    /// On both, if the outputs are no classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<OutputMetrics>,
    /// Mean training loss of the epoch, or the pass of L-BFGS, that the weights belong to; `None` if
    /// the problem was solved without either. Of classes in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_loss: Option<f64>,
}

impl ProbeMetadata {
    /// Makes metadata that says what the probe is and nothing of where it comes from.
    pub fn new(config: ProbeConfig, class_names: Vec<String>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            config,
            model: None,
            layer: None,
            layers: None,
            component: None,
            hook: None,
            convention: None,
            task: None,
            target: None,
            max_tokens: None,
            outputs: Outputs::Classes,
            class_names,
            penalties: Vec::new(),
            optimizer: None,
            recipe: None,
            loss: None,
            folds: None,
            learning_rate: None,
            weight_decay: None,
            epochs: None,
            batch_size: None,
            seed: 0,
            data: None,
            split_seed: None,
            metrics: ProbeMetrics::default(),
            threshold: 0.5,
            thresholds: Vec::new(),
            deferral: None,
            calibrators: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), ProbeError> {
        let n_classes = self.config.n_classes();
        if self.outputs.are_classes() == (n_classes == 0) {
            return Err(ProbeError::Outputs { outputs: self.outputs, n_classes });
        }
        // A number has one name, as one label has.
        let expected = match self.outputs {
            Outputs::Classes => n_classes,
            Outputs::Labels => self.config.n_out(),
            Outputs::Number => 1,
        };
        if self.class_names.len() != expected {
            let (what, found) = ("the number of class names", self.class_names.len());
            return Err(ProbeError::SizeMismatch { what, found, expected });
        }
        if self.outputs == Outputs::Number && self.config.n_out() != 1 {
            let (what, found) = ("the number of outputs", self.config.n_out());
            return Err(ProbeError::SizeMismatch { what, found, expected: 1 });
        }
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err(
                ValueError::new("threshold", self.threshold, "a probability from 0 to 1").into()
            );
        }
        Ok(())
    }

    fn to_json(&self) -> Result<Vec<u8>, ProbeError> {
        let json = serde_json::to_vec_pretty(self);
        let mut json = json.map_err(|source| ProbeError::Metadata { source })?;
        json.push(b'\n');
        Ok(json)
    }

    fn from_json(json: &[u8]) -> Result<Self, ProbeError> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let error = |source| ProbeError::Metadata { source };
        let Version { format_version } = serde_json::from_slice(json).map_err(error)?;
        if format_version != FORMAT_VERSION {
            let expected = FORMAT_VERSION;
            return Err(ProbeError::FormatVersion { found: format_version, expected });
        }
        serde_json::from_slice(json).map_err(error)
    }
}

impl SavedProbe {
    /// Takes the weights of a probe; its config replaces the one in `metadata`.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Device`] if the device does not hand the weights over.
    pub fn from_probe(probe: &Probe, metadata: ProbeMetadata) -> Result<Self, ProbeError> {
        Ok(Self {
            state: probe.state()?,
            metadata: ProbeMetadata { config: probe.config().clone(), ..metadata },
        })
    }

    /// Returns kind and sizes of the probe.
    pub fn config(&self) -> &ProbeConfig {
        &self.metadata.config
    }

    /// Puts the probe on a device.
    ///
    /// # Errors
    ///
    /// As [`Probe::from_state`].
    pub fn to_probe(&self, device: &Device) -> Result<Probe, ProbeError> {
        Probe::from_state(&self.state, self.config(), device)
    }

    /// Writes `<stem>_state.npz` and `<stem>_meta.json` into a folder, which is made if need be.
    ///
    /// Each file is written under a temporary name and renamed, so that a file with the final name
    /// is always whole. The same probe gives the same bytes. Returns the path of the npz.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::FileStem`] if `stem` is no plain file name.
    /// - As [`SavedProbe::load`] if the probe is one that could not be loaded again.
    /// - [`ProbeError::File`] or [`ProbeError::Activation`] if something cannot be written.
    pub fn save(&self, dir: &Path, stem: &str) -> Result<PathBuf, ProbeError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        if stem.is_empty() || stem.starts_with('.') || !stem.chars().all(is_plain) {
            return Err(ProbeError::FileStem { stem: stem.to_owned() });
        }
        self.check()?;
        fs::create_dir_all(dir).map_err(FileError::new(FileAction::MakeFolder, dir))?;

        let json = self.metadata.to_json()?;
        let mut for_people = self.metadata.clone();
        if let Some(data) = &mut for_people.data {
            data.trained_on = TrainedOn::default();
        }
        let for_people = for_people.to_json()?;
        let mut arrays: Vec<(&str, NpzArray)> = self
            .state
            .iter()
            .map(|(name, array)| {
                (name.as_str(), NpzArray::new(array.shape.clone(), array.values.clone()))
            })
            .collect();
        arrays.push((METADATA, NpzArray::new(vec![json.len()], json.clone())));

        let file_error = |source| ProbeError::Activation { source };
        let path = dir.join(format!("{stem}_state.npz"));
        write_npz(&path, &arrays).map_err(file_error)?;
        write_atomically(&dir.join(format!("{stem}_meta.json")), |file| {
            file.write_all(&for_people)
        })
        .map_err(file_error)?;
        Ok(path)
    }

    /// Reads a probe from its `_state.npz`.
    ///
    /// # Errors
    ///
    /// [`ProbeError::InFile`] with the path and, as its source,
    ///
    /// - [`ProbeError::NoMetadata`], [`ProbeError::Metadata`], or [`ProbeError::FormatVersion`] if
    ///   the metadata is not what this version writes,
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], [`ProbeError::ArrayType`],
    ///   [`ProbeError::ArrayShape`], or [`ProbeError::NonFinite`] if the weights are not those that
    ///   the metadata describes,
    /// - [`ProbeError::Hyperparameter`] or [`ProbeError::SizeMismatch`] if the metadata contradicts
    ///   itself;
    ///
    /// [`ProbeError::Activation`] if the file is no npz.
    pub fn load(path: &Path) -> Result<Self, ProbeError> {
        Self::load_with(path, &Kinds::builtin())
    }

    /// As [`SavedProbe::load`], of a probe whose kind may be one of yours.
    ///
    /// # Errors
    ///
    /// As [`SavedProbe::load`]; [`ProbeError::UnknownKind`] if the kind is not among these.
    pub fn load_with(path: &Path, kinds: &Kinds) -> Result<Self, ProbeError> {
        let arrays = read_npz(path).map_err(|source| ProbeError::Activation { source })?;
        Self::from_arrays(arrays, kinds)
            .map_err(|source| ProbeError::InFile { path: path.to_owned(), source: source.into() })
    }

    fn from_arrays(
        mut arrays: BTreeMap<String, NpzArray>,
        kinds: &Kinds,
    ) -> Result<Self, ProbeError> {
        let metadata = arrays.remove(METADATA).ok_or(ProbeError::NoMetadata)?;
        let NpzData::U8(json) = metadata.data else {
            return Err(ProbeError::ArrayType { array: METADATA.to_owned(), expected: "uint8" });
        };
        let mut metadata = ProbeMetadata::from_json(&json)?;
        metadata.config = metadata.config.resolve(kinds)?;
        let mut state = ProbeState::new();
        for (array, NpzArray { shape, data }) in arrays {
            let NpzData::F32(values) = data else {
                return Err(ProbeError::ArrayType { array, expected: "float32" });
            };
            state.insert(array, ParamArray { shape, values });
        }
        let saved = Self { state, metadata };
        saved.check()?;
        Ok(saved)
    }

    fn check(&self) -> Result<(), ProbeError> {
        self.config().check_state(&self.state)?;
        self.metadata.check()
    }
}

/// Names the files of a probe after its setting, as Python's `%.2e` would print the numbers.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::probe_file_stem;
///
/// assert_eq!(probe_file_stem("attention", 1e-3, 0.0), "attention_probe_lr1.00e-03_wd0.00e+00");
/// ```
pub fn probe_file_stem(config_name: &str, learning_rate: f64, weight_decay: f64) -> String {
    let (learning_rate, weight_decay) =
        (python_exponent(learning_rate), python_exponent(weight_decay));
    format!("{config_name}_probe_lr{learning_rate}_wd{weight_decay}")
}

/// Prints a number as Python's `%.2e` does: with a sign and two digits in the exponent.
fn python_exponent(value: f64) -> String {
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, digits) = match exponent.strip_prefix('-') {
                Some(digits) => ('-', digits),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{digits:0>2}")
        }
        None => text.to_lowercase(), // `nan` and `inf`
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_metrics::{Bootstrap, ClassScores};

    use super::*;
    use crate::{Attention, Linear, Mlp};

    fn saved() -> SavedProbe {
        let config = ProbeConfig::new(
            Attention { n_heads: 2, hidden_dim: Some(3), ..Attention::default() },
            4,
            2,
        );
        let class_names = vec!["no".to_owned(), "yes".to_owned()];
        let labels = [0, 1, 1, 0];
        let scores = ClassScores::from_logits(&[-2.2, 1.4, -0.4, -0.8], 2).unwrap();
        let report = ClassificationReport::new(&labels, &scores, &Bootstrap::default()).unwrap();
        let metadata = ProbeMetadata {
            model: Some(ModelMetadata { name: "demo".to_owned(), revision: None }),
            layer: Some(5),
            component: Some("resid_post".to_owned()),
            learning_rate: Some(1e-3),
            weight_decay: Some(0.1 + 0.2),
            metrics: ProbeMetrics { test: Some(report), ..ProbeMetrics::default() },
            ..ProbeMetadata::new(config.clone(), class_names)
        };
        SavedProbe { state: config.init_state(7), metadata }
    }

    #[test]
    fn a_probe_of_each_kind_is_loaded_as_it_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let classes = || vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let configs: [ProbeConfig; 3] = [
            ProbeConfig::new(Linear::default(), 4, 3),
            ProbeConfig::new(Mlp::default(), 4, 3),
            ProbeConfig::new(Attention::default(), 4, 3),
        ];
        for config in configs {
            let probe = config.init(3, &Device::flex()).unwrap();
            let saved =
                SavedProbe::from_probe(&probe, ProbeMetadata::new(config, classes())).unwrap();
            let path = saved.save(dir.path(), "probe").unwrap();
            let loaded = SavedProbe::load(&path).unwrap();
            assert_eq!(loaded, saved);
            assert_eq!(
                loaded.to_probe(&Device::flex()).unwrap().state().unwrap(),
                probe.state().unwrap()
            );
        }
        let path = saved().save(dir.path(), "probe").unwrap();
        assert_eq!(SavedProbe::load(&path).unwrap(), saved());
    }

    #[test]
    fn a_save_leaves_two_files_with_the_same_bytes_every_time() {
        let dir = tempfile::tempdir().unwrap();
        let stem = probe_file_stem("attention", 1e-3, 1e-5);
        let path = saved().save(dir.path(), &stem).unwrap();
        let first = fs::read(&path).unwrap();
        saved().save(dir.path(), &stem).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first);

        let mut names: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "attention_probe_lr1.00e-03_wd1.00e-05_meta.json",
                "attention_probe_lr1.00e-03_wd1.00e-05_state.npz"
            ]
        );
        let json = fs::read(dir.path().join(&names[0])).unwrap();
        assert_eq!(ProbeMetadata::from_json(&json).unwrap(), saved().metadata);
    }

    #[test]
    fn the_npz_holds_the_names_shapes_and_types_of_the_reference() {
        let dir = tempfile::tempdir().unwrap();
        let path = saved().save(dir.path(), "probe").unwrap();
        let arrays = read_npz(&path).unwrap();
        let found: Vec<(&str, &[usize], bool)> = arrays
            .iter()
            .map(|(name, array)| {
                let is_f32 = matches!(array.data, NpzData::F32(_));
                (name.as_str(), array.shape.as_slice(), is_f32)
            })
            .filter(|(name, ..)| *name != METADATA)
            .collect();
        let expected: [(&str, &[usize], bool); 6] = [
            ("o.bias", &[1], true),
            ("o.weight", &[1, 3], true),
            ("position_weight", &[2], true),
            ("q.weight", &[2, 4], true),
            ("v.bias", &[6], true),
            ("v.weight", &[6, 4], true),
        ];
        assert_eq!(found, expected);
        let NpzData::U8(json) = &arrays[METADATA].data else { panic!("metadata is not bytes") };
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        assert_eq!(json["config"]["kind"], "attention");
        assert_eq!(json["layer"], 5);
    }

    #[test]
    fn a_probe_of_a_number_or_of_labels_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let of = |outputs, names: &[&str], n_out| {
            let config = ProbeConfig::of_outputs(Linear::default(), 4, n_out);
            let state = config.init_state(1);
            let names = names.iter().map(|&name| name.to_owned()).collect();
            let metadata = ProbeMetadata { outputs, ..ProbeMetadata::new(config, names) };
            SavedProbe { state, metadata }
        };
        let saved = of(Outputs::Labels, &["a", "b"], 2);
        let path = saved.save(dir.path(), "labels").unwrap();
        assert_eq!(SavedProbe::load(&path).unwrap(), saved);
        for (outputs, names, n_out) in [
            (Outputs::Number, &["a"][..], 2),
            (Outputs::Number, &["a", "b"], 2),
            (Outputs::Labels, &["a"], 2),
            (Outputs::Classes, &["a", "b"], 1),
        ] {
            assert!(of(outputs, names, n_out).save(dir.path(), "wrong").is_err(), "{outputs:?}");
        }
        let mut classes = self::saved();
        classes.metadata.outputs = Outputs::Number;
        let error = classes.save(dir.path(), "wrong").unwrap_err().to_string();
        assert_eq!(
            error,
            "`outputs` is Number and `n_classes` is 2, expected 0 classes unless outputs are classes"
        );
    }

    #[test]
    fn each_fault_of_a_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("broken_state.npz");
        let saved = saved();
        let good = saved.save(dir.path(), "good").unwrap();
        let load = |change: &dyn Fn(&mut BTreeMap<String, NpzArray>)| {
            let mut arrays = read_npz(&good).unwrap();
            change(&mut arrays);
            let arrays: Vec<_> = arrays.iter().map(|(n, a)| (n.as_str(), a.clone())).collect();
            write_npz(&path, &arrays).unwrap();
            let error = SavedProbe::load(&path).unwrap_err();
            assert!(error.to_string().contains("broken_state.npz"), "{error}");
            let source = std::error::Error::source(&error).unwrap();
            source.to_string()
        };
        let json = |arrays: &mut BTreeMap<String, NpzArray>, from: &str, to: &str| {
            let text = serde_json::to_string(&saved.metadata).unwrap();
            assert!(text.contains(from), "{text}");
            let bytes = text.replace(from, to).into_bytes();
            let metadata = NpzArray::new(vec![bytes.len()], bytes);
            arrays.insert(METADATA.to_owned(), metadata);
        };

        let message = load(&|arrays| drop(arrays.remove("metadata")));
        assert!(message.starts_with("there is no array `metadata`"), "{message}");
        let message = load(&|arrays| drop(arrays.remove("q.weight")));
        assert!(message.starts_with("array `q.weight` is missing"), "{message}");
        let message = load(&|arrays| {
            arrays.insert("k.weight".to_owned(), NpzArray::new(vec![1], vec![0.0_f32]));
        });
        assert!(message.starts_with("array `k.weight` is no part of"), "{message}");
        let message = load(&|arrays| arrays.get_mut("q.weight").unwrap().shape = vec![4, 2]);
        assert_eq!(message, "array `q.weight` has shape [4, 2], but the config asks for [2, 4]");
        let message = load(&|arrays| {
            arrays.get_mut("v.bias").unwrap().data = NpzData::F32(vec![f32::NAN; 6]);
        });
        assert_eq!(message, "array `v.bias` holds NaN at index 0; train the probe again");
        let message = load(&|arrays| {
            arrays.get_mut("v.bias").unwrap().data = NpzData::U8(vec![0; 6]);
        });
        assert_eq!(message, "array `v.bias` does not hold float32 numbers; save it as float32");
        let message =
            load(&|arrays| json(arrays, r#""format_version":1"#, r#""format_version":9"#));
        assert!(message.starts_with("format version 9 is unknown, expected 1"), "{message}");
        let message = load(&|arrays| json(arrays, r#""n_heads":2"#, r#""n_heads":0"#));
        assert_eq!(message, "`n_heads` is 0, expected at least 1");
        let huge = format!(r#""n_heads":{}"#, usize::MAX);
        let message = load(&|arrays| json(arrays, r#""n_heads":2"#, &huge));
        assert!(message.contains("expected a smaller number"), "{message}");
        let message = load(&|arrays| json(arrays, r#""threshold":0.5"#, r#""threshold":7.5"#));
        assert_eq!(message, "`threshold` is 7.5, expected a probability from 0 to 1");
        let message = load(&|arrays| json(arrays, r#"["no","yes"]"#, r#"["no"]"#));
        assert_eq!(message, "the number of class names is 1, expected 2");

        fs::write(&path, b"PK but no zip").unwrap();
        assert!(matches!(SavedProbe::load(&path).unwrap_err(), ProbeError::Activation { .. }));
        let absent = dir.path().join("absent_state.npz");
        let error = SavedProbe::load(&absent).unwrap_err();
        assert!(error.to_string().contains("absent_state.npz"), "{error}");
    }

    #[test]
    fn a_stem_never_leaves_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        for stem in ["", ".hidden", "../up", "a/b", "a\\b", "a\0b"] {
            let error = saved().save(dir.path(), stem).unwrap_err();
            assert!(matches!(error, ProbeError::FileStem { .. }), "{stem:?}: {error}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn numbers_print_as_in_python() {
        for (value, expected) in [
            (0.0, "0.00e+00"),
            (1e-5, "1.00e-05"),
            (5e-6, "5.00e-06"),
            (1.0, "1.00e+00"),
            (0.001_25, "1.25e-03"),
            (9.999e-4, "1.00e-03"),
            (1.125, "1.12e+00"), // a tie goes to the even digit
            (1.375, "1.38e+00"),
            (123_456.0, "1.23e+05"),
            (1e-120, "1.00e-120"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(python_exponent(value), expected);
        }
    }
}
