//! Data and probes that the tests share.

use attention_probes_activations::{ExternalActivations, MemoryActivations, NpzArray, write_npz};
use attention_probes_errors::Stop;
use attention_probes_probes::{
    Aggregation, Attention, AttentionActivation, GatedBipolar, Labels, Linear, Loss, Mlp, MultiMax,
    Pool, ProbeConfig, ProbeState, RollingAttention, TokenScores,
};
use attention_probes_sweep::{
    EpochReport, FitConfig, FitData, FitEvent, FitRun, GroupFit, Keep, Method, PredictConfig,
    SelectBy, SweepError, Trial, TrialGroup, find_best_fit,
};
use burn::tensor::Device;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) const D_MODEL: usize = 12;
pub(crate) const N: usize = 60;

/// Ragged random activations in which one direction of one token tells the class.
pub(crate) struct Toy {
    pub(crate) source: MemoryActivations,
    pub(crate) rows: Vec<Vec<f32>>,
    pub(crate) labels: Vec<usize>,
    pub(crate) prefixes: Vec<(usize, usize)>,
    pub(crate) n_classes: usize,
    /// Group of each example, if they have any.
    pub(crate) groups: Option<Vec<usize>>,
}

pub(crate) fn toy(n_classes: usize, folder: &std::path::Path) -> Toy {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let longest = 9;
    let (mut x, mut mask, mut rows, mut prefixes) = (vec![], vec![], vec![], vec![]);
    let labels: Vec<usize> = (0..N).map(|i| i % n_classes).collect();
    for (i, label) in labels.iter().enumerate() {
        let length = rng.random_range(3..=longest);
        let mut row: Vec<f32> =
            (0..length * D_MODEL).map(|_| rng.random_range(-1.0..1.0)).collect();
        let key = rng.random_range(0..length);
        row[key * D_MODEL + label] += 2.5;
        row[key * D_MODEL + D_MODEL - 1] += 2.0;
        x.extend_from_slice(&row);
        x.extend(std::iter::repeat_n(0.0, (longest - length) * D_MODEL));
        mask.extend((0..longest).map(|t| u8::from(t < length)));
        prefixes.push((i, length));
        rows.push(row);
    }
    let path = folder.join("toy.npz");
    let y: Vec<i64> = labels.iter().map(|label| *label as i64).collect();
    let arrays = [
        ("x", NpzArray::new(vec![N, longest, D_MODEL], x)),
        ("mask", NpzArray::new(vec![N, longest], mask)),
        ("y", NpzArray::new(vec![N], y)),
    ];
    write_npz(&path, &arrays).unwrap();
    let source = MemoryActivations::from(ExternalActivations::read(&path).unwrap());
    Toy { source, rows, labels, prefixes, n_classes, groups: None }
}

impl Toy {
    pub(crate) fn fit(&mut self, groups: &[TrialGroup], config: &FitConfig) -> Vec<GroupFit> {
        self.fit_with(groups, config, None, &mut |_| ())
    }

    pub(crate) fn fit_with(
        &mut self,
        groups: &[TrialGroup],
        config: &FitConfig,
        checkpoint: Option<&std::path::Path>,
        on_epoch: &mut dyn FnMut(&EpochReport<'_>),
    ) -> Vec<GroupFit> {
        self.try_fit_with(groups, config, checkpoint, on_epoch).unwrap()
    }

    pub(crate) fn try_fit_with(
        &mut self,
        groups: &[TrialGroup],
        config: &FitConfig,
        checkpoint: Option<&std::path::Path>,
        on_epoch: &mut dyn FnMut(&EpochReport<'_>),
    ) -> Result<Vec<GroupFit>, SweepError> {
        let (train, validation): (Vec<usize>, Vec<usize>) = (0..N).partition(|i| *i < 44);
        let weights: Vec<f32> = (0..self.n_classes).map(|class| 1.0 + class as f32 * 0.5).collect();
        let labels = Labels::numbered(self.labels.clone(), self.n_classes);
        let data = FitData {
            examples: &self.prefixes,
            labels: &labels,
            class_weights: &weights,
            groups: self.groups.as_deref(),
            train: &train,
            validation: &validation,
        };
        let mut told = |event: &FitEvent<'_>| {
            if let FitEvent::Epoch(report) = event {
                on_epoch(report);
            }
        };
        find_best_fit(
            &mut self.source,
            &FitRun { data: &data, groups, config, checkpoint },
            &mut told,
        )
    }
}

/// Trials of one probe on the toy, by batches.
pub(crate) fn group(probe: &ProbeConfig, trials: Vec<Trial>) -> TrialGroup {
    let method = Method::default();
    TrialGroup { site: 0, probe: probe.clone(), loss: Loss::CrossEntropy, method, trials }
}

pub(crate) fn config() -> FitConfig {
    FitConfig {
        epochs: 3,
        batch_size: 16,
        seed: 7,
        select_by: SelectBy::BalancedAccuracy,
        patience: 0,
        keep: Keep::Last,
        race: None,
        stop: Stop::never(),
        device: Device::flex(),
    }
}

pub(crate) fn predict(batch_size: usize) -> PredictConfig {
    PredictConfig { batch_size, device: Device::flex() }
}

pub(crate) fn probes(n_classes: usize) -> Vec<ProbeConfig> {
    let attention = |n_heads, activation, hidden_dim| {
        let kind = Attention { n_heads, activation, hidden_dim, ..Attention::default() };
        ProbeConfig::new(kind, D_MODEL, n_classes)
    };
    let softmax = AttentionActivation::Softmax;
    let tanh = AttentionActivation::Tanh;
    let token = |aggregation| ProbeConfig::new(TokenScores { aggregation }, D_MODEL, n_classes);
    vec![
        attention(1, softmax, None),
        attention(3, softmax, None),
        attention(2, tanh, None),
        ProbeConfig::new(Linear { pool: Pool::Mean }, D_MODEL, n_classes),
        ProbeConfig::new(Linear { pool: Pool::AbsMax }, D_MODEL, n_classes),
        ProbeConfig::new(Mlp { hidden_dim: 5, pool: Pool::Max }, D_MODEL, n_classes),
        attention(2, softmax, Some(4)),
        token(Aggregation::Softmax { temperature: 2.0 }),
        token(Aggregation::TopMean { k: 3 }),
        token(Aggregation::RollingMax { window: 3 }),
        token(Aggregation::Ema { alpha: 0.4 }),
        ProbeConfig::new(MultiMax { n_heads: 3 }, D_MODEL, n_classes),
        ProbeConfig::new(RollingAttention { n_heads: 2, window: 3 }, D_MODEL, n_classes),
        ProbeConfig::new(GatedBipolar { d_gate: 4 }, D_MODEL, n_classes),
    ]
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for learning_rate in [1e-3, 1e-2, 5e-2] {
        for weight_decay in [0.0, 0.1] {
            trials.push(Trial { learning_rate, weight_decay, seed: 1 });
        }
    }
    trials
}

pub(crate) fn largest_difference(a: &ProbeState, b: &ProbeState) -> f32 {
    assert!(a.keys().eq(b.keys()));
    let pairs = a.values().zip(b.values());
    let differences = pairs.flat_map(|(a, b)| {
        assert_eq!(a.shape, b.shape);
        a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs())
    });
    differences.fold(0.0, f32::max)
}
