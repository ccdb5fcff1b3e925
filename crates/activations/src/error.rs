//! Why data could not be read, split, turned into activations, or written.

use std::borrow::Cow;
use std::path::PathBuf;

use attention_probes_errors::{FileError, Stopped, ValueError, did_you_mean, nearest};
use attention_probes_models::{HookPoint, ModelError};

use crate::wording::{gib, listed, shown};
use crate::{
    Component, ExternalError, ExtractError, HaystackError, NpyError, ShardError, Site, SplitError,
    SplitFault, TableError, Target,
};

/// Why data could not be read, split, turned into activations, or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActivationError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A number of rows in memory is out of range.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// An npz is no zip archive, or a damaged one.
    #[error("`{}` is not a readable npz archive", path.display())]
    Zip {
        /// The file.
        path: PathBuf,
        /// What is wrong with the archive.
        source: zip::result::ZipError,
    },
    /// An array in an npz could not be read.
    #[error("cannot read array `{array}` of `{}`", path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// What is wrong with it.
        source: NpyError,
    },
    /// An array holds floats where numbers are counted.
    #[error("array `{array}` of `{}` holds floats, expected integers", path.display())]
    FloatArray {
        /// The file.
        path: PathBuf,
        /// The array.
        array: &'static str,
    },
    /// An npz lacks an array.
    #[error("`{}` has no array `{}`; arrays: {}", path.display(), shown(array), listed(arrays))]
    MissingArray {
        /// The file.
        path: PathBuf,
        /// The array that was asked for.
        array: String,
        /// The arrays that exist.
        arrays: Vec<String>,
    },
    /// An array has another shape than it should.
    #[error("array `{}` of `{}` has shape {shape:?}, expected {expected}", shown(array), path.display())]
    ArrayShape {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The shape that was expected, in words.
        expected: &'static str,
    },
    /// Two arrays contradict each other.
    #[error(
        "array `{array}` of `{}` has shape {shape:?}, which contradicts `x` with shape {x_shape:?}",
        path.display()
    )]
    ArrayMismatch {
        /// The file.
        path: PathBuf,
        /// The array.
        array: &'static str,
        /// Its shape.
        shape: Vec<usize>,
        /// Shape of the activations.
        x_shape: Vec<usize>,
    },
    /// An array has an entry that makes no sense for it.
    #[error(
        "array `{array}` of `{}` has {value} at example {example}, expected {expected}",
        path.display()
    )]
    ArrayValue {
        /// The file.
        path: PathBuf,
        /// The array.
        array: &'static str,
        /// Index along the first axis.
        example: usize,
        /// The entry.
        value: f64,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A task asks where there is no token.
    #[error("the task `{task}` asks after {n_tokens} tokens of text {row}, which has {n_there}")]
    TaskPlace {
        /// Name of the task.
        task: String,
        /// Row of the text in its data set.
        row: usize,
        /// After how many tokens it asks.
        n_tokens: usize,
        /// How many there are.
        n_there: usize,
    },
    /// A label is not what labels were said to be.
    #[error("`{}`: row {row}: `{column}` is `{value}`, expected {expected}", path.display())]
    BadTarget {
        /// The file.
        path: PathBuf,
        /// Row of the data, from 1, header and blank lines not counted.
        row: usize,
        /// The column, or the array.
        column: String,
        /// What stands there.
        value: String,
        /// What would have been accepted.
        expected: Cow<'static, str>,
    },
    /// Texts that may have several labels each have none at all.
    #[error("`{}`: no row has a label in `{column}`", path.display())]
    NoLabel {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// Activations that have been computed before could not be used.
    #[error(transparent)]
    External {
        /// What is wrong with them.
        #[from]
        source: ExternalError,
    },
    /// A data file could not be read as a table.
    #[error(transparent)]
    Table {
        /// What is wrong with it.
        #[from]
        source: TableError,
    },
    /// A data set of Gurnee et al. could not be read.
    #[error(transparent)]
    Haystack {
        /// What is wrong with it.
        #[from]
        source: HaystackError,
    },
    /// An address does not name a data set of the Hub.
    #[error(
        "`{}` is no data set, expected `hf://datasets/org/name`, perhaps with `@revision` and \
         `/path` behind it",
        path.display()
    )]
    Location {
        /// What was given.
        path: PathBuf,
    },
    /// It is not clear which files are of a split.
    #[error("split `{split}` of `{}`: {fault}", path.display())]
    SplitFiles {
        /// The data set.
        path: PathBuf,
        /// The split.
        split: String,
        /// Why not.
        fault: SplitFault,
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
    /// The Hub does not hand out a data set.
    #[error("cannot get `{}`", path.display())]
    Hub {
        /// The data set.
        path: PathBuf,
        /// Why not.
        source: Box<ModelError>,
    },
    /// A data file is not what it was when it was read before.
    #[error("`{}` has changed while it was read; begin again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A data set has no row with text.
    #[error("`{name}` has no text: {n_rows} rows, all of them empty; is this the text column?")]
    NoText {
        /// The file, or the name of the data set.
        name: String,
        /// Number of rows.
        n_rows: usize,
    },
    /// Every label is alike.
    #[error("every label of `{name}` is `{}`, expected at least two classes", shown(class))]
    OneClass {
        /// The file, or the name of the data set.
        name: String,
        /// The class.
        class: String,
    },
    /// Two arguments that describe the same examples differ in length.
    #[error("`{name}` has length {length}, expected {expected}")]
    LengthMismatch {
        /// The argument.
        name: &'static str,
        /// Its length.
        length: usize,
        /// The length that would fit.
        expected: usize,
    },
    /// A label is no index of a class.
    #[error("label {label} of example {index} is not below the number of classes, {n_classes}")]
    LabelOutOfRange {
        /// The example.
        index: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        n_classes: usize,
    },
    /// Examples could not be divided into sides.
    #[error(transparent)]
    Split {
        /// Why not.
        #[from]
        source: SplitError,
    },
    /// A text could not be turned into tokens.
    #[error("text {row} cannot be turned into tokens")]
    Tokenize {
        /// Row of the text in its file, from 0.
        row: usize,
        /// What the tokenizer said.
        source: Box<ModelError>,
    },
    /// No text has a token.
    #[error("none of {n_texts} texts has a token; is this the tokenizer of the language?")]
    NoTokens {
        /// Number of texts.
        n_texts: usize,
    },
    /// Another process writes into a folder.
    #[error("`{}` is in use by another process; wait for it, or choose another folder", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The target of a token task could not be turned into tokens.
    #[error("`target` cannot be turned into tokens")]
    TokenizeTarget {
        /// What the tokenizer said.
        source: ModelError,
    },
    /// No tagged word has a token of its own.
    #[error(
        "no word of `{name}` that has a tag ends in a token of its own; is this the tokenizer of \
         the language, and `max_tokens` large enough?"
    )]
    NoWords {
        /// Name of the data set.
        name: String,
    },
    /// The target of a token task has no token.
    #[error("`target` is `{}`, which has no token; give a text such as \" the\"", shown(target))]
    EmptyTarget {
        /// The text.
        target: String,
    },
    /// The target of a token task does not occur, or so rarely that no example has it.
    #[error(
        "`target` is `{}`, in tokens {}, which is at {} of the {n_places} places that the task \
         looks at{}; a word in a text often has a space before it",
        shown(&target.to_string()),
        listed(pieces),
        if *n_found == 0 { "none".to_owned() } else { format!("only {n_found}") },
        if *n_found == 0 { "" } else { ", and none of these was drawn" }
    )]
    TargetMissing {
        /// The target.
        target: Target,
        /// The tokens of each of its texts, as the vocabulary spells them.
        pieces: Vec<String>,
        /// Number of places where it is.
        n_found: usize,
        /// Number of places where the target could have been.
        n_places: usize,
    },
    /// The model refused a batch.
    #[error("the model cannot run on the data")]
    Model {
        /// What the model said.
        source: ModelError,
    },
    /// Activations were asked for at no place.
    #[error("no layer and component is given, expected at least one")]
    NoSites,
    /// Places whose activations differ in width cannot be kept together.
    #[error("`{first}` is {first_width} wide and `{other}` {other_width}; run them separately")]
    SiteWidths {
        /// The first place.
        first: Site,
        /// Its width.
        first_width: usize,
        /// A place of another width.
        other: Site,
        /// Its width.
        other_width: usize,
    },
    /// A component has a name that is not known.
    #[error(
        "component `{}` is not known, expected resid_pre, resid_mid, resid_post, attn_out, \
         mlp_out, or z{}",
        shown(name),
        did_you_mean(nearest(name, Component::ALL.map(Component::name)))
    )]
    Component {
        /// The name.
        name: String,
    },
    /// Activations were asked for that are not there.
    #[error(
        "there are no activations for the first {end} tokens of sequence {sequence}: it was not \
         asked for, was skipped, or is shorter"
    )]
    NoActivations {
        /// The sequence.
        sequence: usize,
        /// Number of tokens.
        end: usize,
    },
    /// A sequence has NaN or infinity among its activations.
    #[error("`{hook}` of sequence {sequence} has {value} at value {index}; leave the sequence out")]
    NotFinite {
        /// The sequence.
        sequence: usize,
        /// The hook.
        hook: HookPoint,
        /// Index among the values of the sequence at this hook.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The caller asked to stop.
    #[error("stopped before all sequences were run")]
    Stopped,
    /// Every sequence has NaN or infinity among its activations.
    #[error("all {n_sequences} sequences have NaN or infinity among their activations")]
    NothingFinite {
        /// Number of sequences.
        n_sequences: usize,
    },
    /// Activations do not fit the memory that is set aside for them.
    #[error(
        "activations take {} GiB, but the memory budget is {} GiB; raise it, or set the storage \
         to `disk` or `recompute`",
        gib(*needed_bytes), gib(*budget_bytes)
    )]
    MemoryBudget {
        /// Bytes that the activations take.
        needed_bytes: u64,
        /// Bytes that are set aside.
        budget_bytes: u64,
    },
    /// A word is no place to keep activations.
    #[error("`{name}` is unknown, use auto, recompute, memory, or disk")]
    UnknownStorage {
        /// The word.
        name: String,
    },
    /// Activations should be kept on disk, but no folder is given.
    #[error("storage is `disk`, but no folder for the activations is given")]
    NoFolder,
    /// Activations could not be extracted.
    #[error(transparent)]
    Extract {
        /// Why not.
        #[from]
        source: ExtractError,
    },
    /// A folder of shards could not be used.
    #[error(transparent)]
    Shards {
        /// What is wrong with it.
        #[from]
        source: ShardError,
    },
    /// A source of activations that is not of this crate failed.
    #[error(transparent)]
    Foreign(Box<dyn std::error::Error + Send + Sync>),
}

impl From<ModelError> for ActivationError {
    fn from(source: ModelError) -> Self {
        match source {
            ModelError::Stopped(stopped) => stopped.into(),
            source => Self::Model { source },
        }
    }
}

impl From<Stopped> for ActivationError {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}
