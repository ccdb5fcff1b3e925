//! What `probe extract` says it has written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use attention_probes_models::Convention;
use serde::Serialize;

use crate::extract_folder::ShardReport;
use crate::table;

/// What `probe extract` prints.
#[derive(Debug, Serialize)]
pub(crate) struct ExtractReport<'a> {
    /// File or folder that was written.
    pub(crate) output: &'a Path,
    /// Name of the model.
    pub(crate) model: &'a str,
    /// Hash of its weights.
    pub(crate) revision: &'a str,
    /// Which numbers the activations are.
    pub(crate) convention: Convention,
    /// Shape of every tensor in the file; of a folder, axes of a token, or heads of a pair.
    pub(crate) tensors: BTreeMap<String, Vec<usize>>,
    #[serde(flatten)]
    pub(crate) written: Written,
    /// Whether nothing was run.
    pub(crate) dry_run: bool,
}

/// What was written, or would be.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Written {
    File {
        /// Bytes of all tensors.
        size_bytes: u64,
        /// Texts, by row, whose activations hold NaN or infinity.
        non_finite_texts: Vec<usize>,
    },
    Shard(ShardReport),
}

impl ExtractReport<'_> {
    /// Prints one JSON object, or a table.
    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        if json {
            writeln!(stdout, "{}", serde_json::to_string_pretty(self)?)?;
            return Ok(());
        }
        let mut text = String::new();
        let verb = if self.dry_run { "would write" } else { "wrote" };
        let output = self.output.display();
        let non_finite = match &self.written {
            Written::File { size_bytes, non_finite_texts } => {
                let _ = writeln!(text, "{verb} {output} ({})", shown_size(*size_bytes));
                non_finite_texts
            }
            Written::Shard(shard) => {
                let ShardReport { rows: [start, end], n_written, n_found, .. } = shard;
                let verb = if !self.dry_run && *n_written == 0 { "found" } else { verb };
                let _ =
                    write!(text, "{verb} {output}, shard {}: rows {start} to {end}", shard.shard);
                if !self.dry_run {
                    let size = shown_size(shard.size_bytes);
                    let _ = write!(text, ", {} tokens, {size}; ", shard.n_tokens);
                    let _ = write!(text, "{n_written} files written, {n_found} found whole");
                }
                text.push('\n');
                &shard.non_finite_texts
            }
        };
        let rows: Vec<[String; 2]> =
            self.tensors.iter().map(|(name, shape)| [name.clone(), format!("{shape:?}")]).collect();
        table::aligned(&mut text, &rows);
        if !non_finite.is_empty() {
            let _ = writeln!(text, "NaN or infinity in {} texts: {non_finite:?}", non_finite.len());
        }
        write!(stdout, "{text}")?;
        Ok(())
    }
}

/// Bytes as a person reads them.
pub(crate) fn shown_size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.2} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}
