//! Examples that trials learn from and are chosen by.

/// Examples that trials learn from and are chosen by.
#[derive(Clone, Copy, Debug)]
pub struct FitData<'a> {
    /// For each example the sequence it belongs to and the number of its tokens.
    pub examples: &'a [(usize, usize)],
    /// Class of each example.
    pub labels: &'a [usize],
    /// Number of classes.
    pub n_classes: usize,
    /// Weight of each class in the loss.
    pub class_weights: &'a [f32],
    /// Group of each example, if they have any: one group stays in one fold.
    pub groups: Option<&'a [usize]>,
    /// Examples to train on.
    pub train: &'a [usize],
    /// Examples to choose a trial by.
    pub validation: &'a [usize],
}
