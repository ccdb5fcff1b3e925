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

#[cfg(test)]
mod tests {
    use attention_probes_metrics::{Comparison, Interval};

    use super::*;

    #[test]
    fn a_difference_is_said_once() {
        let unpaired = ComparedProbe { difference: Some((0.03, None)), ..ComparedProbe::default() };
        assert_eq!(ComparedResult::from(unpaired).unpaired_difference, Some(0.03));
        let interval = Interval { lower: 0.01, upper: 0.05, level: 0.95 };
        let over_first = Comparison {
            first: 0.83,
            second: 0.8,
            difference: 0.03,
            interval,
            p_value: 0.01,
            share_first_wins: 0.99,
            share_equal: 0.0,
            n_resamples: 1000,
            n_redrawn: 0,
        };
        let paired = ComparedProbe {
            difference: Some((0.03, Some(interval))),
            over_first: Some(over_first),
            ..ComparedProbe::default()
        };
        assert_eq!(ComparedResult::from(paired).unpaired_difference, None);
    }
}
