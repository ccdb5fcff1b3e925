//! What a tokenizer makes of a text.

/// Token ids of one text with the place of each token in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// Token ids, `[pos]`.
    pub ids: Vec<u32>,
    /// Start and end of each token in bytes of the text.
    pub byte_offsets: Vec<(usize, usize)>,
}

/// The first token ids of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutEncoding {
    /// Token ids, `[pos]`.
    pub ids: Vec<u32>,
    /// Whether the text has more.
    pub is_truncated: bool,
}
