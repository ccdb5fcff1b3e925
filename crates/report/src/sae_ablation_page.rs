//! An ablation of attention-guided autoencoders.

use serde::{Deserialize, Serialize};

use crate::document::{Template, render};
use crate::error::check_length;
use crate::layer_weights::PackedWeights;
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
    /// What is measured.
    pub metrics: Vec<AblationMetric>,
    /// The arms; the first baseline is what the others are compared with.
    pub arms: Vec<AblationArm>,
}

/// One metric of an ablation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AblationMetric {
    /// What it is called.
    pub name: String,
    /// What it says, in a sentence; may be empty.
    pub note: String,
    /// Whether more is better; `None` where neither is.
    pub higher_is_better: Option<bool>,
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
    /// The metrics of each seed, `[n_metrics, n_seeds]`; may be empty.
    pub by_seed: Vec<Vec<f64>>,
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
    /// [`ReportError::Length`] if an arm does not have one value for each metric, not one number
    /// for each seed, or weights that do not fit its layers.
    pub fn to_html(&self) -> Result<String, ReportError> {
        for arm in &self.arms {
            let at = || format!("arm `{}`", arm.name);
            check_length(at, "values", arm.values.len(), self.metrics.len())?;
            if !arm.by_seed.is_empty() {
                check_length(at, "by_seed", arm.by_seed.len(), self.metrics.len())?;
            }
            for values in &arm.by_seed {
                check_length(at, "by_seed", values.len(), self.seeds.len())?;
            }
            if let Some(weights) = &arm.layer_weights {
                weights.check(at)?;
            }
        }
        render(&TEMPLATE, &self.title, &PackedPage::new(self))
    }
}

/// A page as it stands in its file.
#[derive(Serialize)]
struct PackedPage<'a> {
    model: &'a str,
    hook: &'a str,
    verdict: &'a str,
    n_training_tokens: u64,
    l0: f64,
    seeds: &'a [u64],
    config: &'a str,
    metrics: &'a [AblationMetric],
    arms: Vec<PackedArm<'a>>,
}

#[derive(Serialize)]
struct PackedArm<'a> {
    name: &'a str,
    kind: ArmKind,
    values: &'a [Estimate],
    by_seed: &'a [Vec<f64>],
    layer_weights: Option<PackedWeights<'a>>,
}

impl<'a> PackedPage<'a> {
    fn new(page: &'a SaeAblationPage) -> Self {
        let pack = |arm: &'a AblationArm| PackedArm {
            name: &arm.name,
            kind: arm.kind,
            values: &arm.values,
            by_seed: &arm.by_seed,
            layer_weights: arm.layer_weights.as_ref().map(LayerWeights::pack),
        };
        Self {
            model: &page.model,
            hook: &page.hook,
            verdict: &page.verdict,
            n_training_tokens: page.n_training_tokens,
            l0: page.l0,
            seeds: &page.seeds,
            config: &page.config,
            metrics: &page.metrics,
            arms: page.arms.iter().map(pack).collect(),
        }
    }
}
