//! What was found about labels other than classes, as it is written and printed.

use attention_probes_activations::LabelKind;
use attention_probes_metrics::ExampleCounts;
use attention_probes_probes::{Optimizer, Pool, SideReport};
use serde::{Deserialize, Serialize};

use crate::results::origin::Origin;
use crate::warning::Warning;

/// One data set at one layer whose labels are no classes: the content of `best.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetReport {
    /// Name of the experiment and of its folder.
    pub experiment: String,
    /// Name of the data set.
    pub data: String,
    /// The layer; `None` where the data are activations, and where several layers are joined.
    pub layer: Option<usize>,
    /// The layers whose rows stand side by side, where several are joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<usize>,
    /// Place in the layer; `None` where the data are activations.
    pub component: Option<String>,
    /// What the results depend on beside the configuration.
    pub origin: Origin,
    /// What a label is.
    pub label_kind: LabelKind,
    /// Name of the number, or of each label or class.
    pub names: Vec<String>,
    /// Number of examples to train on, to choose by, and to judge by.
    #[serde(flatten)]
    pub counts: ExampleCounts,
    /// What a probe has to beat.
    pub baselines: TargetBaselines,
    /// The probe of each architecture.
    pub probes: Vec<TargetProbe>,
    /// What looks wrong in the data or the results; may be empty.
    #[serde(default)]
    pub warnings: Vec<Warning>,
}

/// What a probe has to beat, on the test examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetBaselines {
    /// Always saying the mean of the training labels.
    pub mean: SideReport,
    /// Ridge regression of a number, or logistic regression of labels, on token counts; `None`
    /// where there are no tokens.
    pub bag_of_words: Option<SideReport>,
    /// Its penalty, chosen on validation.
    pub bag_of_words_penalty: Option<f64>,
}

/// The probe of an architecture: with the penalties that validation chose, or the chosen trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetProbe {
    /// Prefix of the file names.
    pub config_name: String,
    /// How a probe that is solved exactly pools tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// Number of penalties that it was chosen from; 0 of a trial.
    pub n_penalties: usize,
    /// The chosen penalty of a probe that is solved exactly: one for all outputs, or one for each
    /// label.
    pub penalties: Vec<f64>,
    /// The trial that validation chose, of a probe that is trained over the grid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<ChosenTrial>,
    /// Its file in `trained/`.
    pub file: String,
    /// On the examples that chose the penalties.
    pub validation: SideReport,
    /// On examples that nothing was chosen by.
    pub test: SideReport,
    /// The same setting trained on shuffled labels, evaluated on test; `None` if not wanted, or if
    /// there is no such probe.
    #[serde(default)]
    pub shuffled_labels: Option<SideReport>,
}

/// The trial of an architecture that had the lowest loss on validation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChosenTrial {
    /// Number of trials it was chosen from.
    pub n_trials: usize,
    /// How it was trained.
    pub optimizer: Optimizer,
    /// Step size; 1 with L-BFGS.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Seed of the initial weights.
    pub seed: u64,
    /// Its loss on validation.
    pub validation_loss: Option<f64>,
}

/// One line of `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetMetrics {
    /// Of a probe that is solved exactly.
    Penalty(PenaltyMetrics),
    /// Of a probe that is trained over the grid.
    Trial(TrialLosses),
}

/// One trial in `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialLosses {
    /// Prefix of the file names of its architecture.
    pub config_name: String,
    /// Step size.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Seed of the initial weights.
    pub seed: u64,
    /// Mean loss on the validation examples; `None` if the trial diverged.
    pub validation_loss: Option<f64>,
    /// Mean loss on the test examples; `None` if the trial diverged.
    pub test_loss: Option<f64>,
}

/// One penalty in `metrics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PenaltyMetrics {
    /// Prefix of the file names of its architecture.
    pub config_name: String,
    /// The label that it is about, where each has a penalty of its own.
    pub output: Option<String>,
    /// The penalty.
    pub penalty: f64,
    /// On validation: R² of a number, else the log loss negated.
    pub validation: f64,
    /// Whether the solver came to the minimum; a fit that did not is never chosen.
    pub converged: bool,
}

impl TargetReport {
    /// The layer, or the layers that stand side by side, and the component where there are several.
    pub fn place_name(&self, has_components: bool) -> String {
        let mut place = match (self.layer, &self.layers[..]) {
            (Some(layer), _) => layer.to_string(),
            (None, []) => "-".to_owned(),
            (None, layers) => layers.iter().map(usize::to_string).collect::<Vec<_>>().join("+"),
        };
        if let Some(component) = self.component.as_ref().filter(|_| has_components) {
            place.push(' ');
            place.push_str(component);
        }
        place
    }

    /// Whether the text of a `best.json` is one of these, and not about classes.
    pub(crate) fn is_in(text: &str) -> bool {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(default)]
            label_kind: LabelKind,
        }
        serde_json::from_str::<Kind>(text).is_ok_and(|found| !found.label_kind.is_class())
    }
}

impl TargetProbe {
    /// What sums up a probe of the same penalties that learned shuffled labels.
    pub fn shuffled_headline(&self) -> Option<f64> {
        self.shuffled_labels.as_ref().and_then(|side| side.headline().1)
    }
}
