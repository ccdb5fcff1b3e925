//! Bars and messages of long work on autoencoders.

use std::cell::RefCell;
use std::time::Instant;

use attention_probes_cli::progress::Progress;
use attention_probes_errors::shown_size;
use attention_probes_sae::{SaeEvent, SaeNote, SaeRunOutline, StepReport};
use indicatif::{ProgressBar, ProgressStyle};
use tracing::{info, warn};

/// Shows what a library tells on stderr: bars on a terminal, and a line for what stays.
#[derive(Default)]
pub struct Follower {
    bar: RefCell<Progress>,
    training: RefCell<Option<Training>>,
}

/// The bar of a training.
struct Training {
    bar: ProgressBar,
    started: Instant,
    first_step: u64,
}

impl Follower {
    /// Shows an event.
    pub fn show(&self, event: SaeEvent<'_>) {
        match event {
            SaeEvent::AlreadyComplete { folder } => {
                info!("`{}` is complete already", folder.display());
            }
            SaeEvent::Checked { outline } => say_outline(outline),
            SaeEvent::Attention { done, total } => self.advance("attention", done, total),
            SaeEvent::AttentionKept { layers, size_bytes } => {
                self.bar.borrow_mut().clear();
                let mib = size_bytes as f64 / f64::from(1 << 20);
                info!("attention of layers {layers:?} kept in {mib:.1} MiB");
            }
            SaeEvent::Resumed { step } => info!("going on from step {step}"),
            SaeEvent::Step { .. } => self.step(event),
            SaeEvent::ContextsSkipped { n_contexts } => {
                warn!("{n_contexts} contexts left out, an activation is not finite");
            }
            SaeEvent::Read { what, done, total } => {
                self.advance(&format!("reading {what}"), done, total);
            }
            SaeEvent::TextsLeftOut { n_texts, hook } => warn!(
                "{n_texts} texts left out: no token but special ones, or NaN or infinity at `{hook}`"
            ),
            SaeEvent::WordsLeftOut { n_words, hook } => {
                warn!("{n_words} words left out: NaN or infinity at `{hook}`");
            }
            SaeEvent::Arm { number, n_arms, label } => {
                info!("measuring arm {number} of {n_arms}: {label}");
            }
            _ => {}
        }
    }

    fn advance(&self, label: &str, done: usize, total: usize) {
        self.bar.borrow_mut().advance_until_done(label, done, total);
    }

    fn step(&self, event: SaeEvent<'_>) {
        let SaeEvent::Step { progress, tokens_per_step, d_sae } = event else { return };
        let (step, n_steps) = (progress.step, progress.n_steps);
        let mut training = self.training.borrow_mut();
        let Training { bar, started, first_step } =
            training.get_or_insert_with(|| Training::begin(step, n_steps));
        let seconds = started.elapsed().as_secs_f64();
        let rate = (step - *first_step) as f64 * tokens_per_step as f64 / seconds;
        let StepReport { loss, l0, fvu, n_dead, .. } = progress.reports[0];
        let dead = n_dead as f64 / d_sae as f64;
        let message = format!(
            "loss {loss:.3} L0 {l0:.1} FVU {fvu:.3} dead {:.1} % {rate:.0} tokens/s",
            100.0 * dead
        );
        if bar.is_hidden() && step.is_multiple_of((n_steps / 10).max(1)) {
            info!("step {step} of {n_steps}: {message}");
        }
        bar.set_position(step);
        bar.set_message(message);
        if step == n_steps {
            bar.finish_and_clear();
        }
    }
}

impl Training {
    /// Begins with the first step that was taken.
    fn begin(step: u64, n_steps: u64) -> Self {
        let template = "{msg} {wide_bar} {pos}/{len} {eta:>4}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(n_steps).with_style(style);
        Self { bar, started: Instant::now(), first_step: step }
    }
}

/// Tells what a person who uses a published autoencoder should know.
pub fn say<'a>(notes: impl IntoIterator<Item = &'a SaeNote>) {
    for note in notes {
        if note.is_warning() { warn!("{note}") } else { info!("{note}") }
    }
}

fn say_outline(outline: &SaeRunOutline) {
    let SaeRunOutline { n_contexts, context_size, epochs, n_steps, n_saes, memory, .. } = outline;
    info!(
        "{n_contexts} contexts of {context_size} tokens, {epochs:.2} times over in {n_steps} steps; \
         {n_saes} autoencoders"
    );
    info!(
        "memory beside the model: {} for weights, gradients, and moments, {} for the buffer, {} for \
         a batch",
        shown_size(memory.weights_bytes),
        shown_size(memory.buffer_bytes),
        shown_size(memory.batch_bytes)
    );
}
