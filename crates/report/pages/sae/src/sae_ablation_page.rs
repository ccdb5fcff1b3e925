//! The page of an ablation of guidance.

use std::path::Path;

use attention_probes_metrics::{MetricValues, SeedSummary};
use attention_probes_report::{AblationArm, ArmKind, Estimate, LayerWeights, SaeAblationPage};
use attention_probes_sae::ablation::{AblationReport, ArmReport, ArmRole};
use attention_probes_sae::{SaeError, read_guidance, read_sae};
use serde_json::Value;

use crate::guidance::layer_weights;

/// Share of seeds that an interval is to hold.
const LEVEL: f64 = 0.95;

/// The page of an ablation: every arm with its metrics, their intervals, and the weights of layers,
/// which are read from the folders of the autoencoders.
///
/// # Errors
///
/// - the errors of [`read_sae`] and [`read_guidance`].
/// - [`SaeError::File`] if the configuration cannot be shown, because a path is not UTF-8.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::pages::sae::sae_ablation_page;
/// use attention_probes::sae::SaeRunOptions;
/// use attention_probes::sae::ablation::{AblationConfig, run_ablation};
/// use burn::tensor::Device;
///
/// let config = AblationConfig::read("ablation.toml")?;
/// let report = run_ablation(&config, &SaeRunOptions::new(&Device::default()))?;
/// std::fs::write("ablation.html", sae_ablation_page(&report)?.to_html()?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sae_ablation_page(report: &AblationReport) -> Result<SaeAblationPage, SaeError> {
    let AblationReport { config, seeds, arms, metrics, verdict } = report;
    let first = seeds.first().copied().unwrap_or_default();
    let l0 = metrics.iter().find(|metric| metric.name == "l0");
    let l0 = l0.map(|metric| metric.by_arm[0].iter().sum::<f64>() / seeds.len() as f64);
    let n_training_tokens = match arms.first() {
        Some(arm) => trained_tokens(&report.folder_of(arm, first))?,
        None => 0,
    };
    let page_arms = arms.iter().enumerate().map(|(i, arm)| {
        let weights = weights_of(&report.folder_of(arm, first))?;
        Ok(page_arm(metrics, (i, arm), weights))
    });
    Ok(SaeAblationPage {
        title: format!("Does attention guide? {}", config.run),
        model: config.model.name.clone(),
        hook: config.sae.hook.clone(),
        verdict: verdict.text.clone(),
        n_training_tokens,
        l0: l0.unwrap_or_default(),
        seeds: seeds.clone(),
        config: report.config_toml()?,
        metrics: metrics.clone(),
        arms: page_arms.collect::<Result<_, SaeError>>()?,
    })
}

fn page_arm(
    metrics: &[MetricValues],
    (i, arm): (usize, &ArmReport),
    layer_weights: Option<LayerWeights>,
) -> AblationArm {
    let estimate = |metric: &MetricValues| match SeedSummary::new(&metric.by_arm[i], LEVEL) {
        Ok(summary) => Estimate::from((summary.mean, summary.interval)),
        Err(_) => Estimate::from(f64::NAN),
    };
    AblationArm {
        name: arm.label.clone(),
        kind: match arm.role {
            ArmRole::Baseline => ArmKind::Baseline,
            ArmRole::Mask | ArmRole::Full | ArmRole::EqualWeights => ArmKind::Mask,
            ArmRole::Control => ArmKind::Control,
        },
        values: metrics.iter().map(estimate).collect(),
        layer_weights,
    }
}

/// Tokens that an autoencoder saw, as its file says.
fn trained_tokens(folder: &Path) -> Result<u64, SaeError> {
    let sae = read_sae(folder)?;
    let tokens = sae.config.metadata.get("training_tokens");
    Ok(tokens.and_then(Value::as_u64).unwrap_or_default())
}

/// Weights of layers of the autoencoder of a folder.
fn weights_of(folder: &Path) -> Result<Option<LayerWeights>, SaeError> {
    Ok(read_guidance(folder)?.as_ref().and_then(layer_weights))
}
