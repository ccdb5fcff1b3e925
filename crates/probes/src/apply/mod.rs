//! A saved probe at work: what it says about sequences, and about each of their tokens.

mod reading;
mod token_reader;

pub use reading::{Prefixes, Reading, apply_probe};
pub use token_reader::{Token, TokenReader, TokenScore};
