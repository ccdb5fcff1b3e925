//! The commands of `fra`, one file each.

pub mod accumulate;
mod command;
pub mod demo;
pub mod sample;
pub mod subject;
mod told;

pub use command::main;
