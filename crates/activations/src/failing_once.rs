//! A file that fails once: for a writer that would try again when it is dropped, and say on stderr
//! that this failed too.

use std::io::{self, Seek, SeekFrom, Write};

/// Passes on the first error of a file, and pretends from then on that all is well.
pub(crate) struct FailingOnce<W> {
    file: W,
    /// Where the file would be if it had not failed; `None` if it has not.
    pretended: Option<u64>,
}

impl<W: Seek> FailingOnce<W> {
    pub(crate) fn new(file: W) -> Self {
        Self { file, pretended: None }
    }

    fn remember(&mut self, error: io::Error) -> io::Error {
        self.pretended = Some(self.file.stream_position().unwrap_or(0));
        error
    }
}

impl<W: Write + Seek> Write for FailingOnce<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(position) = &mut self.pretended {
            *position += bytes.len() as u64;
            return Ok(bytes.len());
        }
        match self.file.write(bytes) {
            // The caller writes again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Ok(0) if !bytes.is_empty() => Err(self.remember(io::ErrorKind::WriteZero.into())),
            result => result.map_err(|error| self.remember(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.pretended.is_some() {
            return Ok(());
        }
        self.file.flush().map_err(|error| self.remember(error))
    }
}

impl<W: Seek> Seek for FailingOnce<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let Some(position) = &mut self.pretended else {
            return self.file.seek(to).map_err(|error| self.remember(error));
        };
        *position = match to {
            SeekFrom::Start(position) => position,
            SeekFrom::Current(by) | SeekFrom::End(by) => position.saturating_add_signed(by),
        };
        Ok(*position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    #[test]
    fn an_archive_meets_one_error_and_none_when_it_is_dropped() {
        let mut space = [0; 60];
        let mut file = FailingOnce::new(Cursor::new(&mut space[..]));
        {
            let mut zip = ZipWriter::new(&mut file);
            let options =
                SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            zip.start_file("a", options).unwrap();
            assert!(zip.write_all(&[1; 100]).and_then(|()| zip.flush()).is_err());
            zip.finish().unwrap();
        }
        assert!(file.pretended.is_some());
    }
}
