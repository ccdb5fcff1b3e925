//! The tables of `docs/` say what the code does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use attention_probes_metrics::{Bootstrap, ClassScores, ClassificationReport};
use attention_probes_models::{
    Activation, ActivationFunction, GemmaConfig, GemmaGeneration, HookPoint, HookSet, HookedModel,
    LayerKind, PaddingSide, Rope, TokenBatch, open_model,
};
use attention_probes_probes::{Linear, ProbeConfig, ProbeMetadata};
use attention_probes_sweep::SweepConfig;
use attention_probes_sweep::config::DataConfig;
use burn::tensor::Device;
use serde_json::{Value, json};

/// Cells of the table rows whose first cell is one name in backticks.
fn rows(markdown: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    markdown.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.split(" | ").map(str::trim).collect();
        let name = cells.first()?.strip_prefix('`')?.strip_suffix('`')?;
        Some((name, cells))
    })
}

/// Leaves of a configuration by key, those of lists of tables without the index.
fn leaves(prefix: &str, value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                leaves(&key, value, found);
            }
        }
        Value::Array(list) if list.first().is_some_and(Value::is_object) => {
            leaves(prefix, &list[0], found);
        }
        leaf => {
            found.insert(prefix.to_owned(), leaf.clone());
        }
    }
}

