//! Numbers in memory or in a mapped file, as the file has them.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use half::f16;
use memmap2::Mmap;
use safetensors::Dtype;

/// A number of a fixed size, in the order of bytes of a file.
pub(super) trait Number: Copy {
    /// What a file calls it.
    const DTYPE: Dtype;
    /// Its bytes.
    const SIZE: usize;
    /// Reads one.
    fn read(bytes: &[u8]) -> Self;
    /// Appends one.
    fn write(self, bytes: &mut Vec<u8>);
}

macro_rules! number {
    ($number:ty, $dtype:ident) => {
        impl Number for $number {
            const DTYPE: Dtype = Dtype::$dtype;
            const SIZE: usize = size_of::<$number>();

            fn read(bytes: &[u8]) -> Self {
                let mut number = [0; size_of::<$number>()];
                number.copy_from_slice(bytes);
                Self::from_le_bytes(number)
            }

            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    };
}

number!(u16, U16);
number!(u32, U32);
number!(f16, F16);

/// A list of numbers.
#[derive(Clone, Debug)]
pub(super) struct Column<T> {
    bytes: Bytes,
    number: PhantomData<T>,
}

#[derive(Clone, Debug)]
enum Bytes {
    Owned(Vec<u8>),
    Mapped(Arc<Mmap>, Range<usize>),
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Self { bytes: Bytes::Owned(Vec::new()), number: PhantomData }
    }
}

impl<T: Number> PartialEq for Column<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl<T: Number> Column<T> {
    /// A part of a file, which holds whole numbers.
    pub(super) fn mapped(map: Arc<Mmap>, bytes: Range<usize>) -> Self {
        debug_assert!(bytes.len().is_multiple_of(T::SIZE));
        Self { bytes: Bytes::Mapped(map, bytes), number: PhantomData }
    }

    /// All numbers as a file has them.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Owned(bytes) => bytes,
            Bytes::Mapped(map, range) => &map[range.clone()],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len() / T::SIZE
    }

    pub(super) fn get(&self, index: usize) -> T {
        T::read(&self.bytes()[index * T::SIZE..][..T::SIZE])
    }

    pub(super) fn slice(&self, range: Range<usize>) -> impl Iterator<Item = T> + '_ {
        self.bytes()[range.start * T::SIZE..range.end * T::SIZE].chunks_exact(T::SIZE).map(T::read)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.slice(0..self.len())
    }

    /// Appends a number; what lies in a file is copied first.
    pub(super) fn push(&mut self, number: T) {
        if let Bytes::Mapped(..) = self.bytes {
            self.bytes = Bytes::Owned(self.bytes().to_vec());
        }
        if let Bytes::Owned(bytes) = &mut self.bytes {
            number.write(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_went_in() {
        let mut column = Column::<f16>::default();
        for number in [0.5, -2.0, 3.25] {
            column.push(f16::from_f32(number));
        }
        assert_eq!((column.len(), column.get(1).to_f32(), column.bytes().len()), (3, -2.0, 6));
        let rest: Vec<f32> = column.slice(1..3).map(f16::to_f32).collect();
        assert_eq!(rest, [-2.0, 3.25]);
        let mut counts = Column::<u32>::default();
        counts.push(70_000);
        assert_eq!(counts.iter().collect::<Vec<_>>(), [70_000]);
    }
}
