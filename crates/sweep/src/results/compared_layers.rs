//! Whether the best layer is better than the first, and than the middle one.

use std::collections::BTreeMap;

use attention_probes_metrics::{ComparedLayers, MetricError};

use crate::results::chosen::chosen;
use crate::results::compare::paired_probes;
use crate::results::report::ArchitectureReport;
use crate::results::saved_run::SavedExperiment;

/// An architecture at one layer.
type AtLayer<'a> = (usize, &'a SavedExperiment, &'a ArchitectureReport);

/// Compares, for every data set, component, and architecture, the layer that validation chose with the
/// first and with the middle one, by a paired bootstrap on the test examples.
///
/// Nothing where there is one layer, where activations do not say theirs, and where the chosen layer
/// is the other.
///
/// # Errors
///
/// [`MetricError`] if predictions do not fit their labels.
pub fn compare_layers(experiments: &[SavedExperiment]) -> Result<Vec<ComparedLayers>, MetricError> {
    let mut places: BTreeMap<(&str, String), Vec<&SavedExperiment>> = BTreeMap::new();
    for saved in experiments.iter().filter(|saved| saved.report.layer.is_some()) {
        places.entry((&saved.report.data, saved.component())).or_default().push(saved);
    }
    let mut found = Vec::new();
    for ((data, component), mut saved) in places {
        saved.sort_by_key(|saved| saved.report.layer);
        let all: Vec<AtLayer<'_>> = saved
            .iter()
            .filter_map(|saved| Some((saved.report.layer?, *saved)))
            .flat_map(|(layer, saved)| {
                saved.report.architectures.iter().map(move |one| (layer, saved, one))
            })
            .collect();
        let best = chosen(all.iter().map(|at| at.2)).map(|best| all[best]);
        let mut names: Vec<&str> = all.iter().map(|at| at.2.config_name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let layers: Vec<AtLayer<'_>> =
                all.iter().filter(|at| at.2.config_name == name).copied().collect();
            let Some(own) = chosen(layers.iter().map(|at| at.2)).map(|best| layers[best]) else {
                continue;
            };
            let is_chosen = best.is_some_and(|best| std::ptr::eq(best.2, own.2));
            let mut others = vec![layers[0], layers[layers.len() / 2]];
            others.dedup_by_key(|at| at.0);
            for other in others.into_iter().filter(|other| other.0 != own.0) {
                let Some(comparison) = paired_probes((own.1, own.2), (other.1, other.2))? else {
                    continue;
                };
                found.push(ComparedLayers {
                    data: data.to_owned(),
                    component: component.clone(),
                    config_name: name.to_owned(),
                    layer: own.0,
                    other: other.0,
                    is_chosen,
                    comparison,
                });
            }
        }
    }
    Ok(found)
}
