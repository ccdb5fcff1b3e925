//! Pairs of features over many texts, in one pass for all layers.

use std::path::PathBuf;

use attention_probes_models::HookPoint;

use super::progress::FraProgress;
use crate::fra::capture::FraActivations;
use crate::fra::codes::FraInput;
use crate::fra::layer::FraLayer;
use crate::fra::pairs::FraStatistics;
use crate::fra::reading::{FraReader, FraTextIds};
use crate::{Sae, SaeError};

/// Texts, and the layers over which their pairs are collected.
#[derive(Clone, Copy)]
pub struct FraCorpus<'a> {
    /// The model.
    pub reader: FraReader<'a>,
    /// The layers, each with its autoencoder.
    pub layers: &'a [FraLayer<'a>],
    /// The texts.
    pub texts: &'a [FraTextIds],
}

/// Where a run that is stopped goes on.
#[derive(Clone, Copy, Debug)]
pub struct FraCheckpoints<'a> {
    /// A file for the statistics of each layer.
    pub paths: &'a [PathBuf],
    /// Texts between two checkpoints, at least 1.
    pub every: usize,
    /// What the run is known by ([`FraCorpus::digest`]).
    pub digest: &'a str,
}

impl FraCheckpoints<'_> {
    fn write(&self, all: &[FraStatistics]) -> Result<(), SaeError> {
        let mut files = all.iter().zip(self.paths);
        files.try_for_each(|(statistics, path)| statistics.save(path, self.digest))
    }
}

impl FraCorpus<'_> {
    /// Adds the texts to the statistics of every layer, with one pass over them. Texts that
    /// were added before, by statistics that were [loaded](FraStatistics::load), are left out.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Row`] with its cause if a text cannot be read by the model.
    /// - [`SaeError::Site`] or [`SaeError::SizeMismatch`] if statistics are of another layer.
    /// - [`SaeError::Activation`] or [`SaeError::Json`] if a checkpoint cannot be written.
    /// - [`SaeError::Stopped`] if the signal of [`FraReader::with_stop`] is given; the statistics
    ///   and their checkpoints have the texts before, and another call goes on behind them.
    ///
    /// # Memory
    ///
    /// That of the statistics, and the activations of up to 64 texts, or of as many as take 256 MiB,
    /// one at least.
    ///
    /// # Examples
    ///
    /// ```
    /// # use attention_probes::models::open_model;
    /// # use attention_probes::sae::fra::{
    /// #     FraCorpus, FraLayer, FraRank, FraReader, FraStatistics, FraStatisticsConfig,
    /// # };
    /// # use attention_probes::sae::{Sae, SaeActivation, SaeConfig};
    /// # use burn::tensor::Device;
    /// # let device = Device::flex();
    /// # let model = open_model("demo-gpt2", None, &device)?;
    /// # let wave = |n: usize, at: f32| (0..n).map(|i| (i as f32 * at).sin()).collect::<Vec<_>>();
    /// # let (d_in, d_sae) = (model.model.shape().d_model, 300);
    /// # let (b_enc, k) = (vec![0.0; d_sae], 8);
    /// # let mut sae = Sae {
    /// #     config: SaeConfig::new(d_in, d_sae),
    /// #     activation: SaeActivation::TopK { b_enc, k, rescale_acts_by_decoder_norm: false },
    /// #     encoder: wave(d_in * d_sae, 0.9),
    /// #     decoder: wave(d_in * d_sae, 1.3),
    /// #     b_dec: vec![0.0; d_in],
    /// # };
    /// # sae.set_hook("blocks.1.ln1.hook_normalized".parse()?);
    /// // With a model, an autoencoder of it, and texts:
    /// let reader = FraReader::of(&sae, &model, &device);
    /// let rows = ["The fox ran to the cat.", "The dog ran to the bird."];
    /// let texts = reader.texts(rows.map(|text| Ok(text.to_owned())), 100)?;
    /// let layers = [FraLayer::of(&sae, &*model.model)?];
    ///
    /// let config = FraStatisticsConfig { heads: vec![0, 3], ..Default::default() };
    /// let mut statistics = [FraStatistics::new(&layers[0], config)?];
    /// let corpus = FraCorpus { reader, layers: &layers, texts: &texts };
    /// corpus.accumulate(&mut statistics, None, &mut |progress| println!("{progress:?}"))?;
    ///
    /// assert_eq!(statistics[0].n_texts(), 2);
    /// for head in statistics[0].top(&layers[0], &[FraRank::Max], 5)? {
    ///     println!("head {}: {}", head.head, head.top[0][0]);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accumulate(
        &self,
        statistics: &mut [FraStatistics],
        checkpoints: Option<FraCheckpoints<'_>>,
        progress: &mut dyn FnMut(FraProgress),
    ) -> Result<(), SaeError> {
        let Self { reader, layers, texts } = *self;
        let mut hooks: Vec<HookPoint> = layers.iter().flat_map(FraLayer::hooks).collect();
        hooks.extend(layers.iter().map(|layer| HookPoint::Pattern(layer.layer())));
        let seen = |statistics: &FraStatistics| statistics.n_texts() + statistics.n_skipped();
        let first = statistics.iter().map(seen).min().unwrap_or(u64::MAX);
        let n_seen = usize::try_from(first).unwrap_or(usize::MAX).min(texts.len());
        let ids: Vec<&[u32]> = texts[n_seen..].iter().map(|text| &text.ids[..]).collect();
        let ended = reader.running().each(&ids, &hooks, |at, found| {
            let (i, text) = ((n_seen + at) as u64, &texts[n_seen + at]);
            let activations = finite(text.row, found, progress)?;
            // A run may have been stopped between the checkpoints of two layers.
            for (statistics, layer) in statistics.iter_mut().zip(layers) {
                match &activations {
                    _ if seen(statistics) != i => {}
                    Some(found) => {
                        let n_before = reader.n_before();
                        let input = FraInput { ids: &text.ids, activations: found, n_before };
                        statistics.add(layer, input)?;
                    }
                    None => statistics.skip(),
                }
            }
            let done = i + 1;
            progress(FraProgress::Added { done: done as usize, total: texts.len() });
            let is_due = |kept: &FraCheckpoints<'_>| done.is_multiple_of(kept.every as u64);
            checkpoints.filter(is_due).map_or(Ok(()), |kept| kept.write(statistics))
        });
        if let (Err(SaeError::Stopped), Some(checkpoints)) = (&ended, checkpoints) {
            checkpoints.write(statistics)?;
        }
        ended
    }

    /// What statistics depend on beside their settings: the tokens of the texts, the autoencoders,
    /// the model, and the device; as a BLAKE3 hash.
    ///
    /// # Errors
    ///
    /// [`SaeError::Unwritable`] if the metadata of an autoencoder cannot be written as JSON.
    pub fn digest(&self) -> Result<String, SaeError> {
        let mut hasher = blake3::Hasher::new();
        for layer in self.layers {
            hash_sae(&mut hasher, layer.sae())?;
        }
        for FraTextIds { ids, .. } in self.texts {
            hasher.update(&(ids.len() as u64).to_le_bytes());
            for id in ids {
                hasher.update(&id.to_le_bytes());
            }
        }
        // Another device computes other last bits.
        let settings = format!(
            "{} {} {:?}",
            self.reader.model().fingerprint(),
            self.reader.is_published(),
            self.reader.device()
        );
        hasher.update(settings.as_bytes());
        Ok(hasher.finalize().to_hex().to_string())
    }
}

