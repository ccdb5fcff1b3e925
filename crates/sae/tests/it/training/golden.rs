//! A hundred steps of `sae_lens`, `tests/golden/make_training.py`.

use std::path::Path;

use approx::assert_relative_eq;
use attention_probes_sae::{
    CoefficientSchedule, LearningRateSchedule, SaeActivation, SaeTrainConfig, SaeTrainer,
    ScheduleShape, TrainArchitecture,
};
use safetensors::SafeTensors;

pub(crate) const D_IN: usize = 12;
pub(crate) const D_SAE: usize = 40;
pub(crate) const BATCH: usize = 32;
pub(crate) const STEPS: usize = 100;

/// The golden arrays.
pub(crate) struct Golden(Vec<u8>);

impl Golden {
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/training.safetensors");
        Self(std::fs::read(path).unwrap())
    }

    pub(crate) fn array(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let data = file.tensor(name).unwrap().data().to_vec();
        data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    /// The batch of a step.
    pub(crate) fn batch(&self, step: usize) -> Vec<f32> {
        let size = BATCH * D_IN;
        self.array("x").chunks_exact(size).nth(step % 5).unwrap().to_vec()
    }

    pub(crate) fn trainer(&self, architecture: TrainArchitecture) -> SaeTrainer {
        let config = SaeTrainConfig {
            architecture,
            d_sae: D_SAE,
            learning_rate: LearningRateSchedule {
                value: 3e-3,
                shape: ScheduleShape::Cosine,
                end: 3e-4,
                warm_up_steps: 10,
                decay_steps: 20,
                total_steps: STEPS as u64,
            },
            dead_feature_window: 15,
            ..SaeTrainConfig::default()
        };
        let decoder = self.array("W_dec");
        SaeTrainer::from_weights(config, D_IN, decoder.clone(), decoder).unwrap()
    }
}

pub(crate) const TOP_K: TrainArchitecture =
    TrainArchitecture::TopK { k: 4, aux_loss_coefficient: 1.0 };
pub(crate) const BATCH_TOP_K: TrainArchitecture =
    TrainArchitecture::BatchTopK { k: 3.5, aux_loss_coefficient: 1.0, topk_threshold_lr: 0.01 };

fn all_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 2e-4, "{what}: {found} {expected}");
    }
}

#[test]
fn a_hundred_steps_are_those_of_sae_lens() {
    let golden = Golden::read();
    let jump_relu = TrainArchitecture::JumpRelu {
        l0: CoefficientSchedule { value: 0.05, warm_up_steps: 20 },
        init_threshold: 0.01,
        bandwidth: 0.1,
    };
    let l1 = |value, warm_up_steps| CoefficientSchedule { value, warm_up_steps };
    for (name, architecture) in [
        ("standard", TrainArchitecture::Standard { l1: l1(0.3, 30) }),
        ("topk", TOP_K),
        ("batchtopk", BATCH_TOP_K),
        ("jumprelu", jump_relu),
        ("gated", TrainArchitecture::Gated { l1: l1(0.2, 0) }),
    ] {
        let mut trainer = golden.trainer(architecture);
        let losses = golden.array(&format!("{name}.losses"));
        let mut had_dead = false;
        for (step, losses) in losses.chunks_exact(3).enumerate() {
            let report = trainer.step(&golden.batch(step)).unwrap();
            let found = [report.loss, report.mse, report.sparsity + report.auxiliary];
            for (found, expected) in found.into_iter().zip(losses) {
                let expected = f64::from(*expected);
                // Five digits; the third is what torch gets as the difference of the others.
                assert_relative_eq!(found, expected, max_relative = 1e-5, epsilon = 3e-5);
            }
            had_dead |= report.auxiliary > 0.0;
        }
        assert_eq!(had_dead, matches!(name, "topk" | "batchtopk" | "gated"), "{name}");

        // Saved autoencoders of the TopK kinds have unit rows; their products stay.
        let sae = trainer.sae();
        all_close(&sae.b_dec, &golden.array(&format!("{name}.b_dec")), name);
        let norms: Vec<f32> = golden
            .array(&format!("{name}.W_dec"))
            .chunks(D_IN)
            .map(|row| {
                if name.ends_with("topk") {
                    row.iter().map(|w| w * w).sum::<f32>().sqrt()
                } else {
                    1.0
                }
            })
            .collect();
        let scaled = |values: Vec<f32>, by: fn(f32, f32) -> f32| -> Vec<f32> {
            values.iter().enumerate().map(|(i, w)| by(*w, norms[i / D_IN])).collect()
        };
        let decoder = scaled(golden.array(&format!("{name}.W_dec")), |w, norm| w / norm);
        all_close(&sae.decoder, &decoder, name);
        let encoder = transposed_encoder(&golden, name);
        all_close(&sae.encoder, &scaled(encoder, |w, norm| w * norm), name);
        match &sae.activation {
            SaeActivation::JumpRelu { threshold, .. } if name == "jumprelu" => {
                all_close(threshold, &golden.array("jumprelu.threshold"), name);
            }
            SaeActivation::JumpRelu { threshold, .. } => {
                // Theirs is a mean with the 0 that it began at.
                let share = 1.0 - 0.99_f32.powi(STEPS as i32);
                let expected = golden.array("batchtopk.topk_threshold")[0] / share;
                all_close(threshold, &[expected; D_SAE], name);
            }
            SaeActivation::Gated { b_gate, r_mag, b_mag } => {
                for (array, found) in [("b_gate", b_gate), ("r_mag", r_mag), ("b_mag", b_mag)] {
                    all_close(found, &golden.array(&format!("gated.{array}")), array);
                }
            }
            SaeActivation::Standard { b_enc } => {
                all_close(b_enc, &golden.array("standard.b_enc"), name);
            }
            SaeActivation::TopK { b_enc, .. } => {
                let expected: Vec<f32> =
                    golden.array("topk.b_enc").iter().zip(&norms).map(|(b, n)| b * n).collect();
                all_close(b_enc, &expected, name);
            }
        }
    }
}

fn transposed_encoder(golden: &Golden, name: &str) -> Vec<f32> {
    let encoder = golden.array(&format!("{name}.W_enc")); // [d_in, d_sae]
    let mut rows = vec![0.0; encoder.len()];
    for (i, w) in encoder.iter().enumerate() {
        rows[i % D_SAE * D_IN + i / D_SAE] = *w;
    }
    rows
}
