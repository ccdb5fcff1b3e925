//! Activations out of one npz with `x`, `mask`, and perhaps `y`.

use std::collections::BTreeMap;
use std::path::Path;

use super::activations::classes_and_labels;
use crate::{
    ActivationError, ExternalActivations, ExternalConfig, NpzArray, NpzData, Targets, hash_file,
    read_npz_arrays,
};

type Arrays = BTreeMap<String, NpzArray>;

impl ExternalActivations {
    /// Reads one `.npz`; real tokens are packed, and bad examples left out.
    pub(super) fn read_npz(path: &Path, config: &ExternalConfig) -> Result<Self, ActivationError> {
        let with_labels = config.with_labels;
        let hash = hash_file(path)?;
        let optional = ["position", "input_ids", "y"];
        let optional = if with_labels { &optional[..] } else { &optional[..2] };
        let mut arrays = read_npz_arrays(path, &["x", "mask"], optional)?;

        let (shape, mut x) = take_x(path, &mut arrays)?;
        let [n, pos, d_model] = shape;
        let mask = take_mask(path, &mut arrays, shape)?;
        let (y, targets) = if config.label_kind.is_class() || !with_labels {
            (take_integers(path, &mut arrays, "y", shape, &[n])?, None)
        } else {
            (
                None,
                match arrays.remove("y") {
                    Some(y) => Some(Targets::from_array(path, config.label_kind, y, n)?),
                    None => None,
                },
            )
        };
        let position = take_integers(path, &mut arrays, "position", shape, &[n, pos])?;
        let input_ids = take_integers(path, &mut arrays, "input_ids", shape, &[n, pos])?;

        let (mut offsets, mut tokens) = (vec![0], Vec::new());
        let (mut source_rows, mut skipped) = (Vec::new(), Vec::new());
        for row in 0..n {
            let real = (row * pos..(row + 1) * pos).filter(|&token| mask[token]);
            let n_before = tokens.len();
            tokens.extend(real);
            let is_usable = |&token: &usize| {
                x[token * d_model..(token + 1) * d_model].iter().all(|value| value.is_finite())
            };
            if tokens.len() > n_before && tokens[n_before..].iter().all(is_usable) {
                offsets.push(tokens.len());
                source_rows.push(row);
            } else {
                tokens.truncate(n_before);
                skipped.push(row);
            }
        }
        if source_rows.is_empty() {
            let n_skipped = skipped.len();
            return Err(ActivationError::NoUsableExamples { path: path.to_owned(), n_skipped });
        }

        // Tokens only move to the front, so none is overwritten before it has moved.
        for (to, &from) in tokens.iter().enumerate() {
            x.copy_within(from * d_model..(from + 1) * d_model, to * d_model);
        }
        x.truncate(tokens.len() * d_model);
        x.shrink_to_fit();

        let packed = |values: Vec<i64>| tokens.iter().map(|&token| values[token]).collect();
        let names: Option<Vec<String>> =
            y.map(|y| source_rows.iter().map(|&row| y[row].to_string()).collect());
        let targets = targets.map(|targets| targets.rows(&source_rows));
        let (classes, labels) = match &targets {
            Some(targets) => (targets.names.clone(), Some(targets.strata())),
            None => classes_and_labels(names.as_deref()),
        };
        Ok(Self {
            x,
            offsets,
            labels,
            targets,
            classes,
            d_model,
            position: position.map(packed),
            input_ids: input_ids.map(packed),
            groups: None,
            source_rows,
            skipped,
            hash,
        })
    }
}

fn take_x(path: &Path, arrays: &mut Arrays) -> Result<([usize; 3], Vec<f32>), ActivationError> {
    let Some(NpzArray { shape, data }) = arrays.remove("x") else {
        let arrays = arrays.keys().cloned().collect();
        return Err(ActivationError::MissingArray { path: path.to_owned(), array: "x", arrays });
    };
    let axes = <[usize; 3]>::try_from(shape.as_slice()).ok().filter(|axes| !axes.contains(&0));
    match (axes, data.into_f32()) {
        (Some(axes), Some(x)) => Ok((axes, x)),
        _ => Err(ActivationError::ArrayShape {
            path: path.to_owned(),
            array: "x",
            shape,
            expected: "floats of shape [n, pos, d_model], no axis 0",
        }),
    }
}

/// `true` where the token is real.
fn take_mask(
    path: &Path,
    arrays: &mut Arrays,
    x_shape: [usize; 3],
) -> Result<Vec<bool>, ActivationError> {
    let [n, pos, _] = x_shape;
    let Some(data) = take(path, arrays, "mask", x_shape, &[n, pos])? else {
        let arrays = arrays.keys().cloned().collect();
        return Err(ActivationError::MissingArray { path: path.to_owned(), array: "mask", arrays });
    };
    let values: Vec<f64> = match data {
        NpzData::Bool(mask) => return Ok(mask),
        NpzData::F32(values) => values.into_iter().map(f64::from).collect(),
        NpzData::F64(values) => values,
        integers => {
            integers.into_i64().unwrap_or_default().into_iter().map(|value| value as f64).collect()
        }
    };
    let is_flag = |value: &f64| [0.0, 1.0].contains(value);
    match values.iter().position(|value| !is_flag(value)) {
        None => Ok(values.into_iter().map(|value| value > 0.5).collect()),
        Some(token) => Err(ActivationError::ArrayValue {
            path: path.to_owned(),
            array: "mask",
            example: token / pos,
            value: values[token],
            expected: "1 for a real token or 0 for padding",
        }),
    }
}

