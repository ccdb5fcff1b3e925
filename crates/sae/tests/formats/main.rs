//! Files of autoencoders as the Python libraries wrote them, and as they must not be.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden;
mod hostile;
mod python;
#[path = "../../../report/tests/support/skip.rs"]
mod skip;
