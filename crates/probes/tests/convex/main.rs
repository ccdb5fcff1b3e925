//! Convex probes against slow methods, golden values of scikit-learn, and hostile input.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod examples;
mod hostile;
mod logistic;
mod minimum;
mod scikit_learn;
