//! An ablation on a demo model: every text runs once, whatever the number of autoencoders, data
//! sets, and evaluations.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::{Arc, Mutex};

use attention_probes_activations::{DatasetConfig, EarlierRun};
use attention_probes_models::{
    AttentionWeights, ForwardRequest, HookPoint, HookedModel, LanguageModel, ModelError,
    ModelOutput, ModelShape, TokenBatch, open_model,
};
use attention_probes_sae::ablation::{AblationConfig, run_ablation_on};
use attention_probes_sae::eval::{
    EvalRun, EvalSae, LabelledConfig, LabelledEvaluation, LabelledJob, SaeSite, ScrColumns,
    evaluate_labelled, read_labelled,
};
use attention_probes_sae::{
    ContextConfig, Follow, SaeRunOptions, read_contexts, read_sae, run_sae_on,
};
use burn::tensor::{Device, Tensor};

const CONFIG: &str = r#"
run = "small"
seeds = [1, 2]
[model]
name = "demo-gpt2"
[data]
path = "texts.jsonl"
context_size = 32
test_contexts = 20
[train]
tokens = 372
batch_size = 124
buffer_batches = 2
[attention]
held_out_contexts = 6
[sae]
hook = "blocks.1.hook_resid_post"
d_sae = 64
architecture = { name = "topk", k = 6 }
[guidance]
layers = [0]
n_negatives = 8
[[evaluation.labelled]]
name = "animals"
path = "texts.jsonl"
label = "animal"
spurious = "mood"
[[evaluation.labelled]]
name = "moods"
path = "moods.jsonl"
label = "mood"
"#;

/// Autoencoders: one arm without guidance, one layer, and three controls, of two seeds each.
const N_SAES: usize = 10;

/// One pass of the model.
struct Pass {
    /// Tokens of each text, without padding.
    texts: Vec<Vec<u32>>,
    is_changed: bool,
}

/// A model that writes down what it runs.
struct Counting {
    inner: Box<dyn HookedModel>,
    passes: Arc<Mutex<Vec<Pass>>>,
}

impl HookedModel for Counting {
    fn shape(&self) -> &ModelShape {
        self.inner.shape()
    }

    fn has_hook(&self, hook: HookPoint) -> bool {
        self.inner.has_hook(hook)
    }

    fn execute(
        &self,
        batch: &TokenBatch,
        request: &ForwardRequest<'_>,
    ) -> Result<ModelOutput, ModelError> {
        let [_, pos] = batch.dims();
        let rows = batch.ids().chunks(pos).zip(batch.mask().chunks(pos));
        let real = |(ids, mask): (&[u32], &[bool])| {
            ids.iter().zip(mask).filter(|(_, is_real)| **is_real).map(|(id, _)| *id).collect()
        };
        let is_changed = !request.interventions.is_empty();
        self.passes.lock().unwrap().push(Pass { texts: rows.map(real).collect(), is_changed });
        self.inner.execute(batch, request)
    }

    fn value_bias(&self, layer: usize) -> Option<Tensor<2>> {
        self.inner.value_bias(layer)
    }

    fn attention_weights(&self, layer: usize) -> Result<AttentionWeights, ModelError> {
        self.inner.attention_weights(layer)
    }

    fn centres_residuals(&self) -> bool {
        self.inner.centres_residuals()
    }

    fn unembed_direction(&self, token: u32) -> Result<Tensor<1>, ModelError> {
        self.inner.unembed_direction(token)
    }
}

fn counting(device: &Device) -> (LanguageModel, Arc<Mutex<Vec<Pass>>>) {
    let model = open_model("demo-gpt2", None, device).unwrap();
    let passes = Arc::new(Mutex::new(Vec::new()));
    let counting = Counting { inner: model.model, passes: Arc::clone(&passes) };
    (LanguageModel { model: Box::new(counting), ..model }, passes)
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (mut texts, mut moods) = (String::new(), String::new());
    for i in 0..160 {
        let (animal, mood) = (["fox", "cat"][i % 2], ["glad", "sad"][i / 2 % 2]);
        let text = format!("The {mood} {animal} ran home {i} times. \"Come,\" said the {animal}.");
        let row = serde_json::json!({ "text": text, "animal": animal, "mood": mood });
        writeln!(texts, "{row}").unwrap();
        let text = format!("Once there was a {mood} bird of {i} years.");
        writeln!(moods, "{}", serde_json::json!({ "text": text, "mood": mood })).unwrap();
    }
    fs::write(folder.path().join("texts.jsonl"), texts).unwrap();
    fs::write(folder.path().join("moods.jsonl"), moods).unwrap();
    fs::write(folder.path().join("ablation.toml"), CONFIG).unwrap();
    folder
}

