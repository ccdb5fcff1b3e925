//! Results as files of `SAEBench`: one JSON object for each evaluation of an autoencoder.

use serde_json::{Map, Value, json};

use super::absorption::Absorption;
use super::core_metrics::{CoreMetrics, FeatureFrequency};
use super::eval_run::EvalRun;
use super::recovered::Recovered;
use super::scr::Scr;
use super::sparse_probing::SparseProbing;
use super::tpp::Tpp;
use super::weights::FeatureWeights;
use crate::{Sae, SaeActivation};

/// What a missing or undefined number is written as.
const UNDEFINED: f64 = -1.0;

/// Digits behind the point of the figures of each feature, as in `SAEBench`.
const DIGITS: i32 = 10;

/// A group of metrics, such as `sparsity`, with its metrics in order.
pub type MetricCategory = (String, Vec<(String, f64)>);

/// The result of one evaluation, in the layout of `SAEBench` 0.6.0.
#[derive(Clone, Debug, PartialEq)]
pub struct EvalOutput {
    /// Which evaluation: `core`, `sparse_probing`, `absorption_first_letter`, `scr`, or `tpp`.
    pub eval_type_id: &'static str,
    /// The run.
    pub run: EvalRun,
    /// Metrics by category; what is undefined is NaN.
    pub metrics: Vec<MetricCategory>,
    /// Details, such as those of each feature or data set.
    pub details: Vec<Value>,
    /// What `SAEBench` has no place for.
    pub unstructured: Value,
    /// The autoencoder's configuration in the words of `SAELens`.
    pub sae_cfg_dict: Map<String, Value>,
}

/// The parts of a core evaluation.
#[derive(Clone, Copy, Debug)]
pub struct CoreResults<'a> {
    /// Means over tokens.
    pub metrics: &'a CoreMetrics,
    /// How often each feature was active.
    pub activity: &'a FeatureFrequency,
    /// Figures of the weights.
    pub weights: &'a FeatureWeights,
    /// What the model lost.
    pub recovered: &'a Recovered,
}

impl EvalOutput {
    /// The file of a core evaluation.
    ///
    /// The figures that `SAEBench` lacks, [`CoreMetrics::explained_variance_r2`] and
    /// [`CoreMetrics::squared_error`], are in `eval_result_unstructured`.
    pub fn core(run: EvalRun, sae: &Sae, results: CoreResults<'_>) -> Self {
        let CoreResults { metrics: m, activity, weights, recovered: r } = results;
        let [average_max_encoder, average_max_decoder] = weights.average_max_cosines();
        let metrics = vec![
            category(
                "model_behavior_preservation",
                &[
                    ("kl_div_score", r.kl_div_score),
                    ("kl_div_with_ablation", r.kl_div_with_ablation),
                    ("kl_div_with_sae", r.kl_div_with_sae),
                ],
            ),
            category(
                "model_performance_preservation",
                &[
                    ("ce_loss_score", r.ce_loss_score),
                    ("ce_loss_with_ablation", r.ce_loss_with_ablation),
                    ("ce_loss_with_sae", r.ce_loss_with_sae),
                    ("ce_loss_without_sae", r.ce_loss_without_sae),
                ],
            ),
            category(
                "reconstruction_quality",
                &[
                    ("explained_variance", m.explained_variance),
                    ("explained_variance_legacy", m.explained_variance_legacy),
                    ("mse", m.mse),
                    ("cossim", m.cossim),
                ],
            ),
            category(
                "shrinkage",
                &[
                    ("l2_norm_in", m.l2_norm_in),
                    ("l2_norm_out", m.l2_norm_out),
                    ("l2_ratio", m.l2_ratio),
                    ("relative_reconstruction_bias", m.relative_reconstruction_bias),
                ],
            ),
            category("sparsity", &[("l0", m.l0), ("l1", m.l1)]),
            category(
                "token_stats",
                &[
                    ("total_tokens_eval_reconstruction", r.n_tokens as f64),
                    ("total_tokens_eval_sparsity_variance", m.n_tokens as f64),
                ],
            ),
            category(
                "misc_metrics",
                &[
                    ("freq_over_1_percent", m.freq_over_1_percent),
                    ("freq_over_10_percent", m.freq_over_10_percent),
                    ("normalized_freq_over_1_percent", m.normalized_freq_over_1_percent),
                    ("normalized_freq_over_10_percent", m.normalized_freq_over_10_percent),
                    ("average_max_encoder_cosine_sim", average_max_encoder),
                    ("average_max_decoder_cosine_sim", average_max_decoder),
                    ("frac_alive", m.frac_alive),
                ],
            ),
        ];
        let details = (0..activity.feature_density.len())
            .map(|i| {
                json!({
                    "index": i,
                    "feature_density": rounded(activity.feature_density[i]),
                    "consistent_activation_heuristic":
                        rounded(activity.consistent_activation_heuristic[i]),
                    "encoder_bias": rounded(weights.encoder_bias[i].into()),
                    "encoder_norm": rounded(weights.encoder_norm[i].into()),
                    "encoder_decoder_cosine_sim":
                        rounded(weights.encoder_decoder_cosine_sim[i].into()),
                    "max_decoder_cosine_sim": rounded(weights.max_decoder_cosine_sim[i].into()),
                    "max_encoder_cosine_sim": rounded(weights.max_encoder_cosine_sim[i].into()),
                })
            })
            .collect();
        let unstructured = json!({
            "explained_variance_r2": defined(m.explained_variance_r2),
            "squared_error": defined(m.squared_error),
        });
        Self::new("core", run, sae, metrics, details, unstructured)
    }

