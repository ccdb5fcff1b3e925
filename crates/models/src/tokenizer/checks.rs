//! What is looked at in the files of a tokenizer before the tokenizers library is, which would panic
//! at some of it.

use serde::Deserialize;
use tokenizers::Tokenizer as HfTokenizer;
use tokenizers::models::bpe;

/// Largest id of a token; tensors hold ids as signed numbers of 32 bits.
pub(crate) const MAX_ID: u32 = i32::MAX as u32;

/// Deepest nesting of a `tokenizer.json`; real ones have nine levels.
const MAX_DEPTH: usize = 32;

/// What is looked at in `tokenizer.json` before the tokenizers library is.
#[derive(Deserialize)]
pub(super) struct RawTokenizer {
    pub(super) model: RawModel,
}

#[derive(Deserialize)]
pub(super) struct RawModel {
    /// Ids by token; a list in models that merge nothing.
    #[serde(default)]
    pub(super) vocab: serde_json::Value,
    #[serde(default)]
    pub(super) merges: Vec<RawMerge>,
    #[serde(default)]
    pub(super) continuing_subword_prefix: Option<String>,
}

/// Two tokens that become one, as newer and older files write them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawMerge {
    Pair(String, String),
    Line(String),
}

impl RawMerge {
    pub(super) fn into_pair(self, number: usize) -> Result<(String, String), bpe::Error> {
        match self {
            Self::Pair(left, right) => Ok((left, right)),
            Self::Line(line) => pair_from_line(&line, number),
        }
    }
}

/// Parses `merges.txt`: two tokens a line, with a space between them.
pub(super) fn parse_merges(bytes: &[u8]) -> tokenizers::Result<Vec<(String, String)>> {
    let lines = str::from_utf8(bytes)?.lines().zip(1..);
    let merges = lines
        .filter(|(line, _)| !line.starts_with("#version"))
        .map(|(line, number)| pair_from_line(line, number))
        .collect::<Result<_, _>>()?;
    Ok(merges)
}

fn pair_from_line(line: &str, number: usize) -> Result<(String, String), bpe::Error> {
    match line.split_once(' ') {
        Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
        _ => Err(bpe::Error::BadMerges(number)),
    }
}

/// Refuses merges into no token, where the tokenizers library would panic.
pub(super) fn check_merges(
    is_token: impl Fn(&str) -> bool,
    merges: &[(String, String)],
    prefix: &str,
) -> Result<(), bpe::Error> {
    for (left, right) in merges {
        let rest = right.get(prefix.len()..);
        if !rest.is_some_and(|rest| is_token(&format!("{left}{rest}"))) {
            return Err(bpe::Error::MergeTokenOutOfVocabulary(format!("{left}{right}")));
        }
    }
    Ok(())
}

/// Refuses nesting that the tokenizers library would panic at, before it reads anything.
pub(super) fn check_depth(bytes: &[u8]) -> Result<(), TokenizerFault> {
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'[' | b'{' if !is_string => depth += 1,
            b']' | b'}' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(TokenizerFault::Depth);
        }
    }
    Ok(())
}

/// Refuses ids that no tensor of ids can hold.
pub(super) fn check_ids(tokenizer: &HfTokenizer) -> Result<(), TokenizerFault> {
    let vocab = tokenizer.get_vocab(true);
    match vocab.into_iter().find(|(_, id)| *id > MAX_ID) {
        Some((token, id)) => Err(TokenizerFault::Id { token, id }),
        None => Ok(()),
    }
}

/// What is wrong with a tokenizer that its library would not say, or would panic at.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenizerFault {
    #[error("it is nested deeper than {MAX_DEPTH} levels")]
    Depth,
    #[error("token `{}` has id {id}, expected at most {MAX_ID}", token.escape_debug())]
    Id { token: String, id: u32 },
    #[error(
        "id {id} is of token `{}`, and a file beside it gives it to `{}`",
        other.escape_debug(),
        token.escape_debug()
    )]
    TwoTokens { id: u32, token: String, other: String },
}
