//! Activations that were written.

use std::fmt::Write as _;

use attention_probes_activations::{ExtractReport, ExtractWritten, ShardReport};
use attention_probes_errors::shown_size;
use attention_probes_report::aligned;

/// What was written, with the name and shape of each tensor.
///
/// # Examples
///
/// ```no_run
/// use attention_probes::activations::{
///     ActivationError, ExtractConfig, ExtractInput, Watch, extract,
/// };
/// use attention_probes::pages::probes::text::extract_text;
///
/// fn print(input: &ExtractInput<'_>, config: &ExtractConfig) -> Result<(), ActivationError> {
///     println!("{}", extract_text(&extract(input, config, Watch::default())?));
///     Ok(())
/// }
/// ```
pub fn extract_text(report: &ExtractReport) -> String {
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
    aligned(&mut text, &rows);
    if !non_finite.is_empty() {
        let _ = writeln!(text, "NaN or infinity in {} texts: {non_finite:?}", non_finite.len());
    }
    text
}
