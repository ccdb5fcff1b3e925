//! Every trainer finds features that are known.

use attention_probes_sae::synthetic::{SyntheticConfig, SyntheticTruth, score_synthetic};
use attention_probes_sae::{
    CoefficientSchedule, LearningRateSchedule, SaeTrainConfig, SaeTrainer, TrainArchitecture,
};

const STEPS: u64 = 800;
const BATCH: usize = 128;

/// Trains on known features; the trained autoencoder must exceed `least`, an MCC and an F1, and the
/// untrained one by far.
///
/// Each bar is just below the worst of ten seeds of initial weights.
fn finds_features(architecture: TrainArchitecture, learning_rate: f64, least: [f64; 2]) {
    let truth = SyntheticConfig {
        n_features: 24,
        d_in: 20,
        mean_l0: 2.0,
        n_children: 3,
        ..SyntheticConfig::default()
    };
    let truth = SyntheticTruth::new(truth, 1).unwrap();
    let learning_rate = LearningRateSchedule {
        value: learning_rate,
        decay_steps: STEPS / 4,
        total_steps: STEPS,
        ..LearningRateSchedule::default()
    };
    let config =
        SaeTrainConfig { architecture, d_sae: 32, learning_rate, ..SaeTrainConfig::default() };
    let mut trainer = SaeTrainer::new(config, 20, 3).unwrap();
    let held_out = truth.sample(2000, u64::MAX);
    let before = score_synthetic(&trainer.sae(), &truth, &held_out).unwrap();
    for step in 0..STEPS {
        trainer.step(&truth.sample(BATCH, step).activations).unwrap();
    }
    let after = score_synthetic(&trainer.sae(), &truth, &held_out).unwrap();
    let (name, [mcc, f1]) = (architecture.as_str(), least);
    assert!(after.mcc > mcc && after.f1 > f1, "{name}: {after:?}");
    assert!(after.mcc > before.mcc + 0.2, "{name}: {before:?}");
    assert!(after.f1 > before.f1 + 0.2, "{name}: {before:?}");
}

fn coefficient(value: f64) -> CoefficientSchedule {
    CoefficientSchedule { value, warm_up_steps: STEPS / 4 }
}

#[test]
fn standard_finds_features() {
    let architecture = TrainArchitecture::Standard { l1: coefficient(0.3) };
    finds_features(architecture, 1e-2, [0.95, 0.8]);
}

#[test]
fn top_k_finds_features() {
    let architecture = TrainArchitecture::TopK { k: 2, aux_loss_coefficient: 1.0 };
    finds_features(architecture, 1e-2, [0.85, 0.6]);
}

#[test]
fn batch_top_k_finds_features() {
    let architecture =
        TrainArchitecture::BatchTopK { k: 2.0, aux_loss_coefficient: 1.0, topk_threshold_lr: 0.01 };
    finds_features(architecture, 1e-2, [0.83, 0.62]);
}

#[test]
fn jump_relu_finds_features() {
    let l0 = coefficient(0.1);
    let architecture = TrainArchitecture::JumpRelu { l0, init_threshold: 0.01, bandwidth: 0.1 };
    finds_features(architecture, 1e-2, [0.9, 0.82]);
}

#[test]
fn gated_finds_features() {
    let architecture = TrainArchitecture::Gated { l1: coefficient(0.3) };
    finds_features(architecture, 1e-2, [0.95, 0.82]);
}
