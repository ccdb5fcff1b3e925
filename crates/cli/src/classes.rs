//! Classes of data beside those that a probe knows.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{ExampleSet, Task};
use attention_probes_errors::{listed, shown};
use tracing::warn;

use crate::exit::InputError;
use crate::input::ProbeFile;

/// Index among the probe's classes of each class of the data, by name.
pub(crate) fn class_indices(
    file: &ProbeFile,
    path: &Path,
    classes: &[String],
) -> Result<Vec<usize>> {
    let known = file.class_names();
    let index_of = |class: &String| {
        known.iter().position(|name| name == class).ok_or_else(|| {
            let message = format!(
                "`{}`: label `{}` is no class of the probe, whose classes are {}; rename the \
                 label, or name another column of labels",
                path.display(),
                shown(class),
                listed(known)
            );
            InputError(message).into()
        })
    };
    classes.iter().map(index_of).collect()
}

/// Leaves out words with tags that the probe was not trained on, such as those that were too rare.
pub(crate) fn remove_unknown_tags(
    examples: &mut ExampleSet,
    file: &ProbeFile,
    path: &Path,
) -> Result<()> {
    if file.task()? != Task::Tokens {
        return Ok(());
    }
    let known = file.class_names();
    let unknown: BTreeSet<usize> =
        (0..examples.classes.len()).filter(|&i| !known.contains(&examples.classes[i])).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    if unknown.len() == examples.classes.len() {
        class_indices(file, path, &examples.classes)?;
    }
    let names: Vec<&str> = unknown.iter().map(|&i| examples.classes[i].as_str()).collect();
    let shown = path.display();
    warn!("`{shown}`: tags left out, they are no classes of the probe: {}", names.join(", "));
    examples.remove_classes(&unknown);
    Ok(())
}
