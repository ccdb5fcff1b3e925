//! Trials against the definitions of their kinds, differentiated automatically: the slow oracle.

use attention_probes_probes::engine::{RaggedBatch, Rate, Targets, Trials, TrialsConfig};
use attention_probes_probes::{
    Aggregation, Attention, AttentionActivation, Linear, Loss, Probe, ProbeConfig, ProbeState,
    TokenScores,
};
use attention_probes_sweep::{Trial, TrialGroup, predict_logits};
use burn::tensor::{Bool, Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::find_best_fit::toy::{
    D_MODEL, N, Toy, config, group, largest_difference, predict, probes, toy, trials,
};

/// The slow oracle: one trial by automatic differentiation of the definition of its kind, batch after
/// batch.
fn trained_by_definition(toy: &Toy, probe: &ProbeConfig, loss: Loss, trial: Trial) -> ProbeState {
    let config = config();
    let device = Device::flex();
    let Trial { learning_rate, weight_decay, seed } = trial;
    let of_trials =
        TrialsConfig { probe, loss, seed: config.seed, device: &device, by_definition: true };
    let start = probe.init_state(seed);
    let rates = vec![Rate { learning_rate, weight_decay }];
    let mut trials = Trials::new(&of_trials, std::slice::from_ref(&start), rates);
    let class_weights: Vec<f32> =
        (0..toy.n_classes).map(|class| 1.0 + class as f32 * 0.5).collect();
    for epoch in 0..config.epochs {
        let mut order: Vec<usize> = (0..44).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(epoch as u64 + 1);
        rand::seq::SliceRandom::shuffle(&mut order[..], &mut rng);
        for batch in order.chunks(config.batch_size) {
            let rows = batch.iter().map(|&i| &toy.rows[i][..]).collect();
            let labels: Vec<usize> = batch.iter().map(|&i| toy.labels[i]).collect();
            let targets = Targets::new(&labels, &class_weights);
            let batch = RaggedBatch { rows, d_model: D_MODEL };
            trials.differentiate(&batch, &targets, &mut [0.0]).unwrap();
            trials.update();
        }
    }
    trials.state(0)
}

#[test]
fn every_kind_trains_as_its_definition_says() {
    let folder = tempfile::tempdir().unwrap();
    for n_classes in [2, 3] {
        let mut toy = toy(n_classes, folder.path());
        for probe in probes(n_classes) {
            let trial = Trial { learning_rate: 1e-2, weight_decay: 0.1, seed: 5 };
            let group = group(&probe, vec![trial]);
            let fit = toy.fit(&[group], &config());
            let oracle = trained_by_definition(&toy, &probe, Loss::CrossEntropy, trial);
            let difference = largest_difference(&fit[0].trials[0].state, &oracle);
            assert!(difference < 1e-4, "{probe:?}: {difference}");
        }
    }
}

#[test]
fn every_loss_and_dropout_train_as_their_definitions_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(2, folder.path());
    let attention = |attention_dropout, activation| {
        let n_heads = 2;
        let kind = Attention { n_heads, attention_dropout, activation, ..Attention::default() };
        ProbeConfig::new(kind, D_MODEL, 2)
    };
    let [softmax, tanh] = [AttentionActivation::Softmax, AttentionActivation::Tanh];
    let aggregation = Aggregation::Ema { alpha: 0.5 };
    let cases: [(ProbeConfig, Loss); 5] = [
        (attention(0.0, softmax), Loss::Focal { gamma: 2.0 }),
        (ProbeConfig::new(Linear::default(), D_MODEL, 2), Loss::Focal { gamma: 1.5 }),
        (
            ProbeConfig::new(TokenScores { aggregation }, D_MODEL, 2),
            Loss::SoftmaxWeighted { window: 4, temperature: 0.8 },
        ),
        (attention(0.3, softmax), Loss::CrossEntropy),
        (attention(0.3, tanh), Loss::CrossEntropy),
    ];
    for (probe, loss) in cases {
        let trial = Trial { learning_rate: 1e-2, weight_decay: 0.1, seed: 5 };
        let group = TrialGroup { loss, ..group(&probe, vec![trial]) };
        let fit = toy.fit(&[group], &config());
        let oracle = trained_by_definition(&toy, &probe, loss, trial);
        let difference = largest_difference(&fit[0].trials[0].state, &oracle);
        assert!(difference < 1e-4, "{probe:?}, {loss:?}: {difference}");
    }
}

#[test]
fn predictions_equal_those_of_the_saved_modules() {
    let folder = tempfile::tempdir().unwrap();
    let mut toy = toy(3, folder.path());
    let device = Device::flex();
    for probe in probes(3) {
        let group = group(&probe, trials());
        let fit = toy.fit(std::slice::from_ref(&group), &config()).remove(0);
        let states: Vec<ProbeState> = fit.trials.iter().map(|t| t.state.clone()).collect();
        let prefixes = toy.prefixes.clone();
        let found =
            predict_logits(&mut toy.source, &prefixes, &[(group, states)], &predict(13)).unwrap();
        let module = Probe::from_state(&fit.trials[4].state, &probe, &device).unwrap();
        for (i, row) in toy.rows.iter().enumerate() {
            let length = toy.prefixes[i].1;
            let x = TensorData::new(row.clone(), [1, length, D_MODEL]);
            let x = Tensor::<3>::from_data(x, &device);
            let mask = Tensor::<2, Bool>::from_data(
                TensorData::new(vec![false; length], [1, length]),
                &device,
            );
            let expected = module.forward(x, mask).logits.into_data();
            let expected = expected.as_slice::<f32>().unwrap();
            let from = (4 * N + i) * 3;
            for (found, expected) in found[0][from..from + 3].iter().zip(expected) {
                approx::assert_abs_diff_eq!(*found, expected, epsilon = 1e-5);
            }
        }
    }
}
