//! The page of several runs, compared with the first.

use attention_probes_report::{
    ChosenDifference, ComparePage, ComparedResult, ComparedRun, Estimate, PairedDifference,
};
use attention_probes_sweep::{ComparedProbe, RunComparison, SavedRun};

/// Describes runs and what [`compare_runs`](attention_probes_sweep::compare_runs) says of them.
pub fn compare_page(runs: &[SavedRun], comparison: &RunComparison) -> ComparePage {
    let RunComparison { runs: names, chosen, results } = comparison;
    let run = |(index, (run, name)): (usize, (&SavedRun, &String))| ComparedRun {
        name: name.clone(),
        description: description(run),
        results: results.iter().filter(|one| one.run_index == index).map(result).collect(),
    };
    let difference = |one: &ComparedProbe| {
        Some(PairedDifference {
            run: one.run_index,
            data: one.data.clone(),
            layer: one.layer,
            component: one.component.clone(),
            config_name: one.config_name.clone(),
            difference: estimate(one)?,
        })
    };
    let chosen_difference = |one: &ComparedProbe| {
        let (run, data) = (one.run_index, one.data.clone());
        Some(ChosenDifference { run, data, difference: estimate(one)? })
    };
    ComparePage {
        title: names.join(", "),
        runs: runs.iter().zip(names).enumerate().map(run).collect(),
        differences: results.iter().filter_map(difference).collect(),
        chosen_differences: chosen.iter().filter_map(chosen_difference).collect(),
    }
}

/// The difference from the first run.
fn estimate(one: &ComparedProbe) -> Option<Estimate> {
    one.difference.map(|(value, interval)| Estimate { value, interval })
}

fn result(one: &ComparedProbe) -> ComparedResult {
    ComparedResult {
        data: one.data.clone(),
        layer: one.layer,
        component: one.component.clone(),
        config_name: one.config_name.clone(),
        metric: one.metric.clone(),
        validation: one.validation.unwrap_or(f64::NAN),
        is_chosen: one.is_chosen,
        test: Estimate { value: one.value.unwrap_or(f64::NAN), interval: one.interval },
        n_test: one.n_test,
    }
}

/// Model, size of the grid, and epochs of a run.
fn description(run: &SavedRun) -> String {
    let grid = &run.config.sweep;
    let n_trials = grid.rates().len() * grid.weight_decays.len() * grid.seeds.len().max(1);
    let counted = |n: usize, what: &str| {
        if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
    };
    let parts = [run.model(), counted(n_trials, "trial"), grid.epochs_in_words()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}
