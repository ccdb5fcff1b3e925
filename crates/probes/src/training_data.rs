//! Labelled activations, checked once.

use attention_probes_activations::{LabelKind, LabelValues, Labels};
use attention_probes_models::host_values;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::apply::{Prefixes, padded};
use crate::gather::DataOrigin;
use crate::kinds::{PaddedTokens, right_padded};
use crate::pool::Pool;
use crate::{OutputScale, ProbeError, n_out};

/// Largest magnitude of a number: the square of anything larger leaves the range of `f32`.
const LARGEST: f64 = 1e18;

/// Largest distance of the sum of a distribution from 1.
const SUM_TOLERANCE: f64 = 1e-4;

/// Labelled activations that a probe can be trained or evaluated on.
///
/// Labels are of any [kind](attention_probes_activations::LabelKind). What [`TrainingData::new`]
/// returns has at least one example, and where labels are classes, of at least two of them. Every
/// example has a real token and only finite numbers, and its tokens come first, wherever its padding
/// was.
#[derive(Clone, Debug)]
pub struct TrainingData {
    /// Padded on the right with 0.
    x: Tensor<3>,
    lengths: Vec<usize>,
    labels: Labels,
    kept: Vec<usize>,
    n_skipped: usize,
    /// `[n_examples, n_out]`
    offsets: Option<Vec<f32>>,
    pub(crate) origin: DataOrigin,
}

impl TrainingData {
    /// Checks labelled activations.
    ///
    /// Examples with NaN or infinity in a real token are left out; [`TrainingData::n_skipped`]
    /// counts them and [`TrainingData::kept`] names the others.
    ///
    /// # Shapes
    ///
    /// - `x`: `[n_examples, pos, d_model]`
    /// - `mask_pad`: `[n_examples, pos]`, `true` where the token is padding
    ///
    /// # Errors
    ///
    /// - [`ProbeError::SizeMismatch`] if `mask_pad` or the labels do not match `x`.
    /// - [`ProbeError::Hyperparameter`] if there are fewer than two names of classes, or none at all.
    /// - [`ProbeError::LabelOutOfRange`] if a class has no name.
    /// - [`ProbeError::BadTarget`] if another label is none of its kind.
    /// - [`ProbeError::Device`] if the device does not hand over the mask.
    /// - [`ProbeError::NoRealToken`] if an example is all padding.
    /// - [`ProbeError::NoExamples`] if no example is left.
    /// - [`ProbeError::OneClass`] if the examples that are left are all of one class.
    pub fn new(
        x: Tensor<3>,
        mask_pad: Tensor<2, Bool>,
        labels: Labels,
    ) -> Result<Self, ProbeError> {
        let [n_examples, pos, d_model] = x.dims();
        let [n_masks, mask_pos] = mask_pad.dims();
        for (what, found, expected) in [
            ("the number of masks", n_masks, n_examples),
            ("the length of a mask", mask_pos, pos),
            ("the number of labels", labels.len(), n_examples),
        ] {
            if found != expected {
                return Err(ProbeError::SizeMismatch { what, found, expected });
            }
        }
        check_labels(&labels)?;
        if n_examples == 0 || pos == 0 || d_model == 0 {
            return Err(ProbeError::NoExamples { n_skipped: 0 });
        }

        let padding = host_values(mask_pad.clone().float())?;
        let is_pad = |example: usize, pos_index: usize| padding[example * pos + pos_index] != 0.0;
        if let Some(example) = (0..n_examples).find(|&i| (0..pos).all(|p| is_pad(i, p))) {
            return Err(ProbeError::NoRealToken { example });
        }
        let length = |example: usize| (0..pos).filter(|&p| !is_pad(example, p)).count();
        let lengths: Vec<usize> = (0..n_examples).map(length).collect();
        let is_right = |example: usize| !(0..lengths[example]).any(|p| is_pad(example, p));
        let x = if (0..n_examples).all(is_right) {
            let mask = mask_pad.unsqueeze_dim::<3>(2).expand([n_examples, pos, d_model]);
            x.mask_fill(mask, 0.0)
        } else {
            right_padded(x, mask_pad)
        };
        let finite = host_values(x.clone().is_finite().all_dim(2).all_dim(1).float())?;
        let kept: Vec<usize> = (0..n_examples).filter(|&i| finite[i] != 0.0).collect();
        let n_skipped = n_examples - kept.len();
        let Some(&first) = kept.first() else {
            return Err(ProbeError::NoExamples { n_skipped });
        };
        if let LabelValues::Class(classes) = &labels.values {
            let class = classes[first];
            if kept.iter().all(|&i| classes[i] == class) {
                let class = labels.names[class].clone();
                return Err(ProbeError::OneClass { class, n_examples: kept.len() });
            }
        }

        let longest = kept.iter().map(|&i| lengths[i]).max().unwrap_or(pos);
        let x = if longest < pos { x.narrow(1, 0, longest) } else { x };
        let (all, origin) = ((0..n_examples).collect(), DataOrigin::default());
        let data = Self { x, lengths, labels, kept: all, n_skipped, offsets: None, origin };
        if n_skipped == 0 {
            return Ok(data);
        }
        tracing::warn!(n_skipped, "examples with NaN or infinity are left out");
        Ok(data.select(&kept))
    }

