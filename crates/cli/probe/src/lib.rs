//! The command `probe` as a function of its arguments, [`main`], which the binary calls; its
//! subcommands, one file each, and the flags that several of them have.

mod command;
pub mod compare;
pub mod data_args;
pub mod demo;
pub mod eval;
pub mod extract;
pub mod extract_args;
pub mod input;
mod libraries;
pub mod score;
pub mod sweep;
pub mod tracking;
pub mod verdict;
pub mod view;
pub mod word_args;

pub use command::main;
