//! Flags about files of tagged words.

use attention_probes_activations::TaggedConfig;
use clap::Args;

/// Columns of a file of tagged words, for probes of the task `tokens`.
#[derive(Args, Debug)]
pub struct WordArgs {
    /// Probes of the task `tokens`: column of the words.
    #[arg(long, default_value = "tokens")]
    pub tokens: String,
    /// Probes of the task `tokens`: column of the tags.
    #[arg(long, default_value = "tags")]
    pub tags: String,
    /// Probes of the task `tokens`: column of the places of the words in the text, instead of the
    /// words.
    #[arg(long)]
    pub offsets: Option<String>,
}

impl WordArgs {
    /// The columns, with that of the text.
    pub(crate) fn columns(&self, text: &str, with_tags: bool) -> TaggedConfig {
        TaggedConfig {
            tokens: self.tokens.clone(),
            tags: with_tags.then(|| self.tags.clone()),
            text: text.to_owned(),
            offsets: self.offsets.clone(),
            group: None,
        }
    }
}
