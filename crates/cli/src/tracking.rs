//! What a run leaves for programs that draw curves of many runs.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use attention_probes_sweep::{HistoryRecord, SavedExperiment, SavedRun};
use clap::ValueEnum;
use tracing::info;

use crate::sweep_page::component;
use crate::tensorboard::{Events, Step};

/// A program that draws curves of many runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Track {
    /// Event files in the run's folder, for `tensorboard --logdir`.
    Tensorboard,
}

/// Writes the history of the chosen trials of a run for every program that was asked for.
///
/// # Errors
///
/// If the run cannot be read back, or a file cannot be written.
pub fn track(folder: &Path, programs: &[Track]) -> Result<()> {
    if programs.contains(&Track::Tensorboard) {
        let run = SavedRun::read(folder)?;
        let logs = run.folder.join("tensorboard");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |t| t.as_secs_f64());
        for saved in &run.experiments {
            let folder = logs.join(group(saved)).join(name(&run, saved));
            std::fs::create_dir_all(&folder)?;
            // TensorBoard looks for `tfevents` in the name; the same name is written over.
            let file = folder.join("events.out.tfevents.0.attention-probes");
            Events { wall_time_s: now, steps: steps(saved) }.write(&file)?;
        }
        info!("wrote `{}`, for tensorboard --logdir", logs.display());
    }
    Ok(())
}

/// What the layers of a data set have in common, such as `sentiment-resid_post`.
fn group(saved: &SavedExperiment) -> String {
    let parts = [saved.report.data.clone(), component(saved)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// A name that says what was probed, such as `probe-layer5-ctx256-all-sentiment-gemma-3-270m`.
///
/// `all` stands for several architectures; a single one is named.
fn name(run: &SavedRun, saved: &SavedExperiment) -> String {
    let report = &saved.report;
    let kinds = match &run.config.architectures[..] {
        [only] => only.config_name.as_str(),
        _ => "all",
    };
    let layers: Vec<String> =
        report.layers.iter().chain(&report.layer).map(usize::to_string).collect();
    if layers.is_empty() {
        return format!("probe-{kinds}-{}", report.data);
    }
    let layer = layers.join("+");
    let data = run.config.data.iter().find(|data| data.name == report.data);
    let n_ctx = data.map_or(0, |data| data.max_tokens);
    let model = run.config.model.name.trim_end_matches('/');
    let model = model.rsplit('/').next().unwrap_or(model);
    format!("probe-layer{layer}-ctx{n_ctx}-{kinds}-{}-{model}", report.data)
}

/// The chosen trial of every architecture after every epoch.
fn steps(saved: &SavedExperiment) -> Vec<Step> {
    let is_chosen = |record: &HistoryRecord| {
        saved.report.architectures.iter().any(|chosen| {
            chosen.config_name == record.config_name
                && chosen.learning_rate.to_bits() == record.learning_rate.to_bits()
                && chosen.weight_decay.to_bits() == record.weight_decay.to_bits()
                && chosen.seed == record.seed
        })
    };
    let mut steps: Vec<Step> = Vec::new();
    for record in saved.history.iter().filter(|record| is_chosen(record)) {
        let step = record.epoch as i64;
        let index = steps.iter().position(|known| known.step == step).unwrap_or_else(|| {
            steps.push(Step { step, scalars: Vec::new() });
            steps.len() - 1
        });
        steps[index].scalars.extend(scalars(record));
    }
    steps
}

fn scalars(record: &HistoryRecord) -> impl Iterator<Item = (String, f32)> {
    let counts = record.validation_counts;
    let values = [
        ("train/loss", record.train_loss),
        ("validation/loss", record.validation_loss),
        ("validation/accuracy", Some(record.validation_accuracy)),
        ("validation/balanced_accuracy", Some(record.validation_balanced_accuracy)),
        ("validation/auroc", record.validation_auroc),
        ("validation/true_negatives", counts.map(|counts| counts.true_negatives as f64)),
        ("validation/false_positives", counts.map(|counts| counts.false_positives as f64)),
        ("validation/false_negatives", counts.map(|counts| counts.false_negatives as f64)),
        ("validation/true_positives", counts.map(|counts| counts.true_positives as f64)),
    ];
    let name = &record.config_name;
    let tagged = values.map(|(tag, value)| Some((format!("{name}/{tag}"), value? as f32)));
    tagged.into_iter().flatten()
}
