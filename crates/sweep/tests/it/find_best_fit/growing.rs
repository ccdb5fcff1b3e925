//! Trials that drop out, and learning rates that are added.

use std::path::PathBuf;

use attention_probes_probes::ProbeConfig;
use attention_probes_sweep::{
    FitConfig, GroupFit, Keep, Method, Race, SelectBy, Trial, TrialGroup,
};

use crate::find_best_fit::toy::{config, group, largest_difference, probes, toy};

/// Rates that are all too low, so that the grid grows.
fn groups(n_classes: usize) -> Vec<TrialGroup> {
    let trial = |learning_rate| {
        [0.0, 0.1].map(|weight_decay| Trial { learning_rate, weight_decay, seed: 1 })
    };
    let trials: Vec<Trial> = [1e-4, 3e-4, 1e-3].into_iter().flat_map(trial).collect();
    let method = Method { growth: 2, ..Method::default() };
    let of = |probe: &ProbeConfig| TrialGroup { method, ..group(probe, trials.clone()) };
    let fixed = |probe: &ProbeConfig| group(probe, trials.clone());
    let all = probes(n_classes);
    // An attention probe, an MLP, and one whose list is given.
    vec![of(&all[1]), of(&all[5]), fixed(&all[0])]
}

fn open() -> FitConfig {
    let race = Some(Race { after: 2, n_best: 1 });
    let select_by = SelectBy::Loss;
    FitConfig { epochs: 9, patience: 3, keep: Keep::Best, race, select_by, ..config() }
}

fn rates(fit: &GroupFit) -> Vec<f64> {
    let mut rates: Vec<f64> = fit.trials.iter().map(|one| one.trial.learning_rate).collect();
    rates.dedup_by(|a, b| a.to_bits() == b.to_bits());
    rates
}

#[test]
fn a_grid_grows_where_it_is_not_given_and_only_the_front_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(3, folder.path());
    let fits = toy.fit(&groups(3), &open());
    for fit in &fits[..2] {
        let found = rates(fit);
        assert_eq!(found.len(), 5, "{found:?}");
        assert_eq!(found[3..], [3.16e-3, 1e-2]);
        // What was added is chosen because it is better.
        assert!(fit.best >= 6, "{}", fit.best);
        assert_eq!(fit.best_per_weight_decay.len(), 2);
    }
    assert_eq!(rates(&fits[2]).len(), 3);
    for fit in &fits {
        for decay in [0.0_f64, 0.1] {
            let of_grid = fit.trials[..6].iter();
            let same = of_grid.filter(|one| one.trial.weight_decay.to_bits() == decay.to_bits());
            let mut epochs: Vec<usize> = same.map(|one| one.history.len()).collect();
            epochs.sort_unstable();
            assert_eq!(epochs[..2], [2, 2], "{epochs:?}");
            assert!(epochs[2] > 2, "{epochs:?}");
        }
    }
}

#[test]
fn a_trial_ends_as_it_would_alone_as_far_as_it_was_trained() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let groups = groups(2);
    let fits = toy.fit(&groups, &open());
    for (group, fit) in groups.iter().zip(&fits) {
        for trial in &fit.trials {
            let alone = TrialGroup {
                trials: vec![trial.trial],
                method: Method::default(),
                ..group.clone()
            };
            let config = FitConfig { epochs: trial.kept + 1, ..config() };
            let alone = toy.fit(&[alone], &config).remove(0).trials.remove(0);
            assert!(largest_difference(&alone.state, &trial.state) < 1e-5, "{:?}", trial.trial);
        }
    }
}

#[test]
fn a_run_that_was_killed_in_any_round_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(3, folder.path());
    let checkpoint = folder.path().join("checkpoint");
    let mut saved: Vec<PathBuf> = Vec::new();
    let mut rounds = Vec::new();
    let whole = toy.fit_with(&groups(3), &open(), Some(&checkpoint), &mut |report| {
        rounds.push(report.round);
        // What a run that was killed in this epoch would have left.
        if checkpoint.exists() {
            let copy = folder.path().join(format!("copy{}", saved.len()));
            std::fs::copy(&checkpoint, &copy).unwrap();
            saved.push(copy);
        }
    });
    assert_eq!(rounds.iter().max(), Some(&2));
    let plain = toy.fit(&groups(3), &open());
    saved.push(checkpoint.clone());
    let copies = saved.iter().map(|copy| std::fs::read(copy).unwrap()).collect::<Vec<_>>();
    let mut ended = vec![plain];
    for copy in copies {
        std::fs::write(&checkpoint, copy).unwrap();
        ended.push(toy.fit_with(&groups(3), &open(), Some(&checkpoint), &mut |_| ()));
    }
    for fits in ended {
        for (a, b) in whole.iter().zip(&fits) {
            assert_eq!((a.best, a.trials.len()), (b.best, b.trials.len()));
            for (a, b) in a.trials.iter().zip(&b.trials) {
                assert_eq!((&a.state, &a.history, a.kept), (&b.state, &b.history, b.kept));
            }
        }
    }
}

#[test]
fn a_checkpoint_of_other_trials_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let checkpoint = folder.path().join("checkpoint");
    let all = groups(2);
    toy.fit_with(&all, &open(), Some(&checkpoint), &mut |_| ());
    for other in [&all[..2], &[all[1].clone(), all[0].clone(), all[2].clone()]] {
        let error = toy.try_fit_with(other, &open(), Some(&checkpoint), &mut |_| ());
        assert!(error.unwrap_err().to_string().contains("is damaged"));
    }
}
