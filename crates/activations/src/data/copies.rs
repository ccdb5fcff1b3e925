//! Which texts, or rows of activations, are copies of each other.

use std::collections::HashMap;

/// Values that are hashed at a time.
const VALUES_PER_BLOCK: usize = 4096;

/// Number that equal texts share: BLAKE3 of the text, trimmed, and with each run of white space as
/// one space, cut to 8 bytes.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::text_key;
///
/// assert_eq!(text_key("a fine\n film "), text_key("a fine film"));
/// assert_ne!(text_key("a fine film"), text_key("A fine film"));
/// ```
pub fn text_key(text: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for word in text.split_whitespace() {
        hasher.update(word.as_bytes());
        hasher.update(b" ");
    }
    key_of(&hasher)
}

/// Number that equal activations share: BLAKE3 of the values as little-endian bytes, cut to 8 bytes.
pub fn rows_key(values: &[f32]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = Vec::with_capacity(4 * VALUES_PER_BLOCK.min(values.len()));
    for block in values.chunks(VALUES_PER_BLOCK) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|value| value.to_le_bytes()));
        hasher.update(&bytes);
    }
    key_of(&hasher)
}

/// Number that equal token ids share.
pub(crate) fn tokens_key(ids: &[u32]) -> u64 {
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    key_of(blake3::Hasher::new().update(&bytes))
}

fn key_of(hasher: &blake3::Hasher) -> u64 {
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// Whether a key occurs twice.
pub(crate) fn has_copies(keys: &[u64]) -> bool {
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// Joins the groups of elements that have equal keys; a group is then called by the lowest number
/// among those joined, so that nothing changes where no key occurs twice.
///
/// # Panics
///
/// If keys are more or fewer than the groups.
pub(crate) fn join_copies(groups: &mut [usize], keys: &[u64]) {
    assert_eq!(groups.len(), keys.len(), "a key for each element");
    let mut parents = HashMap::new();
    let mut first_with = HashMap::new();
    for (&group, &key) in groups.iter().zip(keys) {
        let other = *first_with.entry(key).or_insert(group);
        let (a, b) = (root(&mut parents, group), root(&mut parents, other));
        if a != b {
            parents.insert(a.max(b), a.min(b));
        }
    }
    for group in groups {
        *group = root(&mut parents, *group);
    }
}

/// The lowest group that a group is joined with; shortens the way there.
fn root(parents: &mut HashMap<usize, usize>, group: usize) -> usize {
    let mut root = group;
    while let Some(&parent) = parents.get(&root) {
        root = parent;
    }
    let mut at = group;
    while at != root {
        at = parents.insert(at, root).unwrap_or(root);
    }
    root
}

/// Elements with equal keys whose labels differ: of each such key, the first element with each
/// label, in order of appearance.
///
/// # Panics
///
/// If labels are more or fewer than the keys.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::contradictions;
///
/// let (keys, labels) = ([7, 8, 7, 7, 8], ["pos", "neg", "neg", "pos", "neg"]);
/// assert_eq!(contradictions(&keys, &labels), [[0, 2]]);
/// ```
pub fn contradictions<L: PartialEq>(keys: &[u64], labels: &[L]) -> Vec<Vec<usize>> {
    assert_eq!(keys.len(), labels.len(), "a label for each key");
    let mut place_of = HashMap::new();
    let mut found: Vec<Vec<usize>> = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let place = *place_of.entry(key).or_insert(found.len());
        match found.get_mut(place) {
            Some(elements) => {
                if elements.iter().all(|&one| labels[one] != labels[index]) {
                    elements.push(index);
                }
            }
            None => found.push(vec![index]),
        }
    }
    found.retain(|elements| elements.len() > 1);
    found
}

/// Groups, of which those with equal keys of any list are one; each element is a group of its own
/// where there are none. `None` if all elements then stand alone.
pub(crate) fn joined_groups(groups: Option<Vec<usize>>, keys: &[&[u64]]) -> Option<Vec<usize>> {
    if groups.is_none() && !keys.iter().any(|keys| has_copies(keys)) {
        return None;
    }
    let n = keys.first().map_or(0, |keys| keys.len());
    let mut groups = groups.unwrap_or_else(|| (0..n).collect());
    for keys in keys {
        join_copies(&mut groups, keys);
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn white_space_alone_makes_no_other_text() {
        let keys = ["a b", " a  b\n", "a\u{a0}b", "a\tb"].map(text_key);
        assert!(keys.iter().all(|key| *key == keys[0]));
        let others = ["ab", "a b c", "A b", "a bc", ""].map(text_key);
        assert!(!others.contains(&keys[0]) && !has_copies(&others));
    }

    #[test]
    fn every_value_and_its_place_count() {
        let values: Vec<f32> = (0..10_000_u16).map(f32::from).collect();
        let mut other = values.clone();
        other.swap(0, 9_999);
        assert_eq!(rows_key(&values), rows_key(&values.clone()));
        assert_ne!(rows_key(&values), rows_key(&other));
        assert_ne!(rows_key(&[1.0]), rows_key(&[1.0, 0.0]));
        assert_ne!(tokens_key(&[1, 2]), tokens_key(&[2, 1]));
    }

    #[test]
    fn groups_with_an_equal_text_are_one() {
        // Group 4 shares text 1 with group 2, which shares text 9 with group 7.
        let mut groups = [4, 4, 2, 2, 7, 5];
        join_copies(&mut groups, &[1, 3, 1, 9, 9, 8]);
        assert_eq!(groups, [2, 2, 2, 2, 2, 5]);
        let mut alone = [3, 0, 3, 8];
        join_copies(&mut alone, &[1, 2, 3, 4]);
        assert_eq!(alone, [3, 0, 3, 8]);
    }

    proptest! {
        #[test]
        fn joined_groups_are_the_connected_parts(
            elements in prop::collection::vec((0_usize..30, 0_u64..30), 1..60),
        ) {
            let (groups, keys): (Vec<usize>, Vec<u64>) = elements.into_iter().unzip();
            let mut joined = groups.clone();
            join_copies(&mut joined, &keys);
            // By passing the lowest number on until nothing changes.
            let mut expected = groups.clone();
            loop {
                let before = expected.clone();
                for i in 0..groups.len() {
                    for j in 0..groups.len() {
                        if groups[i] == groups[j] || keys[i] == keys[j] {
                            expected[i] = expected[i].min(expected[j]);
                        }
                    }
                }
                if before == expected {
                    break;
                }
            }
            prop_assert_eq!(joined, expected);
        }
    }
}
