//! The history of a run as event files, while it goes on and when it has ended.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use attention_probes_activations::Place;
use attention_probes_errors::FileError;

use super::events::{Events, GrowingEvents, Step};
use crate::config::plan::SweepPlan;
use crate::results::history::HistoryRecord;
use crate::results::saved_run::{SavedExperiment, SavedRun};
use crate::tracker::{ExperimentSite, Tracker};
use crate::{SweepConfig, SweepError};

/// Writes the history of the chosen trials of a run for `tensorboard --logdir`, and returns the
/// folder, `<run>/tensorboard`.
///
/// # Errors
///
/// - as [`SavedRun::read`]
/// - [`SweepError::File`] or [`SweepError::Activation`] if a file cannot be written
pub fn write_tensorboard(folder: &Path) -> Result<PathBuf, SweepError> {
    let run = SavedRun::read(folder)?;
    let logs = run.folder.join("tensorboard");
    let now = seconds();
    for saved in &run.experiments {
        let report = &saved.report;
        let layers: Vec<usize> = report.layers.iter().copied().chain(report.layer).collect();
        let place = folder_of(&run.config, &report.data, &layers, &saved.component());
        let folder = logs.join(place);
        std::fs::create_dir_all(&folder).map_err(FileError::write(&folder))?;
        // TensorBoard looks for `tfevents` in the name; the same name is written over.
        let file = folder.join("events.out.tfevents.0.attention-probes");
        Events { wall_time_s: now, steps: steps(saved) }.write(&file)?;
    }
    Ok(logs)
}

/// Follows a run with event files that grow with every epoch: the trial of each architecture that
/// leads on validation.
///
/// A file that cannot be written never ends a run: the curves stop, and
/// [`TensorBoardTracker::take_error`] says why.
pub struct TensorBoardTracker<'a> {
    plan: &'a SweepPlan,
    /// Files by the name of the experiment; none once one could not be written.
    files: Option<BTreeMap<String, GrowingEvents>>,
    error: Option<io::Error>,
}

impl<'a> TensorBoardTracker<'a> {
    /// Follows the run of a plan.
    pub fn new(plan: &'a SweepPlan) -> Self {
        Self { plan, files: Some(BTreeMap::new()), error: None }
    }

    /// Why there are no more curves, told once.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Appends what leads to the file of its experiment.
    fn append(&mut self, site: &ExperimentSite<'_>, record: &HistoryRecord) -> io::Result<()> {
        let Some(files) = &mut self.files else { return Ok(()) };
        let file = match files.entry(site.experiment.to_owned()) {
            Entry::Occupied(file) => file.into_mut(),
            Entry::Vacant(entry) => {
                let layers = site.place.map_or(&[][..], Place::layers);
                let component = match (site.place, layers) {
                    (None, _) => String::new(),
                    (Some(place), [_]) => place.component().to_string(),
                    // Joined layers are told by the name of the experiment.
                    _ => site.experiment[site.data.len() + 1..].to_owned(),
                };
                let place = folder_of(self.plan.config(), site.data, layers, &component);
                let folder = self.plan.folder().join("tensorboard").join(place);
                // A run that goes on from a checkpoint begins with a later epoch.
                entry.insert(match record.epoch {
                    1 => GrowingEvents::begin(&folder, seconds())?,
                    _ => GrowingEvents::resume(&folder, seconds())?,
                })
            }
        };
        let scalars = scalars(&format!("{}/leading", record.config_name), record).collect();
        file.append(seconds(), Step { step: record.epoch as i64, scalars })
    }
}

impl Tracker for TensorBoardTracker<'_> {
    fn leads(&mut self, site: &ExperimentSite<'_>, record: &HistoryRecord) {
        if let Err(error) = self.append(site, record) {
            self.error = Some(error);
            self.files = None;
        }
    }
}

/// Seconds since 1970.
fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Folder of an experiment among the logs, such as
/// `sentiment-resid_post/probe-layer5-ctx256-all-sentiment-gemma-3-270m`.
///
/// The first part is what the layers of a data set have in common, the second says what was probed:
/// `all` stands for several architectures; a single one is named.
fn folder_of(config: &SweepConfig, data: &str, layers: &[usize], component: &str) -> PathBuf {
    let parts = [data, component];
    let group = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    let kinds = match &config.architectures[..] {
        [only] => only.config_name.as_str(),
        _ => "all",
    };
    if layers.is_empty() {
        return Path::new(&group).join(format!("probe-{kinds}-{data}"));
    }
    let layer = layers.iter().map(usize::to_string).collect::<Vec<_>>().join("+");
    let n_ctx = config.data.iter().find(|one| one.name == data).map_or(0, |data| data.max_tokens);
    let model = config.model.name.trim_end_matches('/');
    let model = model.rsplit('/').next().unwrap_or(model);
    Path::new(&group).join(format!("probe-layer{layer}-ctx{n_ctx}-{kinds}-{data}-{model}"))
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
        steps[index].scalars.extend(scalars(&record.config_name, record));
    }
    steps
}

/// The numbers of a record, under tags that begin alike.
fn scalars(name: &str, record: &HistoryRecord) -> impl Iterator<Item = (String, f32)> {
    let counts = record.validation_counts;
    let values = [
        ("train/loss", record.train_loss),
        ("validation/loss", record.validation_loss),
        ("validation/accuracy", record.validation_accuracy),
        ("validation/balanced_accuracy", record.validation_balanced_accuracy),
        ("validation/auroc", record.validation_auroc),
        ("validation/true_negatives", counts.map(|counts| counts.true_negatives as f64)),
        ("validation/false_positives", counts.map(|counts| counts.false_positives as f64)),
        ("validation/false_negatives", counts.map(|counts| counts.false_negatives as f64)),
        ("validation/true_positives", counts.map(|counts| counts.true_positives as f64)),
    ];
    let tagged = values.map(|(tag, value)| Some((format!("{name}/{tag}"), value? as f32)));
    tagged.into_iter().flatten()
}
