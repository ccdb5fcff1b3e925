//! Runs that attention guides, on a demo model.

use attention_probes_activations::Watch;
use attention_probes_models::{LanguageModel, open_model};
use attention_probes_sae::{
    AttentionLayers, ContextRows, ContextStream, Contexts, GuidanceRecord, KeepAttention,
    ModelContexts, PoolHeads, RunGuidance, Sae, SaeRun, SaeRunConfig, SaeTask, StepReport,
    context_rows,
};
use burn::tensor::Device;

const CONFIG: &str = r#"
run = "guided"
[model]
name = "demo-gpt2"
[data]
path = "texts.jsonl"
context_size = 32
[train]
tokens = 7_440
batch_size = 124
contexts_per_forward = 8
buffer_batches = 4
learning_rate = 3e-3
warm_up_steps = 5
[[saes]]
name = "plain"
hook = "blocks.1.hook_resid_post"
d_sae = 256
architecture = { name = "topk", k = 8 }
[[saes]]
name = "guided"
hook = "blocks.1.hook_resid_post"
d_sae = 256
architecture = { name = "topk", k = 8 }
guidance = { alpha = 1.0, beta = 0.2, gamma = 0.2, n_negatives = 16 }
[[saes]]
name = "batch"
hook = "blocks.1.hook_resid_post"
d_sae = 256
architecture = { name = "batchtopk", k = 8.0 }
guidance = { layers = [0], attention = "uniform", layer_weights = "uniform" }
"#;

fn contexts(model: &LanguageModel) -> Contexts {
    let animals = ["fox", "cat", "dog", "bird", "horse"];
    let texts: Vec<Vec<u32>> = (0..120)
        .map(|i| {
            let (a, b) = (animals[i % 5], animals[(i / 5 + 1) % 5]);
            let text = format!("The {a} ran to the {b}. \"Come with me,\" said the {a} {i} times.");
            model.tokenizer.encode(&text).unwrap().ids
        })
        .collect();
    Contexts::pack(texts.iter().map(Vec::as_slice), 32, Some(0), None)
}

struct Setting {
    model: LanguageModel,
    device: Device,
    contexts: Contexts,
    held_out: Contexts,
    attention: AttentionLayers,
}

impl Setting {
    fn read(&self, contexts_per_forward: usize) -> ModelContexts<'_> {
        ModelContexts {
            model: &*self.model.model,
            device: &self.device,
            contexts: &self.contexts,
            contexts_per_forward,
        }
    }
}

fn setting() -> Setting {
    let device = Device::flex();
    let model = open_model("demo-gpt2", None, &device).unwrap();
    let mut contexts = contexts(&model);
    let settings = (KeepAttention::default(), PoolHeads::Mean);
    let watch = Watch::default();
    let layers = SaeRun::layers(&tasks()).unwrap();
    assert_eq!(layers, [0, 1, 2]);
    let read = ModelContexts {
        model: &*model.model,
        device: &device,
        contexts: &contexts,
        contexts_per_forward: 16,
    };
    let attention = AttentionLayers::extract(read, &layers, settings, watch).unwrap();
    let held_out = contexts.split_off(8);
    Setting { model, device, contexts, held_out, attention }
}

fn config() -> SaeRunConfig {
    toml::from_str(CONFIG).unwrap()
}

fn tasks() -> Vec<SaeTask> {
    config().tasks().unwrap()
}

fn run(setting: &Setting, tasks: Vec<SaeTask>) -> SaeRun<'_> {
    let config = config();
    let hooks = SaeRun::hooks(&tasks);
    let read = setting.read(config.train.contexts_per_forward);
    let stream = ContextStream::new(read, hooks, config.seed).unwrap();
    let guidance =
        RunGuidance { attention: setting.attention.clone(), held_out: setting.held_out.clone() };
    let length = (config.n_steps(), config.seed);
    let run = SaeRun::new(stream, tasks, &config.train, length).unwrap();
    run.with_guidance(&config.train, guidance).unwrap()
}

#[test]
fn guidance_draws_together_what_attends_and_leaves_the_others_alone() {
    let setting = setting();
    let mut guided = run(&setting, tasks());
    assert_eq!(guided.tokens_per_step(), 4 * 31);
    let mut reports: Vec<Vec<StepReport>> = Vec::new();
    while let Some(progress) = guided.step().unwrap() {
        reports.push(progress.reports);
    }
    assert_eq!(reports.len(), 60);
    let records: Vec<Option<GuidanceRecord>> = guided.guidance();
    assert!(records[0].is_none());
    let record = records[1].as_ref().unwrap();
    assert_eq!(record.layers, [0, 1, 2]);
    assert_eq!(record.history.steps, [0, 10, 20, 30, 40, 50]);
    assert_eq!(record.history.weights[0].len(), 3);
    assert!(record.history.weights.iter().all(|w| (w.iter().sum::<f64>() - 1.0).abs() < 1e-9));
    assert_ne!(record.weights, [1.0 / 3.0; 3], "they are learned");
    let control = records[2].as_ref().unwrap();
    assert!(control.weights.is_empty(), "a control has no layers");

    // The same weights, with guidance that only looks: what attends is less alike.
    let mut only_looks = tasks();
    only_looks.truncate(2);
    if let Some(guidance) = &mut only_looks[1].guidance {
        (guidance.alpha, guidance.beta, guidance.gamma) = (0.0, 0.0, 0.0);
    }
    let mut looking = run(&setting, only_looks);
    while looking.step().unwrap().is_some() {}
    let seen = looking.guidance()[1].clone().unwrap();
    let mean = |record: &GuidanceRecord| record.losses.cosines.iter().sum::<f64>() / 3.0;
    assert!(mean(record) > mean(&seen) + 0.05, "{} {}", mean(record), mean(&seen));
    assert!(record.losses.guide < seen.losses.guide);
    assert_eq!(looking.saes()[0], guided.saes()[0], "an autoencoder without guidance is as it was");
    assert_eq!(looking.saes()[1], looking.saes()[0], "nor is one whose guidance weighs nothing");
    let last = reports.last().unwrap();
    assert!(last[1].guidance > 0.0 && last[0].guidance == 0.0);
    assert!((last[1].l0 - last[0].l0).abs() < 0.1, "as many features are active");
}

