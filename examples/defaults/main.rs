//! Trains the defaults and a reference that trains far longer, for `table.py` beside this file.
//!
//! ```sh
//! just defaults
//! ```
//!
//! A cell is a kind of probe on a data set, at the middle layer of a model, with a seed that draws
//! split, weights, and batches. Cells are lines of `defaults.jsonl` and `references.jsonl`; those
//! that are there are not trained again. What a linear probe learns from is written for
//! scikit-learn, which is its reference.

mod examples;

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use attention_probes::models::open_model;
use attention_probes::sweep::{
    FitConfig, FitRun, GroupFit, Keep, Method, PredictConfig, SweepConfig, Trial, TrialFit,
    TrialGroup, find_best_fit, predict_logits,
};
use burn::tensor::Device;
use examples::{Examples, Texts};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The data sets; everything about training is left out.
const DATA: &str = "examples/defaults/data.toml";

/// Kinds of probes, and those that the second model is read with too.
const KINDS: [&str; 7] =
    ["linear", "attention", "mlp", "token", "multimax", "rolling_attention", "gated_bipolar"];
const MODELS: [(&str, usize); 2] = [("demo-gpt2", KINDS.len()), ("demo-gemma", 2)];

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("give a folder, then seeds")?;
    let folder = Path::new(&folder);
    let seeds: Vec<u64> = args.map(|seed| seed.parse()).collect::<Result<_, _>>()?;
    let mut defaults = Cells::open(&folder.join("defaults.jsonl"))?;
    let mut references = Cells::open(&folder.join("references.jsonl"))?;
    let device = Device::flex();
    let config = SweepConfig::read(Path::new(DATA))?;
    for (seed, (model_name, n_kinds)) in
        seeds.iter().flat_map(|&seed| MODELS.map(|model| (seed, model)))
    {
        let model = open_model(model_name, None, &device)?;
        for data in &config.data {
            let key = |kind: &str| json!({"model": model_name, "data": data.name, "kind": kind, "seed": seed});
            let is_missing = |kind: &&str| {
                let key = key(kind);
                !defaults.has(&key) || !references.has(&key)
            };
            let missing: Vec<&str> = KINDS[..n_kinds].iter().copied().filter(is_missing).collect();
            if missing.is_empty() {
                continue;
            }
            let config = SweepConfig { seed, data: vec![data.clone()], ..config.clone() };
            let texts = Texts::read(&config, &model)?;
            let mut examples = Examples::new(&texts, &model, &device)?;
            for kind in missing {
                let mut config = config.clone();
                config.architectures[0].name = serde_json::from_value(kind.into())?;
                let plan = config.check()?;
                let group = plan.group(0, 0, examples.sizes());
                let fit_config = plan.fit_config(&device);
                if !defaults.has(&key(kind)) {
                    let found = found(trained(&mut examples, &group, &fit_config)?);
                    defaults.add(key(kind), found)?;
                }
                if references.has(&key(kind)) {
                    continue;
                }
                let reference = if kind == "linear" {
                    let name = format!("{model_name}-{}-{seed}.npz", data.name);
                    examples.write_pooled(&folder.join(&name))?;
                    json!({ "arrays": name })
                } else {
                    let (group, fit_config) = reference(group, fit_config, seed);
                    found(trained(&mut examples, &group, &fit_config)?)
                };
                references.add(key(kind), reference)?;
            }
        }
    }
    Ok(())
}

/// The file of cells.
struct Cells {
    known: Vec<Value>,
    file: File,
}

impl Cells {
    fn open(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        let known = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self { known, file: File::options().append(true).create(true).open(path)? })
    }

    fn has(&self, key: &Value) -> bool {
        let fields = ["model", "data", "kind", "seed"];
        self.known.iter().any(|cell| fields.iter().all(|field| cell[*field] == key[*field]))
    }

    fn add(&mut self, mut cell: Value, found: Value) -> Result<(), Box<dyn Error>> {
        writeln!(std::io::stdout(), "{cell}")?;
        cell["found"] = found;
        Ok(writeln!(self.file, "{cell}")?)
    }
}

/// What is kept of a trained group and its balanced accuracy on test.
fn found((fit, test): (GroupFit, f64)) -> Value {
    let chosen = &fit.trials[fit.best];
    let mut found = json!({
        "test": test,
        "validation": chosen.score().map(|score| score.balanced_accuracy),
        "learning_rate": chosen.trial.learning_rate,
        "weight_decay": chosen.trial.weight_decay,
        "epochs": chosen.epochs,
    });
    if chosen.epochs.is_none() {
        let loss = |one: &TrialFit| {
            let loss = one.history.last().map(|record| record.train_loss);
            json!([one.trial.weight_decay, loss, one.converged])
        };
        found["losses"] = fit.trials.iter().map(loss).collect();
    }
    found
}

/// What trains far longer than a group of the defaults: 500 epochs, nine rates from 1e-4 to 1, and
/// the patience of fifty epochs.
fn reference(group: TrialGroup, config: FitConfig, seed: u64) -> (TrialGroup, FitConfig) {
    let rate = |half: i32| 10.0_f64.powf(f64::from(half) / 2.0);
    let trial = |half| Trial { learning_rate: rate(half), weight_decay: 0.0, seed };
    let method = Method { growth: 0, ..group.method };
    let group = TrialGroup { method, trials: (-8..=0).map(trial).collect(), ..group };
    (group, FitConfig { epochs: 500, patience: 50, keep: Keep::Best, race: None, ..config })
}

/// A trained group, and the balanced accuracy of the chosen trial on test.
fn trained(
    examples: &mut Examples<'_>,
    group: &TrialGroup,
    config: &FitConfig,
) -> Result<(GroupFit, f64), Box<dyn Error>> {
    let (source, data) = examples.parts();
    let group = std::slice::from_ref(group);
    let fit = find_best_fit(
        source,
        &FitRun { data: &data, groups: group, config, checkpoint: None },
        &mut |_| {},
    )?
    .swap_remove(0);
    let chosen = &fit.trials[fit.best];
    let best = TrialGroup { trials: vec![chosen.trial], ..group[0].clone() };
    let best = [(best, vec![chosen.state.clone()])];
    let test = examples.test();
    let (source, _) = examples.parts();
    let predict = PredictConfig { batch_size: config.batch_size, device: config.device.clone() };
    let logits = predict_logits(source, &test, &best, &predict)?.swap_remove(0);
    let accuracy = examples.balanced_accuracy(&logits)?;
    Ok((fit, accuracy))
}
