//! `sae eval` as a person calls it: every evaluation, and what is refused.

mod fixture;
mod letters;
mod measured;
mod refused;
