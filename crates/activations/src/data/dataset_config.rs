//! Which columns of a file of labelled texts are read.

use crate::TableFormat;

/// Which columns of a file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetConfig {
    /// Column of the text. Default `text`.
    pub text: String,
    /// Column of the label. Default `label`.
    pub label: String,
    /// Column of the group, if there is one. Default none.
    pub group: Option<String>,
    /// How fields of CSV and TSV files are written.
    pub format: TableFormat,
}

impl Default for DatasetConfig {
    fn default() -> Self {
        Self {
            text: "text".to_owned(),
            label: "label".to_owned(),
            group: None,
            format: TableFormat::default(),
        }
    }
}
