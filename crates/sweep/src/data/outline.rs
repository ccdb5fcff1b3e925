//! What a sweep would do, as far as it is known before anything is trained.

use std::time::Instant;

use attention_probes_activations::{
    ActivationSource as _, ExampleSet, LabelKind, MemoryActivations, PlaceSites, Split, Storage,
};
use attention_probes_kernels::{Matrix, Write, matmul};
use attention_probes_models::LanguageModel;
use attention_probes_probes::Optimizer;
use serde::Serialize;

use crate::SweepError;
use crate::data::data_run::{DataRun, Input};
use crate::data::input::{LabelledActivations, Texts};
use crate::tracker::NoTracker;

/// Most tokens that the model is timed on.
const TIMED_TOKENS: usize = 2048;

/// Passes over the training examples of a probe that trains until it stops getting better: the mean
/// over the demo's data sets.
const TYPICAL_EPOCHS: f64 = 25.0;

/// Passes over the training examples of an exact solver, for each penalty.
const TYPICAL_ITERATIONS: f64 = 40.0;

/// Share of a large product's rate at which training runs; the rest is what happens between products.
const TRAINING_RATE: f64 = 0.5;

/// What a sweep would do, as far as it is known before anything is trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SweepOutline {
    /// Layers of the model that are read, ascending; empty where it is not read.
    pub layers: Vec<usize>,
    /// Data sets, in order.
    pub data: Vec<DataOutline>,
}

/// What would be done with a data set.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataOutline {
    /// Its name.
    pub name: String,
    /// Whether an earlier run has finished it; nothing else is said of it then.
    pub is_complete: bool,
    /// What a label is.
    pub label_kind: LabelKind,
    /// Classes with their examples; empty where labels are not classes.
    pub classes: Vec<ClassCount>,
    /// Examples to train on.
    pub n_train: usize,
    /// Validation examples.
    pub n_validation: usize,
    /// Test examples.
    pub n_test: usize,
    /// Tokens that are read, each once.
    pub n_tokens: usize,
    /// Names of the experiments: one for each place where probes read.
    pub experiments: Vec<String>,
    /// Bytes of the activations: of texts at all places, of stored activations at one, since these
    /// are read one after the other.
    pub activations_bytes: u64,
    /// Where they are kept.
    pub storage: Storage,
    /// Bytes of the parameters of all trials that train together, with what their optimizer keeps.
    pub training_bytes: u64,
    /// Seconds that the model takes, estimated from one batch; 0 where the data are activations.
    pub model_seconds: f64,
    /// Seconds that training takes, estimated from the rate of one product and typical numbers of
    /// epochs.
    pub training_seconds: f64,
}

/// A class and the number of its examples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassCount {
    /// The class.
    pub class: String,
    /// Number of examples.
    pub n_examples: usize,
}

impl SweepOutline {
    /// Seconds of all data sets together.
    pub fn seconds(&self) -> f64 {
        self.data.iter().map(|data| data.model_seconds + data.training_seconds).sum()
    }
}

