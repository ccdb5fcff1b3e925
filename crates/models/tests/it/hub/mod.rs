//! Downloads from a server on this machine that plays the Hub.

mod data_set;
mod download;
mod faults;
mod fixture;
mod proxy;
mod refused;
mod server;
