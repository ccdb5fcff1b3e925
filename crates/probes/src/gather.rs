//! Labelled activations from texts, from files, and from rows that are there already.

use attention_probes_activations::{
    ExternalActivations, Labels, Place, SplitConfig, rows_key, stratified_split,
};
use attention_probes_models::host_values;
use burn::tensor::{Device, Tensor, TensorData};

use crate::{
    DataMetadata, ModelMetadata, Outputs, ProbeConfig, ProbeError, ProbeMetadata, TrainedOn,
    TrainingData,
};

/// Where labelled activations come from: what a probe that is trained on them knows of its data.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataOrigin {
    pub(crate) name: String,
    pub(crate) hash: Option<String>,
    pub(crate) model: Option<ModelMetadata>,
    pub(crate) place: Option<Place>,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) task: Option<String>,
    /// A number of each example that equal ones share.
    pub(crate) keys: Vec<u64>,
}

impl DataOrigin {
    /// That of some examples.
    pub(crate) fn part(&self, examples: &[usize]) -> Self {
        let key = |&example: &usize| self.keys.get(example).copied();
        let keys = examples.iter().filter_map(key).collect();
        Self { keys, ..self.clone() }
    }
}

/// The sides of a division of labelled activations.
#[derive(Clone, Debug)]
pub struct DataSides {
    /// Examples to train on.
    pub train: TrainingData,
    /// Examples to choose by; `None` if none are wanted.
    pub validation: Option<TrainingData>,
    /// Examples that nothing is chosen by; `None` if none are wanted.
    pub test: Option<TrainingData>,
}

