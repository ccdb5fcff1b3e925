//! Numbers that lie closer to each other than what a probe says can tell.

use attention_probes_activations::{LabelValues, Labels};

use crate::warning::{Warning, WarningKind};

/// Steps of `f32` that the numbers must spread over: with fewer, rounding alone takes more than a
/// thousandth off R².
const STEPS: f64 = 10.0;

/// A warning about numbers to predict that differ by less than outputs in `f32` can hold next to
/// their mean.
pub(crate) fn coarse_numbers(labels: &Labels) -> Option<Warning> {
    let LabelValues::Number(numbers) = &labels.values else { return None };
    let n = numbers.len() as f64;
    let mean = numbers.iter().map(|number| number / n).sum::<f64>();
    let variance = numbers.iter().map(|number| (number - mean).powi(2) / n).sum::<f64>();
    let deviation = variance.sqrt();
    let step = mean.abs() * f64::from(f32::EPSILON);
    if deviation >= STEPS * step {
        return None;
    }
    let message = format!(
        "the numbers have mean {mean:.2e} and standard deviation {deviation:.2e}, and a probe's \
         outputs around that mean are {step:.2e} apart; subtract the mean from the numbers"
    );
    Some(Warning::of_data(WarningKind::CoarseNumbers, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_closer_than_outputs_can_tell_are_named() {
        let around = |mean: f64, spread: f64| {
            let numbers = (0..40).map(|i| mean + spread * f64::from(i % 5)).collect();
            coarse_numbers(&Labels::of_numbers(numbers, "age")).map(|found| found.message)
        };
        let expected = "the numbers have mean 1.00e9 and standard deviation 1.41e1, and a probe's \
                        outputs around that mean are 1.19e2 apart; subtract the mean from the numbers";
        assert_eq!(around(1e9, 10.0).as_deref(), Some(expected));
        assert!(around(1e9, 1e4).is_none() && around(0.0, 1e-9).is_none());
        assert!(around(1e15, 0.1).is_some() && around(-2e6, 0.1).is_some());
        // R² of the numbers themselves, rounded to `f32`, is what the warning is about.
        let r_squared = |mean: f64, spread: f64| {
            let numbers: Vec<f64> =
                (0..40).map(|i| mean + spread * f64::from(i * 7 % 40)).collect();
            let rounded: Vec<f64> = numbers.iter().map(|it| f64::from(*it as f32)).collect();
            attention_probes_metrics::r_squared(&numbers, &rounded).unwrap()
        };
        assert!(r_squared(1e9, 1e2) > 0.99 && r_squared(1e9, 1.0) < 0.9);
    }

    #[test]
    fn other_labels_have_no_such_warning() {
        assert!(coarse_numbers(&Labels::numbered(vec![0, 1, 1], 2)).is_none());
    }
}
