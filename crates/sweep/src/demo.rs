//! The sweep that a program can make of what comes with it.

use std::path::Path;

use attention_probes_probes::Pool;

use crate::SweepConfig;
use crate::config::{ArchitectureConfig, DataConfig, GridConfig};

/// A sweep of the embedded model, for demos without a network: sentiment of snippets, and whether the
/// next token is ` the`.
///
/// It reads `<output>/demo-data/sentiment.csv` and `passages.jsonl`, which hold
/// [`SENTIMENT`](attention_probes_activations::demo::SENTIMENT) and
/// [`PASSAGES`](attention_probes_activations::demo::PASSAGES) once the caller has written them.
///
/// # Examples
///
/// ```
/// use std::path::Path;
///
/// use attention_probes::sweep::demo_sweep;
///
/// let plan = demo_sweep(Path::new("results")).check()?;
/// assert_eq!(plan.config().model.name, "demo-gpt2");
/// assert_eq!(plan.config().architectures.len(), 4);
/// # Ok::<(), attention_probes::sweep::SweepError>(())
/// ```
pub fn demo_sweep(output: &Path) -> SweepConfig {
    let data = output.join("demo-data");
    let architecture = |name: &str, config_name: &str, pool| ArchitectureConfig {
        name: name.to_owned(),
        config_name: config_name.to_owned(),
        pool,
        ..ArchitectureConfig::default()
    };
    SweepConfig {
        run: "demo".to_owned(),
        output: output.to_owned(),
        data: vec![
            DataConfig {
                name: "sentiment".to_owned(),
                path: data.join("sentiment.csv"),
                ..DataConfig::default()
            },
            DataConfig {
                name: "next-the".to_owned(),
                path: data.join("passages.jsonl"),
                task: "next_token".to_owned(),
                target: " the".into(),
                examples_per_text: 4,
                ..DataConfig::default()
            },
        ],
        architectures: vec![
            architecture("linear", "linear-last", Pool::Last),
            architecture("linear", "linear-mean", Pool::Mean),
            architecture("mlp", "mlp-mean", Pool::Mean),
            architecture("attention", "attention", Pool::Mean),
        ],
        sweep: GridConfig { batch_size: 64, ..GridConfig::default() },
        ..SweepConfig::default()
    }
}
