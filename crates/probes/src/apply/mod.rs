//! A saved probe at work: what it says about sequences, and about each of their tokens.

mod reading;
mod token_reader;
mod verdict;

pub use reading::{Prefixes, Reading, apply_probe};
pub use token_reader::{Token, TokenReader, TokenScore};
pub use verdict::{CalibrationMethod, Judge, Verdict, VerdictConfig};
