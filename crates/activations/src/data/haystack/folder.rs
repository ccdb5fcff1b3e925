//! What the name of a folder says about its content, and which files it has.

use std::fs;
use std::path::{Path, PathBuf};

use attention_probes_errors::FileError;
use serde::Deserialize;

use crate::{ActivationError, HaystackError};

/// Largest `state.json` that is read.
const MAX_STATE_BYTES: u64 = 16 << 20;

/// Which of the data sets of Gurnee et al. a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HaystackFamily {
    /// How a token is spelled.
    TextFeatures,
    /// How a token ends.
    HasSuffix,
    /// How a token begins.
    HasPrefix,
    /// Programming language of a text.
    ProgrammingLangId,
    /// Natural language of a text.
    NaturalLangId,
    /// Which part of the Pile a text is from.
    DistributionId,
    /// Second word of a compound, or of what only looks like one.
    CompoundWords,
    /// Whether a statement is true.
    Counterfact,
    /// Grammar, after the English Web Treebank.
    Ewt,
    /// A property of a person; the names of these folders have `wikidata` in them.
    Wikidata,
    /// Position of a token.
    Position,
    /// What of a LaTeX source a token is in.
    Latex,
}

const FAMILIES: [(&str, HaystackFamily); 12] = [
    ("text_features", HaystackFamily::TextFeatures),
    ("has_suffix", HaystackFamily::HasSuffix),
    ("has_prefix", HaystackFamily::HasPrefix),
    ("programming_lang_id", HaystackFamily::ProgrammingLangId),
    ("natural_lang_id", HaystackFamily::NaturalLangId),
    ("distribution_id", HaystackFamily::DistributionId),
    ("compound_words", HaystackFamily::CompoundWords),
    ("counterfact", HaystackFamily::Counterfact),
    ("ewt", HaystackFamily::Ewt),
    ("wikidata_…", HaystackFamily::Wikidata),
    ("position", HaystackFamily::Position),
    ("latex", HaystackFamily::Latex),
];

impl HaystackFamily {
    fn named(name: &str) -> Option<Self> {
        if name.contains("wikidata") {
            return Some(Self::Wikidata);
        }
        FAMILIES.iter().find(|(known, _)| *known == name).map(|(_, family)| *family)
    }

    /// Every family, for an error.
    pub(crate) fn names() -> String {
        FAMILIES.map(|(name, _)| name).join(", ")
    }

    /// Whether whole texts have a class.
    pub fn has_classes_of_texts(self) -> bool {
        matches!(
            self,
            Self::ProgrammingLangId | Self::NaturalLangId | Self::DistributionId | Self::Wikidata
        )
    }
}

