//! Several runs beside each other.

use attention_probes_metrics::ComparedProbe;
use serde::Serialize;

use crate::ReportError;
use crate::document::{Template, render};

const TEMPLATE: Template = Template {
    body: include_str!("../templates/compare.html"),
    style: include_str!("../templates/compare.css"),
    script: include_str!("../templates/compare.js"),
    has_charts: true,
};

/// Several runs of sweeps beside each other.
///
/// Results of different runs belong together if data set, layer, component, and probe are alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ComparePage {
    /// Heading of the page.
    pub title: String,
    /// The runs; differences are taken from the first.
    pub runs: Vec<ComparedRun>,
    /// What validation chose of each data set, run by run.
    pub chosen: Vec<ComparedResult>,
    /// Every result, run by run.
    pub results: Vec<ComparedResult>,
}

/// One run of a [`ComparePage`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ComparedRun {
    /// Name of the run, which tells it from the others.
    pub name: String,
    /// What it was, such as its model; may be empty.
    pub description: String,
}

/// One chosen probe of the run that it names.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ComparedResult {
    /// The probe.
    #[serde(flatten)]
    pub probe: ComparedProbe,
    /// The metric minus that of the first run, where the examples are not the same and so nothing
    /// is known of its uncertainty; else it is part of the probe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpaired_difference: Option<f64>,
}

impl From<ComparedProbe> for ComparedResult {
    fn from(probe: ComparedProbe) -> Self {
        let unpaired = probe.difference.filter(|_| probe.over_first.is_none());
        Self { probe, unpaired_difference: unpaired.map(|(value, _)| value) }
    }
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
