//! Warnings of a run as they are shown: those of several layers told once.

use crate::results::report::ExperimentReport;
use crate::results::target_report::TargetReport;
use crate::warning::Warning;

/// A warning and the layers that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayersWarning {
    /// Layers, such as `layers 0, 3: `; empty if it is about the data.
    pub layers: String,
    /// What looks wrong, and the remedy.
    pub message: String,
}

impl LayersWarning {
    /// Layers and message, in one line.
    pub fn line(&self) -> String {
        format!("{}{}", self.layers, self.message)
    }
}

/// The warnings of a data set at all its layers, in the order in which they first appear.
pub fn experiment_warnings(reports: &[&ExperimentReport]) -> Vec<LayersWarning> {
    grouped(reports.iter().map(|one| (one.layer, one.warnings.as_slice())))
}

/// As [`experiment_warnings`], of number, label, and distribution probes.
pub fn target_warnings(reports: &[&TargetReport]) -> Vec<LayersWarning> {
    grouped(reports.iter().map(|one| (one.layer, one.warnings.as_slice())))
}

/// The warnings of every data set, with its name.
pub fn warnings_by_data<'a, R>(
    reports: &[&'a R],
    data: impl Fn(&'a R) -> &'a str,
    grouped: impl Fn(&[&'a R]) -> Vec<LayersWarning>,
) -> Vec<(String, LayersWarning)> {
    let mut names: Vec<&str> = Vec::new();
    for report in reports {
        if !names.contains(&data(report)) {
            names.push(data(report));
        }
    }
    let warnings = |name: &str| {
        let of_data: Vec<&R> =
            reports.iter().copied().filter(|report| data(report) == name).collect();
        let with_name = |warning| (name.to_owned(), warning);
        grouped(&of_data).into_iter().map(with_name).collect::<Vec<_>>()
    };
    names.into_iter().flat_map(warnings).collect()
}

fn grouped<'a>(
    reports: impl Iterator<Item = (Option<usize>, &'a [Warning])>,
) -> Vec<LayersWarning> {
    let mut groups: Vec<(&Warning, Vec<usize>)> = Vec::new();
    for (layer, warnings) in reports {
        for warning in warnings {
            match groups.iter_mut().find(|(known, _)| *known == warning) {
                Some((_, layers)) => layers.extend(layer),
                None => groups.push((warning, layer.into_iter().collect())),
            }
        }
    }
    let described = |(warning, mut layers): (&Warning, Vec<usize>)| {
        layers.dedup();
        let names: Vec<String> = layers.iter().map(usize::to_string).collect();
        let layers = match names.len() {
            _ if warning.config_name.is_none() => String::new(),
            0 => String::new(),
            1 => format!("layer {}: ", names[0]),
            _ => format!("layers {}: ", names.join(", ")),
        };
        LayersWarning { layers, message: warning.message.clone() }
    };
    groups.into_iter().map(described).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warning::WarningKind;

    fn warning(config_name: Option<&str>, message: &str) -> Warning {
        Warning {
            kind: WarningKind::Diverged,
            config_name: config_name.map(str::to_owned),
            message: message.to_owned(),
        }
    }

    #[test]
    fn the_same_warning_of_several_layers_is_told_once() {
        let low = [warning(None, "8 texts have two labels"), warning(Some("mlp"), "`mlp`: up")];
        let high = [warning(None, "8 texts have two labels"), warning(Some("mlp"), "`mlp`: up")];
        let other = [warning(Some("mlp"), "`mlp`: down")];
        let found =
            grouped([(Some(0), &low[..]), (Some(2), &high[..]), (Some(3), &other[..])].into_iter());
        let lines: Vec<String> = found.iter().map(LayersWarning::line).collect();
        let expected =
            ["8 texts have two labels", "layers 0, 2: `mlp`: up", "layer 3: `mlp`: down"];
        assert_eq!(lines, expected);
    }
}