    /// Gathers the activations of the beginnings of sequences, padded to the longest, on a device.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Activation`] if the activations cannot be read
    /// - [`ProbeError::Stopped`] if [`Prefixes::stop`] is given
    /// - as [`TrainingData::new`]
    ///
    /// # Panics
    ///
    /// If there is no such site, or as [`ActivationSource::with_rows`].
    ///
    /// # Memory
    ///
    /// The activations, padded to the longest sequence.
    ///
    /// [`ActivationSource::with_rows`]: attention_probes_activations::ActivationSource::with_rows
    pub fn from_prefixes(
        prefixes: Prefixes<'_>,
        labels: Labels,
        device: &Device,
    ) -> Result<Self, ProbeError> {
        let Prefixes { source, site, ends, stop } = prefixes;
        stop.check()?;
        let d_model = source.d_model();
        let mut gathered = None;
        let read = source.with_rows(ends, &mut |sites| {
            gathered = Some(padded(&sites[site], d_model, device));
        });
        read.map_err(ProbeError::from)?;
        let tokens = gathered.ok_or(ProbeError::NoExamples { n_skipped: 0 })?;
        Self::new(tokens.x().clone(), tokens.mask_pad().clone(), labels)
    }

    /// Returns the activations, `[n_examples, pos, d_model]`, tokens first and then zeros.
    pub fn x(&self) -> &Tensor<3> {
        &self.x
    }

    /// Returns where padding is, `[n_examples, pos]`, `true` behind the tokens.
    pub fn mask_pad(&self) -> Tensor<2, Bool> {
        self.tokens(&self.x.device()).mask_pad().clone()
    }

    /// Returns the number of tokens of each example.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The examples as a batch on a device.
    pub(crate) fn tokens(&self, device: &Device) -> PaddedTokens {
        PaddedTokens::new(self.x.clone().to_device(device), &self.lengths)
    }

    /// Returns the labels of the examples.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Returns the class of each example; none where labels are not classes.
    pub fn classes(&self) -> &[usize] {
        self.labels.classes()
    }

    /// Returns the name of each class or label, or of the number.
    pub fn class_names(&self) -> &[String] {
        &self.labels.names
    }

    /// Returns the number of classes, 0 where labels are numbers, or several at once.
    pub fn n_classes(&self) -> usize {
        match self.labels.kind() {
            LabelKind::Class | LabelKind::Distribution => self.labels.names.len(),
            LabelKind::Number | LabelKind::Labels => 0,
        }
    }

    /// Outputs of a probe of these labels.
    pub(crate) fn n_out(&self) -> usize {
        match self.labels.kind() {
            LabelKind::Class | LabelKind::Distribution => n_out(self.labels.names.len()),
            LabelKind::Number | LabelKind::Labels => self.labels.n_columns(),
        }
    }

