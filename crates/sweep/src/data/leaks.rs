//! What is doubtful about the examples of a data set: texts on two sides, texts with two labels, and
//! names of classes.

use std::path::Path;

use attention_probes_activations::{
    Dataset, ExampleSet, ExternalActivations, LabelKind, Labels, Side, Split, Task, class_doubts,
    contradictions,
};
use attention_probes_errors::listed;

use crate::config::DataConfig;
use crate::data::sides::missing_classes;
use crate::warning::{Warning, WarningKind};

/// Most texts with two labels that a warning names.
const MAX_NAMED: usize = 3;

/// Most characters of a text that a warning shows.
const MAX_SHOWN: usize = 60;

/// What examples are compared by, and which file each is from.
pub(crate) struct Compared<'a> {
    /// Number of each text, or example of activations, that equal ones share.
    pub(crate) keys: &'a [u64],
    /// The side that the file of each is for; `None` if it is to be divided.
    pub(crate) sides: Vec<Option<Side>>,
    /// `texts` or `examples`.
    pub(crate) things: &'static str,
}

impl Compared<'_> {
    /// Warns of texts of a file held out that are in another file too.
    pub(crate) fn shared(&self, config: &DataConfig) -> Vec<Warning> {
        let keys_of = |side: Option<Side>| -> Vec<u64> {
            let keys = self.keys.iter().zip(&self.sides);
            keys.filter(|(_, of)| **of == side).map(|(key, _)| *key).collect()
        };
        let (data, validation, test) =
            (keys_of(None), keys_of(Some(Side::Validation)), keys_of(Some(Side::Test)));
        let path = |held_out: Option<&Path>| held_out.map(file_name).unwrap_or_default();
        let (of_validation, of_test) = (path(config.validation.file()), path(config.test.file()));
        let data_path = file_name(&config.path);
        let pairs = [
            (&validation, &of_validation, &data, &data_path, "which probes are trained on"),
            (&test, &of_test, &data, &data_path, "which probes are trained on"),
            (&test, &of_test, &validation, &of_validation, "which chooses among them"),
        ];
        let warning =
            |(held_out, path, others, other_path, what): (&Vec<u64>, _, &Vec<u64>, _, _)| {
                let mut others = others.clone();
                others.sort_unstable();
                let n = held_out.iter().filter(|key| others.binary_search(key).is_ok()).count();
                (n > 0).then(|| {
                    let message = format!(
                        "{n} of the {} {} of `{path}` are also in `{other_path}`, {what}, so that \
                     results are too good; remove them from one of the files",
                        held_out.len(),
                        self.things
                    );
                    Warning::of_data(WarningKind::SharedTexts, message)
                })
            };
        pairs.into_iter().filter_map(warning).collect()
    }

    /// Warns of equal texts whose labels differ; `shown` names a text with its label.
    fn contradicting<L: PartialEq>(
        &self,
        labels: &[L],
        shown: &dyn Fn(usize) -> String,
    ) -> Option<Warning> {
        let found = contradictions(self.keys, labels);
        if found.is_empty() {
            return None;
        }
        let named: Vec<String> =
            found.iter().take(MAX_NAMED).map(|elements| shown_two(elements, shown)).collect();
        let (n, things) = (found.len(), self.things);
        let more = if n > MAX_NAMED { ", …" } else { "" };
        let message = format!(
            "{n} {things} occur with different labels: {}{more}; correct the labels, or remove \
             these {things}",
            named.join(", ")
        );
        Some(Warning::of_data(WarningKind::ContradictingLabels, message))
    }
}

/// The first two of equal texts, which have different labels.
fn shown_two(elements: &[usize], shown: &dyn Fn(usize) -> String) -> String {
    let shown: Vec<String> = elements.iter().take(2).map(|&element| shown(element)).collect();
    shown.join(" and ")
}

