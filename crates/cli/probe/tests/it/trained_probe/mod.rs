//! `probe eval` and `probe score` as a person calls them, on probes that are trained here.

mod activations;
mod eval;
mod fixture;
mod ranking;
mod refused;
mod score;
mod stream;
mod view;
