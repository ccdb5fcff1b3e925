//! The commands of `sae`, one file each.

pub mod ablate;
mod ablation_metrics;
mod attention;
mod command;
pub mod convert;
pub mod demo;
pub mod encode;
pub mod eval;
mod guidance;
pub mod info;
pub(crate) mod kept;
mod outline;
pub(crate) mod overwrite;
pub mod subject;
pub(crate) mod texts;
pub mod train;
pub mod view;

pub use command::main;
