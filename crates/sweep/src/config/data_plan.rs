//! The checks of a data set as a person writes it.

use std::path::Path;

use attention_probes_activations::{
    Component, LabelKind, Task, is_array_file, is_datasets_folder, is_on_hub,
};

use crate::config::checks::{at_least, not_empty, told_apart};
use crate::config::haystack::check_haystack;
use crate::config::{ArchitectureConfig, DataConfig, HeldOut};
use crate::train::method::Recipe;
use crate::{SweepConfig, SweepError};

/// Penalties of linear probes of labels other than classes, where nothing is said.
pub(crate) const PENALTIES: [f64; 13] =
    [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];

/// How an architecture learns labels that are not classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LearnsBy {
    /// Solved exactly, over penalties.
    Solved,
    /// Trained over the grid.
    Tried,
    /// Not at all: it has a formula, folds, or a loss of classes.
    Idle,
}

impl ArchitectureConfig {
    /// Whether it is a linear probe with no key but its pool: labels other than classes are then
    /// solved exactly, over `sweep.penalties`.
    pub fn is_plain_linear(&self) -> bool {
        let Self { config_name, pool, .. } = self.clone();
        *self == Self { name: "linear".to_owned(), config_name, pool, ..Self::default() }
    }

    /// How it learns labels of a kind other than classes: a linear probe with no key but its pool is
    /// solved over penalties.
    pub(crate) fn way_of_targets(&self, kind: LabelKind) -> LearnsBy {
        if self.is_plain_linear() {
            return LearnsBy::Solved;
        }
        let is_of_classes = self.recipe.is_some_and(Recipe::is_closed_form)
            || self.folds.is_some()
            || self.loss.of_kind(kind).is_none();
        if is_of_classes { LearnsBy::Idle } else { LearnsBy::Tried }
    }
}

/// Checks every key of a data set; its task, or `None` where it brings activations.
pub(crate) fn check_data(data: &DataConfig) -> Result<Option<Task>, SweepError> {
    let activations = |path: &Path| {
        !is_on_hub(path) && (is_array_file(path) || path.is_dir() && !is_datasets_folder(path))
    };
    if !is_on_hub(&data.path) && data.split != DataConfig::default().split {
        let reason = "is for a data set of the Hub; a file is read whole";
        return Err(SweepError::Contradiction { key: "data.split", reason });
    }
    let brings_activations = activations(&data.path);
    for (key, held_out) in [("data.validation", &data.validation), ("data.test", &data.test)] {
        match held_out {
            HeldOut::Share(value) if *value > 0.0 && *value < 1.0 => {}
            HeldOut::Share(value) => {
                let expected = "a share between 0 and 1, or the path of a file";
                return Err(SweepError::Number { key, value: *value, expected });
            }
            HeldOut::File(path)
                if activations(path) == brings_activations
                    && is_datasets_folder(path) == is_datasets_folder(&data.path) => {}
            HeldOut::File(_) => {
                let reason = "must be of the same form as `data.path`: text, activations, or a \
                              folder of Gurnee et al.";
                return Err(SweepError::Contradiction { key, reason });
            }
        }
    }
    let is_haystack = is_datasets_folder(&data.path);
    if data.hook.is_some() && (!brings_activations || is_haystack) {
        let reason = "is for activations as `data.path`, remove it";
        return Err(SweepError::Contradiction { key: "data.hook", reason });
    }
    if data.pad_token_id.is_some() && (!data.path.is_dir() || is_haystack) {
        let reason = "is for a MOSAIC folder as `data.path`, remove it";
        return Err(SweepError::Contradiction { key: "data.pad_token_id", reason });
    }
    let value = data.validation.share() + data.test.share();
    if value >= 1.0 {
        let expected = "together with `test` less than 1";
        return Err(SweepError::Number { key: "data.validation", value, expected });
    }
    at_least("data.max_tokens", data.max_tokens as f64, 1.0)?;
    at_least("data.examples_per_text", data.examples_per_text as f64, 1.0)?;
    let target = || {
        if data.target.is_empty() || data.target.texts().iter().any(String::is_empty) {
            return Err(SweepError::Contradiction {
                key: "data.target",
                reason: "is missing or empty: a token task needs the text it looks for, such as \" the\"",
            });
        }
        Ok(data.target.clone())
    };
    let task = match data.task.as_str() {
        "sequence" => Task::Sequence,
        "current_token" => Task::CurrentToken { target: target()? },
        "next_token" => Task::NextToken { target: target()? },
        "tokens" => Task::Tokens,
        other => {
            return Err(SweepError::Word {
                key: "data.task",
                value: other.to_owned(),
                expected: "sequence, current_token, next_token, or tokens",
            });
        }
    };
    check_haystack(data, &task)?;
    check_keys_of_task(data, &task)?;
    check_pair(data, &task, brings_activations)?;
    check_label_kind(data, &task, brings_activations)?;
    check_format(data, &task, brings_activations)?;
    if brings_activations {
        check_keys_of_activations(data)?;
    }
    if brings_activations && task != Task::Sequence {
        let reason = "must be `sequence` where the data are activations";
        return Err(SweepError::Contradiction { key: "data.task", reason });
    }
    Ok((!brings_activations).then_some(task))
}

