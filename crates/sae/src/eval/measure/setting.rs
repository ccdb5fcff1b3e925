//! How labelled texts are drawn, split, and named.

use attention_probes_activations::{SplitConfig, stratified_split};

use crate::SaeError;
use crate::eval::error::EvalError;
use crate::eval::parts::cut_to_parts;

/// Fewest texts of a class, or of a share of one.
pub(super) const MIN_TEXTS: usize = 10;

/// Name of the setting of the most texts.
pub(super) const MAX_TEXTS: &str = "max_texts";

/// What is measured on labelled texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LabelledEvaluation {
    /// How well each class is told from a few features:
    /// [`sparse_probing`](crate::eval::sparse_probing).
    SparseProbing,
    /// Whether ablating a class's features harms its probe alone: [`tpp`](crate::eval::tpp).
    Tpp,
    /// Whether ablating features of a spurious attribute frees a biased probe:
    /// [`scr`](crate::eval::scr).
    Scr(ScrColumns),
}

/// The columns of SCR, and the values that are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrColumns {
    /// Name of the column of the labels, for messages.
    pub label: String,
    /// Name of the column of the attribute, for messages.
    pub spurious: String,
    /// The two labels, the positive one first; may be left out where there are just two.
    pub pair: Option<[String; 2]>,
    /// The two values of the attribute that go with them.
    pub spurious_pair: Option<[String; 2]>,
}

/// How labelled texts are drawn, split, and probed.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledConfig {
    /// Most texts, as many of each class, drawn by the first seed. Default 5000.
    pub max_texts: usize,
    /// Share of the texts that is held out. Default 0.2.
    pub test: f64,
    /// Seeds of what is split, drawn, and trained, one result each. Default 42, 43, 44.
    pub seeds: Vec<u64>,
}

impl Default for LabelledConfig {
    fn default() -> Self {
        Self { max_texts: 5000, test: 0.2, seeds: vec![42, 43, 44] }
    }
}

impl LabelledConfig {
    pub(super) fn first_seed(&self) -> u64 {
        self.seeds.first().copied().unwrap_or_default()
    }
}

/// Where texts, or activations, are from.
pub(super) struct Provenance<'a> {
    /// For messages.
    pub(super) from: &'a str,
    pub(super) name: &'a str,
    /// Name and context, where a model was run.
    pub(super) model: Option<(&'a str, usize)>,
}

impl Provenance<'_> {
    /// Name of the data, for a result of one seed.
    pub(super) fn name(&self, config: &LabelledConfig, seed: u64) -> String {
        if config.seeds.len() > 1 {
            format!("{} (seed {seed})", self.name)
        } else {
            self.name.to_owned()
        }
    }
}

/// One side of a split: the texts of each group.
pub(super) type Side = Vec<Vec<usize>>;

/// Texts of each group on either side, as many as the parts ask for in both.
pub(super) fn split(
    groups: &[usize],
    parts: &[usize],
    test: f64,
    seed: u64,
) -> Result<[Side; 2], SaeError> {
    let config = SplitConfig { validation: 0.0, test, seed };
    let split = stratified_split(groups, None, &config)?;
    Ok([split.train, split.test].map(|texts| {
        let mut by_group = vec![Vec::new(); parts.len()];
        for text in texts {
            by_group[groups[text]].push(text);
        }
        cut_to_parts(&mut by_group, parts, usize::MAX);
        by_group
    }))
}

/// Refuses a side without a text of each class.
pub(super) fn check_side(
    from: &str,
    test: f64,
    [n_train, n_test]: [usize; 2],
) -> Result<(), SaeError> {
    if n_train > 0 && n_test > 0 {
        return Ok(());
    }
    Err(EvalError::OneSide { from: from.to_owned(), setting: "test", test }.into())
}