    /// Mean and standard deviation of numbers, less what is added to outputs; the identity of other
    /// labels.
    pub(crate) fn output_scale(&self) -> OutputScale {
        let LabelValues::Number(numbers) = &self.labels.values else {
            return OutputScale::default();
        };
        let offsets = self.offsets.iter().flatten().map(|offset| f64::from(*offset));
        let left: Vec<f64> =
            numbers.iter().zip(offsets.chain(std::iter::repeat(0.0))).map(|(y, o)| y - o).collect();
        OutputScale::of(&left)
    }

    /// Returns the width of the activations.
    pub fn d_model(&self) -> usize {
        self.x.dims()[2]
    }

    /// Returns the number of examples.
    pub fn n_examples(&self) -> usize {
        self.labels.len()
    }

    /// Returns the number of examples that were left out because they hold NaN or infinity.
    pub fn n_skipped(&self) -> usize {
        self.n_skipped
    }

    /// Returns the index that each example had before some were left out.
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// Adds numbers to the logits of whatever is trained or evaluated on these examples, such as
    /// what another probe says of them; a probe then learns what that one leaves over.
    ///
    /// The reference calls them `y_addition`, and adds all of them to the logits of a batch of
    /// some; here an example keeps its own wherever it goes.
    ///
    /// # Shapes
    ///
    /// - `offsets`: `[n_examples, n_out]`, row-major
    ///
    /// # Errors
    ///
    /// - [`ProbeError::SizeMismatch`] if there are not `n_out` for every example.
    /// - [`ProbeError::NonFinite`] if one is NaN or infinite.
    pub fn with_offsets(self, offsets: Vec<f32>) -> Result<Self, ProbeError> {
        let n_out = self.n_out();
        let (found, expected) = (offsets.len(), self.n_examples() * n_out);
        if found != expected {
            let what = "the number of offsets";
            return Err(ProbeError::SizeMismatch { what, found, expected });
        }
        if let Some(index) = offsets.iter().position(|offset| !offset.is_finite()) {
            let (array, value) = ("offsets".to_owned(), offsets[index]);
            return Err(ProbeError::NonFinite { array, index, value });
        }
        Ok(Self { offsets: Some(offsets), ..self })
    }

    /// What is added to the logits of the examples, `[n_examples, n_out]`.
    pub(crate) fn offsets(&self) -> Option<&[f32]> {
        self.offsets.as_deref()
    }

    /// Adds the offsets of the examples to their logits, `[n_examples, n_out]`.
    pub(crate) fn add_offsets(&self, logits: &mut [f32]) {
        for (logit, offset) in logits.iter_mut().zip(self.offsets.iter().flatten()) {
            *logit += offset;
        }
    }

    /// Says which rows of a source the examples are, and how many more were left out.
    pub(crate) fn of_rows(mut self, rows: &[usize], n_left_out: usize) -> Self {
        self.kept = self.kept.iter().map(|&example| rows[example]).collect();
        self.n_skipped += n_left_out;
        self
    }

    /// Says where the examples come from.
    pub(crate) fn with_origin(self, origin: DataOrigin) -> Self {
        Self { origin, ..self }
    }

    /// Moves the data to a device; it is shared, not copied, where it is there already.
    #[must_use]
    pub fn to_device(&self, device: &Device) -> Self {
        Self { x: self.x.clone().to_device(device), ..self.clone() }
    }

    /// Pools every example into one token.
    #[must_use]
    pub(crate) fn pool(&self, pool: Pool) -> Self {
        let tokens = self.tokens(&self.x.device());
        let x = pool.forward(self.x.clone(), tokens.mask_pad().clone());
        Self { x: x.unsqueeze_dim(1), lengths: vec![1; self.n_examples()], ..self.clone() }
    }

    /// Picks examples by index, in the given order.
    pub(crate) fn select(&self, examples: &[usize]) -> Self {
        let index: Vec<i64> = examples.iter().map(|&i| i as i64).collect();
        let index = TensorData::new(index, [examples.len()]);
        let index = Tensor::<1, Int>::from_data(index, &self.x.device());
        self.part(examples, self.x.clone().select(0, index))
    }

