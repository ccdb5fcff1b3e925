//! Files in one `.tar.gz`.

use std::io::{self, Write};
use std::path::Path;

use attention_probes_activations::{ActivationError, write_atomically};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Bytes of a block of a tape archive.
const BLOCK: usize = 512;

/// Writes files, by name and contents, as a compressed archive whose bytes depend on nothing else.
///
/// # Errors
///
/// [`ActivationError::File`] if it cannot be written, or a name has more than 100 bytes.
pub fn write_package(path: &Path, files: &[(String, Vec<u8>)]) -> Result<(), ActivationError> {
    write_atomically(path, |file| {
        let mut archive = GzEncoder::new(file, Compression::default());
        for (name, contents) in files {
            archive.write_all(&header(name, contents.len())?)?;
            archive.write_all(contents)?;
            let rest = contents.len().next_multiple_of(BLOCK) - contents.len();
            archive.write_all(&vec![0; rest])?;
        }
        archive.write_all(&[0; 2 * BLOCK])?;
        archive.finish().map(|_| ())
    })
}

/// The block before a file, in the form `ustar` (POSIX.1-1988).
fn header(name: &str, size: usize) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    // Places and widths of the fields.
    let mut put = |at: usize, width: usize, text: &str| {
        if text.len() > width {
            let error = format!("`{text}` is too long for an archive");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
        Ok(())
    };
    put(0, 100, name)?;
    put(100, 8, "0000644\0")?;
    put(108, 8, "0000000\0")?;
    put(116, 8, "0000000\0")?;
    put(124, 12, &format!("{size:011o}\0"))?;
    put(136, 12, "00000000000\0")?;
    // The checksum is made with blanks in its place.
    put(148, 8, "        ")?;
    put(156, 1, "0")?;
    put(257, 8, "ustar\x0000")?;
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn files_are_found_again_where_their_headers_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("package.tar.gz");
        let files = [("a.json".to_owned(), b"{}".to_vec()), ("b".to_owned(), vec![7; 1000])];
        write_package(&path, &files).unwrap();
        let mut bytes = Vec::new();
        GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_end(&mut bytes).unwrap();
        let mut at = 0;
        for (name, contents) in &files {
            let field = |from: usize, to: usize| {
                let text = String::from_utf8_lossy(&bytes[at + from..at + to]).into_owned();
                text.trim_matches(['\0', ' ']).to_owned()
            };
            assert_eq!(field(0, 100), *name);
            assert_eq!(field(257, 263), "ustar");
            let size = usize::from_str_radix(&field(124, 136), 8).unwrap();
            let sum = u32::from_str_radix(&field(148, 156), 8).unwrap();
            let of_block: u32 = (at..at + BLOCK)
                .map(|i| if (148..156).contains(&(i - at)) { 32 } else { u32::from(bytes[i]) })
                .sum();
            assert_eq!(sum, of_block);
            at += BLOCK;
            assert_eq!(&bytes[at..at + size], contents);
            at += size.next_multiple_of(BLOCK);
        }
        assert_eq!(bytes.len(), at + 2 * BLOCK);
        assert!(write_package(&path, &[("x".repeat(101), Vec::new())]).is_err());
    }
}
