//! The commands of `sae`, one file each.

pub mod ablate;
mod command;
pub mod convert;
pub mod demo;
pub mod encode;
pub mod eval;
mod flag_words;
mod follow;
pub mod info;
pub(crate) mod kept;
pub mod subject;
pub(crate) mod texts;
pub mod train;
pub mod view;

pub use command::main;
