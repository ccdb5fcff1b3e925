//! `probe` with models and data sets of the Hub, which a server on this machine plays.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../common/call.rs"]
mod call;
mod data;
#[path = "../sweep/folder.rs"]
#[expect(dead_code, reason = "a few of its functions are for other tests")]
mod folder;
#[path = "../../../models/tests/it/hub/server.rs"]
mod hub_server;
mod model;
