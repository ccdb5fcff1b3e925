//! Folders of activations as MOSAIC writes them: a table, and one npz for each example.

use std::collections::{BTreeMap, HashSet};
use std::path::{Component as PathPart, Path, PathBuf};

use super::site::{ActivationOrigin, ExternalSite};
use crate::data::classes::{class_indices, grouped, sorted_classes};
use crate::{
    ActivationError, DatasetConfig, ExternalActivations, ExternalConfig, ExternalError,
    LabelColumn, NpzArray, TableError, TextReader, TextRow, hash_file, read_npz_arrays,
};

/// How the name of a table of examples ends; before it stand model and layer.
const METADATA: &str = "_activations_metadata.csv";

/// What a label of a place in a text begins with.
const POSITIONAL: &str = "POSITIONAL";

/// Least number, and share, of files that look padded before somebody is told.
const MIN_PADDED: usize = 2;
const MIN_PADDED_SHARE: f64 = 0.1;

type NumberedRows = Vec<(usize, TextRow)>;

/// Whether a folder has a table of examples of MOSAIC.
pub(super) fn is_mosaic_folder(folder: &Path) -> bool {
    !table_names(folder).is_empty()
}

impl ExternalActivations {
    /// Reads every example of one table of a folder.
    ///
    /// The reference, `EleutherAI/attention-probes`, takes every position of a file for a real
    /// token, though MOSAIC runs texts in batches and keeps their padding. Here the run of
    /// [`ExternalConfig::pad_token_id`] at either end of a file is padding and left out; without it
    /// nothing is, and a warning says if files look padded.
    pub(super) fn read_mosaic(
        folder: &Path,
        site: &ExternalSite,
        config: &ExternalConfig,
    ) -> Result<Self, ActivationError> {
        let table = folder.join(format!("{}{METADATA}", site.name));
        let (rows, table_hash) = rows(&table, config.with_labels)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(table_hash.as_bytes());
        let mut found = Self {
            x: Vec::new(),
            offsets: vec![0],
            labels: None,
            targets: None,
            classes: Vec::new(),
            d_model: 0,
            position: None,
            input_ids: None,
            texts: None,
            groups: None,
            source_rows: Vec::new(),
            skipped: Vec::new(),
            sites: vec![site.clone()],
            origin: ActivationOrigin::default(),
            hash: String::new(),
        };
        let (mut ids, mut names, mut groups) = (Some(Vec::new()), Vec::new(), Vec::new());
        let mut ends = RepeatedEnds::default();
        for (number, (row, TextRow { text: file, label, group })) in rows.into_iter().enumerate() {
            let label = label.map(|label| class_of(&table, row, &label)).transpose()?;
            let path = find(folder, &file).ok_or_else(|| ExternalError::MosaicFile {
                path: table.clone(),
                row,
                file: file.clone(),
            })?;
            hasher.update(hash_file(&path)?.as_bytes());
            let example = Example::read(&path, found.d_model)?;
            found.d_model = example.d_model;
            ends.add(example.input_ids.as_deref());
            let kept = example.without_padding(&path, config.pad_token_id)?;
            let values = &example.x[kept.start * example.d_model..kept.end * example.d_model];
            let is_unlabelled = config.with_labels && label.as_ref().is_none_or(Option::is_none);
            let is_usable = !values.is_empty() && values.iter().all(|x| x.is_finite());
            if !is_usable || is_unlabelled || config.left_out.contains(&number) {
                found.skipped.push(number);
                continue;
            }
            found.x.extend(values);
            found.offsets.push(found.x.len() / found.d_model);
            found.source_rows.push(number);
            match (&mut ids, example.input_ids) {
                (Some(ids), Some(found)) => ids.extend(&found[kept]),
                (ids, _) => *ids = None,
            }
            names.extend(label.flatten());
            groups.push(group);
        }
        if found.source_rows.is_empty() {
            let (path, n_skipped) = (table, found.skipped.len());
            return Err(ExternalError::NoUsableExamples { path, n_skipped }.into());
        }
        if config.pad_token_id.is_none() {
            ends.warn(&table);
        }
        found.classes = sorted_classes(names.iter().map(String::as_str));
        found.labels = config.with_labels.then(|| class_indices(&found.classes, &names));
        let has_groups = groups.iter().any(Option::is_some);
        found.groups = has_groups.then(|| grouped(groups.iter().map(Option::as_deref)));
        found.input_ids = ids;
        found.hash = hasher.finalize().to_hex().to_string();
        Ok(found)
    }
}

