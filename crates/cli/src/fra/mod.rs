//! The commands of `fra`, one file each.

pub mod accumulate;
pub mod demo;
mod files;
pub mod sample;
pub mod subject;
mod tables;