    /// Some examples with their activations, cut to the longest of them.
    fn part(&self, examples: &[usize], x: Tensor<3>) -> Self {
        let lengths: Vec<usize> = examples.iter().map(|&i| self.lengths[i]).collect();
        let longest = lengths.iter().copied().max().unwrap_or(1);
        let x = if longest < x.dims()[1] { x.narrow(1, 0, longest) } else { x };
        let n_out = self.n_out();
        let of = |offsets: &Vec<f32>| {
            let of_example = |&i: &usize| offsets[i * n_out..(i + 1) * n_out].to_vec();
            examples.iter().flat_map(of_example).collect()
        };
        Self {
            x,
            lengths,
            offsets: self.offsets.as_ref().map(of),
            labels: self.labels.select(examples),
            kept: examples.iter().map(|&i| self.kept[i]).collect(),
            n_skipped: self.n_skipped,
            origin: self.origin.part(examples),
        }
    }

    /// Cuts the data into consecutive pieces of at most `batch_size` examples.
    pub(crate) fn chunks(&self, batch_size: usize) -> impl Iterator<Item = Self> + '_ {
        let n_examples = self.n_examples();
        (0..n_examples).step_by(batch_size).map(move |start| {
            let length = batch_size.min(n_examples - start);
            if length == n_examples {
                return self.clone();
            }
            let examples: Vec<usize> = (start..start + length).collect();
            self.part(&examples, self.x.clone().narrow(0, start, length))
        })
    }
}