    /// The file of k-sparse probing in some data sets, each with its name.
    ///
    /// A `llm_test_accuracy` that was not measured is -1, because the layout demands one.
    pub fn sparse_probing(run: EvalRun, sae: &Sae, data: &[(String, SparseProbing)]) -> Self {
        let named: Vec<_> = data.iter().map(|(name, found)| (name, found.means())).collect();
        let with_llm = |mut means: Vec<(String, f64)>| {
            let required = "llm_test_accuracy";
            if !means.iter().any(|(name, _)| name == required) {
                means.insert(0, (required.to_owned(), f64::NAN));
            }
            means
        };
        let llm = mean_over(named.iter().map(|(_, (llm, _))| &llm[..]));
        let sae_means = mean_over(named.iter().map(|(_, (_, sae))| &sae[..]));
        let metrics = vec![("llm".to_owned(), with_llm(llm)), ("sae".to_owned(), sae_means)];
        let details = named
            .iter()
            .map(|(name, (llm, sae))| {
                let all = with_llm(llm.clone()).into_iter().chain(sae.clone());
                detail(name, all)
            })
            .collect();
        Self::new("sparse_probing", run, sae, metrics, details, results_by_name(data))
    }

    /// The file of TPP in some data sets, each with its name.
    pub fn tpp(run: EvalRun, sae: &Sae, data: &[(String, Tpp)]) -> Self {
        let scores = |found: &Tpp| -> Vec<(String, f64)> {
            let scores = found.scores().into_iter();
            scores
                .flat_map(|score| {
                    let key = format!("tpp_threshold_{}", score.n);
                    [
                        (format!("{key}_total_metric"), score.total_metric),
                        (format!("{key}_intended_diff_only"), score.intended_diff_only),
                        (format!("{key}_unintended_diff_only"), score.unintended_diff_only),
                    ]
                })
                .collect()
        };
        let named: Vec<_> = data.iter().map(|(name, found)| (name, scores(found))).collect();
        let means = mean_over(named.iter().map(|(_, scores)| &scores[..]));
        let details = named.iter().map(|(name, scores)| detail(name, scores.clone())).collect();
        let metrics = vec![("tpp_metrics".to_owned(), means)];
        Self::new(
            "tpp",
            run.with("perform_scr", false),
            sae,
            metrics,
            details,
            results_by_name(data),
        )
    }

