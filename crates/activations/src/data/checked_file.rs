//! A file that is read once from its beginning: checked to be UTF-8, and hashed on the way.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

/// The byte-order mark that some editors put before UTF-8.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// A text file without its byte-order mark; a byte that is not UTF-8 ends it with an error.
pub(crate) struct CheckedFile {
    reader: io::Chain<io::Cursor<Vec<u8>>, File>,
    hasher: Box<blake3::Hasher>,
    /// Bytes of the byte-order mark, which are not handed on.
    mark_bytes: u64,
    /// Bytes handed on so far.
    n_read: u64,
    /// The beginning of a character whose end has not been read yet.
    unfinished: Vec<u8>,
    fault: Option<u64>,
}

impl CheckedFile {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut start = Vec::new();
        file.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut start)?;
        let mut hasher = Box::new(blake3::Hasher::new());
        let has_mark = start == BYTE_ORDER_MARK;
        if has_mark {
            hasher.update(&start);
            start.clear();
        }
        Ok(Self {
            reader: io::Cursor::new(start).chain(file),
            hasher,
            mark_bytes: if has_mark { BYTE_ORDER_MARK.len() as u64 } else { 0 },
            n_read: 0,
            unfinished: Vec::new(),
            fault: None,
        })
    }

    /// Where in the file a byte that was handed on stands.
    pub(crate) fn byte_in_file(&self, byte: u64) -> u64 {
        self.mark_bytes + byte
    }

    /// The first byte of the file that is not UTF-8, if one has been met.
    pub(crate) fn fault(&self) -> Option<u64> {
        self.fault.map(|byte| self.byte_in_file(byte))
    }

    /// BLAKE3 of what has been read so far, as hex.
    pub(crate) fn hash(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }

    /// Looks for bytes that are not UTF-8 among those that come next.
    fn check(&mut self, bytes: &[u8]) -> io::Result<()> {
        let start = self.n_read - self.unfinished.len() as u64;
        let joined = [&self.unfinished[..], bytes].concat();
        match str::from_utf8(&joined) {
            Ok(_) => self.unfinished.clear(),
            Err(error) if error.error_len().is_none() && !bytes.is_empty() => {
                self.unfinished = joined[error.valid_up_to()..].to_vec();
            }
            Err(error) => {
                self.fault = Some(start + error.valid_up_to() as u64);
                return Err(io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"));
            }
        }
        Ok(())
    }
}

impl Read for CheckedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let n = self.reader.read(buffer)?;
        self.check(&buffer[..n])?;
        self.hasher.update(&buffer[..n]);
        self.n_read += n as u64;
        Ok(n)
    }
}

/// Line of a byte, from 1; line breaks at the byte itself belong to the row before.
pub(crate) fn line_at(text: impl Read, byte: u64) -> io::Result<usize> {
    let mut reader = BufReader::new(text);
    let (mut line, mut place) = (1, 0);
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok(line);
        }
        for found in bytes {
            if place >= byte && !matches!(found, b'\r' | b'\n') {
                return Ok(line);
            }
            line += usize::from(*found == b'\n');
            place += 1;
        }
        let n = bytes.len();
        reader.consume(n);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Reads a file in pieces of `n` bytes; what there is, or the byte that is wrong.
    fn read_by(content: &[u8], n: usize) -> Result<Vec<u8>, Option<u64>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, content).unwrap();
        let mut file = CheckedFile::open(&path).unwrap();
        let (mut all, mut buffer) = (Vec::new(), vec![0; n]);
        loop {
            match file.read(&mut buffer) {
                Ok(0) => {
                    assert_eq!(file.hash(), blake3::hash(content).to_hex().to_string());
                    return Ok(all);
                }
                Ok(n) => all.extend(&buffer[..n]),
                Err(_) => return Err(file.fault()),
            }
        }
    }

    #[test]
    fn characters_may_lie_across_two_pieces() {
        let text = "\u{feff}aé€😀 end, longer than the pieces";
        for n in 1..12 {
            assert_eq!(read_by(text.as_bytes(), n).unwrap(), &text.as_bytes()[3..]);
        }
    }

    #[test]
    fn the_first_wrong_byte_is_known_whatever_the_pieces() {
        for (content, byte) in [
            (&b"abc\xffdef"[..], 3),
            (b"\xef\xbb\xbfab\xff", 5),
            (b"ab\xe2\x82", 2),
            (b"a\xe2\x82z", 1),
        ] {
            for n in 1..8 {
                assert_eq!(read_by(content, n), Err(Some(byte)), "{content:?} by {n}");
            }
        }
    }

    #[test]
    fn a_line_is_counted_past_its_line_break() {
        let line = |byte| line_at(&b"a\r\nb\r\n\r\nc"[..], byte).unwrap();
        assert_eq!([0, 2, 4, 99].map(line), [1, 2, 4, 4]);
    }
}
