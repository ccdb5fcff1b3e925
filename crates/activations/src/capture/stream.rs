//! The one pass: every sequence through the model once, all activations that are asked for out.

use std::cell::RefCell;
use std::collections::BTreeSet;

use attention_probes_errors::Stop;
use attention_probes_models::HookedModel;
use burn::tensor::Device;

use super::batching::Batching;
use super::engine::capture_rows;
use super::hook::CaptureHook;
use super::options::{CaptureOptions, ModelCapture, Watch};
use super::site::Site;
use crate::{ActivationError, TokenizedDataset};

/// What runs on what, and which activations are kept.
#[derive(Clone)]
pub struct Capture<'a> {
    /// The model.
    pub model: &'a dyn HookedModel,
    /// The sequences.
    pub tokens: &'a TokenizedDataset,
    /// The places, all of one width.
    pub sites: &'a [Site],
    /// Device of the model.
    pub device: &'a Device,
    /// Most tokens of one forward pass, padding included.
    pub max_tokens_per_batch: usize,
    /// Asked before each forward pass, and before each block of the model.
    pub stop: Stop,
}

/// What [`stream_activations`] leaves to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// Sequences with NaN or infinity at any site, ascending. They are never handed on.
    pub skipped: Vec<usize>,
}

impl Capture<'_> {
    /// Values per token, the same at every site.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::NoSites`] if there is no site
    /// - [`ActivationError::SiteWidths`] if two sites differ in width
    pub fn d_model(&self) -> Result<usize, ActivationError> {
        let shape = self.model.shape();
        let &first = self.sites.first().ok_or(ActivationError::NoSites)?;
        let first_width = first.component.width(shape);
        for &other in self.sites {
            let other_width = other.component.width(shape);
            if other_width != first_width {
                return Err(ActivationError::SiteWidths { first, first_width, other, other_width });
            }
        }
        Ok(first_width)
    }

    /// Bytes that the activations of some sequences take as `f32`, at all sites together.
    pub fn needed_bytes(&self, sequences: &[usize]) -> u64 {
        let n_tokens: usize =
            sequences.iter().map(|&sequence| self.tokens.sequence(sequence).len()).sum();
        let shape = self.model.shape();
        let width: usize = self.sites.iter().map(|site| site.component.width(shape)).sum();
        n_tokens as u64 * width as u64 * size_of::<f32>() as u64
    }
}

