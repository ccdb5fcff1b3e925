//! Which files of a data set are of which split, by the conventions of the Hub.
//!
//! <https://huggingface.co/docs/hub/datasets-file-names-and-splits>

use std::collections::BTreeSet;
use std::fmt;

use crate::wording::listed;

/// Words that stand for a split in the names of files and folders.
const KEYWORDS: [&[&str]; 3] = [
    &["train", "training"],
    &["validation", "valid", "val", "dev"],
    &["test", "testing", "eval", "evaluation"],
];

/// Why the files of a split are not clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitFault {
    /// No file is of it.
    None {
        /// The files that there are.
        files: Vec<String>,
    },
    /// Files are of it that do not belong together.
    Ambiguous {
        /// Those files.
        files: Vec<String>,
    },
    /// A file of several is not there.
    Incomplete {
        /// How many of them are there.
        n_found: usize,
        /// How many their names speak of.
        n_expected: usize,
    },
}

impl fmt::Display for SplitFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None { files } if files.is_empty() => {
                f.write_str("no .parquet, .jsonl, .csv, or .tsv file; name a folder that has some")
            }
            Self::None { files } => write!(
                f,
                "no file of that split; files: {}; name one of them, or another split",
                listed(files)
            ),
            Self::Ambiguous { files } => write!(
                f,
                "files that do not belong together: {}; name one of them, or their folder",
                listed(files)
            ),
            Self::Incomplete { n_found, n_expected } => {
                write!(f, "{n_found} of {n_expected} files; download the others")
            }
        }
    }
}

/// What the files of one split have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    folder: String,
    stem: String,
    extension: String,
    /// How many files the name speaks of.
    n_files: Option<usize>,
}

/// The files of a split, in order; `folder` is where they were looked for.
///
/// # Errors
///
/// A [`SplitFault`] if it is not clear which they are.
pub(crate) fn files_of_split(
    names: Vec<String>,
    folder: &str,
    split: &str,
) -> Result<Vec<String>, SplitFault> {
    let words = KEYWORDS.iter().find(|words| words.contains(&split)).copied();
    let own = [split];
    let words = words.unwrap_or(&own);
    let relative = |name: &str| name[folder.len()..].trim_start_matches('/').to_owned();
    let mut found: Vec<String> =
        names.iter().filter(|name| speaks_of(&relative(name), words)).cloned().collect();
    if let ([sole], true) = (&names[..], found.is_empty()) {
        // A sole file is of every split, unless its name says of which it is.
        let is_of_another = KEYWORDS.iter().any(|words| speaks_of(&relative(sole), words));
        if !is_of_another {
            found.push(sole.clone());
        }
    }
    let series: BTreeSet<Series> = found.iter().map(|name| series_of(name, words)).collect();
    match Vec::from_iter(series).as_slice() {
        [] => Err(SplitFault::None { files: names }),
        [Series { n_files: Some(n_expected), .. }] if found.len() != *n_expected => {
            Err(SplitFault::Incomplete { n_found: found.len(), n_expected: *n_expected })
        }
        [_] => {
            found.sort_by_key(|name| numbers_apart(name));
            Ok(found)
        }
        _ => Err(SplitFault::Ambiguous { files: found }),
    }
}

/// Whether a folder is called by one of the words, or the file has it in its name.
fn speaks_of(path: &str, words: &[&str]) -> bool {
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_ascii_lowercase();
    let mut parts = stem.split(|c: char| !c.is_ascii_alphabetic());
    let is_word = |part: &str| words.contains(&part);
    folders.split('/').any(|folder| is_word(&folder.to_ascii_lowercase()))
        || parts.any(is_word)
        || words.contains(&&*stem)
}

/// The series that a file belongs to.
fn series_of(name: &str, words: &[&str]) -> Series {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
    let last = folder.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let (stem, n_files) = match stem.split_once("-of-") {
        Some((stem, total)) => {
            // Behind the total, some names have a hash.
            let total = total.split('-').next().and_then(|total| total.parse().ok());
            (stem.rsplit_once('-').map_or(stem, |(stem, _)| stem), total)
        }
        // All files of a folder that is called as the split are of it.
        None if words.contains(&&*last) => ("", None),
        None => (stem.trim_end_matches(|c: char| c.is_ascii_digit() || "-_.".contains(c)), None),
    };
    Series {
        folder: folder.to_owned(),
        stem: stem.to_owned(),
        extension: extension.to_ascii_lowercase(),
        n_files,
    }
}

