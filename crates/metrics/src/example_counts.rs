//! How many examples a result rests on.

use serde::{Deserialize, Serialize};

/// Number of examples of each side of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExampleCounts {
    /// Number of training examples.
    pub n_train: usize,
    /// Number of validation examples, which settings are chosen by.
    pub n_validation: usize,
    /// Number of examples that thresholds and calibrators alone were fitted on. `None` where there
    /// are neither, as of probes of numbers and distributions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_calibration: Option<usize>,
    /// Number of test examples.
    pub n_test: usize,
    /// Texts or examples left out because their activations have NaN or infinity.
    pub n_skipped: usize,
}

impl ExampleCounts {
    /// The three sides that every data set has, as one phrase.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::metrics::ExampleCounts;
    ///
    /// let counts =
    ///     ExampleCounts { n_train: 700, n_validation: 100, n_test: 200, ..Default::default() };
    /// assert_eq!(counts.in_words(), "700 training, 100 validation, 200 test examples");
    /// ```
    pub fn in_words(&self) -> String {
        let Self { n_train, n_validation, n_test, .. } = self;
        format!("{n_train} training, {n_validation} validation, {n_test} test examples")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_without_thresholds_has_no_key_for_their_examples() {
        let counts = ExampleCounts { n_train: 7, n_test: 2, ..ExampleCounts::default() };
        let json = r#"{"n_train":7,"n_validation":0,"n_test":2,"n_skipped":0}"#;
        assert_eq!(serde_json::to_string(&counts).unwrap(), json);
        let none = ExampleCounts { n_calibration: Some(0), ..counts };
        let json = r#"{"n_train":7,"n_validation":0,"n_calibration":0,"n_test":2,"n_skipped":0}"#;
        assert_eq!(serde_json::to_string(&none).unwrap(), json);
        assert_eq!(serde_json::from_str::<ExampleCounts>(json).unwrap(), none);
    }
}
