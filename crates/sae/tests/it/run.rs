//! Runs on a demo model: several autoencoders from one stream, stopped and gone on with.

use std::sync::atomic::{AtomicUsize, Ordering};

use attention_probes_activations::EarlierRun;
use attention_probes_errors::Stop;
use attention_probes_models::{LanguageModel, open_model};
use attention_probes_sae::{
    ContextStream, Contexts, Follow, ModelContexts, Reshape, RunError, RunTraining, Sae, SaeError,
    SaeEvent, SaeRun, SaeRunConfig, SaeRunOptions, SaeTask, check_sae_run, read_history, read_sae,
    run_sae,
};
use burn::tensor::Device;

const CONFIG: &str = r#"
run = "small"
[model]
name = "demo-gpt2"
[data]
path = "texts.jsonl"
context_size = 32
[train]
tokens = 3_200
batch_size = 200
buffer_batches = 3
contexts_per_forward = 7
learning_rate = 3e-3
warm_up_steps = 2
[[saes]]
name = "z"
hook = "blocks.1.attn.hook_z"
d_sae = 256
architecture = { name = "topk", k = 8 }
seeds = [1, 2]
[[saes]]
name = "resid"
hook = "blocks.2.hook_resid_post"
d_sae = 320
architecture = { name = "batchtopk", k = 8.0 }
"#;

fn config() -> SaeRunConfig {
    toml::from_str(CONFIG).unwrap()
}

fn contexts(model: &LanguageModel) -> Contexts {
    let animals = ["fox", "cat", "dog", "bird", "horse"];
    let texts: Vec<Vec<u32>> = (0..60)
        .map(|i| {
            let (a, b) = (animals[i % 5], animals[(i / 5 + 1) % 5]);
            let text = format!("The {a} ran to the {b}. \"Come with me,\" said the {a} {i} times.");
            model.tokenizer.encode(&text).unwrap().ids
        })
        .collect();
    Contexts::pack(texts.iter().map(Vec::as_slice), 32, Some(0), None)
}

fn run<'a>(
    model: &'a LanguageModel,
    device: &'a Device,
    contexts: &'a Contexts,
    train: &RunTraining,
) -> SaeRun<'a> {
    let config = config();
    let tasks: Vec<SaeTask> = config.tasks().unwrap();
    let hooks = SaeRun::hooks(&tasks);
    let contexts_per_forward = train.contexts_per_forward;
    let model = &*model.model;
    let read = ModelContexts { model, device, contexts, contexts_per_forward };
    let stream = ContextStream::new(read, hooks, config.seed).unwrap();
    SaeRun::new(stream, tasks, train, (config.n_steps(), config.seed)).unwrap()
}

#[test]
fn a_run_that_was_stopped_ends_with_the_same_bits() {
    let device = Device::flex();
    let model = open_model("demo-gpt2", None, &device).unwrap();
    let (contexts, train) = (contexts(&model), config().train);
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("checkpoint.safetensors");

    let mut whole = run(&model, &device, &contexts, &train);
    let mut losses = Vec::new();
    while let Some(progress) = whole.step().unwrap() {
        assert_eq!(progress.n_steps, 16);
        losses.push(progress.reports[0].mse);
        if progress.step == 5 {
            whole.save(&checkpoint, "these settings").unwrap();
        }
    }
    assert_eq!(losses.len(), 16);
    assert!(losses[15] < 0.8 * losses[0], "{losses:?}");

    let mut resumed = run(&model, &device, &contexts, &train);
    resumed.load(&checkpoint, "these settings").unwrap();
    assert_eq!(resumed.trainers()[0].n_steps(), 5);
    while resumed.step().unwrap().is_some() {}
    assert_eq!(resumed.saes(), whole.saes());
    assert_eq!(resumed.position(), whole.position());

    let error = resumed.load(&checkpoint, "other settings").unwrap_err().to_string();
    assert!(
        error.contains("made with other settings") && error.contains("to start over"),
        "{error}"
    );
    let mut bytes = std::fs::read(&checkpoint).unwrap();
    bytes.truncate(bytes.len() - 9);
    std::fs::write(&checkpoint, bytes).unwrap();
    assert!(resumed.load(&checkpoint, "these settings").is_err());
}

#[test]
fn autoencoders_read_activations_as_they_come() {
    let device = Device::flex();
    let model = open_model("demo-gpt2", None, &device).unwrap();
    let contexts = contexts(&model);
    let train = RunTraining { normalize: true, ..config().train };
    let mut run = run(&model, &device, &contexts, &train);
    let last = std::iter::from_fn(|| run.step().unwrap()).last().unwrap();
    let saes: Vec<Sae> = run.saes();
    let names: Vec<&str> = run.tasks().iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["z-seed1", "z-seed2", "resid"]);
    assert_eq!(saes[0].config.reshape_activations, Reshape::HookZ);
    assert_eq!(saes[2].config.metadata.hook_name(), Some("blocks.2.hook_resid_post"));

    // The share of the variance that is left is about that of the last batch, unscaled.
    let hooks = SaeRun::hooks(run.tasks());
    let read = ModelContexts {
        model: &*model.model,
        device: &device,
        contexts: &contexts,
        contexts_per_forward: 8,
    };
    let mut stream = ContextStream::new(read, hooks, 0).unwrap();
    let rows = stream.rows(600).unwrap();
    for (i, (sae, place)) in saes.iter().zip([0, 0, 1]).enumerate() {
        sae.check().unwrap();
        let x = &rows[place];
        let encoded = sae.encode(x).unwrap();
        let decoded = sae.decode(&encoded);
        let width = sae.config.d_in;
        let n = x.len() / width;
        let mean: Vec<f32> = (0..width)
            .map(|column| x.iter().skip(column).step_by(width).sum::<f32>() / n as f32)
            .collect();
        let left: f32 = x.iter().zip(&decoded).map(|(a, b)| (a - b).powi(2)).sum();
        let all: f32 = x
            .chunks_exact(width)
            .flat_map(|row| row.iter().zip(&mean))
            .map(|(a, m)| (a - m).powi(2))
            .sum();
        let (found, expected) = (f64::from(left / all), last.reports[i].fvu);
        let l0 = encoded.codes.n_active() as f64 / n as f64;
        if i == 2 {
            // The running mean of thresholds is far behind after so few steps.
            assert!(l0 > 8.0, "{l0}");
            continue;
        }
        assert!((found - expected).abs() < 0.25 * expected, "{}: {found} {expected}", names[i]);
        assert!((l0 - 8.0).abs() < 0.1, "{}: {l0} active", names[i]);
    }
}

