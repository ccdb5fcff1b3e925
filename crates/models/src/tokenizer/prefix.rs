//! Where a text may be cut before it is tokenised, so that the tokens before the cut stay the same.
//!
//! A tokenizer takes some 200 bytes of memory for each byte of a text, and of a long text only the
//! first tokens are kept. Two kinds of tokenizers are known well enough to cut: those of GPT-2,
//! which split a text into words by a rule that looks ahead by one character and then merge bytes
//! within a word, and those of Gemma, which merge the characters of the whole text. Others get the
//! whole text.

use std::collections::HashSet;

use serde_json::{Value, json};
use tokenizers::Tokenizer as HfTokenizer;
use tokenizers::models::ModelWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;

/// What Gemma writes for a space.
const SPACE: char = '▁';

/// What a tokenizer never joins.
#[derive(Debug)]
pub(crate) struct Cuts {
    kind: Kind,
    /// Characters that follow each other within a token, as the vocabulary spells them.
    joined: HashSet<(char, char)>,
    /// Characters that are a token by themselves.
    single: HashSet<char>,
    /// Added tokens, which are looked for before anything else.
    added: Vec<Added>,
    /// Bytes of the longest of them.
    longest_added: usize,
}

/// A token that is looked for in the text as it is.
#[derive(Debug)]
struct Added {
    text: String,
    /// Whether it counts only where no letter stands beside it.
    is_word: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Words by GPT-2's rule, then bytes.
    ByteLevel,
    /// Characters of the whole text, spaces as [`SPACE`].
    Characters,
}

/// Kinds of characters that GPT-2's rule tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Space,
    Other,
}

impl Cuts {
    /// What a tokenizer never joins; `None` of one that is not known well enough.
    pub(crate) fn new(tokenizer: &HfTokenizer) -> Option<Self> {
        let ModelWrapper::BPE(bpe) = tokenizer.get_model() else { return None };
        let is_plain = bpe.dropout.is_none_or(|dropout| dropout == 0.0)
            && bpe.continuing_subword_prefix.as_ref().is_none_or(String::is_empty)
            && bpe.end_of_word_suffix.as_ref().is_none_or(String::is_empty)
            && !bpe.ignore_merges;
        let normalizer = serde_json::to_value(tokenizer.get_normalizer()).ok()?;
        let kind = match tokenizer.get_pre_tokenizer() {
            Some(PreTokenizerWrapper::ByteLevel(words)) if words.use_regex => {
                normalizer.is_null().then_some(Kind::ByteLevel)
            }
            split => {
                let split = serde_json::to_value(split).ok()?;
                let on_spaces = split["type"] == "Split" && split["pattern"]["String"] == " ";
                let marks_spaces = normalizer
                    == json!({
                        "type": "Replace", "pattern": {"String": " "}, "content": SPACE.to_string()
                    });
                // Once spaces are marked there is none left to split on.
                (marks_spaces && (on_spaces || split == Value::Null)).then_some(Kind::Characters)
            }
        };
        let kind = kind.filter(|_| is_plain)?;
        let (mut joined, mut single) = (HashSet::new(), HashSet::new());
        for token in tokenizer.get_vocab(false).keys() {
            joined.extend(token.chars().zip(token.chars().skip(1)));
            let mut chars = token.chars();
            if let (Some(only), None) = (chars.next(), chars.next()) {
                single.insert(only);
            }
        }
        let added = tokenizer.get_added_vocabulary().get_added_tokens_decoder().values();
        let added: Vec<Added> = added
            .map(|token| Added { text: token.content.clone(), is_word: token.single_word })
            .collect();
        // A space counts as much as what is written for it.
        let longest_added = added.iter().map(|token| 3 * token.text.len()).max().unwrap_or(0);
        Some(Self { kind, joined, single, added, longest_added })
    }

    /// The last place in the second half of the first `n_bytes` of a text before which the tokens
    /// are the same whatever follows.
    pub(crate) fn last(&self, text: &str, n_bytes: usize) -> Option<usize> {
        let end = text.floor_char_boundary(n_bytes);
        let half = text.floor_char_boundary(n_bytes / 2);
        let window = &text[half..end];
        let mut places = window.char_indices().rev().map(|(place, _)| half + place);
        places.find(|place| *place > half && self.is_safe(text, *place))
    }

