//! Reading predictions off a residual stream: losses, the logit lens, and what each part of the
//! stream adds to a logit.

use burn::tensor::{FloatDType, Tensor, activation};

use crate::{
    ActivationCache, ForwardRequest, HookPoint, HookedModel, ModelError, TokenBatch, host_values,
};

/// Scores of the next token, `[batch, pos, d_vocab]`, from the residual stream that enters `layer`.
///
/// The number of layers stands for the end: then this is the logit lens (nostalgebraist, 2020), the
/// final norm and the output table applied to a stream that they were not trained on.
///
/// # Shapes
///
/// - `resid`: `[batch, pos, d_model]`
///
/// # Errors
///
/// As [`HookedModel::execute`].
pub fn logits_from_resid(
    model: &dyn HookedModel,
    batch: &TokenBatch,
    layer: usize,
    resid: Tensor<3>,
) -> Result<Tensor<3>, ModelError> {
    let request = ForwardRequest { start: Some((layer, resid)), ..ForwardRequest::logits() };
    let logits = model.execute(batch, &request)?.logits;
    logits.ok_or_else(|| ModelError::NotReturned { output: "logits".to_owned() })
}

/// Negative log-likelihood of each next token in nats, `[batch, pos - 1]`, row by row; 0 where the
/// token or the next one is padding.
///
/// # Shapes
///
/// - `logits`: `[batch, pos, d_vocab]`
///
/// # Errors
///
/// [`ModelError::Device`] if the device does not hand the numbers over.
pub fn next_token_losses(logits: &Tensor<3>, batch: &TokenBatch) -> Result<Vec<f32>, ModelError> {
    let [n_texts, pos] = batch.dims();
    if pos < 2 {
        return Ok(Vec::new());
    }
    let targets = batch.input_ids().narrow(1, 1, pos - 1).unsqueeze_dim::<3>(2);
    let log_probabilities =
        activation::log_softmax(logits.clone().cast(FloatDType::F32).narrow(1, 0, pos - 1), 2);
    let mut losses = host_values(log_probabilities.gather(2, targets).neg())?;
    let mask = batch.mask();
    for (i, loss) in losses.iter_mut().enumerate() {
        let token = i / (pos - 1) * pos + i % (pos - 1);
        if !mask[token] || !mask[token + 1] {
            *loss = 0.0;
        }
    }
    debug_assert_eq!(losses.len(), n_texts * (pos - 1));
    Ok(losses)
}

/// What a part of the residual stream adds to the logit of a token, `[batch, pos]`.
///
/// ```text
/// attribution = (part - mean(part)) / scale · (gain ∘ W_U[token])
/// ```
///
/// with the scale of the final norm as it really was, and no mean where the norm takes none (direct
/// logit attribution, Elhage et al., 2021). The attributions of all parts, the embeddings and each
/// block's `hook_attn_out` and `hook_mlp_out`, add up to the logit less what the bias of the final
/// norm adds, before a soft cap.
///
/// # Shapes
///
/// - `part`: `[batch, pos, d_model]`
///
/// # Errors
///
/// - [`ModelError::NotReturned`] if the cache lacks `ln_final.hook_scale`
/// - [`ModelError::TokenOutOfRange`] if the token is not in the vocabulary
pub fn direct_logit_attribution(
    model: &dyn HookedModel,
    cache: &ActivationCache,
    part: Tensor<3>,
    token: u32,
) -> Result<Tensor<2>, ModelError> {
    let hook = HookPoint::LnFinalScale;
    let scale =
        cache.stream(hook).ok_or_else(|| ModelError::NotReturned { output: hook.to_string() })?;
    let d_vocab = model.shape().d_vocab;
    if token as usize >= d_vocab {
        return Err(ModelError::TokenOutOfRange { id: token, d_vocab });
    }
    let part = part.cast(FloatDType::F32);
    let part = if model.centres_residuals() { part.clone() - part.mean_dim(2) } else { part };
    let direction = model.unembed_direction(token)?.cast(FloatDType::F32).unsqueeze::<3>();
    Ok((part / scale * direction).sum_dim(2).squeeze_dim::<2>(2))
}
