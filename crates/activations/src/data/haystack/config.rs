//! What to read of a folder of Gurnee et al.

/// What to read of a folder of Gurnee et al.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HaystackConfig {
    /// The feature, such as `contains_digit`; of the families whose texts have classes, one of the
    /// classes, which is then told from all others. Default none: the only feature, or all classes.
    pub feature: Option<String>,
    /// Column of the group. Default none: the document of `ewt`, the name of a person of
    /// `wikidata`, and of `counterfact` what stands before the end that is true or false.
    pub group: Option<String>,
    /// Whether the classes are those of whole texts, and not of tokens. Default false.
    pub of_texts: bool,
}
