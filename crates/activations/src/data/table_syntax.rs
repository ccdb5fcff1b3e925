//! The syntax of CSV and TSV files, checked on the way to the `csv` crate, which reads malformed
//! quotes and line ends as something else without a word.

use std::io::{self, Read};
use std::path::Path;

use super::checked_file::CheckedFile;
use crate::{Quoting, TableError, TableFormat};

/// What is wrong with a file; lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyntaxFault {
    /// A character other than a separator follows the closing quote of a field.
    TextAfterQuote { line: usize, opened: usize },
    /// A space stands between a separator and a quote.
    SpaceBeforeQuote { line: usize },
    /// A quoted field never ends.
    OpenQuote { line: usize },
    /// A carriage return outside quotes ends no line, or a line feed does where carriage returns
    /// do.
    LineEnd { line: usize, is_carriage_return: bool },
    /// Quotes make one row of lines that have every column each.
    SwallowedRows { first: usize, last: usize },
}

impl SyntaxFault {
    /// The fault as an error about a file.
    pub(crate) fn in_file(self, path: &Path) -> TableError {
        let path = path.to_owned();
        match self {
            Self::TextAfterQuote { line, opened } => {
                TableError::TextAfterQuote { path, line, opened }
            }
            Self::SpaceBeforeQuote { line } => TableError::SpaceBeforeQuote { path, line },
            Self::OpenQuote { line } => TableError::OpenQuote { path, line },
            Self::LineEnd { line, is_carriage_return } => {
                TableError::LineEnd { path, line, is_carriage_return }
            }
            Self::SwallowedRows { first, last } => TableError::SwallowedRows { path, first, last },
        }
    }
}

/// A CSV or TSV file that ends with an error at the first byte that is malformed.
pub(crate) struct CheckedTable {
    file: CheckedFile,
    syntax: Syntax,
    fault: Option<SyntaxFault>,
}

impl CheckedTable {
    pub(crate) fn new(file: CheckedFile, separator: u8, format: TableFormat) -> Self {
        Self { file, syntax: Syntax::new(separator, format), fault: None }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &CheckedFile {
        &self.file
    }

    /// What is wrong, if the file is malformed as far as it was read.
    pub(crate) fn fault(&self) -> Option<SyntaxFault> {
        self.fault
    }
}

impl Read for CheckedTable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let n = self.file.read(buffer)?;
        let checked = match n {
            0 => self.syntax.end(),
            n => buffer[..n].iter().try_for_each(|&byte| self.syntax.take(byte)),
        };
        checked.map_err(|fault| {
            self.fault = Some(fault);
            io::Error::new(io::ErrorKind::InvalidData, "malformed")
        })?;
        Ok(n)
    }
}

/// Where in a row a byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the beginning of a field.
    Start,
    /// Behind spaces at the beginning of a field.
    Spaces,
    /// In a field without quotes.
    Plain,
    /// In a quoted field.
    Quoted,
    /// Behind the escape within a quoted field.
    Escaped,
    /// Behind a quote within a quoted field, which closes it unless another one follows.
    Closed,
}

/// What ends a line; a carriage return before a line feed belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LineEnd {
    LineFeed,
    CarriageReturn,
}

/// How far a file has been checked.
struct Syntax {
    separator: u8,
    has_quotes: bool,
    escape: Option<u8>,
    /// Whether rows that quotes seem to have swallowed are refused.
    looks_for_swallowed: bool,
    place: Place,
    line: usize,
    /// Line on which the quoted field begins.
    opened: usize,
    /// What ended the first line.
    line_end: Option<LineEnd>,
    /// Whether the bytes before are carriage returns outside quotes.
    after_return: bool,
    row: Row,
    /// Separators of the header.
    n_of_header: Option<usize>,
}

/// The lines of a row.
struct Row {
    /// Its first line.
    first: usize,
    /// Separators between its fields so far.
    n_between: usize,
    /// Separators on its last line, those in quotes too.
    n_on_line: usize,
    /// Whether every line before the last has as many as the header.
    is_full: bool,
}

impl Row {
    fn new(first: usize) -> Self {
        Self { first, n_between: 0, n_on_line: 0, is_full: true }
    }
}

