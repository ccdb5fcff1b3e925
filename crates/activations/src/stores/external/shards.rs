//! Activations out of a folder of shards.

use std::path::Path;

use super::site::Sites;
use crate::data::classes::{class_indices, sorted_classes};
use crate::{ActivationError, ExternalActivations, ExternalConfig, ExternalError, ShardFolder};

/// Reads some hooks of every part of a folder of shards; their rows stand side by side.
pub(super) fn read_shards(
    (path, folder): (&Path, &ShardFolder),
    hooks: &[usize],
    about: Sites,
    config: &ExternalConfig,
) -> Result<ExternalActivations, ActivationError> {
    let manifest = folder.manifest();
    let width = |hook: usize| manifest.hooks[hook].shape.iter().product::<usize>();
    let d_model = hooks.iter().map(|&hook| width(hook)).sum();
    let has_labels = config.with_labels && manifest.data.label.is_some();
    let (mut x, mut input_ids, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
    let (mut source_rows, mut skipped, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let mut hasher = blake3::Hasher::new();
    for &hook in hooks {
        hasher.update(manifest.hooks[hook].name.as_bytes());
    }
    for (part, record) in folder.parts().enumerate() {
        hasher.update(record.hash.as_bytes());
        let part = folder.part(part)?;
        for (row, source_row) in part.rows().enumerate() {
            let values: Vec<Vec<f32>> =
                hooks.iter().map(|&hook| part.activations(hook, row)).collect();
            let label = part.label(row);
            let is_usable = values
                .iter()
                .all(|values| !values.is_empty() && values.iter().all(|value| value.is_finite()));
            let is_wanted = !config.left_out.contains(&source_row);
            if !is_usable || !is_wanted || has_labels && label.is_none() {
                skipped.push(source_row);
                continue;
            }
            let ids = part.input_ids(row);
            match &values[..] {
                [values] => x.extend_from_slice(values),
                values => {
                    for token in 0..ids.len() {
                        for (values, &hook) in values.iter().zip(hooks) {
                            let width = width(hook);
                            x.extend_from_slice(&values[token * width..(token + 1) * width]);
                        }
                    }
                }
            }
            input_ids.extend(ids);
            offsets.push(input_ids.len());
            source_rows.push(source_row);
            names.extend(
                label.filter(|_| has_labels).map(|label| manifest.data.classes[label].clone()),
            );
        }
    }
    if source_rows.is_empty() {
        let n_skipped = skipped.len();
        return Err(ExternalError::NoUsableExamples { path: path.to_owned(), n_skipped }.into());
    }
    let classes = sorted_classes(names.iter().map(String::as_str));
    let labels = has_labels.then(|| class_indices(&classes, &names));
    Ok(ExternalActivations {
        x,
        offsets,
        labels,
        targets: None,
        classes,
        d_model,
        position: None,
        input_ids: Some(input_ids),
        texts: None,
        groups: None,
        source_rows,
        skipped,
        sites: about.sites,
        origin: about.origin,
        hash: hasher.finalize().to_hex().to_string(),
    })
}
