//! The commands of `sae`, one file each.

pub mod convert;
pub mod encode;
pub mod info;
pub mod train;