#[test]
fn every_text_runs_once_for_all_autoencoders_and_evaluations() {
    let (folder, device) = (folder(), Device::flex());
    let mut config = AblationConfig::read(folder.path().join("ablation.toml")).unwrap();
    config.output = folder.path().join("results");
    let (model, passes) = counting(&device);
    let options = SaeRunOptions::new(&device);
    let plan = config.check().unwrap();
    run_sae_on(&plan, &model, &options).unwrap();
    passes.lock().unwrap().clear();

    let options = SaeRunOptions { earlier: EarlierRun::Resume, ..options };
    let report = run_ablation_on(&config, &model, &options).unwrap();
    assert_eq!(report.arms.len() * report.seeds.len(), N_SAES);
    let measured = std::mem::take(&mut *passes.lock().unwrap());

    // As they are, the test contexts and every labelled text run once.
    let mut times: HashMap<Vec<u32>, usize> = HashMap::new();
    let unchanged = measured.iter().filter(|pass| !pass.is_changed);
    for text in unchanged.flat_map(|pass| &pass.texts) {
        *times.entry(text.clone()).or_default() += 1;
    }
    let size = ContextConfig { context_size: 32, prepend_bos: true };
    let columns = DatasetConfig::default();
    let mut contexts = read_contexts(&[&config.data.path], &columns, size, &model).unwrap();
    let contexts = contexts.split_off(20);
    let tested: Vec<Vec<u32>> = (0..20).map(|i| contexts.ids(i).to_vec()).collect();
    assert!(tested.iter().all(|ids| times[ids] == 1), "test contexts run once");
    let bos = model.tokenizer.beginning();
    for name in ["texts.jsonl", "moods.jsonl"] {
        for line in fs::read_to_string(folder.path().join(name)).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = row["text"].as_str().unwrap();
            let ids = model.tokenizer.encode_without_special(text).unwrap().ids;
            let ids: Vec<u32> = bos.into_iter().chain(ids).take(32).collect();
            assert_eq!(times[&ids], 1, "{text}");
        }
    }
    assert_eq!(times.len(), 20 + 160 + 160, "and nothing else");

    // With a change, only the test contexts run: with zeros, and with each reconstruction.
    let changed: Vec<&Pass> = measured.iter().filter(|pass| pass.is_changed).collect();
    let n_texts: usize = changed.iter().map(|pass| pass.texts.len()).sum();
    assert_eq!(n_texts, 20 * (1 + N_SAES));

    // What was measured is kept, so that nothing runs again.
    let again = run_ablation_on(&config, &model, &options).unwrap();
    assert_eq!(again.to_json().unwrap(), report.to_json().unwrap());
    assert!(passes.lock().unwrap().is_empty());

    // An autoencoder that is evaluated alone has the same figures.
    let seed = report.seeds[1];
    let sae = read_sae(report.folder_of(&report.arms[0], seed)).unwrap();
    let hook = config.sae.hook.parse().unwrap();
    let place =
        SaeSite { model: &model, device: &device, hook, context_size: 32, prepend_bos: true };
    let path = folder.path().join("texts.jsonl");
    let columns = DatasetConfig {
        label: "animal".to_owned(),
        group: Some("mood".to_owned()),
        ..DatasetConfig::default()
    };
    let data = read_labelled(&path, std::slice::from_ref(&path), &columns).unwrap();
    let scr = ScrColumns {
        label: "animal".to_owned(),
        spurious: "mood".to_owned(),
        ..ScrColumns::default()
    };
    let evaluations = [
        (LabelledEvaluation::SparseProbing, "sae_top_1_test_accuracy"),
        (LabelledEvaluation::Tpp, "tpp_threshold_10_total_metric"),
        (LabelledEvaluation::Scr(scr), "scr_metric_threshold_10"),
    ];
    for (evaluation, name) in evaluations {
        let job = LabelledJob {
            subject: EvalSae { sae: &sae, run: EvalRun::default() },
            evaluation,
            config: LabelledConfig { seeds: vec![seed], ..LabelledConfig::default() },
        };
        let found = evaluate_labelled(&place, &data, &[job], &Follow::default()).unwrap();
        let mut metrics = found[0].outputs[0].metrics.iter().flat_map(|(_, metrics)| metrics);
        let alone = metrics.find(|(found, _)| found == name).map(|(_, value)| *value);
        let of_name = format!("animals/{name}");
        let together = report.metrics.iter().find(|metric| metric.name == of_name).unwrap();
        let together = together.by_arm[0][1];
        match alone {
            Some(alone) => assert!((alone - together).abs() < 1e-6, "{name}: {alone} {together}"),
            None => assert!(together.is_nan(), "{name}: {together}"),
        }
    }
}
