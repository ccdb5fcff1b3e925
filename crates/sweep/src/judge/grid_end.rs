//! The best value of a list of settings, where it lies at the list's end.

use crate::warning::{Warning, WarningKind};

/// How much worse the neighbour of the best value must be, if that lies at the end of its list.
const WORSE: f64 = 0.005;

/// The best value of a list, where it lies at the list's end and its neighbour is clearly worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    best: f64,
    is_lowest: bool,
    neighbour: f64,
    pub(crate) worse_by: f64,
}

impl End {
    /// Looks at values and their scores, the higher the better, in any order.
    pub(crate) fn of(scores: &[(f64, f64)], best: f64) -> Option<Self> {
        let mut scores = scores.to_vec();
        scores.sort_by(|a, b| a.0.total_cmp(&b.0));
        let place = scores.iter().position(|(value, _)| value.to_bits() == best.to_bits())?;
        let is_lowest = place == 0;
        let neighbour = if is_lowest {
            scores.get(1)?
        } else if place + 1 == scores.len() {
            &scores[place - 1]
        } else {
            return None;
        };
        let worse_by = scores[place].1 - neighbour.1;
        // A neighbour without a number is worse by any measure.
        let is_level = worse_by <= WORSE;
        (!is_level).then_some(Self { best, is_lowest, neighbour: neighbour.0, worse_by })
    }

    /// The warning about a probe, of which `what` was chosen from a list that `remedy` extends.
    pub(crate) fn warning(&self, config_name: &str, (what, list): (&str, &str)) -> Warning {
        let (end, more) = if self.is_lowest { ("lowest", "lower") } else { ("highest", "higher") };
        let worse = if self.worse_by.is_finite() {
            format!("is worse by {:.3}", self.worse_by)
        } else {
            "diverged".to_owned()
        };
        let message = format!(
            "the best {what}, {}, is the {end} that was tried, and its neighbour, {}, {worse} on \
             validation; add {more} ones to {list}",
            short(self.best),
            short(self.neighbour)
        );
        Warning::of_architecture(WarningKind::EndOfList, config_name, &message)
    }
}

/// A number with at most three digits: `5e-3`, `1.58e-2`.
pub(crate) fn short(value: f64) -> String {
    let text = format!("{value:.2e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// Different values, and the best score of each; NaN if it has none.
pub(crate) fn best_of_each(scores: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let mut best: Vec<(f64, f64)> = Vec::new();
    for (value, score) in scores {
        match best.iter_mut().find(|known| known.0.to_bits() == value.to_bits()) {
            // The maximum of NaN and a number is the number.
            Some(known) => known.1 = known.1.max(score),
            None => best.push((value, score)),
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_counts_where_its_neighbour_is_clearly_worse() {
        let scores = [(1.0, 0.7), (10.0, 0.72), (0.1, 0.5)];
        let end = End::of(&scores, 10.0).unwrap();
        let message = end.warning("mlp", ("learning rate", "`sweep.learning_rates`")).message;
        assert_eq!(
            message,
            "`mlp`: the best learning rate, 1e1, is the highest that was tried, and its neighbour, 1e0, is \
             worse by 0.020 on validation; add higher ones to `sweep.learning_rates`"
        );
        assert_eq!(End::of(&scores, 1.0), None);
        assert!(End::of(&[(1.0, 0.7), (2.0, 0.6)], 1.0).unwrap().is_lowest);
        // A flat end, and a list of one, are no ends.
        assert_eq!(End::of(&[(1.0, 0.7), (2.0, 0.704)], 2.0), None);
        assert_eq!(End::of(&[(1.0, 0.7)], 1.0), None);
        let diverged = End::of(&[(1.0, 0.7), (2.0, f64::NAN)], 1.0).unwrap();
        assert!(diverged.warning("a", ("penalty", "it")).message.contains("2e0, diverged on"));
    }

    #[test]
    fn numbers_have_the_digits_that_they_need() {
        assert_eq!([5e-3, 0.0158, 1.0].map(short), ["5e-3", "1.58e-2", "1e0"]);
    }

    #[test]
    fn of_equal_values_the_best_score_counts() {
        let scores = [(1.0, 0.7), (2.0, f64::NAN), (1.0, 0.8), (2.0, 0.6), (3.0, f64::NAN)];
        let best = best_of_each(scores.into_iter());
        assert_eq!(best[..2], [(1.0, 0.8), (2.0, 0.6)]);
        assert!(best[2].1.is_nan());
    }
}
