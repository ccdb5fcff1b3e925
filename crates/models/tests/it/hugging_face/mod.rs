//! Our models against the numbers of Hugging Face transformers, and against themselves.

mod dtype;
mod gemma;
mod gpt2;
mod interventions;
mod lens;
mod reference;
