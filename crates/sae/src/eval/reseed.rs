//! How far a metric varies from seed to seed.

use attention_probes_metrics::SeedSummary;
use serde::Serialize;

use super::output::EvalOutput;
use crate::SaeError;

/// A metric over several seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReseedSummary {
    /// Its category, such as `scr_metrics`.
    pub category: String,
    /// Its name.
    pub metric: String,
    /// Mean and interval; none where fewer than two seeds have a finite value.
    pub summary: Option<SeedSummary>,
}

/// Mean and interval of every metric over autoencoders, or probes, that differ in their seed alone.
///
/// A difference between two kinds of autoencoder that is within the interval of one of them is no
/// difference: Chanin, arXiv 2605.18229, finds most of those of SCR and TPP to be of that size.
/// What is undefined for a seed is left out, and [`SeedSummary::n_seeds`] counts the others.
///
/// # Errors
///
/// - [`SaeError::OtherEvaluation`] if the results are not all of one evaluation.
/// - [`SaeError::Metric`] if there are fewer than two, or `level` is not between 0 and 1.
///
/// # Examples
///
/// ```
/// use attention_probes_sae::eval::{EvalOutput, EvalRun, reseed};
/// # use attention_probes_sae::{Activation, Sae, SaeConfig};
/// # let sae = Sae { config: SaeConfig::new(1, 1),
/// #     activation: Activation::Standard { b_enc: vec![0.0] },
/// #     encoder: vec![1.0], decoder: vec![1.0], b_dec: vec![0.0] };
///
/// let mut of_seed = [0.8, 0.9, 1.0].map(|accuracy| {
///     let mut output = EvalOutput::sparse_probing(EvalRun::default(), &sae, &[]);
///     output.metrics = vec![("sae".into(), vec![("sae_top_1_test_accuracy".into(), accuracy)])];
///     output
/// });
/// let summary = reseed(&of_seed, 0.95)?[0].summary.unwrap();
/// assert!((summary.mean - 0.9).abs() < 1e-9);
/// assert!((summary.interval.lower - 0.6516).abs() < 1e-4);
/// # Ok::<(), attention_probes_sae::SaeError>(())
/// ```
pub fn reseed(outputs: &[EvalOutput], level: f64) -> Result<Vec<ReseedSummary>, SaeError> {
    if let Some(first) = outputs.first()
        && let Some(other) = outputs.iter().find(|one| one.eval_type_id != first.eval_type_id)
    {
        let (found, expected) = (other.eval_type_id, first.eval_type_id);
        return Err(SaeError::OtherEvaluation { found, expected });
    }
    // Refuses a wrong level and too few seeds, also where no metric would.
    SeedSummary::new(&vec![0.0; outputs.len()], level)?;
    let mut names: Vec<(&str, &str)> = Vec::new();
    for (category, metrics) in outputs.iter().flat_map(|output| &output.metrics) {
        for (metric, _) in metrics {
            if !names.contains(&(category, metric)) {
                names.push((category, metric));
            }
        }
    }
    let value_of = |output: &EvalOutput, category: &str, metric: &str| {
        let (_, metrics) = output.metrics.iter().find(|(name, _)| name == category)?;
        let (_, value) = metrics.iter().find(|(name, _)| name == metric)?;
        value.is_finite().then_some(*value)
    };
    names
        .into_iter()
        .map(|(category, metric)| {
            let values = outputs.iter().filter_map(|output| value_of(output, category, metric));
            let values: Vec<f64> = values.collect();
            let summary =
                if values.len() < 2 { None } else { Some(SeedSummary::new(&values, level)?) };
            Ok(ReseedSummary { category: category.to_owned(), metric: metric.to_owned(), summary })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::EvalRun;
    use crate::eval::testing::identity_sae;

    fn output(values: &[(&str, f64)]) -> EvalOutput {
        let mut output = EvalOutput::tpp(EvalRun::default(), &identity_sae(1, 0.0), &[]);
        let metrics = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        output.metrics = vec![("tpp_metrics".to_owned(), metrics)];
        output
    }

    #[test]
    fn undefined_values_are_left_out() {
        let outputs = [
            output(&[("a", 1.0), ("b", f64::NAN)]),
            output(&[("a", 3.0), ("b", 2.0)]),
            output(&[("b", 4.0), ("c", 1.0)]),
        ];
        let found = reseed(&outputs, 0.9).unwrap();
        let of: Vec<_> = found
            .iter()
            .map(|one| {
                (&one.metric[..], one.summary.map(|summary| (summary.n_seeds, summary.mean)))
            })
            .collect();
        assert_eq!(of, [("a", Some((2, 2.0))), ("b", Some((2, 3.0))), ("c", None)]);
    }

    #[test]
    fn one_seed_and_two_evaluations_are_refused() {
        assert!(matches!(reseed(&[output(&[])], 0.9), Err(SaeError::Metric(_))));
        assert!(matches!(reseed(&[output(&[]), output(&[])], 1.5), Err(SaeError::Metric(_))));
        let other = EvalOutput { eval_type_id: "scr", ..output(&[]) };
        let error = reseed(&[output(&[]), other], 0.9).unwrap_err().to_string();
        assert_eq!(error, "a result is of the evaluation `scr`, expected `tpp`");
    }
}
