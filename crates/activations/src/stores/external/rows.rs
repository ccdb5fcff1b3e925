//! Stored activations handed on as a model's are.

use crate::{CaptureSummary, ExternalActivations, SequenceRows};

/// Hands on stored activations, example by example, as [`capture_rows`](crate::capture_rows) hands
/// on what a model computes: whoever takes rows need not know where they come from.
///
/// Sequences are numbered as the examples that were kept; none has NaN or infinity.
///
/// # Shapes
///
/// One list of values for each sequence, `[n_tokens, d_model]`, sites side by side.
///
/// # Errors
///
/// Whatever `sink` returns.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{ExternalActivations, NpzArray, stored_rows, write_npz};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("a.npz");
/// write_npz(&path, &[("x", NpzArray::new(vec![2, 3], vec![0.5_f32; 6]))])?;
/// let activations = ExternalActivations::read(&path)?;
/// let mut lengths = Vec::new();
/// let summary = stored_rows(&activations, |rows| {
///     lengths.push(rows.values[0].len());
///     Ok::<(), std::io::Error>(())
/// })?;
/// assert_eq!((lengths, summary.n_sequences), (vec![3, 3], 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn stored_rows<E>(
    activations: &ExternalActivations,
    mut sink: impl FnMut(&SequenceRows<'_>) -> Result<(), E>,
) -> Result<CaptureSummary, E> {
    let ExternalActivations { x, offsets, d_model, .. } = activations;
    let mut summary = CaptureSummary::default();
    for (sequence, ends) in offsets.windows(2).enumerate() {
        let n_tokens = ends[1] - ends[0];
        let values = vec![&x[ends[0] * d_model..ends[1] * d_model]];
        sink(&SequenceRows { sequence, n_tokens, values, non_finite: None })?;
        summary.n_sequences += 1;
        summary.n_tokens += n_tokens;
    }
    Ok(summary)
}
