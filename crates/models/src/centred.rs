//! A model of which one hook is read as `TransformerLens` has it after centring the weights.

use burn::tensor::Tensor;

use crate::{
    Activation, AttentionWeights, Convention, ForwardRequest, HookPoint, HookedModel, ModelError,
    ModelOutput, ModelShape, TokenBatch,
};

/// A model whose activations at one hook are those of `center_writing_weights`: without their mean
/// over `d_model` where the model's norms subtract it, and as they are elsewhere.
///
/// What is put in place of such an activation needs no conversion back, since every reader of the
/// stream subtracts the mean again.
pub struct CentredModel {
    inner: Box<dyn HookedModel>,
    hook: HookPoint,
}

impl CentredModel {
    /// Wraps a model.
    pub fn new(inner: Box<dyn HookedModel>, hook: HookPoint) -> Self {
        Self { inner, hook }
    }

    /// Whether centring changes activations of a hook.
    pub fn changes(hook: HookPoint) -> bool {
        matches!(
            hook,
            HookPoint::ResidPre(_)
                | HookPoint::ResidMid(_)
                | HookPoint::ResidPost(_)
                | HookPoint::AttnOut(_)
                | HookPoint::MlpOut(_)
        )
    }
}

impl HookedModel for CentredModel {
    fn shape(&self) -> &ModelShape {
        self.inner.shape()
    }

    fn has_hook(&self, hook: HookPoint) -> bool {
        self.inner.has_hook(hook)
    }

    fn execute(
        &self,
        batch: &TokenBatch,
        request: &ForwardRequest<'_>,
    ) -> Result<ModelOutput, ModelError> {
        let mut output = self.inner.execute(batch, request)?;
        if Self::changes(self.hook)
            && let Some(activation) = output.cache.remove(self.hook)
        {
            let rows = activation.flatten_heads();
            let rows = Convention::TlProcessed.apply(&*self.inner, self.hook, rows);
            output.cache.insert(self.hook, Activation::Stream(rows));
        }
        Ok(output)
    }

    fn value_bias(&self, layer: usize) -> Option<Tensor<2>> {
        self.inner.value_bias(layer)
    }

    fn attention_weights(&self, layer: usize) -> Result<AttentionWeights, ModelError> {
        self.inner.attention_weights(layer)
    }

    fn centres_residuals(&self) -> bool {
        self.inner.centres_residuals()
    }

    fn unembed_direction(&self, token: u32) -> Result<Tensor<1>, ModelError> {
        self.inner.unembed_direction(token)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{HookSet, PaddingSide, host_values, open_model};

    /// Rows at a hook of a demo model, raw and centred, and the logits of both.
    fn rows(name: &str, hook: HookPoint) -> [(Vec<f32>, Vec<f32>); 2] {
        let device = Device::flex();
        let raw = open_model(name, None, &device).unwrap();
        let wrapped = open_model(name, None, &device).unwrap();
        let centred = CentredModel::new(wrapped.model, hook);
        let batch = TokenBatch::new(&[&[5, 6, 7][..]], PaddingSide::Right, &device).unwrap();
        let models: [&dyn HookedModel; 2] = [&*raw.model, &centred];
        models.map(|model| {
            let mut output = model.run(&batch, &HookSet::new([hook]), true).unwrap();
            let rows = output.cache.remove(hook).unwrap().flatten_heads();
            (host_values(rows).unwrap(), host_values(output.logits.unwrap()).unwrap())
        })
    }

    #[test]
    fn the_mean_over_the_stream_is_gone_and_nothing_else_changes() {
        let d_model = 160;
        let [(raw, logits), (centred, same_logits)] = rows("demo-gpt2", HookPoint::ResidPre(2));
        assert_eq!(logits, same_logits);
        for (raw, centred) in raw.chunks_exact(d_model).zip(centred.chunks_exact(d_model)) {
            let mean = raw.iter().sum::<f32>() / d_model as f32;
            assert!(mean.abs() > 1e-3, "there is something to subtract");
            for (raw, centred) in raw.iter().zip(centred) {
                assert!((raw - mean - centred).abs() < 1e-5);
            }
        }
        let [(raw, _), (same, _)] = rows("demo-gpt2", HookPoint::Z(1));
        assert_eq!(raw, same);
        let [(raw, _), (same, _)] = rows("demo-gemma", HookPoint::ResidPost(1));
        assert_eq!(raw, same, "its norms subtract no mean");
    }
}
