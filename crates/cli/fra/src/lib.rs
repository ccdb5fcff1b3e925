//! The command `fra` as a function of its arguments, [`main`], which the binary calls; its
//! subcommands, one file each.

pub mod accumulate;
mod command;
pub mod demo;
pub mod sample;
pub mod subject;
mod told;

pub use command::main;
