//! L-BFGS on all training examples at once, trial by trial, and probes that a formula gives.

use attention_probes_activations::ActivationSource;
use attention_probes_kernels::{Lbfgs, LbfgsStop};
use attention_probes_probes::engine::{RaggedBatch, Rate, Targets, Trials, TrialsConfig};
use attention_probes_probes::{
    Features, LabelValues, Labels, Linear, LinearReadout, LogisticConfig, LogisticData,
    LogisticFit, LogisticTargets, Loss, MassMean, ProbeError, ProbeState, RidgeConfig, RidgeFit,
    Shrinkage, discriminant, follow_logistic_path, mass_mean, ridge_path,
};

use crate::SweepError;
use crate::config::trial::Trial;
use crate::train::cross_validation::{CrossValidation, folds_of};
use crate::train::fit_config::FitConfig;
use crate::train::fit_data::FitData;
use crate::train::group::TrialGroup;
use crate::train::method::Recipe;
use crate::train::training_rows::TrainingRows;

/// Smallest and largest penalty of a convex problem.
const PENALTIES: std::ops::RangeInclusive<f64> = 1e-30..=1e30;

/// Told the number of passes over the training examples.
type OnPass<'a> = &'a mut dyn FnMut(usize);

/// What the trials of a group came to.
pub(crate) struct FullFits {
    /// In the order of the trials.
    pub(crate) fits: Vec<FullFit>,
    /// What chose among them, where the group has folds.
    pub(crate) cross_validation: Option<CrossValidation>,
}

/// What L-BFGS or a formula came to.
#[derive(Clone)]
pub(crate) struct FullFit {
    pub(crate) state: ProbeState,
    /// Mean loss over the training examples, without decay.
    pub(crate) train_loss: f64,
    /// Whether a tolerance was met.
    pub(crate) converged: bool,
}

