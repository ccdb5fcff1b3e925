//! Looks over the strings of a Parquet page before they are decoded.
//!
//! Plain strings have their length before them, and the decoder panics where a page ends before
//! its last string does.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

/// Hands on the pages of a column of strings that hold all that they say.
pub(crate) struct CheckedPages<P> {
    pub(crate) pages: P,
    /// Whether a value may be null.
    pub(crate) has_nulls: bool,
}

impl<P: PageReader> PageReader for CheckedPages<P> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let Some(page) = self.pages.get_next_page()? else { return Ok(None) };
        if is_whole(&page, self.has_nulls) == Some(true) {
            return Ok(Some(page));
        }
        Err(ParquetError::EOF("a page ends before its strings do".to_owned()))
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl<P: PageReader> Iterator for CheckedPages<P> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// Whether a page has room for its strings; `None` where it ends too early to tell.
fn is_whole(page: &Page, has_nulls: bool) -> Option<bool> {
    let n_values = page.num_values() as usize;
    match page {
        Page::DictionaryPage { buf, .. } => Some(holds_strings(buf, n_values)),
        // Anything else refers to a dictionary, and is not of strings itself.
        Page::DataPage { encoding, .. } | Page::DataPageV2 { encoding, .. }
            if *encoding != Encoding::PLAIN =>
        {
            Some(true)
        }
        Page::DataPage { buf, .. } if !has_nulls => Some(holds_strings(buf, n_values)),
        Page::DataPage { buf, def_level_encoding: Encoding::RLE, .. } => {
            let (length, rest) = buf.split_first_chunk()?;
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (levels, values) = rest.split_at_checked(length)?;
            Some(holds_strings(values, n_present(levels, n_values)?))
        }
        // Older writers packed levels otherwise, before there were strings to speak of.
        Page::DataPage { .. } => Some(false),
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            let (_, rest) = buf.split_at_checked(*rep_levels_byte_len as usize)?;
            let (levels, values) = rest.split_at_checked(*def_levels_byte_len as usize)?;
            let n = if has_nulls { n_present(levels, n_values)? } else { n_values };
            Some(holds_strings(values, n))
        }
    }
}

fn holds_strings(mut bytes: &[u8], n: usize) -> bool {
    for _ in 0..n {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return false };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some(rest) = rest.get(length..) else { return false };
        bytes = rest;
    }
    true
}

/// How many of `n` levels of one bit are 1: runs, and groups of eight, as the format mixes them.
fn n_present(mut levels: &[u8], n: usize) -> Option<usize> {
    let (mut left, mut n_present) = (n, 0);
    while left > 0 {
        let (header, rest) = varint(levels)?;
        let count = usize::try_from(header >> 1).ok()?;
        if header & 1 == 0 {
            let (value, rest) = rest.split_first()?;
            let run = count.min(left);
            n_present += if value & 1 == 1 { run } else { 0 };
            left -= run;
            levels = rest;
        } else {
            let (groups, rest) = rest.split_at(count.min(rest.len()));
            let bits = groups.iter().flat_map(|group| (0..8).map(move |bit| group >> bit & 1));
            for bit in bits.take(left) {
                n_present += usize::from(bit);
                left -= 1;
            }
            if groups.len() < count && left > 0 {
                return None;
            }
            levels = rest;
        }
    }
    Some(n_present)
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = 1 + bytes.iter().take(9).position(|byte| *byte < 0x80)?;
    let (number, rest) = bytes.split_at(length);
    let join = |value, byte: &u8| value << 7 | u64::from(byte & 0x7f);
    Some((number.iter().rev().fold(0, join), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_end_within_their_bytes() {
        let bytes = [1, 0, 0, 0, b'a', 0, 0, 0, 0];
        assert!(holds_strings(&bytes, 0) && holds_strings(&bytes, 2));
        assert!(!holds_strings(&bytes, 3) && !holds_strings(&bytes[..8], 2));
        assert!(!holds_strings(&[0xff; 8], 1));
    }

    #[test]
    fn levels_are_runs_and_groups_of_eight() {
        // A run of 300 ones, then a group with three ones, of which the first two count.
        let levels = [0xd8, 0x04, 1, 0x03, 0b1000_0011];
        assert_eq!(n_present(&levels, 300), Some(300));
        assert_eq!(n_present(&levels, 304), Some(302));
        assert_eq!(n_present(&levels, 308), Some(303));
        assert_eq!(n_present(&levels, 309), None);
        assert_eq!(n_present(&[0, 1], 1), None);
        assert_eq!(n_present(&[], 0), Some(0));
        assert_eq!(varint(&[0x80; 20]), None);
    }
}
