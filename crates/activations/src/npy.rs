//! One array of an npz archive: an npy header, then the values, which `npyz` decodes.

use std::io::{self, Read, Write};

use half::f16;
use npyz::{DType, Deserialize, Serialize, TypeChar, TypeRead, TypeStr, TypeWrite};

use crate::npy_dtype::NpyDtype;
use crate::npy_error::NpyError;
use crate::npy_header::{Header, read_header};
use crate::{NpzArray, NpzData};

/// Largest array that is read, in bytes: 64 GiB.
const MAX_ARRAY_BYTES: u64 = 1 << 36;

/// Values that are decoded at a time.
const CHUNK: usize = 16 * 1024;

/// Reads one npy file of `size_bytes`, to its end, so that the archive checks its checksum.
///
/// No more than `max_reserved` values are allocated before they arrive. With `layer`, only that
/// index of the second of four axes is kept, and the array that is returned lacks the axis.
pub(crate) fn read_npy(
    entry: &mut impl Read,
    size_bytes: u64,
    max_reserved: usize,
    layer: Option<usize>,
) -> Result<NpzArray, NpyError> {
    let Header { dtype, fortran_order, shape, n_bytes } = read_header(entry, size_bytes)?;
    let n_values = shape.iter().try_fold(1_usize, |n, &axis| n.checked_mul(axis));
    let data_bytes = n_values
        .and_then(|n_values| (n_values as u64).checked_mul(dtype.item_bytes()))
        .filter(|data_bytes| *data_bytes <= MAX_ARRAY_BYTES);
    let (Some(n_values), Some(data_bytes)) = (n_values, data_bytes) else {
        return Err(NpyError::Size { shape, size_bytes });
    };
    if size_bytes.checked_sub(n_bytes) != Some(data_bytes) {
        return Err(NpyError::Size { shape, size_bytes });
    }

    let (kept, kept_shape) = match layer {
        None => (Kept::all(n_values), shape.clone()),
        Some(index) => Kept::layer(&shape, index, fortran_order)
            .ok_or_else(|| NpyError::Layer { shape: shape.clone(), index })?,
    };
    let mut bytes = Bytes { reader: &mut *entry, kept, max_reserved };
    let data = read_values(&mut bytes, &dtype)?;
    if entry.read(&mut [0])? != 0 {
        return Err(NpyError::Size { shape, size_bytes });
    }
    let data = if fortran_order { data.into_row_major(&kept_shape) } else { data };
    Ok(NpzArray { shape: kept_shape, data })
}

pub(crate) fn write_values(writer: &mut impl Write, data: &NpzData) -> io::Result<()> {
    let type_str: Result<TypeStr, _> = data.descr().parse();
    let dtype = DType::new_scalar(type_str.map_err(io::Error::other)?);
    match data {
        NpzData::F32(values) => encode::<4, _>(writer, &dtype, values),
        NpzData::F64(values) => encode::<8, _>(writer, &dtype, values),
        NpzData::I64(values) => encode::<8, _>(writer, &dtype, values),
        NpzData::I32(values) => encode::<4, _>(writer, &dtype, values),
        NpzData::U8(values) => writer.write_all(values),
        NpzData::Bool(values) => encode::<1, _>(writer, &dtype, values),
        NpzData::Text(values) => {
            let one = <str as Serialize>::writer(&dtype).map_err(io::Error::other)?;
            let mut item = Vec::new();
            for value in values {
                item.clear();
                one.write_one(&mut item, value)?;
                writer.write_all(&item)?;
            }
            Ok(())
        }
    }
}

/// Characters of the longest of some strings, at least one, as `numpy` wants it.
fn text_width(values: &[String]) -> usize {
    values.iter().map(|value| value.chars().count()).max().unwrap_or(0).max(1)
}

impl NpzData {
    /// The type string, in `numpy`, of what is written.
    pub(crate) fn descr(&self) -> String {
        let descr = match self {
            Self::F32(_) => "<f4",
            Self::F64(_) => "<f8",
            Self::I64(_) => "<i8",
            Self::I32(_) => "<i4",
            Self::U8(_) => "|u1",
            Self::Bool(_) => "|b1",
            Self::Text(values) => return format!("<U{}", text_width(values)),
        };
        descr.to_owned()
    }