/// Warns of equal texts whose labels differ; a token task makes its labels of the texts.
pub(crate) fn contradicting_texts(
    task: &Task,
    dataset: &Dataset,
    compared: &Compared<'_>,
    text_rows: &[usize],
) -> Option<Warning> {
    let text = |sequence: usize| excerpt(&dataset.texts[text_rows[sequence]]);
    let row = |sequence: usize| dataset.source_rows[text_rows[sequence]];
    match (task, &dataset.targets) {
        (Task::Sequence, Some(targets)) => {
            let labels = values_by_row(targets, text_rows);
            let shown = |sequence: usize| {
                let label = shown_target(targets, text_rows[sequence]);
                format!("`{}` (row {}) with {label}", text(sequence), row(sequence))
            };
            compared.contradicting(&labels, &shown)
        }
        (Task::Sequence, None) => {
            let labels: Vec<usize> = text_rows.iter().map(|&text| dataset.labels[text]).collect();
            let shown = |sequence: usize| {
                let label = listed(&[dataset.classes[labels[sequence]].clone()]);
                format!("`{}` (row {}) with {label}", text(sequence), row(sequence))
            };
            compared.contradicting(&labels, &shown)
        }
        (Task::Tokens, _) => {
            let labels: Vec<_> = text_rows.iter().map(|&text| &dataset.words[text]).collect();
            let shown = |sequence: usize| format!("`{}` (row {})", text(sequence), row(sequence));
            compared.contradicting(&labels, &shown)
        }
        (Task::CurrentToken { .. } | Task::NextToken { .. }, _) => None,
    }
}

/// Warns of equal activations whose labels differ.
pub(crate) fn contradicting_activations(
    external: &ExternalActivations,
    compared: &Compared<'_>,
) -> Option<Warning> {
    let row = |example: usize| external.source_rows[example];
    let all: Vec<usize> = (0..external.n_examples()).collect();
    match (&external.targets, &external.labels) {
        (Some(targets), _) => {
            let shown = |example: usize| {
                format!("row {} with {}", row(example), shown_target(targets, example))
            };
            compared.contradicting(&values_by_row(targets, &all), &shown)
        }
        (None, Some(labels)) => {
            let shown = |example: usize| {
                let label = listed(&[external.classes[labels[example]].clone()]);
                format!("row {} with {label}", row(example))
            };
            compared.contradicting(labels, &shown)
        }
        (None, None) => None,
    }
}

/// Warns of names of classes, and of classes that a file held out lacks.
pub(crate) fn doubtful_classes(
    config: &DataConfig,
    examples: &ExampleSet,
    split: &Split,
) -> Vec<Warning> {
    let doubts = class_doubts(&examples.classes).into_iter();
    let doubts = doubts.map(|doubt| Warning::of_data(WarningKind::ClassNames, doubt.to_string()));
    let files = [(Side::Validation, config.validation.file()), (Side::Test, config.test.file())];
    let is_class = config.label_kind().is_class();
    let missing = files.into_iter().filter(|_| is_class).filter_map(|(side, path)| {
        let missing = missing_classes(examples, split, side);
        let path = file_name(path.filter(|_| !missing.is_empty())?);
        let message = format!(
            "`{path}` has no example of {}, so that metrics are of the other classes; add some, or \
             remove the class from `{}`",
            listed(&missing),
            file_name(&config.path)
        );
        Some(Warning::of_data(WarningKind::MissingClass, message))
    });
    doubts.chain(missing).collect()
}

fn values_by_row<'a>(targets: &'a Labels, rows: &[usize]) -> Vec<&'a [f64]> {
    let n = targets.n_columns();
    rows.iter().map(|&row| &targets.numbers()[row * n..(row + 1) * n]).collect()
}

/// The label of a row, for a person.
fn shown_target(targets: &Labels, row: usize) -> String {
    let n = targets.n_columns();
    let values = &targets.numbers()[row * n..(row + 1) * n];
    match targets.kind() {
        LabelKind::Class | LabelKind::Number => format!("`{}`", values[0]),
        LabelKind::Labels => {
            let present = targets.names.iter().zip(values).filter(|(_, value)| **value > 0.5);
            listed(&present.map(|(name, _)| name.clone()).collect::<Vec<_>>())
        }
        LabelKind::Distribution => format!("`{values:?}`"),
    }
}

/// The name of a file without its folder, which would make results differ from folder to folder.
fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The beginning of a text on one line.
fn excerpt(text: &str) -> String {
    let folded = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = folded.chars().take(MAX_SHOWN).filter(|c| !c.is_control()).collect();
    if folded.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
