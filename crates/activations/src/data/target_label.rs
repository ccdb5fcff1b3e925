//! One label that is no class, as it stands in a file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::classes::sorted_classes;
use super::json_lines::name_from;
use super::label_fault::{NUMBER, PROBABILITY, SUM, SUM_TOLERANCE, is_number};
use super::row::name_of;
use crate::{LabelField, LabelKind, LabelReader, Labels, TextLabel};

/// Labels as configurations say them: numbers, lists of labels, or distributions.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{Dataset, DatasetConfig, LabelKind, PlainLabels};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("topics.csv");
/// std::fs::write(&path, "text,label\nThe cup final,sport;news\nA short walk,sport\n")?;
/// let labels = PlainLabels { kind: LabelKind::Labels, separator: ";" };
/// let texts = Dataset::read_with("topics", &[path], &DatasetConfig::default(), &labels)?;
/// assert_eq!(texts.targets.map(|labels| labels.names), Some(vec!["news".into(), "sport".into()]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PlainLabels<'a> {
    /// What the labels are.
    pub kind: LabelKind,
    /// What stands between labels in delimited files.
    pub separator: &'a str,
}

impl LabelReader for PlainLabels<'_> {
    fn kind(&self) -> LabelKind {
        self.kind
    }

    fn read(&self, field: &LabelField<'_>) -> Result<TextLabel, Cow<'static, str>> {
        parse(field, self.kind, self.separator).map_err(Cow::Borrowed)
    }
}

/// Reads a label: JSON, or the field of a delimited file. The error is what was expected.
fn parse(
    &LabelField { text, is_json }: &LabelField<'_>,
    kind: LabelKind,
    separator: &str,
) -> Result<TextLabel, &'static str> {
    let value =
        if is_json { serde_json::from_str(text).unwrap_or(Value::Null) } else { text.into() };
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match kind {
        LabelKind::Class | LabelKind::Number => {
            number(&value).filter(|value| is_number(*value)).map(TextLabel::Number).ok_or(NUMBER)
        }
        LabelKind::Labels => match value {
            Value::Array(values) => names(values.into_iter().map(name_from)),
            Value::String(text) if !is_json => {
                let text = text.trim();
                let names_of = |part: &str| match name_of(part) {
                    name if name.is_empty() => Err("an empty string"),
                    name => Ok(name),
                };
                if text.is_empty() {
                    return Ok(TextLabel::Labels(BTreeSet::new()));
                }
                names(text.split(separator).map(names_of))
            }
            _ => Err("a list of labels such as [\"news\", \"sport\"]"),
        },
        LabelKind::Distribution => match value {
            Value::Object(shares) => distribution(shares),
            value => {
                let share = number(&value).filter(|p| (0.0..=1.0).contains(p));
                share.map(TextLabel::SecondClass).ok_or(
                    "an object such as {\"no\": 0.3, \"yes\": 0.7}, or the probability of the \
                     second class, from 0 to 1",
                )
            }
        },
    }
}

/// What is wrong with a label that a reader returned, if anything.
pub(super) fn check(label: &TextLabel, kind: LabelKind) -> Result<(), Cow<'static, str>> {
    if label.kind() != kind {
        return Err(format!("a label of kind `{}` from its reader", kind.as_str()).into());
    }
    let is_share = |share: &f64| (0.0..=1.0).contains(share);
    let expected = match label {
        TextLabel::Class(name) if name.is_empty() => "the name of a class",
        TextLabel::Number(value) if !is_number(*value) => NUMBER,
        TextLabel::Labels(names) if names.contains("") => "labels with a name",
        TextLabel::SecondClass(share) if !is_share(share) => PROBABILITY,
        TextLabel::Distribution(shares) if !shares.values().all(is_share) => PROBABILITY,
        TextLabel::Distribution(shares)
            if (shares.values().sum::<f64>() - 1.0).abs() > SUM_TOLERANCE =>
        {
            SUM
        }
        _ => return Ok(()),
    };
    Err(expected.into())
}

fn names(
    values: impl Iterator<Item = Result<String, &'static str>>,
) -> Result<TextLabel, &'static str> {
    let names = values.collect::<Result<BTreeSet<String>, _>>();
    names
        .map(TextLabel::Labels)
        .map_err(|_| "labels that are strings or integers, none of them empty")
}

fn distribution(shares: serde_json::Map<String, Value>) -> Result<TextLabel, &'static str> {
    let mut found = BTreeMap::new();
    for (class, share) in shares {
        let class = name_of(&class);
        let share = share.as_f64().filter(|p| (0.0..=1.0).contains(p)).ok_or(PROBABILITY)?;
        if class.is_empty() || found.insert(class, share).is_some() {
            return Err("classes with distinct names, none of them empty");
        }
    }
    let sum: f64 = found.values().sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE { Err(SUM) } else { Ok(TextLabel::Distribution(found)) }
}

/// The labels of all texts; without names if no text has a label.
pub(crate) fn labels_of(labels: &[TextLabel], kind: LabelKind, column: &str) -> Labels {
    let mut distinct: BTreeSet<&str> = BTreeSet::new();
    for label in labels {
        match label {
            TextLabel::Class(name) => distinct.extend([name.as_str()]),
            TextLabel::Labels(names) => distinct.extend(names.iter().map(String::as_str)),
            TextLabel::Distribution(shares) => distinct.extend(shares.keys().map(String::as_str)),
            TextLabel::Number(_) | TextLabel::SecondClass(_) => {}
        }
    }
    let mut names = sorted_classes(distinct.into_iter());
    if kind == LabelKind::Number {
        names = vec![column.to_owned()];
    } else if let Some(TextLabel::SecondClass(_)) = labels.first() {
        names = vec!["0".to_owned(), "1".to_owned()];
    }
    let values = labels.iter().flat_map(|label| match label {
        TextLabel::Class(class) => {
            vec![names.iter().position(|name| name == class).unwrap_or_default() as f64]
        }
        TextLabel::Number(value) => vec![*value],
        TextLabel::Labels(found) => {
            names.iter().map(|name| f64::from(u8::from(found.contains(name)))).collect()
        }
        TextLabel::Distribution(shares) => {
            names.iter().map(|name| shares.get(name).copied().unwrap_or(0.0)).collect()
        }
        TextLabel::SecondClass(share) => vec![1.0 - share, *share],
    });
    let values = values.collect();
    Labels::of_kind(kind, names, values)
}
