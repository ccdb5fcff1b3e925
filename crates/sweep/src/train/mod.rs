//! Training of all trials: together on each batch, or each to its minimum.

pub(crate) mod asking;
pub(crate) mod batched;
pub(crate) mod checkpoint;
pub(crate) mod course;
pub(crate) mod cross_validation;
pub(crate) mod early_stopping;
pub(crate) mod find_best_fit;
pub(crate) mod fit;
pub(crate) mod fit_config;
pub(crate) mod fit_data;
pub(crate) mod full_batch;
pub(crate) mod group;
pub(crate) mod growth;
pub(crate) mod mean_head;
pub(crate) mod method;
pub(crate) mod passes;
pub(crate) mod penalty_path;
pub(crate) mod pooled_examples;
pub(crate) mod pooled_rows;
pub(crate) mod record;
pub(crate) mod score;
pub(crate) mod select;
pub(crate) mod training_rows;
