//! The corpus: reading, cleaning, and cutting it into tokens.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use attention_probes_models::Tokenizer;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder};

/// Stands between two documents.
pub(crate) const END_OF_TEXT: &str = "<|endoftext|>";

/// Documents to train on and documents to judge by.
pub(crate) struct Corpus {
    pub train: Vec<String>,
    pub held_out: Vec<String>,
}

/// Reads every `.txt` below `dir`, in the order of their names.
pub(crate) fn read(dir: &Path) -> Result<Corpus> {
    let mut paths = Vec::new();
    collect(dir, &mut paths)?;
    paths.sort();
    let mut corpus = Corpus { train: Vec::new(), held_out: Vec::new() };
    for path in paths {
        let text = fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let side = if name.starts_with("valid") { &mut corpus.held_out } else { &mut corpus.train };
        side.extend(text.split(END_OF_TEXT).map(clean).filter(|text| !text.is_empty()));
    }
    if corpus.train.is_empty() || corpus.held_out.is_empty() {
        bail!("`{}` needs training files and a file named `valid*.txt`", dir.display());
    }
    Ok(corpus)
}

fn collect(dir: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read `{}`", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            paths.push(path);
        }
    }
    Ok(())
}

/// One line per paragraph, straight quotation marks, and no traces of a wrong decoding.
fn clean(text: &str) -> String {
    let text = text
        .replace("â€œ", "\"")
        .replace("â€\u{9d}", "\"")
        .replace("â€™", "'")
        .replace("â€˜", "'")
        .replace("â€“", "-")
        .replace("â€”", "-")
        .replace("â€¦", "...")
        .replace("â€", "\"")
        .replace(['“', '”'], "\"")
        .replace(['‘', '’'], "'")
        .replace(['–', '—'], "-");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// The byte-level BPE of an earlier run in `output`, or one trained now and written there.
pub(crate) fn tokenizer(texts: &[String], vocabulary: usize, output: &Path) -> Result<Tokenizer> {
    let path = output.join("tokenizer.json");
    if !path.exists() {
        let alphabet: HashSet<char> = ByteLevel::alphabet().into_iter().collect();
        let mut trainer = BpeTrainerBuilder::new()
            .vocab_size(vocabulary)
            .min_frequency(2)
            .initial_alphabet(alphabet)
            .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
            .show_progress(false)
            .build();
        let mut tokenizer = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(None::<tokenizers::NormalizerWrapper>)
            .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
            .with_post_processor(Some(ByteLevel::new(true, false, true)))
            .with_decoder(Some(ByteLevel::default()))
            .build()
            .map_err(anyhow::Error::msg)?;
        tokenizer.train(&mut trainer, texts.iter()).map_err(anyhow::Error::msg)?;
        tokenizer.save(&path, false).map_err(anyhow::Error::msg)?;
    }
    Ok(Tokenizer::from_dir(output)?)
}

/// All documents in a row, each after an end-of-text token.
pub(crate) fn encode(tokenizer: &Tokenizer, texts: &[String]) -> Result<Vec<u32>> {
    let end = tokenizer.token_to_id(END_OF_TEXT).context("the tokenizer has no end of text")?;
    let mut ids = Vec::new();
    for text in texts {
        ids.push(end);
        ids.extend(tokenizer.encode(text)?.ids);
    }
    ids.push(end);
    Ok(ids)
}
