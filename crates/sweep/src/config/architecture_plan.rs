//! The checks of an architecture as a person writes it, and what it stands for.

use std::sync::Arc;

use attention_probes_probes::{
    Attention, GatedBipolar, Kinds, Linear, Loss, Mlp, MultiMax, Optimizer, ProbeConfig, ProbeKind,
    Retraining, RollingAttention, TokenScores,
};

use crate::SweepError;
use crate::config::checks::{at_least, check_learning_rates, check_name, check_weight_decays};
use crate::config::trial::three_digits;
use crate::config::{ArchitectureConfig, GridConfig};
use crate::train::cross_validation::penalty_selection;
use crate::train::method::{MAX_GROWTH, Method, Recipe};

/// Most heads, and the widest hidden layer, of a probe.
const MAX_SIZE: usize = 16_384;

/// Most seeds that are tried beyond the first.
const MAX_RETRAINS: usize = 100;

/// Checks every key of an architecture, and returns its kind of probe.
pub(crate) fn check_architecture(
    architecture: &ArchitectureConfig,
    kinds: &Kinds,
) -> Result<Arc<dyn ProbeKind>, SweepError> {
    check_name("architectures.config_name", &architecture.config_name)?;
    let kind = architecture.kind(kinds)?;
    if let Some(key) = architecture.idle_key() {
        return Err(SweepError::IdleKey { key, kind: architecture.name.clone() });
    }
    let sizes = [
        ("architectures.n_heads", architecture.n_heads.unwrap_or(1)),
        ("architectures.hidden_dim", architecture.hidden_dim.unwrap_or(1)),
        ("architectures.window", architecture.window),
        ("architectures.d_gate", architecture.d_gate),
    ];
    for (key, value) in sizes {
        if !(1..=MAX_SIZE).contains(&value) {
            let expected = "a number from 1 to 16384";
            return Err(SweepError::Number { key, value: value as f64, expected });
        }
    }
    check_training(architecture)?;
    // Widths and classes are not known yet; everything else is as good here as later.
    let probe = ProbeConfig::of_kind(kind.clone(), 1, 2);
    probe.check()?;
    architecture.method(&GridConfig::default()).check(&probe)?;
    probe.check_loss(&architecture.loss)?;
    Ok(kind)
}

/// Most folds of a cross-validation.
const MAX_FOLDS: usize = 1000;

/// Weight decays that make a convex problem of a linear probe, whatever the number of examples.
const CONVEX_DECAYS: std::ops::RangeInclusive<f64> = 1e-12..=1e12;

/// Checks the keys that say how the trials of an architecture train.
fn check_training(architecture: &ArchitectureConfig) -> Result<(), SweepError> {
    let contradiction = |key, reason| Err(SweepError::Contradiction { key, reason });
    let is_lbfgs = architecture.optimizer() == Optimizer::Lbfgs;
    if architecture.recipe.is_some_and(Recipe::is_closed_form) {
        let set = [
            (architecture.optimizer == Some(Optimizer::Lbfgs), "architectures.optimizer"),
            (architecture.learning_rates.is_some(), "architectures.learning_rates"),
            (architecture.weight_decays.is_some(), "architectures.weight_decays"),
            (architecture.loss != Loss::CrossEntropy, "architectures.loss"),
        ];
        if let Some((_, key)) = set.into_iter().find(|(is_set, _)| *is_set) {
            return contradiction(key, "is not allowed where a formula gives the probe, remove it");
        }
    }
    if architecture.loss == Loss::SquaredError {
        let reason = "must be `cross_entropy`, which is the squared error where labels are numbers";
        return contradiction("architectures.loss", reason);
    }
    if let Some(values) = &architecture.learning_rates {
        let key = "architectures.learning_rates";
        if is_lbfgs {
            return contradiction(key, "is for `optimizer = \"adamw\"`; L-BFGS finds its steps");
        }
        check_learning_rates(key, values)?;
    }
    if let Some(values) = &architecture.weight_decays {
        check_weight_decays("architectures.weight_decays", values)?;
    }
    if is_lbfgs && architecture.recipe == Some(Recipe::FinetuneAttn) {
        let reason = "must be `adamw` with `recipe = \"finetune_attn\"`, which begins with L-BFGS";
        return contradiction("architectures.optimizer", reason);
    }
    if is_lbfgs && architecture.attention_dropout != 0.0 {
        let reason = "must be 0 with `optimizer = \"lbfgs\"`, which needs a loss that is the same at \
                      every look";
        return contradiction("architectures.attention_dropout", reason);
    }
    if let Some(above) = architecture.retrain_above {
        if !is_lbfgs {
            let reason = "is for `optimizer = \"lbfgs\"`; AdamW has seeds in `sweep.seeds`";
            return contradiction("architectures.retrain_above", reason);
        }
        at_least("architectures.retrain_above", above, 0.0)?;
    }
    if let Some(n_folds) = architecture.folds {
        check_folds(architecture, n_folds)?;
    }
    match architecture.retrains {
        Some(_) if architecture.retrain_above.is_none() => {
            contradiction("architectures.retrains", "is not allowed without `retrain_above`")
        }
        Some(n) if !(1..=MAX_RETRAINS).contains(&n) => {
            let (key, expected) = ("architectures.retrains", "a number from 1 to 100");
            Err(SweepError::Number { key, value: n as f64, expected })
        }
        _ => Ok(()),
    }
}

