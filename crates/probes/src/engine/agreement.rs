//! Whether the kernel of a kind does what its definition says.

use burn::tensor::Device;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{RaggedBatch, Rate, Targets, Trials, TrialsConfig};
use crate::{Labels, Loss, ProbeConfig, ProbeError, ProbeState};

/// Numbers of the check: of texts, and of the tokens of the longest.
const N_TEXTS: usize = 7;
const LONGEST: usize = 19;

/// Where a kernel and the definition of its kind differ most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Disagreement {
    /// Of a logit, relative to the largest.
    pub logits: f64,
    /// Of a loss.
    pub losses: f64,
    /// Of a gradient, relative to the largest.
    pub gradients: f64,
}

impl Disagreement {
    /// The largest of all.
    pub fn largest(&self) -> f64 {
        self.logits.max(self.losses).max(self.gradients)
    }
}

/// Compares the host kernel of a kind with its definition: logits, losses, and gradients of three
/// trials on random texts of several lengths, of which the first has initial weights. Labels are of
/// the kind that the probe and its loss are for: a probe of numbers has the loss
/// [`Loss::SquaredError`], one of several labels no classes.
///
/// Differences of rounding are about 1e-6; a kernel that is wrong differs by 1e-2 and more. A kind
/// without a kernel agrees with itself.
///
/// # Errors
///
/// - [`ProbeError`] of [`ProbeConfig::check`] and [`ProbeConfig::check_loss`].
/// - [`ProbeError::Device`] if the device fails.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::engine::check_kernel;
/// use attention_probes::probes::{Loss, MultiMax, ProbeConfig};
/// use burn::tensor::Device;
///
/// let config = ProbeConfig::new(MultiMax { n_heads: 4 }, 9, 3);
/// let found = check_kernel(&config, Loss::CrossEntropy, &Device::flex(), 42)?;
/// assert!(found.largest() < 1e-5, "{found:?}");
/// # Ok::<(), attention_probes::probes::ProbeError>(())
/// ```
pub fn check_kernel(
    probe: &ProbeConfig,
    loss: Loss,
    device: &Device,
    seed: u64,
) -> Result<Disagreement, ProbeError> {
    probe.check()?;
    probe.check_loss(&loss)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n_classes = probe.n_classes().max(2);
    let d_model = probe.d_model();
    let texts: Vec<Vec<f32>> = (0..N_TEXTS)
        .map(|text| {
            let n_tokens = if text == 0 { LONGEST } else { rng.random_range(1..=LONGEST) };
            (0..n_tokens * d_model).map(|_| rng.random_range(-1.7..1.7)).collect()
        })
        .collect();
    let labels = labels_of(probe, loss);
    let class_weights: Vec<f32> = (0..n_classes).map(|class| 1.0 + 0.5 * class as f32).collect();
    let states: Vec<ProbeState> = (0..3)
        .map(|trial| {
            let mut state = probe.init_state(seed.wrapping_add(trial));
            // Initial weights may be 0, and then many gradients are: the others differ from them.
            if trial > 0 {
                let values = state.values_mut().flat_map(|array| &mut array.values);
                values.for_each(|value| *value += rng.random_range(-0.3..0.3));
            }
            state
        })
        .collect();
    let batch = RaggedBatch { rows: texts.iter().map(Vec::as_slice).collect(), d_model };
    let targets = Targets::of_labels(&labels, &class_weights);
    let look = |by_definition| -> Result<Look, ProbeError> {
        let config = TrialsConfig { probe, loss, seed, device, by_definition };
        let rate = Rate { learning_rate: 1.0, weight_decay: 0.0 };
        let mut trials = Trials::new(&config, &states, vec![rate; states.len()]);
        let mut losses = vec![0.0; states.len()];
        let fault = |source| ProbeError::Device { source };
        trials.differentiate(&batch, &targets, &mut losses).map_err(fault)?;
        let logits = trials.logits(&batch).map_err(fault)?;
        let gradients: Vec<ProbeState> =
            (0..states.len()).map(|trial| trials.gradient(trial)).collect();
        Ok(Look { logits, losses, gradients })
    };
    let (by_kernel, by_definition) = (look(false)?, look(true)?);
    let flat = |look: &Look| -> Vec<f32> {
        let arrays = look.gradients.iter().flat_map(ProbeState::values);
        arrays.flat_map(|array| array.values.iter().copied()).collect()
    };
    let losses = by_kernel.losses.iter().zip(&by_definition.losses);
    Ok(Disagreement {
        logits: difference(&by_kernel.logits, &by_definition.logits),
        losses: losses.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max),
        gradients: difference(&flat(&by_kernel), &flat(&by_definition)),
    })
}

