//! The page of several runs, compared with the first.

use attention_probes_report::{ComparePage, ComparedResult, ComparedRun};
use attention_probes_sweep::{RunComparison, SavedRun};

/// Describes runs and what [`compare_runs`](attention_probes_sweep::compare_runs) says of them.
pub fn compare_page(runs: &[SavedRun], comparison: &RunComparison) -> ComparePage {
    let RunComparison { runs: names, chosen, results } = comparison;
    let run = |(run, name): (&SavedRun, &String)| ComparedRun {
        name: name.clone(),
        description: description(run),
    };
    ComparePage {
        title: names.join(", "),
        runs: runs.iter().zip(names).map(run).collect(),
        chosen: chosen.iter().cloned().map(ComparedResult::from).collect(),
        results: results.iter().cloned().map(ComparedResult::from).collect(),
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
