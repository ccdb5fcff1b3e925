//! What is at some hooks of a model in texts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use attention_probes_activations::{
    Batching, CaptureHook, CaptureOptions, CaptureOrder, HookLayout, ModelCapture, NonFinite,
    NonFinitePolicy, TOKENS_PER_FORWARD, Watch, capture_rows,
};
use attention_probes_errors::Stop;
use attention_probes_models::{HookPoint, HookedModel, ModelError};
use burn::tensor::Device;

use crate::SaeError;

/// A signal that nobody gives.
pub(super) static NEVER: Stop = Stop::never();

/// Most texts of a window.
const WINDOW_TEXTS: usize = 64;

/// Most bytes that the activations of a window take, unless one text takes more.
const WINDOW_BYTES: usize = 1 << 28;

/// Activations of one text by hook, on the host.
pub type FraActivations = BTreeMap<HookPoint, Vec<f32>>;

/// A model that texts run through.
#[derive(Clone, Copy)]
pub(super) struct Running<'a> {
    pub(super) model: &'a dyn HookedModel,
    pub(super) device: &'a Device,
    /// Asked before each text, and before each block of a forward pass.
    pub(super) stop: &'a Stop,
}

/// Runs a model over one text and keeps what is at some hooks, heads side by side.
///
/// # Errors
///
/// - [`SaeError::Model`] if the model fails, or has no such hook.
/// - [`SaeError::NonFinite`] if an activation is NaN or infinite; scores may be minus infinity.
pub fn capture(
    model: &dyn HookedModel,
    device: &Device,
    ids: &[u32],
    hooks: &[HookPoint],
) -> Result<FraActivations, SaeError> {
    Running { model, device, stop: &NEVER }.one(ids, hooks)
}

/// Runs a model over texts, those of like length together, and keeps what is at some hooks of each,
/// in the order given: its activations, or [`SaeError::NonFinite`] if one is NaN or infinite.
///
/// A text has the same activations, to the last bit, in whatever company it is captured.
///
/// # Errors
///
/// - [`SaeError::Model`] if the model fails, has no such hook, or a text has no token.
///
/// # Memory
///
/// The activations of all the texts.
pub fn capture_texts(
    model: &dyn HookedModel,
    device: &Device,
    texts: &[impl AsRef<[u32]>],
    hooks: &[HookPoint],
) -> Result<Vec<Result<FraActivations, SaeError>>, SaeError> {
    Running { model, device, stop: &NEVER }.all(texts, hooks)
}

