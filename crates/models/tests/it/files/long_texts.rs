//! The tokens of a long text are those of the whole text, however much of it is read.

use attention_probes_models::Tokenizer;
use attention_probes_models::demo::DemoModel;
use proptest::prelude::*;

use crate::files::golden;

fn tokenizers() -> Vec<(&'static str, Tokenizer)> {
    let demo = |name| DemoModel::named(name).unwrap().tokenizer().unwrap();
    let file = |name| Tokenizer::from_dir(&golden(name)).unwrap();
    vec![
        ("demo-gpt2", demo("demo-gpt2")),
        ("demo-gemma", demo("demo-gemma")),
        ("byte level", file("gpt2-base")),
        ("characters", file("gemma3-base")),
    ]
}

/// Parts of texts: words, runs of white space, emoji, scripts without white space, contractions,
/// special tokens and halves of them.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,12} ".prop_map(String::from),
        2 => "[ \n\t]{1,9}",
        1 => "[a-zA-Z]{40,400}",
        1 => "[0-9]{1,30}",
        1 => "[-.,!?'\"()]{1,20}",
        2 => "[\u{1f600}-\u{1f640}]{1,40}",
        2 => "[一-龥ぁ-ゖァ-ヺ、。]{1,80}",
        1 => "[\u{300}-\u{36f}a-zé]{1,20}",
        1 => Just("don't we're I'll they've 'tis 's".to_owned()),
        1 => Just("<|endoftext|>".to_owned()),
        1 => Just("<|endof".to_owned()),
        1 => Just("text|> <bos>".to_owned()),
        1 => Just("▁▁ ▁\n\n\n\n<start_of_turn>".to_owned()),
        1 => "\\PC{1,30}",
    ]
}

/// A text of at least this many bytes.
fn repeated(parts: &[String], n_bytes: usize) -> String {
    let text = parts.concat();
    text.repeat(n_bytes.div_ceil(text.len().max(1)))
}

#[test]
fn texts_of_one_kind_give_the_tokens_of_the_whole() {
    for (name, tokenizer) in tokenizers() {
        for text in [
            "once upon a time, there was a cat. ",
            "x",
            "don't",
            " ",
            "\n\n",
            "😀",
            "日本語のテキスト。",
            "日本語",
            "a1b2",
            "<|endoftext|>",
            "▁ ",
            "e\u{301}",
            "\u{a0}x",
        ] {
            let text = text.repeat(20_000 / text.len());
            let whole = tokenizer.encode(&text).unwrap().ids;
            for max_tokens in [0, 1, 7, 64, 1000] {
                let cut = tokenizer.encode_up_to(&text, max_tokens).unwrap();
                let n = max_tokens.min(whole.len());
                assert_eq!(cut.ids, whole[..n], "{name} {text:.9} {max_tokens}");
                assert_eq!(cut.is_truncated, whole.len() > max_tokens);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_cut_text_has_the_tokens_of_the_whole(
        parts in prop::collection::vec(part(), 1..60),
        max_tokens in 1_usize..600,
    ) {
        let text = repeated(&parts, 20_000);
        for (name, tokenizer) in tokenizers() {
            let whole = tokenizer.encode(&text).unwrap().ids;
            let cut = tokenizer.encode_up_to(&text, max_tokens).unwrap();
            let n = max_tokens.min(whole.len());
            prop_assert_eq!(&cut.ids, &whole[..n], "{}", name);
            prop_assert_eq!(cut.is_truncated, whole.len() > max_tokens, "{}", name);
            let bare = tokenizer.encode_without_special(&text).unwrap().ids;
            let cut = tokenizer.encode_up_to_without_special(&text, max_tokens).unwrap();
            prop_assert_eq!(&cut.ids, &bare[..max_tokens.min(bare.len())], "{}", name);
        }
    }
}
