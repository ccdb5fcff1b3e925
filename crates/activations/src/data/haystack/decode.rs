//! Rows of a folder as texts with words.

use std::collections::HashMap;

use attention_probes_models::Tokenizer;
use rayon::prelude::*;

use super::rows::{HaystackRow, OTHER, read_rows};
use super::text::{TextFault, TokenText, text_of};
use crate::data::classes::{grouped, sorted_classes};
use crate::data::row::is_empty;
use crate::{
    ActivationError, Dataset, HaystackConfig, HaystackError, HaystackFamily, HaystackFolder, Word,
    hash_file,
};

pub(super) fn read(
    name: &str,
    folder: &HaystackFolder,
    tokenizer: &Tokenizer,
    config: &HaystackConfig,
) -> Result<Dataset, ActivationError> {
    let shown = || folder.path().display().to_string();
    let found = read_rows(folder, config)?;
    let mut rows = found.rows;
    if !config.of_texts {
        rows.retain(|row| !row.places.is_empty());
    }
    let n_rows = rows.len();
    let zero_is_padding = matches!(folder.family(), HaystackFamily::Ewt | HaystackFamily::Latex);
    let texts: Vec<TokenText> = rows
        .par_iter()
        .map(|row| text(folder, row, tokenizer, zero_is_padding))
        .collect::<Result<_, _>>()?;
    let (rows, texts): (Vec<HaystackRow>, Vec<TokenText>) =
        rows.into_iter().zip(texts).filter(|(_, text)| !is_empty(&text.text)).unzip();
    if rows.is_empty() {
        return Err(ActivationError::NoText { name: shown(), n_rows });
    }

    let labels = || {
        let of_tokens = rows.iter().flat_map(|row| &row.places).map(|(_, class)| class);
        let of_texts = rows.iter().filter_map(|row| row.class.as_ref());
        if config.of_texts {
            of_texts.map(String::as_str).collect::<Vec<_>>()
        } else {
            of_tokens.map(String::as_str).collect()
        }
    };
    let there = sorted_classes(labels().into_iter());
    if let [class] = &there[..] {
        return Err(ActivationError::OneClass { name: shown(), class: class.clone() });
    }
    // The feature is the second class, whatever it is called, and so the positive one.
    let classes = match found.feature {
        Some(feature) => vec![OTHER.to_owned(), feature],
        None => there,
    };
    let numbers: HashMap<&str, usize> =
        classes.iter().enumerate().map(|(number, class)| (class.as_str(), number)).collect();
    let (mut words, mut of_texts) = (Vec::new(), Vec::new());
    if config.of_texts {
        of_texts = labels().into_iter().map(|class| numbers[class]).collect();
    } else {
        for (row, text) in rows.iter().zip(&texts) {
            words.push(words_of(folder, row, text, &numbers)?);
        }
    }
    let groups = rows.iter().all(|row| row.group.is_some());
    let groups = groups.then(|| grouped(rows.iter().map(|row| row.group.as_deref())));
    Ok(Dataset {
        name: name.to_owned(),
        labels: of_texts,
        groups,
        skipped_empty: n_rows - rows.len(),
        source_rows: rows.iter().map(|row| row.number).collect(),
        texts: texts.into_iter().map(|text| text.text).collect(),
        pairs: Vec::new(),
        words,
        targets: None,
        hash: hash_of(folder)?,
        classes,
    })
}

fn text(
    folder: &HaystackFolder,
    row: &HaystackRow,
    tokenizer: &Tokenizer,
    zero_is_padding: bool,
) -> Result<TokenText, ActivationError> {
    let no_token = |id| HaystackError::TokenId {
        path: folder.path().to_owned(),
        row: row.number,
        id,
        n_tokens: tokenizer.n_tokens(),
    };
    let id = |&id: &i64| u32::try_from(id).map_err(|_| no_token(id));
    let ids: Vec<u32> = row.tokens.iter().map(id).collect::<Result<_, _>>()?;
    text_of(&ids, tokenizer, zero_is_padding).map_err(|fault| match fault {
        TextFault::NoToken(id) => no_token(i64::from(id)).into(),
        TextFault::Model(source) => {
            ActivationError::Tokenize { row: row.number, source: Box::new(source) }
        }
    })
}

/// The labelled tokens of a row as words of its text, from left to right.
fn words_of(
    folder: &HaystackFolder,
    row: &HaystackRow,
    text: &TokenText,
    numbers: &HashMap<&str, usize>,
) -> Result<Vec<Word>, HaystackError> {
    let mut words = Vec::with_capacity(row.places.len());
    for (place, class) in &row.places {
        let span = usize::try_from(*place).ok().and_then(|place| text.spans.get(place));
        let &(start, end) = span.ok_or_else(|| HaystackError::Place {
            path: folder.path().to_owned(),
            row: row.number,
            place: *place,
            n_tokens: row.tokens.len(),
        })?;
        words.push(Word { start, end, label: Some(numbers[class.as_str()]) });
    }
    words.sort_unstable();
    Ok(words)
}

/// BLAKE3 of the file; of several files, of their hashes.
fn hash_of(folder: &HaystackFolder) -> Result<String, ActivationError> {
    let hashes: Vec<String> =
        folder.files().iter().map(|file| hash_file(file)).collect::<Result<_, _>>()?;
    match &hashes[..] {
        [hash] => Ok(hash.clone()),
        hashes => Ok(blake3::hash(hashes.concat().as_bytes()).to_hex().to_string()),
    }
}
