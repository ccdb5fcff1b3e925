//! Words of a vocabulary by their first letter, and the prompts that absorption reads them in.

use std::fmt::Write as _;

use attention_probes_models::Tokenizer;
use rand::SeedableRng;
use rand::seq::{SliceRandom, index};
use rand_chacha::ChaCha8Rng;

/// Words and letters that come before the one that is asked for.
const N_EXAMPLES: usize = 10;

/// What `SAEBench` puts behind a word.
const QUESTION: &str = " has the first letter:";

/// A word in a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterPrompt {
    /// Ten other words with their first letters, and the word itself.
    pub text: String,
    /// Byte at which the word ends in the text.
    pub end: usize,
    /// Its first letter, 0 for `a` to 25 for `z`.
    pub letter: usize,
}

/// Tokens that are a word, with the space before it where there is one: those of ASCII letters alone.
///
/// `SAEBench` 0.6.0, `absorption/vocab.py`; in the order of their ids.
pub fn letter_words(tokenizer: &Tokenizer) -> Vec<String> {
    let ids = 0..u32::try_from(tokenizer.n_tokens()).unwrap_or(u32::MAX);
    let word = |id: u32| {
        if tokenizer.is_special(id) {
            return None;
        }
        // A word that some tokenizers would strip of its space, were it decoded alone.
        let spelled = tokenizer.id_to_token(id)?;
        let bare = spelled.strip_prefix(['Ġ', '▁']);
        let word = bare.map_or_else(|| spelled.clone(), |bare| format!(" {bare}"));
        let letters = word.trim_start_matches(' ');
        let is_word = !letters.is_empty() && letters.bytes().all(|b| b.is_ascii_alphabetic());
        is_word.then_some(word)
    };
    ids.filter_map(word).collect()
}

/// Draws words and puts each into a prompt, as `SAEBench`'s `create_icl_prompt` does:
///
/// ```text
/// \n{word} has the first letter: {LETTER}   ten times, then   \n{word} has the first letter:
/// ```
///
/// Not kept: the examples of a prompt are any of the words drawn, not only those on its side of a
/// split, so that one pass of the model serves every split. With fewer than eleven words there are
/// fewer examples.
pub fn letter_prompts(words: &[String], n_words: usize, seed: u64) -> Vec<LetterPrompt> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.shuffle(&mut rng);
    words.truncate(n_words);
    (0..words.len())
        .map(|place| {
            let n = N_EXAMPLES.min(words.len() - 1);
            let others = index::sample(&mut rng, words.len() - 1, n);
            let mut text = String::new();
            for other in others {
                // The word itself is passed over.
                let example = words[other + usize::from(other >= place)];
                let letter = first_letter(example).to_ascii_uppercase();
                let _ = write!(text, "\n{example}{QUESTION} {letter}");
            }
            let word = words[place];
            text.push('\n');
            text.push_str(word);
            let end = text.len();
            text.push_str(QUESTION);
            let letter = u32::from(first_letter(word)) - u32::from('a');
            LetterPrompt { text, end, letter: letter as usize }
        })
        .collect()
}

/// The first letter of a word of ASCII letters, in lowercase.
fn first_letter(word: &str) -> char {
    let letter = word.chars().find(char::is_ascii_alphabetic).unwrap_or('a');
    letter.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use attention_probes_models::demo::DemoModel;

    use super::*;

    #[test]
    fn words_are_tokens_of_letters_with_their_space() {
        for name in ["demo-gpt2", "demo-gemma"] {
            let tokenizer = DemoModel::named(name).unwrap().tokenizer().unwrap();
            let words = letter_words(&tokenizer);
            assert!(words.len() > 1000, "{name} {}", words.len());
            assert!(words.iter().any(|word| word == " the"), "{name}");
            let is_word = |word: &String| {
                let letters = word.strip_prefix(' ').unwrap_or(word);
                !letters.is_empty() && letters.chars().all(|c| c.is_ascii_alphabetic())
            };
            assert!(words.iter().all(is_word), "{name}");
        }
    }

    #[test]
    fn a_prompt_is_ten_examples_and_the_word() {
        let words: Vec<String> =
            (b'a'..=b'z').map(|letter| format!(" {}at", char::from(letter))).collect();
        let prompts = letter_prompts(&words, 20, 1);
        assert_eq!(prompts, letter_prompts(&words, 20, 1));
        assert_ne!(prompts, letter_prompts(&words, 20, 2));
        assert_eq!(prompts.len(), 20);
        for prompt in &prompts {
            let lines: Vec<&str> = prompt.text.split('\n').collect();
            assert_eq!((lines.len(), lines[0]), (12, ""));
            let word = &prompt.text[prompt.end - 4..prompt.end];
            assert_eq!(lines[11], format!("{word} has the first letter:"));
            assert_eq!(word.as_bytes()[1] - b'a', prompt.letter as u8);
            for line in &lines[1..11] {
                let (example, letter) = line.split_once(" has the first letter: ").unwrap();
                assert_ne!(example, word);
                assert_eq!(example[1..2].to_uppercase(), letter);
            }
        }
        assert_eq!(letter_prompts(&words[..1], 5, 1)[0].text, "\n aat has the first letter:");
    }
}