    /// The file of SCR in some data sets, each with its name.
    ///
    /// A metric that a data set lacks ([`ScrScore::metric`](super::ScrScore::metric)) is the mean
    /// over those that have it.
    pub fn scr(run: EvalRun, sae: &Sae, data: &[(String, Scr)]) -> Self {
        let scores = |found: &Scr| -> Vec<(String, f64)> {
            let scores = found.scores.iter();
            scores
                .flat_map(|score| {
                    let key = |which: &str| format!("scr_{which}_threshold_{}", score.n);
                    [
                        Some((key("dir1"), score.dir1)),
                        score.metric.map(|metric| (key("metric"), metric)),
                        Some((key("dir2"), score.dir2)),
                    ]
                })
                .flatten()
                .collect()
        };
        let named: Vec<_> = data.iter().map(|(name, found)| (name, scores(found))).collect();
        let means = mean_over(named.iter().map(|(_, scores)| &scores[..]));
        let details = named.iter().map(|(name, scores)| detail(name, scores.clone())).collect();
        let metrics = vec![("scr_metrics".to_owned(), means)];
        Self::new(
            "scr",
            run.with("perform_scr", true),
            sae,
            metrics,
            details,
            results_by_name(data),
        )
    }

    /// The file of absorption, if there is a result; classes are written as letters from `a` on.
    pub fn absorption(run: EvalRun, sae: &Sae, found: &Absorption) -> Option<Self> {
        let mean = found.mean?;
        let metrics = vec![category(
            "mean",
            &[
                ("mean_absorption_fraction_score", mean.mean_absorption_fraction_score),
                ("mean_full_absorption_score", mean.mean_full_absorption_score),
                ("mean_num_split_features", mean.mean_num_split_features),
                ("std_dev_absorption_fraction_score", mean.std_dev_absorption_fraction_score),
                ("std_dev_full_absorption_score", mean.std_dev_full_absorption_score),
                ("std_dev_num_split_features", mean.std_dev_num_split_features),
            ],
        )];
        let letter = |class: usize| {
            let letter = u8::try_from(class).ok().filter(|class| *class < 26);
            letter.map_or_else(|| class.to_string(), |class| char::from(b'a' + class).to_string())
        };
        let details = found
            .classes
            .iter()
            .map(|class| {
                json!({
                    "first_letter": letter(class.class),
                    "mean_absorption_fraction": class.mean_absorption_fraction,
                    "full_absorption_rate": class.full_absorption_rate,
                    "num_full_absorption": class.num_full_absorption,
                    "num_probe_true_positives": class.num_probe_true_positives,
                    "num_split_features": class.main_features.len(),
                })
            })
            .collect();
        Some(Self::new("absorption_first_letter", run, sae, metrics, details, json!(found)))
    }

    fn new(
        eval_type_id: &'static str,
        run: EvalRun,
        sae: &Sae,
        metrics: Vec<MetricCategory>,
        details: Vec<Value>,
        unstructured: Value,
    ) -> Self {
        Self { eval_type_id, run, metrics, details, unstructured, sae_cfg_dict: sae_cfg_dict(sae) }
    }

    /// The object that `SAEBench` writes.
    ///
    /// Undefined numbers are -1, as it writes them; where it has the commit of its own repository
    /// stands this library and its version.
    pub fn to_json(&self) -> Value {
        let metrics: Map<String, Value> = self
            .metrics
            .iter()
            .map(|(category, metrics)| {
                let number = |value: f64| match &category[..] {
                    "token_stats" => json!(value as u64),
                    _ => json!(defined(value)),
                };
                let named = metrics.iter().map(|(name, value)| (name.clone(), number(*value)));
                (category.clone(), Value::Object(named.collect()))
            })
            .collect();
        let version = concat!("attention-probes ", env!("CARGO_PKG_VERSION"));
        json!({
            "eval_type_id": self.eval_type_id,
            "eval_config": self.run.eval_config,
            "eval_id": self.run.eval_id,
            "datetime_epoch_millis": self.run.datetime_epoch_millis,
            "eval_result_metrics": metrics,
            "eval_result_details": self.details,
            "sae_bench_commit_hash": version,
            "sae_lens_id": self.run.sae_id,
            "sae_lens_release_id": self.run.sae_release,
            "sae_lens_version": Value::Null,
            "sae_cfg_dict": self.sae_cfg_dict,
            "eval_result_unstructured": self.unstructured,
        })
    }
}

impl EvalRun {
    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.eval_config.insert(key.to_owned(), value.into());
        self
    }
}