    /// Bytes of one value.
    pub(crate) fn item_bytes(&self) -> usize {
        match self {
            Self::F64(_) | Self::I64(_) => 8,
            Self::F32(_) | Self::I32(_) => 4,
            Self::U8(_) | Self::Bool(_) => 1,
            Self::Text(values) => 4 * text_width(values),
        }
    }

    /// Turns column-major values into row-major ones.
    fn into_row_major(self, shape: &[usize]) -> Self {
        match self {
            Self::F32(values) => Self::F32(row_major(&values, shape)),
            Self::F64(values) => Self::F64(row_major(&values, shape)),
            Self::I64(values) => Self::I64(row_major(&values, shape)),
            Self::I32(values) => Self::I32(row_major(&values, shape)),
            Self::U8(values) => Self::U8(row_major(&values, shape)),
            Self::Bool(values) => Self::Bool(row_major(&values, shape)),
            Self::Text(values) => Self::Text(row_major(&values, shape)),
        }
    }
}

fn read_values(bytes: &mut Bytes<'_, impl Read>, dtype: &NpyDtype) -> Result<NpzData, NpyError> {
    let given = &dtype.dtype();
    Ok(match dtype.kind() {
        (TypeChar::Float, 2) => NpzData::F32(bytes.decode::<2, _, _>(given, f16::to_f32)?),
        (TypeChar::Float, 4) => NpzData::F32(bytes.decode::<4, _, _>(given, |x: f32| x)?),
        (TypeChar::Float, _) => NpzData::F64(bytes.decode::<8, _, _>(given, |x: f64| x)?),
        (TypeChar::Int, 1) => NpzData::I32(bytes.decode::<1, _, _>(given, |x: i8| x.into())?),
        (TypeChar::Int, 2) => NpzData::I32(bytes.decode::<2, _, _>(given, |x: i16| x.into())?),
        (TypeChar::Int, 4) => NpzData::I32(bytes.decode::<4, _, _>(given, |x: i32| x)?),
        (TypeChar::Int, _) => NpzData::I64(bytes.decode::<8, _, _>(given, |x: i64| x)?),
        (TypeChar::Uint, 1) => NpzData::U8(bytes.decode::<1, _, _>(given, |x: u8| x)?),
        (TypeChar::Uint, 2) => NpzData::I32(bytes.decode::<2, _, _>(given, |x: u16| x.into())?),
        (TypeChar::Uint, 4) => NpzData::I64(bytes.decode::<4, _, _>(given, |x: u32| x.into())?),
        (TypeChar::Uint, _) => {
            let values = bytes.decode::<8, _, _>(given, |x: u64| x)?;
            let values: Result<_, _> = values.into_iter().map(i64::try_from).collect();
            NpzData::I64(values.map_err(|_| NpyError::Type {
                dtype: "uint64 with values above those of int64".to_owned(),
            })?)
        }
        // As `numpy`, which takes any byte but 0 for `True`; `npyz` refuses those above 1.
        (TypeChar::Bool, _) => NpzData::Bool(
            bytes.decode::<1, _, _>(&NpyDtype::parse("|u1")?.dtype(), |x: u8| x != 0)?,
        ),
        _ => NpzData::Text(bytes.decode_text(given, dtype.item_bytes() as usize)?),
    })
}

/// Which values of an array are kept: of each of `n_runs` runs, those from `before` on.
#[derive(Clone, Copy)]
struct Kept {
    n_runs: usize,
    before: usize,
    length: usize,
    behind: usize,
}

impl Kept {
    fn all(n_values: usize) -> Self {
        Self { n_runs: 1, before: 0, length: n_values, behind: 0 }
    }

