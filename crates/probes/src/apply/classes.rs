//! Classes and texts of data, compared with those that a probe knows.

use std::collections::BTreeSet;

use attention_probes_activations::{Dataset, ExampleSet, ExternalActivations, LabelKind, text_key};

use super::error::ApplyError;
use crate::{KnownTexts, Outputs, ProbeError, SavedProbe};

/// What of some data a probe was trained or selected on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownData {
    /// The file that it was trained on.
    File,
    /// Activations of the texts of that file.
    ActivationsOfFile,
    /// Some of its examples.
    Texts(KnownTexts),
}

impl KnownData {
    /// What follows for an evaluation on `n_examples` of `data`, in one sentence.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::probes::{KnownData, KnownTexts};
    ///
    /// let known = KnownData::Texts(KnownTexts { n: 3, is_estimate: false });
    /// let expected = "`a.csv`: the probe was trained or selected on 3 of the 10 examples, so the \
    ///     figures flatter it; remove them";
    /// assert_eq!(known.sentence("a.csv", 10), expected);
    /// ```
    pub fn sentence(self, data: &str, n_examples: usize) -> String {
        match self {
            Self::File => {
                format!(
                    "`{data}` is the file that the probe was trained on, so the figures flatter it"
                )
            }
            Self::ActivationsOfFile => format!(
                "`{data}` has activations of the file that the probe was trained on, so the figures \
                 flatter it; leave out those texts"
            ),
            Self::Texts(KnownTexts { n, is_estimate }) => {
                let about = if is_estimate { "about " } else { "" };
                format!(
                    "`{data}`: the probe was trained or selected on {about}{n} of the {n_examples} \
                     examples, so the figures flatter it; remove them"
                )
            }
        }
    }
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

    /// What the probe knows of texts, as [`SavedProbe::known`].
    pub fn known_texts(&self, dataset: &Dataset) -> Option<KnownData> {
        let keys: Vec<u64> = dataset.texts.iter().map(|text| text_key(text)).collect();
        self.known(Some(&dataset.hash), &keys)
    }

    /// What the probe knows of stored activations, or of the texts that they are of, as
    /// [`SavedProbe::known`].
    pub fn known_activations(&self, activations: &ExternalActivations) -> Option<KnownData> {
        let texts_hash = activations.origin.data_hash.as_deref();
        if texts_hash.is_some() && self.known(texts_hash, &[]) == Some(KnownData::File) {
            return Some(KnownData::ActivationsOfFile);
        }
        self.known(Some(&activations.hash), &activations.keys())
    }
}

/// Leaves out words with tags that the probe was not trained on, such as those that were too rare.
pub(super) fn remove_unknown_tags(
    examples: &mut ExampleSet,
    saved: &SavedProbe,
    data: &str,
) -> Result<(), ProbeError> {
    if saved.metadata.task.as_deref() != Some("tokens") {
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
    tracing::warn!("`{data}`: tags left out, the probe does not know them: {names}");
    examples.remove_classes(&unknown);
    Ok(())
}