/// What is at some hooks in a text; `None` if it is not finite.
fn finite(
    row: u64,
    found: Result<FraActivations, SaeError>,
    progress: &mut dyn FnMut(FraProgress),
) -> Result<Option<FraActivations>, SaeError> {
    match found {
        Err(SaeError::NonFinite { index, value, .. }) => {
            progress(FraProgress::LeftOut { row, index, value });
            Ok(None)
        }
        Err(error) => Err(SaeError::Row { row, source: Box::new(error) }),
        Ok(found) => Ok(Some(found)),
    }
}

fn hash_sae(hasher: &mut blake3::Hasher, sae: &Sae) -> Result<(), SaeError> {
    let config = &sae.config;
    let settings = (&config.metadata, config.normalize_activations, config.apply_b_dec_to_input);
    let settings = serde_json::to_vec(&settings).map_err(|_| SaeError::Unwritable {
        what: "the metadata of an autoencoder",
        reason: "it is no JSON",
    })?;
    hasher.update(&settings);
    hasher.update(format!("{:?}", sae.activation).as_bytes());
    for weights in [&sae.encoder, &sae.decoder, &sae.b_dec] {
        for chunk in weights.chunks(1 << 16) {
            let bytes: Vec<u8> = chunk.iter().flat_map(|weight| weight.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use attention_probes_errors::Stop;
    use attention_probes_models::open_model;
    use burn::tensor::Device;

    use super::*;
    use crate::fra::pairs::{FraRank, FraStatisticsConfig};
    use crate::{SaeActivation, SaeConfig};

    #[test]
    fn statistics_that_were_stopped_go_on_to_the_same_bits() {
        let device = Device::flex();
        let model = open_model("demo-gpt2", None, &device).unwrap();
        let wave = |n: usize, at: f32| (0..n).map(|i| (i as f32 * at).sin()).collect::<Vec<_>>();
        let (d_in, d_sae) = (model.model.shape().d_model, 60);
        let (b_enc, k) = (vec![0.0; d_sae], 4);
        let mut sae = Sae {
            config: SaeConfig::new(d_in, d_sae),
            activation: SaeActivation::TopK { b_enc, k, rescale_acts_by_decoder_norm: false },
            encoder: wave(d_in * d_sae, 0.9),
            decoder: wave(d_in * d_sae, 1.3),
            b_dec: vec![0.0; d_in],
        };
        sae.set_hook("blocks.1.ln1.hook_normalized".parse().unwrap());
        let stop = Stop::new();
        let reader = FraReader::of(&sae, &model, &device);
        let rows = ["The fox ran to the cat.", "The dog sat.", "The bird ran to the dog again."];
        let texts = reader.texts(rows.map(|text| Ok(text.to_owned())), 100).unwrap();
        let layers = [FraLayer::of(&sae, &*model.model).unwrap()];
        let new = || [FraStatistics::new(&layers[0], FraStatisticsConfig::default()).unwrap()];
        let corpus = FraCorpus { reader, layers: &layers, texts: &texts };
        let mut expected = new();
        corpus.accumulate(&mut expected, None, &mut |_| {}).unwrap();

        let mut found = new();
        let stopping = FraCorpus { reader: reader.with_stop(&stop), ..corpus };
        let error = stopping.accumulate(&mut found, None, &mut |_| stop.stop()).unwrap_err();
        assert!(matches!(error, SaeError::Stopped), "{error}");
        assert_eq!(found[0].n_texts(), 1);
        corpus.accumulate(&mut found, None, &mut |_| {}).unwrap();
        let top = |statistics: &[FraStatistics; 1]| {
            format!("{:?}", statistics[0].top(&layers[0], &[FraRank::Sum], 9).unwrap())
        };
        assert_eq!(top(&found), top(&expected));
    }
}
