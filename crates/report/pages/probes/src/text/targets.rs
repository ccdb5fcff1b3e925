//! Results of a sweep whose labels are no classes.

use std::fmt::Write as _;

use attention_probes_probes::SideReport;
use attention_probes_report::{aligned, measured, scientific, with_interval};
use attention_probes_sweep::{TargetReport, target_warnings};

use super::cells::{names, warnings};
use crate::sweep::{LABELS_SHUFFLED, setting};

/// The results of a data set at all its layers.
pub(super) fn targets(text: &mut String, reports: &[TargetReport]) {
    let mut names: Vec<&str> = Vec::new();
    for report in reports {
        if !names.contains(&report.data.as_str()) {
            names.push(&report.data);
        }
    }
    for name in names {
        let of_data: Vec<&TargetReport> =
            reports.iter().filter(|report| report.data == name).collect();
        data_set(text, &of_data);
    }
}

fn data_set(text: &mut String, reports: &[&TargetReport]) {
    let Some(first) = reports.first() else { return };
    let _ = writeln!(
        text,
        "{}: {}; {}: {}",
        first.data,
        first.counts.in_words(),
        first.label_kind.as_str(),
        names(&first.names)
    );
    let mean = &first.baselines.mean;
    let mut header: Vec<String> = ["layer", "probe", "setting"].map(str::to_owned).to_vec();
    header.push(format!("{} (95 %)", mean.headline().0));
    header.extend(mean.details().iter().map(|(name, _)| (*name).to_owned()));
    header.push(LABELS_SHUFFLED.to_owned());
    let mut rows = vec![header];
    let has_components = reports.iter().any(|one| one.component != first.component);
    for report in reports {
        for probe in &report.probes {
            let mut cells =
                vec![report.place_name(has_components), probe.config_name.clone(), setting(probe)];
            cells.extend(numbers(&probe.test));
            cells.push(number(probe.shuffled_headline()));
            rows.push(cells);
        }
    }
    let baseline = |name: &str, penalty: String, side: &SideReport| {
        let mut cells = vec!["-".to_owned(), name.to_owned(), penalty];
        cells.extend(numbers(side));
        cells.push("-".to_owned());
        cells
    };
    rows.push(baseline("mean of the labels", "-".to_owned(), mean));
    if let Some(bag) = &first.baselines.bag_of_words {
        let penalty = first
            .baselines
            .bag_of_words_penalty
            .map_or("-".to_owned(), |penalty| format!("penalty {}", scientific(penalty)));
        rows.push(baseline("bag of words", penalty, bag));
    }
    aligned(text, &rows);
    warnings(text, &target_warnings(reports));
    text.push('\n');
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), measured)
}

fn numbers(side: &SideReport) -> Vec<String> {
    let (_, value, interval) = side.headline();
    let headline = match (value, interval) {
        (Some(value), Some(interval)) => with_interval(value, &interval),
        (value, _) => number(value),
    };
    let details = side.details().into_iter().map(|(_, value)| number(value));
    std::iter::once(headline).chain(details).collect()
}
