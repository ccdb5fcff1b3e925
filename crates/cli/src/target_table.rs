//! Tables for a terminal, of labels that are no classes.

use std::fmt::Write as _;

use attention_probes_report::{measured, scientific};
use attention_probes_sweep::{SideReport, TargetProbe, TargetReport};

use crate::table::{aligned, names, with_interval};
use crate::warnings;

/// Heading of the column of probes that learned shuffled labels.
pub(crate) const LABELS_SHUFFLED: &str = "labels shuffled";

/// The results of a data set at all its layers.
pub(crate) fn targets(text: &mut String, reports: &[TargetReport]) {
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
        "{}: {} training, {} validation, {} test examples; {}: {}",
        first.data,
        first.n_train,
        first.n_validation,
        first.n_test,
        first.label_kind.as_str(),
        names(&first.names)
    );
    let mean = &first.baselines.mean;
    let mut header: Vec<String> = ["layer", "probe", "penalty"].map(str::to_owned).to_vec();
    header.push(format!("{} (95 %)", mean.headline().0));
    header.extend(mean.details().iter().map(|(name, _)| (*name).to_owned()));
    header.push(LABELS_SHUFFLED.to_owned());
    let mut rows = vec![header];
    let has_components = reports.iter().any(|one| one.component != first.component);
    for report in reports {
        for probe in &report.probes {
            let mut cells = vec![
                place(report, has_components),
                probe.config_name.clone(),
                penalty(&probe.penalties),
            ];
            cells.extend(numbers(&probe.test));
            cells.push(number(shuffled(probe)));
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
        let penalty = first.baselines.bag_of_words_penalty.map_or("-".to_owned(), scientific);
        rows.push(baseline("bag of words", penalty, bag));
    }
    aligned(text, &rows);
    warnings::write(text, &warnings::of_targets(reports));
    text.push('\n');
}

/// The layer, or the layers that stand side by side, and the component where there are several.
pub(crate) fn place(report: &TargetReport, has_components: bool) -> String {
    let mut place = match (report.layer, &report.layers[..]) {
        (Some(layer), _) => layer.to_string(),
        (None, []) => "-".to_owned(),
        (None, layers) => layers.iter().map(usize::to_string).collect::<Vec<_>>().join("+"),
    };
    if let Some(component) = report.component.as_ref().filter(|_| has_components) {
        let _ = write!(place, " {component}");
    }
    place
}

/// A penalty, or the lowest and the highest of several.
pub(crate) fn penalty(penalties: &[f64]) -> String {
    let low = penalties.iter().copied().fold(f64::INFINITY, f64::min);
    let high = penalties.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let [shown_low, shown_high] = [low, high].map(scientific);
    if low < high { format!("{shown_low} to {shown_high}") } else { shown_high }
}

/// What sums up a probe of the same penalties that learned shuffled labels.
pub(crate) fn shuffled(probe: &TargetProbe) -> Option<f64> {
    probe.shuffled_labels.as_ref().and_then(|side| side.headline().1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_penalty_is_one_number_or_a_range() {
        assert_eq!(penalty(&[10.0]), "1e1");
        assert_eq!(penalty(&[10.0, 0.1]), "1e-1 to 1e1");
    }
}
