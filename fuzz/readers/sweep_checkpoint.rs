//! The checkpoint of a sweep of two trials, without its hash.

use std::path::Path;
use std::sync::LazyLock;

use attention_probes_activations::{ExternalActivations, MemoryActivations, NpzArray, write_npz};
use attention_probes_errors::Stop;
use attention_probes_probes::{Labels, Linear, Loss, ProbeConfig};
use attention_probes_sweep::{
    FitConfig, FitData, FitRun, Keep, Method, SelectBy, SweepError, Trial, TrialGroup,
    find_best_fit,
};
use burn::tensor::Device;

use crate::folder::Folder;
use crate::hashed::hashed;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

/// Trains for an epoch, going on from a checkpoint where there is one.
pub(crate) fn train(path: &Path, epochs: usize) -> Result<(), SweepError> {
    let activations = path.with_file_name("x.npz");
    let x: Vec<f32> = (0..8 * 3_u8).map(|i| f32::from(i % 5) - 2.0).collect();
    let arrays = [
        ("x", NpzArray::new(vec![8, 1, 3], x)),
        ("mask", NpzArray::new(vec![8, 1], vec![true; 8])),
        ("y", NpzArray::new(vec![8], vec![0_i64, 1, 0, 1, 0, 1, 0, 1])),
    ];
    write_npz(&activations, &arrays)?;
    let mut source = MemoryActivations::from(ExternalActivations::read(&activations)?);
    let examples: Vec<(usize, usize)> = (0..8).map(|i| (i, 1)).collect();
    let labels = Labels::numbered(vec![0, 1, 0, 1, 0, 1, 0, 1], 2);
    let data = FitData {
        examples: &examples,
        labels: &labels,
        class_weights: &[1.0, 1.0],
        groups: None,
        train: &[0, 1, 2, 3],
        validation: &[4, 5, 6, 7],
    };
    let trial = |learning_rate| Trial { learning_rate, weight_decay: 0.0, seed: 1 };
    let group = TrialGroup {
        site: 0,
        probe: ProbeConfig::new(Linear::default(), 3, 2),
        loss: Loss::default(),
        method: Method::default(),
        trials: vec![trial(0.1), trial(0.01)],
    };
    let config = FitConfig {
        epochs,
        batch_size: 4,
        seed: 1,
        select_by: SelectBy::BalancedAccuracy,
        patience: 0,
        keep: Keep::Last,
        race: None,
        stop: Stop::never(),
        device: Device::flex(),
    };
    find_best_fit(
        &mut source,
        &FitRun { data: &data, groups: &[group], config: &config, checkpoint: Some(path) },
        &mut |_| {},
    )
    .map(|_| ())
}

/// Whether training goes on from the checkpoint.
pub(crate) fn read(bytes: &[u8]) -> bool {
    let path = FOLDER.put("a.checkpoint", &hashed(bytes));
    train(&path, 2).is_ok()
}
