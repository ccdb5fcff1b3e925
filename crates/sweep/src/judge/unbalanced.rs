//! Probes that are right nearly always and know nearly nothing.

use crate::config::{ClassWeights, DataConfig};
use crate::results::report::ArchitectureReport;
use crate::warning::{Warning, WarningKind};

/// Accuracy above which a probe looks good.
const GOOD: f64 = 0.9;

/// Balanced accuracy below which it knows little, where a coin has 0.5.
const LITTLE: f64 = 0.6;

/// A warning about a probe whose accuracy is high because nearly all test examples are of one class.
pub(crate) fn unbalanced(report: &ArchitectureReport, data: &DataConfig) -> Option<Warning> {
    let test = &report.test;
    if test.accuracy <= GOOD || test.balanced_accuracy >= LITTLE {
        return None;
    }
    let supports = test.confusion.counts().iter().map(|row| row.iter().sum::<usize>());
    let most = supports.max()?;
    let remedy = match (data.task.as_str(), data.class_weights) {
        ("current_token" | "next_token", _) if data.balance == Some(false) => {
            "take `data.balance = false` out"
        }
        (_, Some(ClassWeights::Balanced)) => "give more examples of the rare classes",
        _ => "set `data.class_weights = \"balanced\"`, or give more examples of the rare classes",
    };
    let message = format!(
        "its accuracy on test is {:.3} and its balanced accuracy {:.3}: {:.1} % of the examples are \
         of one class, and always naming that one is right as often; {remedy}",
        test.accuracy,
        test.balanced_accuracy,
        100.0 * most as f64 / test.n_examples as f64
    );
    Some(Warning::of_architecture(WarningKind::Unbalanced, &report.config_name, &message))
}