/// Refuses keys about texts, of which activations know nothing.
fn check_keys_of_activations(data: &DataConfig) -> Result<(), SweepError> {
    let default = DataConfig::default();
    let idle = [
        (data.text != default.text, "data.text"),
        (data.label != default.label, "data.label"),
        (data.group.is_some(), "data.group"),
        (data.max_tokens != default.max_tokens, "data.max_tokens"),
        (data.examples_per_text != default.examples_per_text, "data.examples_per_text"),
    ];
    match idle.into_iter().find(|(is_idle, _)| *is_idle) {
        Some((_, key)) => {
            let reason = "is for texts, and is not read where the data are activations; remove it";
            Err(SweepError::Contradiction { key, reason })
        }
        None => Ok(()),
    }
}

/// Refuses targets other than classes where they are not allowed.
fn check_label_kind(
    data: &DataConfig,
    task: &Task,
    brings_activations: bool,
) -> Result<(), SweepError> {
    let separator = data.label_separator.as_deref();
    let of_kind = |reason| Err(SweepError::Contradiction { key: "data.label_kind", reason });
    let of_separator =
        |reason| Err(SweepError::Contradiction { key: "data.label_separator", reason });
    if !data.label_kind().is_class() && *task != Task::Sequence {
        return of_kind("is for the task `sequence`, whose labels are of whole texts; remove it");
    }
    if !data.label_kind().is_class() && data.pair.is_some() {
        return of_kind("is not allowed with minimal pairs, which bring their classes; remove it");
    }
    if separator.is_some() && (data.label_kind() != LabelKind::Labels || brings_activations) {
        return of_separator("is for texts with `data.label_kind = \"labels\"`, remove it");
    }
    match separator.map(str::trim) {
        Some("") => of_separator("is empty or white space, expected what stands between labels"),
        _ => Ok(()),
    }
}

/// Refuses a format of CSV and TSV files that contradicts itself, or where there is no such file.
fn check_format(
    data: &DataConfig,
    task: &Task,
    brings_activations: bool,
) -> Result<(), SweepError> {
    let is_other = |ending: &str| data.path.extension().is_some_and(|found| found == ending);
    let is_no_table = brings_activations
        || *task == Task::Tokens
        || is_datasets_folder(&data.path)
        || is_other("jsonl")
        || is_other("parquet");
    let (quoting, escape) = (data.quoting.is_some(), data.escape.is_some());
    let reason = match data.format().fault() {
        _ if is_no_table && (quoting || escape) => "is for CSV and TSV files, remove it",
        Some(fault) => fault,
        None => return Ok(()),
    };
    let key = if escape { "data.escape" } else { "data.quoting" };
    Err(SweepError::Contradiction { key, reason })
}

