//! The checkpoint of a training run of two autoencoders.

use std::path::Path;
use std::sync::LazyLock;

use attention_probes_errors::parse_toml;
use attention_probes_sae::{ContextStream, Contexts, ModelContexts, SaeRun, SaeRunConfig};
use burn::tensor::Device;

use crate::folder::Folder;
use crate::tiny;

const CONFIG: &str = r#"
run = "tiny"
[model]
name = "tiny"
[data]
path = "texts.jsonl"
context_size = 4
prepend_bos = false
[train]
tokens = 40
batch_size = 8
buffer_batches = 2
contexts_per_forward = 2
[[saes]]
name = "a"
hook = "blocks.0.hook_resid_post"
d_sae = 16
architecture = { name = "topk", k = 2 }
[[saes]]
name = "b"
hook = "blocks.0.hook_resid_post"
d_sae = 14
architecture = { name = "standard", l1 = { value = 0.1 } }
"#;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

/// Calls a function with the run at its beginning.
pub(crate) fn with_run<T>(use_run: impl FnOnce(&mut SaeRun<'_>, &Path) -> T) -> T {
    let config: SaeRunConfig = parse_toml(CONFIG).expect("the configuration is right");
    let (model, device) = (tiny::model(), Device::flex());
    let ids: Vec<u32> = (0..64).map(|i| i * i % 9).collect();
    let contexts = Contexts::pack([&ids[..]], 4, None, None);
    let tasks = config.tasks().expect("the tasks are right");
    let contexts_per_forward = config.train.contexts_per_forward;
    let read =
        ModelContexts { model: &model, device: &device, contexts: &contexts, contexts_per_forward };
    let stream = ContextStream::new(read, SaeRun::hooks(&tasks), config.seed)
        .expect("the model has the hooks");
    let length = (config.n_steps(), config.seed);
    let mut run = SaeRun::new(stream, tasks, &config.train, length).expect("the run can begin");
    use_run(&mut run, FOLDER.path())
}

/// Whether the run goes on from the checkpoint.
pub(crate) fn read(bytes: &[u8]) -> bool {
    with_run(|run, _| run.load(&FOLDER.put("checkpoint.safetensors", bytes), "these").is_ok())
}
