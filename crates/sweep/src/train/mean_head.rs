//! A head that takes the mean, on what attention probes leave over.

use attention_probes_activations::ActivationSource;
use attention_probes_errors::{Stop, Stopped};
use attention_probes_kernels::{Lbfgs, Matrix, Write, matmul};
use attention_probes_probes::engine::Targets;
use attention_probes_probes::{ParamArray, Pool, ProbeState, join_heads};

use crate::SweepError;
use crate::train::fit::TrialFit;
use crate::train::fit_config::FitConfig;
use crate::train::fit_data::FitData;
use crate::train::group::TrialGroup;
use crate::train::passes::predict_logits;
use crate::train::training_rows::TrainingRows;

/// Adds a head to every trial of a group; returns their mean training losses.
///
/// As [`ensemble_with_mean`](attention_probes_probes::ensemble_with_mean) does with each.
pub(crate) fn add_mean_heads(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    group: &TrialGroup,
    fits: &mut [TrialFit],
    config: &FitConfig,
) -> Result<Vec<f64>, SweepError> {
    let examples: Vec<_> = data.train.iter().map(|&example| data.examples[example]).collect();
    let labels = data.labels.select(data.train);
    let states: Vec<ProbeState> = fits.iter().map(|fit| fit.state.clone()).collect();
    let trained = [(group.clone(), states)];
    let mut offsets =
        predict_logits(source, &examples, &trained, &config.prediction())?.swap_remove(0);
    let scale = group.probe.output_scale();
    if !scale.is_identity() {
        for offset in &mut offsets {
            *offset = scale.invert(f64::from(*offset)) as f32;
        }
    }
    let keys = [(group.site, Pool::Mean)];
    let rows = TrainingRows::read_pooled(source, data, &keys, config.batch_size)?.swap_remove(0);
    let n_out = group.probe.n_out();
    let mut head = MeanHead {
        rows: rows.values(),
        d_model: source.d_model(),
        offsets: &[],
        targets: Targets::of_labels(&labels, data.class_weights)
            .with_loss(group.loss)
            .with_scale(scale),
        n_out,
        stop: &config.stop,
    };
    let per_trial = labels.len() * n_out;
    let add = |(fit, offsets): (&mut TrialFit, _)| {
        head.offsets = offsets;
        let (state, train_loss) = head.fit(fit.trial.weight_decay)?;
        fit.state = join_heads(std::mem::take(&mut fit.state), &state);
        Ok(train_loss)
    };
    fits.iter_mut().zip(offsets.chunks(per_trial)).map(add).collect()
}

/// The loss of one head as a function of its weights and biases.
struct MeanHead<'a> {
    /// Mean token of every example, `[n_examples, d_model]`.
    rows: &'a [f32],
    d_model: usize,
    /// What is added to its outputs, `[n_examples, n_out]`, in the scale that the weights have.
    offsets: &'a [f32],
    targets: Targets<'a>,
    n_out: usize,
    /// Asked once a pass.
    stop: &'a Stop,
}

impl MeanHead<'_> {
    /// Weights of an attention probe of one head that takes the mean, and its mean loss.
    fn fit(&self, weight_decay: f64) -> Result<(ProbeState, f64), Stopped> {
        let start = vec![0.0; self.n_out * (self.d_model + 1)];
        let mut objective = |values: &[f32]| {
            self.stop.check()?;
            let (mut loss, mut gradient) = self.look(values);
            for (gradient, &value) in gradient.iter_mut().zip(values) {
                loss += 0.5 * weight_decay * f64::from(value).powi(2);
                *gradient += (weight_decay * f64::from(value)) as f32;
            }
            Ok((loss, gradient))
        };
        let result = Lbfgs::default().try_minimise(&start, &mut objective)?;
        let (train_loss, _) = self.look(&result.params);
        let (weight, bias) = result.params.split_at(self.n_out * self.d_model);
        let array = |shape: &[usize], values: &[f32]| ParamArray {
            shape: shape.to_vec(),
            values: values.to_vec(),
        };
        let state = ProbeState::from([
            ("q.weight".to_owned(), ParamArray::zeros(&[1, self.d_model])),
            ("position_weight".to_owned(), ParamArray::zeros(&[1])),
            ("v.weight".to_owned(), array(&[self.n_out, self.d_model], weight)),
            ("v.bias".to_owned(), array(&[self.n_out], bias)),
        ]);
        Ok((state, train_loss))
    }

    /// Mean loss and its gradient, without decay: weights `[n_out, d_model]`, then biases `[n_out]`.
    fn look(&self, values: &[f32]) -> (f64, Vec<f32>) {
        let (n_out, d_model) = (self.n_out, self.d_model);
        let n_examples = self.targets.len();
        let (weight, bias) = values.split_at(n_out * d_model);
        let rows = Matrix::new(self.rows, n_examples, d_model);
        let biases = bias.iter().cycle();
        let mut logits: Vec<f32> =
            self.offsets.iter().zip(biases).map(|(offset, bias)| offset + bias).collect();
        let weights = Matrix::new(weight, n_out, d_model);
        matmul(&mut logits, rows, weights.transpose(), Write::Add);
        let loss = self.targets.loss_and_gradient(&mut logits);
        let mut gradient = vec![0.0; values.len()];
        let (of_weight, of_bias) = gradient.split_at_mut(n_out * d_model);
        let residuals = Matrix::new(&logits, n_examples, n_out).transpose();
        matmul(of_weight, residuals, rows, Write::Replace);
        for residuals in logits.chunks(n_out) {
            of_bias.iter_mut().zip(residuals).for_each(|(sum, residual)| *sum += residual);
        }
        (loss, gradient)
    }
}
