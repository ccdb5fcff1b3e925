//! Why activations that have been computed before could not be used.

use std::path::PathBuf;

use attention_probes_errors::ErrorKind;

use crate::wording::{listed, shown};

/// Why activations that have been computed before could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// An array is compressed in a way that is not read.
    #[error(
        "array `{}` of `{}` is compressed with {method}, expected what `numpy.savez` or \
         `numpy.savez_compressed` writes",
        shown(array), path.display()
    )]
    Compression {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// How it is compressed.
        method: String,
    },
    /// An array has a type that makes no sense for it.
    #[error("array `{}` of `{}` holds {dtype}, expected {expected}", shown(array), path.display())]
    ArrayType {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// Its type, as in `numpy`.
        dtype: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// Numbers are given where classes are needed.
    #[error(
        "array `y` of `{}` has {value} at example {example}, which is no class; set `label_kind` to \
         `number`, or round it",
        path.display()
    )]
    FractionalLabel {
        /// The file.
        path: PathBuf,
        /// The example.
        example: usize,
        /// Its label.
        value: f64,
    },
    /// A label is no index of a class name.
    #[error(
        "array `y` of `{}` has {label} at example {example}, but `class_names` has {n_classes} \
         names; give one for each class, or leave `class_names` out",
        path.display()
    )]
    LabelWithoutName {
        /// The file.
        path: PathBuf,
        /// The example.
        example: usize,
        /// Its label.
        label: i64,
        /// Number of names.
        n_classes: usize,
    },
    /// A label is a string that is no class name.
    #[error(
        "array `y` of `{}` has `{}` at example {example}, which is not in `class_names`: {}",
        path.display(), shown(label), listed(class_names)
    )]
    UnknownLabel {
        /// The file.
        path: PathBuf,
        /// The example.
        example: usize,
        /// Its label.
        label: String,
        /// The names.
        class_names: Vec<String>,
    },
    /// What a file says about itself makes no sense.
    #[error("`{}` has `{field}` `{}`, expected {expected}", path.display(), shown(value))]
    Field {
        /// The file.
        path: PathBuf,
        /// Which array or metadata.
        field: String,
        /// What stands there.
        value: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// Two arrays of activations that are to stand side by side differ in examples or tokens.
    #[error(
        "array `{}` of `{}` has shape {shape:?}, which contradicts `{}` with shape {other_shape:?}",
        shown(array), path.display(), shown(other)
    )]
    SiteShape {
        /// The file.
        path: PathBuf,
        /// The array.
        array: Box<str>,
        /// Its shape, `[n, pos, d_model]`.
        shape: Box<[usize]>,
        /// The array that was read before.
        other: Box<str>,
        /// The shape of that.
        other_shape: Box<[usize]>,
    },
    /// A file has no activations, or none that can be told.
    #[error(
        "`{}` has no activations: expected an array `x`, `x.<layer>`, or one named as a hook; \
         arrays: {}",
        path.display(), listed(arrays)
    )]
    NoActivations {
        /// The file.
        path: PathBuf,
        /// The arrays that exist.
        arrays: Vec<String>,
    },
    /// A safetensors file is damaged, or no such file.
    #[error("`{}` is not a readable safetensors file; download or write it again", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// Targets other than classes are asked of a folder, which has only classes.
    #[error(
        "`{}` is a folder, whose labels are classes; other labels come from one .npz, as `y`",
        path.display()
    )]
    FolderTargets {
        /// The folder.
        path: PathBuf,
    },
    /// Activations have no example without NaN or infinity, with a real token, and with a label if
    /// labels are read.
    #[error(
        "`{}` has no usable example: all {n_skipped} have NaN, infinity, no real token, or no \
         label",
        path.display()
    )]
    NoUsableExamples {
        /// The file.
        path: PathBuf,
        /// Number of examples that were skipped.
        n_skipped: usize,
    },
    /// A padding token is given where padding is told by a mask, or where there is none.
    #[error(
        "`{}` is no MOSAIC folder, and only there a padding token makes sense; remove \
         `pad_token_id`",
        path.display()
    )]
    PadToken {
        /// The activations.
        path: PathBuf,
    },
    /// A table of MOSAIC names a file that is not there.
    #[error(
        "`{}` row {row} names `{}`, which is not below the folder of the table",
        path.display(),
        shown(file)
    )]
    MosaicFile {
        /// The table.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The file.
        file: String,
    },
    /// A label of MOSAIC is of several places, or of none that can be read.
    #[error(
        "`{}` row {row} has the label `{}`, expected one place such as `POSITIONAL|10:14:verb`; \
         write a row for each place",
        path.display(),
        shown(label)
    )]
    MosaicLabel {
        /// The table.
        path: PathBuf,
        /// The row, from 0.
        row: usize,
        /// The label.
        label: String,
    },
}

impl ExternalError {
    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }

    /// Whether a file that a table of MOSAIC names is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::MosaicFile { .. })
    }
}
