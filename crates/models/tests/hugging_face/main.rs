//! Our models against the numbers of Hugging Face transformers, and against themselves.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod dtype;
mod gemma;
mod gpt2;
mod interventions;
mod lens;
mod reference;
