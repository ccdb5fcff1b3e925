//! Every sequence through the model once, all activations that are asked for out.

use attention_probes_models::{HookPoint, HookSet};

use super::hook::CaptureHook;
use super::options::{CaptureOrder, ModelCapture, NonFinitePolicy};
use super::order::Waiting;
use super::pass::run_pass;
use super::rows::{CaptureSummary, NonFinite, SequenceRows};
use crate::ActivationError;

/// Runs a model once over sequences of token ids and hands on what its hooks see of each.
///
/// # Shapes
///
/// As [`SequenceRows::values`].
///
/// # Errors
///
/// - [`ActivationError::Model`] if the model refuses a batch, or its device fails
/// - [`ActivationError::NotFinite`] if a value is NaN or infinite and that is refused
/// - [`ActivationError::Stopped`] if [`Watch::stop`](super::Watch::stop) is given; what was handed on
///   stands
/// - whatever `sink` returns
///
/// # Memory
///
/// The activations of one forward pass at all hooks; with [`CaptureOrder::AsGiven`] also those of
/// the sequences that wait for their turn.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{CaptureHook, CaptureOptions, ModelCapture, capture_rows};
/// use attention_probes::activations::{ActivationError, CaptureOrder};
/// use attention_probes::models::{HookPoint, open_model};
/// use burn::tensor::Device;
///
/// let device = Device::flex();
/// let opened = open_model("demo-gpt2", None, &device)?;
/// let sequences = ["Once upon a time", "The end"].map(|text| opened.tokenizer.encode(text));
/// let sequences = sequences.map(|encoding| encoding.map(|encoding| encoding.ids));
/// let [first, second] = sequences;
///
/// let hooks = [CaptureHook::from(HookPoint::ResidPost(2))];
/// let options = CaptureOptions { order: CaptureOrder::AsGiven, ..CaptureOptions::default() };
/// let capture = ModelCapture { model: &*opened.model, device: &device, hooks: &hooks, options };
/// let mut lengths = Vec::new();
/// let summary = capture_rows(&capture, &[first?, second?], |rows| {
///     assert_eq!(rows.values[0].len(), rows.n_tokens * 160);
///     lengths.push(rows.n_tokens);
///     Ok::<(), ActivationError>(())
/// })?;
/// assert_eq!(summary.n_tokens, lengths.iter().sum::<usize>());
/// assert!(summary.non_finite.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn capture_rows<E: From<ActivationError>>(
    capture: &ModelCapture<'_>,
    sequences: &[impl AsRef<[u32]>],
    mut sink: impl FnMut(&SequenceRows<'_>) -> Result<(), E>,
) -> Result<CaptureSummary, E> {
    let options = &capture.options;
    let ids: Vec<&[u32]> = sequences.iter().map(AsRef::as_ref).collect();
    let lengths: Vec<usize> = ids.iter().map(|ids| ids.len()).collect();
    let hooks = HookSet::new(capture.hooks.iter().map(|wanted| wanted.hook));
    let mut waiting = match options.order {
        CaptureOrder::AsComputed => None,
        CaptureOrder::AsGiven => Some(Waiting::new(lengths.iter().map(|n| *n > 0).collect())),
    };
    let n_empty = lengths.iter().filter(|n| **n == 0).count();
    let n_filled = lengths.len() - n_empty;
    let mut summary = CaptureSummary { n_empty, ..CaptureSummary::default() };
    for batch in options.batching.batches(&lengths, capture.model.shape().n_ctx) {
        options.watch.stop.check().map_err(ActivationError::from)?;
        let mut pass = run_pass(capture, &hooks, &batch, &ids)?;
        for (row, &sequence) in batch.sequences.iter().enumerate() {
            let length = lengths[sequence];
            let values = pass.of_row(row, length, options.n_before);
            let non_finite = first_non_finite(sequence, capture.hooks, &values);
            summary.n_tokens += length;
            summary.non_finite.extend(non_finite);
            let is_kept = match (options.non_finite, non_finite) {
                (NonFinitePolicy::Refuse, Some(NonFinite { hook, index, value, .. })) => {
                    return Err(ActivationError::NotFinite { sequence, hook, index, value }.into());
                }
                (NonFinitePolicy::Skip, Some(_)) => false,
                _ => true,
            };
            let n_tokens = length - options.n_before.min(length);
            let rows = SequenceRows { sequence, n_tokens, values, non_finite };
            let rows = is_kept.then_some(&rows);
            match (&mut waiting, rows) {
                (Some(waiting), rows) => waiting.take(sequence, rows, &mut sink)?,
                (None, Some(rows)) => sink(rows)?,
                (None, None) => {}
            }
        }
        summary.n_sequences += batch.sequences.len();
        if let Some(progress) = options.watch.progress {
            progress(summary.n_sequences, n_filled);
        }
    }
    summary.non_finite.sort_by_key(|found| found.sequence);
    Ok(summary)
}