/// A folder of one of the families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaystackFolder {
    path: PathBuf,
    family: HaystackFamily,
    name: String,
    tokenizer: String,
    files: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct RawState {
    #[serde(rename = "_data_files")]
    data_files: Vec<RawFile>,
    /// Rows that are left of the files, as versions before 2 wrote it.
    #[serde(default, rename = "_indices_data_files")]
    indices: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
struct RawFile {
    filename: String,
}

/// Whether a folder is one that the Python library `datasets` saved.
pub fn is_datasets_folder(path: &Path) -> bool {
    path.join("state.json").is_file() && path.join("dataset_info.json").is_file()
}

impl HaystackFolder {
    /// Reads the name of a folder, `FAMILY.TOKENIZER.LENGTH.NUMBER`, and which files belong to it.
    ///
    /// # Errors
    ///
    /// - [`HaystackError::Name`] if the name is another
    /// - [`ActivationError::File`] or [`HaystackError::State`] if `state.json` is not there, or
    ///   damaged
    pub fn open(path: &Path) -> Result<Self, ActivationError> {
        let other = || HaystackError::Name { path: path.to_owned() };
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(other)?;
        let parts: Vec<&str> = name.split('.').collect();
        let [family, tokenizer, length, number] = parts[..] else { return Err(other().into()) };
        let is_number = |text: &str| text.parse::<i64>().is_ok();
        let name = family.to_owned();
        let family = HaystackFamily::named(family)
            .filter(|_| is_number(length) && is_number(number))
            .ok_or_else(other)?;
        let files = files(path)?;
        Ok(Self { path: path.to_owned(), family, name, tokenizer: tokenizer.to_owned(), files })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is about.
    pub fn family(&self) -> HaystackFamily {
        self.family
    }

    /// The first part of its name, as in `wikidata_is_alive`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its files, in order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Whether its tokens may be those of a model: the second part of the folder's name is how the
    /// name of the model begins that the data were made for, as `pyth` of `pythia-70m`.
    pub fn is_made_for(&self, model: &str) -> bool {
        let last = model.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        !self.tokenizer.is_empty()
            && last.to_lowercase().starts_with(&self.tokenizer.to_lowercase())
    }
}

/// The files that `state.json` names, all of them beside it.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ActivationError> {
    let path = folder.join("state.json");
    let state = |fault| HaystackError::State { path: path.clone(), fault };
    let size_bytes = fs::metadata(&path).map_err(FileError::read(&path))?.len();
    if size_bytes > MAX_STATE_BYTES {
        return Err(state("it is too large for a list of files").into());
    }
    let json = fs::read(&path).map_err(FileError::read(&path))?;
    let raw: RawState = serde_json::from_slice(&json)
        .map_err(|_| state("it has no list `_data_files` of objects with `filename`"))?;
    if raw.indices.is_some_and(|indices| !indices.is_empty()) {
        return Err(
            state("it has `_indices_data_files`; load and save it with `datasets` 2").into()
        );
    }
    if raw.data_files.is_empty() {
        return Err(state("it names no file").into());
    }
    let beside = |file: &RawFile| {
        let name = Path::new(&file.filename);
        let is_plain = name.file_name().is_some_and(|last| last == name.as_os_str());
        is_plain.then(|| folder.join(name)).ok_or_else(|| state("it names a file elsewhere").into())
    };
    raw.data_files.iter().map(beside).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a `state.json`.
    fn open(name: &str, state: &str) -> Result<HaystackFolder, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("dataset_info.json"), "{}").unwrap();
        assert!(!is_datasets_folder(&path));
        fs::write(path.join("state.json"), state).unwrap();
        assert!(is_datasets_folder(&path));
        HaystackFolder::open(&path).map_err(|error| error.to_string())
    }

    const STATE: &str = r#"{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}"#;

    #[test]
    fn the_name_of_a_folder_says_what_it_is() {
        let folder = open("wikidata_is_alive.pyth.128.6000", STATE).unwrap();
        assert_eq!(
            (folder.family(), folder.name()),
            (HaystackFamily::Wikidata, "wikidata_is_alive")
        );
        assert!(folder.files()[0].ends_with("data-00000-of-00001.arrow"));
        assert!(folder.is_made_for("EleutherAI/pythia-70m") && !folder.is_made_for("demo-gpt2"));
        assert!(open("ewt.gpt2.512.-1", STATE).unwrap().is_made_for("models/GPT2-small/"));

        for name in
            ["pile_test.pyth.512.-1", "ewt", "ewt.pyth.512", "ewt.pyth.long.-1", "a.b.c.d.e"]
        {
            let error = open(name, STATE).unwrap_err();
            assert!(
                error.contains(
                    "text_features, has_suffix, has_prefix, programming_lang_id, \
                natural_lang_id, distribution_id, compound_words, counterfact, ewt, wikidata_…, \
                position, latex"
                ),
                "{error}"
            );
            assert!(error.contains("to_json"), "{error}");
        }
    }

    #[test]
    fn a_state_that_names_no_files_of_the_folder_is_refused() {
        for (state, fault) in [
            ("{}", "has no list `_data_files`"),
            ("{", "has no list `_data_files`"),
            (r#"{"_data_files": []}"#, "names no file"),
            (r#"{"_data_files": [{"filename": "../a.arrow"}]}"#, "a file elsewhere"),
            (r#"{"_data_files": [{"filename": ".."}]}"#, "a file elsewhere"),
            (
                r#"{"_data_files": [{"filename": "a"}], "_indices_data_files": [{"filename": "b"}]}"#,
                "load and save it",
            ),
        ] {
            let error = open("latex.pyth.512.-1", state).unwrap_err();
            assert!(error.contains("state.json") && error.contains(fault), "{error}");
        }
    }
}
