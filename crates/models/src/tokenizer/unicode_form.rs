//! One form for characters that Unicode can write in several ways.

use tokenizers::NormalizedString;

/// The text in Unicode's form NFKC, in which a letter and its accent are one character, and
/// characters that differ in width or style alone are one.
///
/// # Examples
///
/// ```
/// use attention_probes::models::compatibility_form;
///
/// assert_eq!(compatibility_form("cafe\u{301}"), "café");
/// assert_eq!(compatibility_form("ﬁt"), "fit");
/// ```
pub fn compatibility_form(text: &str) -> String {
    let mut text = NormalizedString::from(text);
    text.nfkc();
    text.get().to_owned()
}
