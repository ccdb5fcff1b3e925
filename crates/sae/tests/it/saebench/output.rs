//! Files of results: their layout, and whether the package's own classes load them.

use std::env;
use std::path::Path;
use std::process::Command;

use attention_probes_probes::LinearReadout;
use attention_probes_sae::eval::{
    AbsorptionConfig, AbsorptionProbes, ClassifiedWords, CoreBatch, CoreEvaluator, CoreResults,
    EvalOutput, EvalRun, PerturbationConfig, RecoveredSums, Sampling, ScrPair, ScrTexts,
    SelectionConfig, SparseProbingConfig, TrainTest, absorption, feature_weights, scr,
    sparse_probing, tpp, train_selection,
};
use serde_json::{Map, Value, json};

use crate::saebench::golden::{D_IN, Golden, folder};
use crate::skip::skipped;

/// Loads each file with the class of its evaluation.
const SCRIPT: &str = "
import json, sys
from pydantic import TypeAdapter
from sae_bench.evals.absorption.eval_output import AbsorptionEvalOutput
from sae_bench.evals.core.eval_output import CoreEvalOutput
from sae_bench.evals.scr_and_tpp.eval_output import ScrEvalOutput, TppEvalOutput
from sae_bench.evals.sparse_probing.eval_output import SparseProbingEvalOutput
classes = {'core': CoreEvalOutput, 'sparse_probing': SparseProbingEvalOutput, 'scr': ScrEvalOutput,
           'tpp': TppEvalOutput, 'absorption_first_letter': AbsorptionEvalOutput}
for path in sys.argv[1:]:
    value = json.load(open(path))
    loaded = TypeAdapter(classes[value['eval_type_id']]).validate_python(value)
    print(loaded.eval_type_id)
";

/// Refuses a value that is not of a type; `make_layout.py` says how types are written.
fn check(value: &Value, layout: &Value, at: &str) -> Result<(), String> {
    match layout {
        Value::String(types) => {
            let is = |name: &str| match name {
                "any" => true,
                "null" => value.is_null(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "object" => value.is_object(),
                other => panic!("unknown type `{other}`"),
            };
            let is_right = types.split('|').any(is);
            is_right.then_some(()).ok_or_else(|| format!("{at} is {value}, expected {types}"))
        }
        Value::Array(item) => {
            let items = value.as_array().ok_or_else(|| format!("{at} is no list"))?;
            items
                .iter()
                .enumerate()
                .try_for_each(|(i, one)| check(one, &item[0], &format!("{at}[{i}]")))
        }
        Value::Object(fields) => {
            let object = value.as_object().ok_or_else(|| format!("{at} is no object"))?;
            let name = |field: &str| field.trim_end_matches('?').to_owned();
            if let Some(key) = object.keys().find(|key| fields.keys().all(|f| name(f) != **key)) {
                return Err(format!("{at} has `{key}`, which is no field"));
            }
            fields.iter().try_for_each(|(field, layout)| match object.get(&name(field)) {
                Some(value) => check(value, layout, &format!("{at}.{field}")),
                None if field.ends_with('?') => Ok(()),
                None => Err(format!("{at} has no `{field}`")),
            })
        }
        other => panic!("no type: {other}"),
    }
}

fn layouts() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("layout.json")).unwrap()).unwrap()
}

fn run(settings: Value) -> EvalRun {
    let Value::Object(eval_config) = settings else { panic!("settings are an object") };
    EvalRun {
        eval_id: "5a1f".to_owned(),
        datetime_epoch_millis: 1_700_000_000_000,
        sae_id: Some("blocks.0.hook_resid_post".to_owned()),
        sae_release: None,
        eval_config,
    }
}

fn core(golden: &Golden) -> EvalOutput {
    let sae = golden.sae();
    let activations = golden.array("core.acts.0");
    let mut evaluator = CoreEvaluator::new(&sae);
    let batch = CoreBatch { activations: &activations, lengths: &[12; 8], counted: None };
    evaluator.add(batch).unwrap();
    let (metrics, activity) = evaluator.finish().unwrap();
    let mut sums = RecoveredSums::default();
    sums.add_losses([&[3.0], &[3.5], &[5.0]]);
    sums.add_divergences([&[0.5], &[2.0]]);
    let results = CoreResults {
        metrics: &metrics,
        activity: &activity,
        weights: &feature_weights(&sae),
        recovered: &sums.finish().unwrap(),
    };
    EvalOutput::core(run(json!({"model_name": "demo", "context_size": 12})), &sae, results)
}

