//! A connection that must bring something to speak of.

use std::io::{self, ErrorKind, Read};
use std::time::{Duration, Instant};

/// Bytes that must come in each span of time: one kilobyte a second, where it is a minute.
const BYTES_PER_SPAN: u64 = 60 << 10;

/// Reads from a connection, and cuts it if it is slower than any line of use.
///
/// A timeout of each read does not do: a byte a second would go on for ever.
#[derive(Debug)]
pub(super) struct Paced<R> {
    inner: R,
    span: Duration,
    span_began: Instant,
    n_bytes: u64,
}

impl<R: Read> Paced<R> {
    pub(super) fn new(inner: R, span: Duration) -> Self {
        Self { inner, span, span_began: Instant::now(), n_bytes: 0 }
    }
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_read = self.inner.read(buffer)?;
        self.n_bytes += n_read as u64;
        if n_read > 0 && self.span_began.elapsed() >= self.span {
            if self.n_bytes < BYTES_PER_SPAN {
                let slow = "less than a kilobyte a second came";
                return Err(io::Error::new(ErrorKind::TimedOut, slow));
            }
            (self.span_began, self.n_bytes) = (Instant::now(), 0);
        }
        Ok(n_read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some bytes at each read, after a pause.
    struct Dribble(usize);

    impl Read for Dribble {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            std::thread::sleep(Duration::from_millis(2));
            Ok(buffer.len().min(self.0))
        }
    }

    #[test]
    fn a_byte_at_a_time_does_not_go_on_for_ever_and_a_steady_flow_does() {
        let read = |n: usize| {
            let mut paced = Paced::new(Dribble(n), Duration::from_millis(10));
            let mut buffer = vec![0; 1 << 16];
            (0..20).try_for_each(|_| paced.read(&mut buffer).map(|_| ()))
        };
        assert_eq!(read(1).unwrap_err().kind(), ErrorKind::TimedOut);
        read(1 << 16).unwrap();
    }
}
