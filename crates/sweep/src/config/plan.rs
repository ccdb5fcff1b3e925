//! A sweep that has been checked; only this can run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use attention_probes_activations::{
    ActivationError, Component, LabelKind, Place, Task, data_name, has_fractional_labels,
    is_array_file,
};
use attention_probes_errors::Stop;
use attention_probes_models::{DeviceName, ModelShape};
use attention_probes_probes::{Kinds, ProbeConfig, ProbeKind};
use burn::tensor::Device;

use crate::config::architecture_plan::{check_architecture, check_folds_in};
use crate::config::checks::{
    at_least, check_learning_rates, check_name, check_weight_decays, not_empty,
};
use crate::config::data_plan::{check_data, check_experiments, check_penalties};
use crate::config::haystack::haystack_name;
use crate::config::sweep_config::quartiles;
use crate::config::trial::Trial;
use crate::config::{ArchitectureConfig, EvaluationConfig, GridConfig, Keep, Layers};
use crate::train::early_stopping::Race;
use crate::train::fit_config::FitConfig;
use crate::train::group::TrialGroup;
use crate::train::method::Recipe;
use crate::{SweepConfig, SweepError};

/// Most shuffles of labels, as a control.
const MAX_SHUFFLES: usize = 1000;

/// A sweep whose every field has been checked.
#[derive(Clone, Debug)]
pub struct SweepPlan {
    config: SweepConfig,
    tasks: Vec<Option<Task>>,
    trials: Vec<Trial>,
    /// Of every architecture.
    trials_of: Vec<Vec<Trial>>,
    /// What probes that are read again may be.
    kinds: Kinds,
    /// Of every architecture.
    kinds_of: Vec<Arc<dyn ProbeKind>>,
}

impl SweepConfig {
    /// Checks every field and expands the grid into trials. Reads no data but the labels of array
    /// files, to tell numbers from classes.
    ///
    /// # Errors
    ///
    /// A [`SweepError`] that names the key, its value, and what would be accepted.
    pub fn check(self) -> Result<SweepPlan, SweepError> {
        self.check_with(&Kinds::builtin())
    }

    /// As [`SweepConfig::check`], where architectures may be kinds of yours.
    ///
    /// # Errors
    ///
    /// As [`SweepConfig::check`].
    pub fn check_with(self, kinds: &Kinds) -> Result<SweepPlan, SweepError> {
        not_empty("data", &self.data)?;
        self.plan(kinds)
    }

    /// As [`SweepConfig::check_with`], of a sweep whose data are in memory, by
    /// [`sweep_data`](crate::sweep_data): `data` is empty.
    ///
    /// # Errors
    ///
    /// As [`SweepConfig::check`].
    pub fn check_without_data(self, kinds: &Kinds) -> Result<SweepPlan, SweepError> {
        if !self.data.is_empty() {
            let reason = "must be empty where the data are in memory";
            return Err(SweepError::Contradiction { key: "data", reason });
        }
        self.plan(kinds)
    }

