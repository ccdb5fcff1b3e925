//! Why a sweep could not be planned, run, or resumed.

use std::path::PathBuf;

use attention_probes_activations::{ActivationError, Side};
use attention_probes_errors::{
    FileError, Stopped, TomlError, did_you_mean, listed, nearest, shown,
};
use attention_probes_metrics::MetricError;
use attention_probes_models::ModelError;
use attention_probes_probes::ProbeError;

/// Why a sweep could not be planned, run, or resumed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// A file or folder could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A signal to stop was given; a run goes on from what is written if it is resumed.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// A configuration is not valid TOML, or has an unknown key or a value of a wrong type.
    #[error("`{}` is not a valid sweep", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Where and why, with a caret.
        source: Box<TomlError>,
    },
    /// A list that must not be empty is.
    #[error("`{key}` is empty, give at least one value")]
    Empty {
        /// Key of the configuration.
        key: &'static str,
    },
    /// A number is out of range.
    #[error("`{key}` has {value}, expected {expected}")]
    Number {
        /// Key of the configuration.
        key: &'static str,
        /// What was given.
        value: f64,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A word is not one of those that are known.
    #[error(
        "`{key}` is `{value}`, expected {expected}{}",
        did_you_mean(nearest(value, expected.split([',', ' '])))
    )]
    Word {
        /// Key of the configuration.
        key: &'static str,
        /// What was given.
        value: String,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A key is set that the kind of probe has no use for.
    #[error("`{key}` is not allowed with a probe of kind `{kind}`, remove it")]
    IdleKey {
        /// The key.
        key: &'static str,
        /// The kind.
        kind: String,
    },
    /// Two entries would write the same files.
    #[error("two entries of `{key}` are called `{name}`, rename one")]
    Duplicate {
        /// Key of the configuration.
        key: &'static str,
        /// The name that stands twice.
        name: String,
    },
    /// Two numbers of an axis are the same in the names of files.
    #[error("`{key}` has {first} and {second}, which file names do not tell apart; remove one")]
    SameName {
        /// Key of the configuration.
        key: &'static str,
        /// The first number.
        first: f64,
        /// The number that is written like it.
        second: f64,
    },
    /// A key is not allowed with another.
    #[error("`{key}` {reason}")]
    Contradiction {
        /// Key of the configuration.
        key: &'static str,
        /// Why it cannot stand.
        reason: &'static str,
    },
    /// A layer is not one of the model's.
    #[error(
        "`activations.layers` has {layer}, but the model has {n_layers} layers, expected 0 to {}, or \
         -1 for the last",
        n_layers - 1
    )]
    Layer {
        /// The layer; negative ones count from the end.
        layer: i64,
        /// How many there are.
        n_layers: usize,
    },
    /// The output folder holds a run already.
    #[error(
        "`{}` holds a run already; resume it, overwrite it, or name another `run` or folder",
        path.display()
    )]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// The run to be resumed was made with another configuration.
    #[error(
        "`{}` was made with another configuration; resume with that one, overwrite it, or name \
         another `run` or folder",
        path.display()
    )]
    OtherConfig {
        /// The resolved configuration of the run.
        path: PathBuf,
    },
    /// No trial of any architecture on any experiment ended with finite numbers.
    #[error("every trial of the sweep diverged; lower `sweep.learning_rates`")]
    Diverged,
    /// A data set was read, but is not fit for what it is asked for.
    #[error("cannot use `{}`", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<ActivationError>,
    },
    /// A side of a split has no example of a class.
    #[error(
        "`{}`: the {side} side has no example of class `{}`, which has {n_examples} in all; add \
         examples of it, at least three, or remove them",
        path.display(), shown(name)
    )]
    SideWithoutClass {
        /// The file that is divided.
        path: PathBuf,
        /// The side.
        side: Side,
        /// The class, an index.
        class: usize,
        /// Its name.
        name: String,
        /// Number of its examples on all sides.
        n_examples: usize,
    },
    /// A side of a split has no example of a class, whose groups are too few.
    #[error(
        "`{}`: the {side} side has no example of class `{}`, whose {n_examples} examples lie in \
         {n_groups} groups, equal texts being one group; add other texts of the class, or group by \
         a finer column",
        path.display(), shown(name)
    )]
    GroupedClass {
        /// The file that is divided.
        path: PathBuf,
        /// The side.
        side: Side,
        /// The class, an index.
        class: usize,
        /// Its name.
        name: String,
        /// Number of its examples on all sides.
        n_examples: usize,
        /// Groups that these examples lie in.
        n_groups: usize,
    },
    /// A file of held-out examples has one class only.
    #[error(
        "`{}`, the {side} file, has one class only and no example of `{}`, so that no metric can \
         be computed; add examples of it",
        path.display(), shown(name)
    )]
    FileWithoutClass {
        /// The file.
        path: PathBuf,
        /// The side.
        side: Side,
        /// A class that it lacks.
        name: String,
    },
    /// Labels that are many numbers, of which nobody said that they are classes.
    #[error(
        "column `{column}` of `{}` has {n_values} different numbers; give \
         `label_kind = \"number\"` to predict a number, or `label_kind = \"class\"` if each is a \
         class",
        path.display()
    )]
    NumbersAsClasses {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// How many there are.
        n_values: usize,
    },
    /// The training examples of a data set cannot be divided into folds.
    #[error(
        "the {n_examples} training examples of `{}`, in {n_groups} groups, cannot be divided into \
         {n_folds} folds; lower `architectures.folds`, or add examples",
        path.display()
    )]
    Folds {
        /// The file.
        path: PathBuf,
        /// Number of folds.
        n_folds: usize,
        /// Number of training examples.
        n_examples: usize,
        /// Number of their groups, each example being one where there are none.
        n_groups: usize,
        /// Why.
        source: Box<ProbeError>,
    },
    /// Probes need more memory than there is.
    #[error(
        "the parameters of all trials need {:.2} GiB of memory at least, but there are {:.2} GiB; \
         lower the sizes of `{config_name}` in `[[architectures]]`, or try fewer settings",
        gib(*needed), gib(*there)
    )]
    Memory {
        /// Bytes that are needed.
        needed: u64,
        /// Bytes that the process may have.
        there: u64,
        /// The architecture that needs most.
        config_name: String,
    },
    /// A file of held-out examples has a class that there is nothing to train on.
    #[error(
        "`{}` has the class `{}`, which the training data lack; theirs are {}{}",
        path.display(),
        shown(class),
        listed(classes),
        did_you_mean(nearest(class, classes))
    )]
    UnknownClass {
        /// The file.
        path: PathBuf,
        /// The class.
        class: String,
        /// Classes of the training data.
        classes: Vec<String>,
    },
    /// The labels of a side of a split are all alike, so there is nothing to learn or to judge by.
    #[error(
        "`{}`: the {n_examples} values of `{column}` on the {side} side are all alike, expected \
         different ones; add examples, or change the split",
        path.display()
    )]
    Alike {
        /// The file.
        path: PathBuf,
        /// The column, or the array.
        column: String,
        /// The side.
        side: Side,
        /// Number of examples of the side.
        n_examples: usize,
    },
    /// A file of held-out activations is of another width than the one to train on.
    #[error("`{}` has activations of width {width}, the training data {expected}", path.display())]
    OtherWidth {
        /// The file.
        path: PathBuf,
        /// Its width.
        width: usize,
        /// Width of the training data.
        expected: usize,
    },
    /// Held-out activations are of another model than those to train on.
    #[error(
        "`{}` has activations of the {what} `{found}`, the training data of `{expected}`; hold out \
         activations of the same {what}",
        path.display()
    )]
    OtherOrigin {
        /// The file or folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the file says.
        found: String,
        /// What the training data say.
        expected: String,
    },
    /// Activations lack a layer that is asked for.
    #[error("`activations.layers` has {layer}, but `{}` has layers {layers:?}", path.display())]
    LayerNotThere {
        /// The file or folder.
        path: PathBuf,
        /// The layer.
        layer: i64,
        /// Those that are there.
        layers: Vec<usize>,
    },
    /// A checkpoint cannot be used.
    #[error("checkpoint `{}` is damaged; delete it to begin this data set again", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
    },
    /// A file of predictions cannot be used.
    #[error("`{}` does not hold the predictions of an experiment; run the sweep again", path.display())]
    Predictions {
        /// The file.
        path: PathBuf,
    },
    /// A folder is not that of one run.
    #[error("`{}` {}", path.display(), runs_found(found))]
    NoRun {
        /// The folder.
        path: PathBuf,
        /// Names of the runs in it.
        found: Vec<String>,
    },
    /// A folder does not stand for one probe.
    #[error("`{}` {}", path.display(), experiments_found(found))]
    NoExperiment {
        /// The folder of a run.
        path: PathBuf,
        /// Its complete experiments.
        found: Vec<PathBuf>,
    },
    /// A file of results is not what this version writes.
    #[error("`{}` is not what this version writes; run the sweep again", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Data or activations are at fault.
    #[error(transparent)]
    Activation(Box<ActivationError>),
    /// The model is at fault.
    #[error(transparent)]
    Model(Box<ModelError>),
    /// A probe is at fault.
    #[error(transparent)]
    Probe(Box<ProbeError>),
    /// Metrics could not be computed.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// What to say of a folder with no run or several.
fn runs_found(names: &[String]) -> String {
    match names {
        [] => "holds no run of a sweep".to_owned(),
        names => format!("holds several runs: name {}", names.join(" or ")),
    }
}

/// What to say of a run with no complete experiment or several.
fn experiments_found(found: &[PathBuf]) -> String {
    if found.is_empty() {
        return "has no complete experiment yet; resume the sweep first".to_owned();
    }
    let names: Vec<String> = found.iter().map(|path| format!("`{}`", path.display())).collect();
    format!("has {} experiments, name one of them: {}", names.len(), names.join(", "))
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

impl From<ActivationError> for SweepError {
    fn from(error: ActivationError) -> Self {
        match error {
            ActivationError::Stopped => Stopped.into(),
            error => Self::Activation(Box::new(error)),
        }
    }
}

impl From<ModelError> for SweepError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Stopped(stopped) => stopped.into(),
            error => Self::Model(Box::new(error)),
        }
    }
}

impl From<ProbeError> for SweepError {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Stopped(stopped) => stopped.into(),
            error => Self::Probe(Box::new(error)),
        }
    }
}
