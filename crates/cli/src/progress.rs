//! Progress bars on stderr, and only on a terminal.

use std::sync::{Mutex, PoisonError};

use attention_probes_models::DownloadProgress;
use indicatif::{ProgressBar, ProgressStyle};
use tracing::info;

/// One bar at a time.
#[derive(Debug, Default)]
pub struct Progress {
    bar: Option<(String, ProgressBar)>,
}

impl Progress {
    /// Moves the bar called `label`, which replaces any other.
    pub fn advance(&mut self, label: String, done: usize, total: usize) {
        self.show(label, "{msg:34} {wide_bar} {pos}/{len} {eta:>4}", (done, Some(total)));
    }

    /// Counts passes over all examples, of which nobody knows how many it takes.
    pub fn count(&mut self, label: String, n_passes: usize) {
        self.show(label, "{msg} {pos} passes {elapsed:>4}", (n_passes, None));
    }

    fn show(&mut self, label: String, template: &str, (done, total): (usize, Option<usize>)) {
        if self.bar.as_ref().is_none_or(|(name, _)| *name != label) {
            self.clear();
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            // indicatif draws to stderr, and hides itself where that is no terminal.
            let bar = match total {
                Some(total) => ProgressBar::new(total as u64),
                None => ProgressBar::no_length(),
            };
            let bar = bar.with_style(style).with_message(label.clone());
            self.bar = Some((label, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done as u64);
        }
    }

    /// As [`advance`](Self::advance), and takes the bar away at the end.
    pub fn advance_until_done(&mut self, label: &str, done: usize, total: usize) {
        if done < total { self.advance(label.to_owned(), done, total) } else { self.clear() }
    }

    /// Activations of data are being extracted.
    pub fn extracted(&mut self, data: &str, done: usize, total: usize) {
        self.advance(format!("{data}: activations"), done, total);
    }

    /// Says something without disturbing the bar.
    pub fn note(&self, message: &str) {
        if let Some((_, bar)) = &self.bar {
            bar.suspend(|| info!("{message}"));
        } else {
            info!("{message}");
        }
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Follows downloads with a bar for each file.
#[derive(Debug, Default)]
pub struct DownloadBar {
    bar: Mutex<Option<ProgressBar>>,
}

impl DownloadProgress for DownloadBar {
    fn advance(&self, file: &str, done: u64, total: u64) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| {
            let template = "{msg:34} {wide_bar} {bytes}/{total_bytes} {eta:>4}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style).with_message(file.to_owned())
        });
        bar.set_position(done);
    }

    fn end(&self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}
