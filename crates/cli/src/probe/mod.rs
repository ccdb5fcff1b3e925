//! The subcommands of `probe`, one file each.

mod command;
pub mod compare;
pub mod demo;
pub mod eval;
pub mod extract;
pub mod score;
pub mod sweep;
pub mod view;

pub use command::main;
