//! Trials against themselves: alone, again, resumed, and by what they are chosen.

use attention_probes_activations::ActivationSource;
use attention_probes_probes::{Linear, Loss, ProbeConfig};
use attention_probes_sweep::{FitConfig, Trial, TrialGroup};

use crate::find_best_fit::toy::{D_MODEL, config, group, largest_difference, probes, toy, trials};

#[test]
fn every_trial_equals_the_same_trial_trained_alone() {
    let folder = tempfile::tempdir().unwrap();
    for n_classes in [2, 3] {
        let mut toy = toy(n_classes, folder.path());
        for probe in probes(n_classes) {
            let together = vec![group(&probe, trials())];
            let together = toy.fit(&together, &config());
            for (trial, expected) in trials().into_iter().zip(&together[0].trials) {
                let alone = vec![group(&probe, vec![trial])];
                let alone = toy.fit(&alone, &config());
                // Products of another size round differently; Adam divides by small numbers.
                let difference = largest_difference(&alone[0].trials[0].state, &expected.state);
                assert!(difference < 2e-5, "{probe:?} {trial:?}: {difference}");
            }
        }
    }
}

#[test]
fn a_loss_of_tokens_is_refused_for_a_probe_that_does_not_score_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let group = TrialGroup {
        loss: Loss::SoftmaxWeighted { window: 4, temperature: 1.0 },
        ..group(&ProbeConfig::new(Linear::default(), D_MODEL, 2), trials())
    };
    let error = toy.try_fit_with(&[group], &config(), None, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("needs a token probe of 2 classes"), "{error}");
}

#[test]
fn two_runs_give_identical_bits() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let group = group(&probes(2)[1], trials());
    let first = toy.fit(std::slice::from_ref(&group), &config());
    let second = toy.fit(&[group], &config());
    for (a, b) in first[0].trials.iter().zip(&second[0].trials) {
        assert_eq!(a.state, b.state);
        assert_eq!(a.history, b.history);
    }
}

#[test]
fn a_run_that_goes_on_from_a_checkpoint_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(3, folder.path());
    let groups: Vec<TrialGroup> =
        probes(3).into_iter().map(|probe| group(&probe, trials())).collect();
    let whole = toy.fit(&groups, &config());
    let checkpoint = folder.path().join("checkpoint");
    for stop in 1..config().epochs {
        let part = FitConfig { epochs: stop, ..config() };
        toy.fit_with(&groups, &part, Some(&checkpoint), &mut |_| ());
        let mut epochs = Vec::new();
        let resumed = toy.fit_with(&groups, &config(), Some(&checkpoint), &mut |report| {
            epochs.push(report.epoch);
        });
        assert_eq!(epochs, (stop + 1..=config().epochs).collect::<Vec<_>>());
        for (a, b) in whole.iter().zip(&resumed) {
            for (a, b) in a.trials.iter().zip(&b.trials) {
                assert_eq!(a.state, b.state);
                assert_eq!(a.history, b.history);
            }
        }
        std::fs::remove_file(&checkpoint).unwrap();
    }
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let group = group(&probes(2)[0], trials());
    let checkpoint = folder.path().join("checkpoint");
    toy.fit_with(std::slice::from_ref(&group), &config(), Some(&checkpoint), &mut |_| ());
    let mut bytes = std::fs::read(&checkpoint).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&checkpoint, bytes).unwrap();
    let error = toy.try_fit_with(&[group], &config(), Some(&checkpoint), &mut |_| ());
    assert!(error.unwrap_err().to_string().contains("is damaged"));
}

#[test]
fn selection_looks_at_validation_only_and_saves_the_best_of_every_weight_decay() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let group = group(&probes(2)[0], trials());
    let fit = toy.fit(&[group], &config()).remove(0);
    let score = |i: usize| fit.trials[i].score().unwrap();
    for i in 0..fit.trials.len() {
        let (best, other) = (score(fit.best), score(i));
        let better = (best.balanced_accuracy, -best.loss) >= (other.balanced_accuracy, -other.loss);
        assert!(better, "trial {i} beats the chosen one on validation");
    }
    let decays: Vec<f64> =
        fit.best_per_weight_decay.iter().map(|&i| fit.trials[i].trial.weight_decay).collect();
    assert_eq!(decays, [0.0, 0.1]);
    assert!(fit.best_per_weight_decay.contains(&fit.best));
    // The training loss of the chosen trial need not be the lowest: it is never looked at.
    assert!(fit.trials.iter().all(|trial| trial.history.len() == config().epochs));
}

#[test]
fn an_attention_probe_finds_what_a_mean_probe_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    assert_eq!(toy.source.d_model(), D_MODEL);
    let trial = Trial { learning_rate: 2e-2, weight_decay: 0.0, seed: 1 };
    let group = group(&probes(2)[0], vec![trial]);
    let config = FitConfig { epochs: 60, ..config() };
    let fit = toy.fit(&[group], &config).remove(0);
    let score = fit.trials[0].score().unwrap();
    assert!(score.balanced_accuracy.is_some_and(|found| found > 0.85), "{score:?}");
}