    /// One index of the second of four axes, and the shape without it.
    fn layer(shape: &[usize], index: usize, fortran_order: bool) -> Option<(Self, Vec<usize>)> {
        let &[n, n_layers, pos, d_model] = shape else { return None };
        if index >= n_layers {
            return None;
        }
        let (n_runs, length) = if fortran_order { (pos * d_model, n) } else { (n, pos * d_model) };
        let behind = (n_layers - 1 - index) * length;
        let kept = Self { n_runs, before: index * length, length, behind };
        Some((kept, vec![n, pos, d_model]))
    }
}

/// The data of an npy file, not yet decoded.
struct Bytes<'a, R> {
    reader: &'a mut R,
    kept: Kept,
    max_reserved: usize,
}

impl<R: Read> Bytes<'_, R> {
    /// Decodes numbers of `N` bytes; memory grows as they arrive, not by what was claimed.
    fn decode<const N: usize, T: Deserialize + Default, U>(
        &mut self,
        dtype: &DType,
        decode: impl Fn(T) -> U,
    ) -> Result<Vec<U>, NpyError> {
        let one = type_reader::<T>(dtype)?;
        let Kept { n_runs, before, length, behind } = self.kept;
        if length == 0 {
            return Ok(Vec::new());
        }
        let mut values = Vec::with_capacity((n_runs * length).min(self.max_reserved));
        let mut buffer = vec![[0_u8; N]; length.min(CHUNK)];
        for _ in 0..n_runs {
            self.skip(before * N)?;
            let end = values.len() + length;
            while values.len() < end {
                let chunk = &mut buffer[..(end - values.len()).min(CHUNK)];
                self.reader.read_exact(chunk.as_flattened_mut())?;
                // A fault is looked at behind the loop, which vectorises so.
                let mut read = Ok(());
                values.extend(chunk.iter().map(|item| {
                    decode(one.read_one(&item[..]).unwrap_or_else(|fault| {
                        read = Err(fault);
                        T::default()
                    }))
                }));
                read?;
            }
            self.skip(behind * N)?;
        }
        Ok(values)
    }

    /// Decodes strings, without the NULs behind them.
    fn decode_text(&mut self, dtype: &DType, item_bytes: usize) -> Result<Vec<String>, NpyError> {
        let one = type_reader::<String>(dtype)?;
        let Kept { n_runs, before, length, behind } = self.kept;
        let mut item = vec![0; item_bytes];
        let mut values = Vec::new();
        for _ in 0..if length == 0 { 0 } else { n_runs } {
            self.skip(before * item_bytes)?;
            for _ in 0..length {
                self.reader.read_exact(&mut item)?;
                let mut value = one.read_one(&item[..]).map_err(|_| NpyError::Text)?;
                // Room for the padding would add up to what the header claims.
                value.shrink_to_fit();
                values.push(value);
            }
            self.skip(behind * item_bytes)?;
        }
        Ok(values)
    }

    /// Passes over bytes, all of which must be there.
    fn skip(&mut self, n_bytes: usize) -> io::Result<()> {
        let n_bytes = n_bytes as u64;
        let n_skipped = io::copy(&mut self.reader.by_ref().take(n_bytes), &mut io::sink())?;
        if n_skipped == n_bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// Turns column-major values into row-major ones.
fn row_major<T: Clone>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for axis in shape {
        strides.push(stride);
        stride *= axis;
    }
    let mut index = vec![0; shape.len()];
    let mut position = 0;
    let mut output = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        output.push(values[position].clone());
        // Counts up from the last axis, carrying to the one before.
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            position += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            position -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    output
}

/// What decodes one value.
fn type_reader<T: Deserialize>(dtype: &DType) -> Result<T::TypeReader, NpyError> {
    T::reader(dtype).map_err(|_| NpyError::Type { dtype: dtype.descr() })
}

