//! Tokens of texts, and how they stand in a file.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// One token of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken {
    /// The token as the tokenizer decodes it, white space included.
    pub text: String,
    /// Its id, where it is known.
    pub id: Option<i64>,
    /// Its position in the sequence that the model read.
    pub position: usize,
}

/// Text and id of each token that occurs: a text of indices takes half of what one of tokens would.
#[derive(Default)]
pub(crate) struct Vocabulary<'a> {
    /// In the order of their first occurrence.
    entries: Vec<(&'a str, Option<i64>)>,
    indices: HashMap<(&'a str, Option<i64>), usize>,
}

impl<'a> Vocabulary<'a> {
    /// Puts the tokens of a text in, and returns where they are.
    pub(crate) fn indices(&mut self, tokens: &'a [PageToken]) -> Vec<usize> {
        let index = |token: &'a PageToken| {
            let entry = (token.text.as_str(), token.id);
            *self.indices.entry(entry).or_insert_with(|| {
                self.entries.push(entry);
                self.entries.len() - 1
            })
        };
        tokens.iter().map(index).collect()
    }

    pub(crate) fn into_entries(self) -> Vec<(&'a str, Option<i64>)> {
        self.entries
    }
}

/// Positions count up by one but where something was left out.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Positions {
    From(usize),
    Each(Vec<usize>),
}

impl Positions {
    pub(crate) fn of(tokens: &[PageToken]) -> Self {
        let first = tokens.first().map_or(0, |token| token.position);
        if tokens.iter().zip(first..).all(|(token, position)| token.position == position) {
            Self::From(first)
        } else {
            Self::Each(tokens.iter().map(|token| token.position).collect())
        }
    }
}
