//! The history of a training, a line of JSON for each point.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use attention_probes_activations::write_atomically;
use attention_probes_errors::FileError;
use serde::{Deserialize, Serialize};

use super::config::SaeTask;
use crate::{SaeError, StepReport};

/// Name of the file in an autoencoder's folder.
pub(crate) const HISTORY_FILE: &str = "history.jsonl";

/// Points of a history, at most about as many.
const N_POINTS: u64 = 200;

/// One point of the history of a training.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPoint {
    /// Steps taken, this one among them.
    pub step: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// What the step measured.
    #[serde(flatten)]
    pub report: StepReport,
}

/// The history in an autoencoder's folder, in the order of the steps; empty if there is none.
///
/// Lines that are no points, as of a file that was cut short, are left out.
///
/// # Examples
///
/// ```
/// let folder = tempfile::tempdir()?;
/// assert!(attention_probes::sae::read_history(folder.path()).is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_history(folder: &Path) -> Vec<HistoryPoint> {
    let text = fs::read_to_string(folder.join(HISTORY_FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What of a run's history is not yet written.
#[derive(Debug)]
pub(super) struct History {
    /// New points of each autoencoder.
    points: Vec<Vec<HistoryPoint>>,
    every: u64,
}

impl History {
    pub(super) fn new(n_saes: usize, n_steps: u64) -> Self {
        Self { points: vec![Vec::new(); n_saes], every: (n_steps / N_POINTS).max(1) }
    }

    /// Takes up what a step measured, if the step is one of those that are kept.
    pub(super) fn push(
        &mut self,
        (step, n_steps): (u64, u64),
        tokens: u64,
        reports: &[StepReport],
    ) {
        if step.is_multiple_of(self.every) || step == n_steps {
            for (points, report) in self.points.iter_mut().zip(reports) {
                points.push(HistoryPoint { step, tokens, report: *report });
            }
        }
    }

    /// Appends what is new to each file, and drops what a checkpoint does not know of.
    pub(super) fn append(&mut self, tasks: &[SaeTask], folder: &Path) -> Result<(), SaeError> {
        for (task, points) in tasks.iter().zip(&mut self.points) {
            let folder = folder.join(&task.name);
            fs::create_dir_all(&folder).map_err(FileError::write(&folder))?;
            let path = folder.join(HISTORY_FILE);
            let old = fs::read_to_string(&path).unwrap_or_default();
            let first = points.first().map_or(u64::MAX, |point| point.step);
            let is_before = |line: &&str| {
                serde_json::from_str::<HistoryPoint>(line).is_ok_and(|point| point.step < first)
            };
            let mut text: String =
                old.lines().filter(is_before).flat_map(|line| [line, "\n"]).collect();
            for point in points.drain(..) {
                let line = serde_json::to_string(&point)
                    .map_err(|error| FileError::write(&path)(error.into()))?;
                text += &line;
                text.push('\n');
            }
            write_atomically(&path, |file| file.write_all(text.as_bytes()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SaeRunConfig;

    const CONFIG: &str = "run = \"a\"\nmodel = { name = \"demo-gpt2\" }\ndata = { path = \"a.csv\" }\n\
        [[saes]]\nname = \"a\"\nhook = \"blocks.1.hook_resid_post\"\nd_sae = 64\n";

    #[test]
    fn points_after_a_checkpoint_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let tasks = toml::from_str::<SaeRunConfig>(CONFIG).unwrap().tasks().unwrap();
        let mut history = History::new(1, 400);
        let report = |loss| StepReport { loss, ..StepReport::default() };
        for step in 1..=6 {
            history.push((step, 400), step * 10, &[report(1.0)]);
        }
        history.append(&tasks, folder.path()).unwrap();
        let mut again = History::new(1, 400);
        again.push((4, 400), 40, &[report(2.0)]);
        again.append(&tasks, folder.path()).unwrap();
        let found = read_history(&folder.path().join("a"));
        let steps: Vec<(u64, f64)> = found.iter().map(|p| (p.step, p.report.loss)).collect();
        assert_eq!(steps, [(2, 1.0), (4, 2.0)]);
        assert_eq!(found[1].tokens, 40);
    }
}
