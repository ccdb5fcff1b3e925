//! What a token task looks for: a text, or any of several, as tokens.

use std::collections::BTreeSet;
use std::fmt;

use attention_probes_models::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::ActivationError;

/// The texts that a token task looks for, any of which counts; serialized as a string, or as a list
/// if there are several.
///
/// A text that is several tokens is found where all of them follow each other.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::Target;
///
/// let set: Target = serde_json::from_str(r#"[" the", " The"]"#)?;
/// assert_eq!(set, Target::any([" the", " The"]));
/// assert_eq!(set.to_string(), " the| The");
/// assert_eq!(serde_json::to_string(&Target::from(" the"))?, r#"" the""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RawTarget", into = "RawTarget")]
pub struct Target {
    texts: Vec<String>,
}

/// How a target is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text such as \" the\", or a list of texts")]
enum RawTarget {
    One(String),
    Any(Vec<String>),
}

impl Target {
    /// Any of these texts.
    pub fn any(texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { texts: texts.into_iter().map(Into::into).collect() }
    }

    /// The texts.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The token ids of each text, each list once.
    pub(crate) fn ids(&self, tokenizer: &Tokenizer) -> Result<TargetIds, ActivationError> {
        let ids_of = |text: &String| {
            let ids = tokenizer
                .encode_without_special(text)
                .map_err(|source| ActivationError::TokenizeTarget { source })?
                .ids;
            if ids.is_empty() {
                return Err(ActivationError::EmptyTarget { target: text.clone() });
            }
            Ok(ids)
        };
        let ids: BTreeSet<Vec<u32>> = self.texts.iter().map(ids_of).collect::<Result<_, _>>()?;
        if ids.is_empty() {
            return Err(ActivationError::EmptyTarget { target: String::new() });
        }
        Ok(TargetIds { ids: ids.into_iter().collect() })
    }
}

impl From<&str> for Target {
    fn from(text: &str) -> Self {
        Self::any([text])
    }
}

impl From<RawTarget> for Target {
    fn from(raw: RawTarget) -> Self {
        match raw {
            RawTarget::One(text) if text.is_empty() => Self::default(),
            RawTarget::One(text) => Self::any([text]),
            RawTarget::Any(texts) => Self { texts },
        }
    }
}

impl From<Target> for RawTarget {
    fn from(target: Target) -> Self {
        match <[String; 1]>::try_from(target.texts) {
            Ok([text]) => Self::One(text),
            Err(texts) if texts.is_empty() => Self::One(String::new()),
            Err(texts) => Self::Any(texts),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts.join("|"))
    }
}

/// A target as token ids: one list per text, none of them empty.
pub(crate) struct TargetIds {
    ids: Vec<Vec<u32>>,
}

impl TargetIds {
    /// Whether `seen` ends with the target.
    pub(crate) fn ends(&self, seen: &[u32]) -> bool {
        self.ids.iter().any(|ids| seen.ends_with(ids))
    }

    /// Whether `rest` begins with the target; `None` if it ends before that is clear.
    pub(crate) fn begins(&self, rest: &[u32]) -> Option<bool> {
        if self.ids.iter().any(|ids| rest.starts_with(ids)) {
            return Some(true);
        }
        (!self.ids.iter().any(|ids| ids.starts_with(rest))).then_some(false)
    }

    /// The tokens of each text, as the vocabulary spells them.
    pub(crate) fn pieces(&self, tokenizer: &Tokenizer) -> Vec<String> {
        let piece = |&id: &u32| tokenizer.id_to_token(id).unwrap_or_default();
        let text = |ids: &Vec<u32>| ids.iter().map(piece).collect::<Vec<_>>().join(" ");
        self.ids.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tokenizer;

    #[test]
    fn a_target_is_written_as_a_string_or_a_list() {
        let parse = |json: &str| serde_json::from_str::<Target>(json);
        assert_eq!(parse("\" the\"").unwrap(), Target::from(" the"));
        assert_eq!(parse("[\" the\"]").unwrap(), Target::from(" the"));
        assert!(parse("\"\"").unwrap().is_empty() && parse("[]").unwrap().is_empty());
        assert!(parse("3").unwrap_err().to_string().contains("or a list of texts"));
        for json in ["\"\"", "\"a\"", "[\"a\",\"b\"]"] {
            assert_eq!(serde_json::to_string(&parse(json).unwrap()).unwrap(), json);
        }
    }

    #[test]
    fn any_of_the_texts_counts_and_several_tokens_must_follow_each_other() {
        let tokenizer = tokenizer();
        let ids = |text: &str| tokenizer.encode_without_special(text).unwrap().ids;
        let target = Target::any([" the", "ab", " the"]).ids(&tokenizer).unwrap();
        assert_eq!(target.ids.len(), 2);
        assert!(target.ends(&ids("a the")) && target.ends(&ids("cab")));
        assert!(!target.ends(&ids("a")) && !target.ends(&ids("ba")));
        assert_eq!(target.begins(&ids("abc")), Some(true));
        assert_eq!(target.begins(&ids("ac")), Some(false));
        // What follows is cut off, so this could have become `ab`.
        assert_eq!(target.begins(&ids("a")), None);
    }

    #[test]
    fn a_text_without_a_token_is_refused() {
        let tokenizer = tokenizer();
        for target in [Target::default(), Target::any([" the", ""])] {
            let error = target.ids(&tokenizer).err().unwrap();
            assert!(matches!(error, ActivationError::EmptyTarget { .. }), "{error}");
        }
    }
}