/// Fits every trial of a group by L-BFGS.
///
/// ```text
/// minimise   Σ_i w[y_i] loss_i / Σ_i w[y_i]  +  weight_decay/2 Σ p²
/// ```
///
/// over every parameter of an attention probe, over matrices but not biases of the others, as
/// [`train_any_probe`](attention_probes_probes::train_any_probe) does. A linear probe with
/// cross-entropy and some decay is a convex problem: all decays are solved in the same products,
/// and one that does not converge counts as diverged. Elsewhere there may be no minimum to converge
/// to, and the best point that was found is kept. Where a formula gives the probe, there is nothing
/// to minimise, and class weights do not count.
///
/// The rows are those of the group's site: tokens, or, of linear and MLP probes, what their pool
/// makes of them.
pub(crate) fn fit(
    rows: &TrainingRows,
    data: &FitData<'_>,
    group: &TrialGroup,
    (config, on_pass): (&FitConfig, OnPass<'_>),
) -> Result<FullFits, SweepError> {
    let mut problem = Problem::new(data, group, rows, (config, on_pass));
    if let Some(recipe) = group.method.recipe.filter(|recipe| recipe.is_closed_form()) {
        let state = closed_form(recipe, problem.labels.classes(), data.n_classes(), rows)?;
        let fit = match state {
            Some(state) => problem.judged(group, state, true)?,
            None => FullFit {
                state: not_a_number(group.probe.init_state(0)),
                train_loss: f64::NAN,
                converged: false,
            },
        };
        let fits = group.trials.iter().map(|_| fit.clone()).collect();
        return Ok(FullFits { fits, cross_validation: None });
    }
    let (convex, cross_validation) = convex_fits(&mut problem, data, group, rows, config)?;
    let fit = |trial: &Trial| {
        let same = |fit: &&ConvexFit| fit.weight_decay.to_bits() == trial.weight_decay.to_bits();
        match convex.iter().find(same) {
            Some(fit) => problem.judged(group, fit.state.clone(), fit.converged),
            None => problem.fit_repeatedly(group, trial),
        }
    };
    let fits = group.trials.iter().map(fit).collect::<Result<_, SweepError>>()?;
    Ok(FullFits { fits, cross_validation })
}

/// Weights that the trials of a group fine-tune: those of the same probe on one token.
///
/// Trials that differ in their learning rate alone begin with the same.
pub(crate) fn one_token_states(
    source: &mut dyn ActivationSource,
    data: &FitData<'_>,
    group: &TrialGroup,
    config: &FitConfig,
) -> Result<Vec<ProbeState>, SweepError> {
    let keys = [(group.site, group.method.pool)];
    let rows = TrainingRows::read_pooled(source, data, &keys, config.batch_size)?.swap_remove(0);
    let mut ignored = |_| {};
    let mut problem = Problem::new(data, group, &rows, (config, &mut ignored));
    let mut found: Vec<(f64, u64, ProbeState)> = Vec::new();
    let of_trial = |trial: &Trial| {
        let same = |(decay, seed, _): &&(f64, u64, _)| {
            decay.to_bits() == trial.weight_decay.to_bits() && *seed == trial.seed
        };
        if let Some((_, _, state)) = found.iter().find(same) {
            return Ok(state.clone());
        }
        let state = problem.fit(group, trial.weight_decay, trial.seed)?.state;
        found.push((trial.weight_decay, trial.seed, state.clone()));
        Ok(state)
    };
    group.trials.iter().map(of_trial).collect()
}

/// A linear probe by its formula; `None` if the covariance has no inverse.
fn closed_form(
    recipe: Recipe,
    labels: &[usize],
    n_classes: usize,
    rows: &TrainingRows,
) -> Result<Option<ProbeState>, SweepError> {
    let features = Features::new(rows.values(), rows.d_model)?;
    let shrinkage = Shrinkage::LedoitWolf;
    let readout = match recipe {
        Recipe::Lda => discriminant(features, labels, n_classes, shrinkage),
        Recipe::MassMeanWhitened => mass_mean(features, labels, MassMean::Whitened(shrinkage)),
        _ => mass_mean(features, labels, MassMean::Scaled),
    };
    match readout {
        Ok(readout) => Ok(Some(readout.to_state())),
        Err(ProbeError::SingularCovariance) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The minimum of a convex problem.
struct ConvexFit {
    weight_decay: f64,
    state: ProbeState,
    converged: bool,
}

/// The linear probes of every decay above 0, where that is a convex problem, and, with folds, what
/// cross-validation says about those that converged.
fn convex_fits(
    problem: &mut Problem<'_>,
    data: &FitData<'_>,
    group: &TrialGroup,
    rows: &TrainingRows,
    config: &FitConfig,
) -> Result<(Vec<ConvexFit>, Option<CrossValidation>), SweepError> {
    let is_convex = matches!(group.loss, Loss::CrossEntropy | Loss::SquaredError);
    if group.probe.kind_as::<Linear>().is_none() || !is_convex {
        return Ok((Vec::new(), None));
    }
    let weights: Vec<f64> = match &problem.labels.values {
        LabelValues::Class(labels) => {
            labels.iter().map(|&label| f64::from(data.class_weights[label])).collect()
        }
        _ => vec![1.0; problem.labels.len()],
    };
    let total: f64 = weights.iter().sum();
    let mut decays: Vec<f64> = group.trials.iter().map(|trial| trial.weight_decay).collect();
    decays.retain(|decay| PENALTIES.contains(&(decay * total)));
    decays.sort_by(f64::total_cmp);
    decays.dedup();
    if decays.is_empty() {
        return Ok((Vec::new(), None));
    }
    let features = match Features::new(rows.values(), rows.d_model) {
        Ok(features) => features,
        // Too large to be squared: the other architectures may do without.
        Err(ProbeError::BadFeature { .. }) => {
            let state = || not_a_number(group.probe.init_state(0));
            let fit = |weight_decay| ConvexFit { weight_decay, state: state(), converged: false };
            return Ok((decays.into_iter().map(fit).collect(), None));
        }
        Err(error) => return Err(error.into()),
    };
    let penalties: Vec<f64> = decays.iter().map(|decay| decay * total).collect();
    if let LabelValues::Number(numbers) = &problem.labels.values {
        let scale = group.probe.output_scale();
        let numbers: Vec<f32> = numbers.iter().map(|&y| scale.invert(y) as f32).collect();
        let ridge = RidgeConfig { penalties, ..RidgeConfig::default() };
        let fits = decays.into_iter().zip(ridge_path(features, &numbers, &ridge)?);
        let fit = |(weight_decay, fit): (f64, RidgeFit)| {
            let state = fit.readout.to_state();
            ConvexFit { weight_decay, state, converged: true }
        };
        return Ok((fits.map(fit).collect(), None));
    }
    let targets = LogisticTargets::of_labels(&problem.labels)?;
    let penalties_of = |decays: &[f64]| LogisticConfig {
        penalties: decays.iter().map(|decay| decay * total).collect(),
        keep_unconverged: true,
        stop: config.stop.clone(),
        ..LogisticConfig::default()
    };
    let examples = LogisticData { features, targets: &targets, weights: Some(&weights) };
    let fits = follow_logistic_path(examples, &penalties_of(&decays), problem.on_pass)?;
    let fits = of_all_labels(&penalties, &fits)?;
    let sound = decays.iter().zip(&fits).filter(|(_, (_, converged))| *converged);
    let sound: Vec<f64> = sound.map(|(decay, _)| *decay).collect();
    let cross_validation = match group.method.folds {
        Some(n_folds) if !sound.is_empty() => {
            let folds = folds_of(data, n_folds, config.seed)?;
            let penalties = penalties_of(&sound);
            let select_by = config.select_by;
            let settings = (&penalties, select_by);
            Some(CrossValidation::new(examples, &sound, settings, &folds, problem.on_pass)?)
        }
        _ => None,
    };
    let fit = |(weight_decay, (readout, converged)): (f64, (LinearReadout, bool))| {
        let state = readout.to_state();
        let state = if converged { state } else { not_a_number(state) };
        ConvexFit { weight_decay, state, converged }
    };
    Ok((decays.into_iter().zip(fits).map(fit).collect(), cross_validation))
}

/// For each penalty the fits of all labels side by side, and whether all of them converged.
fn of_all_labels(
    penalties: &[f64],
    fits: &[LogisticFit],
) -> Result<Vec<(LinearReadout, bool)>, ProbeError> {
    let of_penalty = |penalty: &f64| {
        let mut found: Vec<&LogisticFit> =
            fits.iter().filter(|fit| fit.penalty.to_bits() == penalty.to_bits()).collect();
        found.sort_by_key(|fit| fit.label);
        let readout = LinearReadout::joined(found.iter().map(|fit| &fit.readout))?;
        Ok((readout, found.iter().all(|fit| fit.converged)))
    };
    penalties.iter().map(of_penalty).collect()
}

/// Weights of a trial that counts as diverged.
fn not_a_number(mut state: ProbeState) -> ProbeState {
    for array in state.values_mut() {
        array.values.fill(f32::NAN);
    }
    state
}

/// The loss of all training examples as a function of the parameters of one trial.
struct Problem<'a> {
    stack: Trials,
    batches: Vec<RaggedBatch<'a>>,
    labels: Labels,
    class_weights: &'a [f32],
    /// Which parameters are decayed.
    is_decayed: Vec<bool>,
    config: &'a FitConfig,
    on_pass: OnPass<'a>,
}

impl<'a> Problem<'a> {
    fn new(
        data: &FitData<'a>,
        group: &TrialGroup,
        rows: &'a TrainingRows,
        (config, on_pass): (&'a FitConfig, OnPass<'a>),
    ) -> Self {
        let stack = stack_of(group, &group.probe.init_state(0), config);
        Self {
            is_decayed: stack.is_decayed(group.probe.kind()),
            stack,
            batches: rows.batches(config.batch_size),
            labels: data.labels.select(data.train),
            class_weights: data.class_weights,
            config,
            on_pass,
        }
    }

    /// Mean loss and its gradient, without decay.
    fn look(&mut self, values: &[f32]) -> Result<(f64, Vec<f32>), SweepError> {
        self.stack.stack_mut().set_params(values);
        let targets = Targets::of_labels(&self.labels, self.class_weights);
        let mut loss = [0.0];
        let mut gradient = vec![0.0; values.len()];
        let mut from = 0;
        for batch in &self.batches {
            self.config.stop.check()?;
            let targets = targets.part(from..from + batch.rows.len());
            self.stack.differentiate(batch, &targets, &mut loss)?;
            let found = self.stack.gradients().iter().flatten();
            gradient.iter_mut().zip(found).for_each(|(sum, value)| *sum += value);
            from += batch.rows.len();
        }
        Ok((loss[0], gradient))
    }

    /// Fits a trial, and again with the next seed where its loss stays too high; the best is kept.
    fn fit_repeatedly(&mut self, group: &TrialGroup, trial: &Trial) -> Result<FullFit, SweepError> {
        let mut best = self.fit(group, trial.weight_decay, trial.seed)?;
        let Some(retraining) = group.method.retraining else { return Ok(best) };
        for attempt in 1..=retraining.times {
            if best.train_loss <= retraining.above {
                break;
            }
            let seed = trial.seed.wrapping_add(attempt as u64);
            let next = self.fit(group, trial.weight_decay, seed)?;
            if next.train_loss < best.train_loss || best.train_loss.is_nan() {
                best = next;
            }
        }
        Ok(best)
    }

    fn fit(
        &mut self,
        group: &TrialGroup,
        weight_decay: f64,
        seed: u64,
    ) -> Result<FullFit, SweepError> {
        let start =
            stack_of(group, &group.probe.init_state(seed), self.config).stack().flat_params();
        let is_decayed = self.is_decayed.clone();
        let mut n_passes = 0;
        let mut objective = |values: &[f32]| {
            let (mut loss, mut gradient) = self.look(values)?;
            n_passes += 1;
            (self.on_pass)(n_passes);
            let pairs = gradient.iter_mut().zip(values).zip(&is_decayed);
            for ((gradient, &value), _) in pairs.filter(|(_, is_decayed)| **is_decayed) {
                loss += 0.5 * weight_decay * f64::from(value).powi(2);
                *gradient += (weight_decay * f64::from(value)) as f32;
            }
            Ok::<_, SweepError>((loss, gradient))
        };
        let result = Lbfgs::default().try_minimise(&start, &mut objective)?;
        let (train_loss, _) = self.look(&result.params)?;
        let state = self.stack.state(0);
        if result.stop == LbfgsStop::NotFinite {
            let state = not_a_number(state);
            return Ok(FullFit { state, train_loss: f64::NAN, converged: false });
        }
        Ok(FullFit { state, train_loss, converged: result.converged() })
    }

    /// Weights that were found elsewhere.
    fn judged(
        &mut self,
        group: &TrialGroup,
        state: ProbeState,
        converged: bool,
    ) -> Result<FullFit, SweepError> {
        let values = stack_of(group, &state, self.config).stack().flat_params();
        let (train_loss, _) = self.look(&values)?;
        Ok(FullFit { state, train_loss, converged })
    }
}

/// A stack of one trial.
fn stack_of(group: &TrialGroup, state: &ProbeState, config: &FitConfig) -> Trials {
    let rate = Rate { learning_rate: 1.0, weight_decay: 0.0 };
    let (probe, loss, device) = (&group.probe, group.loss, &config.device);
    let of_trials = TrialsConfig { probe, loss, seed: 0, device, by_definition: false };
    Trials::new(&of_trials, std::slice::from_ref(state), vec![rate])
}
