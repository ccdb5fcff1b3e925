//! Classes and texts of data, compared with those that a probe knows.

use std::collections::BTreeSet;

use attention_probes_activations::{ExampleSet, LabelKind, Task};

use super::error::ApplyError;
use crate::{KnownTexts, Outputs, ProbeError, SavedProbe};

/// What of some data a probe was trained or selected on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownData {
    /// The file that it was trained on.
    File,
    /// Some of its examples.
    Texts(KnownTexts),
}

impl SavedProbe {
    /// What a label of data must be for the probe to be evaluated on it.
    pub fn label_kind(&self) -> LabelKind {
        match self.metadata.outputs {
            Outputs::Classes => LabelKind::Class,
            Outputs::Number => LabelKind::Number,
            Outputs::Labels => LabelKind::Labels,
        }
    }

    /// Index among the probe's classes of each class of `data`, by name.
    ///
    /// # Errors
    ///
    /// [`ApplyError::UnknownClass`] if the probe does not know a class.
    pub fn class_indices(&self, data: &str, classes: &[String]) -> Result<Vec<usize>, ProbeError> {
        let known = &self.metadata.class_names;
        let index_of = |class: &String| {
            known.iter().position(|name| name == class).ok_or_else(|| {
                let (data, label) = (data.to_owned(), class.clone());
                ApplyError::UnknownClass { data, label, known: known.clone() }.into()
            })
        };
        classes.iter().map(index_of).collect()
    }

    /// What the probe knows of data: by the hash of their file, and by the keys of their examples.
    pub fn known(&self, hash: Option<&str>, keys: &[u64]) -> Option<KnownData> {
        let data = self.metadata.data.as_ref()?;
        if hash.is_some() && data.hash.as_deref() == hash {
            return Some(KnownData::File);
        }
        let known = data.trained_on.known(keys);
        (known.n > 0).then_some(KnownData::Texts(known))
    }
}

/// Leaves out words with tags that the probe was not trained on, such as those that were too rare.
pub(super) fn remove_unknown_tags(
    examples: &mut ExampleSet,
    saved: &SavedProbe,
    data: &str,
) -> Result<(), ProbeError> {
    if saved.task()? != Task::Tokens {
        return Ok(());
    }
    let known = &saved.metadata.class_names;
    let unknown: BTreeSet<usize> =
        (0..examples.classes.len()).filter(|&i| !known.contains(&examples.classes[i])).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    if unknown.len() == examples.classes.len() {
        saved.class_indices(data, &examples.classes)?;
    }
    let names: Vec<&str> = unknown.iter().map(|&i| examples.classes[i].as_str()).collect();
    let names = names.join(", ");
    tracing::warn!("`{data}`: tags left out, they are no classes of the probe: {names}");
    examples.remove_classes(&unknown);
    Ok(())
}
