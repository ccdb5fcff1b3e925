//! Heads that look behind the earlier occurrence of a token.

use attention_probes_models::HookPoint;
use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::SaeError;
use crate::fra::codes::FraCodes;
use crate::fra::reading::FraReader;

/// Texts of random tokens of which a segment is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepeatedTokensConfig {
    /// Number of texts; 24 by default.
    pub n_texts: usize,
    /// Tokens of the segment, which each text has twice; 32 by default.
    pub n_segment: usize,
    /// Seed of the tokens; 1 by default.
    pub seed: u64,
}

impl Default for RepeatedTokensConfig {
    fn default() -> Self {
        Self { n_texts: 24, n_segment: 32, seed: 1 }
    }
}

/// A head with how much it looks behind earlier occurrences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InductionHead {
    /// Its layer.
    pub layer: usize,
    /// Its number.
    pub head: usize,
    /// Mean attention to where an induction head looks.
    pub score: f64,
}

impl FraReader<'_> {
    /// Random tokens of which a segment is repeated, after what begins every text.
    pub fn repeated_tokens(&self, config: RepeatedTokensConfig) -> Vec<Vec<u32>> {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        let d_vocab = self.model().model.shape().d_vocab as u32;
        let text = |_| {
            let segment: Vec<u32> =
                (0..config.n_segment).map(|_| rng.random_range(1..d_vocab)).collect();
            self.bos().into_iter().chain(segment.repeat(2)).collect()
        };
        (0..config.n_texts).map(text).collect()
    }

    /// Every head of the model by its mean attention to where an induction head looks: behind the
    /// last earlier occurrence of the query's token; the highest first.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Model`] if the model fails.
    /// - [`SaeError::NonFinite`] if an attention is NaN or infinite.
    /// - [`SaeError::Stopped`] if the signal of [`FraReader::with_stop`] is given.
    ///
    /// # Memory
    ///
    /// The attention of up to 64 texts, or of as many as take 256 MiB, one at least.
    ///
    /// # Examples
    ///
    /// ```
    /// # use attention_probes::models::open_model;
    /// # use attention_probes::sae::fra::{FraReader, FraReaderConfig, RepeatedTokensConfig};
    /// # use burn::tensor::Device;
    /// let device = Device::flex();
    /// let model = open_model("demo-gpt2", None, &device)?;
    /// let reader = FraReader::new(&model, &device, FraReaderConfig::default());
    /// let config = RepeatedTokensConfig { n_texts: 2, ..Default::default() };
    /// let heads = reader.induction_heads(&reader.repeated_tokens(config))?;
    /// assert!(heads[0].score > 0.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn induction_heads(&self, texts: &[Vec<u32>]) -> Result<Vec<InductionHead>, SaeError> {
        let shape = self.model().model.shape();
        let hooks: Vec<HookPoint> = (0..shape.n_layers).map(HookPoint::Pattern).collect();
        let mut sums = vec![(0.0, 0_u64); shape.n_layers * shape.n_heads];
        self.running().each(texts, &hooks, |text, kept| {
            let (ids, kept) = (&texts[text], kept?);
            let n = ids.len();
            let patterns = hooks.iter().flat_map(|hook| kept[hook].chunks_exact(n * n));
            let codes = FraCodes::without_features(ids);
            for (sum, pattern) in sums.iter_mut().zip(patterns) {
                let (attention, n) = codes.induction_attention(pattern);
                *sum = (sum.0 + attention, sum.1 + n);
            }
            Ok(())
        })?;
        let head = |(i, (sum, n)): (usize, &(f64, u64))| InductionHead {
            layer: i / shape.n_heads,
            head: i % shape.n_heads,
            score: sum / (*n).max(1) as f64,
        };
        let mut heads: Vec<InductionHead> = sums.iter().enumerate().map(head).collect();
        heads.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(heads)
    }
}
