//! `probe extract` as a person calls it, on the embedded model.

mod fixture;
mod folder;
mod refused;
mod values;
