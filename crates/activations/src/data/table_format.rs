//! How the fields of CSV and TSV files are written.

use serde::{Deserialize, Serialize};

/// How the fields of CSV and TSV files are written; other files have no use for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableFormat {
    /// What a quote means. Default none: as [`Quoting::Minimal`], but rows of a TSV file that quotes
    /// seem to have swallowed are refused.
    pub quoting: Option<Quoting>,
    /// ASCII character before a quote within a quoted field, such as `\`, beside a doubled quote.
    /// Default none.
    pub escape: Option<char>,
}

/// What a quote means in CSV and TSV files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quoting {
    /// A field may stand in quotes, and then hold separators, line breaks, and doubled quotes.
    Minimal,
    /// Nothing: a quote is a character like any other, as in the files of GLUE.
    None,
}

impl TableFormat {
    /// Why the format is none, where it contradicts itself; for a message behind its name.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::{Quoting, TableFormat};
    ///
    /// let escaped = TableFormat { escape: Some('\\'), ..TableFormat::default() };
    /// assert_eq!(escaped.fault(), None);
    /// let contradiction = TableFormat { quoting: Some(Quoting::None), ..escaped };
    /// assert!(contradiction.fault().is_some_and(|fault| fault.contains("quoting")));
    /// ```
    pub fn fault(&self) -> Option<&'static str> {
        match self.escape {
            Some(_) if self.quoting == Some(Quoting::None) => {
                Some("is for quoted fields, but `quoting` is `none`; leave out one of them")
            }
            Some(escape) if !escape.is_ascii_punctuation() || escape == '"' => {
                Some("must be one ASCII punctuation mark other than a quote, such as `\\`")
            }
            _ => None,
        }
    }

    /// The escape as a byte.
    pub(crate) fn escape_byte(self) -> Option<u8> {
        self.escape.and_then(|escape| u8::try_from(escape).ok())
    }
}
