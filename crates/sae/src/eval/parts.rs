//! Texts of several groups, as many of each as its part of the whole says.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Draws texts so that each group has its part, and all together are `max` at most; in rising order.
///
/// `SAEBench` balances what it probes: as many texts of each class, and of the mixes of two concepts
/// that SCR needs, twice as many of those in which both say the same. A text of no group is left
/// out.
///
/// # Panics
///
/// If a group has no part, or all parts are 0.
///
/// # Examples
///
/// ```
/// use attention_probes::sae::eval::draw_in_parts;
///
/// let groups = [Some(0), Some(1), Some(0), None, Some(0), Some(1)];
/// assert_eq!(draw_in_parts(&groups, &[1, 1], 100, 42).len(), 4);
/// assert_eq!(draw_in_parts(&groups, &[1, 1], 3, 42).len(), 2);
/// ```
pub fn draw_in_parts(
    groups: &[Option<usize>],
    parts: &[usize],
    max: usize,
    seed: u64,
) -> Vec<usize> {
    let mut by_group = vec![Vec::new(); parts.len()];
    for (text, group) in groups.iter().enumerate() {
        if let Some(group) = group {
            by_group[*group].push(text);
        }
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for texts in &mut by_group {
        texts.shuffle(&mut rng);
    }
    cut_to_parts(&mut by_group, parts, max);
    let mut drawn = by_group.concat();
    drawn.sort_unstable();
    drawn
}

/// Leaves the first texts of each group, so that each has its part, and all together are `max` at
/// most.
///
/// # Panics
///
/// If there are not as many parts as groups, or all are 0.
pub fn cut_to_parts(by_group: &mut [Vec<usize>], parts: &[usize], max: usize) {
    assert_eq!(by_group.len(), parts.len(), "a part for each group");
    let groups = by_group.iter().zip(parts).filter(|(_, part)| **part > 0);
    let n = groups.map(|(texts, part)| texts.len() / part).min().unwrap_or(0);
    let n = n.min(max / parts.iter().sum::<usize>());
    by_group.iter_mut().zip(parts).for_each(|(texts, part)| texts.truncate(n * part));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_cut_to_their_parts() {
        let mut groups = vec![vec![0, 1, 2, 3, 4], vec![5, 6, 7], vec![8, 9, 10, 11]];
        cut_to_parts(&mut groups, &[2, 1, 1], usize::MAX);
        assert_eq!(groups, [vec![0, 1, 2, 3], vec![5, 6], vec![8, 9]]);
        cut_to_parts(&mut groups, &[2, 1, 1], 7);
        assert_eq!(groups, [vec![0, 1], vec![5], vec![8]]);
        cut_to_parts(&mut groups, &[1, 2, 0], usize::MAX);
        assert!(groups.iter().all(Vec::is_empty));
    }

    #[test]
    fn a_seed_draws_the_same_texts_again() {
        let groups: Vec<_> = (0..60).map(|text| (text % 4 < 3).then_some(text % 4 / 2)).collect();
        let draw = |seed| draw_in_parts(&groups, &[1, 1], 20, seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(draw(1).iter().filter(|text| *text % 4 == 2).count(), 10);
        assert!(draw(1).is_sorted());
    }
}
