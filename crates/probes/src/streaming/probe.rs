//! A probe beside a running model: one activation in, the class scores so far out.

use burn::tensor::Device;

use super::StreamKind;
use super::kept::KeptTokens;
use crate::{OutputScale, Probe, ProbeConfig, ProbeError, ProbeState, SavedProbe};

/// Reads a text token by token, with a state whose size does not depend on its length.
///
/// After each token [`StreamingProbe::push`] returns what the probe would say if the text ended
/// there: the same logits as [`Probe::forward`](crate::Probe) on all tokens so far.
///
/// | kind | state |
/// |---|---|
/// | linear, mlp | the pooled activations, `d_model` numbers; of a linear mean or last, the logits |
/// | attention | of each head the highest score, the sum of weights, and the weighted values |
/// | token: softmax | of each class the highest score and two sums |
/// | token: top mean, rolling | the `k` highest, or the last `window` scores |
/// | token: EMA, multimax | of each class or head the average and the highest value |
/// | rolling attention | scores and values of the last `window` tokens |
/// | gated bipolar | the highest and lowest value of each feature |
/// | others | what [`ProbeKind::stream`](crate::ProbeKind::stream) says, else all activations |
///
/// # Memory
///
/// The weights, copied to the host, and the state above; nothing is allocated after
/// [`StreamingProbe::new`]. A clone shares the weights, so that many texts can be read side by side.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{Aggregation, ProbeConfig, StreamingProbe, TokenScores};
///
/// let aggregation = Aggregation::Ema { alpha: 0.5 };
/// let config = ProbeConfig::new(TokenScores { aggregation }, 2, 2);
/// let mut probe = StreamingProbe::new(&config, &config_state())?;
/// # fn config_state() -> attention_probes::probes::ProbeState {
/// #     use attention_probes::probes::ParamArray;
/// #     [
/// #         ("weight".to_owned(), ParamArray { shape: vec![1, 2], values: vec![1.0, 0.0] }),
/// #         ("bias".to_owned(), ParamArray::zeros(&[1])),
/// #     ]
/// #     .into()
/// # }
/// assert_eq!(probe.push(&[4.0, 0.0]), [4.0]);
/// assert_eq!(probe.push(&[8.0, 0.0]), [6.0]);
/// assert_eq!(probe.push(&[0.0, 0.0]), [6.0]); // the average falls, its maximum stays
/// probe.reset();
/// assert_eq!(probe.push(&[1.0, 0.0]), [1.0]);
/// # Ok::<(), attention_probes::probes::ProbeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct StreamingProbe {
    config: ProbeConfig,
    n_tokens: usize,
    reader: Box<dyn StreamKind>,
    logits: Vec<f32>,
}

impl StreamingProbe {
    /// Takes the weights of a probe whose kind has a reader.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::NoReader`] if the kind has none: [`StreamingProbe::on_device`] takes it
    /// - [`ProbeError::Hyperparameter`] if a field of the config is out of range
    /// - [`ProbeError::MissingArray`], [`ProbeError::UnknownArray`], [`ProbeError::ArrayShape`],
    ///   or [`ProbeError::NonFinite`] if the weights are not those of the config
    pub fn new(config: &ProbeConfig, state: &ProbeState) -> Result<Self, ProbeError> {
        config.check_state(state)?;
        match config.kind().stream(state, config.size()) {
            Some(reader) => Ok(Self::with_reader(config, reader)),
            None => Err(ProbeError::NoReader { kind: config.kind().name().to_owned() }),
        }
    }

    /// Takes the weights of a probe of any kind.
    ///
    /// # Errors
    ///
    /// As [`StreamingProbe::new`], but for [`ProbeError::NoReader`].
    ///
    /// # Memory
    ///
    /// For a kind without a reader, all activations of the text, which pass forward on the device
    /// with every token.
    pub fn on_device(
        config: &ProbeConfig,
        state: &ProbeState,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        match Self::new(config, state) {
            Err(ProbeError::NoReader { .. }) => {
                let unscaled = config.with_output_scale(OutputScale::default());
                let probe = Probe::from_state(state, &unscaled, device)?;
                Ok(Self::with_reader(config, Box::new(KeptTokens::new(probe))))
            }
            found => found,
        }
    }