fn outputs(golden: &Golden) -> Vec<EvalOutput> {
    let sae = golden.sae();
    let (train, test) = (golden.classes("train"), golden.classes("test"));
    let in_order = SparseProbingConfig { sampling: Sampling::InOrder, ..Default::default() };
    let in_few = sparse_probing(&sae, &train, &test, &in_order).unwrap();
    let settings = json!({"k_values": [1, 2, 5], "dataset_names": ["synthetic"]});
    let data = |name: &str| name.to_owned();
    let probing = EvalOutput::sparse_probing(run(settings), &sae, &[(data("synthetic"), in_few)]);

    let config = PerturbationConfig { sampling: Sampling::InOrder, ..Default::default() };
    let names = golden.names("tpp.train.names");
    let probes: Vec<_> =
        names.iter().map(|name| golden.probe(&format!("tpp.probe.{name}"))).collect();
    let found = tpp(&sae, TrainTest { train: &train, test: &test }, &probes, &config).unwrap();
    let settings = json!({"n_values": config.n_values});
    let perturbed = EvalOutput::tpp(run(settings.clone()), &sae, &[(data("synthetic"), found)]);
    let texts = |split: &str| {
        let pair = |i: usize| ScrPair {
            positive: golden.texts(&format!("scr.{split}.{}", 2 * i)),
            negative: golden.texts(&format!("scr.{split}.{}", 2 * i + 1)),
        };
        ScrTexts { first: pair(0), second: pair(1), biased: pair(2) }
    };
    let probes: Vec<_> = (0..3).map(|i| golden.probe(&format!("scr.probe.{i}"))).collect();
    let sides = TrainTest { train: &texts("train"), test: &texts("test") };
    let found = scr(&sae, sides, &probes, &config).unwrap();
    let removed = EvalOutput::scr(run(settings), &sae, &[(data("synthetic"), found)]);

    let x = golden.array("absorption.acts");
    let direction = golden.array("absorption.direction");
    let project = |x: &[f32]| -> f32 { x.iter().zip(&direction).map(|(x, d)| x * d).sum() };
    let labels: Vec<usize> = x.chunks_exact(D_IN).map(|x| usize::from(project(x) < 0.5)).collect();
    let words = ClassifiedWords { activations: &x, labels: &labels };
    let weight: Vec<f64> =
        [1.0, -1.0].iter().flat_map(|s| direction.iter().map(move |d| s * f64::from(*d))).collect();
    let truth = LinearReadout::new(&weight, &[-0.5, 0.5]).unwrap();
    let selection = train_selection(&sae, words, 2, &SelectionConfig::default()).unwrap();
    let probes = AbsorptionProbes { truth: &truth, selection: &selection };
    let config = AbsorptionConfig { min_classes: 2, ..AbsorptionConfig::default() };
    let found = absorption(&sae, TrainTest { train: words, test: words }, probes, &config).unwrap();
    let absorbed = EvalOutput::absorption(run(json!({})), &sae, &found).unwrap();
    vec![core(golden), probing, perturbed, removed, absorbed]
}

#[test]
fn every_file_has_the_layout_of_sae_bench() {
    let layouts = layouts();
    for output in outputs(&Golden::read()) {
        let (name, json) = (output.eval_type_id, output.to_json());
        check(&json, &layouts[name], name).unwrap();
        let text = serde_json::to_string(&json).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json, "{name}");
    }
}

#[test]
fn a_file_that_lacks_a_field_or_has_a_wrong_one_is_noticed() {
    let (layouts, whole) = (layouts(), core(&Golden::read()).to_json());
    let broken = |change: &dyn Fn(&mut Map<String, Value>)| {
        let mut json = whole.clone();
        change(json.as_object_mut().unwrap());
        check(&json, &layouts["core"], "core").unwrap_err()
    };
    let error = broken(&|json| drop(json.remove("eval_id")));
    assert_eq!(error, "core has no `eval_id`");
    let error = broken(&|json| json["eval_result_metrics"]["sparsity"]["l0"] = json!("many"));
    assert_eq!(error, "core.eval_result_metrics.sparsity.l0 is \"many\", expected number");
    let error = broken(&|json| drop(json.insert("more".to_owned(), json!(1))));
    assert_eq!(error, "core has `more`, which is no field");
}

#[test]
fn the_right_explained_variance_is_beside_the_other() {
    let json = core(&Golden::read()).to_json();
    let legacy = &json["eval_result_metrics"]["reconstruction_quality"]["explained_variance"];
    let right = &json["eval_result_unstructured"]["explained_variance_r2"];
    assert!(right.as_f64().unwrap() > legacy.as_f64().unwrap() + 0.1, "{right} {legacy}");
}

#[test]
fn sae_bench_loads_what_is_written_here() {
    let python = env::var("ATTENTION_PROBES_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_it = Command::new(&python).args(["-c", "import sae_bench, pydantic"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        skipped(&format!("`{python}` has no package `sae_bench`"), None);
        return;
    }
    let written = tempfile::tempdir().unwrap();
    let outputs = outputs(&Golden::read());
    let path = |output: &EvalOutput| Path::new(written.path()).join(output.eval_type_id);
    for output in &outputs {
        std::fs::write(path(output), output.to_json().to_string()).unwrap();
    }
    let output =
        Command::new(&python).args(["-c", SCRIPT]).args(outputs.iter().map(path)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let loaded = String::from_utf8(output.stdout).unwrap();
    assert!(loaded.lines().eq(outputs.iter().map(|output| output.eval_type_id)), "{loaded}");
}
