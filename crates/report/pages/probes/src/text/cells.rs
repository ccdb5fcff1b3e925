//! What several tables have.

use std::fmt::Write as _;

use attention_probes_errors::first_of;
use attention_probes_sweep::LayersWarning;

/// Most names of classes in a list.
const MAX_NAMES: usize = 12;

/// Names in quotes, the first of them where they are many.
pub(super) fn names(names: &[String]) -> String {
    first_of(names.iter().map(|name| format!("{name:?}")), MAX_NAMES)
}

/// Writes a line for each warning below a table.
pub(super) fn warnings(text: &mut String, warnings: &[LayersWarning]) {
    for warning in warnings {
        let _ = writeln!(text, "  warning: {}", warning.line());
    }
}