/// Writes numbers of `N` bytes.
fn encode<const N: usize, T: Serialize>(
    writer: &mut impl Write,
    dtype: &DType,
    values: &[T],
) -> io::Result<()> {
    let one = T::writer(dtype).map_err(io::Error::other)?;
    let mut buffer = Vec::with_capacity(values.len().min(CHUNK));
    for chunk in values.chunks(CHUNK) {
        buffer.clear();
        let mut written = Ok(());
        buffer.extend(chunk.iter().map(|value| {
            let mut item = [0_u8; N];
            one.write_one(&mut item[..], value).unwrap_or_else(|fault| written = Err(fault));
            item
        }));
        written?;
        writer.write_all(buffer.as_flattened())?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::npy_header::npy_header;

    /// An npy file of version 1 with any header text and data.
    pub(crate) fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn read_one(header: &str, data: &[u8]) -> Result<NpzArray, NpyError> {
        read_bytes(&npy(header, data))
    }

    fn read_bytes(mut bytes: &[u8]) -> Result<NpzArray, NpyError> {
        let size_bytes = bytes.len();
        read_npy(&mut bytes, size_bytes as u64, size_bytes, None)
    }

    #[test]
    fn an_independent_reader_agrees_with_the_header() {
        let arrays = [
            NpzArray::new(vec![2, 3], vec![0.0_f32; 6]),
            NpzArray::new(vec![2], vec![1.0_f64, 1e300]),
            NpzArray::new(vec![], vec![i64::MIN]),
            NpzArray::new(vec![0, 4], Vec::<i32>::new()),
            NpzArray::new(vec![2], b"{}".to_vec()),
            NpzArray::new(vec![1, 1, 2], vec![true, false]),
            NpzArray::new(vec![2], vec!["é".to_owned(), "neg".to_owned()]),
        ];
        for array in arrays {
            let bytes = npy_header(&array.shape, &array.data.descr()).unwrap();
            assert_eq!(bytes.len() % 64, 0);
            let header = npyz::NpyHeader::from_reader(&bytes[..]).unwrap();
            let shape: Vec<u64> = array.shape.iter().map(|&axis| axis as u64).collect();
            assert_eq!(header.shape(), shape);
            assert_eq!(header.dtype().descr(), format!("'{}'", array.data.descr()));
        }
    }

    #[test]
    fn column_major_arrays_become_row_major() {
        let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }\n";
        let array = read_one(header, &[1, 4, 2, 5, 3, 6]).unwrap();
        assert_eq!(array, NpzArray::new(vec![2, 3], vec![1_u8, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn headers_of_other_writers_are_understood() {
        let header = r#"{"shape":(2,),"fortran_order":False,"descr":">i2"}"#;
        assert_eq!(read_one(header, &[0, 1, 255, 255]).unwrap().data, NpzData::I32(vec![1, -1]));
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': ()}";
        assert_eq!(read_one(header, &[0, 0x3e]).unwrap().data, NpzData::F32(vec![1.5]));
        let header = "{'descr': '<u8', 'fortran_order': False, 'shape': (1, )}";
        assert!(matches!(read_one(header, &[255; 8]), Err(NpyError::Type { .. })));
    }

    #[test]
    fn headers_of_python_2_are_understood() {
        for header in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 2L), }",
            "{'descr': u'<f4', 'fortran_order': False, 'shape': (1, 2)}",
            "{u'descr': u'float32', u'fortran_order': False, u'shape': (1L, 2L,)}",
        ] {
            let data = [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0];
            let expected = NpzArray::new(vec![1, 2], vec![1.0_f32, -2.0]);
            assert_eq!(read_one(header, &data).unwrap(), expected, "{header}");
        }
    }

    #[test]
    fn strings_lose_their_padding_and_nothing_else() {
        let text = |values: &[&str]| {
            NpzArray::new(
                vec![values.len()],
                values.iter().map(|&v| v.to_owned()).collect::<Vec<_>>(),
            )
        };
        let header = |descr: &str, n: usize| {
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({n},)}}")
        };
        let utf32 =
            |text: &str| text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect::<Vec<u8>>();
        let data = utf32("a\0\0é 𝄞\0\0\0");
        assert_eq!(read_one(&header("<U3", 3), &data).unwrap(), text(&["a", "é 𝄞", ""]));
        let big: Vec<u8> = data.chunks(4).flat_map(|c| c.iter().rev().copied()).collect();
        assert_eq!(read_one(&header(">U3", 3), &big).unwrap(), text(&["a", "é 𝄞", ""]));
        let found = read_one(&header("|S3", 2), b"ab\0\xc3\xa9\0").unwrap();
        assert_eq!(found, text(&["ab", "é"]));
        for (descr, data) in [("<U1", &[0, 0xd8, 0, 0][..]), ("|S1", &[0xff])] {
            let found = read_one(&header(descr, 1), data);
            assert!(matches!(found, Err(NpyError::Text)), "{descr}");
        }
        // Every item claims 16 MiB; there are four bytes.
        let found = read_one(&header("<U4194304", 1_000_000), &[0; 4]);
        assert!(matches!(found, Err(NpyError::Size { .. })));
    }

    #[test]
    fn one_layer_is_taken_of_arrays_in_either_order() {
        let shape = [2, 3, 2, 2];
        let values: Vec<u8> = (0..24).collect();
        let expected = |layer: usize| {
            let of_example = |example: usize| &values[example * 12 + layer * 4..][..4];
            NpzArray::new(vec![2, 2, 2], [of_example(0), of_example(1)].concat())
        };
        let columns: Vec<u8> = {
            let mut columns = Vec::new();
            for d in 0..2 {
                for p in 0..2 {
                    for l in 0..3 {
                        columns.extend((0..2).map(|n| n * 12 + l * 4 + p * 2 + d));
                    }
                }
            }
            columns
        };
        for (order, data) in [("False", &values), ("True", &columns)] {
            let header =
                format!("{{'descr': '|u1', 'fortran_order': {order}, 'shape': (2, 3, 2, 2)}}");
            let bytes = npy(&header, data);
            let read =
                |layer| read_npy(&mut &bytes[..], bytes.len() as u64, bytes.len(), Some(layer));
            for layer in 0..3 {
                assert_eq!(read(layer).unwrap(), expected(layer), "{order} {layer}");
            }
            let error = read(3).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "it has shape {shape:?}, expected [n, n_layers, pos, d_model] and layer number 3"
                )
            );
        }
    }

    #[test]
    fn a_header_that_claims_more_than_the_entry_holds_is_refused() {
        let n_huge = u64::MAX / 4;
        for shape in [
            "(3,)".to_owned(),
            "(1000000000000,)".to_owned(),
            format!("({n_huge}, 4)"),
            format!("({n_huge}, {n_huge}, {n_huge})"),
            format!("({n_huge}, {n_huge}, 0)"),
        ] {
            let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}");
            let result = read_one(&header, &[0; 8]);
            assert!(matches!(result, Err(NpyError::Size { .. })), "{shape}");
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        let deep = format!("{{'descr': {}", "(".repeat(9000));
        for header in [
            "",
            "{",
            "{}",
            "nonsense",
            "{'descr': '<f4', 'fortran_order': Maybe, 'shape': ()}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1L2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': ((1,),)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '<f4' 'fortran_order': False}",
            "{'é",
            &deep,
        ] {
            let result = read_one(header, &[0; 4]);
            assert!(matches!(result, Err(NpyError::Header { .. })), "{header}");
        }
        assert!(matches!(read_bytes(b"\x93NUMP"), Err(NpyError::Data { .. })));
        assert!(matches!(read_bytes(&npy(&" ".repeat(20_000), &[])), Err(NpyError::Header { .. })));
    }

    #[test]
    fn records_are_refused() {
        let header =
            "{'descr': [('a', '<f4'), ('b', '|O')], 'fortran_order': False, 'shape': (1,)}";
        assert!(matches!(read_one(header, &[0; 12]), Err(NpyError::Type { .. })));
    }

    proptest! {
        #[test]
        fn any_shape_survives_both_orders(shape in prop::collection::vec(0_usize..4, 0..4)) {
            let n_values = shape.iter().product::<usize>();
            let values: Vec<i32> = (0..n_values as i32).collect();
            // Column-major order of the reversed axes is row-major order of the axes.
            let reversed: Vec<usize> = shape.iter().rev().copied().collect();
            let there = row_major(&values, &reversed);
            prop_assert_eq!(row_major(&there, &shape), values);
        }
    }
}