impl Syntax {
    fn new(separator: u8, format: TableFormat) -> Self {
        Self {
            separator,
            has_quotes: format.quoting != Some(Quoting::None),
            escape: format.escape_byte(),
            // In prose a comma on each of two lines is no sign; a tab is.
            looks_for_swallowed: format.quoting.is_none() && separator == b'\t',
            place: Place::Start,
            line: 1,
            opened: 1,
            line_end: None,
            after_return: false,
            row: Row::new(1),
            n_of_header: None,
        }
    }

    /// Takes the next byte.
    fn take(&mut self, byte: u8) -> Result<(), SyntaxFault> {
        if self.after_return && byte != b'\r' {
            self.after_return = false;
            if byte == b'\n' {
                return self.line_feed();
            }
            self.carriage_return()?;
        }
        let is_quote = byte == b'"' && self.has_quotes;
        self.row.n_on_line += usize::from(byte == self.separator);
        self.place = match self.place {
            Place::Quoted if self.escape == Some(byte) => Place::Escaped,
            Place::Quoted if is_quote => Place::Closed,
            Place::Escaped | Place::Quoted => self.within_quotes(byte),
            Place::Closed if is_quote => Place::Quoted,
            Place::Spaces if is_quote => {
                return Err(SyntaxFault::SpaceBeforeQuote { line: self.line });
            }
            Place::Start if is_quote => {
                self.opened = self.line;
                Place::Quoted
            }
            _ if byte == self.separator => {
                self.row.n_between += 1;
                Place::Start
            }
            _ if byte == b'\n' => return self.line_feed(),
            place if byte == b'\r' => {
                self.after_return = true;
                place
            }
            Place::Closed => {
                let (line, opened) = (self.line, self.opened);
                return Err(SyntaxFault::TextAfterQuote { line, opened });
            }
            Place::Start | Place::Spaces if byte == b' ' => Place::Spaces,
            Place::Start | Place::Spaces | Place::Plain => Place::Plain,
        };
        Ok(())
    }

    /// Takes the end of the file.
    fn end(&mut self) -> Result<(), SyntaxFault> {
        match self.place {
            Place::Quoted | Place::Escaped => Err(SyntaxFault::OpenQuote { line: self.opened }),
            _ => self.end_row(),
        }
    }

    /// A byte of a quoted field that does not close it.
    fn within_quotes(&mut self, byte: u8) -> Place {
        if byte == b'\n' {
            self.line += 1;
            self.row.is_full &= Some(self.row.n_on_line) == self.n_of_header;
            self.row.n_on_line = 0;
        }
        Place::Quoted
    }

    fn line_feed(&mut self) -> Result<(), SyntaxFault> {
        if self.line_end == Some(LineEnd::CarriageReturn) {
            return Err(SyntaxFault::LineEnd { line: self.line, is_carriage_return: false });
        }
        self.line_end = Some(LineEnd::LineFeed);
        self.end_row()
    }

    /// Carriage returns outside quotes that no line feed follows.
    fn carriage_return(&mut self) -> Result<(), SyntaxFault> {
        if self.line_end == Some(LineEnd::LineFeed) {
            return Err(SyntaxFault::LineEnd { line: self.line, is_carriage_return: true });
        }
        self.line_end = Some(LineEnd::CarriageReturn);
        self.end_row()
    }

