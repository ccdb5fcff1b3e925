//! The commands of `sae`, one file each.

pub mod convert;
pub mod demo;
pub mod encode;
pub mod info;
mod texts;
pub mod train;
pub mod view;
