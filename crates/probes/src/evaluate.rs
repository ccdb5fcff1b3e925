//! Applying a probe to labelled data, and measuring how well it does.

use attention_probes_activations::LabelKind;
use attention_probes_metrics::{Bootstrap, ClassScores, ClassificationReport};
use attention_probes_models::host_values;
use burn::tensor::Device;

use crate::engine::Targets;
use crate::logits::probabilities_from_logits;
use crate::{Outputs, Probe, ProbeConfig, ProbeError, TrainingData};

/// Examples that are evaluated at a time; bounds memory, changes no result.
const EVALUATION_BATCH: usize = 512;

/// What a probe says about a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Class scores, row-major `[n_examples, n_out]`; `n_out` is 1 for two classes. Of a number, the
    /// number.
    pub logits: Vec<f32>,
    /// Probability of each class, row-major `[n_examples, n_classes]`, or of each of several labels;
    /// none of a number.
    pub probabilities: Vec<f64>,
    /// Mean loss in nats, every example weighed the same; of a number half the squared error in units
    /// of the variance of the training numbers.
    pub loss_nats: f64,
    /// Mean over examples and heads of `-Σ_p pattern ln pattern` in nats.
    ///
    /// `None` unless the weights are a softmax.
    pub pattern_entropy: Option<f64>,
    /// What the entropy would be if the tokens that are seen weighed the same: mean of `ln n`.
    pub entropy_baseline: Option<f64>,
}

/// Applies a probe to a data set; offsets of the data are added to its logits.
///
/// # Errors
///
/// - [`ProbeError::SizeMismatch`] if the data has another width or number of classes than the probe
/// - [`ProbeError::Device`] if the device does not hand over what the probe says
pub fn evaluate_probe(
    probe: &Probe,
    data: &TrainingData,
    device: &Device,
) -> Result<Evaluation, ProbeError> {
    check_data(probe.config(), data)?;
    let probe = &probe.to_device(device)?;
    let weights = probe.config().kind().token_weights();
    let has_entropy = weights.is_some_and(|weights| weights.sum_to_one);
    let mut logits = Vec::new();
    let mut entropies = Vec::new();
    let mut baselines = Vec::new();
    for chunk in data.chunks(EVALUATION_BATCH) {
        let output = probe.forward_padded(chunk.tokens(device));
        logits.extend(host_values(output.logits)?);
        if let (true, Some(pattern)) = (has_entropy, output.pattern) {
            let [_, _, pos] = pattern.dims();
            for weights in host_values(pattern)?.chunks_exact(pos) {
                let seen = weights.iter().filter(|&&p| p > 0.0).map(|&p| f64::from(p));
                entropies.push(seen.clone().map(|p| -p * p.ln()).sum());
                baselines.push((seen.count() as f64).ln());
            }
        }
    }
    data.add_offsets(&mut logits);
    let class_weights = vec![1.0; data.n_classes()];
    let targets = Targets::of_labels(data.labels(), &class_weights);
    let loss_nats = targets.with_scale(probe.config().output_scale()).plain_loss(&logits);
    let probabilities = match data.labels().kind() {
        LabelKind::Class | LabelKind::Distribution => {
            probabilities_from_logits(&logits, data.n_classes())
        }
        LabelKind::Labels => Outputs::Labels.values(&logits, 0),
        LabelKind::Number => Vec::new(),
    };
    Ok(Evaluation {
        probabilities,
        logits,
        loss_nats,
        pattern_entropy: mean(&entropies),
        entropy_baseline: mean(&baselines),
    })
}

/// Measures how well an evaluation agrees with classes, deciding at probability 1/2.
///
/// [`SideReport::new`](crate::SideReport::new) does the same for labels of any kind.
///
/// # Errors
///
/// - [`ProbeError::ForClasses`] if the labels are not classes.
/// - [`ProbeError::Metrics`] if the evaluation is not one of this data, or holds NaN.
pub fn compute_metrics(
    evaluation: &Evaluation,
    data: &TrainingData,
    seed: u64,
) -> Result<ClassificationReport, ProbeError> {
    let kind = data.labels().kind();
    if !kind.is_class() {
        let what = "these metrics";
        return Err(ProbeError::ForClasses { what, kind: kind.as_str() });
    }
    let report = || {
        let scores = ClassScores::from_logits(&evaluation.logits, data.n_classes())?;
        let bootstrap = Bootstrap { seed, ..Bootstrap::default() };
        ClassificationReport::new(data.classes(), &scores, &bootstrap)
    };
    report().map_err(|source| ProbeError::Metrics { source })
}

