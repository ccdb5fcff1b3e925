//! What a run writes, and how it is read again.

pub(crate) mod chosen;
pub(crate) mod compare;
pub(crate) mod compared_layers;
pub(crate) mod files;
pub(crate) mod fitted;
pub(crate) mod folder;
pub(crate) mod history;
pub(crate) mod layers_warning;
pub(crate) mod origin;
pub(crate) mod predictions;
pub(crate) mod report;
pub(crate) mod saved_run;
pub(crate) mod swept;
pub(crate) mod swept_targets;
pub(crate) mod target_report;
#[cfg(feature = "tensorboard")]
pub(crate) mod tensorboard;