/// Model and layer of every table of a folder, as in `gemma-2b_6`, sorted.
pub(super) fn table_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| {
        Some(entry.file_name().into_string().ok()?.strip_suffix(METADATA)?.to_owned())
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort_unstable();
    names
}

/// Rows of a table (file, label, and sample) with their numbers, and its hash.
///
/// Of several rows of one file the first counts, as in the reference.
fn rows(table: &Path, with_labels: bool) -> Result<(NumberedRows, String), ActivationError> {
    let label = if with_labels { LabelColumn::Needed } else { LabelColumn::Ignored };
    let columns = |group: Option<&str>| DatasetConfig {
        text: "npz_file".to_owned(),
        label: "label".to_owned(),
        group: group.map(str::to_owned),
        ..DatasetConfig::default()
    };
    let mut reader = match TextReader::open(table, &columns(Some("sample_id")), label) {
        Err(ActivationError::Table { source: TableError::MissingColumn { column, .. } })
            if column == "sample_id" =>
        {
            TextReader::open(table, &columns(None), label)?
        }
        reader => reader?,
    };
    let all: Vec<TextRow> = reader.by_ref().collect::<Result<_, _>>()?;
    let mut seen = HashSet::new();
    let rows = all.into_iter().enumerate().filter(|(_, row)| seen.insert(row.text.clone()));
    Ok((rows.collect(), reader.hash()))
}

/// The class in a label, which may be of one place in the text; `None` if it is of no place.
fn class_of(table: &Path, row: usize, label: &str) -> Result<Option<String>, ActivationError> {
    let Some(places) = label.strip_prefix(POSITIONAL) else { return Ok(Some(label.to_owned())) };
    let Some(places) = places.strip_prefix('|') else {
        return Ok((!places.is_empty()).then(|| label.to_owned()));
    };
    let mut parts = places.splitn(3, ':');
    let is_number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u64>().is_ok());
    let is_place = is_number(parts.next()) && is_number(parts.next());
    match parts.next() {
        Some(class) if is_place && !class.is_empty() && !class.contains('|') => {
            Ok(Some(class.to_owned()))
        }
        _ => {
            let (path, label) = (table.to_owned(), label.to_owned());
            Err(ExternalError::MosaicLabel { path, row, label }.into())
        }
    }
}

/// A file that a table names, wherever its folder has been moved: below the folder, by as much of
/// the end of its path as leads to a file.
fn find(folder: &Path, file: &str) -> Option<PathBuf> {
    let parts: Vec<&str> = file.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
    let is_plain = |path: &Path| {
        path.components().all(|part| matches!(part, PathPart::Normal(_) | PathPart::CurDir))
    };
    (0..parts.len())
        .map(|start| parts[start..].iter().collect::<PathBuf>())
        .filter(|path| is_plain(path))
        .map(|path| folder.join(path))
        .find(|path| path.is_file())
}

/// One example as it stands in its file.
struct Example {
    /// `[n_tokens, d_model]`, row-major.
    x: Vec<f32>,
    d_model: usize,
    input_ids: Option<Vec<i64>>,
}

impl Example {
    /// Reads a file; `d_model` is the width of those before, or 0.
    fn read(path: &Path, d_model: usize) -> Result<Self, ActivationError> {
        let mut arrays = read_npz_arrays(path, &["hidden_state"], &["input_ids"])?;
        let refuse = |array: &str, shape, expected| ActivationError::ArrayShape {
            path: path.to_owned(),
            array: array.to_owned(),
            shape,
            expected,
        };
        let (shape, x) = match arrays.remove("hidden_state") {
            Some(NpzArray { shape, data }) => (shape, data.into_f32()),
            None => (Vec::new(), None),
        };
        let (n, width, x) = match (&shape[..], x) {
            (&[n, width], Some(x)) if width > 0 && (d_model == 0 || width == d_model) => {
                (n, width, x)
            }
            _ => {
                let expected = "floats of shape [pos, d_model], as wide as those of other files";
                return Err(refuse("hidden_state", shape, expected));
            }
        };
        let input_ids = match arrays.remove("input_ids") {
            None => None,
            Some(NpzArray { shape, data }) if shape == [n] => {
                let array = "input_ids";
                let floats = || ActivationError::FloatArray { path: path.to_owned(), array };
                Some(data.into_i64().ok_or_else(floats)?)
            }
            Some(NpzArray { shape, .. }) => {
                return Err(refuse("input_ids", shape, "one number for each row of hidden_state"));
            }
        };
        Ok(Self { x, d_model: width, input_ids })
    }

