//! Changing activations while a model runs.

use std::fmt;

use burn::tensor::{Bool, Device, FloatDType, Tensor, TensorData};

use crate::hooks::cache::Activation;
use crate::{HookPoint, ModelError, TokenBatch};

/// A change to one activation while the model runs; everything after it sees what it left.
///
/// # Examples
///
/// ```
/// use attention_probes::models::{ForwardRequest, HookPoint, HookedModel, Intervention};
/// use attention_probes::models::{PaddingSide, TokenBatch, open_model};
/// use burn::tensor::Device;
///
/// let device = Device::default();
/// let model = open_model("demo-gpt2", None, &device)?.model;
/// let batch = TokenBatch::new(&[[5, 6, 7]], PaddingSide::Right, &device)?;
/// let without_head_1 = [Intervention::zero(HookPoint::Z(2)).on_heads([1])];
/// let request = ForwardRequest { interventions: &without_head_1, ..ForwardRequest::logits() };
/// assert!(model.execute(&batch, &request)?.logits.is_some());
/// # Ok::<(), attention_probes::models::ModelError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Intervention {
    /// Where.
    pub hook: HookPoint,
    /// What becomes of the activation.
    pub edit: Edit,
    /// At which positions; of scores and patterns, for which queries. All by default.
    pub positions: Positions,
    /// On which heads; all by default, and all that is possible where there is no head axis.
    pub heads: Option<Vec<usize>>,
}

/// What becomes of an activation.
#[derive(Clone, Debug)]
pub enum Edit {
    /// These values instead; an axis of length 1 stands for every index.
    Replace(Activation),
    /// This direction is added, `[width]`, where width is the last axis of the activation.
    Add(Tensor<1>),
    /// Zero.
    Zero,
    /// The mean over the real tokens of the batch, for each head and feature.
    Mean,
}

/// Some positions of a batch.
#[derive(Clone, Debug, Default)]
pub enum Positions {
    /// Every position.
    #[default]
    All,
    /// These columns of the padded batch, in every text.
    At(Vec<usize>),
    /// Those where this is `true`, `[batch, pos]`, row by row.
    Where(Vec<bool>),
}

impl Intervention {
    /// Replaces an activation everywhere.
    pub fn replace(hook: HookPoint, by: Activation) -> Self {
        Self::new(hook, Edit::Replace(by))
    }

    /// Adds a direction of the width of the activation's last axis everywhere.
    pub fn add(hook: HookPoint, direction: Tensor<1>) -> Self {
        Self::new(hook, Edit::Add(direction))
    }

    /// Sets an activation to zero everywhere.
    pub fn zero(hook: HookPoint) -> Self {
        Self::new(hook, Edit::Zero)
    }

    /// Sets an activation to its mean over the real tokens of the batch everywhere.
    pub fn mean(hook: HookPoint) -> Self {
        Self::new(hook, Edit::Mean)
    }

    fn new(hook: HookPoint, edit: Edit) -> Self {
        Self { hook, edit, positions: Positions::All, heads: None }
    }

    /// The same at these columns of the padded batch only.
    #[must_use]
    pub fn at(self, positions: impl IntoIterator<Item = usize>) -> Self {
        Self { positions: Positions::At(positions.into_iter().collect()), ..self }
    }

    /// The same on these heads only.
    #[must_use]
    pub fn on_heads(self, heads: impl IntoIterator<Item = usize>) -> Self {
        Self { heads: Some(heads.into_iter().collect()), ..self }
    }

    /// Applies the change.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, pos, n_heads, width]`; activations without heads have one
    pub(crate) fn apply(&self, x: Tensor<4>, batch: &TokenBatch) -> Result<Tensor<4>, ModelError> {
        let dims = x.dims();
        let edited = match &self.edit {
            Edit::Zero => x.zeros_like(),
            Edit::Mean => mean_over_tokens(&x, batch).expand(dims),
            Edit::Add(direction) => {
                self.check_shape(&[1, 1, 1, direction.dims()[0]], dims)?;
                x.clone() + direction.clone().cast(x.dtype()).unsqueeze::<4>()
            }
            Edit::Replace(by) => {
                let by = by.clone().into_tokens_first(self.hook);
                self.check_shape(&by.dims(), dims)?;
                by.cast(x.dtype()).expand(dims)
            }
        };
        match self.mask(dims, &x.device())? {
            Some(mask) => Ok(x.mask_where(mask, edited)),
            None => Ok(edited),
        }
    }

    /// `true` where the change applies; `None` if that is everywhere.
    fn mask(
        &self,
        dims: [usize; 4],
        device: &Device,
    ) -> Result<Option<Tensor<4, Bool>>, ModelError> {
        let [batch, pos, n_heads, _] = dims;
        if matches!(self.positions, Positions::All) && self.heads.is_none() {
            return Ok(None);
        }
        let beyond = |axis, index, length| ModelError::InterventionIndex {
            hook: self.hook.to_string(),
            axis,
            index,
            length,
        };
        let mut positions = vec![false; batch * pos];
        match &self.positions {
            Positions::All => positions.fill(true),
            Positions::At(columns) => {
                for &column in columns {
                    if column >= pos {
                        return Err(beyond("position", column, pos));
                    }
                    positions.iter_mut().skip(column).step_by(pos).for_each(|at| *at = true);
                }
            }
            Positions::Where(chosen) if chosen.len() == batch * pos => {
                positions.clone_from(chosen);
            }
            Positions::Where(chosen) => return Err(beyond("position", chosen.len(), batch * pos)),
        }
        let mut heads = vec![self.heads.is_none(); n_heads];
        for &head in self.heads.iter().flatten() {
            *heads.get_mut(head).ok_or_else(|| beyond("head", head, n_heads))? = true;
        }
        let mask: Vec<bool> =
            positions.iter().flat_map(|at| heads.iter().map(move |head| *at && *head)).collect();
        let mask = TensorData::new(mask, [batch, pos, n_heads, 1]);
        Ok(Some(Tensor::<4, Bool>::from_data(mask, device).expand(dims)))
    }

    fn check_shape(&self, found: &[usize; 4], expected: [usize; 4]) -> Result<(), ModelError> {
        if found.iter().zip(expected).all(|(found, expected)| [1, expected].contains(found)) {
            return Ok(());
        }
        Err(ModelError::InterventionShape {
            hook: self.hook.to_string(),
            found: found.to_vec(),
            expected: expected.to_vec(),
        })
    }
}

impl fmt::Display for Intervention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edit = match self.edit {
            Edit::Replace(_) => "replace",
            Edit::Add(_) => "add to",
            Edit::Zero => "zero",
            Edit::Mean => "mean of",
        };
        write!(f, "{edit} {}", self.hook)
    }
}

/// Mean over the real tokens of a batch, `[1, 1, n_heads, width]`.
fn mean_over_tokens(x: &Tensor<4>, batch: &TokenBatch) -> Tensor<4> {
    let n_real = batch.mask().iter().filter(|real| **real).count();
    let padding = batch.mask_pad().unsqueeze_dims::<4>(&[2, 3]).expand(x.dims());
    let real = x.clone().cast(FloatDType::F32).mask_fill(padding, 0.0);
    real.sum_dim(0).sum_dim(1).div_scalar(n_real.max(1) as f64).cast(x.dtype())
}
