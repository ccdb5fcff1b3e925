//! `probe extract`: activations of texts or token ids, at any hooks, into one file or a folder.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{
    ActivationError, ExtractConfig, ExtractData, ExtractError, ExtractInput, FolderConfig,
    ShardModel, StoreFormat, Watch, extract,
};
use attention_probes_cli::exit::InputError;
use attention_probes_cli::hub::hub_access;
use attention_probes_cli::progress::Progress;
use attention_probes_cli::stdout::print;
use attention_probes_cli::{device, output};
use attention_probes_errors::FileError;
use attention_probes_models::files::TemporaryFile;
use attention_probes_models::{HookSet, NoDownload, open_model_alone};
use attention_probes_pages_probes::text::extract_text;

use crate::extract_args::{ExtractArgs, Read};

/// Runs `probe extract`.
///
/// # Errors
///
/// If the model, the texts, a hook, or the output is at fault, or an activation is not finite.
pub fn run(args: &ExtractArgs) -> Result<()> {
    let device = device::parse(&args.device)?;
    let format = StoreFormat::from_path(&args.output).map_err(|error| with_flags(error.into()))?;
    let shard = args.check_flags(format)?;
    let names = || args.hooks.iter().map(|name| name.trim());
    // Names are checked before a model is opened or downloaded.
    HookSet::parse_in(names(), 1)?;
    let mut hub = hub_access();
    if args.dry_run {
        hub = hub.map(|hub| hub.without_downloads(NoDownload::CacheOnly));
    }
    let (path, read) = args.read(hub.as_ref())?;
    if format != StoreFormat::Folder {
        let check = if args.dry_run { output::check_target } else { output::check_file };
        check(&args.output)?;
        output::check_not_read(&args.output, [path])?;
        check_writable(&args.output)?;
        output::check_absent(&args.output, args.overwrite || args.dry_run)?;
    }

    let opened = open_model_alone(&args.model, hub.as_ref(), (&device, args.dtype))?;
    let data = match read {
        Read::Ids(data) => data,
        Read::Texts(corpus) => {
            let max_tokens = args.max_tokens.map_or(usize::MAX, NonZeroUsize::get);
            ExtractData::texts(corpus, opened.tokenizer()?, max_tokens)
        }
    };
    let hooks = HookSet::parse_in(names(), opened.model.shape().n_layers)?;
    let defaults = FolderConfig::default();
    let config = ExtractConfig {
        convention: args.convention.into(),
        dtype: args.store_dtype.into(),
        batch_tokens: args.batch_tokens.get(),
        allow_non_finite: args.allow_non_finite,
        dry_run: args.dry_run,
        folder: FolderConfig {
            shard,
            rows_per_part: args.shard_rows.map_or(defaults.rows_per_part, NonZeroUsize::get),
            overwrite: args.overwrite,
        },
        ..ExtractConfig::new(hooks, &args.output)
    };
    let input = ExtractInput {
        model: &*opened.model,
        identity: &ShardModel::from(&opened),
        device: &device,
        data: &data,
        path,
    };
    let bar = RefCell::new(Progress::default());
    let progress = |done, total| bar.borrow_mut().extracted("extract", done, total);
    let watch = Watch { progress: Some(&progress), ..Watch::default() };
    let report = extract(&input, &config, watch).map_err(with_flags)?;
    bar.borrow_mut().clear();
    let text = if args.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        extract_text(&report)
    };
    print(&text)
}

/// Adds the flag that a message is about, and leaves out what only a library says.
fn with_flags(error: ActivationError) -> anyhow::Error {
    match error {
        ActivationError::Extract { source: source @ ExtractError::OutputName { .. } } => {
            InputError(source.to_string().replacen('`', "`--output ", 1)).into()
        }
        ActivationError::Extract { source: source @ ExtractError::NonFiniteTexts { .. } } => {
            InputError(format!("{source} with `--allow-non-finite`")).into()
        }
        ActivationError::Model { source } => source.into(),
        other => other.into(),
    }
}

/// Makes sure before the long part that the output can be written.
fn check_writable(output: &Path) -> Result<()> {
    // Made and dropped: whether the folder takes a file.
    TemporaryFile::create(output).map_err(FileError::write(output))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_flag() {
        let error = StoreFormat::from_path(Path::new("run.bin")).unwrap_err();
        let message = with_flags(error.into()).to_string();
        assert!(message.starts_with("`--output run.bin` is neither"), "{message}");
        let path = Path::new("t.csv").to_owned();
        let error = ExtractError::NonFiniteTexts { hook: None, text: 3, path, n_texts: 2 };
        let message = with_flags(error.into()).to_string();
        assert!(message.ends_with("or allow them with `--allow-non-finite`"), "{message}");
    }
}
