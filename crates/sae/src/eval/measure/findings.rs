//! What an evaluation found.

use serde_json::{Map, Value};

use crate::Sae;
use crate::eval::eval_run::EvalRun;
use crate::eval::output::EvalOutput;

/// Level of the intervals over seeds.
const LEVEL: f64 = 0.95;

/// Tested texts below which it is said how coarse an accuracy is.
const FEW_TESTED: usize = 200;

/// What an evaluation found.
///
/// It serialises to the object that `SAEBench` writes, with means over the seeds where there are
/// several.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalFindings {
    /// One for each seed; one of the core evaluation.
    pub outputs: Vec<EvalOutput>,
    /// What was measured on, such as `4 classes of 78 texts`.
    pub on: String,
    /// What else a reader should know, a sentence each.
    pub notes: Vec<String>,
}

impl EvalFindings {
    /// The result in the layout of `SAEBench`; of several seeds the one of
    /// [`over_seeds`](crate::eval::over_seeds).
    ///
    /// # Errors
    ///
    /// As [`over_seeds`](crate::eval::over_seeds).
    pub fn pooled(&self) -> Result<EvalOutput, crate::SaeError> {
        match &self.outputs[..] {
            [output] => Ok(output.clone()),
            outputs => crate::eval::reseed::over_seeds(outputs, LEVEL),
        }
    }
}

/// An autoencoder that is evaluated, with what names it in the result.
#[derive(Clone, Debug)]
pub struct EvalSae<'a> {
    /// The autoencoder.
    pub sae: &'a Sae,
    /// The run; its settings are those of the evaluation.
    pub run: EvalRun,
}

impl EvalSae<'_> {
    /// The run with some settings.
    pub(super) fn run_with(&self, eval_config: Map<String, Value>) -> EvalRun {
        EvalRun { eval_config, ..self.run.clone() }
    }
}

/// Settings by name; all are names that `SAEBench` has.
pub(super) fn settings<const N: usize>(named: [(&str, Value); N]) -> Map<String, Value> {
    named.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What is said where so few texts are tested that one of them can be seen in a score.
pub(super) fn coarse(n_tested: usize) -> Option<String> {
    let step = 1.0 / n_tested as f64;
    let few = format!("{n_tested} texts test a probe, so one text is {step:.3} of an accuracy");
    (n_tested < FEW_TESTED).then_some(few)
}
