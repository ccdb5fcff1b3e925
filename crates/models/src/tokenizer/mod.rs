//! Text to token ids and back.

mod added_tokens;
mod beginning;
mod checks;
mod encoder;
mod encoding;
mod prefix;
mod unicode_form;

#[cfg(feature = "hub")]
pub(crate) use self::added_tokens::ADDED_TOKENS;
pub(crate) use self::checks::MAX_ID;
pub use self::encoder::Tokenizer;
pub use self::encoding::{CutEncoding, Encoding};
pub use self::unicode_form::compatibility_form;
