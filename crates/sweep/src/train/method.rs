//! How the trials of a group train.

use std::sync::Arc;

use attention_probes_errors::ValueError;
use attention_probes_probes::{
    Attention, Linear, Loss, Optimizer, Pool, ProbeConfig, ProbeError, ProbeMetadata, Retraining,
    check_ensemble, check_finetune, ensemble_config,
};
use serde::{Deserialize, Serialize};

/// Most learning rates that are added.
pub(crate) const MAX_GROWTH: usize = 4;

/// How the trials of a group train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Method {
    /// `AdamW` on batches, with all other groups, or L-BFGS on all training examples at once.
    pub optimizer: Optimizer,
    /// What is done beside it, if anything.
    pub recipe: Option<Recipe>,
    /// How [`Recipe::FinetuneAttn`] makes one token of many: the mean or the last.
    pub pool: Pool,
    /// When L-BFGS begins again with another seed, if ever.
    pub retraining: Option<Retraining>,
    /// Into how many folds of the training examples L-BFGS divides them to choose the weight decay
    /// of a linear probe, if that is not chosen on validation.
    pub folds: Option<usize>,
    /// Most epochs of `AdamW`, where they differ from those of other groups.
    pub epochs: Option<usize>,
    /// How many learning rates `AdamW` may add where the best one lies at an end of those of the
    /// group.
    pub growth: usize,
}

impl Default for Method {
    fn default() -> Self {
        Self {
            optimizer: Optimizer::AdamW,
            recipe: None,
            pool: Pool::Mean,
            retraining: None,
            folds: None,
            epochs: None,
            growth: 0,
        }
    }
}

/// What the training of an attention probe begins or ends with, or what a linear probe is instead of
/// being trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    /// It begins as a probe on one token, as
    /// [`finetune_attention`](attention_probes_probes::finetune_attention) says.
    FinetuneAttn,
    /// It ends with a further head that takes the mean, as
    /// [`ensemble_with_mean`](attention_probes_probes::ensemble_with_mean) says.
    EnsembleMean,
    /// A linear probe of two classes is the difference of their means, in the scale of log-odds:
    /// [`MassMean::Scaled`](attention_probes_probes::MassMean).
    MassMean,
    /// The same by the inverse covariance, shrunk as Ledoit and Wolf estimate:
    /// [`MassMean::Whitened`](attention_probes_probes::MassMean).
    MassMeanWhitened,
    /// A linear probe is the linear discriminant of the classes, with the same covariance:
    /// [`discriminant`](attention_probes_probes::discriminant).
    Lda,
}

impl Recipe {
    /// The name, as configurations spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FinetuneAttn => "finetune_attn",
            Self::EnsembleMean => "ensemble_mean",
            Self::MassMean => "mass_mean",
            Self::MassMeanWhitened => "mass_mean_whitened",
            Self::Lda => "lda",
        }
    }

    /// Whether nothing is left to train: one fit of all training examples, class weights aside.
    pub fn is_closed_form(self) -> bool {
        matches!(self, Self::MassMean | Self::MassMeanWhitened | Self::Lda)
    }
}

impl Method {
    /// Whether its trials train on batches, with all other groups.
    pub(crate) fn is_batched(&self) -> bool {
        let is_closed_form = self.recipe.is_some_and(Recipe::is_closed_form);
        self.optimizer == Optimizer::AdamW && !is_closed_form
    }

    /// Says in the metadata of a probe how it was trained.
    pub(crate) fn describe(&self, loss: Loss, metadata: &mut ProbeMetadata) {
        let is_trained = !self.recipe.is_some_and(Recipe::is_closed_form);
        metadata.optimizer = is_trained.then_some(self.optimizer);
        metadata.loss = is_trained.then_some(loss);
        metadata.recipe = self.recipe.map(|recipe| recipe.as_str().to_owned());
        metadata.folds = self.folds;
    }

    /// Refuses probes that cannot train so.
    pub(crate) fn check(&self, probe: &ProbeConfig) -> Result<(), ProbeError> {
        let error = |name, reason| Err(ProbeError::Recipe { name, reason });
        let is_lbfgs = self.optimizer == Optimizer::Lbfgs;
        if self.retraining.is_some() && !is_lbfgs {
            return error("retrain_above", "is for `optimizer = \"lbfgs\"`");
        }
        if self.folds.is_some() {
            if probe.kind_as::<Linear>().is_none() || self.recipe.is_some() {
                return error("folds", "are for a probe of kind `linear` without a recipe");
            }
            if !is_lbfgs {
                return error("folds", "are for `optimizer = \"lbfgs\"`");
            }
        }
        if is_lbfgs && self.recipe != Some(Recipe::FinetuneAttn) {
            check_dropout(probe)?;
        }
        let Some(recipe) = self.recipe else { return Ok(()) };
        if recipe.is_closed_form() {
            if probe.kind_as::<Linear>().is_none() {
                return error("recipe", "is for a probe of kind `linear`");
            }
            if is_lbfgs {
                return error("optimizer", "is not allowed where a formula gives the probe");
            }
            return match recipe {
                Recipe::Lda => Ok(()),
                _ if probe.n_classes() == 2 => Ok(()),
                _ => error("recipe", "is for two classes; `lda` is for any number"),
            };
        }
        let Some(attention) = probe.kind_as::<Attention>() else {
            return error("recipe", "is for a probe of kind `attention`");
        };
        if recipe == Recipe::EnsembleMean {
            return check_ensemble(attention);
        }
        if is_lbfgs {
            let reason = "ends with `optimizer = \"adamw\"`; L-BFGS is what it begins with";
            return error("finetune_attn", reason);
        }
        check_finetune(attention, self.pool)
    }

    /// The probe that a trial ends as.
    pub(crate) fn final_probe(&self, probe: &ProbeConfig) -> ProbeConfig {
        let joins = self.recipe == Some(Recipe::EnsembleMean);
        match probe.kind_as::<Attention>().filter(|_| joins) {
            Some(kind) => probe.with_kind(Arc::new(ensemble_config(kind))),
            None => probe.clone(),
        }
    }
}

/// L-BFGS needs a loss that is the same at every look.
fn check_dropout(probe: &ProbeConfig) -> Result<(), ProbeError> {
    let Some(dropout) = probe.kind().dropout() else { return Ok(()) };
    let expected =
        "0 with `optimizer = \"lbfgs\"`, which needs a loss that is the same at every look";
    Err(ValueError::new("attention_dropout", dropout.probability, expected).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_called_as_configurations_spell_it() {
        for recipe in [
            Recipe::FinetuneAttn,
            Recipe::EnsembleMean,
            Recipe::MassMean,
            Recipe::MassMeanWhitened,
            Recipe::Lda,
        ] {
            assert_eq!(serde_json::to_value(recipe).unwrap(), recipe.as_str());
        }
    }
}