    /// The tokens between the padding at both ends.
    fn without_padding(
        &self,
        path: &Path,
        pad_token_id: Option<u32>,
    ) -> Result<std::ops::Range<usize>, ActivationError> {
        let n = self.x.len() / self.d_model;
        let Some(pad) = pad_token_id.map(i64::from) else { return Ok(0..n) };
        let Some(ids) = &self.input_ids else {
            let (array, arrays) = ("input_ids", vec!["hidden_state".to_owned()]);
            let (path, array) = (path.to_owned(), array.to_owned());
            return Err(ActivationError::MissingArray { path, array, arrays });
        };
        let start = ids.iter().take_while(|id| **id == pad).count();
        let n_behind = ids[start..].iter().rev().take_while(|id| **id == pad).count();
        Ok(start..n - n_behind)
    }
}

/// How many files begin or end with a token several times in a row, by token.
#[derive(Default)]
struct RepeatedEnds {
    n_files: usize,
    counts: BTreeMap<i64, usize>,
}

impl RepeatedEnds {
    fn add(&mut self, ids: Option<&[i64]>) {
        self.n_files += 1;
        let Some(ids) = ids else { return };
        let repeated = match ids {
            [.., a, b] if a == b => Some(*a),
            [a, b, ..] if a == b => Some(*a),
            _ => None,
        };
        if let Some(id) = repeated {
            *self.counts.entry(id).or_default() += 1;
        }
    }

    /// The token that most files are padded with, as far as one can tell, and the number of files.
    fn suspect(&self) -> Option<(i64, usize)> {
        let (&id, &n) = self.counts.iter().max_by_key(|(_, n)| **n)?;
        let is_many = n >= MIN_PADDED && n as f64 >= MIN_PADDED_SHARE * self.n_files as f64;
        is_many.then_some((id, n))
    }

