//! Ids of tokens back to text, with the place of each token in it.

use attention_probes_models::{ModelError, Tokenizer};

/// Tokens after which the bytes of a character are taken for damaged: none has more than four.
const MAX_PIECES: usize = 8;

/// A text and where its tokens stand in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenText {
    pub(super) text: String,
    /// Start and end of each token in bytes; where both are 0, it is padding, begins the text, or
    /// separates two documents. Tokens that are parts of one character all have the place of the
    /// whole.
    pub(super) spans: Vec<(usize, usize)>,
}

/// Why ids are no text.
#[derive(Debug)]
pub(super) enum TextFault {
    /// The tokenizer has no such token.
    NoToken(u32),
    Model(ModelError),
}

/// Text of some ids, without special tokens and padding at either end.
///
/// The data makers add `<PAD>` behind the tokenizer's last token where it has no token for padding.
/// With `zero_is_padding`, 0 is padding too, whatever the tokenizer means by it.
pub(super) fn text_of(
    ids: &[u32],
    tokenizer: &Tokenizer,
    zero_is_padding: bool,
) -> Result<TokenText, TextFault> {
    let is_padding = |id: &u32| {
        tokenizer.is_special(*id)
            || usize::try_from(*id).is_ok_and(|id| id == tokenizer.n_tokens())
            || zero_is_padding && *id == 0
    };
    let start = ids.iter().position(|id| !is_padding(id)).unwrap_or(ids.len());
    let end = ids.iter().rposition(|id| !is_padding(id)).map_or(start, |last| last + 1);
    let real = &ids[start..end];
    if let Some(id) = real.iter().find(|id| tokenizer.id_to_token(**id).is_none()) {
        return Err(TextFault::NoToken(*id));
    }

    let decode = |ids: &[u32]| tokenizer.decode(ids).map_err(TextFault::Model);
    let mut text = String::new();
    let mut spans = vec![(0, 0); ids.len()];
    // A tokenizer may write a token in another way at the beginning of a text, so each is decoded
    // behind the one before it: `known` begins there, and `open` is where unfinished bytes begin.
    let (mut known, mut open) = (0, 0);
    for index in 0..real.len() {
        let before = decode(&real[known..open])?;
        let both = decode(&real[known..=index])?;
        let new = both.strip_prefix(&before).unwrap_or_default();
        let is_unfinished = new.ends_with(char::REPLACEMENT_CHARACTER);
        if is_unfinished && index + 1 < real.len() && index - open + 1 < MAX_PIECES {
            continue;
        }
        let span = (text.len(), text.len() + new.len());
        text.push_str(new);
        for piece in open..=index {
            spans[start + piece] = if tokenizer.is_special(real[piece]) { (0, 0) } else { span };
        }
        (known, open) = (open, index + 1);
    }
    Ok(TokenText { text, spans })
}

#[cfg(test)]
mod tests {
    use attention_probes_models::demo::DemoModel;

    use super::*;

    #[test]
    fn tokens_have_the_place_of_their_text_and_padding_has_none() {
        let tokenizer = DemoModel::named("demo-gpt2").unwrap().tokenizer().unwrap();
        let text = "Naïve 猫 cats, 😀 and é.";
        let encoding = tokenizer.encode(text).unwrap();
        let pad = tokenizer.n_tokens() as u32;
        let ids = [&[0][..], &encoding.ids, &[0, pad, pad]].concat();
        let found = text_of(&ids, &tokenizer, false).unwrap();
        assert_eq!(found.text, text);
        let (first, rest) = found.spans.split_first().unwrap();
        assert_eq!((*first, &rest[encoding.ids.len()..]), ((0, 0), &[(0, 0); 3][..]));
        // Every token is where the tokenizer itself sees it, the space before a word included.
        for (span, (start, end)) in rest.iter().zip(&encoding.byte_offsets) {
            assert!(span.0 <= *start && *end <= span.1 && span.1 - span.0 <= end - start + 4);
            assert!(text.is_char_boundary(span.0) && text.is_char_boundary(span.1));
        }
        let cat = text.find(" cats").unwrap();
        assert!(rest.contains(&(cat, cat + 4)) || rest.contains(&(cat, cat + 5)), "{rest:?}");
        assert!(rest.windows(2).any(|pair| pair[0] == pair[1]), "`😀` is of several tokens");
    }

    #[test]
    fn what_separates_documents_stays_in_the_text_but_is_no_place() {
        let tokenizer = DemoModel::named("demo-gpt2").unwrap().tokenizer().unwrap();
        let [a, b] = ["a", "b"].map(|text| tokenizer.encode(text).unwrap().ids[0]);
        let found = text_of(&[a, 0, b], &tokenizer, false).unwrap();
        assert_eq!(found.text, "a<|endoftext|>b");
        assert_eq!(found.spans, [(0, 1), (0, 0), (14, 15)]);
        let exclamation = tokenizer.encode("!").unwrap().ids[0];
        assert_eq!(text_of(&[exclamation, a], &tokenizer, true).unwrap().text, "!a");
        assert!(text_of(&[0, 0], &tokenizer, false).unwrap().text.is_empty());
        let pad = tokenizer.n_tokens() as u32;
        assert!(matches!(text_of(&[a, pad, b], &tokenizer, false), Err(TextFault::NoToken(_))));
        assert!(matches!(text_of(&[a, pad + 1], &tokenizer, false), Err(TextFault::NoToken(_))));
    }

    #[test]
    fn damaged_characters_end() {
        let tokenizer = DemoModel::named("demo-gpt2").unwrap().tokenizer().unwrap();
        let byte = tokenizer.encode("😀").unwrap().ids[0];
        let found = text_of(&[byte; 40], &tokenizer, false).unwrap();
        assert!(found.spans.iter().all(|(start, end)| start < end && *end <= found.text.len()));
    }
}
