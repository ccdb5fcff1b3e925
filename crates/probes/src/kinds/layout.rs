//! Names and sizes of the weights of a probe.

/// What a probe reads and says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProbeSize {
    /// Width of the activations.
    pub d_model: usize,
    /// Number of outputs: logits, or numbers.
    pub n_out: usize,
}

/// Arrays of a probe: rows meet the activations, the others do not.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{Layout, ProbeSize};
///
/// let layout = Layout::new().rows("weight", 2).small("bias", [2]);
/// let shapes = layout.shapes(ProbeSize { d_model: 8, n_out: 2 });
/// assert_eq!(shapes, [("weight", vec![2, 8]), ("bias", vec![2])]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    arrays: Vec<Array>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Array {
    Rows(&'static str, usize),
    Small(&'static str, Vec<usize>),
}

impl Layout {
    /// A layout without arrays.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds rows, each `d_model` wide, that are multiplied with activations.
    #[must_use]
    pub fn rows(mut self, name: &'static str, n_rows: usize) -> Self {
        self.arrays.push(Array::Rows(name, n_rows));
        self
    }

    /// Adds an array that is not multiplied with activations.
    #[must_use]
    pub fn small(mut self, name: &'static str, shape: impl Into<Vec<usize>>) -> Self {
        self.arrays.push(Array::Small(name, shape.into()));
        self
    }

    /// Names and numbers of the rows, in their order.
    pub fn all_rows(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.arrays.iter().filter_map(|array| match array {
            Array::Rows(name, n_rows) => Some((*name, *n_rows)),
            Array::Small(..) => None,
        })
    }

    /// Names and shapes of the other arrays, in their order.
    pub fn all_small(&self) -> impl Iterator<Item = (&'static str, &[usize])> {
        self.arrays.iter().filter_map(|array| match array {
            Array::Rows(..) => None,
            Array::Small(name, shape) => Some((*name, &shape[..])),
        })
    }

    /// Number of all rows.
    pub fn n_rows(&self) -> usize {
        self.all_rows().map(|(_, n_rows)| n_rows).sum()
    }

    /// Number of all other numbers.
    pub fn n_small(&self) -> usize {
        self.all_small().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Name and shape of every array, in the order in which they were added: that in which initial
    /// weights are drawn.
    pub fn shapes(&self, size: ProbeSize) -> Vec<(&'static str, Vec<usize>)> {
        let shape = |array: &Array| match array {
            Array::Rows(name, n_rows) => (*name, vec![*n_rows, size.d_model]),
            Array::Small(name, shape) => (*name, shape.clone()),
        };
        self.arrays.iter().map(shape).collect()
    }
}