/// Runs the model once over some sequences and hands on the activations of their real tokens.
///
/// Sequences of like length share a forward pass, so they come in no particular order. For each,
/// `sink` is called once per site, in the order of the sites, with the sequence, the index of the
/// site, and its activations; `progress` after each forward pass, with the number of sequences done
/// and to do. A sequence with NaN or infinity at any site is skipped at all of them, and named in
/// the log.
///
/// # Shapes
///
/// `sink` gets `[n_tokens, d_model]`, row-major, without padding.
///
/// # Errors
///
/// - as [`Capture::d_model`]
/// - [`ActivationError::Model`] if the model refuses a batch, or its device fails
/// - [`ActivationError::Stopped`] if [`Capture::stop`] is given
/// - whatever `sink` returns
///
/// # Panics
///
/// If there is no such sequence, or one is given twice.
///
/// # Memory
///
/// The activations of one forward pass at all sites.
pub fn stream_activations(
    capture: &Capture<'_>,
    sequences: &[usize],
    sink: impl FnMut(usize, usize, &[f32]) -> Result<(), ActivationError>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<StreamReport, ActivationError> {
    let prefixes: Vec<(usize, usize)> = sequences
        .iter()
        .map(|&sequence| (sequence, capture.tokens.sequence(sequence).len()))
        .collect();
    stream_prefixes(capture, &prefixes, sink, progress)
}

/// As [`stream_activations`], for the first `end` tokens of each `(sequence, end)`.
pub(crate) fn stream_prefixes(
    capture: &Capture<'_>,
    prefixes: &[(usize, usize)],
    mut sink: impl FnMut(usize, usize, &[f32]) -> Result<(), ActivationError>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<StreamReport, ActivationError> {
    capture.d_model()?;
    let distinct: BTreeSet<usize> = prefixes.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(distinct.len(), prefixes.len(), "each sequence is given once");
    let ids: Vec<&[u32]> =
        prefixes.iter().map(|&(sequence, end)| &capture.tokens.sequence(sequence)[..end]).collect();
    let hooks: Vec<CaptureHook> = capture.sites.iter().map(|site| (*site).into()).collect();
    let progress = RefCell::new(progress);
    let progress = |done: usize, total: usize| (*progress.borrow_mut())(done, total);
    let batching = Batching::ByLength { max_tokens: capture.max_tokens_per_batch };
    let watch = Watch { progress: Some(&progress), stop: capture.stop.clone() };
    let options = CaptureOptions { batching, watch, ..CaptureOptions::default() };
    let run = ModelCapture { model: capture.model, device: capture.device, hooks: &hooks, options };
    let summary = capture_rows(&run, &ids, |rows| {
        let sequence = prefixes[rows.sequence].0;
        let mut sites = rows.values.iter().enumerate();
        sites.try_for_each(|(site, values)| sink(sequence, site, values))
    })?;
    let mut skipped: Vec<usize> =
        summary.non_finite.iter().map(|found| prefixes[found.sequence].0).collect();
    skipped.sort_unstable();
    for &sequence in &skipped {
        tracing::warn!(
            sequence,
            text = capture.tokens.text_rows[sequence],
            "skipped: NaN or infinity among its activations"
        );
    }
    Ok(StreamReport { skipped })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use approx::assert_abs_diff_eq;
    use attention_probes_models::{Convention, HookSet, ModelShape, PaddingSide, TokenBatch};

    use super::*;
    use crate::testing::{Disguised, Fixture};

    type Rows = BTreeMap<(usize, usize), Vec<f32>>;

    /// What the sink gets, by sequence and site, and the report.
    fn collect(capture: &Capture<'_>, prefixes: &[(usize, usize)]) -> (Rows, StreamReport) {
        let mut rows = Rows::new();
        let sink = |sequence: usize, site: usize, values: &[f32]| {
            assert!(rows.insert((sequence, site), values.to_vec()).is_none());
            Ok(())
        };
        let report = stream_prefixes(capture, prefixes, sink, &mut |_, _| {}).unwrap();
        (rows, report)
    }

    fn whole(fixture: &Fixture) -> Vec<(usize, usize)> {
        fixture.tokens.lengths().into_iter().enumerate().collect()
    }

    /// A sequence alone in a batch, straight from the model.
    fn alone(fixture: &Fixture, ids: &[u32], site: Site) -> Vec<f32> {
        let batch = TokenBatch::new(&[ids], PaddingSide::Right, &fixture.device).unwrap();
        let hooks = HookSet::new([site.hook()]);
        let mut cache = fixture.model.run_with_cache(&batch, &hooks).unwrap();
        let activation = cache.remove(site.hook()).unwrap().flatten_heads();
        let values = site.convention.apply(&fixture.model, site.hook(), activation);
        values.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn a_batch_gives_every_sequence_what_it_has_alone() {
        let fixture = Fixture::new();
        let (rows, report) = collect(&fixture.capture(), &whole(&fixture));
        assert_eq!(rows.len(), fixture.tokens.len() * 3);
        assert!(report.skipped.is_empty());
        for ((sequence, site), values) in rows {
            let expected = alone(&fixture, fixture.tokens.sequence(sequence), fixture.sites[site]);
            assert_abs_diff_eq!(values[..], expected[..], epsilon = 1e-5);
        }
    }

    #[test]
    fn a_prefix_alone_has_the_rows_it_has_in_its_sequence() {
        let fixture = Fixture::new();
        let (rows, _) = collect(&fixture.capture(), &whole(&fixture));
        let (prefixes, _) = collect(&fixture.capture(), &[(0, 3), (2, 10), (5, 1)]);
        assert_eq!(prefixes.len(), 9);
        for (key, values) in prefixes {
            assert_abs_diff_eq!(values[..], rows[&key][..values.len()], epsilon = 1e-4);
        }
    }

    #[test]
    fn a_convention_applies_to_its_site_only() {
        let fixture = Fixture::new();
        let (rows, _) = collect(&fixture.capture(), &whole(&fixture));
        let means = |site: usize| -> Vec<f32> {
            rows[&(2, site)].chunks(8).map(|row| row.iter().sum::<f32>() / 8.0).collect()
        };
        assert_abs_diff_eq!(means(2)[..], [0.0; 11][..], epsilon = 1e-6);
        assert!(means(0).iter().any(|mean| mean.abs() > 1e-4));
    }

    #[test]
    fn a_sequence_with_nan_is_skipped_and_the_others_stay_as_they_are() {
        let fixture = Fixture::damaged();
        let (rows, report) = collect(&fixture.capture(), &whole(&fixture));
        assert_eq!(report.skipped, [3]);
        assert_eq!(rows.len(), 5 * 3);
        for ((sequence, site), values) in rows {
            assert_ne!(sequence, 3);
            let expected = alone(&fixture, fixture.tokens.sequence(sequence), fixture.sites[site]);
            assert_abs_diff_eq!(values[..], expected[..], epsilon = 1e-5);
        }
    }

    #[test]
    fn nan_at_one_site_skips_a_sequence_at_all_sites() {
        let mut fixture = Fixture::new();
        // The value bias of the disguised model is NaN, and only this site uses it.
        fixture.sites[1].convention = Convention::TlProcessed;
        let model = Disguised { model: &fixture.model, shape: fixture.model.shape().clone() };
        let (rows, report) = collect(&fixture.capture_of(&model), &whole(&fixture));
        assert!(rows.is_empty());
        assert_eq!(report.skipped, fixture.all());
    }

    #[test]
    #[should_panic(expected = "each sequence is given once")]
    fn a_sequence_given_twice_is_a_fault_of_the_caller() {
        let fixture = Fixture::new();
        let _ =
            stream_activations(&fixture.capture(), &[2, 0, 2], |_, _, _| Ok(()), &mut |_, _| {});
    }

    #[test]
    fn progress_counts_sequences_and_a_failing_sink_ends_the_pass() {
        let fixture = Fixture::new();
        let mut seen = Vec::new();
        let sink = |sequence, _, _: &[f32]| match sequence {
            4 => Err(ActivationError::NoFolder),
            _ => Ok(()),
        };
        let result = stream_activations(&fixture.capture(), &fixture.all(), sink, &mut |n, of| {
            seen.push((n, of));
        });
        assert!(matches!(result, Err(ActivationError::NoFolder)));
        // Length 11 comes first, then 5 and 5; of 1, 2, and 4, which share a batch, one fails.
        assert_eq!(seen, [(1, 6), (3, 6)]);
    }

    #[test]
    fn sites_that_cannot_run_are_refused() {
        let mut fixture = Fixture::new();
        let shape = ModelShape { d_head: 16, ..fixture.model.shape().clone() };
        let model = Disguised { model: &fixture.model, shape };
        assert_eq!(
            fixture.capture_of(&model).d_model().unwrap_err().to_string(),
            "`L01-resid_post` is 8 wide and `L00-z` 32; run them separately"
        );
        let none = Capture { sites: &[], ..fixture.capture() };
        assert!(matches!(none.d_model(), Err(ActivationError::NoSites)));
        fixture.sites[0].layer = 2;
        let result = stream_activations(&fixture.capture(), &[0], |_, _, _| Ok(()), &mut |_, _| {});
        assert!(matches!(result, Err(ActivationError::Model { .. })));
    }
}