impl DataRun<'_> {
    /// Checks the data set as a run does, and says what a run would do with it.
    pub(crate) fn outline(&self, model: Option<&LanguageModel>) -> Result<DataOutline, SweepError> {
        let places = self.places(model)?;
        let experiments = self.experiments(&places).into_iter().map(|(_, name)| name).collect();
        let blank = DataOutline {
            name: self.config().name.clone(),
            is_complete: false,
            label_kind: self.config().label_kind(),
            classes: Vec::new(),
            n_train: 0,
            n_validation: 0,
            n_test: 0,
            n_tokens: 0,
            experiments,
            activations_bytes: 0,
            storage: Storage::Memory,
            training_bytes: 0,
            model_seconds: 0.0,
            training_seconds: 0.0,
        };
        match (self.input(model, false, &mut NoTracker)?, model, &self.activations) {
            (Input::Texts(texts), Some(model), _) => self.outline_texts(blank, &texts, model),
            (Input::Activations(left_out), _, Some(sites)) => {
                let seed = self.plan.config().seed;
                // Those of several layers are read one after the other.
                let LabelledActivations { external, examples, split, .. } =
                    LabelledActivations::read(self.config(), (sites, 0), &left_out, seed)?;
                let n_tokens = external.offsets.last().copied().unwrap_or_default();
                let activations_bytes = 4 * (n_tokens * external.d_model) as u64;
                let outline = DataOutline { n_tokens, activations_bytes, ..blank };
                Ok(self.outline_training(outline, (&examples, &split), external.d_model))
            }
            _ => Ok(DataOutline { is_complete: true, ..blank }),
        }
    }

    fn outline_texts(
        &self,
        blank: DataOutline,
        texts: &Texts,
        model: &LanguageModel,
    ) -> Result<DataOutline, SweepError> {
        let config = self.plan.config();
        let places = self.places(Some(model))?;
        let sites = PlaceSites::new(&places);
        let capture = self.capture(texts, model, &sites);
        let sequences = texts.examples.sequences();
        let length = |sequence: &usize| texts.tokens.sequence(*sequence).len();
        let n_tokens: usize = sequences.iter().map(length).sum();
        let choice = self.storage(model).choose(&capture, &sequences)?;
        let (activations_bytes, storage) = (choice.needed_bytes, choice.storage);

        let mut n_timed = 0;
        let timed: Vec<usize> = sequences
            .iter()
            .copied()
            .take_while(|sequence| {
                let takes = n_timed < TIMED_TOKENS;
                n_timed += if takes { length(sequence) } else { 0 };
                takes
            })
            .collect();
        let started = Instant::now();
        let rows = MemoryActivations::capture(&capture, &timed, &mut |_, _| {})?;
        let seconds_per_token = started.elapsed().as_secs_f64() / n_timed.max(1) as f64;
        let n_passes = if storage == Storage::Recompute { self.n_epochs() } else { 1.0 };
        let outline = DataOutline {
            n_tokens,
            activations_bytes,
            storage,
            model_seconds: seconds_per_token * n_tokens as f64 * n_passes,
            ..blank
        };
        let split = texts.split(self.config(), &texts.examples, config.seed)?;
        let d_model =
            places.first().map_or(rows.d_model(), |place| place.width(model.model.shape()));
        Ok(self.outline_training(outline, (&texts.examples, &split), d_model))
    }

    /// Counts of the examples, and what training takes.
    fn outline_training(
        &self,
        outline: DataOutline,
        (examples, split): (&ExampleSet, &Split),
        d_model: usize,
    ) -> DataOutline {
        let config = self.plan.config();
        let is_class = self.config().label_kind().is_class();
        let class =
            |(class, n_examples): (&String, usize)| ClassCount { class: class.clone(), n_examples };
        let classes = if is_class {
            examples.classes.iter().zip(examples.class_counts()).map(class).collect()
        } else {
            Vec::new()
        };
        let n_train_tokens: usize = split.train.iter().map(|&i| examples.examples[i].end).sum();
        let n_classes = if is_class { examples.classes.len() } else { 2 };
        let rate = TRAINING_RATE * product_rate();
        let (mut n_params, mut seconds) = (0, 0.0);
        for (index, architecture) in config.architectures.iter().enumerate() {
            let probe = self.plan.probe(index, d_model, n_classes);
            let of_trial = probe.n_params() as usize;
            let n_trials = self.plan.trials_of(index).len();
            let n_rows = match probe.kind().reads().pool() {
                Some(_) => split.train.len(),
                None => n_train_tokens,
            };
            let n_passes = match architecture.optimizer() {
                Optimizer::Lbfgs => TYPICAL_ITERATIONS,
                Optimizer::AdamW => self.n_epochs(),
            };
            n_params += of_trial * n_trials;
            // Forward, and the gradients of the activations' products, are two products of a
            // multiplication and an addition each.
            seconds += 4.0 * (of_trial * n_trials) as f64 * n_rows as f64 * n_passes / rate;
        }
        let n_places = outline.experiments.len();
        DataOutline {
            classes,
            n_train: split.train.len(),
            n_validation: split.validation.len(),
            n_test: split.test.len(),
            // Parameters, and two moments of each.
            training_bytes: (3 * 4 * n_params * n_places) as u64,
            training_seconds: seconds * n_places as f64,
            ..outline
        }
    }

    /// Passes over the training examples.
    fn n_epochs(&self) -> f64 {
        let grid = &self.plan.config().sweep;
        let most = grid.most_epochs() as f64;
        if grid.patience() > 0 { TYPICAL_EPOCHS.min(most) } else { most }
    }
}

/// Floating-point operations per second of a product on the host.
fn product_rate() -> f64 {
    let n = 384;
    let (a, mut c) = (vec![0.5_f32; n * n], vec![0.0_f32; n * n]);
    let product = |c: &mut [f32]| {
        let started = Instant::now();
        matmul(c, Matrix::new(&a, n, n), Matrix::new(&a, n, n), Write::Replace);
        started.elapsed().as_secs_f64()
    };
    // The first starts the threads.
    let _ = product(&mut c);
    let fastest = (0..3).map(|_| product(&mut c)).fold(f64::INFINITY, f64::min);
    2.0 * (n * n * n) as f64 / fastest.max(1e-9)
}