/// Labels of every text, of the kind that a probe is for.
fn labels_of(probe: &ProbeConfig, loss: Loss) -> Labels {
    let (n_out, n_classes) = (probe.n_out(), probe.n_classes());
    if n_classes > 0 {
        return Labels::numbered((0..N_TEXTS).map(|text| text % n_classes).collect(), n_classes);
    }
    if loss == Loss::SquaredError {
        return Labels::of_numbers((0..N_TEXTS).map(|text| text as f64 * 3.0 - 5.0).collect(), "y");
    }
    let is_there = |place: usize| f64::from(u8::from(place.is_multiple_of(3)));
    let names = (0..n_out).map(|label| label.to_string()).collect();
    Labels::of_labels((0..N_TEXTS * n_out).map(is_there).collect(), names)
}

/// What an engine made of a batch.
struct Look {
    logits: Vec<f32>,
    losses: Vec<f64>,
    gradients: Vec<ProbeState>,
}

/// Largest difference of two lists, relative to the largest number of the second, if that is above 1.
fn difference(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let largest = expected.iter().fold(1.0_f32, |a, b| a.max(b.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| f64::from((a - b).abs() / largest));
    differences.fold(0.0, |a, b| if b.is_nan() { f64::INFINITY } else { a.max(b) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::every_kind;
    use crate::{Aggregation, Attention, OutputScale, TokenScores};

    #[test]
    fn every_kernel_does_what_its_definition_says() {
        for n_classes in [2, 3] {
            for probe in every_kind(9, n_classes) {
                for loss in [Loss::CrossEntropy, Loss::Focal { gamma: 2.0 }] {
                    let found = check_kernel(&probe, loss, &Device::flex(), 42).unwrap();
                    assert!(found.largest() < 2e-5, "{probe:?}, {loss:?}: {found:?}");
                }
            }
        }
    }

    #[test]
    fn every_kernel_learns_numbers_and_several_labels_as_its_definition_does() {
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let several = Labels::of_labels(Vec::new(), names);
        let number = Labels::of_numbers(vec![-7.0, 3.0], "y");
        let scale = OutputScale { mean: 2.0, scale: 5.0 };
        for probe in every_kind(9, 2) {
            let of_labels = probe.for_labels(&several);
            let of_number = probe.for_labels(&number).with_output_scale(scale);
            for (probe, loss) in [(of_labels, Loss::CrossEntropy), (of_number, Loss::SquaredError)]
            {
                let found = check_kernel(&probe, loss, &Device::flex(), 42).unwrap();
                assert!(found.largest() < 2e-5, "{probe:?}: {found:?}");
            }
        }
    }

    #[test]
    fn a_loss_of_tokens_and_dropout_agree_too() {
        let loss = Loss::SoftmaxWeighted { window: 4, temperature: 0.8 };
        let aggregation = Aggregation::Ema { alpha: 0.5 };
        let probe = ProbeConfig::new(TokenScores { aggregation }, 9, 2);
        let found = check_kernel(&probe, loss, &Device::flex(), 3).unwrap();
        assert!(found.largest() < 2e-5, "{found:?}");
        for activation in [crate::AttentionActivation::Softmax, crate::AttentionActivation::Tanh] {
            let (n_heads, attention_dropout) = (2, 0.3);
            let kind = Attention { n_heads, activation, attention_dropout, ..Attention::default() };
            let probe = ProbeConfig::new(kind, 9, 3);
            let found = check_kernel(&probe, Loss::CrossEntropy, &Device::flex(), 3).unwrap();
            assert!(found.largest() < 2e-5, "{activation:?}: {found:?}");
        }
    }

    #[test]
    fn a_kernel_that_is_wrong_is_seen() {
        let right = [1.0, -2.0];
        assert!(difference(&[1.0, -2.02], &right) > 5e-3);
        assert!(difference(&[1.0, f32::NAN], &right).is_infinite());
        assert!(difference(&[1.0], &right).is_infinite());
    }
}
