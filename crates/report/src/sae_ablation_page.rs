//! An ablation of attention-guided autoencoders.

use attention_probes_metrics::MetricValues;
use serde::{Deserialize, Serialize};

use crate::document::{Template, render};
use crate::error::check_length;
use crate::{Estimate, LayerWeights, ReportError};

const TEMPLATE: Template = Template {
    body: include_str!("../templates/sae_ablation.html"),
    style: concat!(
        include_str!("../templates/bars.css"),
        include_str!("../templates/dots.css"),
        include_str!("../templates/sae_ablation.css"),
    ),
    script: concat!(
        include_str!("../templates/bars.js"),
        include_str!("../templates/dots.js"),
        include_str!("../templates/layer_weights.js"),
        include_str!("../templates/sae_ablation.js"),
    ),
    has_charts: true,
};

/// Autoencoders that were trained alike but for what guided them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SaeAblationPage {
    /// Heading of the page.
    pub title: String,
    /// Model whose activations they read.
    pub model: String,
    /// Where they read them, such as `blocks.5.hook_resid_post`.
    pub hook: String,
    /// What the numbers say, in plain words; may be empty.
    pub verdict: String,
    /// Number of tokens that each was trained on.
    pub n_training_tokens: u64,
    /// Mean number of features that fire on a token, alike in every arm.
    pub l0: f64,
    /// Seeds of every arm.
    pub seeds: Vec<u64>,
    /// The resolved configuration, TOML; may be empty.
    pub config: String,
    /// What is measured; the values of every arm and seed may be absent.
    pub metrics: Vec<MetricValues>,
    /// The arms; the first baseline is what the others are compared with.
    pub arms: Vec<AblationArm>,
}

/// One arm of an ablation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AblationArm {
    /// What tells it from the others, such as `L-1, L`.
    pub name: String,
    /// What it is there for.
    pub kind: ArmKind,
    /// Mean of each metric over the seeds, with its interval, `[n_metrics]`.
    pub values: Vec<Estimate>,
    /// Weight of each layer, step by step, where it has some.
    pub layer_weights: Option<LayerWeights>,
}

/// What an arm is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArmKind {
    /// Without guidance.
    #[default]
    Baseline,
    /// Guided by the attention of some layers.
    Mask,
    /// Guided by something that is no attention of the text.
    Control,
}

impl SaeAblationPage {
    /// Makes the HTML file.
    ///
    /// # Errors
    ///
    /// [`ReportError::Length`] if an arm does not have one value for each metric or weights that do
    /// not fit its layers, or a metric not one number for each arm and seed.
    pub fn to_html(&self) -> Result<String, ReportError> {
        for arm in &self.arms {
            let at = || format!("arm `{}`", arm.name);
            check_length(at, "values", arm.values.len(), self.metrics.len())?;
            if let Some(weights) = &arm.layer_weights {
                weights.check(at)?;
            }
        }
        for metric in &self.metrics {
            let at = || format!("metric `{}`", metric.label);
            if !metric.by_arm.is_empty() {
                check_length(at, "by_arm", metric.by_arm.len(), self.arms.len())?;
            }
            for values in &metric.by_arm {
                check_length(at, "by_arm", values.len(), self.seeds.len())?;
            }
        }
        render(&TEMPLATE, &self.title, self)
    }
}
