//! What a sweep would do.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use attention_probes_activations::Storage;
use attention_probes_errors::{first_of, shown, shown_size, shown_time};
use attention_probes_probes::Optimizer;
use attention_probes_sweep::{ClassCount, DataOutline, Recipe, SweepOutline, SweepPlan, Trial};

/// Most classes that are listed.
const MAX_CLASSES: usize = 12;

/// What a sweep would train: its data, model, and probes. `outline` is what
/// [`check_sweep`](attention_probes_sweep::check_sweep) found of data and time.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// use attention_probes::pages::probes::text::plan_text;
/// use attention_probes::sweep::demo_sweep;
///
/// let text = plan_text(&demo_sweep(Path::new("results")).check()?, None);
/// assert!(text.contains("data: sentiment, next-the\nmodel: demo-gpt2, layers"), "{text}");
/// # Ok::<(), attention_probes::sweep::SweepError>(())
/// ```
pub fn plan_text(plan: &SweepPlan, outline: Option<&SweepOutline>) -> String {
    let config = plan.config();
    let mut text = format!(
        "run `{}` with seed {} into {}\n",
        config.run,
        config.seed,
        config.output.display()
    );
    if let Some(outline) = outline {
        text += &outline_text(outline);
    } else {
        let names: Vec<&str> = config.data.iter().map(|data| data.name.as_str()).collect();
        let _ = writeln!(text, "data: {}", names.join(", "));
    }
    if plan.needs_model() {
        let layers = match outline {
            Some(SweepOutline { layers, .. }) if !layers.is_empty() => {
                layers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
            }
            // As the configuration has it; a list, a word, or a number is always JSON.
            _ => serde_json::to_string(&config.activations.layers).unwrap_or_default(),
        };
        let components: Vec<String> =
            config.activations.component.all().iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "model: {}, layers {layers}{}, {}",
            config.model.name,
            if config.activations.concat { " side by side" } else { "" },
            components.join(", ")
        );
    }
    let kinds: Vec<&str> =
        config.architectures.iter().map(|kind| kind.config_name.as_str()).collect();
    let _ = writeln!(text, "probes: {}", kinds.join(", "));
    if let Some(penalties) = &config.sweep.penalties {
        let _ = writeln!(text, "{} penalties for labels that are not classes", penalties.len());
    }
    trials_text(&mut text, plan);
    text
}

/// How each architecture is trained, a line for each.
fn trials_text(text: &mut String, plan: &SweepPlan) {
    let config = plan.config();
    let n_seeds = config.sweep.seeds.len();
    let seeds = if n_seeds > 1 { format!(", {n_seeds} seeds") } else { String::new() };
    let has_classes = config.data.iter().any(|data| data.label_kind().is_class());
    for (index, architecture) in config.architectures.iter().enumerate() {
        if !has_classes && !config.data.is_empty() && architecture.is_plain_linear() {
            continue; // its penalties are told above
        }
        let trials = plan.trials_of(index);
        let n_trials = trials.len();
        let n_decays = distinct(trials, |trial| trial.weight_decay);
        let how = match architecture.optimizer() {
            _ if architecture.recipe.is_some_and(Recipe::is_closed_form) => {
                "given by a formula".to_owned()
            }
            Optimizer::Lbfgs if architecture.is_exact() => {
                format!("solved exactly, {n_decays} penalties")
            }
            Optimizer::Lbfgs => format!("{n_trials} trials by L-BFGS: {n_decays} weight decays"),
            Optimizer::AdamW => {
                let n_rates = distinct(trials, |trial| trial.learning_rate);
                format!(
                    "{n_trials} trials by AdamW: {n_rates} learning rates x {n_decays} weight \
                     decays, {}, batches of {}",
                    config.sweep.epochs_in_words(),
                    config.sweep.batch_size
                )
            }
        };
        let _ = writeln!(text, "  {}: {how}{seeds}", architecture.config_name);
    }
}

/// How many values a number of the trials has.
fn distinct(trials: &[Trial], number: fn(&Trial) -> f64) -> usize {
    trials.iter().map(|trial| number(trial).to_bits()).collect::<BTreeSet<u64>>().len()
}

/// Lines about each data set, and the estimate of the time.
fn outline_text(outline: &SweepOutline) -> String {
    let mut text = String::new();
    for data in &outline.data {
        let _ = write!(text, "{}", data_text(data));
    }
    if outline.data.iter().any(|data| !data.is_complete) {
        let (model, training) = outline.data.iter().fold((0.0, 0.0), |sums, data| {
            (sums.0 + data.model_seconds, sums.1 + data.training_seconds)
        });
        let _ = writeln!(
            text,
            "time: {}, of which {} for the model and {} for training; an estimate from one batch of \
             the model and one matrix product on this machine",
            shown_time(model + training),
            shown_time(model),
            shown_time(training)
        );
    }
    text
}

fn data_text(data: &DataOutline) -> String {
    let name = &data.name;
    if data.is_complete {
        return format!("data: `{name}`, complete already\n");
    }
    let DataOutline { n_train, n_validation, n_test, .. } = data;
    let mut text = format!(
        "data: `{name}`, {n_train} training, {n_validation} validation, {n_test} test examples\n"
    );
    if !data.classes.is_empty() {
        let of_class =
            |class: &ClassCount| format!("`{}` {}", shown(&class.class), class.n_examples);
        let classes = first_of(data.classes.iter().map(of_class), MAX_CLASSES);
        let _ = writeln!(text, "  {} classes: {classes}", data.classes.len());
    }
    let kept = match data.storage {
        Storage::Memory | Storage::Auto => "in memory",
        Storage::Disk => "on disk",
        Storage::Recompute => "recomputed for each batch",
    };
    let n = data.experiments.len();
    let s = if n == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "  {n} experiment{s}, {} tokens; activations {} {kept}, training {} of memory",
        data.n_tokens,
        shown_size(data.activations_bytes),
        shown_size(data.training_bytes)
    );
    text
}
