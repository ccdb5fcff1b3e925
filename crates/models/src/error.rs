//! What can go wrong when a model or tokenizer is loaded or run.

use std::path::PathBuf;

use attention_probes_errors::{FileError, JsonFileError, Stopped, did_you_mean, nearest};

use crate::tokenizer::MAX_ID;
use crate::{Dtype, HubError};

/// Why a model could not be loaded or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody asked to stop.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A JSON file is not valid JSON, or a field has the wrong type.
    #[error(transparent)]
    Json(#[from] JsonFileError),
    /// A model name is neither an embedded model, nor a directory, nor one of the Hub's.
    #[error(
        "`{name}` is neither an embedded model ({embedded}), nor a directory with a `config.json`, \
         nor the name of a repository on the Hub{}",
        did_you_mean(nearest(name, embedded.split(", ")))
    )]
    UnknownModel {
        /// What the caller asked for.
        name: String,
        /// The embedded models, separated by commas.
        embedded: &'static str,
    },
    /// A name is no embedded model and no directory; whether it is one of the Hub's was not asked,
    /// since no [`HubAccess`](crate::HubAccess) was given.
    #[error(
        "`{name}` is neither an embedded model ({embedded}{}), nor a directory with a \
         `config.json`; to open it as a repository on the Hub, give a `HubAccess`",
        did_you_mean(nearest(name, embedded.split(", ")))
    )]
    NoHubAccess {
        /// What the caller asked for.
        name: String,
        /// The embedded models, separated by commas.
        embedded: &'static str,
    },
    /// A name is that of a model in another library, and not on the Hub.
    #[error("`{name}` is what TransformerLens calls `{repository}`: use that name")]
    OtherName {
        /// What the caller asked for.
        name: String,
        /// The repository on the Hub.
        repository: String,
    },
    /// A model of the Hub is not in the cache, or could not be downloaded.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The checkpoint is of a family this version does not run.
    #[error(
        "`{}`: model_type `{model_type}` is not supported, use one of: {supported}",
        path.display()
    )]
    UnsupportedArchitecture {
        /// The configuration file.
        path: PathBuf,
        /// Its `model_type`.
        model_type: String,
        /// What would have been accepted.
        supported: &'static str,
    },
    /// A configuration field has a value that this version cannot honour.
    #[error("`{}`: `{field}` is {value}, expected {expected}", path.display())]
    ConfigField {
        /// The configuration file.
        path: PathBuf,
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// Two fields of a configuration are spellings of one setting, and differ.
    #[error(
        "`{}`: `{field}` is {value}, but `{other}` is {other_value}: both spell one setting, make \
         them equal or leave one out",
        path.display()
    )]
    ConfigContradiction {
        /// The configuration file.
        path: PathBuf,
        /// One spelling.
        field: Box<str>,
        /// Its value.
        value: Box<str>,
        /// The other spelling.
        other: Box<str>,
        /// Its value.
        other_value: Box<str>,
    },
    /// A weight file is missing from the directory.
    #[error("`{}` is missing: the checkpoint is incomplete, download it again", path.display())]
    MissingFile {
        /// The file that should be there.
        path: PathBuf,
    },
    /// A weight file is not a complete safetensors file.
    #[error("`{}` is truncated or has an invalid header: download it again", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: safetensors::SafeTensorError,
    },
    /// A tensor the architecture needs is not in the checkpoint.
    #[error("tensor `{tensor}` is missing from `{}`", path.display())]
    MissingTensor {
        /// The tensor's name in the checkpoint.
        tensor: String,
        /// The file or directory it was looked for in.
        path: PathBuf,
    },
    /// A tensor the architecture needs is there under a longer name.
    #[error(
        "tensor `{tensor}` is missing from `{}`, which has `{found}`: save the model without what \
         wraps it, or take `{prefix}` off the names",
        path.display()
    )]
    WrappedTensor {
        /// The tensor's name in a checkpoint of the architecture.
        tensor: String,
        /// The file or directory it was looked for in.
        path: PathBuf,
        /// The name that the file has.
        found: String,
        /// What stands before the name there.
        prefix: String,
    },
    /// A folder holds an adapter, which is not applied to its base model here.
    #[error(
        "`{}` is of an adapter, and adapters are not applied: merge it into its base model \
         (`merge_and_unload()` of PEFT), save that, and use its folder",
        path.display()
    )]
    Adapter {
        /// The file that describes the adapter.
        path: PathBuf,
    },
    /// Weights of an adapter are among those of a model.
    #[error(
        "tensor `{tensor}` of `{}` is of an adapter, and adapters are not applied: merge it into \
         its base model (`merge_and_unload()` of PEFT), and save that",
        path.display()
    )]
    AdapterTensor {
        /// The tensor.
        tensor: String,
        /// The file or directory it is in.
        path: PathBuf,
    },
    /// A file is what git leaves of a large one where Git LFS is not installed.
    #[error(
        "`{}` is a Git LFS pointer, not the file itself: run `git lfs pull` where it was cloned, \
         or download the file",
        path.display()
    )]
    LfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// A file that describes something is too long for that.
    #[error("`{}` has {size_bytes} bytes, expected a description of at most {max_bytes}", path.display())]
    DescriptionSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        size_bytes: u64,
        /// The largest that is read.
        max_bytes: u64,
    },
    /// A tensor has another shape than the configuration implies.
    #[error("tensor `{tensor}` has shape {found:?}, expected shape {expected:?}")]
    TensorShape {
        /// The tensor's name in the checkpoint.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that follows from the configuration.
        expected: Vec<usize>,
    },
    /// A tensor is stored in a number format that is not read.
    #[error("tensor `{tensor}` has dtype {dtype}, expected F32, F16, or BF16")]
    TensorDtype {
        /// The tensor's name in the checkpoint.
        tensor: String,
        /// Its dtype.
        dtype: String,
    },
    /// A number format has another name.
    #[error("`{name}` is no number format, expected auto, f32, bf16, or f16")]
    UnknownDtype {
        /// What the caller wrote.
        name: String,
    },
    /// A device does not compute in a number format.
    #[error("device `{device}` does not compute in {dtype}, use f32")]
    DeviceDtype {
        /// The format.
        dtype: Dtype,
        /// The device.
        device: String,
    },
    /// Activations of an architecture do not fit into a number format.
    #[error(
        "gemma 3 cannot run in f16: its residual stream passes 65504, the largest number of that \
         format; use bf16 or f32"
    )]
    F16Overflow,
    /// A hook name is not one of the model's.
    #[error("unknown hook `{name}`, did you mean {near}?")]
    UnknownHook {
        /// What the caller wrote.
        name: String,
        /// The most similar names.
        near: String,
    },
    /// A name stands for the hooks of all layers where one hook is needed.
    #[error("`{name}` stands for the hooks of all layers, expected one such as `{first}`")]
    HookWildcard {
        /// What the caller wrote.
        name: String,
        /// The hook of the first layer.
        first: String,
    },
    /// A hook names a layer the model does not have.
    #[error("hook `{hook}` is of layer {layer}, but the model has {n_layers} layers")]
    LayerOutOfRange {
        /// The hook.
        hook: String,
        /// Its layer.
        layer: usize,
        /// How many layers there are.
        n_layers: usize,
    },
    /// The model has no such hook, or it lies before the place where the pass starts.
    #[error("the model does not meet hook `{hook}`; `docs/hooks.md` lists those of each family")]
    NoSuchHook {
        /// The hook.
        hook: String,
    },
    /// A pass cannot start where it was asked to.
    #[error(
        "cannot start at layer {layer} with a residual stream of shape {found:?}, expected shape \
         {expected:?} and a layer of the model"
    )]
    Start {
        /// The layer.
        layer: usize,
        /// Shape of the residual stream.
        found: Vec<usize>,
        /// The shape that fits the batch and the model.
        expected: Vec<usize>,
    },
    /// A change does not have the shape of the activation that it is made to.
    #[error("a change at `{hook}` has shape {found:?}, the activation has {expected:?}")]
    InterventionShape {
        /// The hook.
        hook: String,
        /// Shape of the change, heads as the third axis.
        found: Vec<usize>,
        /// Shape of the activation, heads as the third axis.
        expected: Vec<usize>,
    },
    /// A change is to be made at a position or head that the activation does not have.
    #[error("a change at `{hook}` names {axis} {index}, but there are {length}")]
    InterventionIndex {
        /// The hook.
        hook: String,
        /// `position` or `head`.
        axis: &'static str,
        /// The index, or the number of entries of a mask.
        index: usize,
        /// How many there are.
        length: usize,
    },
    /// A token id is outside the vocabulary of the model.
    #[error("token id {id} is outside the model's vocabulary of {d_vocab}")]
    TokenOutOfRange {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        d_vocab: usize,
    },
    /// A token id is larger than that of any vocabulary.
    #[error("token id {id} is no number of a vocabulary, expected at most {MAX_ID}")]
    TokenId {
        /// The id.
        id: u32,
    },
    /// A text is longer than the model's context.
    #[error("a text has {found} tokens, but the model's context is {n_ctx}: truncate it")]
    ContextLength {
        /// Tokens of the longest text.
        found: usize,
        /// Longest text the model can read.
        n_ctx: usize,
    },
    /// A model left out what it was asked for, a fault of its
    /// [`run`](crate::HookedModel::run).
    #[error("the model did not return `{output}`, which it was asked for")]
    NotReturned {
        /// The hook, or `logits`.
        output: String,
    },
    /// A device did not hand over a tensor.
    #[error("cannot read a tensor from the device")]
    Device {
        /// What the device said.
        source: burn::tensor::TensorReadError,
    },
    /// The batch holds no text at all.
    #[error("the batch is empty")]
    EmptyBatch,
    /// A file of a tokenizer is damaged.
    #[error("`{}` is damaged or not of a tokenizer: download it again", path.display())]
    TokenizerFile {
        /// The file.
        path: PathBuf,
        /// What the tokenizers library said.
        source: tokenizers::Error,
    },
    /// A tokenizer in memory is damaged, or a text could not be encoded or decoded.
    #[error("the tokenizer cannot be used on this")]
    Tokenizer {
        /// What the tokenizers library said.
        source: tokenizers::Error,
    },
    /// A model that is not of this crate lacks something that is asked of it.
    #[error("this model does not give {what}")]
    NotSupported {
        /// What it does not give.
        what: &'static str,
    },
    /// A model that is not of this crate failed.
    #[error(transparent)]
    Foreign(Box<dyn std::error::Error + Send + Sync>),
    /// The embedded model's files do not fit together.
    #[error("the embedded model `{name}` is damaged")]
    Embedded {
        /// Which one.
        name: &'static str,
        /// Why.
        source: Box<ModelError>,
    },
}