impl TrainingData {
    /// Takes activations that another program made.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::SizeMismatch`] if they have no labels.
    /// - as [`TrainingData::new`].
    ///
    /// # Memory
    ///
    /// The activations, padded to the longest example.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::{ExternalActivations, NpzArray, write_npz};
    /// use attention_probes::probes::TrainingData;
    /// use burn::tensor::Device;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("mine.npz");
    /// let x = NpzArray::new(vec![2, 3], vec![0.5_f32, 1.0, -1.0, 0.25, -0.5, 2.0]);
    /// write_npz(&path, &[("x", x), ("y", NpzArray::new(vec![2], vec![1_i64, 0]))])?;
    /// let data = TrainingData::from_external(&ExternalActivations::read(&path)?, &Device::default())?;
    /// assert_eq!((data.n_examples(), data.d_model(), data.classes()), (2, 3, &[1, 0][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_external(
        activations: &ExternalActivations,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        let lengths: Vec<usize> =
            activations.offsets.windows(2).map(|ends| ends[1] - ends[0]).collect();
        let labels = activations.targets.clone().unwrap_or_else(|| {
            let classes = activations.labels.clone().unwrap_or_default();
            Labels::of_classes(classes, activations.classes.clone())
        });
        let data = Self::from_rows(&activations.x, &lengths, labels, device)?;
        let origin = DataOrigin {
            hash: Some(activations.hash.clone()),
            model: activations
                .origin
                .model
                .clone()
                .map(|name| ModelMetadata { name, revision: activations.origin.revision.clone() }),
            ..data.origin.clone()
        };
        let n_left_out = activations.skipped.len();
        Ok(data.of_rows(&activations.source_rows, n_left_out).with_origin(origin))
    }

    /// Takes rows, the tokens of one example after those of the other.
    ///
    /// # Shapes
    ///
    /// - `rows`: `[n_tokens, d_model]`, row-major
    /// - `lengths`: `[n_examples]`, the tokens of each example, at least 1
    ///
    /// # Errors
    ///
    /// - [`ProbeError::SizeMismatch`] if the rows are not as many as the lengths say.
    /// - [`ProbeError::NoRealToken`] if a length is 0.
    /// - as [`TrainingData::new`].
    ///
    /// # Memory
    ///
    /// The rows, padded to the longest example.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::probes::{Labels, TrainingData};
    /// use burn::tensor::Device;
    ///
    /// // Two tokens, then one token, each two wide.
    /// let rows = [0.5, 1.0, -1.0, 0.25, -0.5, 2.0];
    /// let labels = Labels::numbered(vec![1, 0], 2);
    /// let data = TrainingData::from_rows(&rows, &[2, 1], labels, &Device::default())?;
    /// assert_eq!((data.d_model(), data.lengths()), (2, &[2, 1][..]));
    /// # Ok::<(), attention_probes::probes::ProbeError>(())
    /// ```
    pub fn from_rows(
        rows: &[f32],
        lengths: &[usize],
        labels: Labels,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        if let Some(example) = lengths.iter().position(|&length| length == 0) {
            return Err(ProbeError::NoRealToken { example });
        }
        let n_tokens: usize = lengths.iter().sum();
        let d_model = rows.len().checked_div(n_tokens).unwrap_or(0);
        let (found, expected) = (rows.len(), n_tokens * d_model);
        if found != expected || d_model == 0 {
            let what = "the number of values";
            return Err(ProbeError::SizeMismatch { what, found, expected });
        }
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut x = Vec::with_capacity(lengths.len() * longest * d_model);
        let mut padding = Vec::with_capacity(lengths.len() * longest);
        let (mut rest, mut keys) = (rows, Vec::with_capacity(lengths.len()));
        for length in lengths {
            let (own, others) = rest.split_at(length * d_model);
            rest = others;
            keys.push(rows_key(own));
            x.extend_from_slice(own);
            x.resize(x.len() + (longest - length) * d_model, 0.0);
            padding.extend((0..longest).map(|position| position >= *length));
        }
        let x = TensorData::new(x, [lengths.len(), longest, d_model]);
        let padding = TensorData::new(padding, [lengths.len(), longest]);
        let (x, padding) = (Tensor::from_data(x, device), Tensor::from_data(padding, device));
        let data = Self::new(x, padding, labels)?;
        let keys = data.kept().iter().map(|&example| keys[example]).collect();
        Ok(data.with_origin(DataOrigin { keys, ..DataOrigin::default() }))
    }

    /// Divides the examples by class; equal ones are on one side.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Activation`] if the shares are out of range, or there are too few examples.
    /// - as [`TrainingData::new`], if a side is left with one class.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::SplitConfig;
    /// use attention_probes::probes::{Labels, TrainingData};
    /// use burn::tensor::Device;
    ///
    /// let rows: Vec<f32> = (0..20).map(|i| i as f32).collect();
    /// let labels = Labels::numbered((0..20).map(|i| i % 2).collect(), 2);
    /// let data = TrainingData::from_rows(&rows, &[1; 20], labels, &Device::default())?;
    /// let sides = data.split(&SplitConfig { validation: 0.0, test: 0.2, seed: 1 })?;
    /// let test = sides.test.ok_or("a fifth was asked for")?;
    /// assert_eq!((sides.train.n_examples(), test.n_examples()), (16, 4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split(&self, config: &SplitConfig) -> Result<DataSides, ProbeError> {
        let split = stratified_split(&self.labels().strata(), self.groups().as_deref(), config)?;
        let side = |examples: &[usize]| (!examples.is_empty()).then(|| self.select(examples));
        Ok(DataSides {
            train: self.select(&split.train),
            validation: side(&split.validation),
            test: side(&split.test),
        })
    }

    /// The examples on the host without padding, as a file of activations holds them;
    /// [`MemoryActivations`](attention_probes_activations::MemoryActivations) of them are a source for
    /// sweeps and autoencoders.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Device`] if the device does not hand over the activations.
    ///
    /// # Memory
    ///
    /// The activations once more.
    pub fn to_external(&self) -> Result<ExternalActivations, ProbeError> {
        let padded = host_values(self.x().clone())?;
        let (d_model, lengths) = (self.d_model(), self.lengths());
        let per_example = padded.len() / lengths.len();
        let mut x = Vec::with_capacity(padded.len());
        for (example, &length) in padded.chunks_exact(per_example).zip(lengths) {
            x.extend_from_slice(&example[..length * d_model]);
        }
        let external = ExternalActivations::from_rows(x, lengths, self.labels())?;
        Ok(ExternalActivations {
            groups: self.groups(),
            source_rows: self.kept().to_vec(),
            ..external
        })
    }

    /// Group of each example, of which equal texts, or equal rows, are one; `None` if none are equal.
    pub fn groups(&self) -> Option<Vec<usize>> {
        let keys = &self.origin.keys;
        (keys.len() == self.n_examples()).then(|| groups_of(keys)).flatten()
    }

    /// Where in a model the activations were read; `None` if that is not known.
    pub fn place(&self) -> Option<&Place> {
        self.origin.place.as_ref()
    }

    /// Metadata of a probe that is trained on these examples: what it is, and where it reads.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::probes::{Labels, Linear, ProbeConfig, TrainingData};
    /// use burn::tensor::Device;
    ///
    /// let labels = Labels::numbered(vec![1, 0], 2);
    /// let data = TrainingData::from_rows(&[1.0, -1.0], &[1, 1], labels, &Device::default())?;
    /// let metadata = data.metadata(&ProbeConfig::new(Linear::default(), 1, 2));
    /// assert_eq!(metadata.class_names, ["0", "1"]);
    /// assert_eq!(metadata.data.map(|data| data.n_train), Some(2));
    /// # Ok::<(), attention_probes::probes::ProbeError>(())
    /// ```
    pub fn metadata(&self, config: &ProbeConfig) -> ProbeMetadata {
        let DataOrigin { name, hash, model, place, max_tokens, task, keys } = &self.origin;
        let mut metadata = ProbeMetadata::new(config.clone(), self.class_names().to_vec());
        metadata.outputs = Outputs::of(self.labels().kind());
        let mut metadata = match place {
            Some(place) => metadata.reading(place),
            None => metadata,
        };
        metadata.model.clone_from(model);
        metadata.max_tokens = *max_tokens;
        metadata.task.clone_from(task);
        metadata.data = Some(DataMetadata {
            name: name.clone(),
            hash: hash.clone(),
            n_train: self.n_examples(),
            n_validation: 0,
            n_test: 0,
            trained_on: TrainedOn::new(keys.iter().copied()),
        });
        metadata
    }
}

