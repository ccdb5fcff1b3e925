//! What a sweep would do, for a person who looks at the plan.

use std::fmt::Write as _;

use attention_probes_activations::Storage;
use attention_probes_errors::{first_of, shown};
use attention_probes_sweep::{ClassCount, DataOutline, SweepOutline};

use crate::extract_report::shown_size;

/// Most classes that are listed.
const MAX_CLASSES: usize = 12;

/// Lines about each data set, and the estimate of the time.
pub(crate) fn outline_text(outline: &SweepOutline) -> String {
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

/// Seconds as a person says them.
pub(crate) fn shown_time(seconds: f64) -> String {
    if seconds < 1.0 {
        "less than a second".to_owned()
    } else if seconds < 90.0 {
        format!("about {seconds:.0} s")
    } else if seconds < 5400.0 {
        format!("about {:.0} min", seconds / 60.0)
    } else {
        format!("about {:.1} h", seconds / 3600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_one_unit() {
        let shown = [0.2, 12.4, 89.0, 600.0, 7200.0].map(shown_time);
        assert_eq!(
            shown,
            ["less than a second", "about 12 s", "about 89 s", "about 10 min", "about 2.0 h"]
        );
    }
}
