//! The sparse way of the `TopK` kinds against every product dense, and what a trainer promises.

use attention_probes_sae::{SaeError, SaeTrainConfig, SaeTrainer, TrainArchitecture};
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::training::golden::{BATCH, BATCH_TOP_K, D_IN, D_SAE, Golden, STEPS, TOP_K};

#[test]
fn the_sparse_way_is_the_dense_way() {
    let golden = Golden::read();
    for architecture in [TOP_K, BATCH_TOP_K] {
        let (mut sparse, mut dense) = (golden.trainer(architecture), golden.trainer(architecture));
        for step in 0..STEPS {
            let x = golden.batch(step);
            let (found, expected) = (sparse.step(&x).unwrap(), dense.step_densely(&x).unwrap());
            assert_eq!(found.n_dead, expected.n_dead);
            for (found, expected) in [
                (found.mse, expected.mse),
                (found.auxiliary, expected.auxiliary),
                (found.l0, expected.l0),
                (found.gradient_norm, expected.gradient_norm),
            ] {
                approx::assert_relative_eq!(found, expected, max_relative = 2e-4, epsilon = 1e-5);
            }
        }
        for (found, expected) in sparse.sae().decoder.iter().zip(&dense.sae().decoder) {
            approx::assert_abs_diff_eq!(*found, *expected, epsilon = 1e-3);
        }
    }
}

#[test]
fn more_rows_than_a_block_give_the_same_gradients() {
    // 6,144 features: a block of pre-activations holds 512 rows.
    let (d_in, d_sae, n) = (16, 6144, 1100);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let x: Vec<f32> = (0..n * d_in).map(|_| rng.random_range(-1.0..1.0)).collect();
    for architecture in [
        TrainArchitecture::TopK { k: 9, aux_loss_coefficient: 1.0 },
        TrainArchitecture::BatchTopK { k: 9.0, aux_loss_coefficient: 1.0, topk_threshold_lr: 0.1 },
    ] {
        let config = SaeTrainConfig { architecture, d_sae, ..SaeTrainConfig::default() };
        let mut sparse = SaeTrainer::new(config, d_in, 1).unwrap();
        let mut dense = sparse.clone();
        let (found, expected) = (sparse.step(&x).unwrap(), dense.step_densely(&x).unwrap());
        approx::assert_relative_eq!(found.mse, expected.mse, max_relative = 1e-5);
        approx::assert_relative_eq!(
            found.gradient_norm,
            expected.gradient_norm,
            max_relative = 1e-4
        );
        approx::assert_abs_diff_eq!(found.l0, 9.0, epsilon = 1e-9);
    }
}

#[test]
fn one_seed_gives_the_same_bits() {
    let golden = Golden::read();
    let mut first = golden.trainer(TOP_K);
    let mut second = golden.trainer(TOP_K);
    for step in 0..30 {
        let x = golden.batch(step);
        assert_eq!(first.step(&x).unwrap(), second.step(&x).unwrap());
    }
    assert_eq!(first.sae(), second.sae());
    let config = first.config().clone();
    let draw = |seed| SaeTrainer::new(config.clone(), D_IN, seed).unwrap().sae().decoder;
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
}

#[test]
fn a_step_that_diverges_leaves_the_weights_as_they_were() {
    let golden = Golden::read();
    for architecture in [TOP_K, BATCH_TOP_K] {
        let mut trainer = golden.trainer(architecture);
        trainer.step(&golden.batch(0)).unwrap();
        let before = trainer.sae();
        let mut x = golden.batch(1);
        x[3] = f32::NAN;
        let error = trainer.step(&x).unwrap_err();
        assert!(error.to_string().starts_with("the training diverged at step 1"), "{error}");
        assert_eq!(trainer.sae(), before);
    }
}

#[test]
fn numbers_out_of_range_are_refused() {
    let config = SaeTrainConfig { d_sae: D_SAE, ..SaeTrainConfig::default() };
    let error = |config: SaeTrainConfig, d_in| {
        SaeTrainer::new(config, d_in, 0).map(|_| ()).unwrap_err().to_string()
    };
    let with = |architecture| SaeTrainConfig { architecture, ..config.clone() };
    let k = TrainArchitecture::TopK { k: 41, aux_loss_coefficient: 1.0 };
    assert_eq!(error(with(k), D_IN), "`k` is 41, expected from 1 to `d_sae`");
    assert_eq!(error(config.clone(), 0), "`d_in` is 0, expected at least 1, and not too large");
    let betas = SaeTrainConfig { adam_beta2: 1.0, ..config.clone() };
    assert_eq!(error(betas, D_IN), "`adam_beta2` is 1, expected at least 0 and below 1");
    let mut trainer = SaeTrainer::new(config, D_IN, 0).unwrap();
    for n in [0, 1, BATCH * D_IN - 1] {
        let error = trainer.step(&vec![0.5; n]).unwrap_err();
        assert!(matches!(error, SaeError::SizeMismatch { found, .. } if found == n));
    }
}