impl Running<'_> {
    /// What is at some hooks in a text.
    pub(super) fn one(&self, ids: &[u32], hooks: &[HookPoint]) -> Result<FraActivations, SaeError> {
        let mut found = self.all(&[ids], hooks)?;
        found.pop().ok_or(ModelError::EmptyBatch)?
    }

    /// Hands on what is at some hooks in each text, in the order given, or why it cannot be read:
    /// [`SaeError::NonFinite`], or what the model says of this text.
    ///
    /// # Errors
    ///
    /// [`SaeError::Stopped`] if the signal to stop is given, and the errors of `each`.
    ///
    /// # Memory
    ///
    /// The activations of a window: 64 texts, or as many as take 256 MiB, one at least.
    pub(super) fn each(
        &self,
        texts: &[impl AsRef<[u32]>],
        hooks: &[HookPoint],
        mut each: impl FnMut(usize, Result<FraActivations, SaeError>) -> Result<(), SaeError>,
    ) -> Result<(), SaeError> {
        for window in self.windows(texts, hooks) {
            let found = match self.all(&texts[window.clone()], hooks) {
                Err(SaeError::Stopped) => return Err(SaeError::Stopped),
                // One of them is at fault, and the others are not.
                Err(_) => {
                    texts[window.clone()].iter().map(|ids| self.one(ids.as_ref(), hooks)).collect()
                }
                Ok(found) => found,
            };
            for (text, found) in window.zip(found) {
                self.stop.check()?;
                if let Err(SaeError::Stopped) = found {
                    return Err(SaeError::Stopped);
                }
                each(text, found)?;
            }
        }
        Ok(())
    }

    fn all(
        &self,
        texts: &[impl AsRef<[u32]>],
        hooks: &[HookPoint],
    ) -> Result<Vec<Result<FraActivations, SaeError>>, SaeError> {
        let hooks: BTreeSet<HookPoint> = hooks.iter().copied().collect();
        let hooks: Vec<CaptureHook> = hooks.into_iter().map(CaptureHook::from).collect();
        let options = CaptureOptions {
            batching: Batching::SameBits { max_tokens: TOKENS_PER_FORWARD },
            order: CaptureOrder::AsGiven,
            non_finite: NonFinitePolicy::Keep,
            watch: Watch { progress: None, stop: self.stop.clone() },
            ..CaptureOptions::default()
        };
        let (model, device) = (self.model, self.device);
        let capture = ModelCapture { model, device, hooks: &hooks, options };
        let mut found = Vec::with_capacity(texts.len());
        let summary = capture_rows(&capture, texts, |rows| {
            found.push(if let Some(NonFinite { index, value, .. }) = rows.non_finite {
                Err(SaeError::NonFinite { array: "activations", index, value })
            } else {
                let values = rows.values.iter().map(|values| values.to_vec());
                Ok(hooks.iter().map(|hook| hook.hook).zip(values).collect())
            });
            Ok::<(), SaeError>(())
        })?;
        if summary.n_empty > 0 {
            return Err(ModelError::EmptyBatch.into());
        }
        Ok(found)
    }

    /// Neighbouring texts that are captured together.
    fn windows(&self, texts: &[impl AsRef<[u32]>], hooks: &[HookPoint]) -> Vec<Range<usize>> {
        let shape = self.model.shape();
        let is_pairs = |hook: &&HookPoint| HookLayout::of(**hook) == HookLayout::Pairs;
        let n_pairs = hooks.iter().filter(is_pairs).count() * shape.n_heads;
        let width = shape.d_model.max(shape.n_heads * shape.d_head).max(shape.d_mlp);
        let per_token = (hooks.len() * width).saturating_mul(size_of::<f32>());
        let size = |ids: &[u32]| {
            let pairs = n_pairs.saturating_mul(ids.len()) * size_of::<f32>();
            ids.len().saturating_mul(per_token.saturating_add(pairs))
        };
        let mut windows: Vec<Range<usize>> = Vec::new();
        let mut n_bytes = 0_usize;
        for (text, ids) in texts.iter().enumerate() {
            n_bytes = n_bytes.saturating_add(size(ids.as_ref()));
            match windows.last_mut() {
                Some(last) if last.len() < WINDOW_TEXTS && n_bytes <= WINDOW_BYTES => {
                    last.end = text + 1;
                }
                _ => {
                    n_bytes = size(ids.as_ref());
                    windows.push(text..text + 1);
                }
            }
        }
        windows
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_models::open_model;

    use super::*;

    #[test]
    fn texts_come_in_order_whatever_the_windows_and_a_bad_one_is_named() {
        let device = Device::flex();
        let model = open_model("demo-gpt2", None, &device).unwrap().model;
        let hooks = [HookPoint::Ln1Normalized(1), HookPoint::Pattern(1)];
        let running = Running { model: &*model, device: &device, stop: &NEVER };
        let mut texts: Vec<Vec<u32>> =
            (0..150).map(|i| (1..=3 + i % 5).map(|id| id + i).collect()).collect();
        texts[70] = vec![u32::MAX];
        let windows = running.windows(&texts, &hooks);
        assert_eq!(windows, [0..64, 64..128, 128..150]);
        let mut next = 0;
        running
            .each(&texts, &hooks, |text, found| {
                assert_eq!((text, found.is_err()), (next, text == 70));
                if let Ok(found) = found {
                    assert_eq!(found, running.one(&texts[text], &hooks)?);
                }
                next += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(next, 150);
        let long = vec![vec![1; 100_000]; 3];
        assert_eq!(running.windows(&long, &hooks), [0..1, 1..2, 2..3]);
    }
}
