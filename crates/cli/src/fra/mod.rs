//! The commands of `fra`, one file each.

mod ablation;
pub mod accumulate;
mod arms;
mod command;
mod corpus;
pub mod demo;
mod examples;
mod files;
mod package;
mod page;
mod report;
pub mod sample;
pub mod subject;

pub use command::main;