    fn warn(&self, table: &Path) {
        if let Some((id, n)) = self.suspect() {
            tracing::warn!(
                "{n} of {} files of `{}` begin or end with token {id} several times, which looks \
                 like padding; if it is, give `pad_token_id` {id}",
                self.n_files,
                table.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::write_npz;

    /// A folder with files of width 2 whose values are the token ids and their places.
    fn folder(table: &str, files: &[(&str, &[i64])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(format!("gpt2_3{METADATA}")), table).unwrap();
        for (name, ids) in files {
            let x: Vec<f32> = (0..ids.len()).flat_map(|p| [ids[p] as f32, p as f32]).collect();
            let arrays = [
                ("hidden_state", NpzArray::new(vec![ids.len(), 2], x)),
                ("input_ids", NpzArray::new(vec![ids.len()], ids.to_vec())),
            ];
            write_npz(folder.path().join(name), &arrays).unwrap();
        }
        folder
    }

    fn read(
        folder: &Path,
        pad_token_id: Option<u32>,
    ) -> Result<ExternalActivations, ActivationError> {
        let config = ExternalConfig { pad_token_id, ..ExternalConfig::default() };
        ExternalActivations::read_with(folder, &config)
    }

    #[test]
    fn padding_at_either_end_is_left_out_and_nothing_else() {
        let table = "sample_id,label,npz_file\n7,pos,/elsewhere/out/a.npz\n7,neg,out\\b.npz\n\
                     8,pos,c.npz\n9,neg,d.npz\n7,pos,/elsewhere/out/a.npz\n";
        let files: [(&str, &[i64]); 4] =
            [("a.npz", &[5, 0, 6, 0, 0]), ("b.npz", &[0, 0, 7]), ("c.npz", &[0]), ("d.npz", &[9])];
        let folder = folder(table, &files);
        let found = read(folder.path(), Some(0)).unwrap();
        assert_eq!(found.x, [5.0, 0.0, 0.0, 1.0, 6.0, 2.0, 7.0, 2.0, 9.0, 0.0]);
        assert_eq!(found.offsets, [0, 3, 4, 5]);
        assert_eq!(found.input_ids, Some(vec![5, 0, 6, 7, 9]));
        assert_eq!(
            (found.classes, found.labels),
            (vec!["neg".to_owned(), "pos".to_owned()], Some(vec![1, 0, 0]))
        );
        assert_eq!((found.source_rows, found.skipped), (vec![0, 1, 3], vec![2]));
        assert_eq!(found.groups, Some(vec![0, 0, 1]));
        // Without the id every position is a token, as in the reference.
        assert_eq!(read(folder.path(), None).unwrap().offsets, [0, 5, 8, 9, 10]);
    }

    #[test]
    fn a_folder_that_python_wrote_loses_its_padding() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mosaic");
        let found = read(&golden, Some(0)).unwrap();
        let json = fs::read(golden.join("expected.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let expected: Vec<Vec<f32>> = serde_json::from_value(json["x"].clone()).unwrap();
        assert_eq!(found.x, expected.concat());
        assert_eq!(found.offsets, [0, 3, 8, 10]);
        assert_eq!(found.classes, ["noun", "verb"]);
        assert_eq!((found.labels, found.groups), (Some(vec![1, 0, 0]), Some(vec![0, 0, 1])));
    }

    #[test]
    fn files_that_look_padded_are_noticed() {
        let mut ends = RepeatedEnds::default();
        for ids in [&[3, 4, 0, 0][..], &[0, 0, 5], &[8, 8, 1], &[1, 2]] {
            ends.add(Some(ids));
        }
        assert_eq!(ends.suspect(), Some((0, 2)));
        for _ in 0..30 {
            ends.add(None);
        }
        assert_eq!(ends.suspect(), None);
    }

    #[test]
    fn the_class_of_a_place_is_what_stands_behind_it() {
        let table = Path::new("t.csv");
        let class = |label: &str| class_of(table, 4, label);
        assert_eq!(class("pos").unwrap().as_deref(), Some("pos"));
        assert_eq!(class("POSITIONAL|3:9:a:b").unwrap().as_deref(), Some("a:b"));
        assert_eq!(class("POSITIONAL").unwrap(), None);
        for label in
            ["POSITIONAL|3:9:a|10:12:b", "POSITIONAL|3:a", "POSITIONAL|", "POSITIONAL|x:1:a"]
        {
            let error = class(label).unwrap_err().to_string();
            assert!(error.contains("`t.csv` row 4") && error.contains("one place"), "{error}");
        }
    }

    #[test]
    fn a_folder_of_several_tables_needs_a_name() {
        let folder =
            folder("label,npz_file\na,a.npz\nb,b.npz\n", &[("a.npz", &[1]), ("b.npz", &[2])]);
        assert_eq!(read(folder.path(), None).unwrap().groups, None);
        let [from, to] =
            ["gpt2_3", "gpt2_4"].map(|name| folder.path().join(format!("{name}{METADATA}")));
        fs::copy(from, to).unwrap();
        let error = read(folder.path(), None).unwrap_err().to_string();
        assert!(error.contains("`gpt2_3`, `gpt2_4`"), "{error}");
        let named = |name: &str| {
            let hook = Some(name.to_owned());
            ExternalActivations::read_with(
                folder.path(),
                &ExternalConfig { hook, ..ExternalConfig::default() },
            )
        };
        assert!(named("gpt2_4").is_ok() && named("gpt2_5").is_err());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_named() {
        let good: (&str, &[i64]) = ("a.npz", &[1, 2]);
        let gone = folder("label,npz_file\na,a.npz\nb,../a.npz/b.npz\n", &[good]);
        let error = read(gone.path(), None).unwrap_err().to_string();
        assert!(error.contains("row 1 names `../a.npz/b.npz`"), "{error}");

        let folder = folder("label,npz_file\na,a.npz\nb,b.npz\n", &[good]);
        let b = folder.path().join("b.npz");
        let write = |shape: Vec<usize>, ids: NpzArray| {
            let x = NpzArray::new(shape.clone(), vec![0.0_f32; shape.iter().product()]);
            write_npz(&b, &[("hidden_state", x), ("input_ids", ids)]).unwrap();
            read(folder.path(), Some(0)).unwrap_err().to_string()
        };
        let ids = |n: usize| NpzArray::new(vec![n], vec![1_i64; n]);
        assert!(write(vec![2, 3], ids(2)).contains("has shape [2, 3], expected floats"));
        assert!(write(vec![1, 2, 2], ids(2)).contains("has shape [1, 2, 2], expected floats"));
        assert!(write(vec![2, 2], ids(3)).contains("has shape [3], expected one number"));
        let floats = NpzArray::new(vec![2], vec![1.0_f32; 2]);
        assert!(write(vec![2, 2], floats).contains("holds floats"));
        write_npz(&b, &[("hidden_state", NpzArray::new(vec![1, 2], vec![0.0_f32; 2]))]).unwrap();
        let error = read(folder.path(), Some(0)).unwrap_err();
        assert!(
            matches!(error, ActivationError::MissingArray { array, .. } if array == "input_ids")
        );
        assert!(read(folder.path(), None).unwrap().input_ids.is_none());
        fs::write(&b, "PK").unwrap();
        assert!(matches!(read(folder.path(), None), Err(ActivationError::Zip { .. })));
    }
}
