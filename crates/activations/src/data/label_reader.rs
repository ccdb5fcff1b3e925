//! How the label of a text is read out of its field: as configurations say it, or by a reader of yours.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::LabelKind;

/// Reads the labels of texts out of their fields.
///
/// Numbers, lists, and distributions as files usually have them are read by
/// [`PlainLabels`](crate::PlainLabels); a reader of yours makes labels of anything
/// else, and [`Dataset::read_with`](crate::Dataset::read_with) takes it.
///
/// # Examples
///
/// ```
/// use std::borrow::Cow;
///
/// use attention_probes::activations::{
///     Dataset, DatasetConfig, LabelField, LabelKind, LabelReader, TextLabel,
/// };
///
/// /// `4 stars`, as the number 4.
/// struct Stars;
///
/// impl LabelReader for Stars {
///     fn kind(&self) -> LabelKind {
///         LabelKind::Number
///     }
///
///     fn read(&self, field: &LabelField<'_>) -> Result<TextLabel, Cow<'static, str>> {
///         let stars = field.string().and_then(|text| text.split(' ').next()?.parse().ok());
///         stars.map(TextLabel::Number).ok_or_else(|| "stars, such as `4 stars`".into())
///     }
/// }
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("reviews.csv");
/// std::fs::write(&path, "text,label\nfine,4 stars\nawful,1 star\n")?;
/// let reviews = Dataset::read_with("reviews", &[&path], &DatasetConfig::default(), &Stars)?;
/// assert_eq!(reviews.targets.map(|labels| labels.numbers().to_vec()), Some(vec![4.0, 1.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait LabelReader {
    /// What a label is.
    fn kind(&self) -> LabelKind;

    /// Reads the label of a text.
    ///
    /// # Errors
    ///
    /// What was expected, as in "expected a number"; the error of the file has the row and the value.
    fn read(&self, field: &LabelField<'_>) -> Result<TextLabel, Cow<'static, str>>;
}

/// The field of a label as it stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelField<'a> {
    /// The text of the field: of JSON Lines its JSON.
    pub text: &'a str,
    /// Whether it is JSON.
    pub is_json: bool,
}

impl LabelField<'_> {
    /// The field as a string: in JSON a string, a number, or a boolean; `None` of anything else there.
    pub fn string(&self) -> Option<String> {
        if !self.is_json {
            return Some(self.text.to_owned());
        }
        match serde_json::from_str(self.text) {
            Ok(serde_json::Value::String(text)) => Some(text),
            Ok(value @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
                Some(value.to_string())
            }
            _ => None,
        }
    }
}

/// The label of one text.
#[derive(Clone, Debug, PartialEq)]
pub enum TextLabel {
    /// Name of its class.
    Class(String),
    /// A number, finite and of magnitude at most 1e18.
    Number(f64),
    /// Names of the labels that it has, if any.
    Labels(BTreeSet<String>),
    /// Probability of each class by name, with the sum 1; a class that is not named has none.
    Distribution(BTreeMap<String, f64>),
    /// Probability of the second of two classes without names.
    SecondClass(f64),
}

impl TextLabel {
    /// What the label is.
    pub fn kind(&self) -> LabelKind {
        match self {
            Self::Class(_) => LabelKind::Class,
            Self::Number(_) => LabelKind::Number,
            Self::Labels(_) => LabelKind::Labels,
            Self::Distribution(_) | Self::SecondClass(_) => LabelKind::Distribution,
        }
    }

    /// Whether both name their classes, or neither does.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}
