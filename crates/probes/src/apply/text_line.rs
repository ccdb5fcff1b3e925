//! Texts as lines of a stream, each a plain text or a JSON object.

use std::io::{BufRead, Read as _};

use attention_probes_errors::json_words;
use serde::Deserialize;

/// Longest line that is read, in bytes.
const MAX_LINE_BYTES: usize = 16 << 20;

/// Reads one line without its end; `None` at the end of the input, `Err` if it is longer than
/// 16 MiB, which is passed over.
///
/// # Errors
///
/// If the input cannot be read.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{read_text_line, text_from_line};
///
/// let mut input = &b"plain\r\n{\"text\": \"an object\"}\n"[..];
/// let mut texts = Vec::new();
/// while let Some(line) = read_text_line(&mut input)? {
///     texts.push(line.and_then(|line| text_from_line(&line)));
/// }
/// assert_eq!(texts, [Ok("plain".to_owned()), Ok("an object".to_owned())]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn read_text_line(
    input: &mut impl BufRead,
) -> std::io::Result<Option<Result<Vec<u8>, String>>> {
    let mut line = Vec::new();
    let limit = MAX_LINE_BYTES as u64 + 1;
    if input.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() > MAX_LINE_BYTES && line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
        return Ok(Some(Err(format!("the line is longer than {MAX_LINE_BYTES} bytes"))));
    }
    line.pop_if(|last| *last == b'\n');
    line.pop_if(|last| *last == b'\r');
    Ok(Some(Ok(line)))
}

/// The text of a line: the line itself, or `text` of a JSON object.
///
/// # Errors
///
/// What is wrong with the line, in words.
pub fn text_from_line(line: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Object {
        text: String,
    }
    if line.starts_with(b"{") {
        return serde_json::from_slice::<Object>(line).map(|object| object.text).map_err(|error| {
            format!("not a JSON object with a string `text`: {}", json_words(&error))
        });
    }
    String::from_utf8(line.to_vec()).map_err(|_| "the line is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_end_at_either_line_break_and_at_the_end() {
        let mut input = BufReader::new(&b"one\r\n\ntwo"[..]);
        let mut next = || read_text_line(&mut input).unwrap().map(Result::unwrap);
        assert_eq!(next().unwrap(), b"one");
        assert_eq!(next().unwrap(), b"");
        assert_eq!(next().unwrap(), b"two");
        assert_eq!(next(), None);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut long = vec![b'a'; MAX_LINE_BYTES + 5];
        long.extend(b"\nshort\n");
        let mut input = BufReader::new(&long[..]);
        assert!(read_text_line(&mut input).unwrap().unwrap().is_err());
        assert_eq!(read_text_line(&mut input).unwrap().unwrap().unwrap(), b"short");
        let mut fits = vec![b'a'; MAX_LINE_BYTES];
        fits.push(b'\n');
        let line = read_text_line(&mut &fits[..]).unwrap().unwrap().unwrap();
        assert_eq!(line.len(), MAX_LINE_BYTES);
    }

    #[test]
    fn a_line_is_a_text_or_an_object_with_one() {
        assert_eq!(text_from_line(b"plain").unwrap(), "plain");
        assert_eq!(text_from_line(br#"{"text": "a\nb", "id": 3}"#).unwrap(), "a\nb");
        assert!(text_from_line(br#"{"txt": "a"}"#).unwrap_err().contains("`text` is missing"));
        assert!(text_from_line(b"\xff").is_err());
    }
}
