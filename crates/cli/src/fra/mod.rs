//! The commands of `fra`, one file each.

pub mod accumulate;
pub mod demo;
pub mod sample;
pub mod subject;
mod tables;
mod told;
