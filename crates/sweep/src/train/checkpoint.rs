//! The state of a sweep between two epochs, on disk.

use std::io::Write;
use std::path::Path;

use attention_probes_activations::write_atomically;
use attention_probes_errors::FileError;
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::config::trial::Trial;
use crate::train::course::{Course, Running, Training};
use crate::train::fit_config::StackConfig;
use crate::train::group::TrialGroup;
use crate::train::passes::StackedGroup;
use crate::train::record::EpochRecord;
use crate::train::score::{BinaryCounts, Score};

/// First bytes of a checkpoint.
const MAGIC: &[u8; 8] = b"apsweep5";

/// Where training stands after some epochs, and its numbers: of every group the weights that count,
/// and of every stack that trains its parameters and their two moments.
///
/// ```text
/// magic, length of header (u64), header (JSON), numbers (f32), BLAKE3 of all that
/// ```
pub(crate) struct Checkpoint {
    header: Header,
    numbers: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    round: usize,
    /// Epochs of the round that are done.
    epochs: usize,
    courses: Vec<SavedCourse>,
    running: Vec<SavedRunning>,
}

/// A group, whose trials of the grid are known.
#[derive(Serialize, Deserialize)]
struct SavedCourse {
    /// First trial of the round.
    first: usize,
    /// Trials that were added.
    added: Vec<SavedTrial>,
    /// Sizes of its parts.
    sizes: Vec<usize>,
    histories: Vec<Vec<SavedRecord>>,
}

/// A [`Trial`] to the bit.
#[derive(Serialize, Deserialize)]
struct SavedTrial {
    learning_rate: u64,
    weight_decay: u64,
    seed: u64,
}

#[derive(Serialize, Deserialize)]
struct SavedRunning {
    course: usize,
    trials: Vec<usize>,
    /// Steps taken.
    step: usize,
}

/// An [`EpochRecord`] to the bit: JSON has no NaN, and its readers round.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct SavedRecord {
    epoch: usize,
    train_loss: u64,
    loss: u64,
    accuracy: Option<u64>,
    balanced_accuracy: Option<u64>,
    auroc: Option<u64>,
    counts: Option<BinaryCounts>,
}

impl From<&EpochRecord> for SavedRecord {
    fn from(record: &EpochRecord) -> Self {
        let score = record.validation;
        Self {
            epoch: record.epoch,
            train_loss: record.train_loss.to_bits(),
            loss: score.loss.to_bits(),
            accuracy: score.accuracy.map(f64::to_bits),
            balanced_accuracy: score.balanced_accuracy.map(f64::to_bits),
            auroc: score.auroc.map(f64::to_bits),
            counts: score.counts,
        }
    }
}

impl From<&SavedRecord> for EpochRecord {
    fn from(saved: &SavedRecord) -> Self {
        Self {
            epoch: saved.epoch,
            train_loss: f64::from_bits(saved.train_loss),
            validation: Score {
                loss: f64::from_bits(saved.loss),
                accuracy: saved.accuracy.map(f64::from_bits),
                balanced_accuracy: saved.balanced_accuracy.map(f64::from_bits),
                auroc: saved.auroc.map(f64::from_bits),
                counts: saved.counts,
            },
        }
    }
}

/// Converts every record of every trial of a group.
fn convert<Source, To>(histories: &[Vec<Source>]) -> Vec<Vec<To>>
where
    To: for<'a> From<&'a Source>,
{
    histories.iter().map(|records| records.iter().map(To::from).collect()).collect()
}

impl Checkpoint {
    pub(crate) fn new(training: &Training) -> Self {
        let mut numbers = Vec::new();
        let course = |course: &Course| {
            let added = course.group.trials[course.n_grid..].iter().map(|trial| SavedTrial {
                learning_rate: trial.learning_rate.to_bits(),
                weight_decay: trial.weight_decay.to_bits(),
                seed: trial.seed,
            });
            numbers.extend(course.kept.iter().flatten());
            SavedCourse {
                first: course.first,
                added: added.collect(),
                sizes: course.kept.iter().map(Vec::len).collect(),
                histories: convert(&course.histories),
            }
        };
        let courses = training.courses.iter().map(course).collect();
        let running = |(running, stacked): (&Running, &StackedGroup)| {
            let stack = stacked.stack.stack();
            for part in &stack.parts {
                numbers.extend_from_slice(&part.params);
                numbers.extend_from_slice(&part.moments.first);
                numbers.extend_from_slice(&part.moments.second);
            }
            let (course, trials) = (running.course, running.trials.clone());
            SavedRunning { course, trials, step: stack.step }
        };
        let running = training.running.iter().zip(&training.stacks).map(running).collect();
        let header = Header { round: training.round, epochs: training.epoch, courses, running };
        Self { header, numbers }
    }

