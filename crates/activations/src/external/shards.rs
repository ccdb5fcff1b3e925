//! Activations out of a folder of shards.

use std::path::Path;

use super::activations::classes_and_labels;
use crate::{ActivationError, ExternalActivations, HookLayout, ShardError, ShardFolder};

impl ExternalActivations {
    /// Reads every part of a folder of shards.
    pub(super) fn read_shards(
        path: &Path,
        hook: Option<&str>,
        with_labels: bool,
    ) -> Result<Self, ActivationError> {
        let folder = ShardFolder::open(path)?;
        let manifest = folder.manifest();
        let names = || manifest.hooks.iter().map(|hook| hook.name.clone()).collect();
        let index = match hook {
            Some(name) => {
                manifest.hooks.iter().position(|hook| hook.name == name).ok_or_else(|| {
                    let (path, hook) = (path.to_owned(), name.to_owned());
                    ShardError::NoSuchHook { path, hook, hooks: names() }
                })?
            }
            None if manifest.hooks.len() == 1 => 0,
            None => {
                let path = path.to_owned();
                return Err(ShardError::SeveralHooks { path, hooks: names() }.into());
            }
        };
        let hook = &manifest.hooks[index];
        if hook.layout == HookLayout::Pairs {
            let (path, hook) = (path.to_owned(), hook.name.clone());
            return Err(ShardError::Pairs { path, hook }.into());
        }
        let d_model = hook.shape.iter().product();
        let has_labels = with_labels && manifest.data.label.is_some();
        let (mut x, mut input_ids, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        let (mut source_rows, mut skipped, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let mut hasher = blake3::Hasher::new();
        hasher.update(hook.name.as_bytes());
        for (part, record) in folder.parts().enumerate() {
            hasher.update(record.hash.as_bytes());
            let part = folder.part(part)?;
            for (row, source_row) in part.rows().enumerate() {
                let values = part.activations(index, row);
                let label = part.label(row);
                let is_finite = values.iter().all(|value| value.is_finite());
                if values.is_empty() || !is_finite || has_labels && label.is_none() {
                    skipped.push(source_row);
                    continue;
                }
                x.extend(values);
                input_ids.extend(part.input_ids(row));
                offsets.push(input_ids.len());
                source_rows.push(source_row);
                names.extend(
                    label.filter(|_| has_labels).map(|label| manifest.data.classes[label].clone()),
                );
            }
        }
        if source_rows.is_empty() {
            let n_skipped = skipped.len();
            return Err(ActivationError::NoUsableExamples { path: path.to_owned(), n_skipped });
        }
        let (classes, labels) = classes_and_labels(has_labels.then_some(&names[..]));
        Ok(Self {
            x,
            offsets,
            labels,
            targets: None,
            classes,
            d_model,
            position: None,
            input_ids: Some(input_ids),
            groups: None,
            source_rows,
            skipped,
            hash: hasher.finalize().to_hex().to_string(),
        })
    }
}
