//! The state of a sweep between two epochs, on disk.

use std::io::Write;
use std::path::Path;

use attention_probes_activations::write_atomically;
use serde::{Deserialize, Serialize};

use crate::SweepError;
use crate::early_stopping::BestWeights;
use crate::fit::EpochRecord;
use crate::select::{BinaryCounts, Score};
use crate::stacked::StackedProbes;

/// First bytes of a checkpoint.
const MAGIC: &[u8; 8] = b"apsweep4";

/// Numbers and history of every stack after some epochs; the numbers of a part are its parameters,
/// their two moments, and, where the best epoch is kept, the parameters of that one.
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
    /// Epochs that are done.
    epochs: usize,
    /// For each stack its steps and the sizes of its parts.
    stacks: Vec<(usize, Vec<usize>)>,
    histories: Vec<Vec<Vec<SavedRecord>>>,
}

/// An [`EpochRecord`] to the bit: JSON has no NaN, and its readers round.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct SavedRecord {
    epoch: usize,
    train_loss: u64,
    loss: u64,
    accuracy: u64,
    balanced_accuracy: u64,
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
            accuracy: score.accuracy.to_bits(),
            balanced_accuracy: score.balanced_accuracy.to_bits(),
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
                accuracy: f64::from_bits(saved.accuracy),
                balanced_accuracy: f64::from_bits(saved.balanced_accuracy),
                auroc: saved.auroc.map(f64::from_bits),
                counts: saved.counts,
            },
        }
    }
}

/// Converts every record of every trial of every group.
fn convert<Source, To>(histories: &[Vec<Vec<Source>>]) -> Vec<Vec<Vec<To>>>
where
    To: for<'a> From<&'a Source>,
{
    let trial = |records: &Vec<Source>| records.iter().map(To::from).collect();
    histories.iter().map(|group| group.iter().map(trial).collect()).collect()
}

impl Checkpoint {
    pub(crate) fn new(
        epochs: usize,
        stacks: &[Box<dyn StackedProbes>],
        histories: &[Vec<Vec<EpochRecord>>],
        best: Option<&BestWeights>,
    ) -> Self {
        let mut numbers = Vec::new();
        let mut sizes = Vec::new();
        for (index, stack) in stacks.iter().enumerate() {
            let stack = stack.stack();
            sizes.push((stack.step, stack.parts.iter().map(|part| part.params.len()).collect()));
            for (place, part) in stack.parts.iter().enumerate() {
                numbers.extend_from_slice(&part.params);
                numbers.extend_from_slice(&part.moments.first);
                numbers.extend_from_slice(&part.moments.second);
                if let Some(best) = best {
                    numbers.extend_from_slice(&best.stacks[index][place]);
                }
            }
        }
        let header = Header { epochs, stacks: sizes, histories: convert(histories) };
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
        let bytes = std::fs::read(path)
            .map_err(|source| SweepError::Read { path: path.to_owned(), source })?;
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

    /// Puts the numbers back into stacks of the same shapes; returns the epochs that are done.
    pub(crate) fn restore(
        self,
        stacks: &mut [Box<dyn StackedProbes>],
        histories: &mut Vec<Vec<Vec<EpochRecord>>>,
        mut best: Option<&mut BestWeights>,
        path: &Path,
    ) -> Result<usize, SweepError> {
        let sizes = |stack: &dyn StackedProbes| -> Vec<usize> {
            stack.stack().parts.iter().map(|part| part.params.len()).collect()
        };
        let expected: Vec<Vec<usize>> = stacks.iter().map(|stack| sizes(&**stack)).collect();
        let found: Vec<&Vec<usize>> = self.header.stacks.iter().map(|(_, sizes)| sizes).collect();
        let per_param = if best.is_some() { 4 } else { 3 };
        let n_numbers = per_param * expected.iter().flatten().sum::<usize>();
        let same_shapes = found.iter().copied().eq(&expected) && self.numbers.len() == n_numbers;
        let n_trials = |group: &Vec<Vec<SavedRecord>>| group.len();
        let same_trials =
            self.header.histories.iter().map(n_trials).eq(histories.iter().map(Vec::len));
        if !same_shapes || !same_trials {
            return Err(SweepError::Checkpoint { path: path.to_owned() });
        }
        let mut numbers = &self.numbers[..];
        let mut take = |into: &mut Vec<f32>| {
            let (taken, rest) = numbers.split_at(into.len());
            into.copy_from_slice(taken);
            numbers = rest;
        };
        for (index, (stack, (step, _))) in stacks.iter_mut().zip(&self.header.stacks).enumerate() {
            let stack = stack.stack_mut();
            stack.step = *step;
            for (place, part) in stack.parts.iter_mut().enumerate() {
                take(&mut part.params);
                take(&mut part.moments.first);
                take(&mut part.moments.second);
                if let Some(best) = &mut best {
                    take(&mut best.stacks[index][place]);
                }
            }
        }
        *histories = convert(&self.header.histories);
        Ok(self.header.epochs)
    }
}
