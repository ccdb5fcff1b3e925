//! The folder of a run: what is in it, and who may write to it.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use attention_probes_activations::{EarlierRun, FolderLock, remove_own_files, write_atomically};
use attention_probes_errors::FileError;

use super::history::HISTORY_FILE;
use super::options::SaeRunOptions;
use super::plan::SaeRunPlan;
use crate::guided::GUIDANCE_FILE;
use crate::{RunError, SaeError, SaeFormat};

/// State of a run that is not complete.
const CHECKPOINT_FILE: &str = "checkpoint.safetensors";

/// The attention that guides a run.
const ATTENTION_FILE: &str = "attention.safetensors";

/// The resolved configuration of a run.
const CONFIG_FILE: &str = "config.toml";

/// Files of an autoencoder.
const SAE_FILES: [&str; 4] = ["cfg.json", "sae_weights.safetensors", HISTORY_FILE, GUIDANCE_FILE];

/// Whether everything of a run is there already; refuses a folder that holds a run, or, to be
/// resumed, one of other settings.
pub(crate) fn is_complete(
    plan: &SaeRunPlan,
    options: &SaeRunOptions<'_>,
) -> Result<bool, SaeError> {
    if options.earlier == EarlierRun::Overwrite {
        return Ok(false);
    }
    let path = plan.folder();
    let kept_config = path.join(CONFIG_FILE);
    if kept_config.exists() && options.earlier != EarlierRun::Resume {
        return Err(RunError::Exists { path }.into());
    }
    if options.earlier != EarlierRun::Resume || path.join(CHECKPOINT_FILE).exists() {
        return Ok(false);
    }
    if fs::read_to_string(&kept_config).is_ok_and(|old| old != plan.to_toml()) {
        return Err(RunError::OtherSettings { path }.into());
    }
    Ok(plan.tasks().iter().all(|task| SaeFormat::of(path.join(&task.name)).is_ok()))
}

/// The folder of a run that this process has to itself.
#[derive(Debug)]
pub(super) struct RunFolder {
    pub(super) path: PathBuf,
    _lock: FolderLock,
}

impl RunFolder {
    /// Makes the folder or takes the one that is there, and keeps other processes out; `None` if
    /// another process has completed the run.
    pub(super) fn claim(
        plan: &SaeRunPlan,
        options: &SaeRunOptions<'_>,
    ) -> Result<Option<Self>, SaeError> {
        let path = plan.folder();
        let lock = FolderLock::claim(&path)?;
        // Another process may have been here since it was last looked at.
        if is_complete(plan, options)? {
            return Ok(None);
        }
        if options.earlier == EarlierRun::Overwrite {
            remove_run(&path)?;
        }
        Ok(Some(Self { path, _lock: lock }))
    }

    pub(super) fn checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINT_FILE)
    }

    pub(super) fn attention(&self) -> PathBuf {
        self.path.join(ATTENTION_FILE)
    }

    /// Keeps the configuration beside the results.
    pub(super) fn write_config(&self, plan: &SaeRunPlan) -> Result<(), SaeError> {
        let text = plan.to_toml().as_bytes();
        Ok(write_atomically(&self.path.join(CONFIG_FILE), |file| file.write_all(text))?)
    }
}

/// Removes the files of a run, and no others.
fn remove_run(folder: &Path) -> Result<(), SaeError> {
    let entries = fs::read_dir(folder).map_err(FileError::read(folder))?;
    for sae in entries.flatten().map(|entry| entry.path()) {
        if sae.join(HISTORY_FILE).is_file() {
            remove_own_files(&sae, |name| SAE_FILES.contains(&name))?;
        }
    }
    for name in [CONFIG_FILE, CHECKPOINT_FILE, ATTENTION_FILE] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => {
                return Err(FileError::write(path)(source).into());
            }
            _ => {}
        }
    }
    Ok(())
}
