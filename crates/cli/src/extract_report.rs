//! What `probe extract` says it has written.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use attention_probes_activations::{ExtractReport, ExtractWritten, ShardReport};
pub(crate) use attention_probes_errors::shown_size;

use crate::table;

/// Prints one JSON object, or a table.
pub(crate) fn print(report: &ExtractReport, json: bool) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(report)?)?;
        return Ok(());
    }
    let mut text = String::new();
    let verb = if report.dry_run { "would write" } else { "wrote" };
    let output = report.output.display();
    let non_finite = match &report.written {
        ExtractWritten::File { size_bytes, non_finite_texts } => {
            let _ = writeln!(text, "{verb} {output} ({})", shown_size(*size_bytes));
            non_finite_texts
        }
        ExtractWritten::Shard(shard) => {
            let ShardReport { rows: [start, end], n_written, n_found, .. } = shard;
            let verb = if !report.dry_run && *n_written == 0 { "found" } else { verb };
            let _ = write!(text, "{verb} {output}, shard {}: rows {start} to {end}", shard.shard);
            if !report.dry_run {
                let size = shown_size(shard.size_bytes);
                let _ = write!(text, ", {} tokens, {size}; ", shard.n_tokens);
                let _ = write!(text, "{n_written} files written, {n_found} found whole");
            }
            text.push('\n');
            &shard.non_finite_texts
        }
    };
    let rows: Vec<[String; 2]> =
        report.tensors.iter().map(|(name, shape)| [name.clone(), format!("{shape:?}")]).collect();
    table::aligned(&mut text, &rows);
    if !non_finite.is_empty() {
        let _ = writeln!(text, "NaN or infinity in {} texts: {non_finite:?}", non_finite.len());
    }
    write!(stdout, "{text}")?;
    Ok(())
}
