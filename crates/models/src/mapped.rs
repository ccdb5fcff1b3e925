//! Numbers in a memory-mapped file: their formats, and rows that stay there.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::TensorData;
use memmap2::Mmap;
use rayon::prelude::*;

use crate::Dtype;

/// Rows of a table that stay in a mapped file.
#[derive(Clone, Debug)]
pub(crate) struct MappedRows {
    pub(crate) map: Arc<Mmap>,
    /// Where in the file they lie.
    pub(crate) bytes: Range<usize>,
    pub(crate) numbers: Numbers,
    /// Numbers of rows and columns.
    pub(crate) shape: [usize; 2],
}

impl MappedRows {
    /// Numbers of rows and columns.
    pub(crate) fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The numbers of some rows, one after the other.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Vec<f32> {
        let width = self.bytes.len() / self.shape[0];
        self.numbers.read(&self.map[self.bytes.clone()][rows.start * width..rows.end * width])
    }

    /// The numbers of all rows; the memory that reading them took is given back.
    pub(crate) fn all_rows(&self) -> Vec<f32> {
        let values = self.rows(0..self.shape[0]);
        release(&self.map, &self.map[self.bytes.clone()]);
        values
    }
}

/// Number format of a tensor in a file, little-endian.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers {
    F32,
    F16,
    Bf16,
}

impl Numbers {
    pub(crate) fn read(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => from_le(bytes, f32::from_le_bytes),
            Self::F16 => from_le(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => from_le(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
        }
    }
}

/// Decodes little-endian numbers of `N` bytes.
fn from_le<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f32 + Sync) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<N>();
    numbers.par_iter().with_min_len(1 << 14).map(|number| decode(*number)).collect()
}

/// Numbers in the format that a model computes in.
pub(crate) fn tensor_data<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    dtype: Dtype,
) -> TensorData {
    match dtype {
        Dtype::Auto | Dtype::F32 => TensorData::new(values, shape),
        Dtype::Bf16 => {
            let values: Vec<_> = values.into_iter().map(half::bf16::from_f32).collect();
            TensorData::new(values, shape)
        }
        Dtype::F16 => {
            let values: Vec<_> = values.into_iter().map(half::f16::from_f32).collect();
            TensorData::new(values, shape)
        }
    }
}

/// Gives back the memory of a part of a file that has been read; it is read again if need be.
#[expect(unsafe_code, reason = "what was read would count as this process's memory to its end")]
pub(crate) fn release(map: &Mmap, part: &[u8]) {
    #[cfg(unix)]
    {
        let start = part.as_ptr() as usize - map.as_ptr() as usize;
        let advice = memmap2::UncheckedAdvice::DontNeed;
        // SAFETY: the map is shared and read-only, so its pages come back from the file unchanged.
        // A failure leaves them where they are, which does no harm.
        let _ = unsafe { map.unchecked_advise_range(advice, start, part.len()) };
    }
    #[cfg(not(unix))]
    let _ = (map, part);
}
