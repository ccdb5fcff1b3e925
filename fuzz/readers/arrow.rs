//! The Arrow file of a folder of Gurnee et al.

use std::fs;
use std::sync::LazyLock;

use attention_probes_activations::{Dataset, HaystackConfig, HaystackFolder};
use attention_probes_models::Tokenizer;
use attention_probes_models::demo::DemoModel;

use crate::folder::Folder;

const NAME: &str = "counterfact.demo.14.-1";

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let model = DemoModel::named("demo-gpt2").expect("the model is embedded");
    model.tokenizer().expect("the tokenizer is whole")
});

static FOLDER: LazyLock<Folder> = LazyLock::new(|| {
    let folder = Folder::new();
    fs::create_dir(folder.path().join(NAME)).expect("a folder can be made");
    folder.put(format!("{NAME}/dataset_info.json"), b"{}");
    let state = br#"{"_data_files": [{"filename": "a.arrow"}]}"#;
    folder.put(format!("{NAME}/state.json"), state);
    folder
});

/// Whether texts are read.
pub(crate) fn read(bytes: &[u8]) -> bool {
    FOLDER.put(format!("{NAME}/a.arrow"), bytes);
    let folder = HaystackFolder::open(&FOLDER.path().join(NAME)).expect("the folder is one");
    let read = |of_texts| {
        let config = HaystackConfig { of_texts, ..HaystackConfig::default() };
        Dataset::read_haystack("data", &folder, &TOKENIZER, &config).is_ok()
    };
    let [tokens, texts] = [false, true].map(read);
    tokens || texts
}
