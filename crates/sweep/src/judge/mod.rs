//! What trained probes are worth: on held-out examples, beside baselines and controls, elsewhere.

pub(crate) mod bag_of_words;
pub(crate) mod baseline;
pub(crate) mod coarse_numbers;
pub(crate) mod control;
pub(crate) mod decision;
pub(crate) mod evaluation;
pub(crate) mod findings;
pub(crate) mod grid_end;
pub(crate) mod grid_notes;
pub(crate) mod judged;
pub(crate) mod label_baselines;
pub(crate) mod target_findings;
pub(crate) mod transfer;
pub(crate) mod unbalanced;
pub(crate) mod underfit;
pub(crate) mod words_regression;
