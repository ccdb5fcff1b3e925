//! Looks over the pages of a Parquet column before they are decoded.
//!
//! The decoder allocates what a page's header asks for, so the headers are read here first, which
//! is all that this module knows of Thrift's compact protocol.
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>

/// Largest page, decompressed. Writers make pages of about one MiB.
const MAX_PAGE_BYTES: i64 = 256 << 20;

/// Largest dictionary, decompressed. Writers give up on dictionaries of more than one MiB.
const MAX_DICTIONARY_BYTES: i64 = 64 << 20;

/// Fewest bytes of a value in a dictionary: its length, or an integer of 32 bits.
const MIN_VALUE_BYTES: i64 = 4;

/// Encodings that allocate no more than a page holds: plain, both of dictionaries, and run-length.
const ENCODINGS: [i64; 4] = [0, 2, 3, 8];

/// Deepest structure within structures in a header.
const MAX_DEPTH: usize = 8;

/// What is wrong with the pages of a column; `None` if they may be decoded.
pub(crate) fn fault_of(column: &[u8]) -> Option<&'static str> {
    let mut rest = column;
    while !rest.is_empty() {
        let mut reader = Compact(rest);
        let Some(page) = Page::read(&mut reader) else { return Some("a damaged page header") };
        if let Some(fault) = page.fault() {
            return Some(fault);
        }
        let Some(behind) = usize::try_from(page.compressed).ok().and_then(|n| reader.0.get(n..))
        else {
            return Some("a page that is longer than its column");
        };
        rest = behind;
    }
    None
}

/// What a page header says about sizes.
#[derive(Debug, Default)]
struct Page {
    uncompressed: i64,
    compressed: i64,
    encoding: i64,
    /// Values of a dictionary.
    dictionary: Option<i64>,
    /// Bytes of levels that stand before the values.
    levels: [i64; 2],
}

impl Page {
    fn read(reader: &mut Compact<'_>) -> Option<Self> {
        let mut page = Self::default();
        reader.fields(&mut |reader, id, kind| {
            match id {
                2 => page.uncompressed = reader.integer(kind)?,
                3 => page.compressed = reader.integer(kind)?,
                // A page of data, of the first version and of the second.
                5 if kind == Kind::STRUCT => reader.fields(&mut |reader, id, kind| match id {
                    2 => reader.integer(kind).map(|encoding| page.encoding = encoding),
                    _ => reader.skip(kind, 0),
                })?,
                8 if kind == Kind::STRUCT => reader.fields(&mut |reader, id, kind| match id {
                    4 => reader.integer(kind).map(|encoding| page.encoding = encoding),
                    5 => reader.integer(kind).map(|length| page.levels[0] = length),
                    6 => reader.integer(kind).map(|length| page.levels[1] = length),
                    _ => reader.skip(kind, 0),
                })?,
                7 if kind == Kind::STRUCT => reader.fields(&mut |reader, id, kind| match id {
                    1 => reader.integer(kind).map(|n_values| page.dictionary = Some(n_values)),
                    2 => reader.integer(kind).map(|encoding| page.encoding = encoding),
                    _ => reader.skip(kind, 0),
                })?,
                _ => reader.skip(kind, 0)?,
            }
            Some(())
        })?;
        Some(page)
    }

    fn fault(&self) -> Option<&'static str> {
        let Self { uncompressed, compressed, encoding, dictionary, levels } = *self;
        let is_negative =
            [uncompressed, compressed, levels[0], levels[1]].iter().any(|length| *length < 0);
        if is_negative || levels[0].saturating_add(levels[1]) > uncompressed {
            return Some("a page header that contradicts itself");
        }
        if uncompressed > MAX_PAGE_BYTES {
            return Some("a page of more than 256 MiB");
        }
        if let Some(n_values) = dictionary {
            if uncompressed > MAX_DICTIONARY_BYTES {
                return Some("a dictionary of more than 64 MiB");
            }
            if !(0..=uncompressed / MIN_VALUE_BYTES).contains(&n_values) {
                return Some("a dictionary of more values than it has room for");
            }
        }
        (!ENCODINGS.contains(&encoding))
            .then_some("an encoding that is not read; write it with plain or dictionary encoding")
    }
}

