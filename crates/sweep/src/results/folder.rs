//! The folder of a run: who may write to it, and what is left over in it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use attention_probes_activations::{EarlierRun, FolderLock, remove_own_files};
use attention_probes_errors::FileError;

use crate::config::DataConfig;
use crate::results::files::{remove_probes, write_text};
use crate::{SweepConfig, SweepError};

/// Files of a run beside its experiments.
const RUN_FILES: [&str; 3] = ["config.toml", "transfer.json", "report.html"];

/// Files of an experiment beside its probes.
const EXPERIMENT_FILES: [&str; 5] =
    ["best.json", "config.toml", "history.jsonl", "metrics.json", "predictions.npz"];

/// The folder of a run that this process has to itself.
#[derive(Debug)]
pub(crate) struct RunFolder {
    pub(crate) path: PathBuf,
    _lock: FolderLock,
}

/// The configuration as it is kept beside results: with absolute paths of data, so that it can be
/// run again from anywhere.
pub(crate) fn to_toml(config: &SweepConfig, folder: &Path) -> Result<String, SweepError> {
    let file = folder.join("config.toml");
    let mut config = config.clone();
    for path in config.data.iter_mut().flat_map(DataConfig::paths_mut) {
        *path = std::path::absolute(&*path).map_err(FileError::read(&path))?;
    }
    let text = toml::to_string(&config).map_err(std::io::Error::other);
    Ok(text.map_err(FileError::write(file))?)
}

/// Refuses a folder that holds a run already, or to be resumed, one of another configuration.
///
/// Touches nothing.
pub(crate) fn check(config: &SweepConfig, earlier: EarlierRun) -> Result<(), SweepError> {
    let path = config.folder();
    let file = path.join("config.toml");
    match fs::read_to_string(&file) {
        Ok(_) if earlier == EarlierRun::Overwrite => Ok(()),
        Ok(_) if earlier == EarlierRun::Refuse => Err(SweepError::Exists { path }),
        Ok(found) if found != to_toml(config, &path)? => {
            Err(SweepError::OtherConfig { path: file })
        }
        Ok(_) => Ok(()),
        Err(source) if is_absent(&source) => Ok(()),
        Err(source) => Err(FileError::read(file)(source).into()),
    }
}

impl RunFolder {
    /// Makes the folder or takes the one that is there, and keeps other processes out.
    pub(crate) fn claim(config: &SweepConfig, earlier: EarlierRun) -> Result<Self, SweepError> {
        let path = config.folder();
        let lock = FolderLock::claim(&path)?;
        // Another process may have been here since it was last looked at.
        check(config, earlier)?;
        if earlier == EarlierRun::Overwrite {
            remove_run(&path)?;
        }
        let file = path.join("config.toml");
        if !file.exists() {
            write_text(&file, &to_toml(config, &path)?)?;
        }
        Ok(Self { path, _lock: lock })
    }

    /// Removes checkpoints, once every experiment is complete.
    pub(crate) fn remove_checkpoints(&self) -> Result<(), SweepError> {
        let mut folders = vec![(self.path.clone(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let entries = fs::read_dir(&folder).map_err(FileError::read(&folder))?;
            for entry in entries.flatten() {
                let path = entry.path();
                let Ok(kind) = entry.file_type() else { continue };
                // They lie at most two folders below the run's own.
                if kind.is_dir() && depth < 2 {
                    folders.push((path, depth + 1));
                } else if kind.is_file() && path.extension().is_some_and(|end| end == "checkpoint")
                {
                    fs::remove_file(&path).map_err(FileError::write(&path))?;
                }
            }
        }
        Ok(())
    }
}

/// Removes the files of a run, and no others; its cache of activations lies elsewhere.
fn remove_run(path: &Path) -> Result<(), SweepError> {
    let entries = fs::read_dir(path).map_err(FileError::read(path))?;
    for experiment in entries.flatten().map(|entry| entry.path()) {
        let trained = experiment.join("trained");
        if !experiment.join("config.toml").is_file() && !trained.is_dir() {
            continue;
        }
        remove_probes(&trained)?;
        remove_own_files(&experiment, |name| EXPERIMENT_FILES.contains(&name))?;
    }
    Ok(remove_own_files(path, |name| RUN_FILES.contains(&name) || name.ends_with(".checkpoint"))?)
}

/// Whether there is no such file, also because what should be a folder is a file.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::files::create_folder;

    fn config(output: &Path) -> SweepConfig {
        SweepConfig { output: output.to_owned(), ..SweepConfig::default() }
    }

    #[test]
    fn a_run_is_refused_to_a_second_process_and_free_again_afterwards() {
        let output = tempfile::tempdir().unwrap();
        let config = config(output.path());
        let first = RunFolder::claim(&config, EarlierRun::Resume).unwrap();
        let busy = RunFolder::claim(&config, EarlierRun::Resume).unwrap_err().to_string();
        assert!(busy.contains("is in use by another process"), "{busy}");
        drop(first);
        assert!(matches!(
            RunFolder::claim(&config, EarlierRun::Refuse),
            Err(SweepError::Exists { .. })
        ));
        let other = SweepConfig { device: "cpu".to_owned(), ..config.clone() };
        assert!(matches!(
            RunFolder::claim(&other, EarlierRun::Resume),
            Err(SweepError::OtherConfig { .. })
        ));
        assert!(RunFolder::claim(&config, EarlierRun::Resume).is_ok());
    }

    #[test]
    fn a_run_that_is_replaced_loses_its_own_files_only() {
        let output = tempfile::tempdir().unwrap();
        let config = config(output.path());
        let folder = RunFolder::claim(&config, EarlierRun::Refuse).unwrap().path;
        let (trained, other) = (folder.join("a").join("trained"), folder.join("notes"));
        fs::create_dir_all(&trained).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(trained.join("linear_probe_state.npz"), "").unwrap();
        fs::write(other.join("best.json"), "of somebody else").unwrap();
        for name in ["best.json", "config.toml", "picture.png"] {
            fs::write(folder.join("a").join(name), "").unwrap();
        }
        let replaced = SweepConfig { device: "cpu".to_owned(), ..config.clone() };
        RunFolder::claim(&replaced, EarlierRun::Overwrite).unwrap();
        assert!(!trained.exists() && !folder.join("a").join("best.json").exists());
        assert!(folder.join("a").join("picture.png").exists());
        assert!(other.join("best.json").exists());
        let text = fs::read_to_string(folder.join("config.toml")).unwrap();
        assert!(text.contains("device = \"cpu\""), "{text}");
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let output = tempfile::tempdir().unwrap();
        let config = config(output.path());
        let folder = RunFolder::claim(&config, EarlierRun::Resume).unwrap().path;
        let trained = folder.join("a").join("trained");
        create_folder(&trained).unwrap();
        for name in [".best.json.7-0.tmp", "a.checkpoint", "best.json"] {
            for folder in [&folder, &trained] {
                fs::write(folder.join(name), "").unwrap();
            }
        }
        let names = |folder: &Path| {
            let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let claimed = RunFolder::claim(&config, EarlierRun::Resume).unwrap();
        assert_eq!(names(&trained), ["a.checkpoint", "best.json"]);
        claimed.remove_checkpoints().unwrap();
        assert_eq!(names(&trained), ["best.json"]);
        assert_eq!(names(&folder), [".lock", "a", "best.json", "config.toml"]);
    }
}
