//! The commands of `sae`, one file each.

pub mod ablate;
mod command;
pub mod convert;
pub mod demo;
pub mod encode;
pub mod eval;
pub mod info;
pub mod subject;
pub mod train;
pub mod view;

pub use command::main;