    fn end_row(&mut self) -> Result<(), SyntaxFault> {
        let Row { first, n_between, n_on_line, is_full } = self.row;
        let is_full = is_full && Some(n_on_line) == self.n_of_header && n_on_line > 0;
        if self.looks_for_swallowed && self.line > first && is_full {
            return Err(SyntaxFault::SwallowedRows { first, last: self.line });
        }
        // A blank line is no row.
        let is_blank = n_between == 0 && self.place == Place::Start;
        if !is_blank && self.n_of_header.is_none() {
            self.n_of_header = Some(n_between);
        }
        self.line += 1;
        self.row = Row::new(self.line);
        self.place = Place::Start;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check_with(text: &str, separator: u8, format: TableFormat) -> Result<(), SyntaxFault> {
        let mut syntax = Syntax::new(separator, format);
        text.bytes().try_for_each(|byte| syntax.take(byte))?;
        syntax.end()
    }

    fn check(text: &str) -> Result<(), SyntaxFault> {
        check_with(text, b',', TableFormat::default())
    }

    fn unquoted() -> TableFormat {
        TableFormat { quoting: Some(Quoting::None), escape: None }
    }

    #[test]
    fn well_formed_files_pass() {
        for text in [
            "",
            "a,b\n1,2",
            "a,b\r\n\"x\",\"y \"\"z\"\"\"\r\n\r\n\"two\r\nlines, \rmore\n\",2\r\n",
            "a,b\r1,2\r\"x\ry\",3\r",
            "text\n5'11\" tall\nan \"inner\" quote\n",
            "a,b\r\r\n1,2\r\r\n",
            "a\n x\n  \n",
            "a\n\"\"\n\"\"\"\"\n",
            "a\nlast\r",
        ] {
            assert_eq!(check(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn text_behind_a_closing_quote_is_found_with_both_lines() {
        let fault = |line, opened| Err(SyntaxFault::TextAfterQuote { line, opened });
        assert_eq!(check("a,b\n\"x\" y,1\n"), fault(2, 2));
        assert_eq!(check("a,b\n1,\"open\nmore\nclosed\" y\n"), fault(4, 2));
        assert_eq!(check("a\n\"he said \\\"fine\\\" and left\"\n"), fault(2, 2));
        assert_eq!(check("a,b\n\"x\" ,1\n"), fault(2, 2));
        let escaped = TableFormat { escape: Some('\\'), ..TableFormat::default() };
        let text = "a,b\n\"he said \\\"fine\\\" and left\",\"ends in \\\\\"\n";
        assert_eq!(check_with(text, b',', escaped), Ok(()));
    }

    #[test]
    fn spaces_and_open_quotes_are_found() {
        assert_eq!(check("a, b\n1, \"x\"\n"), Err(SyntaxFault::SpaceBeforeQuote { line: 2 }));
        assert_eq!(check("a,b\n1,2\n\"x,3\n4,5\n"), Err(SyntaxFault::OpenQuote { line: 3 }));
        assert_eq!(check("a\n\"x"), Err(SyntaxFault::OpenQuote { line: 2 }));
        for text in ["a, b\n1, \"x\"\n", "a\n\"x", "a,b\n\"x\" y,1\n"] {
            assert_eq!(check_with(text, b',', unquoted()), Ok(()));
        }
    }

    #[test]
    fn a_line_ends_as_the_first_one_does() {
        let fault =
            |line, is_carriage_return| Err(SyntaxFault::LineEnd { line, is_carriage_return });
        assert_eq!(check("a\nx\ny\rz\n"), fault(3, true));
        assert_eq!(check("a,b\r\nx\ry,1\r\n"), fault(2, true));
        assert_eq!(check("a\rx\ry\nz\r"), fault(3, false));
        assert_eq!(check_with("a\nx\ry\n", b',', unquoted()), fault(2, true));
    }

    #[test]
    fn rows_that_quotes_swallowed_are_found_in_tab_separated_files() {
        let text = "s\tl\n\"one of the best\t1\ndull\t0\nhe was 6'2\"\t0\nlast\t1\n";
        let fault = Err(SyntaxFault::SwallowedRows { first: 2, last: 4 });
        assert_eq!(check_with(text, b'\t', TableFormat::default()), fault);
        let minimal = TableFormat { quoting: Some(Quoting::Minimal), escape: None };
        assert_eq!(check_with(text, b'\t', minimal), Ok(()));
        let field = "s\tl\n\"two\nlines\"\t1\n";
        assert_eq!(check_with(field, b'\t', TableFormat::default()), Ok(()));
        assert_eq!(check(&text.replace('\t', ",")), Ok(()));
    }

    proptest! {
        #[test]
        fn what_the_csv_crate_writes_passes(
            rows in prop::collection::vec(prop::array::uniform3("[a,\" \\\\\r\n]{0,6}"), 1..8),
        ) {
            let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
            writer.write_record(["x", "y", "z"]).unwrap();
            // An unquoted field may begin with a space, but then has no quote.
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            prop_assert_eq!(check(&text), Ok(()), "{:?}", text);
        }
    }
}