fn category(name: &str, metrics: &[(&str, f64)]) -> MetricCategory {
    let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    (name.to_owned(), metrics)
}

fn detail(name: &str, metrics: impl IntoIterator<Item = (String, f64)>) -> Value {
    let mut fields = Map::new();
    fields.insert("dataset_name".to_owned(), name.into());
    fields.extend(metrics.into_iter().map(|(name, value)| (name, json!(defined(value)))));
    Value::Object(fields)
}

/// Mean of each metric over the data sets that have it, in the order in which they first come.
///
/// `SAEBench`'s `average_results_dictionaries`.
fn mean_over<'a>(data: impl Iterator<Item = &'a [(String, f64)]>) -> Vec<(String, f64)> {
    let mut sums: Vec<(&str, f64, f64)> = Vec::new();
    for (name, value) in data.flatten() {
        match sums.iter_mut().find(|(known, _, _)| known == name) {
            Some((_, sum, n)) => (*sum, *n) = (*sum + value, *n + 1.0),
            None => sums.push((name, *value, 1.0)),
        }
    }
    sums.into_iter().map(|(name, sum, n)| (name.to_owned(), sum / n)).collect()
}

fn results_by_name<T: serde::Serialize>(data: &[(String, T)]) -> Value {
    Value::Object(data.iter().map(|(name, found)| (name.clone(), json!(found))).collect())
}

fn defined(value: f64) -> f64 {
    if value.is_finite() { value } else { UNDEFINED }
}

fn rounded(value: f64) -> f64 {
    let scale = 10.0_f64.powi(DIGITS);
    (defined(value) * scale).round() / scale
}

/// The configuration in the words of `SAELens`.
fn sae_cfg_dict(sae: &Sae) -> Map<String, Value> {
    let config = &sae.config;
    let metadata: Map<String, Value> =
        config.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut fields = Map::new();
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    set("architecture", sae.activation.architecture().as_str().into());
    set("d_in", config.d_in.into());
    set("d_sae", config.d_sae.into());
    set("dtype", json!(config.dtype));
    set("apply_b_dec_to_input", config.apply_b_dec_to_input.into());
    set("normalize_activations", json!(config.normalize_activations));
    set("reshape_activations", json!(config.reshape_activations));
    if let SaeActivation::TopK { k, rescale_acts_by_decoder_norm, .. } = sae.activation {
        set("k", k.into());
        set("rescale_acts_by_decoder_norm", rescale_acts_by_decoder_norm.into());
    }
    set("metadata", Value::Object(metadata));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::identity_sae;
    use crate::eval::{ScrAblation, ScrScore};

    #[test]
    fn a_metric_is_the_mean_of_the_data_sets_that_have_it() {
        let found = |metric| Scr {
            clean: [[1.0; 3]; 3],
            ablations: Vec::<ScrAblation>::new(),
            scores: vec![ScrScore { n: 2, dir1: 0.5, dir2: 0.25, metric }],
        };
        let data = [("a".to_owned(), found(Some(0.5))), ("b".to_owned(), found(None))];
        let output = EvalOutput::scr(EvalRun::default(), &identity_sae(2, 0.0), &data).to_json();
        let metrics = &output["eval_result_metrics"]["scr_metrics"];
        assert_eq!(metrics["scr_metric_threshold_2"], 0.5);
        assert_eq!(metrics["scr_dir2_threshold_2"], 0.25);
        assert_eq!(output["eval_result_details"][1].get("scr_metric_threshold_2"), None);
        assert_eq!(output["eval_config"]["perform_scr"], true);
    }

    #[test]
    fn what_is_undefined_is_minus_1() {
        assert_eq!((defined(f64::NAN), rounded(f64::INFINITY)), (-1.0, -1.0));
        assert!((rounded(0.123_456_789_012) - 0.123_456_789).abs() < 1e-12);
        let sae = identity_sae(2, 0.0);
        let data = [("a".to_owned(), SparseProbing { classes: vec![] })];
        let output = EvalOutput::sparse_probing(EvalRun::default(), &sae, &data);
        assert!(output.metrics[0].1[0].1.is_nan());
        assert_eq!(output.to_json()["eval_result_metrics"]["llm"]["llm_test_accuracy"], -1.0);
    }
}
