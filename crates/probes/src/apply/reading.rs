//! A probe applied to sequences of activations, batch by batch.

use attention_probes_activations::{ActivationSource, length_buckets};
use attention_probes_errors::Stop;
use attention_probes_models::host_values;
use burn::tensor::Device;

use crate::engine::RaggedBatch;
use crate::kinds::PaddedTokens;
use crate::{Probe, ProbeError, probabilities};

/// Most tokens of one forward pass of a probe, padding included.
const TOKENS_PER_BATCH: usize = 16_384;

/// What a probe says about one example.
pub struct Reading<'a> {
    /// Activations, `[n_tokens, d_model]`, row-major.
    pub rows: &'a [f32],
    /// Class scores, `[n_out]`.
    pub logits: &'a [f32],
    /// Probability of each class, `[n_classes]`; none where outputs are no classes.
    pub probabilities: &'a [f64],
    /// Weights of the tokens, one list of `[n_tokens]` per head, where the probe weighs tokens.
    pub pattern: Option<Vec<&'a [f32]>>,
}

/// What a probe is applied to: the beginnings of sequences at one of the sites of a source.
pub struct Prefixes<'a> {
    /// Where the activations are.
    pub source: &'a mut dyn ActivationSource,
    /// Index of the site among those of the source.
    pub site: usize,
    /// Sequence, and number of its tokens that the probe sees, at least 1.
    pub ends: &'a [(usize, usize)],
    /// Asked before each batch is read.
    pub stop: &'a Stop,
}

/// Applies a probe to prefixes; those of like length share a batch.
///
/// Calls `each` once per prefix, in no particular order, with its index.
///
/// # Errors
///
/// - [`ProbeError::Activation`] if the activations cannot be read
/// - [`ProbeError::Device`] if the device fails to hand over what the probe says
/// - [`ProbeError::Stopped`] if [`Prefixes::stop`] is given
///
/// # Panics
///
/// If the activations are not as wide as the probe reads, or as [`ActivationSource::with_rows`].
///
/// # Memory
///
/// The activations of one batch, padded: 16,384 tokens, or one sequence if that is longer.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{
///     ExternalActivations, MemoryActivations, NpzArray, write_npz,
/// };
/// use attention_probes::errors::Stop;
/// use attention_probes::probes::{Linear, Prefixes, ProbeConfig, apply_probe};
/// use burn::tensor::Device;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("x.npz");
/// let x = NpzArray::new(vec![2, 1, 3], vec![0.5_f32; 6]);
/// write_npz(&path, &[("x", x)])?;
/// let mut source = MemoryActivations::from(ExternalActivations::read(&path)?);
///
/// let config = ProbeConfig::new(Linear::default(), 3, 2);
/// let probe = config.init(1, &Device::default())?;
/// let mut logits = vec![0.0; 2];
/// let ends = [(0, 1), (1, 1)];
/// let stop = Stop::never();
/// let prefixes = Prefixes { source: &mut source, site: 0, ends: &ends, stop: &stop };
/// apply_probe(&probe, prefixes, &Device::default(), |index, reading| {
///     logits[index] = reading.logits[0];
/// })?;
/// assert_eq!(logits[0], logits[1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn apply_probe(
    probe: &Probe,
    prefixes: Prefixes<'_>,
    device: &Device,
    mut each: impl FnMut(usize, &Reading<'_>),
) -> Result<(), ProbeError> {
    let Prefixes { source, site, ends, stop } = prefixes;
    let lengths: Vec<usize> = ends.iter().map(|(_, end)| *end).collect();
    for bucket in length_buckets(&lengths, TOKENS_PER_BATCH) {
        stop.check()?;
        let wanted: Vec<(usize, usize)> = bucket.iter().map(|&index| ends[index]).collect();
        let mut read = Ok(());
        source
            .with_rows(&wanted, &mut |sites| {
                read = read_rows(probe, &sites[site], device, &mut |row, reading| {
                    each(bucket[row], reading);
                });
            })
            .map_err(ProbeError::from)?;
        read?;
    }
    Ok(())
}

/// Applies a probe to sequences as one batch, and calls `each` once per row.
fn read_rows(
    probe: &Probe,
    rows: &[&[f32]],
    device: &Device,
    each: &mut dyn FnMut(usize, &Reading<'_>),
) -> Result<(), ProbeError> {
    let tokens = padded(rows, probe.d_model(), device);
    let [batch, pos, d_model] = tokens.x().dims();
    let n_classes = probe.n_classes();
    let output = probe.forward_padded(tokens);
    let probabilities = match n_classes {
        0 => Vec::new(),
        _ => probabilities(output.logits.clone(), n_classes)?,
    };
    let logits = host_values(output.logits)?;
    let pattern = output.pattern.map(host_values).transpose()?;
    for (row, &values) in rows.iter().enumerate() {
        let of_row = |all: &[f32]| row * all.len() / batch..(row + 1) * all.len() / batch;
        let pattern = pattern.as_ref().map(|pattern| {
            let heads = pattern[of_row(pattern)].chunks_exact(pos);
            heads.map(|head| &head[..values.len() / d_model]).collect()
        });
        let reading = Reading {
            rows: values,
            logits: &logits[of_row(&logits)],
            probabilities: &probabilities[row * n_classes..(row + 1) * n_classes],
            pattern,
        };
        each(row, &reading);
    }
    Ok(())
}

/// Sequences as a batch on a device.
pub(crate) fn padded(rows: &[&[f32]], d_model: usize, device: &Device) -> PaddedTokens {
    let batch = RaggedBatch { rows: rows.to_vec(), d_model };
    batch.padded(device)
}

#[cfg(test)]
mod tests {
    use attention_probes_activations::{
        ExternalActivations, MemoryActivations, NpzArray, write_npz,
    };

    use super::*;
    use crate::{Linear, ProbeConfig};

    #[test]
    fn it_stops_before_the_first_batch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npz");
        write_npz(&path, &[("x", NpzArray::new(vec![1, 1, 3], vec![0.5_f32; 3]))]).unwrap();
        let mut source = MemoryActivations::from(ExternalActivations::read(&path).unwrap());
        let config = ProbeConfig::new(Linear::default(), 3, 2);
        let (device, stop) = (Device::default(), Stop::new());
        stop.stop();
        let probe = config.init(1, &device).unwrap();
        let prefixes = Prefixes { source: &mut source, site: 0, ends: &[(0, 1)], stop: &stop };
        let stopped = apply_probe(&probe, prefixes, &device, |_, _| panic!("nothing is read"));
        assert!(matches!(stopped, Err(ProbeError::Stopped(_))));
    }

    #[test]
    fn padding_goes_behind_the_shorter_sequence() {
        let rows: [&[f32]; 2] = [&[1.0, 2.0], &[3.0, 4.0, 5.0, 6.0]];
        let tokens = padded(&rows, 2, &Device::default());
        let x = host_values(tokens.x().clone()).unwrap();
        assert_eq!(x, [1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0]);
        let mask_pad = host_values(tokens.mask_pad().clone().float()).unwrap();
        assert_eq!(mask_pad, [0.0, 1.0, 0.0, 0.0]);
    }
}
