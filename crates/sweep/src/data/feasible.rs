//! Whether the examples and the memory that there are allow what is asked for, before anything is
//! trained or removed.

use attention_probes_activations::{ExampleSet, Labels, Split};
use attention_probes_probes::Optimizer;

use crate::SweepError;
use crate::data::data_run::DataRun;
use crate::train::cross_validation::check_folds;
use crate::train::fit_data::FitData;

/// Bytes of a parameter that `AdamW` trains: the parameter, its gradient's two moments, and the
/// best epoch's.
const ADAMW_BYTES: u64 = 4 * 4;

/// Bytes of a parameter that L-BFGS fits: the parameter alone, whatever the solver keeps.
const LBFGS_BYTES: u64 = 4;

impl DataRun<'_> {
    /// Refuses folds that the training examples cannot be divided into, and probes whose parameters
    /// need more memory than there is.
    pub(crate) fn check_feasible(
        &self,
        (examples, split): (&ExampleSet, &Split),
        (d_model, n_places): (usize, usize),
    ) -> Result<(), SweepError> {
        let config = self.plan.config();
        let labels = Labels::of_classes(examples.labels(), examples.classes.clone());
        let data = FitData {
            examples: &[],
            labels: &labels,
            class_weights: &[],
            groups: examples.groups.as_deref(),
            train: &split.train,
            validation: &split.validation,
        };
        let is_class = self.config().label_kind().is_class();
        let with_folds = config.architectures.iter().filter_map(|architecture| architecture.folds);
        for n_folds in with_folds.filter(|_| is_class) {
            check_folds(&data, n_folds, config.seed, &self.config().path)?;
        }
        self.check_memory((d_model, n_places), examples.classes.len())
    }

    fn check_memory(
        &self,
        (d_model, n_places): (usize, usize),
        n_classes: usize,
    ) -> Result<(), SweepError> {
        let Some(there) = self.memory_bytes else { return Ok(()) };
        let architectures = &self.plan.config().architectures;
        let needs = architectures.iter().enumerate().map(|(index, architecture)| {
            let of_parameter = match architecture.optimizer() {
                Optimizer::AdamW => ADAMW_BYTES,
                Optimizer::Lbfgs => LBFGS_BYTES,
            };
            let n_params = self.plan.probe(index, d_model, n_classes).n_params();
            let n_trials = self.plan.trials_of(index).len() as u64;
            let needed = [of_parameter, n_trials, n_places as u64].into_iter();
            (needed.fold(n_params, u64::saturating_mul), &architecture.config_name)
        });
        let needs: Vec<(u64, &String)> = needs.collect();
        let needed = needs.iter().fold(0_u64, |sum, (bytes, _)| sum.saturating_add(*bytes));
        let largest = needs.iter().max_by_key(|(bytes, _)| *bytes);
        match largest {
            Some((_, config_name)) if needed > there => {
                Err(SweepError::Memory { needed, there, config_name: (*config_name).clone() })
            }
            _ => Ok(()),
        }
    }
}
