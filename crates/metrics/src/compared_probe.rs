//! A probe of one of several runs that are compared.

use serde::Serialize;

use crate::{Comparison, Interval};

/// A chosen probe of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ComparedProbe {
    /// Index of the run.
    #[serde(skip)]
    pub run_index: usize,
    /// Name of the run.
    pub run: String,
    /// Name of the data set.
    pub data: String,
    /// The layer; `None` where the data are activations, and where several layers are joined.
    pub layer: Option<usize>,
    /// The place in the layer; may be empty.
    pub component: String,
    /// Name of the architecture.
    pub config_name: String,
    /// Number of test examples.
    pub n_test: usize,
    /// What sums the probe up, such as `balanced accuracy` or `R²`.
    pub metric: String,
    /// On examples that nothing was chosen by; `None` where it is undefined.
    pub value: Option<f64>,
    /// Its interval, where it has one.
    pub interval: Option<Interval>,
    /// On the examples that chose the probe.
    pub validation: Option<f64>,
    /// Whether validation chose it among all probes of the data set.
    #[serde(skip)]
    pub is_chosen: bool,
    /// The metric minus that of the first run, and its interval if both were evaluated on the same
    /// examples; `None` of the first run, and of a probe that the first run does not have.
    #[serde(skip)]
    pub difference: Option<(f64, Option<Interval>)>,
    /// Against the first run, on the same examples; absent where they are not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_first: Option<Comparison>,
}
