//! A run whose configuration was checked.

use std::path::PathBuf;

use attention_probes_errors::FileError;
use attention_probes_models::HookPoint;

use super::config::{SaeRunConfig, SaeTask};
use super::sae_run::SaeRun;
use crate::SaeError;

/// A run that can be made: a configuration whose every key was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct SaeRunPlan {
    config: SaeRunConfig,
    tasks: Vec<SaeTask>,
    layers: Vec<usize>,
    toml: String,
}

impl SaeRunConfig {
    /// Checks every key.
    ///
    /// # Errors
    ///
    /// - those of [`SaeRunConfig::tasks`] and [`SaeRun::layers`].
    /// - [`SaeError::File`] if the configuration cannot be kept beside the results, because a path
    ///   is not UTF-8.
    pub fn check(&self) -> Result<SaeRunPlan, SaeError> {
        let tasks = self.tasks()?;
        let layers = SaeRun::layers(&tasks)?;
        let toml = toml::to_string(self).map_err(|error| {
            FileError::write(self.folder().join("config.toml"))(std::io::Error::other(error))
        })?;
        Ok(SaeRunPlan { config: self.clone(), tasks, layers, toml })
    }

    /// Where the run lies.
    fn folder(&self) -> PathBuf {
        self.output.join(&self.run).join("sae")
    }
}

impl SaeRunPlan {
    /// The configuration.
    pub fn config(&self) -> &SaeRunConfig {
        &self.config
    }

    /// The autoencoders.
    pub fn tasks(&self) -> &[SaeTask] {
        &self.tasks
    }

    /// Layers whose attention guides, in rising order; none where nothing is guided.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// The hooks that are read, each once.
    pub fn hooks(&self) -> Vec<HookPoint> {
        SaeRun::hooks(&self.tasks)
    }

    /// Where the run lies.
    pub fn folder(&self) -> PathBuf {
        self.config.folder()
    }

    /// Where an autoencoder of the run lies.
    pub fn folder_of(&self, task: &SaeTask) -> PathBuf {
        self.folder().join(&task.name)
    }

    /// The configuration as it is kept beside the results.
    pub(super) fn to_toml(&self) -> &str {
        &self.toml
    }

    /// Steps of a run, and the seed of everything that is drawn.
    pub(super) fn length(&self) -> (u64, u64) {
        (self.config.n_steps(), self.config.seed)
    }

    /// What of the configuration a result depends on.
    pub(super) fn digest_text(&self) -> Result<String, SaeError> {
        let mut config = self.config.clone();
        // Neither where the run lies nor how it is computed changes what is computed.
        config.output = PathBuf::new();
        config.device = String::new();
        config.data.path = PathBuf::new();
        let text = toml::to_string(&config).map_err(std::io::Error::other);
        Ok(text.map_err(FileError::write("config.toml"))?)
    }
}
