//! Names of classes and groups as numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Groups numbered in order of appearance; a row without one is a group of its own.
pub(crate) fn grouped<'a>(groups: impl Iterator<Item = Option<&'a str>>) -> Vec<usize> {
    let (mut numbers, mut n_groups) = (HashMap::new(), 0);
    groups
        .map(|group| {
            let number = match group {
                Some(group) => *numbers.entry(group).or_insert(n_groups),
                None => n_groups,
            };
            n_groups = n_groups.max(number + 1);
            number
        })
        .collect()
}

/// Distinct labels, by number if all of them are integers, else by letter.
pub(crate) fn sorted_classes<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let distinct: BTreeSet<&str> = labels.collect();
    let mut classes: Vec<String> = distinct.into_iter().map(str::to_owned).collect();
    let integers: Option<Vec<i128>> = classes.iter().map(|class| class.parse().ok()).collect();
    if integers.is_some() {
        classes.sort_by_key(|class| class.parse::<i128>().unwrap_or_default());
    }
    classes
}

/// Index among classes of each name, which is one of them.
pub(crate) fn class_indices(classes: &[String], names: &[String]) -> Vec<usize> {
    let numbers: BTreeMap<&str, usize> =
        classes.iter().enumerate().map(|(index, class)| (class.as_str(), index)).collect();
    names.iter().map(|name| numbers[name.as_str()]).collect()
}
