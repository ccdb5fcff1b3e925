//! The commands of `fra`, one file each.

mod ablation;
pub mod accumulate;
pub mod demo;
mod package;
mod page;
mod report;
pub mod sample;
pub mod subject;
