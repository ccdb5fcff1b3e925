//! A folder as a data set of texts.

use attention_probes_models::Tokenizer;

use super::config::HaystackConfig;
use crate::{ActivationError, Dataset, HaystackError, HaystackFamily, HaystackFolder};

impl Dataset {
    /// Reads a folder of Gurnee et al. that the Python library `datasets` saved.
    ///
    /// Its tokens become text by `tokenizer`, with which they were made, and each token that is
    /// labelled a word of that text, its class `other` or the feature. Special tokens and padding
    /// at either end are left out, and a word on one is a word without a token. Of the labels of
    /// tokens, rows without any are left out; rows without text are left out and counted.
    ///
    /// # Errors
    ///
    /// - [`HaystackError`] if the folder is damaged, its tokens are of another tokenizer, or the
    ///   config does not fit its family; [`HaystackError::NoArrow`] without the feature `arrow`
    /// - [`ActivationError::Table`] if a column is missing or of another type
    /// - [`ActivationError::NoText`] if there is no text
    /// - [`ActivationError::OneClass`] if all labels are alike
    ///
    /// # Memory
    ///
    /// The texts, and eight bytes for each token while they are read.
    pub fn read_haystack(
        name: &str,
        folder: &HaystackFolder,
        tokenizer: &Tokenizer,
        config: &HaystackConfig,
    ) -> Result<Self, ActivationError> {
        let path = || folder.path().to_owned();
        if folder.family() == HaystackFamily::Position {
            return Err(HaystackError::Numbers { path: path() }.into());
        }
        if config.of_texts && !folder.family().has_classes_of_texts() {
            return Err(HaystackError::NoTextLabels { path: path() }.into());
        }
        #[cfg(feature = "arrow")]
        return super::decode::read(name, folder, tokenizer, config);
        #[cfg(not(feature = "arrow"))]
        {
            let _ = (name, tokenizer);
            Err(HaystackError::NoArrow { path: path() }.into())
        }
    }
}
