//! What the families are made of: tables, norms, attention, rotary positions, nonlinearities.

pub(crate) mod activation;
pub(crate) mod attention;
pub(crate) mod embedding_table;
mod fused;
pub(crate) mod norm;
pub(crate) mod rope;
