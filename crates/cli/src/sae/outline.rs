//! How long the training of autoencoders takes.

use std::time::Instant;

use anyhow::Result;
use attention_probes_sae::{ContextStream, RunTraining, SaeRun, SaeTask};
use tracing::info;

use crate::outline::shown_time;

/// Says how long a run takes, from a few steps.
pub(super) fn say_time(
    stream: ContextStream<'_>,
    (tasks, layers): (&[SaeTask], &[usize]),
    train: &RunTraining,
    length: (u64, u64),
) -> Result<()> {
    if !layers.is_empty() {
        info!("time: no estimate, as the attention that guides is extracted first");
        return Ok(());
    }
    let n_steps = length.0 as f64;
    let started = Instant::now();
    let mut run = SaeRun::new(stream, tasks.to_vec(), train, length)?;
    // The first step waits for the buffer to be filled.
    run.step()?;
    let filled = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut n_timed = 0.0;
    while n_timed < 3.0 && run.step()?.is_some() {
        n_timed += 1.0;
    }
    let step = started.elapsed().as_secs_f64() / f64::max(n_timed, 1.0);
    let model = filled / train.buffer_batches as f64 * n_steps;
    info!(
        "time: {}, of which {} for the model and {} for training; an estimate from one buffer \
         and a few steps",
        shown_time(model + step * n_steps),
        shown_time(model),
        shown_time(step * n_steps)
    );
    Ok(())
}