    fn plan(mut self, kinds: &Kinds) -> Result<SweepPlan, SweepError> {
        check_name("run", &self.run)?;
        check_device(&self.device)?;
        check_grid(&self.sweep)?;
        check_evaluation(&self.evaluation)?;
        at_least("activations.memory_budget_gib", self.activations.memory_budget_gib, 0.0)?;
        at_least("activations.disk_budget_gib", self.activations.disk_budget_gib, 0.0)?;
        at_least("activations.batch_tokens", self.activations.batch_tokens as f64, 1.0)?;
        if let Layers::Word(word) = &self.activations.layers {
            self.activations.layers = word.parse()?;
        }
        match &self.activations.layers {
            Layers::Word(word) if word == "all" || word == "auto" => {}
            Layers::Word(word) => {
                return Err(SweepError::Word {
                    key: "activations.layers",
                    value: word.clone(),
                    expected: Layers::EXPECTED,
                });
            }
            Layers::One(_) => {}
            Layers::List(layers) => not_empty("activations.layers", layers)?,
        }

        let components = self.activations.component.all();
        not_empty("activations.component", components)?;
        for (index, component) in components.iter().enumerate() {
            if components[..index].contains(component) {
                let (key, name) = ("activations.component", component.to_string());
                return Err(SweepError::Duplicate { key, name });
            }
        }

        let mut names = BTreeSet::new();
        for data in &mut self.data {
            if data.path.as_os_str().is_empty() {
                let reason =
                    "is missing: give a csv, tsv, jsonl, parquet, npz, or safetensors file";
                return Err(SweepError::Contradiction { key: "data.path", reason });
            }
            if data.name.is_empty() {
                let name = haystack_name(data).or_else(|| data_name(&data.path));
                data.name = name.unwrap_or_default();
            }
            // Floats that are no integers are no classes.
            if data.label_kind.is_none()
                && is_array_file(&data.path)
                && has_fractional_labels(&data.path)
            {
                data.label_kind = Some(LabelKind::Number);
            }
            check_name("data.name", &data.name)?;
            if !names.insert(data.name.clone()) {
                return Err(SweepError::Duplicate { key: "data", name: data.name.clone() });
            }
        }
        let tasks: Vec<Option<Task>> =
            self.data.iter().map(check_data).collect::<Result<_, _>>()?;
        check_experiments(&self.data, &tasks)?;
        for (data, task) in self.data.iter_mut().zip(&tasks) {
            let is_target = task.as_ref().is_some_and(|task| task.target().is_some());
            data.balance = Some(data.balance.unwrap_or(is_target));
        }

        not_empty("architectures", &self.architectures)?;
        let (mut names, mut kinds_of) = (BTreeSet::new(), Vec::new());
        for architecture in &mut self.architectures {
            if architecture.config_name.is_empty() {
                architecture.config_name.clone_from(&architecture.name);
            }
            kinds_of.push(check_architecture(architecture, kinds)?);
            check_folds_in(&self.sweep, architecture)?;
            if !names.insert(architecture.config_name.clone()) {
                return Err(SweepError::Duplicate {
                    key: "architectures",
                    name: architecture.config_name.clone(),
                });
            }
        }
        check_penalties(&mut self)?;
        if self.sweep.seeds.is_empty() {
            self.sweep.seeds = vec![self.seed];
        }
        self.sweep.keep = Some(self.sweep.keep());
        let trials = trials(&self.sweep, &ArchitectureConfig::default());
        let of_one = |architecture| self::trials(&self.sweep, architecture);
        let trials_of = self.architectures.iter().map(of_one).collect();
        let kinds = kinds.clone();
        Ok(SweepPlan { config: self, tasks, trials, trials_of, kinds, kinds_of })
    }
}

impl SweepPlan {
    /// The configuration, every default filled in.
    pub fn config(&self) -> &SweepConfig {
        &self.config
    }

    /// Folder of the run, `<output>/<run>/seed_<seed>`.
    pub fn folder(&self) -> PathBuf {
        self.config.folder()
    }

    /// Task of a data set; `None` where it brings activations.
    pub fn task(&self, data: usize) -> Option<&Task> {
        self.tasks[data].as_ref()
    }

    /// Every setting of the grid: by learning rate, then weight decay, then seed.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// Every setting of an architecture, in the same order: those of the grid, unless it has
    /// learning rates, weight decays, or an optimizer of its own. L-BFGS finds its steps; its
    /// learning rate is 1, that of `torch.optim.LBFGS`.
    pub fn trials_of(&self, architecture: usize) -> &[Trial] {
        &self.trials_of[architecture]
    }

    /// Whether some data set needs the model.
    pub fn needs_model(&self) -> bool {
        self.tasks.iter().any(Option::is_some)
    }

    /// The layers to probe, ascending.
    ///
    /// # Errors
    ///
    /// [`SweepError::Layer`] if the model does not have one of them.
    pub fn layers(&self, n_layers: usize) -> Result<Vec<usize>, SweepError> {
        let layers: BTreeSet<usize> = match &self.config.activations.layers {
            Layers::Word(word) if word == "auto" => quartiles(n_layers).collect(),
            Layers::Word(_) => (0..n_layers).collect(),
            Layers::One(layer) => [layer_of(*layer, n_layers)?].into(),
            Layers::List(layers) => {
                layers.iter().map(|layer| layer_of(*layer, n_layers)).collect::<Result<_, _>>()?
            }
        };
        Ok(layers.into_iter().collect())
    }

