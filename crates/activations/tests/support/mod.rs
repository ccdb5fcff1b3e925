//! A tiny model and tokenizer for the tests of this crate.

use attention_probes_errors::Stop;
use attention_probes_models::{
    ActivationFunction, AttentionWeights, Convention, Dtype, ForwardRequest, Gpt2, Gpt2Config,
    HookPoint, HookedModel, ModelError, ModelOutput, ModelShape, TokenBatch, Tokenizer,
};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::{
    Capture, Component, HookLayout, ShardData, ShardHook, ShardManifest, ShardModel, Site,
    StoreDtype, TokenizedDataset,
};

/// Token whose embedding is NaN in [`Fixture::damaged`].
pub(crate) const BAD_ID: u32 = 16;

/// Number of token ids; no other matrix of the model has as many rows.
const D_VOCAB: usize = 17;

/// A model with random weights, and what to run on it.
pub(crate) struct Fixture {
    pub(crate) model: Gpt2,
    pub(crate) device: Device,
    pub(crate) tokens: TokenizedDataset,
    pub(crate) sites: Vec<Site>,
}

impl Fixture {
    /// Two layers of width 8; sequences of different lengths, number 3 with [`BAD_ID`] in it.
    pub(crate) fn new() -> Self {
        let device = Device::flex();
        let config = Gpt2Config {
            n_layers: 2,
            n_heads: 2,
            d_model: 8,
            d_mlp: 12,
            d_vocab: D_VOCAB,
            n_ctx: 11,
            activation: ActivationFunction::GeluTanh,
            layer_norm_epsilon: 1e-5,
            scale_attn_weights: true,
            scale_attn_by_inverse_layer_idx: false,
            tie_word_embeddings: true,
        };
        let sequences: [&[u32]; 6] = [
            &[3, 1, 4, 1, 5],
            &[9, 2],
            &[6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3],
            &[8, 4, BAD_ID, 6],
            &[2],
            &[6, 4, 3, 3, 8],
        ];
        let site = |layer, component, convention| Site { layer, component, convention };
        Self {
            model: config.init(&device),
            device,
            tokens: TokenizedDataset::from_sequences(&sequences),
            sites: vec![
                site(1, Component::ResidPost, Convention::Raw),
                site(0, Component::Z, Convention::Raw),
                site(1, Component::ResidPost, Convention::TlProcessed),
            ],
        }
    }

    /// With a model whose embedding of [`BAD_ID`] is NaN.
    pub(crate) fn damaged() -> Self {
        let mut fixture = Self::new();
        fixture.model = fixture.model.map(&mut DamageEmbedding);
        fixture
    }

    pub(crate) fn capture(&self) -> Capture<'_> {
        self.capture_of(&self.model)
    }

    pub(crate) fn capture_of<'a>(&'a self, model: &'a dyn HookedModel) -> Capture<'a> {
        Capture {
            model,
            tokens: &self.tokens,
            sites: &self.sites,
            device: &self.device,
            max_tokens_per_batch: 12,
            stop: Stop::never(),
        }
    }

    /// Every sequence.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.tokens.len()).collect()
    }
}

struct DamageEmbedding;

impl ModuleMapper for DamageEmbedding {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            if tensor.dims()[0] != D_VOCAB {
                return tensor;
            }
            let (device, shape) = (tensor.device(), tensor.dims());
            let mut values = tensor.into_data().try_into_vec::<f32>().unwrap();
            values[BAD_ID as usize * shape[1]] = f32::NAN;
            Tensor::from_data(TensorData::new(values, shape), &device)
        })
    }
}

/// A model whose shape and value bias are not those of the model that runs.
pub(crate) struct Disguised<'a> {
    pub(crate) model: &'a Gpt2,
    pub(crate) shape: ModelShape,
}

impl HookedModel for Disguised<'_> {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn has_hook(&self, hook: HookPoint) -> bool {
        self.model.has_hook(hook)
    }

    fn execute(
        &self,
        batch: &TokenBatch,
        request: &ForwardRequest<'_>,
    ) -> Result<ModelOutput, ModelError> {
        self.model.execute(batch, request)
    }

    fn value_bias(&self, layer: usize) -> Option<Tensor<2>> {
        self.model.value_bias(layer).map(|bias| bias * f32::NAN)
    }

    fn attention_weights(&self, layer: usize) -> Result<AttentionWeights, ModelError> {
        self.model.attention_weights(layer)
    }

    fn unembed_direction(&self, token: u32) -> Result<Tensor<1>, ModelError> {
        self.model.unembed_direction(token)
    }

    fn centres_residuals(&self) -> bool {
        self.model.centres_residuals()
    }
}

/// Byte-level BPE that knows the letters `a b c t h e`, the space, and ` the` as one token; other
/// characters have no token.
pub(crate) fn tokenizer() -> Tokenizer {
    let json = r#"{
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "post_processor": null,
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
        },
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
        },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false,
            "vocab": {
                "a": 0, "b": 1, "c": 2, "t": 3, "h": 4, "e": 5,
                "\u0120": 6, "\u0120t": 7, "\u0120th": 8, "\u0120the": 9
            },
            "merges": ["\u0120 t", "\u0120t h", "\u0120th e"]
        }
    }"#;
    Tokenizer::from_bytes(json.as_bytes()).unwrap()
}

/// A folder of a stream of width 2 and a pattern of one head, with labels, two rows in a file.
pub(crate) fn shard_manifest(n_rows: usize, n_shards: usize) -> ShardManifest {
    let hook = |name: &str, layout, shape: &[usize]| ShardHook {
        name: name.to_owned(),
        layout,
        shape: shape.to_vec(),
    };
    ShardManifest {
        format_version: 1,
        model: ShardModel {
            name: "model".to_owned(),
            revision: "5a".to_owned(),
            dtype: Dtype::F32,
        },
        convention: Convention::Raw,
        dtype: StoreDtype::F32,
        hooks: vec![
            hook("stream", HookLayout::Tokens, &[2]),
            hook("pattern", HookLayout::Pairs, &[1]),
        ],
        data: ShardData {
            name: "d.csv".to_owned(),
            hash: "90".to_owned(),
            n_rows,
            text: Some("text".to_owned()),
            label: Some("label".to_owned()),
            classes: vec!["no".to_owned(), "yes".to_owned()],
        },
        tokenizer: None,
        n_shards,
        rows_per_part: 2,
    }
}
