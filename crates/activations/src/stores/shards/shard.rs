//! Which rows of a corpus a job works on.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::ShardError;

/// Most shards of a folder; names of files have room for five digits.
pub(super) const MAX_SHARDS: usize = 99_999;

/// One of `n_shards` jobs that share a corpus, counted from 1; prints and parses as `3/10`.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::Shard;
///
/// let shard: Shard = "2/3".parse()?;
/// assert_eq!(shard.rows(10), 3..6);
/// assert!("0/3".parse::<Shard>().is_err());
/// # Ok::<(), attention_probes::activations::ShardError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    index: usize,
    n_shards: usize,
}

impl Shard {
    /// The only shard of a folder that one job writes.
    pub const WHOLE: Self = Self { index: 1, n_shards: 1 };

    /// The shard `index` of `n_shards`, if there is one.
    pub(super) fn new(index: usize, n_shards: usize) -> Option<Self> {
        let exists = n_shards <= MAX_SHARDS && (1..=n_shards).contains(&index);
        exists.then_some(Self { index, n_shards })
    }

    /// Number of shards of the folder.
    pub fn n_shards(self) -> usize {
        self.n_shards
    }

    /// Its rows among `n_rows`: the shards are runs of rows that differ in length by at most one.
    pub fn rows(self, n_rows: usize) -> Range<usize> {
        let end = |shards: usize| {
            let rows = n_rows as u128 * shards as u128 / self.n_shards as u128;
            rows as usize // at most n_rows
        };
        end(self.index - 1)..end(self.index)
    }

    /// What the names of its files begin with.
    pub(super) fn stem(self) -> String {
        format!("shard-{:05}-of-{:05}", self.index, self.n_shards)
    }

    /// The shard whose lock, record, or part has this name, or is being written under it.
    pub(super) fn of_file(name: &str) -> Option<Self> {
        let hidden = name.strip_prefix('.');
        let name = hidden.unwrap_or(name).strip_prefix("shard-")?;
        let (index, rest) = name.split_once("-of-")?;
        let (n_shards, rest) = rest.split_at_checked(5)?;
        let shard: Self = format!("{index}/{n_shards}").parse().ok()?;
        let part = rest.strip_suffix(".safetensors").and_then(|part| part.strip_prefix('-'));
        let is_part = part.is_some_and(|part| part.bytes().all(|c| c.is_ascii_digit()));
        let is_own = match hidden {
            Some(_) => {
                // The names of our own temporary files, which are in small letters.
                rest == ".lock" || rest.rsplit_once('.').is_some_and(|(_, end)| end == "tmp")
            }
            None => is_part || rest == ".json",
        };
        is_own.then_some(shard)
    }

    /// Name of a part file.
    pub(super) fn part_name(self, part: usize) -> String {
        format!("{}-{part:05}.safetensors", self.stem())
    }

    /// Name of the record of its parts.
    pub(super) fn record_name(self) -> String {
        format!("{}.json", self.stem())
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.n_shards)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(name: &str) -> Result<Self, ShardError> {
        let numbers = name.split_once('/').and_then(|(index, n_shards)| {
            Self::new(index.trim().parse().ok()?, n_shards.trim().parse().ok()?)
        });
        numbers.ok_or_else(|| ShardError::Name { name: name.to_owned(), max: MAX_SHARDS })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shards_share_the_rows_evenly_and_in_order(n_rows in 0_usize..500, n in 1_usize..60) {
            let mut next = 0;
            for index in 1..=n {
                let rows = Shard::new(index, n).unwrap().rows(n_rows);
                prop_assert_eq!(rows.start, next);
                prop_assert!((n_rows / n..=n_rows.div_ceil(n)).contains(&rows.len()));
                next = rows.end;
            }
            prop_assert_eq!(next, n_rows);
        }
    }

    #[test]
    fn what_is_no_shard_is_refused_with_the_form_that_is() {
        for name in ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1/100000"] {
            assert!(name.parse::<Shard>().is_err(), "{name}");
        }
        assert_eq!(
            "0/2".parse::<Shard>().unwrap_err().to_string(),
            "shard `0/2` is not one of at most 99999: give it as `I/N`, counted from 1, such as \
             `3/10`"
        );
        assert_eq!("10/10".parse::<Shard>().unwrap().to_string(), "10/10");
        assert_eq!(Shard::WHOLE.rows(usize::MAX), 0..usize::MAX);
    }
}