fn first_non_finite(
    sequence: usize,
    hooks: &[CaptureHook],
    values: &[&[f32]],
) -> Option<NonFinite> {
    hooks.iter().zip(values).find_map(|(CaptureHook { hook, .. }, values)| {
        let is_scores = matches!(hook, HookPoint::AttnScores(_));
        let is_hidden = |x: f32| is_scores && x == f32::NEG_INFINITY;
        let is_bad = |x: &f32| !(x.is_finite() || is_hidden(*x));
        let index = values.iter().position(is_bad)?;
        Some(NonFinite { sequence, hook: *hook, index, value: values[index] })
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use attention_probes_errors::Stop;
    use attention_probes_models::Convention;

    use super::*;
    use crate::testing::Fixture;
    use crate::{Batching, CaptureOptions, Watch};

    const HOOKS: [CaptureHook; 3] = [
        CaptureHook { hook: HookPoint::ResidPost(1), convention: Convention::Raw },
        CaptureHook { hook: HookPoint::AttnScores(0), convention: Convention::Raw },
        CaptureHook { hook: HookPoint::ResidPost(1), convention: Convention::TlProcessed },
    ];

    type Kept = Vec<(usize, Vec<Vec<f32>>)>;

    fn run(
        fixture: &Fixture,
        sequences: &[&[u32]],
        options: CaptureOptions<'_>,
    ) -> Result<(Kept, CaptureSummary), ActivationError> {
        let capture =
            ModelCapture { model: &fixture.model, device: &fixture.device, hooks: &HOOKS, options };
        let mut kept = Kept::new();
        let summary = capture_rows(&capture, sequences, |rows| {
            let values = rows.values.iter().map(|values| values.to_vec()).collect();
            kept.push((rows.sequence, values));
            Ok::<(), ActivationError>(())
        })?;
        Ok((kept, summary))
    }

    fn sequences(fixture: &Fixture) -> Vec<&[u32]> {
        let mut all: Vec<&[u32]> =
            (0..fixture.tokens.len()).map(|i| fixture.tokens.sequence(i)).collect();
        all.insert(1, &[]);
        all
    }

    #[test]
    fn in_the_order_given_whatever_the_batches() {
        let fixture = Fixture::damaged();
        let all = sequences(&fixture);
        let mut expected = run(&fixture, &all, CaptureOptions::default()).unwrap().0;
        assert_ne!(expected.iter().map(|one| one.0).collect::<Vec<_>>(), [0, 2, 3, 5, 6]);
        expected.sort_by_key(|one| one.0);
        let options = CaptureOptions { order: CaptureOrder::AsGiven, ..CaptureOptions::default() };
        let (kept, summary) = run(&fixture, &all, options).unwrap();
        assert_eq!(kept, expected);
        assert_eq!(kept.iter().map(|one| one.0).collect::<Vec<_>>(), [0, 2, 3, 5, 6]);
        assert_eq!((summary.n_sequences, summary.n_empty, summary.n_tokens), (6, 1, 28));
        assert_eq!((summary.non_finite.len(), summary.non_finite[0].sequence), (1, 4));
    }

    #[test]
    fn a_sequence_has_the_same_bits_in_any_batch_if_asked() {
        let fixture = Fixture::new();
        let all = sequences(&fixture);
        let options = CaptureOptions {
            batching: Batching::SameBits { max_tokens: 40 },
            ..CaptureOptions::default()
        };
        let (together, _) = run(&fixture, &all, options.clone()).unwrap();
        for (sequence, values) in together {
            let (alone, _) = run(&fixture, &[all[sequence]], options.clone()).unwrap();
            assert_eq!(alone, [(0, values)]);
        }
    }

    #[test]
    fn nan_is_skipped_kept_or_refused() {
        let fixture = Fixture::damaged();
        let all = sequences(&fixture);
        for (non_finite, n_kept) in [(NonFinitePolicy::Skip, 5), (NonFinitePolicy::Keep, 6)] {
            let options = CaptureOptions { non_finite, ..CaptureOptions::default() };
            let (kept, summary) = run(&fixture, &all, options).unwrap();
            assert_eq!((kept.len(), summary.non_finite.len()), (n_kept, 1));
        }
        let refuse =
            CaptureOptions { non_finite: NonFinitePolicy::Refuse, ..CaptureOptions::default() };
        let error = run(&fixture, &all, refuse).unwrap_err();
        let ActivationError::NotFinite { sequence: 4, hook, .. } = error else {
            panic!("{error:?}")
        };
        assert_eq!(hook, HOOKS[0].hook);
    }

    #[test]
    fn minus_infinity_is_finite_only_where_a_key_is_hidden() {
        let is_finite = |hook: HookPoint, values: &[f32]| {
            first_non_finite(0, &[hook.into()], &[values]).is_none()
        };
        let hidden = [1.0, f32::NEG_INFINITY];
        assert!(is_finite(HookPoint::AttnScores(0), &hidden));
        assert!(!is_finite(HookPoint::Pattern(0), &hidden));
        assert!(!is_finite(HookPoint::AttnScores(0), &[f32::INFINITY]));
        assert!(!is_finite(HookPoint::AttnScores(0), &[f32::NAN]));
    }

    #[test]
    fn the_first_tokens_have_no_rows_if_asked_and_pairs_are_whole() {
        let fixture = Fixture::new();
        let all = sequences(&fixture);
        let (whole, _) = run(&fixture, &all, CaptureOptions::default()).unwrap();
        let options = CaptureOptions { n_before: 2, ..CaptureOptions::default() };
        for ((sequence, rows), (_, expected)) in
            run(&fixture, &all, options).unwrap().0.iter().zip(&whole)
        {
            let n_before = all[*sequence].len().min(2);
            assert_eq!(rows[0], expected[0][n_before * 8..]);
            assert_eq!(rows[1], expected[1]);
        }
    }

    #[test]
    fn a_capture_tells_how_far_it_is_and_can_be_stopped() {
        let fixture = Fixture::new();
        let all = sequences(&fixture);
        let (seen, stop) = (RefCell::new(Vec::new()), Stop::new());
        let progress = |done, total| {
            seen.borrow_mut().push((done, total));
            if done == 4 {
                stop.stop();
            }
        };
        let options = CaptureOptions {
            batching: Batching::InOrder { max_sequences: 2 },
            watch: Watch { progress: Some(&progress), stop: stop.clone() },
            ..CaptureOptions::default()
        };
        let error = run(&fixture, &all, options).unwrap_err();
        assert!(matches!(error, ActivationError::Stopped));
        assert_eq!(*seen.borrow(), [(2, 6), (4, 6)]);
    }

    #[test]
    fn a_capture_ends_between_two_blocks_of_a_forward_pass() {
        let fixture = Fixture::new();
        let n_asked = AtomicUsize::new(0);
        let stop = Stop::when(move || n_asked.fetch_add(1, Ordering::Relaxed) == 1);
        let watch = Watch { stop, ..Watch::default() };
        let options = CaptureOptions { watch, ..CaptureOptions::default() };
        let error = run(&fixture, &sequences(&fixture), options).unwrap_err();
        assert!(matches!(error, ActivationError::Stopped), "{error:?}");
    }
}