fn take_integers(
    path: &Path,
    arrays: &mut Arrays,
    name: &'static str,
    x_shape: [usize; 3],
    expected: &[usize],
) -> Result<Option<Vec<i64>>, ActivationError> {
    let Some(data) = take(path, arrays, name, x_shape, expected)? else {
        return Ok(None);
    };
    let floats = || ActivationError::FloatArray { path: path.to_owned(), array: name };
    data.into_i64().map(Some).ok_or_else(floats)
}

/// An array by name, if there is one; its shape must be as expected.
fn take(
    path: &Path,
    arrays: &mut Arrays,
    array: &'static str,
    x_shape: [usize; 3],
    expected: &[usize],
) -> Result<Option<NpzData>, ActivationError> {
    match arrays.remove(array) {
        None => Ok(None),
        Some(NpzArray { shape, data }) if shape == expected => Ok(Some(data)),
        Some(NpzArray { shape, .. }) => Err(ActivationError::ArrayMismatch {
            path: path.to_owned(),
            array,
            shape,
            x_shape: x_shape.to_vec(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_npz;

    fn read(arrays: &[(&str, NpzArray)]) -> Result<ExternalActivations, ActivationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        write_npz(&path, arrays).unwrap();
        ExternalActivations::read(path)
    }

    /// Four examples of two tokens of width two, numbered from 0.
    fn x() -> Vec<f32> {
        (0..16_u8).map(f32::from).collect()
    }

    fn array(shape: &[usize], data: impl Into<NpzData>) -> NpzArray {
        NpzArray::new(shape.to_vec(), data)
    }

    #[test]
    fn real_tokens_are_packed_and_bad_examples_left_out() {
        let mut x = x();
        x[5] = f32::NAN; // example 1, token 0: a real token
        x[13] = f32::INFINITY; // example 3, token 0: padding
        let activations = read(&[
            ("x", array(&[4, 2, 2], x)),
            ("mask", array(&[4, 2], vec![1_i64, 1, 1, 1, 0, 0, 0, 1])),
            ("y", array(&[4], vec![10_i32, 3, 4, 9])),
            ("input_ids", array(&[4, 2], (20..28_i64).collect::<Vec<_>>())),
            ("notes", array(&[], vec![1_u8])),
        ])
        .unwrap();
        assert_eq!(activations.x, [0.0, 1.0, 2.0, 3.0, 14.0, 15.0]);
        assert_eq!(activations.offsets, [0, 2, 3]);
        assert_eq!(activations.input_ids, Some(vec![20, 21, 27]));
        assert_eq!((activations.source_rows, activations.skipped), (vec![0, 3], vec![1, 2]));
        assert_eq!(activations.classes, ["9", "10"]);
        assert_eq!(activations.labels, Some(vec![1, 0]));
        assert_eq!((activations.d_model, activations.position), (2, None));
    }

    #[test]
    fn labels_may_be_absent_and_a_mask_of_any_type() {
        let flags = [true, false, true, true, true, true, true, true];
        let masks: [NpzData; 4] = [
            flags.to_vec().into(),
            flags.map(u8::from).to_vec().into(),
            flags.map(|flag| f32::from(u8::from(flag))).to_vec().into(),
            flags.map(|flag| f64::from(u8::from(flag))).to_vec().into(),
        ];
        for mask in masks {
            let activations =
                read(&[("x", array(&[4, 2, 2], x())), ("mask", array(&[4, 2], mask))]).unwrap();
            assert_eq!(activations.offsets, [0, 1, 3, 5, 7]);
            assert_eq!(activations.labels, None);
            assert!(activations.classes.is_empty());
        }
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        let good = || ("x", array(&[4, 2, 2], x()));
        let ones = || ("mask", array(&[4, 2], vec![1_u8; 8]));
        let error = read(&[good(), ("mask", array(&[2, 4], vec![1_u8; 8]))]).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("has shape [2, 4], which contradicts `x` with shape [4, 2, 2]")
        );
        let result = read(&[good(), ones(), ("y", array(&[3], vec![0_i64; 3]))]);
        assert!(matches!(result, Err(ActivationError::ArrayMismatch { array: "y", .. })));
        let result = read(&[good(), ones(), ("y", array(&[4], vec![0.0_f32; 4]))]);
        assert!(matches!(result, Err(ActivationError::FloatArray { array: "y", .. })));
        let result = read(&[good(), ("mask", array(&[4, 2], vec![2_u8; 8]))]);
        assert!(matches!(result, Err(ActivationError::ArrayValue { array: "mask", .. })));
        let result = read(&[good()]);
        assert!(matches!(result, Err(ActivationError::MissingArray { array: "mask", .. })));
        let result = read(&[("x", array(&[8, 2], x())), ones()]);
        assert!(matches!(result, Err(ActivationError::ArrayShape { array: "x", .. })));
        let result = read(&[good(), ("mask", array(&[4, 2], vec![0_u8; 8]))]);
        assert!(matches!(result, Err(ActivationError::NoUsableExamples { n_skipped: 4, .. })));
    }
}
