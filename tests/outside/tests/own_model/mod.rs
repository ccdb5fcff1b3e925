//! A language model of one's own: one layer, whose stream tells a token from all others.

use attention_probes::models::{Dtype, ModelError, ModelShape};
use attention_probes::prelude::*;

const D_MODEL: usize = 24;

struct Hashing {
    shape: ModelShape,
}

impl HookedModel for Hashing {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn has_hook(&self, hook: HookPoint) -> bool {
        matches!(hook, HookPoint::ResidPost(_))
    }

    fn execute(
        &self,
        batch: &TokenBatch,
        request: &ForwardRequest<'_>,
    ) -> Result<ModelOutput, ModelError> {
        let ids = batch.input_ids();
        let [n, pos] = ids.dims();
        let columns = Tensor::<1>::from_floats(
            &(0..D_MODEL).map(|d| 0.37 + 0.11 * d as f32).collect::<Vec<f32>>()[..],
            &ids.device(),
        );
        let angles = ids.float().reshape([n, pos, 1]) * columns.reshape([1, 1, D_MODEL]);
        let mut cache = ActivationCache::default();
        for hook in request.hooks.iter() {
            cache.insert(hook, Activation::Stream(angles.clone().sin()));
        }
        Ok(ModelOutput { logits: None, cache })
    }
}

/// The model with the tokenizer of an embedded one.
pub fn open_own_model(device: &Device) -> LanguageModel {
    let tokenizer = open_model("demo-gpt2", None, device).unwrap().tokenizer;
    let shape = ModelShape {
        n_layers: 1,
        n_heads: 1,
        n_key_value_heads: 1,
        d_head: D_MODEL,
        d_model: D_MODEL,
        d_mlp: D_MODEL,
        d_vocab: tokenizer.n_tokens(),
        n_ctx: 128,
    };
    LanguageModel {
        name: "hashing".to_owned(),
        revision: "1".to_owned(),
        dtype: Dtype::F32,
        model: Box::new(Hashing { shape }),
        tokenizer,
    }
}