/// Checks the keys beside `folds`.
fn check_folds(architecture: &ArchitectureConfig, n_folds: usize) -> Result<(), SweepError> {
    let key = "architectures.folds";
    let reason = if architecture.recipe.is_some() {
        "is not allowed where a formula gives the probe, remove it"
    } else if architecture.loss != Loss::CrossEntropy {
        "is for the loss `cross_entropy`; remove one of them"
    } else if architecture.optimizer() != Optimizer::Lbfgs {
        "is for a probe that is solved exactly; remove `optimizer` and `learning_rates`, or this"
    } else if architecture.retrain_above.is_some() {
        "is not allowed with `retrain_above`: every fit ends at the same minimum"
    } else if !(2..=MAX_FOLDS).contains(&n_folds) {
        let expected = "a number from 2 to 1000";
        return Err(SweepError::Number { key, value: n_folds as f64, expected });
    } else {
        return Ok(());
    };
    Err(SweepError::Contradiction { key, reason })
}

/// Checks that an architecture with folds has a metric and penalties to choose by and from.
pub(crate) fn check_folds_in(
    grid: &GridConfig,
    architecture: &ArchitectureConfig,
) -> Result<(), SweepError> {
    if architecture.folds.is_none() {
        return Ok(());
    }
    if penalty_selection(grid.select_by).is_none() {
        let reason = "must be `balanced_accuracy` or `loss` with `architectures.folds`";
        return Err(SweepError::Contradiction { key: "sweep.select_by", reason });
    }
    let decays = architecture.weight_decays_in(grid);
    match decays.into_iter().find(|decay| !CONVEX_DECAYS.contains(decay)) {
        Some(value) => {
            let key = "architectures.weight_decays";
            let expected = "numbers from 1e-12 to 1e12 with `architectures.folds`";
            Err(SweepError::Number { key, value, expected })
        }
        None => Ok(()),
    }
}

/// Weight decays of a linear probe that is solved exactly, where nothing is said: two for each power
/// of ten from 1e-6 to 10.
fn exact_decays() -> Vec<f64> {
    (-12..=2).map(|half| three_digits(10.0_f64.powf(f64::from(half) / 2.0))).collect()
}

impl ArchitectureConfig {
    /// What makes the loss small: what is written, else L-BFGS where that is exact.
    pub fn optimizer(&self) -> Optimizer {
        let is_solved = self.is_convex() && self.learning_rates.is_none();
        let default = if is_solved { Optimizer::Lbfgs } else { Optimizer::AdamW };
        self.optimizer.unwrap_or(default)
    }

    /// Whether it is a convex problem that is solved exactly, over a list of penalties.
    pub fn is_exact(&self) -> bool {
        self.is_convex() && self.optimizer() == Optimizer::Lbfgs
    }

    /// The penalties of the exact solution of a problem that has one and that it trains by `AdamW`.
    pub(crate) fn exact_alternative(&self) -> Option<Vec<f64>> {
        (self.is_convex() && self.optimizer() == Optimizer::AdamW).then(exact_decays)
    }

    /// Whether every fit ends at the same minimum.
    fn is_convex(&self) -> bool {
        self.name == "linear" && self.loss == Loss::CrossEntropy && self.recipe.is_none()
    }

    /// The weight decays of its trials: its own, or those that its way of training has by default.
    pub(crate) fn weight_decays_in(&self, grid: &GridConfig) -> Vec<f64> {
        match &self.weight_decays {
            Some(decays) => decays.clone(),
            None if self.is_exact() => exact_decays(),
            None => grid.weight_decays.clone(),
        }
    }

    /// The learning rates of its trials. L-BFGS finds its steps; its rate is 1, as torch's is.
    pub(crate) fn learning_rates_in(&self, grid: &GridConfig) -> Vec<f64> {
        match (self.optimizer(), &self.learning_rates) {
            (Optimizer::Lbfgs, _) => vec![1.0],
            (Optimizer::AdamW, Some(rates)) => rates.clone(),
            (Optimizer::AdamW, None) => grid.rates().to_vec(),
        }
    }