/// What is left to read of Thrift's compact protocol.
struct Compact<'a>(&'a [u8]);

/// Types of the protocol that are told apart.
struct Kind;

impl Kind {
    const TRUE: u8 = 1;
    const FALSE: u8 = 2;
    const BYTE: u8 = 3;
    const I16: u8 = 4;
    const I64: u8 = 6;
    const DOUBLE: u8 = 7;
    const BINARY: u8 = 8;
    const LIST: u8 = 9;
    const SET: u8 = 10;
    const STRUCT: u8 = 12;
}

impl<'a> Compact<'a> {
    /// Calls `each` with the number and type of every field of a structure.
    fn fields(&mut self, each: &mut dyn FnMut(&mut Self, i64, u8) -> Option<()>) -> Option<()> {
        let mut id = 0_i64;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(());
            }
            id = match header >> 4 {
                0 => self.zigzag()?,
                delta => id.checked_add(i64::from(delta))?,
            };
            each(self, id, header & 0x0f)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match kind {
            Kind::TRUE | Kind::FALSE => {}
            Kind::BYTE => self.bytes(1).map(|_| ())?,
            Kind::I16..=Kind::I64 => self.varint().map(|_| ())?,
            Kind::DOUBLE => self.bytes(8).map(|_| ())?,
            Kind::BINARY => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.bytes(length)?;
            }
            Kind::LIST | Kind::SET => {
                let header = self.byte()?;
                let length = match header >> 4 {
                    15 => self.varint()?,
                    length => u64::from(length),
                };
                for _ in 0..length {
                    match header & 0x0f {
                        Kind::TRUE | Kind::FALSE => self.bytes(1).map(|_| ())?,
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
            }
            Kind::STRUCT => self.fields(&mut |reader, _, kind| reader.skip(kind, depth + 1))?,
            _ => return None,
        }
        Some(())
    }

    fn integer(&mut self, kind: u8) -> Option<i64> {
        (Kind::I16..=Kind::I64).contains(&kind).then(|| self.zigzag())?
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with a page of data, `n` bytes uncompressed and as many compressed, plain.
    fn header(n: u64) -> Vec<u8> {
        let mut bytes = vec![0x15, 0x00]; // field 1: a page of data
        for _ in 0..2 {
            bytes.push(0x15);
            let mut zigzag = n << 1;
            while zigzag >= 0x80 {
                bytes.push((zigzag & 0x7f) as u8 | 0x80);
                zigzag >>= 7;
            }
            bytes.push(zigzag as u8);
        }
        // Field 5: two values, plain; then the end of both structures.
        bytes.extend([0x2c, 0x15, 0x04, 0x15, 0x00, 0x00, 0x00]);
        bytes
    }

    #[test]
    fn pages_are_followed_to_the_end_of_the_column() {
        let page = [header(3), vec![7; 3]].concat();
        assert_eq!(fault_of(&[&page[..], &page].concat()), None);
        assert_eq!(
            fault_of(&page[..page.len() - 1]),
            Some("a page that is longer than its column")
        );
        assert_eq!(fault_of(&page[..4]), Some("a damaged page header"));
        assert_eq!(fault_of(&header(1 << 29)), Some("a page of more than 256 MiB"));
    }

    #[test]
    fn lengths_within_a_header_cannot_lead_out_of_it() {
        // An unknown field that is a list of 2^60 structures, or text of that length.
        for bytes in [&[0x99, 0xfc][..], &[0x98]] {
            let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
            assert!(fault_of(&[bytes, &huge].concat()).is_some());
        }
        // Structures within structures.
        assert!(fault_of(&[0x9c].repeat(1000)).is_some());
        // A list of 2^60 truths needs as many bytes.
        assert!(
            fault_of(&[0x99, 0xf1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]).is_some()
        );
    }
}
