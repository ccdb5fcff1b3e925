//! Features of what a layer reads, and what each of them is active on.

use anyhow::Result;
use attention_probes::models::HookPoint;
use attention_probes::sae::{
    LearningRateSchedule, Sae, SaeTrainConfig, SaeTrainer, TrainArchitecture,
};
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::inputs::{Input, LETTERS, N_POS};

/// As many features as there are letters and positions.
pub(crate) const D_SAE: usize = LETTERS.len() + N_POS;

/// Active features of a row: one for the letter, one for the position, and one more, as the norm does
/// not leave them a sum.
pub(crate) const K: usize = 3;

const BATCH: usize = 256;
const N_STEPS: u64 = 2500;

/// Share of a feature's activation that its name must account for.
const NAMED: f64 = 0.9;

/// An autoencoder, and where its features are active.
pub(crate) struct Features {
    pub(crate) sae: Sae,
    /// `Σ‖x̂ - x‖² / Σ‖x - mean‖²` over the rows that it learned from.
    pub(crate) fvu: f64,
    /// Sum of activations, `[d_sae, N_POS, n_letters]`.
    activity: Vec<f64>,
}

/// What a feature is active on.
pub(crate) struct Named {
    /// The letter with most of its activation, and the share of it.
    pub(crate) letter: (char, f64),
    /// The shortest run of positions with nine tenths of it, first and last, and the share.
    pub(crate) positions: (usize, usize, f64),
}

impl Features {
    /// Trains an autoencoder on the rows of `hook`, `N_POS` for each input.
    pub(crate) fn train(
        inputs: &[Input],
        rows: &[f32],
        hook: HookPoint,
        seed: u64,
    ) -> Result<Self> {
        let n_rows = inputs.len() * N_POS;
        let d_in = rows.len() / n_rows;
        let mut trainer = SaeTrainer::new(config(), d_in, seed)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..N_STEPS {
            let row = |_| &rows[rng.random_range(0..n_rows) * d_in..][..d_in];
            trainer.step(&(0..BATCH).flat_map(row).copied().collect::<Vec<_>>())?;
        }
        let mut sae = trainer.sae();
        sae.set_hook(hook);

        let encoded = sae.encode(rows)?;
        let mut activity = vec![0.0; D_SAE * N_POS * LETTERS.len()];
        for (row, (features, values)) in encoded.codes.rows().enumerate() {
            let (letter, pos) = (inputs[row / N_POS].ids[row % N_POS] as usize, row % N_POS);
            for (feature, value) in features.iter().zip(values) {
                let place = *feature as usize * N_POS + pos;
                activity[place * LETTERS.len() + letter] += f64::from(*value);
            }
        }
        let fvu = fvu(rows, &sae.decode(&encoded), d_in);
        Ok(Self { sae, fvu, activity })
    }

    /// What a feature is active on; `None` if it never is.
    pub(crate) fn named(&self, feature: usize) -> Option<Named> {
        let n = LETTERS.len();
        let activity = &self.activity[feature * N_POS * n..][..N_POS * n];
        let all = activity.iter().sum::<f64>();
        let of_letter = |letter: usize| activity.iter().skip(letter).step_by(n).sum::<f64>() / all;
        let of_run = |first, last| activity[first * n..(last + 1) * n].iter().sum::<f64>() / all;
        let letter = (0..n).max_by(|a, b| of_letter(*a).total_cmp(&of_letter(*b)))?;
        let runs = (0..N_POS).flat_map(|first| (first..N_POS).map(move |last| (first, last)));
        let runs = runs.map(|(first, last)| (first, last, of_run(first, last)));
        let of_most = runs.filter(|run| run.2 >= NAMED);
        let positions = of_most.min_by_key(|(first, last, _)| last - first)?;
        Some(Named { letter: (LETTERS[letter], of_letter(letter)), positions })
    }

    /// Its number, its letter if nine tenths of its activation are on one, and its positions.
    pub(crate) fn name(&self, feature: u32) -> String {
        let Some(named) = self.named(feature as usize) else { return format!("{feature} never") };
        let letter = if named.letter.1 >= NAMED { named.letter.0 } else { '*' };
        let (first, last, _) = named.positions;
        format!("{feature}: {letter} at {}", run(first, last))
    }
}

/// Positions as one number or two.
pub(crate) fn run(first: usize, last: usize) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

fn config() -> SaeTrainConfig {
    SaeTrainConfig {
        architecture: TrainArchitecture::TopK { k: K, aux_loss_coefficient: 1.0 },
        d_sae: D_SAE,
        learning_rate: LearningRateSchedule {
            decay_steps: N_STEPS / 3,
            total_steps: N_STEPS,
            ..LearningRateSchedule::constant(3e-3)
        },
        dead_feature_window: 200,
        ..SaeTrainConfig::default()
    }
}

fn fvu(rows: &[f32], decoded: &[f32], d_in: usize) -> f64 {
    let n_rows = (rows.len() / d_in) as f64;
    let mut mean = vec![0.0_f64; d_in];
    for (i, x) in rows.iter().enumerate() {
        mean[i % d_in] += f64::from(*x) / n_rows;
    }
    let left = rows.iter().zip(decoded).map(|(x, decoded)| f64::from(x - decoded).powi(2));
    let variance = rows.iter().enumerate().map(|(i, x)| (f64::from(*x) - mean[i % d_in]).powi(2));
    left.sum::<f64>() / variance.sum::<f64>()
}