/// Numbers of groups, in which equal examples are together; `None` if none are equal.
fn groups_of(keys: &[u64]) -> Option<Vec<usize>> {
    let mut known = std::collections::HashMap::new();
    let groups: Vec<usize> = keys
        .iter()
        .map(|key| {
            let next = known.len();
            *known.entry(*key).or_insert(next)
        })
        .collect();
    (known.len() < keys.len()).then_some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> TrainingData {
        let rows: Vec<f32> = (0..24).map(|i| (i / 2) as f32).collect();
        let labels = Labels::numbered((0..24).map(|i| i / 2 % 2).collect(), 2);
        TrainingData::from_rows(&rows, &[1; 24], labels, &Device::flex()).unwrap()
    }

    #[test]
    fn equal_examples_are_on_one_side() {
        let sides = data().split(&SplitConfig::default()).unwrap();
        let values = |data: &TrainingData| -> Vec<u32> {
            let x = attention_probes_models::host_values(data.x().clone()).unwrap();
            x.into_iter().map(|value| value as u32).collect()
        };
        let (train, test) = (values(&sides.train), values(&sides.test.unwrap()));
        assert!(!test.is_empty() && test.iter().all(|value| !train.contains(value)));
        assert_eq!(test.len() % 2, 0);
    }

    #[test]
    fn rows_that_do_not_fit_their_lengths_are_refused() {
        let labels = || Labels::numbered(vec![0, 1], 2);
        let from = |rows: &[f32], lengths: &[usize]| {
            TrainingData::from_rows(rows, lengths, labels(), &Device::flex()).unwrap_err()
        };
        assert_eq!(from(&[1.0; 5], &[1, 1]).to_string(), "the number of values is 5, expected 4");
        assert!(matches!(from(&[1.0; 4], &[2, 0]), ProbeError::NoRealToken { example: 1 }));
        assert!(matches!(from(&[], &[1, 1]), ProbeError::SizeMismatch { .. }));
    }
}