/// A configuration whose texts and results lie in a folder.
fn written(folder: &std::path::Path) -> SaeRunConfig {
    let line = "{\"text\": \"The fox ran to the cat and the dog, and then it came home.\"}\n";
    std::fs::write(folder.join("texts.jsonl"), line.repeat(60)).unwrap();
    std::fs::write(folder.join("run.toml"), CONFIG).unwrap();
    let mut config = SaeRunConfig::read(folder.join("run.toml")).unwrap();
    config.output = folder.join("results");
    config
}

#[test]
fn a_run_that_its_caller_stops_goes_on_to_the_same_bits() {
    let device = Device::flex();
    let [whole, stopped] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let plan = written(whole.path()).check().unwrap();
    let expected = run_sae(&plan, &SaeRunOptions::new(&device)).unwrap();

    let plan = written(stopped.path()).check().unwrap();
    let stop = Stop::new();
    let progress = |event: SaeEvent<'_>| {
        if let SaeEvent::Step { progress, .. } = event
            && progress.step == 5
        {
            stop.stop();
        }
    };
    let follow = Follow { progress: &progress, stop: stop.clone() };
    let options = SaeRunOptions { follow, ..SaeRunOptions::new(&device) };
    assert!(matches!(run_sae(&plan, &options), Err(SaeError::Stopped)));
    let exists = run_sae(&plan, &SaeRunOptions::new(&device)).unwrap_err();
    assert!(matches!(exists, SaeError::Run(RunError::Exists { .. })), "{exists}");
    let resumed = SaeRunOptions { earlier: EarlierRun::Resume, ..SaeRunOptions::new(&device) };
    let found = run_sae(&plan, &resumed).unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(
            read_sae(&found.folder).unwrap().encoder,
            read_sae(&expected.folder).unwrap().encoder
        );
        assert_eq!(read_history(&found.folder), read_history(&expected.folder));
        assert_eq!(read_history(&found.folder).len(), 16);
    }
    assert!(run_sae(&plan, &resumed).unwrap().is_empty(), "it is complete");
}

#[test]
fn a_run_that_is_stopped_inside_a_forward_pass_goes_on_to_the_same_bits() {
    let device = Device::flex();
    let [whole, stopped] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let expected = run_sae(&written(whole.path()).check().unwrap(), &SaeRunOptions::new(&device));
    let plan = written(stopped.path()).check().unwrap();
    let (mut n_stops, mut n) = (0, 10);
    // A signal is given after ever more questions, until the run ends before.
    let found = loop {
        let n_asked = AtomicUsize::new(0);
        let stop = Stop::when(move || n_asked.fetch_add(1, Ordering::Relaxed) >= n);
        let follow = Follow { stop, ..Follow::default() };
        let options =
            SaeRunOptions { follow, earlier: EarlierRun::Resume, ..SaeRunOptions::new(&device) };
        match run_sae(&plan, &options) {
            Err(SaeError::Stopped) => n_stops += 1,
            other => break other.unwrap(),
        }
        n += n / 2;
    };
    assert!(n_stops > 1, "{n_stops}");
    assert_eq!(found.len(), 3);
    for (found, expected) in found.iter().zip(&expected.unwrap()) {
        let [found_sae, expected_sae] = [found, expected].map(|one| read_sae(&one.folder).unwrap());
        assert_eq!(found_sae.encoder, expected_sae.encoder);
        assert_eq!(read_history(&found.folder), read_history(&expected.folder));
    }
}

#[test]
fn more_memory_than_there_is_is_refused_before_anything_is_written() {
    let (device, folder) = (Device::flex(), tempfile::tempdir().unwrap());
    let plan = written(folder.path()).check().unwrap();
    let options = SaeRunOptions { memory_bytes: Some(1000), ..SaeRunOptions::new(&device) };
    let error = run_sae(&plan, &options).unwrap_err().to_string();
    assert!(error.starts_with("the run needs ") && error.contains("lower `"), "{error}");
    assert!(!folder.path().join("results").exists());
    let outline = check_sae_run(&plan, &SaeRunOptions::new(&device)).unwrap();
    assert_eq!((outline.n_saes, outline.context_size), (3, 32));
    assert!(outline.time.is_some() && !folder.path().join("results").exists());
}
