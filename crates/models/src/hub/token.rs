//! A token of the Hub, which nothing prints.

use std::fmt;

/// A token that the Hub knows an account by.
///
/// Nothing prints it: it has no `Display`, and its `Debug` is `Token(…)`.
///
/// # Examples
///
/// ```
/// use attention_probes::models::Token;
///
/// let token = Token::new("hf_secret").ok_or("is not empty")?;
/// assert_eq!(format!("{token:?}"), "Token(…)");
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token as a variable or a file holds it; `None` if there is nothing but white space.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The token itself, for the header of a request and for nothing else.
    #[cfg(feature = "hub")]
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_no_token_and_no_part_of_one() {
        assert_eq!(Token::new(" \n"), None);
        assert_eq!(Token::new(" hf_a\n"), Token::new("hf_a"));
    }
}
