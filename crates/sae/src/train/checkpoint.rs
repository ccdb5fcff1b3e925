//! Trainers and buffers as arrays of a checkpoint, and back.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};

use super::adam::Trained;
use super::buffer::{BufferState, MixingBuffer};
use super::trainer::SaeTrainer;

/// Arrays by name, in bytes, as they go into a file.
#[derive(Debug, Default)]
pub(crate) struct CheckpointArrays(BTreeMap<String, (Dtype, Vec<u8>)>);

impl CheckpointArrays {
    pub(crate) fn put_f32(&mut self, name: String, values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.0.insert(name, (Dtype::F32, bytes));
    }

    pub(crate) fn put_u64(&mut self, name: String, values: &[u64]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.0.insert(name, (Dtype::U64, bytes));
    }

    /// The file.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, SafeTensorError> {
        let views = self.0.iter().map(|(name, (dtype, bytes))| {
            let n = bytes.len() * 8 / dtype.bitsize();
            TensorView::new(*dtype, vec![n], bytes).map(|view| (name.as_str(), view))
        });
        safetensors::serialize(views.collect::<Result<Vec<_>, _>>()?, None)
    }
}

/// The arrays of a file that was read.
pub(crate) struct CheckpointFile<'a>(pub(crate) SafeTensors<'a>);

impl CheckpointFile<'_> {
    /// An array of as many numbers; `None` if it is not there, or another.
    pub(crate) fn f32(&self, name: &str, n: Option<usize>) -> Option<Vec<f32>> {
        let view = self.0.tensor(name).ok().filter(|view| view.dtype() == Dtype::F32)?;
        let values: Vec<f32> =
            view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        n.is_none_or(|n| n == values.len()).then_some(values)
    }

    /// As [`CheckpointFile::f32`], of whole numbers.
    pub(crate) fn u64(&self, name: &str, n: Option<usize>) -> Option<Vec<u64>> {
        let view = self.0.tensor(name).ok().filter(|view| view.dtype() == Dtype::U64)?;
        let values: Vec<u64> =
            view.data().as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        n.is_none_or(|n| n == values.len()).then_some(values)
    }
}

impl SaeTrainer {
    /// Writes everything that a step changes, under names that begin with `prefix`.
    pub(crate) fn save(&self, arrays: &mut CheckpointArrays, prefix: &str) {
        for (i, array) in self.weights.arrays().enumerate() {
            let Trained { values, first, second, .. } = array;
            for (part, values) in [("values", values), ("first", first), ("second", second)] {
                arrays.put_f32(format!("{prefix}.{i}.{part}"), values);
            }
        }
        arrays.put_u64(format!("{prefix}.since_fired"), &self.since_fired);
        let threshold = self.topk_threshold.to_bits();
        arrays.put_u64(format!("{prefix}.state"), &[self.step, threshold]);
    }

    /// Goes back to what was saved; `None` if an array is missing or of another size.
    pub(crate) fn load(&mut self, file: &CheckpointFile<'_>, prefix: &str) -> Option<()> {
        for (i, array) in self.weights.arrays_mut().enumerate() {
            let n = array.values.len();
            let part = |part: &str| file.f32(&format!("{prefix}.{i}.{part}"), Some(n));
            let (values, first, second) = (part("values")?, part("first")?, part("second")?);
            (array.values, array.first, array.second) = (values, first, second);
        }
        let n = self.since_fired.len();
        self.since_fired = file.u64(&format!("{prefix}.since_fired"), Some(n))?;
        let state = file.u64(&format!("{prefix}.state"), Some(2))?;
        self.step = state[0];
        self.topk_threshold = f64::from_bits(state[1]);
        self.weights.decoder.row_norms(self.d_in, &mut self.norms);
        Some(())
    }
}

impl MixingBuffer {
    /// Writes the rows and their order.
    pub(crate) fn save(&self, arrays: &mut CheckpointArrays) {
        for (i, rows) in self.state.rows.iter().enumerate() {
            arrays.put_f32(format!("buffer.{i}"), rows);
        }
        let queue: Vec<u64> = self.state.queue.iter().map(|row| u64::from(*row)).collect();
        arrays.put_u64("buffer.queue".to_owned(), &queue);
        arrays.put_u64("buffer.state".to_owned(), &[self.state.n_fills]);
    }

    /// Goes back to what was saved; `None` if it cannot be of this buffer.
    pub(crate) fn load(&mut self, file: &CheckpointFile<'_>) -> Option<()> {
        let mut n_rows = None;
        let mut rows = Vec::new();
        for (i, width) in self.widths().iter().enumerate() {
            let values = file.f32(&format!("buffer.{i}"), None)?;
            let n = values.len() / width;
            if values.len() % width != 0 || *n_rows.get_or_insert(n) != n {
                return None;
            }
            rows.push(values);
        }
        let n_rows = n_rows? as u64;
        let queue = file.u64("buffer.queue", None)?;
        if queue.iter().any(|row| *row >= n_rows) {
            return None;
        }
        let queue = queue.into_iter().map(|row| row as u32).collect();
        let n_fills = file.u64("buffer.state", Some(1))?[0];
        self.state = BufferState { rows, queue, n_fills };
        Some(())
    }
}
