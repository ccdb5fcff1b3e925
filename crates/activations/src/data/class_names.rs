//! What is doubtful about the names of classes.

use std::collections::BTreeMap;
use std::fmt;

use attention_probes_models::compatibility_form;

use crate::wording::listed;

/// Most classes whose names may all be numbers.
const MAX_NUMBERS: usize = 30;

/// How programs write that there is no value.
const NO_VALUE: [&str; 10] =
    ["nan", "NaN", "NAN", "<NA>", "NaT", "None", "null", "NULL", "#N/A", "undefined"];

/// Something about the names of classes that looks like a mistake; prints as a sentence with the
/// remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClassDoubt {
    /// Names that look the same, or nearly.
    Alike {
        /// The names.
        names: Vec<String>,
        /// What sets them apart.
        differ_in: &'static str,
    },
    /// A name that stands for no value.
    NoValue {
        /// The name.
        name: String,
    },
    /// A class -1 beside 0, 1, and so on, as some files mark what has no label.
    MinusOne,
}

impl fmt::Display for ClassDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alike { names, differ_in } => write!(
                f,
                "classes {} differ only in {differ_in}; give them one name if they are one class",
                listed(names)
            ),
            Self::NoValue { name } => write!(
                f,
                "a class is called {}, which often stands for a missing label; remove those rows \
                 if it does",
                listed(std::slice::from_ref(name))
            ),
            Self::MinusOne => f.write_str(
                "a class is called `-1` beside `0`, `1`, and so on, which often marks rows without \
                 a label; remove those rows if it does",
            ),
        }
    }
}

/// What looks like a mistake about the names of classes.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::class_doubts;
///
/// let doubts = class_doubts(&["no", "Yes", "yes"].map(str::to_owned));
/// assert!(doubts[0].to_string().starts_with("classes `Yes`, `yes` differ only in case"));
/// assert!(class_doubts(&["neg", "pos"].map(str::to_owned)).is_empty());
/// ```
pub fn class_doubts(classes: &[String]) -> Vec<ClassDoubt> {
    let mut alike: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for class in classes {
        let form = without_white_space(&visible(&compatibility_form(class)));
        alike.entry(form.to_lowercase()).or_default().push(class.clone());
    }
    let alike = alike.into_values().filter(|names| names.len() > 1);
    let alike = alike.map(|names| ClassDoubt::Alike { differ_in: difference(&names), names });
    let is_no_value = |class: &&String| NO_VALUE.contains(&class.as_str());
    let no_value = classes.iter().filter(is_no_value).cloned();
    let no_value = no_value.map(|name| ClassDoubt::NoValue { name });
    let integers: Option<Vec<i64>> = classes.iter().map(|class| class.parse().ok()).collect();
    let integers = integers.unwrap_or_default();
    let is_marked =
        integers.len() > 2 && integers.iter().zip(-1..).all(|(&integer, place)| integer == place);
    alike.chain(no_value).chain(is_marked.then_some(ClassDoubt::MinusOne)).collect()
}

/// Whether classes are so many numbers that they are hardly classes.
pub fn look_like_numbers(classes: &[String]) -> bool {
    let is_number = |class: &String| class.parse::<f64>().is_ok_and(f64::is_finite);
    classes.len() > MAX_NUMBERS && classes.iter().all(is_number)
}

/// The least that sets names apart which look alike.
fn difference(names: &[String]) -> &'static str {
    let are_equal = |form: &dyn Fn(&str) -> String| {
        let first = form(&names[0]);
        names.iter().all(|name| form(name) == first)
    };
    if are_equal(&str::to_lowercase) {
        "case"
    } else if are_equal(&without_white_space) {
        "white space"
    } else if are_equal(&|name| visible(&compatibility_form(name))) {
        "characters that look the same, or cannot be seen"
    } else {
        "case, white space, or characters that look the same"
    }
}

fn without_white_space(name: &str) -> String {
    name.split_whitespace().collect()
}

/// A name without characters that have no width.
fn visible(name: &str) -> String {
    let is_invisible = |c: char| {
        c.is_control() && !c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    };
    name.chars().filter(|&c| !is_invisible(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubts<const N: usize>(classes: [&str; N]) -> Vec<String> {
        class_doubts(&classes.map(str::to_owned)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_that_look_alike_are_told_with_what_sets_them_apart() {
        let starts = |classes: [&str; 3], expected: &str| {
            let found = doubts(classes);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
        };
        starts(["YES", "Yes", "no"], "classes `YES`, `Yes` differ only in case;");
        starts(
            ["not spam", "not  spam", "x"],
            "classes `not spam`, `not  spam` differ only in white",
        );
        starts(
            ["cafe\u{301}", "café", "tea"],
            "classes `cafe\\u{301}`, `café` differ only in char",
        );
        starts(
            ["thé", "thé\u{200b}", "\u{feff}thé"],
            "classes `thé`, `thé\\u{200b}`, `\\u{feff}thé`",
        );
        starts(["Thé", "thé\u{200b}", "x"], "classes `Thé`, `thé\\u{200b}` differ only in case, w");
        assert!(doubts(["a", "b", "á"]).is_empty());
    }

    #[test]
    fn names_that_stand_for_no_label_are_told() {
        assert!(doubts(["0", "1", "nan"])[0].contains("`nan`"));
        assert!(doubts(["None", "pos"])[0].contains("`None`"));
        assert!(doubts(["none", "some"]).is_empty(), "a word like any other");
        assert!(doubts(["-1", "0", "1"])[0].contains("`-1`"));
        assert!(doubts(["-1", "1"]).is_empty(), "two classes of some data sets");
        assert!(doubts(["-1", "0", "2"]).is_empty());
    }

    #[test]
    fn more_than_thirty_numbers_are_hardly_classes() {
        let classes = |n: i32| (0..n).map(|class| format!("{class}.5")).collect::<Vec<_>>();
        assert!(!look_like_numbers(&classes(30)) && look_like_numbers(&classes(31)));
        let mut words = classes(40);
        words.push("other".to_owned());
        assert!(!look_like_numbers(&words));
        assert!(!look_like_numbers(&vec!["nan".to_owned(); 31]));
    }
}