    fn with_reader(config: &ProbeConfig, reader: Box<dyn StreamKind>) -> Self {
        Self { config: config.clone(), n_tokens: 0, reader, logits: vec![0.0; config.n_out()] }
    }

    /// Takes the weights of a saved probe.
    ///
    /// # Errors
    ///
    /// As [`StreamingProbe::new`].
    pub fn from_saved(saved: &SavedProbe) -> Result<Self, ProbeError> {
        Self::new(saved.config(), &saved.state)
    }

    /// The config of the probe.
    pub fn config(&self) -> &ProbeConfig {
        &self.config
    }

    /// Number of tokens since the beginning of the text.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Forgets the text; the next token begins another.
    pub fn reset(&mut self) {
        self.n_tokens = 0;
    }

    /// Reads the activation of the next token, and returns the logits of the text so far.
    ///
    /// # Shapes
    ///
    /// - `x`: `[d_model]`
    /// - returns `[n_out]`, or of a probe of a number the number
    ///
    /// # Panics
    ///
    /// If `x` is not `d_model` wide.
    pub fn push(&mut self, x: &[f32]) -> &[f32] {
        let d_model = self.config.d_model();
        assert_eq!(x.len(), d_model, "an activation of a probe that reads {d_model} numbers");
        let position = self.n_tokens;
        self.reader.push(x, position, &mut self.logits);
        self.config.output_scale().apply_all(&mut self.logits);
        self.n_tokens += 1;
        &self.logits
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Bool, Device, Tensor, TensorData};
    use rand::{Rng as _, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::testing::every_kind;
    use crate::testing::host_values;
    use crate::{Attention, AttentionActivation, Linear};

    const D_MODEL: usize = 9;
    const N_TOKENS: usize = 23;

    fn is_sum(config: &ProbeConfig) -> bool {
        let attention = config.kind_as::<Attention>();
        attention.is_some_and(|kind| kind.activation == AttentionActivation::Tanh)
    }

    #[test]
    fn every_kind_says_after_each_token_what_it_says_of_the_whole_text() {
        let device = Device::flex();
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        for n_classes in [2, 3] {
            for config in every_kind(D_MODEL, n_classes) {
                let mut state = config.init_state(4);
                for array in state.values_mut() {
                    let values = array.values.iter_mut();
                    values.for_each(|value| *value += rng.random_range(-0.3..0.3));
                }
                let probe = Probe::from_state(&state, &config, &device).unwrap();
                let mut streaming = StreamingProbe::new(&config, &state).unwrap();
                for _text in 0..2 {
                    let x: Vec<f32> =
                        (0..N_TOKENS * D_MODEL).map(|_| rng.random_range(-1.0..1.0)).collect();
                    streaming.reset();
                    for n in 1..=N_TOKENS {
                        let found = streaming.push(&x[(n - 1) * D_MODEL..n * D_MODEL]).to_vec();
                        assert_eq!(streaming.n_tokens(), n);
                        let so_far = TensorData::new(x[..n * D_MODEL].to_vec(), [1, n, D_MODEL]);
                        let so_far = Tensor::<3>::from_data(so_far, &device);
                        let mask_pad = Tensor::<2, Bool>::from_data(
                            TensorData::new(vec![false; n], [1, n]),
                            &device,
                        );
                        let expected = host_values(probe.forward(so_far, mask_pad).logits);
                        for (found, expected) in found.iter().zip(&expected) {
                            // A sum of tokens rounds as often as there are tokens, a mean once.
                            let n_summed = if is_sum(&config) { n as f32 } else { 1.0 };
                            let scale = expected.abs().max(n_summed);
                            assert!(
                                (found - expected).abs() <= 1e-6 * scale,
                                "{config:?}, token {n}: {found} instead of {expected}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn weights_of_another_config_are_refused() {
        let config = ProbeConfig::new(Linear::default(), 4, 2);
        let error = StreamingProbe::new(&config, &ProbeState::new()).unwrap_err();
        assert!(matches!(error, ProbeError::MissingArray { .. }));
    }
}