/// Refuses labels that are none of their kind: classes without a name, numbers that are not finite or
/// above 1e18 in magnitude, labels that are neither there nor not, and shares whose sum is not 1.
///
/// # Errors
///
/// - [`ProbeError::Hyperparameter`] if there are fewer than two names of classes, or none at all.
/// - [`ProbeError::LabelOutOfRange`] if a class has no name.
/// - [`ProbeError::BadTarget`] if another label is none of its kind.
pub fn check_labels(labels: &Labels) -> Result<(), ProbeError> {
    let n_names = labels.names.len();
    match labels.kind() {
        LabelKind::Class | LabelKind::Distribution => crate::state::check_n_classes(n_names)?,
        LabelKind::Number | LabelKind::Labels => {
            crate::state::check_sizes(&[("n_outputs", n_names)])?;
        }
    }
    let n_columns = labels.n_columns();
    if let Some(example) = labels.classes().iter().position(|&label| label >= n_names) {
        let label = labels.classes()[example];
        return Err(ProbeError::LabelOutOfRange { example, label, n_classes: n_names });
    }
    for (example, row) in labels.numbers().chunks(n_columns).enumerate() {
        let error = |value, expected| ProbeError::BadTarget { example, value, expected };
        let expected = match labels.kind() {
            LabelKind::Number => "a finite number of magnitude at most 1e18",
            LabelKind::Labels => "0 or 1",
            LabelKind::Class | LabelKind::Distribution => "a number from 0 to 1",
        };
        let is_wrong = |value: &&f64| match labels.kind() {
            LabelKind::Number => !(-LARGEST..=LARGEST).contains(*value),
            LabelKind::Labels => ![0.0_f64, 1.0].map(f64::to_bits).contains(&value.to_bits()),
            LabelKind::Class | LabelKind::Distribution => !(0.0..=1.0).contains(*value),
        };
        if let Some(value) = row.iter().find(is_wrong) {
            return Err(error(*value as f32, expected));
        }
        let sum: f64 = row.iter().sum();
        if labels.kind() == LabelKind::Distribution && (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(error(sum as f32, "numbers with the sum 1"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::host_values;

    /// Examples of width 1; `None` is padding.
    fn data(rows: &[&[Option<f32>]], labels: &[usize]) -> Result<TrainingData, ProbeError> {
        let device = Device::flex();
        let shape = [rows.len(), rows[0].len()];
        let values = rows.iter().flat_map(|row| row.iter().map(|v| v.unwrap_or(f32::NAN)));
        let values: Vec<f32> = values.collect();
        let padding: Vec<bool> =
            rows.iter().flat_map(|row| row.iter().map(Option::is_none)).collect();
        let x = Tensor::from_data(TensorData::new(values, [shape[0], shape[1], 1]), &device);
        let mask_pad = Tensor::from_data(TensorData::new(padding, shape), &device);
        TrainingData::new(x, mask_pad, Labels::numbered(labels.to_vec(), 2))
    }

    #[test]
    fn tokens_come_first_and_shared_padding_is_cut_off() {
        let data = data(
            &[&[None, Some(1.0), Some(2.0), None, None], &[None, None, Some(3.0), Some(4.0), None]],
            &[0, 1],
        )
        .unwrap();
        assert_eq!(data.x().dims(), [2, 2, 1]);
        assert_eq!(host_values(data.x().clone()), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(data.lengths(), [2, 2]);
        assert_eq!(data.n_skipped(), 0);
        assert_eq!(data.kept(), [0, 1]);
    }

    #[test]
    fn examples_that_are_not_finite_are_left_out_and_counted() {
        let data = data(
            &[&[Some(1.0)], &[Some(f32::NAN)], &[Some(2.0)], &[Some(f32::NEG_INFINITY)]],
            &[0, 1, 1, 0],
        )
        .unwrap();
        assert_eq!(host_values(data.x().clone()), [1.0, 2.0]);
        assert_eq!(data.classes(), [0, 1]);
        assert_eq!(data.n_skipped(), 2);
        assert_eq!(data.kept(), [0, 2]);
    }

    #[test]
    fn each_fault_of_the_data_has_its_own_error() {
        let one = Some(1.0);
        let error = data(&[&[one], &[one]], &[0]).unwrap_err();
        assert_eq!(error.to_string(), "the number of labels is 1, expected 2");

        let error = data(&[&[one], &[one]], &[0, 2]).unwrap_err();
        assert_eq!(error.to_string(), "example 1 has label 2, expected a label below 2");

        let error = data(&[&[one, None], &[None, None]], &[0, 1]).unwrap_err();
        assert!(matches!(error, ProbeError::NoRealToken { example: 1 }));

        let error = data(&[&[one], &[one]], &[1, 1]).unwrap_err();
        assert!(matches!(error, ProbeError::OneClass { n_examples: 2, .. }));

        let error = data(&[&[one], &[Some(f32::NAN)]], &[0, 1]).unwrap_err();
        assert!(matches!(error, ProbeError::OneClass { n_examples: 1, .. }), "{error}");

        let nan = Some(f32::NAN);
        let error = data(&[&[nan], &[nan]], &[0, 1]).unwrap_err();
        assert!(matches!(error, ProbeError::NoExamples { n_skipped: 2 }));
    }

    #[test]
    fn offsets_stay_with_their_examples() {
        let one = Some(1.0);
        let data = data(&[&[one], &[one], &[one]], &[0, 1, 0]).unwrap();
        let data = data.with_offsets(vec![1.0, 2.0, 3.0]).unwrap();
        let sums = |data: &TrainingData| {
            let mut logits = vec![1.0; data.n_examples()];
            data.add_offsets(&mut logits);
            logits
        };
        assert_eq!(sums(&data.select(&[2, 0])), [4.0, 2.0]);
        let chunks: Vec<Vec<f32>> = data.chunks(2).map(|chunk| sums(&chunk)).collect();
        assert_eq!(chunks, [vec![2.0, 3.0], vec![4.0]]);

        let error = data.clone().with_offsets(vec![1.0]).unwrap_err();
        assert_eq!(error.to_string(), "the number of offsets is 1, expected 3");
        let error = data.with_offsets(vec![1.0, f32::NAN, 0.0]).unwrap_err();
        assert!(matches!(error, ProbeError::NonFinite { index: 1, .. }), "{error}");
    }

    #[test]
    fn chunks_give_every_example_once_and_in_order() {
        let rows: Vec<[Option<f32>; 1]> = (0..5).map(|i| [Some(i as f32)]).collect();
        let rows: Vec<&[Option<f32>]> = rows.iter().map(<[_; 1]>::as_slice).collect();
        let data = data(&rows, &[0, 1, 0, 1, 0]).unwrap();
        let values: Vec<f32> = data.chunks(2).flat_map(|c| host_values(c.x().clone())).collect();
        assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0]);
    }
}
