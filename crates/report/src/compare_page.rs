//! Several runs beside each other.

use serde::{Deserialize, Serialize};

use crate::document::{Template, render};
use crate::{Estimate, ReportError};

const TEMPLATE: Template = Template {
    body: include_str!("../templates/compare.html"),
    style: include_str!("../templates/compare.css"),
    script: include_str!("../templates/compare.js"),
    has_charts: true,
};

/// Several runs of sweeps beside each other.
///
/// Results of different runs belong together if data set, layer, component, and probe are alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparePage {
    /// Heading of the page.
    pub title: String,
    /// The runs; differences are taken from the first.
    pub runs: Vec<ComparedRun>,
    /// Differences from the first run, with the uncertainty of a paired comparison where the
    /// examples are the same.
    pub differences: Vec<PairedDifference>,
    /// The same of what validation chose of each data set.
    #[serde(default)]
    pub chosen_differences: Vec<ChosenDifference>,
}

/// One run of a [`ComparePage`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparedRun {
    /// Name of the run, which tells it from the others.
    pub name: String,
    /// What it was, such as its model; may be empty.
    pub description: String,
    /// What it found.
    pub results: Vec<ComparedResult>,
}

/// One chosen probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparedResult {
    /// Name of the data set.
    pub data: String,
    /// The layer; `None` where the data are activations.
    pub layer: Option<usize>,
    /// The place in the layer, such as `resid_post`; may be empty.
    pub component: String,
    /// Name of the architecture.
    pub config_name: String,
    /// What sums the probe up, such as `balanced accuracy` or `R²`.
    pub metric: String,
    /// That metric on the examples that chose the probe; NaN where it is undefined.
    pub validation: f64,
    /// Whether validation chose this one of all probes of the data set.
    pub is_chosen: bool,
    /// The metric on the test examples.
    pub test: Estimate,
    /// Number of test examples.
    pub n_test: usize,
}

/// What a run is better by than the first, on the same examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Index of the run.
    pub run: usize,
    /// Name of the data set.
    pub data: String,
    /// The layer; `None` where the data are activations.
    pub layer: Option<usize>,
    /// The place in the layer; may be empty.
    pub component: String,
    /// Name of the architecture.
    pub config_name: String,
    /// The metric of the run minus that of the first.
    pub difference: Estimate,
}

/// How much better what validation chose in a run is than what it chose in the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChosenDifference {
    /// Index of the run.
    pub run: usize,
    /// Name of the data set.
    pub data: String,
    /// The metric of the run minus that of the first.
    pub difference: Estimate,
}

impl ComparePage {
    /// Makes the HTML file.
    ///
    /// # Errors
    ///
    /// [`ReportError::Json`] if the data cannot be written, which does not happen.
    pub fn to_html(&self) -> Result<String, ReportError> {
        render(&TEMPLATE, &self.title, self)
    }
}