    /// Where probes read the model, by component and then by layer: one experiment each.
    ///
    /// # Errors
    ///
    /// - [`SweepError::Layer`] if the model does not have one of the layers
    /// - [`SweepError::Activation`] if two components differ in width
    pub fn places(&self, shape: &ModelShape) -> Result<Vec<Place>, SweepError> {
        let layers = self.layers(shape.n_layers)?;
        let (config, convention) = (&self.config.activations, self.config.model.convention);
        let of_component = |&component: &Component| -> Vec<Place> {
            if config.concat {
                return vec![Place::new(layers.iter().copied(), component, convention)];
            }
            layers.iter().map(|&layer| Place::new([layer], component, convention)).collect()
        };
        let places: Vec<Place> = config.component.all().iter().flat_map(of_component).collect();
        let (first, first_width) = (places[0].sites()[0], places[0].width(shape));
        match places.iter().find(|place| place.width(shape) != first_width) {
            Some(other) => Err(ActivationError::SiteWidths {
                first,
                first_width: first.component.width(shape),
                other: other.sites()[0],
                other_width: other.component().width(shape),
            }
            .into()),
            None => Ok(places),
        }
    }

    /// All trials of an architecture at a site of activations of this width, as they train.
    pub fn group(
        &self,
        architecture: usize,
        site: usize,
        (d_model, n_classes): (usize, usize),
    ) -> TrialGroup {
        let config = &self.config.architectures[architecture];
        TrialGroup {
            site,
            probe: self.probe(architecture, d_model, n_classes),
            loss: config.loss,
            method: config.method(&self.config.sweep),
            trials: self.trials_of[architecture].clone(),
        }
    }

    /// How long and in which steps trials train; the device is where kinds of probes without a host
    /// kernel are differentiated.
    pub fn fit_config(&self, device: &Device) -> FitConfig {
        let grid = &self.config.sweep;
        FitConfig {
            epochs: grid.most_epochs(),
            batch_size: grid.batch_size,
            seed: self.config.seed,
            select_by: grid.select_by,
            patience: grid.patience(),
            keep: grid.keep(),
            race: grid.epochs.is_none().then(Race::default),
            stop: Stop::never(),
            device: device.clone(),
        }
    }

    /// The kinds of probes that it knows.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Config of an architecture's probe for activations of this width.
    pub fn probe(&self, architecture: usize, d_model: usize, n_classes: usize) -> ProbeConfig {
        ProbeConfig::of_kind(self.kinds_of[architecture].clone(), d_model, n_classes)
    }
}

/// A layer counted from 0, or from the end where it is negative.
fn layer_of(layer: i64, n_layers: usize) -> Result<usize, SweepError> {
    let from_start = if layer < 0 { layer.saturating_add(n_layers as i64) } else { layer };
    let found = usize::try_from(from_start).ok().filter(|layer| *layer < n_layers);
    found.ok_or(SweepError::Layer { layer, n_layers })
}

fn trials(grid: &GridConfig, architecture: &ArchitectureConfig) -> Vec<Trial> {
    if architecture.recipe.is_some_and(Recipe::is_closed_form) {
        // Nothing is drawn and nothing decays: there is one such probe.
        let seeds = grid.seeds.iter().take(1);
        let trial = |&seed: &u64| Trial { learning_rate: 1.0, weight_decay: 0.0, seed };
        return seeds.map(trial).collect();
    }
    let weight_decays = architecture.weight_decays_in(grid);
    let mut trials = Vec::new();
    for learning_rate in architecture.learning_rates_in(grid) {
        for &weight_decay in &weight_decays {
            for &seed in &grid.seeds {
                trials.push(Trial { learning_rate, weight_decay, seed });
            }
        }
    }
    trials
}

