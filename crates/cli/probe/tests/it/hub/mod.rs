//! `probe` with models and data sets of the Hub, which a server on this machine plays.

mod data;
mod model;
