//! Data of a sweep: read, checked, divided, and with the activations that are read of them.

pub(crate) mod activation_sites;
pub(crate) mod data_run;
pub(crate) mod feasible;
pub(crate) mod held_out;
pub(crate) mod input;
pub(crate) mod leaks;
pub(crate) mod outline;
pub(crate) mod sides;
