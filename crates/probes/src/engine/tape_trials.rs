//! Trials of any kind, by automatic differentiation of its definition.

use std::ops::Range;

use attention_probes_models::{ModelError, host_values};
use burn::tensor::{Device, Tensor, TensorData};

use super::Targets;
use super::core::{Core, ROWS, SMALL};
use super::kernel::KernelLayout;
use super::tape::{DeviceState, Points, batch_of};
use super::tape_loss::DeviceTargets;
use crate::ProbeConfig;
use crate::kinds::{Batch, PaddedTokens, ProbeKind, ProbeSize};

/// Most memory of the tape of a step.
const TAPE_BYTES: usize = 1 << 30;

/// Arrays of the size of a product that the tape of a kind holds, at most about.
const PRODUCTS_ON_TAPE: usize = 10;

/// Trials of one kind, differentiated on a device.
///
/// The tape begins at the products: they are multiplied off it, and their gradients are multiplied
/// with the activations again. Trials share nothing, so the gradient of the sum of their losses is
/// that of each.
pub(super) struct TapeTrials {
    probe: ProbeConfig,
    device: Device,
}

/// The leaves of a tape, by the name of the array.
struct Leaf {
    name: &'static str,
    is_rows: bool,
    tensor: Tensor<2>,
}

impl TapeTrials {
    pub(super) fn new(probe: ProbeConfig, device: Device) -> Self {
        Self { probe, device }
    }

    /// The arrays of a kind, rows first.
    pub(super) fn layout(kind: &dyn ProbeKind, size: ProbeSize) -> KernelLayout {
        let layout = kind.layout(size);
        let small = layout.all_small().map(|(name, shape)| (name, shape.to_vec()));
        KernelLayout { rows: layout.all_rows().collect(), small: small.collect(), first: None }
    }

    /// Logits of every trial, `[n_trials, n_examples, n_out]`.
    pub(super) fn logits(
        &self,
        core: &Core,
        tokens: &PaddedTokens,
    ) -> Result<Vec<f32>, ModelError> {
        let (kind, size) = (self.probe.kind(), self.probe.size());
        let mut logits = Vec::new();
        for trials in chunks(core, tokens) {
            let state = self.device_state(core, trials);
            let found = kind.forward(&batch_of(kind, size, &state, tokens.clone()));
            logits.extend(host_values(found.swap_dims(1, 2))?);
        }
        Ok(logits)
    }

    /// Adds the gradients and losses of a batch.
    pub(super) fn differentiate(
        &self,
        core: &mut Core,
        tokens: &PaddedTokens,
        targets: &Targets<'_>,
        losses: &mut [f64],
    ) -> Result<(), ModelError> {
        let kind = self.probe.kind();
        let mut tokens = tokens.clone();
        if let Some(dropout) = &mut core.dropout {
            let pos = tokens.x().dims()[1];
            let dropped = dropout.draw_padded(tokens.lengths(), pos);
            tokens = tokens.with_dropped(dropped, dropout.n_heads());
        }
        let points = Points::new(kind, &tokens);
        let targets = targets.of(core.loss, core.n_out, core.scale);
        let targets = DeviceTargets::new(&targets, &self.device);
        for trials in chunks(core, &tokens) {
            let n_trials = trials.len();
            let mut on_tape = Batch::new(tokens.clone(), n_trials, core.n_out);
            let mut leaves = Vec::new();
            for (name, array) in self.device_state(core, trials.clone()) {
                let is_rows = core.layout.rows.iter().any(|(rows, _)| *rows == name);
                let tensor = if is_rows {
                    let n_rows = array.dims()[1] / core.d_model;
                    points.product(array.reshape([n_trials * n_rows, core.d_model]))
                } else {
                    array
                };
                let tensor = tensor.autodiff().require_grad();
                if is_rows {
                    on_tape.insert_product(name, points.by_trial(tensor.clone(), n_trials));
                } else {
                    on_tape.insert_array(name, tensor.clone());
                }
                leaves.push(Leaf { name, is_rows, tensor });
            }
            let of_trials = targets.losses(kind, &on_tape);
            let found = host_values(of_trials.clone().inner())?;
            for (sum, loss) in losses[trials.clone()].iter_mut().zip(found) {
                *sum += f64::from(loss);
            }
            let mut gradients = of_trials.sum().backward();
            for Leaf { name, is_rows, tensor } in leaves {
                // Of an array that the kind does not use, the gradient stays 0.
                let Some(gradient) = tensor.grad_remove(&mut gradients) else { continue };
                let gradient = if is_rows { points.gradient(gradient) } else { gradient };
                let values = host_values(gradient)?;
                add_gradient(core, name, trials.clone(), &values);
            }
        }
        Ok(())
    }

    /// Where it differentiates.
    pub(super) fn device(&self) -> &Device {
        &self.device
    }

    /// The arrays of some trials on the device.
    fn device_state(&self, core: &Core, trials: Range<usize>) -> DeviceState {
        let mut state = DeviceState::new();
        for (name, place) in places(core) {
            let params = core.stack.params(place.part);
            let of_trial =
                |trial: usize| &params[trial * place.stride + place.from..][..place.size];
            let values: Vec<f32> = trials.clone().flat_map(of_trial).copied().collect();
            let data = TensorData::new(values, [trials.len(), place.size]);
            state.insert(name, Tensor::from_data(data, &self.device));
        }
        state
    }
}

/// Where an array of each trial lies in the stack.
struct Place {
    part: usize,
    stride: usize,
    from: usize,
    size: usize,
}

/// Where every array lies.
fn places(core: &Core) -> Vec<(&'static str, Place)> {
    let mut found = Vec::new();
    let (stride, mut from) = (core.layout.n_rows() * core.d_model, 0);
    for (name, n_rows) in &core.layout.rows {
        let size = n_rows * core.d_model;
        found.push((*name, Place { part: ROWS, stride, from, size }));
        from += size;
    }
    let (stride, mut from) = (core.small_stride(), 0);
    for (name, shape) in &core.layout.small {
        let size = shape.iter().product();
        found.push((*name, Place { part: SMALL, stride, from, size }));
        from += size;
    }
    found
}

/// Adds the gradients of an array of some trials, `[n_trials, size]`.
fn add_gradient(core: &mut Core, name: &str, trials: Range<usize>, values: &[f32]) {
    let Some((_, place)) = places(core).into_iter().find(|(other, _)| *other == name) else {
        return;
    };
    let gradients = &mut core.gradients[place.part];
    for (trial, values) in trials.zip(values.chunks(place.size.max(1))) {
        let into = &mut gradients[trial * place.stride + place.from..][..place.size];
        into.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
}

/// Runs of trials whose tape fits into [`TAPE_BYTES`].
fn chunks(core: &Core, tokens: &PaddedTokens) -> Vec<Range<usize>> {
    let [batch, pos, _] = tokens.x().dims();
    let bytes = PRODUCTS_ON_TAPE * core.layout.n_rows().max(1) * batch * pos * size_of::<f32>();
    let n = (TAPE_BYTES / bytes.max(1)).clamp(1, core.n_trials.max(1));
    (0..core.n_trials).step_by(n).map(|from| from..(from + n).min(core.n_trials)).collect()
}
