//! A small sweep to run, and what a run of the binary leaves behind.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::call;

/// Folder of the runs' results.
pub(crate) const RUN: &str = "results/small/seed_42";

/// A sweep of seconds over `data.csv`.
pub(crate) const CONFIG: &str = r#"
run = "small"

[[data]]
path = "data.csv"
validation = 0.2

[activations]
layers = [1]

[sweep]
learning_rates = [1e-3, 1e-2]
weight_decays = [0.0, 0.5]
epochs = 3
batch_size = 16
"#;

/// A folder with `sweep.toml` and `data.csv`; runs are started in it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with [`CONFIG`] and 60 texts of two classes.
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("sweep.toml", CONFIG);
        folder.write("data.csv", reviews());
        folder
    }

    /// The same with parts of the configuration replaced, each of which must be there.
    pub(crate) fn with(replacements: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        let mut config = CONFIG.to_owned();
        for (from, to) in replacements {
            assert!(config.contains(from), "`{from}` is not in the configuration");
            config = config.replace(from, to);
        }
        folder.write("sweep.toml", &config);
        folder
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file into the folder.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// `probe sweep sweep.toml` with further arguments.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        call::command(self.0.path(), &[&["sweep", "sweep.toml"], args].concat())
    }

    /// Runs what is refused and returns stderr.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        call::refused(&mut self.command(args))
    }

    /// Runs to the end and returns stdout and stderr.
    pub(crate) fn succeed(&self, args: &[&str]) -> (String, String) {
        call::succeed(&mut self.command(args))
    }

    /// Every file below a folder, by its path in it; nothing if there is no such folder.
    ///
    /// This folder's own path, which configurations and pages hold, is shown as `FOLDER`.
    pub(crate) fn tree(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let root = self.path(below);
        collect(&root, &root, &mut files);
        let own = self.0.path().to_str().unwrap();
        let holds_paths =
            |name: &str| name.ends_with("config.toml") || name.ends_with("report.html");
        for (_, bytes) in files.iter_mut().filter(|(name, _)| holds_paths(name)) {
            *bytes = String::from_utf8_lossy(bytes).replace(own, "FOLDER").into_bytes();
        }
        files
    }
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(root, &path, files);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.ends_with(".lock") {
            continue; // only there to be locked
        }
        match fs::read(&path) {
            Ok(bytes) => {
                files.insert(name, bytes);
            }
            // A run that goes on meanwhile renames its files.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

/// What a JSON file or output holds.
pub(crate) fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// `best.json` of an experiment.
pub(crate) fn best(folder: &Folder, experiment: &str) -> Value {
    let path = folder.path(RUN).join(experiment).join("best.json");
    json(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// 60 short reviews, every second one liked.
pub(crate) fn reviews() -> String {
    let mut csv = "text,label\n".to_owned();
    for (what, good, bad) in [
        ("story", "warm and kind", "dull and cold"),
        ("ending", "happy", "sad"),
        ("princess", "brave and good", "mean and bad"),
        ("garden", "full of joy", "full of holes"),
        ("song", "lovely", "awful"),
    ] {
        for who in ["the king", "a little girl", "my friend", "the old dog", "he", "everyone"] {
            for (feeling, how, label) in [("loved", good, "liked"), ("hated", bad, "disliked")] {
                writeln!(csv, "{who} {feeling} the {what} because it was {how},{label}").unwrap();
            }
        }
    }
    csv
}
