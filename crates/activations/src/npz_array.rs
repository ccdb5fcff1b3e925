//! An array of an npz archive in memory.

/// An array of an npz archive, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct NpzArray {
    /// Size of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The values, as many as the axes multiply to.
    pub data: NpzData,
}

/// The values of an array, in the type that they are kept in.
#[derive(Clone, Debug, PartialEq)]
pub enum NpzData {
    /// `float32`, and `float16` after conversion.
    F32(Vec<f32>),
    /// `float64`.
    F64(Vec<f64>),
    /// `int64`, and `uint32` and `uint64` after conversion.
    I64(Vec<i64>),
    /// `int32`, and `int8`, `int16` and `uint16` after conversion.
    I32(Vec<i32>),
    /// `uint8`.
    U8(Vec<u8>),
    /// `bool`.
    Bool(Vec<bool>),
    /// Strings of fixed length, without the padding behind them.
    Text(Vec<String>),
}

impl NpzArray {
    /// An array of the given shape.
    ///
    /// # Panics
    ///
    /// If the axes do not multiply to the number of values.
    pub fn new(shape: Vec<usize>, data: impl Into<NpzData>) -> Self {
        let array = Self { shape, data: data.into() };
        array.assert_consistent();
        array
    }

    pub(crate) fn assert_consistent(&self) {
        let n_values = self.shape.iter().product::<usize>();
        assert_eq!(n_values, self.data.len(), "shape {:?} does not fit the data", self.shape);
    }
}

impl NpzData {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::I32(values) => values.len(),
            Self::U8(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as `f32`, rounded if they are `f64`. `None` if they are no floats.
    pub fn into_f32(self) -> Option<Vec<f32>> {
        match self {
            Self::F32(values) => Some(values),
            Self::F64(values) => Some(values.into_iter().map(|value| value as f32).collect()),
            _ => None,
        }
    }

    /// The values as `i64`. `None` if they are floats or strings.
    pub fn into_i64(self) -> Option<Vec<i64>> {
        match self {
            Self::I64(values) => Some(values),
            Self::I32(values) => Some(values.into_iter().map(i64::from).collect()),
            Self::U8(values) => Some(values.into_iter().map(i64::from).collect()),
            Self::Bool(values) => Some(values.into_iter().map(i64::from).collect()),
            Self::F32(_) | Self::F64(_) | Self::Text(_) => None,
        }
    }
}

macro_rules! from_values {
    ($($value:ty => $variant:ident),+) => {$(
        impl From<Vec<$value>> for NpzData {
            fn from(values: Vec<$value>) -> Self {
                Self::$variant(values)
            }
        }
    )+};
}

from_values!(
    f32 => F32, f64 => F64, i64 => I64, i32 => I32, u8 => U8, bool => Bool, String => Text
);
