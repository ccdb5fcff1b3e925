//! What a command that was stopped may leave.

use std::fs;
use std::path::Path;

/// Every file below a folder that has a temporary name.
pub(crate) fn temporaries(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap_or_default();
        if entry.file_type().unwrap().is_dir() {
            found.extend(temporaries(&entry.path()));
        } else if [".tmp", ".partial"].iter().any(|end| name.ends_with(end)) {
            found.push(name);
        }
    }
    found
}