    /// Whether its learning rates are those of the default grid, which grows where it is too small.
    fn rates_grow(&self, grid: &GridConfig) -> bool {
        self.optimizer() == Optimizer::AdamW
            && self.learning_rates.is_none()
            && grid.learning_rates.is_none()
    }

    /// The kind of probe, with its settings.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::UnknownKind`](attention_probes_probes::ProbeError) if it is none of these.
    /// - [`ProbeError::Settings`](attention_probes_probes::ProbeError) if the settings are not those of
    ///   a kind of yours.
    pub(crate) fn kind(&self, kinds: &Kinds) -> Result<Arc<dyn ProbeKind>, SweepError> {
        let &Self { pool, activation, hidden_dim, attention_dropout, aggregation, .. } = self;
        let heads = |default: usize| self.n_heads.unwrap_or(default);
        Ok(match &*self.name {
            "linear" => Arc::new(Linear { pool }),
            "mlp" => {
                let default = Mlp::default().hidden_dim;
                Arc::new(Mlp { pool, hidden_dim: hidden_dim.unwrap_or(default) })
            }
            "attention" => {
                let (n_heads, last_only) = (heads(1), false);
                Arc::new(Attention {
                    n_heads,
                    hidden_dim,
                    activation,
                    attention_dropout,
                    last_only,
                })
            }
            "token" => Arc::new(TokenScores { aggregation }),
            "multimax" => Arc::new(MultiMax { n_heads: heads(MultiMax::default().n_heads) }),
            "rolling_attention" => {
                let n_heads = heads(RollingAttention::default().n_heads);
                Arc::new(RollingAttention { n_heads, window: self.window })
            }
            "gated_bipolar" => Arc::new(GatedBipolar { d_gate: self.d_gate }),
            name if self.settings.is_empty() => kinds.get(name)?,
            name => {
                let settings = serde_json::to_value(&self.settings);
                let Ok(serde_json::Value::Object(settings)) = settings else {
                    let reason = "has a value that is no number, text, list, or table";
                    let key = "architectures.settings";
                    return Err(SweepError::Contradiction { key, reason });
                };
                kinds.read(name, settings)?
            }
        })
    }

    /// How its trials train.
    pub(crate) fn method(&self, grid: &GridConfig) -> Method {
        let default = Retraining::default();
        let times = self.retrains.unwrap_or(default.times);
        Method {
            optimizer: self.optimizer(),
            recipe: self.recipe,
            pool: self.pool,
            retraining: self.retrain_above.map(|above| Retraining { above, times }),
            folds: self.folds,
            epochs: None,
            growth: if self.rates_grow(grid) { MAX_GROWTH } else { 0 },
        }
    }

    /// The kind of probe that its recipe is for.
    fn recipe_kind(&self) -> &'static str {
        match self.recipe {
            Some(recipe) if recipe.is_closed_form() => "linear",
            _ => "attention",
        }
    }

    /// A key that is set though the kind has no use for it.
    fn idle_key(&self) -> Option<&'static str> {
        let default = Self::default();
        let of = |kinds: &[&str]| !kinds.contains(&&*self.name);
        let heads = ["attention", "multimax", "rolling_attention"];
        let begins_pooled = self.recipe == Some(Recipe::FinetuneAttn);
        let is_own = !Kinds::builtin().names().any(|name| name == self.name);
        [
            (self.n_heads.is_some() && of(&heads), "architectures.n_heads"),
            (
                self.activation != default.activation && of(&["attention"]),
                "architectures.activation",
            ),
            (
                self.attention_dropout != 0.0 && of(&["attention"]),
                "architectures.attention_dropout",
            ),
            (self.hidden_dim.is_some() && of(&["mlp", "attention"]), "architectures.hidden_dim"),
            (
                self.pool != default.pool && of(&["linear", "mlp"]) && !begins_pooled,
                "architectures.pool",
            ),
            (self.recipe.is_some() && of(&[self.recipe_kind()]), "architectures.recipe"),
            (self.folds.is_some() && of(&["linear"]), "architectures.folds"),
            (
                self.aggregation != default.aggregation && of(&["token"]),
                "architectures.aggregation",
            ),
            (self.window != default.window && of(&["rolling_attention"]), "architectures.window"),
            (self.d_gate != default.d_gate && of(&["gated_bipolar"]), "architectures.d_gate"),
            (!self.settings.is_empty() && !is_own, "architectures.settings"),
        ]
        .into_iter()
        .find_map(|(is_idle, key)| is_idle.then_some(key))
    }
}
