//! Activations that have been computed before: one npz with `x`, `mask`, and `y`, or a folder of
//! shards.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use crate::dataset::sorted_classes;
use crate::mosaic::is_mosaic_folder;
use crate::{
    ActivationError, HookLayout, LabelKind, NpzArray, NpzData, ShardError, ShardFolder, TableError,
    Targets, is_shard_folder, read_npz_arrays,
};

/// Activations of real tokens, packed without padding.
#[derive(Clone, Debug, PartialEq)]
pub struct ExternalActivations {
    /// Activations, `[n_tokens, d_model]`, row-major, examples one after the other.
    pub x: Vec<f32>,
    /// Where each example begins among the tokens, and at last the number of tokens: `[n + 1]`.
    pub offsets: Vec<usize>,
    /// Class of each example, an index into `classes`. `None` if the file has no `y`.
    pub labels: Option<Vec<usize>>,
    /// Labels that are no classes, a row for each example, if they were asked for.
    pub targets: Option<Targets>,
    /// Names of the classes, by number; those of the examples that were kept.
    pub classes: Vec<String>,
    /// Width of an activation.
    pub d_model: usize,
    /// Position of each token, `[n_tokens]`, if the file gives it.
    pub position: Option<Vec<i64>>,
    /// Token of the vocabulary at each token, `[n_tokens]`, if the file gives it.
    pub input_ids: Option<Vec<i64>>,
    /// Group of each example, where the source says which belong together.
    pub groups: Option<Vec<usize>>,
    /// Row in the file of each example that was kept, ascending; of a MOSAIC folder, number of its
    /// file.
    pub source_rows: Vec<usize>,
    /// Rows in the file that were left out: NaN or infinity in a real token, or no real token.
    pub skipped: Vec<usize>,
    /// BLAKE3 of the file, as hex.
    pub hash: String,
}

/// What to read of activations that have been computed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalConfig {
    /// Which hook of a folder of shards, or `<model>_<layer>` of a MOSAIC folder. Default none: the
    /// only one there.
    pub hook: Option<String>,
    /// Whether labels are read. Default true.
    pub with_labels: bool,
    /// What a label is. Default a class.
    pub label_kind: LabelKind,
    /// Token whose run at either end of an example of a MOSAIC folder is padding. Default none:
    /// every token is real.
    pub pad_token_id: Option<u32>,
}

impl Default for ExternalConfig {
    fn default() -> Self {
        Self { hook: None, with_labels: true, label_kind: LabelKind::Class, pad_token_id: None }
    }
}

