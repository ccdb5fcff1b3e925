//! The token that stands for the beginning of a text.

use super::Tokenizer;

/// Names of such tokens, for tokenizers that put none before a text by themselves.
const NAMES: [&str; 2] = ["<bos>", "<|endoftext|>"];

impl Tokenizer {
    /// The token that stands for the beginning of a text: the one that the tokenizer puts before
    /// it, else `<bos>` or `<|endoftext|>` if there is such a token.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::models::demo::DemoModel;
    ///
    /// let tokenizer = DemoModel::named("demo-gpt2").ok_or("is embedded")?.tokenizer()?;
    /// let first = tokenizer.beginning().ok_or("has one")?;
    /// assert!(tokenizer.is_special(first));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn beginning(&self) -> Option<u32> {
        let of_template = self.encode("").ok().and_then(|encoding| encoding.ids.first().copied());
        of_template.or_else(|| NAMES.iter().find_map(|name| self.token_to_id(name)))
    }
}