#[test]
fn every_key_of_a_sweep_is_documented_with_its_default() {
    let config = SweepConfig {
        data: vec![DataConfig {
            feature: Some("none".to_owned()),
            tokenizer: Some("none".into()),
            hook: Some("none".to_owned()),
            group: Some("none".to_owned()),
            offsets: Some("none".to_owned()),
            pad_token_id: Some(0),
            pair: Some(["none".to_owned(), "none".to_owned()]),
            ..DataConfig::default()
        }],
        ..SweepConfig::default()
    };
    let mut expected = BTreeMap::new();
    leaves("", &serde_json::to_value(config).unwrap(), &mut expected);
    // Keys that are not written unless they are needed.
    for (key, value) in [
        ("data.label_separator", json!(";")),
        (
            "sweep.penalties",
            json!((-5..=7).map(|i| format!("1e{i}").parse::<f64>().unwrap()).collect::<Vec<_>>()),
        ),
    ] {
        expected.insert(key.to_owned(), value);
    }
    // Keys without a default, or whose default depends on the kind of probe.
    for key in [
        "architectures.n_heads",
        "architectures.hidden_dim",
        "architectures.optimizer",
        "architectures.learning_rates",
        "architectures.weight_decays",
        "architectures.recipe",
        "architectures.retrain_above",
        "architectures.retrains",
        "architectures.folds",
        "architectures.settings",
        "sweep.keep",
        "sweep.epochs",
        "sweep.learning_rates",
        "sweep.patience",
        "data.balance",
        "data.class_weights",
        "evaluation.calibration",
        "evaluation.confidence",
        "data.label_kind",
        "data.quoting",
        "data.escape",
        "data.pair",
        "data.pad_token_id",
    ] {
        expected.insert(key.to_owned(), Value::from("none"));
    }

    let markdown = include_str!("../../docs/formats.md");
    let section = markdown.split("\n## ").find(|text| text.starts_with("Configuration of a sweep"));
    let found: BTreeMap<String, Value> = rows(section.unwrap())
        .map(|(key, cells)| {
            assert_eq!(cells.len(), 4, "{cells:?}");
            let default = match cells[2] {
                "none" => Value::from("none"),
                cell => serde_json::from_str(cell.trim_matches('`')).unwrap(),
            };
            (key.to_owned(), default)
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_key_of_the_metadata_is_documented() {
    let metadata = ProbeMetadata::new(
        ProbeConfig::new(Linear::default(), 2, 2),
        vec!["no".to_owned(), "yes".to_owned()],
    );
    let markdown = include_str!("../../docs/formats.md");
    let section = markdown.split("\n## ").find(|text| text.starts_with("A saved probe")).unwrap();
    for key in serde_json::to_value(metadata).unwrap().as_object().unwrap().keys() {
        let is_first_cell = |line: &str| {
            line.starts_with("| `")
                && line.split(" | ").next().unwrap().contains(&format!("`{key}`"))
        };
        assert!(section.lines().any(is_first_cell), "`{key}` is not documented");
    }
}

#[test]
fn every_metric_of_a_report_is_documented() {
    let scores = ClassScores::from_logits(&[-2.2, 1.4], 2).unwrap();
    let report = ClassificationReport::new(&[0, 1], &scores, &Bootstrap::default()).unwrap();
    let markdown = include_str!("../../docs/metrics.md");
    for key in serde_json::to_value(report).unwrap().as_object().unwrap().keys() {
        let is_count = ["n_examples", "n_classes"].contains(&key.as_str());
        let is_row = |line: &str| line.starts_with("| `") && line.contains(&format!("`{key}`"));
        assert!(is_count || markdown.lines().any(is_row), "`{key}` is not documented");
    }
}

#[test]
fn every_hook_is_documented_with_its_shape() {
    let device = Device::default();
    let gpt2 = open_model("demo-gpt2", None, &device).unwrap().model;
    let rope = Rope { theta: 1e4, factor: 1.0 };
    let gemma = GemmaConfig {
        generation: GemmaGeneration::Three,
        n_heads: 4,
        n_key_value_heads: 2,
        d_head: 6,
        d_model: 20,
        d_mlp: 28,
        d_vocab: 9,
        n_ctx: 8,
        activation: ActivationFunction::default(),
        rms_norm_epsilon: 1e-6,
        query_pre_attn_scalar: 6.0,
        attn_softcap: None,
        logit_softcap: None,
        sliding_window: 2,
        layers: vec![LayerKind::Sliding],
        rope_full: rope,
        rope_sliding: rope,
        tie_word_embeddings: true,
    };
    let gemma = gemma.init(&device);
    let mut met = BTreeSet::new();
    for model in [&*gpt2, &gemma] {
        met.extend(check_documented_hooks(model, &device));
    }
    assert_eq!(met.len(), HookPoint::all(1).len());
}

/// Compares the shapes of a model's hooks in block 0 and outside with the page; returns the hooks.
fn check_documented_hooks(model: &dyn HookedModel, device: &Device) -> BTreeSet<HookPoint> {
    let shape = model.shape();
    let batch = TokenBatch::new(&[[5_u32, 6, 7]], PaddingSide::Right, device).unwrap();
    let hooks: BTreeSet<HookPoint> =
        model.hooks().into_iter().filter(|hook| hook.layer().is_none_or(|l| l == 0)).collect();
    let cache = model.run_with_cache(&batch, &HookSet::new(hooks.iter().copied())).unwrap();

    let markdown = include_str!("../../docs/hooks.md");
    let documented: BTreeMap<String, &str> = rows(markdown)
        .filter(|(name, _)| name.contains("hook_"))
        .map(|(name, cells)| (name.replace("{l}", "0"), cells[1]))
        .collect();
    assert_eq!(documented.len(), HookPoint::all(1).len());
    for &hook in &hooks {
        let axes = documented[&hook.to_string()].trim_matches(['`', '[', ']']);
        let size = |axis: &str| match axis {
            "batch" | "1" => 1,
            "pos" | "query_pos" | "key_pos" => 3,
            "n_heads" => shape.n_heads,
            "n_key_value_heads" => shape.n_key_value_heads,
            "d_head" => shape.d_head,
            "d_model" => shape.d_model,
            "d_mlp" => shape.d_mlp,
            other => panic!("axis `{other}` of `{hook}` is not known"),
        };
        let expected: Vec<usize> = axes.split(", ").map(size).collect();
        let found = cache.get(hook).map(Activation::dims).unwrap();
        assert_eq!(found, expected, "{hook}");
    }
    hooks
}

/// Lines of the examples in a file's docs: those between fences of a block that is Rust.
fn examples_of(source: &str) -> Vec<&str> {
    let (mut found, mut fence) = (Vec::new(), None);
    for line in source.lines() {
        let line = line.trim_start();
        let Some(doc) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
            fence = None;
            continue;
        };
        match (fence, doc.trim().strip_prefix("```")) {
            (None, Some(language)) => fence = Some(matches!(language, "" | "no_run")),
            (Some(_), Some(_)) => fence = None,
            (Some(true), None) => found.push(doc),
            _ => {}
        }
    }
    found
}

#[test]
fn examples_in_docs_are_what_a_user_of_the_facade_writes() {
    let (mut n_examples, mut others) = (0, Vec::new());
    // The commands are no part of the facade.
    let mut folders: Vec<PathBuf> = crate::sources()
        .into_iter()
        .filter(|(name, _)| !name.starts_with("cli"))
        .map(|(_, src)| src)
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for line in examples_of(&source) {
                n_examples += usize::from(line.contains("attention_probes::"));
                if line.contains("attention_probes_") {
                    others.push(format!("{}: {line}", path.display()));
                }
            }
        }
    }
    assert!(n_examples > 300, "{n_examples}");
    assert!(others.is_empty(), "not through the facade:\n{}", others.join("\n"));
}