/// Refuses penalties that are none, and data whose labels no probe can learn; with such data, fills
/// in the penalties.
pub(crate) fn check_penalties(config: &mut SweepConfig) -> Result<(), SweepError> {
    let key = "sweep.penalties";
    let kinds = config.data.iter().map(DataConfig::label_kind).filter(|kind| !kind.is_class());
    let mut ways = Vec::new();
    for kind in kinds {
        let of_kind: Vec<LearnsBy> =
            config.architectures.iter().map(|one| one.way_of_targets(kind)).collect();
        if of_kind.iter().all(|way| *way == LearnsBy::Idle) {
            let reason = "has no probe that learns labels other than classes: formulas, folds, and \
                          losses of classes do not; add one with `name = \"linear\"`";
            return Err(SweepError::Contradiction { key: "architectures", reason });
        }
        ways.extend(of_kind);
    }
    let in_memory = config.data.is_empty();
    if in_memory && config.sweep.penalties.is_none() {
        return Ok(());
    }
    if !in_memory && !ways.contains(&LearnsBy::Solved) {
        let reason = "is for a linear probe with no key but `pool`, and data with a `label_kind` \
                      other than `class`; remove it";
        let is_given = config.sweep.penalties.is_some();
        return if is_given { Err(SweepError::Contradiction { key, reason }) } else { Ok(()) };
    }
    let penalties = config.sweep.penalties.get_or_insert_with(|| PENALTIES.to_vec());
    not_empty(key, penalties)?;
    let is_good = |value: &f64| (1e-30..=1e30).contains(value);
    if let Some(&value) = penalties.iter().find(|value| !is_good(value)) {
        return Err(SweepError::Number { key, value, expected: "numbers from 1e-30 to 1e30" });
    }
    told_apart(key, penalties)
}

/// Refuses minimal pairs that are none, or make no sense.
fn check_pair(data: &DataConfig, task: &Task, brings_activations: bool) -> Result<(), SweepError> {
    let Some([good, bad]) = &data.pair else { return Ok(()) };
    let default = DataConfig::default();
    let reason = if brings_activations {
        "is for texts; activations bring their labels"
    } else if *task != Task::Sequence {
        "is for the task `sequence`"
    } else if data.text != default.text || data.label != default.label {
        "stands instead of `data.text` and `data.label`, remove them"
    } else if good == bad {
        "names one column twice, expected the good and the bad text"
    } else {
        return Ok(());
    };
    Err(SweepError::Contradiction { key: "data.pair", reason })
}

/// Refuses keys that the task has no use for.
fn check_keys_of_task(data: &DataConfig, task: &Task) -> Result<(), SweepError> {
    let default = DataConfig::default();
    let (is_target, is_tokens) = (task.target().is_some(), *task == Task::Tokens);
    let reason = "is not allowed with this task, remove it";
    let columns = [
        (data.tokens != default.tokens, "data.tokens"),
        (data.tags != default.tags, "data.tags"),
        (data.offsets.is_some(), "data.offsets"),
    ];
    let idle = [
        (!is_target && !data.target.is_empty(), "data.target"),
        (!is_target && data.balance == Some(true), "data.balance"),
    ];
    let idle = idle.into_iter().chain(columns.map(|(is_set, key)| (is_set && !is_tokens, key)));
    for (is_idle, key) in idle {
        if is_idle {
            return Err(SweepError::Contradiction { key, reason });
        }
    }
    Ok(())
}

/// Refuses activations that are called like a layer of another data set: both would write the same
/// folder.
pub(crate) fn check_experiments(
    data: &[DataConfig],
    tasks: &[Option<Task>],
) -> Result<(), SweepError> {
    let with_activations = data.iter().zip(tasks).filter(|(_, task)| task.is_none());
    for (activations, _) in with_activations {
        for other in data {
            let rest = activations.name.strip_prefix(&other.name);
            let rest = rest.and_then(|rest| rest.strip_prefix("-L")?.rsplit_once('-'));
            let is_place = |(layers, component): (&str, &str)| {
                Component::ALL.iter().any(|one| one.to_string() == component)
                    && layers.chars().all(|c| c.is_ascii_digit() || "L+.".contains(c))
            };
            if rest.is_some_and(is_place) {
                return Err(SweepError::Duplicate { key: "data", name: activations.name.clone() });
            }
        }
    }
    Ok(())
}
