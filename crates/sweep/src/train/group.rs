//! Probes of one shape at one site.

use attention_probes_probes::{LabelKind, Loss, ProbeConfig, ProbeError};

use crate::config::trial::Trial;
use crate::train::fit_data::FitData;
use crate::train::method::{Method, Recipe};

/// Probes of one shape at one site: they train as one stack.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialGroup {
    /// Which site of the activations they read.
    pub site: usize,
    /// Their shape.
    pub probe: ProbeConfig,
    /// What training makes small.
    pub loss: Loss,
    /// How they train.
    pub method: Method,
    /// Their settings.
    pub trials: Vec<Trial>,
}

impl TrialGroup {
    /// The group as it trains on labels of any kind: with the outputs and the loss that they need.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::LossOfLabels`] if its loss is not for these labels.
    /// - [`ProbeError::ForClasses`] if its formula or its folds are not.
    pub(crate) fn for_data(&self, data: &FitData<'_>) -> Result<Self, ProbeError> {
        let kind = data.labels.kind();
        let name = kind.as_str();
        let loss = self.loss.of_kind(kind).ok_or(ProbeError::LossOfLabels { kind: name })?;
        if kind == LabelKind::Class {
            return Ok(self.clone());
        }
        if self.method.recipe.is_some_and(Recipe::is_closed_form) {
            return Err(ProbeError::ForClasses { what: "formulas of a probe", kind: name });
        }
        if self.method.folds.is_some() {
            return Err(ProbeError::ForClasses { what: "folds", kind: name });
        }
        let probe = self.probe.for_labels(data.labels).with_output_scale(data.output_scale());
        Ok(Self { probe, loss, ..self.clone() })
    }
}