/// Refuses data that a probe of this config cannot read.
pub(crate) fn check_data(config: &ProbeConfig, data: &TrainingData) -> Result<(), ProbeError> {
    for (what, found, expected) in [
        ("the width of the activations", data.d_model(), config.d_model()),
        ("the number of classes", data.n_classes(), config.n_classes()),
        ("the number of labels", data.n_out(), config.n_out()),
    ] {
        if found != expected {
            return Err(ProbeError::SizeMismatch { what, found, expected });
        }
    }
    Ok(())
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use burn::tensor::Tensor;

    use super::*;
    use crate::{Attention, AttentionActivation, Labels, Linear, ParamArray, ProbeState};

    /// Two examples of width 1, of four tokens and of one.
    fn data() -> TrainingData {
        let device = Device::flex();
        let x = Tensor::from_data(
            [[[0.2], [0.2], [0.2], [0.2]], [[-0.2], [9.0], [9.0], [9.0_f32]]],
            &device,
        );
        let mask_pad =
            Tensor::from_data([[false, false, false, false], [false, true, true, true]], &device);
        TrainingData::new(x, mask_pad, Labels::numbered(vec![1, 0], 2)).unwrap()
    }

    #[test]
    fn a_probability_just_above_one_half_counts_as_class_1() {
        let device = Device::flex();
        let state = ProbeState::from([
            ("weight".to_owned(), ParamArray::full(&[1, 1], 1.0)),
            ("bias".to_owned(), ParamArray::zeros(&[1])),
        ]);
        let config = ProbeConfig::new(Linear::default(), 1, 2);
        let probe = Probe::from_state(&state, &config, &device).unwrap();
        let evaluation = evaluate_probe(&probe, &data(), &device).unwrap();
        assert_abs_diff_eq!(evaluation.logits[0], 0.2, epsilon = 1e-6);
        let p = 1.0 / (1.0 + (-0.2_f64).exp());
        for (found, expected) in evaluation.probabilities.iter().zip([1.0 - p, p, p, 1.0 - p]) {
            assert_abs_diff_eq!(*found, expected, epsilon = 1e-6);
        }
        assert_abs_diff_eq!(evaluation.loss_nats, -p.ln(), epsilon = 1e-6);
        assert_eq!(evaluation.pattern_entropy, None);

        let report = compute_metrics(&evaluation, &data(), 0).unwrap();
        assert_abs_diff_eq!(report.accuracy, 1.0);
    }

    #[test]
    fn the_entropy_of_an_untrained_probe_is_its_baseline() {
        let device = Device::flex();
        let probe = |activation| {
            let kind = Attention { n_heads: 2, activation, ..Attention::default() };
            ProbeConfig::new(kind, 1, 2).init(0, &device).unwrap()
        };
        let softmax = probe(AttentionActivation::Softmax);
        let evaluation = evaluate_probe(&softmax, &data(), &device).unwrap();
        let expected = 4.0_f64.ln() / 2.0; // the mean of ln 4 and ln 1
        assert_abs_diff_eq!(evaluation.entropy_baseline.unwrap(), expected, epsilon = 1e-12);
        assert_abs_diff_eq!(evaluation.pattern_entropy.unwrap(), expected, epsilon = 1e-6);

        let tanh = probe(AttentionActivation::Tanh);
        let evaluation = evaluate_probe(&tanh, &data(), &device).unwrap();
        assert_eq!(evaluation.pattern_entropy, None);
        assert_eq!(evaluation.entropy_baseline, None);
    }

    #[test]
    fn data_of_another_width_is_refused() {
        let device = Device::flex();
        let probe = ProbeConfig::new(Linear::default(), 3, 2).init(0, &device).unwrap();
        let error = evaluate_probe(&probe, &data(), &device).unwrap_err();
        assert_eq!(error.to_string(), "the width of the activations is 1, expected 3");
        let probe = ProbeConfig::new(Linear::default(), 1, 3).init(0, &device).unwrap();
        let error = evaluate_probe(&probe, &data(), &device).unwrap_err();
        assert_eq!(error.to_string(), "the number of classes is 2, expected 3");
    }
}