impl ExternalActivations {
    /// Reads one `.npz`, in which other arrays are left alone, or a folder of shards.
    ///
    /// A folder must hold one hook; [`read_hook`](ExternalActivations::read_hook) takes one of
    /// several. Where it has labels, a row without one is left out.
    ///
    /// # Shapes
    ///
    /// - `x`: `[n, pos, d_model]`, a float type
    /// - `mask`: `[n, pos]`, any type, 1 where the token is real and 0 where it is padding
    /// - `y`: `[n]`, an integer type; may be absent
    /// - `position`, `input_ids`: `[n, pos]`, an integer type; may be absent
    ///
    /// # Errors
    ///
    /// - what [`read_npz_arrays`] returns for a damaged file or a missing `x` or `mask`
    /// - [`ActivationError::ArrayShape`] if `x` has not three axes, none of them 0, or is no float
    /// - [`ActivationError::ArrayMismatch`] if another array does not fit `x`
    /// - [`ActivationError::FloatArray`] if `y`, `position` or `input_ids` holds floats
    /// - [`ActivationError::ArrayValue`] if `mask` is anything but 0 or 1
    /// - [`ActivationError::NoUsableExamples`] if every example was left out
    /// - what [`ShardFolder`] returns for a folder that is damaged or not complete,
    ///   [`ShardError::SeveralHooks`], or [`ShardError::Pairs`]
    ///
    /// # Memory
    ///
    /// `x` as `f32`, padding included; it is packed in place.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ActivationError> {
        Self::read_with(path, &ExternalConfig::default())
    }

    /// As [`ExternalActivations::read`], for one hook of a folder of shards by name.
    ///
    /// # Errors
    ///
    /// - as [`ExternalActivations::read`]
    /// - [`ShardError::NoSuchHook`] if a hook is named that a folder does not have, or an npz
    ///
    /// # Memory
    ///
    /// As [`ExternalActivations::read`].
    pub fn read_hook(path: impl AsRef<Path>, hook: Option<&str>) -> Result<Self, ActivationError> {
        let hook = hook.map(str::to_owned);
        Self::read_with(path, &ExternalConfig { hook, ..ExternalConfig::default() })
    }

    /// As [`ExternalActivations::read`], as the config says; also a folder of MOSAIC, which has
    /// `<model>_<layer>_activations_metadata.csv` with the columns `npz_file`, `label`, and perhaps
    /// `sample_id`, whose equal values are one group, and an npz for each example.
    ///
    /// # Shapes
    ///
    /// In an npz of a MOSAIC folder:
    ///
    /// - `hidden_state`: `[pos, d_model]`, a float type
    /// - `input_ids`: `[pos]`, an integer type; may be absent
    ///
    /// # Errors
    ///
    /// - as [`ExternalActivations::read_hook`]
    /// - [`ActivationError::PadToken`] if a padding token is given for anything but a MOSAIC folder
    /// - [`ActivationError::Table`], [`ActivationError::MosaicFile`], or
    ///   [`ActivationError::MosaicLabel`] if the table of a MOSAIC folder or a row of it is at fault
    ///
    /// # Memory
    ///
    /// As [`ExternalActivations::read`].
    pub fn read_with(
        path: impl AsRef<Path>,
        config: &ExternalConfig,
    ) -> Result<Self, ActivationError> {
        let path = path.as_ref();
        if path.is_dir() && config.with_labels && !config.label_kind.is_class() {
            return Err(ActivationError::FolderTargets { path: path.to_owned() });
        }
        let (hook, with_labels) = (config.hook.as_deref(), config.with_labels);
        if path.is_dir() && !is_shard_folder(path) && is_mosaic_folder(path) {
            return Self::read_mosaic(path, config);
        }
        if config.pad_token_id.is_some() {
            return Err(ActivationError::PadToken { path: path.to_owned() });
        }
        if path.is_dir() {
            TableError::refuse_datasets_folder(path)?;
            return Self::read_shards(path, hook, with_labels);
        }
        if let Some(hook) = hook {
            let (path, hook) = (path.to_owned(), hook.to_owned());
            return Err(ShardError::NoSuchHook { path, hook, hooks: Vec::new() }.into());
        }
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

    /// Reads every part of a folder of shards.
    fn read_shards(
        path: &Path,
        hook: Option<&str>,
        with_labels: bool,
    ) -> Result<Self, ActivationError> {
        let folder = ShardFolder::open(path)?;
        let manifest = folder.manifest();
        let names = || manifest.hooks.iter().map(|hook| hook.name.clone()).collect();
        let index = match hook {
            Some(name) => {
                manifest.hooks.iter().position(|hook| hook.name == name).ok_or_else(|| {
                    let (path, hook) = (path.to_owned(), name.to_owned());
                    ShardError::NoSuchHook { path, hook, hooks: names() }
                })?
            }
            None if manifest.hooks.len() == 1 => 0,
            None => {
                let path = path.to_owned();
                return Err(ShardError::SeveralHooks { path, hooks: names() }.into());
            }
        };
        let hook = &manifest.hooks[index];
        if hook.layout == HookLayout::Pairs {
            let (path, hook) = (path.to_owned(), hook.name.clone());
            return Err(ShardError::Pairs { path, hook }.into());
        }
        let d_model = hook.shape.iter().product();
        let has_labels = with_labels && manifest.data.label.is_some();
        let (mut x, mut input_ids, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        let (mut source_rows, mut skipped, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let mut hasher = blake3::Hasher::new();
        hasher.update(hook.name.as_bytes());
        for (part, record) in folder.parts().enumerate() {
            hasher.update(record.hash.as_bytes());
            let part = folder.part(part)?;
            for (row, source_row) in part.rows().enumerate() {
                let values = part.activations(index, row);
                let label = part.label(row);
                let is_finite = values.iter().all(|value| value.is_finite());
                if values.is_empty() || !is_finite || has_labels && label.is_none() {
                    skipped.push(source_row);
                    continue;
                }
                x.extend(values);
                input_ids.extend(part.input_ids(row));
                offsets.push(input_ids.len());
                source_rows.push(source_row);
                names.extend(
                    label.filter(|_| has_labels).map(|label| manifest.data.classes[label].clone()),
                );
            }
        }
        if source_rows.is_empty() {
            let n_skipped = skipped.len();
            return Err(ActivationError::NoUsableExamples { path: path.to_owned(), n_skipped });
        }
        let (classes, labels) = classes_and_labels(has_labels.then_some(&names[..]));
        Ok(Self {
            x,
            offsets,
            labels,
            targets: None,
            classes,
            d_model,
            position: None,
            input_ids: Some(input_ids),
            groups: None,
            source_rows,
            skipped,
            hash: hasher.finalize().to_hex().to_string(),
        })
    }

    /// Why activations without labels cannot be used where labels are needed.
    pub fn no_labels(path: &Path) -> ActivationError {
        if path.is_dir() {
            return ShardError::NoLabels { path: path.to_owned() }.into();
        }
        let arrays = vec!["x".to_owned(), "mask".to_owned()];
        ActivationError::MissingArray { path: path.to_owned(), array: "y", arrays }
    }

    /// Number of examples that were kept.
    pub fn n_examples(&self) -> usize {
        self.source_rows.len()
    }
}

/// Classes by name, and the class of each example.
pub(crate) fn classes_and_labels(names: Option<&[String]>) -> (Vec<String>, Option<Vec<usize>>) {
    let classes = sorted_classes(names.unwrap_or_default().iter().map(String::as_str));
    let numbers: BTreeMap<&str, usize> =
        classes.iter().enumerate().map(|(index, class)| (class.as_str(), index)).collect();
    let labels = names.map(|names| names.iter().map(|name| numbers[name.as_str()]).collect());
    (classes, labels)
}

type Arrays = BTreeMap<String, NpzArray>;

/// BLAKE3 of a file, as hex.
///
/// # Errors
///
/// [`ActivationError::Read`] if it cannot be read.
pub fn hash_file(path: &Path) -> Result<String, ActivationError> {
    let mut hasher = blake3::Hasher::new();
    File::open(path)
        .and_then(|file| hasher.update_reader(file).map(|hasher| hasher.finalize()))
        .map(|hash| hash.to_hex().to_string())
        .map_err(|source| ActivationError::Read { path: path.to_owned(), source })
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
