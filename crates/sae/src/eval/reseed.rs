//! How far a metric varies from seed to seed.

use attention_probes_metrics::SeedSummary;
use serde::Serialize;
use serde_json::json;

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
/// use attention_probes::sae::eval::{EvalOutput, EvalRun, reseed};
/// # use attention_probes::sae::{Sae, SaeActivation, SaeConfig};
/// # let sae = Sae { config: SaeConfig::new(1, 1),
/// #     activation: SaeActivation::Standard { b_enc: vec![0.0] },
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
/// # Ok::<(), attention_probes::sae::SaeError>(())
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
    names
        .into_iter()
        .map(|(category, metric)| {
            let (category, metric) = (category.to_owned(), metric.to_owned());
            let empty = ReseedSummary { category, metric, summary: None };
            let values: Vec<f64> =
                outputs.iter().filter_map(|output| value_of(output, &empty)).collect();
            let summary =
                if values.len() < 2 { None } else { Some(SeedSummary::new(&values, level)?) };
            Ok(ReseedSummary { summary, ..empty })
        })
        .collect()
}

/// One result of the layout of `SAEBench` for several seeds.
///
/// Its metrics are means over the seeds that have them, as `SAEBench` takes means over data sets;
/// its details are those of every seed, and what is unstructured becomes an object with `seeds`, a
/// list of that of each seed, and `reseed`, what [`reseed`] says.
///
/// # Errors
///
/// As [`reseed`].
pub fn over_seeds(outputs: &[EvalOutput], level: f64) -> Result<EvalOutput, SaeError> {
    let summaries = reseed(outputs, level)?;
    let mut pooled = outputs[0].clone();
    pooled.metrics.clear();
    for (category, _) in outputs.iter().flat_map(|output| &output.metrics) {
        if pooled.metrics.iter().any(|(known, _)| known == category) {
            continue;
        }
        let of_category = summaries.iter().filter(|one| one.category == *category);
        let means = of_category.map(|one| {
            let values = outputs.iter().filter_map(|output| value_of(output, one));
            let (n, sum) = values.fold((0.0, 0.0), |(n, sum), value| (n + 1.0, sum + value));
            (one.metric.clone(), sum / n)
        });
        pooled.metrics.push((category.clone(), means.collect()));
    }
    pooled.details = outputs.iter().flat_map(|output| output.details.clone()).collect();
    let seeds: Vec<_> = outputs.iter().map(|output| output.unstructured.clone()).collect();
    pooled.unstructured = json!({ "seeds": seeds, "reseed": summaries });
    Ok(pooled)
}

fn value_of(output: &EvalOutput, named: &ReseedSummary) -> Option<f64> {
    let (_, metrics) = output.metrics.iter().find(|(name, _)| *name == named.category)?;
    let (_, value) = metrics.iter().find(|(name, _)| *name == named.metric)?;
    value.is_finite().then_some(*value)
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
    fn seeds_are_pooled_into_one_result() {
        let mut outputs = [
            output(&[("a", 1.0), ("b", f64::NAN), ("c", f64::NAN)]),
            output(&[("a", 3.0), ("b", 2.0), ("c", f64::NAN)]),
        ];
        for (i, output) in outputs.iter_mut().enumerate() {
            output.details = vec![json!({ "seed": i })];
            output.unstructured = json!(i);
        }
        let pooled = over_seeds(&outputs, 0.95).unwrap();
        let (category, metrics) = &pooled.metrics[0];
        assert_eq!(
            (&category[..], &metrics[0], &metrics[1]),
            ("tpp_metrics", &("a".to_owned(), 2.0), &("b".to_owned(), 2.0))
        );
        assert!(metrics[2].1.is_nan());
        assert_eq!(pooled.details, [json!({ "seed": 0 }), json!({ "seed": 1 })]);
        assert_eq!(pooled.unstructured["seeds"], json!([0, 1]));
        assert_eq!(pooled.unstructured["reseed"][0]["summary"]["mean"], 2.0);
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