    /// Writes the checkpoint under a temporary name and renames it.
    pub(crate) fn write(&self, path: &Path) -> Result<(), SweepError> {
        let damaged = |_| SweepError::Checkpoint { path: path.to_owned() };
        let header = serde_json::to_vec(&self.header).map_err(damaged)?;
        let mut bytes = Vec::with_capacity(48 + header.len() + 4 * self.numbers.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&header);
        bytes.extend(self.numbers.iter().flat_map(|number| number.to_le_bytes()));
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        Ok(write_atomically(path, |file| file.write_all(&bytes))?)
    }

    /// Reads a checkpoint and checks its hash.
    pub(crate) fn read(path: &Path) -> Result<Self, SweepError> {
        let bytes = std::fs::read(path).map_err(FileError::read(path))?;
        Self::parse(&bytes).ok_or_else(|| SweepError::Checkpoint { path: path.to_owned() })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (content, hash) = bytes.split_last_chunk::<32>()?;
        if blake3::hash(content).as_bytes() != hash {
            return None;
        }
        let content = content.strip_prefix(MAGIC)?;
        let (length, content) = content.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
        let (header, numbers) = content.split_at_checked(length)?;
        let (numbers, []) = numbers.as_chunks::<4>() else { return None };
        Some(Self {
            header: serde_json::from_slice(header).ok()?,
            numbers: numbers.iter().map(|number| f32::from_le_bytes(*number)).collect(),
        })
    }

    /// Goes back to where the training of these groups stood.
    ///
    /// # Errors
    ///
    /// [`SweepError::Checkpoint`] if it is of other groups.
    pub(crate) fn restore(
        self,
        groups: &[TrialGroup],
        config: &StackConfig,
        path: &Path,
    ) -> Result<Training, SweepError> {
        self.training(groups, config)
            .ok_or_else(|| SweepError::Checkpoint { path: path.to_owned() })
    }

    /// `None` if it is of other groups.
    fn training(self, groups: &[TrialGroup], config: &StackConfig) -> Option<Training> {
        let Header { round, epochs, courses, running } = self.header;
        let mut training = Training::new(groups);
        (training.round, training.epoch) = (round, epochs);
        if courses.len() != groups.len() {
            return None;
        }
        let mut numbers = Numbers(&self.numbers);
        for (course, saved) in training.courses.iter_mut().zip(&courses) {
            course.first = saved.first;
            course.group.trials.extend(saved.added.iter().map(|trial| Trial {
                learning_rate: f64::from_bits(trial.learning_rate),
                weight_decay: f64::from_bits(trial.weight_decay),
                seed: trial.seed,
            }));
            course.histories = convert(&saved.histories);
            let n_trials = course.group.trials.len();
            if course.first >= n_trials {
                return None;
            }
            let shape = StackedGroup::new(course.part(&[0]), None, config);
            let sizes = shape.stack.stack().parts.iter().map(|part| part.params.len() * n_trials);
            let is_counted = |history: &Vec<EpochRecord>| {
                history.iter().zip(1..).all(|(record, epoch)| record.epoch == epoch)
            };
            if !course.histories.iter().all(is_counted) {
                return None;
            }
            if course.histories.len() != n_trials || !sizes.eq(saved.sizes.iter().copied()) {
                return None;
            }
            for &size in &saved.sizes {
                course.kept.push(numbers.take(size)?.to_vec());
            }
        }
        let mut latest = None;
        for saved in running {
            let course = training.courses.get(saved.course)?;
            // Courses in their order, each once, with trials of its round in theirs.
            let trials = course.first..course.group.trials.len();
            if latest >= Some(saved.course)
                || saved.trials.is_empty()
                || !saved.trials.is_sorted_by(|a, b| a < b)
                || !saved.trials.iter().all(|trial| trials.contains(trial))
            {
                return None;
            }
            latest = Some(saved.course);
            let mut stacked = StackedGroup::new(course.part(&saved.trials), None, config);
            let stack = stacked.stack.stack_mut();
            stack.step = saved.step;
            for part in &mut stack.parts {
                for into in [&mut part.params, &mut part.moments.first, &mut part.moments.second] {
                    let size = into.len();
                    into.copy_from_slice(numbers.take(size)?);
                }
            }
            training.running.push(Running { course: saved.course, trials: saved.trials });
            training.stacks.push(stacked);
        }
        numbers.0.is_empty().then_some(training)
    }
}

/// Numbers that have not been taken yet.
struct Numbers<'a>(&'a [f32]);

impl<'a> Numbers<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [f32]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }
}