    fn is_safe(&self, text: &str, place: usize) -> bool {
        let (before, after) = text.split_at(place);
        let (Some(a), Some(b)) = (before.chars().next_back(), after.chars().next()) else {
            return false;
        };
        // An added token may take the white space before it.
        if a.is_whitespace() || a.is_control() {
            return false;
        }
        let is_apart = match self.kind {
            Kind::ByteLevel => self.words_end(before, a, b),
            Kind::Characters => {
                let [a, b] = [a, b].map(|c| if c == ' ' { SPACE } else { c });
                // What is no token by itself may be joined as unknown.
                self.single.contains(&a)
                    && self.single.contains(&b)
                    && !self.joined.contains(&(a, b))
            }
        };
        is_apart && !self.is_within_added(text, place)
    }

    /// Whether GPT-2's rule ends a word between two characters, or its merges join nothing there.
    ///
    /// ```text
    /// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    /// ```
    fn words_end(&self, before: &str, a: char, b: char) -> bool {
        // A contraction looks ahead further than the kind of character.
        if before.chars().rev().take(3).any(|c| c == '\'') {
            return false;
        }
        match (class(a), class(b)) {
            (_, Some(Class::Space)) => true,
            (Some(a), Some(b)) if a != b => true,
            (Some(_), Some(_)) => {
                let mut bytes = [0; 4];
                let last = a.encode_utf8(&mut bytes).bytes().next_back().unwrap_or_default();
                let first = b.encode_utf8(&mut bytes).bytes().next().unwrap_or_default();
                !self.joined.contains(&(byte_char(last), byte_char(first)))
            }
            _ => false,
        }
    }

    /// Whether an added token may lie on both sides of a place.
    fn is_within_added(&self, text: &str, place: usize) -> bool {
        let start = text.floor_char_boundary(place.saturating_sub(self.longest_added));
        let end = text.ceil_char_boundary((place + self.longest_added).min(text.len()));
        let window = &text[start..end];
        let spans = |window: &str, place: usize, token: &Added| {
            let mut starts = window[..place].char_indices();
            starts.any(|(at, _)| {
                let end = at + token.text.len();
                // What must be a word of its own looks at the character behind it.
                (end > place || token.is_word && end == place)
                    && window[at..].starts_with(&token.text)
            })
        };
        let marked = window.replace(' ', &SPACE.to_string());
        let marked_place = text[start..place].replace(' ', &SPACE.to_string()).len();
        self.added.iter().any(|token| {
            let text = token.text.replace(' ', &SPACE.to_string());
            let marked_token = Added { text, is_word: token.is_word };
            spans(window, place - start, token) || spans(&marked, marked_place, &marked_token)
        })
    }
}

/// The class of a character, where it is beyond doubt in every version of Unicode.
fn class(c: char) -> Option<Class> {
    match c {
        ' ' | '\n' | '\t' | '\r' | '\u{3000}' => Some(Class::Space),
        '0'..='9' => Some(Class::Digit),
        'a'..='z'
        | 'A'..='Z'
        | 'À'..='Ö'
        | 'Ø'..='ö'
        | 'ø'..='ɏ'
        | 'Α'..='Ρ'
        | 'Σ'..='ω'
        | 'А'..='я'
        | 'ぁ'..='ゖ'
        | 'ァ'..='ヺ'
        | '一'..='龥'
        | '가'..='힣' => Some(Class::Letter),
        '!'..='/'
        | ':'..='@'
        | '['..='`'
        | '{'..='~'
        | '‐'..='‧'
        | '、'..='〃'
        | '〈'..='】'
        | '！'..='／'
        | '\u{1f300}'..='\u{1f64f}' => Some(Class::Other),
        _ => None,
    }
}

/// How the vocabulary of a byte-level tokenizer spells a byte: printable ones as themselves, the
/// others in order from U+0100 on.
fn byte_char(byte: u8) -> char {
    let is_printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if is_printable(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|byte| !is_printable(*byte)).count() as u32;
    char::from_u32(0x100 + rank).unwrap_or_default()
}

/// The byte that a character of such a vocabulary spells; `None` if it spells none.
pub(crate) fn byte_of_char(c: char) -> Option<u8> {
    (0..=u8::MAX).find(|byte| byte_char(*byte) == c)
}
