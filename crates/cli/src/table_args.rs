//! Flags about how files of texts are written.

use attention_probes_activations::{DatasetConfig, Quoting, TableFormat};
use clap::{Args, ValueEnum};

use crate::exit::InputError;

/// How the fields of CSV and TSV files are written.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct TableArgs {
    /// Say what a quote means in CSV and TSV files; `--quoting none` reads it as a character like any
    /// other, as in GLUE's tables.
    #[arg(long, value_enum)]
    pub quoting: Option<QuotingArg>,
    /// Character before a quote within a quoted field of CSV and TSV files, e.g. `--escape '\'`.
    #[arg(long, value_name = "CHARACTER")]
    pub escape: Option<char>,
}

/// [`Quoting`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QuotingArg {
    /// A field may stand in quotes.
    Minimal,
    /// A quote means nothing.
    None,
}

impl TableArgs {
    /// The format that the flags say.
    ///
    /// # Errors
    ///
    /// [`InputError`] if `--escape` is a character that cannot escape a quote.
    pub fn format(self) -> Result<TableFormat, InputError> {
        let quoting = self.quoting.map(|quoting| match quoting {
            QuotingArg::Minimal => Quoting::Minimal,
            QuotingArg::None => Quoting::None,
        });
        let format = TableFormat { quoting, escape: self.escape };
        match format.fault() {
            Some(fault) => Err(InputError(format!("`--escape` {fault}"))),
            None => Ok(format),
        }
    }

    /// The column of the text in files of this format.
    ///
    /// # Errors
    ///
    /// As [`TableArgs::format`].
    pub fn columns(self, text: &str) -> Result<DatasetConfig, InputError> {
        let (text, format) = (text.to_owned(), self.format()?);
        Ok(DatasetConfig { text, format, ..DatasetConfig::default() })
    }
}
