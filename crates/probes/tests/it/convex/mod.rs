//! Convex probes against slow methods, golden values of scikit-learn, and hostile input.

mod examples;
mod hostile;
mod logistic;
mod minimum;
mod scikit_learn;
