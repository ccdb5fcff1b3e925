//! Why activations could not be extracted.

use std::fmt;
use std::path::PathBuf;

use attention_probes_errors::ErrorKind;
use attention_probes_models::HookPoint;

use crate::wording::listed;

/// Why activations could not be extracted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The name of an output does not tell its form.
    #[error(
        "`{}` is neither .safetensors nor .npz by its name, nor a folder, whose name has no ending",
        path.display()
    )]
    OutputName {
        /// The output.
        path: PathBuf,
    },
    /// An npz cannot hold bf16.
    #[error(
        "bf16 cannot be kept in `{}`, as numpy has no such type; write .safetensors, a folder, or \
         f32",
        path.display()
    )]
    NpzBf16 {
        /// The npz.
        path: PathBuf,
    },
    /// A file of token ids is no complete safetensors file.
    #[error("`{}` is truncated or has an invalid header: write it again", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: safetensors::SafeTensorError,
    },
    /// A file of token ids has none.
    #[error(
        "`{}` has no tensor `input_ids`; tensors: {}",
        path.display(),
        if names.is_empty() { "none".to_owned() } else { listed(names) }
    )]
    NoIds {
        /// The file.
        path: PathBuf,
        /// The tensors that it has.
        names: Vec<String>,
    },
    /// A tensor of token ids, or its mask, is not what it should be.
    #[error("`{}`: tensor `{tensor}` {fault}", path.display())]
    Ids {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: &'static str,
        /// What is wrong with it.
        fault: IdsFault,
    },
    /// Texts have NaN or infinity among their activations, and that is refused.
    #[error(
        "{}text {text} of `{}` has NaN or infinity, one of {n_texts} such texts; leave them out, \
         or allow them",
        hook.map_or_else(String::new, |hook| format!("`{hook}` of ")),
        path.display()
    )]
    NonFiniteTexts {
        /// Where the first one has such a value, if it is known.
        hook: Option<HookPoint>,
        /// The first such text.
        text: usize,
        /// Where it comes from.
        path: PathBuf,
        /// Number of such texts.
        n_texts: usize,
    },
}

impl ExtractError {
    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// What is wrong with a tensor of token ids, or with its mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdsFault {
    /// It does not have two axes.
    Axes {
        /// Its shape.
        shape: Vec<usize>,
    },
    /// It has no value.
    NoToken {
        /// Its shape.
        shape: Vec<usize>,
    },
    /// It is not of the ids' shape.
    Shape {
        /// Its shape.
        shape: Vec<usize>,
        /// That of the ids.
        expected: [usize; 2],
    },
    /// It is not int64.
    Dtype {
        /// What it is.
        found: String,
    },
    /// A value is no token id.
    Id {
        /// The value.
        value: i64,
        /// Row and position.
        place: [usize; 2],
    },
    /// A value of the mask is neither 0 nor 1.
    Mask {
        /// The value.
        value: i64,
        /// Row and position.
        place: [usize; 2],
    },
    /// The mask hides everything.
    NoOne,
}

impl fmt::Display for IdsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Axes { shape } => write!(f, "has shape {shape:?}, expected [batch, pos]"),
            Self::NoToken { shape } => write!(f, "has shape {shape:?}, expected a token"),
            Self::Shape { shape, expected } => {
                write!(f, "has shape {shape:?}, but `input_ids` has shape {expected:?}")
            }
            Self::Dtype { found } => write!(f, "is {found}, expected I64"),
            Self::Id { value, place: [row, pos] } => {
                write!(f, "has {value} at row {row}, position {pos}, expected a token id")
            }
            Self::Mask { value, place: [row, pos] } => write!(
                f,
                "has {value} at row {row}, position {pos}, expected 1 for a real token or 0 for \
                 padding"
            ),
            Self::NoOne => write!(f, "has no 1, so there is no real token"),
        }
    }
}
