//! Curves of the trials of an experiment, read back.

use std::collections::HashMap;

use attention_probes_report::TrialHistory;
use attention_probes_sweep::HistoryRecord;

/// What tells a trial of an experiment from the others.
type TrialKey = (String, u64, u64, u64);

/// The key of a trial of learning rate, weight decay, and seed.
pub(super) fn key(config_name: &str, setting: (f64, f64, u64)) -> TrialKey {
    let (learning_rate, weight_decay, seed) = setting;
    (config_name.to_owned(), learning_rate.to_bits(), weight_decay.to_bits(), seed)
}

/// The curves of every trial.
pub(super) fn histories(records: &[HistoryRecord]) -> HashMap<TrialKey, TrialHistory> {
    let mut histories: HashMap<TrialKey, TrialHistory> = HashMap::new();
    for record in records {
        let setting = (record.learning_rate, record.weight_decay, record.seed);
        let history = histories.entry(key(&record.config_name, setting)).or_default();
        history.train_loss.push(record.train_loss.unwrap_or(f64::NAN));
        history.validation_loss.push(record.validation_loss.unwrap_or(f64::NAN));
        history.balanced_accuracy.push(record.validation_balanced_accuracy.unwrap_or(f64::NAN));
    }
    histories
}