/// A name as letters and numbers, so that 10 comes behind 9.
fn numbers_apart(name: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let n_letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (letters, behind) = rest.split_at(n_letters);
        let n_digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        let (digits, behind) = behind.split_at(n_digits);
        parts.push((letters.to_owned(), digits.parse().unwrap_or(u64::MAX)));
        rest = behind;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(split: &str, files: &[&str]) -> Result<Vec<String>, SplitFault> {
        files_of_split(files.iter().map(|&file| file.to_owned()).collect(), "", split)
    }

    #[test]
    fn the_conventions_of_the_hub_are_followed() {
        let shards = [
            "data/test-00000-of-00001.parquet",
            "data/train-00000-of-00002-a1b2.parquet",
            "data/train-00001-of-00002-c3d4.parquet",
        ];
        assert_eq!(of("train", &shards).unwrap(), shards[1..]);
        assert_eq!(of("test", &shards).unwrap(), shards[..1]);
        let plain = ["train.csv", "valid.csv", "my_test_file.csv"];
        assert_eq!(of("train", &plain).unwrap(), ["train.csv"]);
        assert_eq!(of("validation", &plain).unwrap(), ["valid.csv"]);
        assert_eq!(of("test", &plain).unwrap(), ["my_test_file.csv"]);
        let folders = ["train/10.jsonl", "train/9.jsonl", "train/b.jsonl", "dev/x.jsonl"];
        assert_eq!(
            of("train", &folders).unwrap(),
            ["train/9.jsonl", "train/10.jsonl", "train/b.jsonl"]
        );
        assert_eq!(of("dev", &folders).unwrap(), ["dev/x.jsonl"]);
        assert_eq!(
            of("unsupervised", &["unsupervised.csv", "train.csv"]).unwrap(),
            ["unsupervised.csv"]
        );
        let own = ["split_2.csv", "split_1.csv"];
        assert_eq!(of("split_1", &own).unwrap(), ["split_1.csv"]);
    }

    #[test]
    fn a_sole_file_is_of_every_split_but_not_against_its_name() {
        assert_eq!(of("train", &["reviews.jsonl"]).unwrap(), ["reviews.jsonl"]);
        assert_eq!(of("test", &["reviews.jsonl"]).unwrap(), ["reviews.jsonl"]);
        assert!(matches!(of("test", &["train.jsonl"]), Err(SplitFault::None { .. })));
        // `trainers` is another word, and a word within a word is none.
        assert_eq!(of("test", &["latest-trainers.csv"]).unwrap(), ["latest-trainers.csv"]);
    }

    #[test]
    fn what_is_not_clear_is_listed() {
        let configs = ["cola/train-00000-of-00001.parquet", "sst2/train-00000-of-00001.parquet"];
        let error = of("train", &configs).unwrap_err().to_string();
        assert!(configs.iter().all(|file| error.contains(&format!("`{file}`"))), "{error}");
        assert!(matches!(
            of("train", &["train.csv", "train.jsonl"]),
            Err(SplitFault::Ambiguous { .. })
        ));
        assert!(matches!(of("train", &["a.csv", "b.csv"]), Err(SplitFault::None { .. })));
        let error = of("train", &[]).unwrap_err().to_string();
        assert!(error.contains(".parquet"), "{error}");
        let shards = ["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"];
        let fault = SplitFault::Incomplete { n_found: 2, n_expected: 3 };
        assert_eq!(of("train", &shards), Err(fault));
    }

    #[test]
    fn the_folder_that_was_named_says_nothing_about_the_split() {
        let names = vec!["test/train.csv".to_owned(), "test/dev.csv".to_owned()];
        assert_eq!(files_of_split(names, "test", "train").unwrap(), ["test/train.csv"]);
    }
}