#[test]
fn an_encoder_that_reads_the_context_knows_more() {
    let setting = setting();
    let mut both = tasks();
    both.truncate(2);
    if let Some(guidance) = &mut both[1].guidance {
        (guidance.alpha, guidance.beta, guidance.gamma) = (0.0, 0.0, 0.0);
        guidance.context_encoder = true;
    }
    let mut run = run(&setting, both);
    let mut last = Vec::new();
    while let Some(progress) = run.step().unwrap() {
        last = progress.reports;
    }
    assert!(last[1].fvu < last[0].fvu, "{} {}", last[1].fvu, last[0].fvu);
    let (saes, records) = (run.saes(), run.guidance());
    let d_in = saes[0].config.d_in;
    assert_eq!(saes[1].config.d_in, 4 * d_in);
    saes[1].check().unwrap();
    let record = records[1].as_ref().unwrap();

    // On rows as they come, what was saved does as well as in training.
    let hooks = SaeRun::hooks(run.tasks());
    let mut stream = ContextStream::new(setting.read(8), hooks, 5).unwrap();
    let (chosen, rows) = stream.contexts(20).unwrap();
    let positions = stream.positions();
    let plain = ContextRows { x: &rows[0], d_in, contexts: &chosen, positions };
    let wide = context_rows(plain, record, &setting.attention).unwrap();
    let left = |sae: &Sae, x: &[f32]| -> f32 {
        let decoded = sae.decode(&sae.encode(x).unwrap());
        let width = sae.config.d_in;
        let rows = x.chunks_exact(width).zip(decoded.chunks_exact(width));
        rows.flat_map(|(x, decoded)| x[..d_in].iter().zip(decoded))
            .map(|(a, b)| (a - b).powi(2))
            .sum()
    };
    let (plain, context) = (left(&saes[0], &rows[0]), left(&saes[1], &wide));
    let expected = (last[1].fvu / last[0].fvu) as f32;
    assert!((context / plain / expected - 1.0).abs() < 0.2, "{} {expected}", context / plain);
}

#[test]
fn a_guided_run_that_was_stopped_ends_with_the_same_bits() {
    let setting = setting();
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint.safetensors");
    let mut whole = run(&setting, tasks());
    while let Some(progress) = whole.step().unwrap() {
        if progress.step == 25 {
            whole.save(&checkpoint, "these settings").unwrap();
        }
    }
    let mut resumed = run(&setting, tasks());
    resumed.load(&checkpoint, "these settings").unwrap();
    while resumed.step().unwrap().is_some() {}
    assert_eq!(resumed.saes(), whole.saes());
    let (found, expected) = (resumed.guidance(), whole.guidance());
    assert_eq!(found, expected);
}

#[test]
fn a_run_that_cannot_be_guided_is_refused() {
    let setting = setting();
    let config = config();
    let refused = |tasks: Vec<SaeTask>, batch_size: usize, held_out: Contexts| {
        let hooks = SaeRun::hooks(&tasks);
        let stream = ContextStream::new(setting.read(8), hooks, 1).unwrap();
        let mut train = config.train.clone();
        train.batch_size = batch_size;
        let guidance = RunGuidance { attention: setting.attention.clone(), held_out };
        let run = SaeRun::new(stream, tasks, &train, (10, 1)).unwrap();
        let run = run.with_guidance(&train, guidance);
        run.err().unwrap().to_string()
    };
    let held_out = setting.held_out.clone();
    assert!(refused(tasks(), 50, held_out.clone()).contains("`train.batch_size` is 50"));
    let fewer = held_out.clone().split_off(3);
    assert!(refused(tasks(), 124, fewer).contains("whose attention was extracted"));
    let none = held_out.clone().split_off(0);
    assert!(refused(tasks(), 124, none).contains("fewer tokens than one context"));
    let mut later = tasks();
    if let Some(guidance) = &mut later[1].guidance {
        guidance.layers = vec![2];
    }
    assert!(refused(later, 124, held_out).contains("`guidance.layers` is 3"));
}
