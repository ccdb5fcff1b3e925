//! Arrows between crates point one way, and what only commands need stays with them.

use std::collections::BTreeSet;

use toml::{Table, Value};

/// What a crate of the workspace needs, tests aside.
fn dependencies(manifest: &Table) -> BTreeSet<&str> {
    manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect()
}

fn manifests() -> Vec<(String, Table)> {
    let read = |(name, src): (String, std::path::PathBuf)| {
        let text = std::fs::read_to_string(src.with_file_name("Cargo.toml")).unwrap();
        (name, text.parse().unwrap())
    };
    crate::sources().into_iter().map(read).collect()
}

/// The crates of the workspace from the lowest on; each needs only crates of earlier lines.
const FLOORS: [&[&str]; 9] = [
    &["errors", "kernels"],
    &["metrics", "models"],
    &["activations", "report"],
    &["probes"],
    &["sae", "sweep"],
    &["pages-probes", "pages-sae"],
    &["cli"],
    &["cli-sae-words"],
    &["cli-fra", "cli-probe", "cli-sae"],
];

#[test]
fn a_crate_needs_only_crates_below_it() {
    let floor = |name: &str| FLOORS.iter().position(|names| names.contains(&name));
    for (name, manifest) in manifests() {
        let own = floor(&name).unwrap_or_else(|| panic!("`{name}` has no floor"));
        for needed in dependencies(&manifest) {
            if let Some(needed) = needed.strip_prefix("attention-probes-") {
                let below = floor(needed).unwrap_or_else(|| panic!("`{needed}` has no floor"));
                assert!(below < own, "`{name}` must not need `{needed}`");
            }
        }
    }
}

#[test]
fn libraries_parse_no_arguments_and_choose_no_backend() {
    for (name, manifest) in manifests() {
        if name.starts_with("cli") {
            continue;
        }
        for needed in ["anyhow", "clap", "indicatif", "tracing-subscriber"] {
            assert!(!dependencies(&manifest).contains(needed), "`{name}` needs `{needed}`");
        }
        let features = manifest.get("features").and_then(Value::as_table);
        for feature in features.into_iter().flat_map(Table::values) {
            let text = feature.to_string();
            assert!(!text.contains("burn/"), "`{name}` chooses a backend: {text}");
        }
        let burn = manifest["dependencies"].get("burn").map(ToString::to_string);
        assert!(burn.is_none_or(|burn| !burn.contains("features")), "`{name}` chooses a backend");
    }
}
