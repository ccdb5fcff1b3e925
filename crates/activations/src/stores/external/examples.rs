//! Activations that bring their labels as examples.

use crate::data::copies::joined_groups;
use crate::{Example, ExampleSet, ExternalActivations};

impl ExampleSet {
    /// One example for each sequence of activations that bring their labels; `None` if they do not.
    /// Examples of equal `keys`, which are [`ExternalActivations::keys`], are one group.
    pub fn from_external(activations: &ExternalActivations, keys: &[u64]) -> Option<Self> {
        let labels = activations.labels.as_ref()?;
        let examples = activations
            .offsets
            .windows(2)
            .zip(labels)
            .enumerate()
            .map(|(sequence, (pair, &label))| Example { sequence, end: pair[1] - pair[0], label })
            .collect();
        let classes = activations.classes.clone();
        let groups = joined_groups(activations.groups.clone(), &[keys]);
        Some(Self { examples, classes, groups, pairs: None, n_skipped_words: 0 })
    }
}
