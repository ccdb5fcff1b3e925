//! Which known name a misspelt one may stand for.

use strsim::osa_distance;

use crate::shown;

/// The candidate that a misspelt name may stand for, or `None` if none is near.
///
/// Near is a name with few edits, at most a third of its characters (rounded), where a swap of two
/// neighbours counts once, and case and the choice between `-`, `_`, `.`, and a space do not count; else one whose words begin with the letters of the name, as
/// `lr` for `learning_rates`; else the only one that the name begins or ends.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::nearest;
///
/// let keys = ["learning_rates", "weight_decays", "epochs"];
/// assert_eq!(nearest("learning_rate", keys), Some("learning_rates"));
/// assert_eq!(nearest("lr", keys), Some("learning_rates"));
/// assert_eq!(nearest("lable", ["text", "label"]), Some("label"));
/// assert_eq!(nearest("colour", keys), None);
/// ```
pub fn nearest<'a, S: AsRef<str> + ?Sized + 'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a S>,
) -> Option<&'a str> {
    let name = folded(name);
    let n_chars = name.chars().count();
    if n_chars == 0 {
        return None;
    }
    let candidates: Vec<(&str, String)> = candidates
        .into_iter()
        .map(AsRef::as_ref)
        // What is much longer, such as a row of text that stands where a header should, is no name.
        .filter(|candidate| candidate.len() <= 4 * name.len() + 16)
        .map(|candidate| (candidate, folded(candidate)))
        .collect();
    let max_edits = ((n_chars + 1) / 3).max(1);
    let fewest = candidates
        .iter()
        .map(|(candidate, plain)| (osa_distance(&name, plain), *candidate))
        // One edit turns a name of one character into any other.
        .filter(|(n_edits, _)| *n_edits <= max_edits && *n_edits < n_chars)
        .min_by_key(|(n_edits, _)| *n_edits);
    if let Some((_, candidate)) = fewest {
        return Some(candidate);
    }
    let only = |is_near: &dyn Fn(&str) -> bool| {
        let mut near = candidates.iter().filter(|(_, plain)| is_near(plain));
        let first = near.next()?;
        near.next().is_none().then_some(first.0)
    };
    let initials = |plain: &str| -> String {
        plain.split('_').filter_map(|word| word.chars().next()).collect()
    };
    only(&|plain| initials(plain) == name)
        .or_else(|| only(&|plain| n_chars >= 3 && plain.starts_with(&name)))
        .or_else(|| only(&|plain| n_chars >= 4 && plain.ends_with(&name)))
}

/// Small letters, and one separator.
fn folded(name: &str) -> String {
    let name = name.trim().trim_start_matches('-').to_lowercase();
    name.chars().map(|c| if "-. ".contains(c) { '_' } else { c }).collect()
}

/// The end of a message about a name that is not known; empty without a near one.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::did_you_mean;
///
/// assert_eq!(did_you_mean(Some("label")), "; did you mean `label`?");
/// assert_eq!(did_you_mean(None), "");
/// ```
pub fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{}`?", shown(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found() {
        let keys = ["learning_rates", "weight_decays", "epochs", "batch_size", "select_by"];
        for (name, expected) in [
            ("learning_rate", Some("learning_rates")),
            ("Learning-Rates", Some("learning_rates")),
            ("lr", Some("learning_rates")),
            ("wd", Some("weight_decays")),
            ("bs", Some("batch_size")),
            ("epcohs", Some("epochs")),
            ("select", Some("select_by")),
            ("rates", Some("learning_rates")),
            ("colour", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name, keys), expected, "{name}");
        }
        assert_eq!(nearest("b", ["a"]), None, "every name of one letter is one edit from it");
        let row = "a whole row of text that was taken for a header because there is none";
        assert_eq!(nearest("label", [row]), None);
    }

    #[test]
    fn a_suggestion_is_one_short_line() {
        let long = "a\n".repeat(100);
        let end = did_you_mean(Some(&long));
        assert!(!end.contains('\n') && end.chars().count() < 90, "{end}");
    }
}