fn check_grid(grid: &GridConfig) -> Result<(), SweepError> {
    check_learning_rates("sweep.learning_rates", grid.rates())?;
    check_weight_decays("sweep.weight_decays", &grid.weight_decays)?;
    let mut seeds = BTreeSet::new();
    if let Some(seed) = grid.seeds.iter().find(|seed| !seeds.insert(**seed)) {
        return Err(SweepError::Duplicate { key: "sweep.seeds", name: seed.to_string() });
    }
    if grid.keep == Some(Keep::Last) && (grid.epochs.is_none() || grid.patience() > 0) {
        let reason =
            "must be `best` with `sweep.patience` or without `sweep.epochs`, or be left out";
        return Err(SweepError::Contradiction { key: "sweep.keep", reason });
    }
    at_least("sweep.epochs", grid.most_epochs() as f64, 1.0)?;
    at_least("sweep.batch_size", grid.batch_size as f64, 1.0)
}

fn check_evaluation(config: &EvaluationConfig) -> Result<(), SweepError> {
    let inside = |value: f64| value > 0.0 && value < 1.0;
    let expected = "numbers between 0 and 1, both excluded";
    if let Some(&value) = config.target_fprs.iter().find(|value| !inside(**value)) {
        return Err(SweepError::Number { key: "evaluation.target_fprs", value, expected });
    }
    let rates =
        [("evaluation.defer_fpr", config.defer_fpr), ("evaluation.defer_fnr", config.defer_fnr)];
    if let Some((key, value)) = rates.into_iter().find(|(_, value)| !inside(*value)) {
        return Err(SweepError::Number { key, value, expected });
    }
    if let Some(value) = config.confidence.filter(|value| !inside(*value)) {
        let expected = "a probability between 0 and 1, such as 0.95";
        return Err(SweepError::Number { key: "evaluation.confidence", value, expected });
    }
    if config.shuffled_labels > MAX_SHUFFLES {
        let (key, value) = ("evaluation.shuffled_labels", config.shuffled_labels as f64);
        return Err(SweepError::Number { key, value, expected: "true, false, or at most 1000" });
    }
    let value = config.calibration.unwrap_or_default();
    if value != 0.0 && !inside(value) {
        let expected = "0, or a share below 1 of the validation examples, such as 0.5";
        return Err(SweepError::Number { key: "evaluation.calibration", value, expected });
    }
    Ok(())
}

