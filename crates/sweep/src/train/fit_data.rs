//! Examples that trials learn from and are chosen by.

use attention_probes_probes::{LabelKind, LabelValues, Labels, OutputScale};

/// Examples that trials learn from and are chosen by.
#[derive(Clone, Copy, Debug)]
pub struct FitData<'a> {
    /// For each example the sequence it belongs to and the number of its tokens.
    pub examples: &'a [(usize, usize)],
    /// Label of each example.
    pub labels: &'a Labels,
    /// Weight of each class in the loss; not looked at where labels are not classes.
    pub class_weights: &'a [f32],
    /// Group of each example, if they have any: one group stays in one fold.
    pub groups: Option<&'a [usize]>,
    /// Examples to train on.
    pub train: &'a [usize],
    /// Examples to choose a trial by.
    pub validation: &'a [usize],
}

impl FitData<'_> {
    /// Number of classes; 0 where labels are numbers, or several at once.
    pub(crate) fn n_classes(&self) -> usize {
        match self.labels.kind() {
            LabelKind::Class | LabelKind::Distribution => self.labels.names.len(),
            LabelKind::Number | LabelKind::Labels => 0,
        }
    }

    /// Mean and standard deviation of the numbers to train on; of other labels nothing to scale.
    pub(crate) fn output_scale(&self) -> OutputScale {
        match &self.labels.values {
            LabelValues::Number(numbers) => {
                let train: Vec<f64> = self.train.iter().map(|&example| numbers[example]).collect();
                OutputScale::of(&train)
            }
            _ => OutputScale::default(),
        }
    }
}
