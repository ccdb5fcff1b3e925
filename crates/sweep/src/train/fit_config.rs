//! How long and in which steps trials train, and how they predict.

use attention_probes_errors::Stop;
use burn::tensor::Device;

use crate::config::SelectBy;
use crate::config::selection::Keep;
use crate::train::early_stopping::Race;

/// How long and in which steps trials train.
#[derive(Clone, Debug, PartialEq)]
pub struct FitConfig {
    /// Passes over the training examples, at most.
    pub epochs: usize,
    /// Examples per step.
    pub batch_size: usize,
    /// Seed of the order of the examples, and of folds.
    pub seed: u64,
    /// Metric that chooses a trial.
    pub select_by: SelectBy,
    /// Epochs without a better score of its best trial after which the training of a group stops; 0
    /// never.
    pub patience: usize,
    /// Which weights of a trial are kept.
    pub keep: Keep,
    /// Which trials go on after some epochs; all of them, if this is not given.
    pub race: Option<Race>,
    /// Asked once a batch, and once a pass of L-BFGS; given, the training ends with
    /// [`SweepError::Stopped`](crate::SweepError::Stopped).
    pub stop: Stop,
    /// Where kinds of probes without a host kernel are differentiated.
    pub device: Device,
}

impl FitConfig {
    /// What trials of any group are stacked with.
    pub(crate) fn stack(&self) -> StackConfig {
        StackConfig { seed: self.seed, device: self.device.clone() }
    }

    /// How the same examples are predicted.
    pub(crate) fn prediction(&self) -> PredictConfig {
        PredictConfig { batch_size: self.batch_size, device: self.device.clone() }
    }
}

/// What trials of any group are stacked with.
#[derive(Clone, Debug)]
pub(crate) struct StackConfig {
    /// Seed of dropout.
    pub(crate) seed: u64,
    /// Where kinds without a host kernel are differentiated.
    pub(crate) device: Device,
}

/// How [`predict_logits`](crate::predict_logits) goes through examples.
#[derive(Clone, Debug)]
pub struct PredictConfig {
    /// Examples of one pass.
    pub batch_size: usize,
    /// Where kinds without a host kernel pass forward.
    pub device: Device,
}