fn check_device(device: &str) -> Result<(), SweepError> {
    if DeviceName::named(device).is_some() {
        return Ok(());
    }
    let expected = DeviceName::EXPECTED;
    Err(SweepError::Word { key: "device", value: device.to_owned(), expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &str = "[[data]]\npath = \"a.csv\"\n";

    fn error(toml: &str) -> String {
        match SweepConfig::parse(toml) {
            Ok(config) => config.check().unwrap_err().to_string(),
            Err(SweepError::Toml { source, .. }) => source.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_default_grid_has_81_trials_in_order() {
        let plan = SweepConfig::parse(DATA).unwrap().check().unwrap();
        assert_eq!(plan.trials().len(), 81);
        let expected = Trial { learning_rate: 2e-5, weight_decay: 1e-6, seed: 42 };
        assert_eq!(plan.trials()[10], expected);
        assert_eq!(plan.config().data[0].name, "a");
    }

    #[test]
    fn auto_takes_the_first_the_quartiles_and_the_last_layer() {
        let toml = format!("{DATA}[activations]\nlayers = \"auto\"\n");
        let plan = SweepConfig::parse(&toml).unwrap().check().unwrap();
        assert_eq!(plan.layers(12).unwrap(), [0, 3, 6, 9, 11]);
        assert_eq!(plan.layers(4).unwrap(), [0, 1, 2, 3]);
        assert_eq!(plan.layers(1).unwrap(), [0]);
    }

    #[test]
    fn an_architecture_may_have_a_grid_of_its_own() {
        let toml = format!(
            "{DATA}[[architectures]]\nname = \"linear\"\noptimizer = \"lbfgs\"\n\
             weight_decays = [0.0, 0.1]\n[[architectures]]\nlearning_rates = [1e-2]\n\
             [[architectures]]\nname = \"linear\"\nconfig_name = \"mm\"\nrecipe = \"mass_mean\"\n\
             [sweep]\nseeds = [1, 2]\npatience = 3\n"
        );
        let plan = SweepConfig::parse(&toml).unwrap().check().unwrap();
        let trial = |weight_decay, seed| Trial { learning_rate: 1.0, weight_decay, seed };
        assert_eq!(plan.trials_of(0), [trial(0.0, 1), trial(0.0, 2), trial(0.1, 1), trial(0.1, 2)]);
        assert_eq!(plan.trials_of(1).len(), 18);
        assert_eq!(plan.trials_of(2), [trial(0.0, 1)]);
        assert_eq!(plan.trials().len(), 162);
        assert_eq!(plan.config().sweep.keep, Some(Keep::Best));
    }

    #[test]
    fn a_way_of_training_that_does_not_fit_is_refused_by_key() {
        let cases = [
            ("optimizer = \"lbfgs\"\nlearning_rates = [1e-3]", "`architectures.learning_rates`"),
            ("optimizer = \"lbfgs\"\nattention_dropout = 0.1", "`architectures.attention_dropout`"),
            ("optimizer = \"sgd\"", "unknown word `sgd`; known: `lbfgs`, `adamw`"),
            ("weight_decays = [-1.0]", "`architectures.weight_decays` has -1"),
            ("weight_decays = [0.1, 0.1]", "`architectures.weight_decays` has 0.1 and 0.1"),
            ("learning_rates = []", "`architectures.learning_rates` is empty"),
            ("retrain_above = 0.5", "`architectures.retrain_above` is for `optimizer = \"lbfgs\"`"),
            ("retrains = 2", "`architectures.retrains` is not allowed without"),
            (
                "optimizer = \"lbfgs\"\nretrain_above = 0.5\nretrains = 0",
                "`architectures.retrains` has 0",
            ),
            ("optimizer = \"lbfgs\"\nretrain_above = -1.0", "`architectures.retrain_above` has -1"),
            ("name = \"linear\"\nrecipe = \"ensemble_mean\"", "`architectures.recipe` is not"),
            ("recipe = \"ensemble_mean\"\nhidden_dim = 3", "`ensemble_mean` needs a probe without"),
            ("recipe = \"finetune_attn\"\nactivation = \"tanh\"", "`finetune_attn` needs"),
            ("recipe = \"finetune_attn\"\npool = \"max\"", "`finetune_attn` begins with"),
            ("recipe = \"finetune_attn\"\noptimizer = \"lbfgs\"", "`architectures.optimizer` must"),
            ("recipe = \"lda\"", "`architectures.recipe` is not allowed with a probe of kind"),
            (
                "name = \"linear\"\nrecipe = \"lda\"\noptimizer = \"lbfgs\"",
                "`architectures.optimizer`",
            ),
            ("name = \"linear\"\nrecipe = \"mass_mean\"\nweight_decays = [1.0]", "a formula gives"),
            ("pool = \"last\"", "`architectures.pool` is not allowed"),
            ("folds = 5", "`architectures.folds` is not allowed with a probe of kind `attention`"),
            (
                "name = \"linear\"\nfolds = 5\noptimizer = \"adamw\"",
                "`architectures.folds` is for a probe that is solved exactly",
            ),
            ("name = \"linear\"\nrecipe = \"lda\"\nfolds = 5", "where a formula gives the probe"),
        ];
        for (toml, expected) in cases {
            let message = error(&format!("{DATA}[[architectures]]\n{toml}\n"));
            assert!(message.contains(expected), "{toml}: {message}");
        }
        let keep = error(&format!("{DATA}[sweep]\npatience = 2\nkeep = \"last\"\n"));
        assert!(keep.contains("`sweep.keep` must be `best`"), "{keep}");
        let often = error(&format!("{DATA}[evaluation]\nshuffled_labels = 1001\n"));
        assert!(often.contains("`evaluation.shuffled_labels` has 1001"), "{often}");
        let word = error(&format!("{DATA}[evaluation]\nshuffled_labels = \"often\"\n"));
        assert!(word.contains("expected true, false, or a number such as 5"), "{word}");
        let squared =
            error(&format!("{DATA}[[architectures]]\nloss = {{ name = \"squared_error\" }}\n"));
        assert!(squared.contains("`architectures.loss` must be `cross_entropy`"), "{squared}");
        let weights = error(&format!("{DATA}class_weights = \"cubic\"\n"));
        assert!(weights.contains("unknown word `cubic`"), "{weights}");
        let last =
            format!("{DATA}[[architectures]]\nrecipe = \"finetune_attn\"\npool = \"last\"\n");
        assert!(SweepConfig::parse(&last).unwrap().check().is_ok());
    }

    #[test]
    fn folds_need_penalties_and_a_metric_that_they_can_choose_by() {
        let folded = format!("{DATA}[[architectures]]\nname = \"linear\"\noptimizer = \"lbfgs\"\n");
        let cases = [
            ("folds = 1", "`architectures.folds` has 1, expected a number from 2"),
            ("folds = 5\nretrain_above = 1.0", "is not allowed with `retrain_above`"),
            ("folds = 5\nloss = { name = \"focal\", gamma = 2.0 }", "is for the loss `cross_ent"),
            ("folds = 5\nweight_decays = [0.0, 1.0]", "`architectures.weight_decays` has 0, exp"),
            ("folds = 5\n[sweep]\nselect_by = \"auroc\"", "`sweep.select_by` must be"),
        ];
        for (toml, expected) in cases {
            let message = error(&format!("{folded}{toml}\n"));
            assert!(message.contains(expected), "{toml}: {message}");
        }
    }

    #[test]
    fn a_linear_probe_is_solved_exactly_unless_adamw_is_asked_for() {
        let trials = |keys: &str| {
            let toml = format!("{DATA}[[architectures]]\nname = \"linear\"\n{keys}\n");
            SweepConfig::parse(&toml).unwrap().check().unwrap().trials_of(0).to_vec()
        };
        let exact = trials("");
        assert_eq!(exact.len(), 15);
        assert!(exact.iter().all(|trial| trial.learning_rate.to_bits() == 1.0_f64.to_bits()));
        let decays: Vec<f64> = exact.iter().map(|trial| trial.weight_decay).collect();
        assert_eq!(decays[..4], [1e-6, 3.16e-6, 1e-5, 3.16e-5]);
        assert_eq!(decays[11..], [0.316, 1.0, 3.16, 10.0]);
        // The lists of the grid are for AdamW.
        assert_eq!(trials("[sweep]\nweight_decays = [0.5]\nlearning_rates = [0.1]"), exact);
        assert_eq!(trials("folds = 5"), exact);
        assert_eq!(trials("optimizer = \"lbfgs\""), exact);
        assert_eq!(trials("weight_decays = [0.5, 0.25]").len(), 2);
        assert_eq!(trials("optimizer = \"adamw\"").len(), 81);
        assert_eq!(trials("learning_rates = [0.1]").len(), 9);
        assert_eq!(trials("loss = { name = \"focal\", gamma = 2.0 }").len(), 81);
    }

    #[test]
    fn what_is_written_of_epochs_and_rates_means_exactly_that() {
        let grid = |keys: &str| {
            let toml = format!("{DATA}[sweep]\n{keys}\n");
            let plan = SweepConfig::parse(&toml).unwrap().check().unwrap();
            let config = plan.config().clone();
            // What is written beside the results means the same when it is read again.
            let again = SweepConfig::parse(&toml::to_string(&config).unwrap()).unwrap();
            let again = again.check().unwrap();
            assert_eq!(again.config(), plan.config());
            assert_eq!((&again.trials, &again.trials_of), (&plan.trials, &plan.trials_of));
            let growth = config.architectures[0].method(&config.sweep).growth;
            (config.sweep.most_epochs(), config.sweep.patience(), config.sweep.keep(), growth)
        };
        assert_eq!(grid(""), (200, 10, Keep::Best, 4));
        assert_eq!(grid("patience = 3"), (200, 3, Keep::Best, 4));
        assert_eq!(grid("patience = 0"), (200, 0, Keep::Best, 4));
        assert_eq!(grid("epochs = 7"), (7, 0, Keep::Last, 4));
        assert_eq!(grid("epochs = 7\npatience = 2"), (7, 2, Keep::Best, 4));
        assert_eq!(grid("epochs = 7\nlearning_rates = [0.1, 0.2]"), (7, 0, Keep::Last, 0));
        let own = format!("{DATA}[[architectures]]\nlearning_rates = [0.1, 0.2]\n");
        let plan = SweepConfig::parse(&own).unwrap().check().unwrap();
        assert_eq!(plan.config().architectures[0].method(&plan.config().sweep).growth, 0);
        let last = error(&format!("{DATA}[sweep]\nkeep = \"last\"\n"));
        assert!(last.contains("`sweep.keep` must be `best`"), "{last}");
    }

    #[test]
    fn a_typo_is_an_error_with_a_caret() {
        let message = error("[sweep]\nlearning_rate = [1e-3]\n");
        assert!(
            message
                .contains("unknown key `learning_rate` in `sweep`; did you mean `learning_rates`?"),
            "{message}"
        );
        assert!(message.contains('^'), "{message}");
    }

    #[test]
    fn wrong_values_are_refused_with_key_value_and_remedy() {
        let cases = [
            ("[sweep]\nlearning_rates = [1e-3, -1e-3]", "`sweep.learning_rates` has -0.001"),
            ("[sweep]\nlearning_rates = []", "`sweep.learning_rates` is empty"),
            ("[sweep]\nweight_decays = [-1.0]", "`sweep.weight_decays` has -1"),
            ("[sweep]\nepochs = 0", "`sweep.epochs` has 0"),
            ("[activations]\nlayers = \"most\"", "`activations.layers` is `most`"),
            ("[[architectures]]\n[[architectures]]", "two entries of `architectures`"),
        ];
        for (toml, expected) in cases {
            let message = error(&format!("{DATA}{toml}\n"));
            assert!(message.contains(expected), "{message}");
        }
        assert!(error("").contains("`data` is empty"));
        assert!(error(&format!("run = \"../x\"\n{DATA}")).contains("`run` is `../x`"));
        assert!(error(&format!("device = \"tpu\"\n{DATA}")).contains("`device` is `tpu`"));
        assert!(error(&format!("{DATA}task = \"next_token\"\n")).contains("`data.target`"));
        assert!(error(&format!("{DATA}validation = 1.5\n")).contains("`data.validation` has 1.5"));
        let held_out = error(&format!("{DATA}test = \"b.npz\"\n"));
        assert!(held_out.contains("`data.test` must be of the same form"), "{held_out}");
        let hook = error(&format!("{DATA}hook = \"hook_embed\"\n"));
        assert!(hook.contains("`data.hook` is for activations"), "{hook}");
        let list = error(&format!("{DATA}test = [0.1]\n"));
        assert!(list.contains("expected a share such as 0.1, or the path of a file"), "{list}");
        assert!(error("[[data]]\n").contains("`data.path` is missing"));
        assert!(error("[[data]]\nname = \"config.toml\"\npath = \"a.csv\"\n").contains("1 to 100"));
    }

    #[test]
    fn activations_called_like_a_layer_of_a_text_are_refused() {
        let named =
            |name: &str| error(&format!("{DATA}[[data]]\nname = \"{name}\"\npath = \"b.npz\"\n"));
        let message = named("a-L00-resid_post");
        assert!(message.contains("are called `a-L00-resid_post`"), "{message}");
        let toml = format!("{DATA}[[data]]\nname = \"a-L00-other\"\npath = \"b.npz\"\n");
        assert!(SweepConfig::parse(&toml).unwrap().check().is_ok());
    }

    #[test]
    fn a_layer_the_model_does_not_have_is_refused() {
        let toml = format!("{DATA}[activations]\nlayers = [1, 4]\n");
        let plan = SweepConfig::parse(&toml).unwrap().check().unwrap();
        assert!(plan.layers(4).is_err());
        assert_eq!(plan.layers(5).unwrap(), [1, 4]);
    }
}
