//! Examples that the tests share.

use attention_probes_probes::LogisticConfig;

pub(crate) fn config(penalties: &[f64]) -> LogisticConfig {
    LogisticConfig { penalties: penalties.to_vec(), ..LogisticConfig::default() }
}

/// Numbers without a pattern, about -1 to 1.
pub(crate) fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| (((i + 31 * seed) * 7919 % 1009) as f32 - 504.0) / 504.0).collect()
}

/// Labels that depend on the features, but not wholly.
pub(crate) fn noisy_labels(x: &[f32], d: usize, n_classes: usize) -> Vec<usize> {
    let noise = numbers(x.len() / d, 5);
    let score = |(row, noise): (&[f32], &f32)| {
        let sum = row[0] + 0.5 * row[d - 1] + 0.8 * noise + 2.3;
        (sum / 4.6 * n_classes as f32).clamp(0.0, n_classes as f32 - 1.0) as usize
    };
    x.chunks(d).zip(&noise).map(score).collect()
}

pub(crate) fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1.0_f64, |size, x| size.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(*found) - expected).abs();
        assert!(difference <= tolerance * size, "at {i}: {found}, expected {expected}");
    }
}
