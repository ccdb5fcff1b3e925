//! The command `sae` as a function of its arguments, [`main`], which the binary calls; its
//! subcommands, one file each.

pub mod ablate;
mod command;
pub mod convert;
pub mod demo;
pub mod encode;
pub mod eval;
pub mod info;
pub mod run_args;
pub mod subject;
pub mod train;
pub mod view;

pub use command::main;
