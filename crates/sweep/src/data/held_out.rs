//! Examples held out in files of their own: read, joined to the others, and kept on their side.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use attention_probes_activations::{
    ActivationError, Dataset, DatasetConfig, ExampleSet, ExternalActivations, HaystackFolder,
    Labels, PairConfig, PlainLabels, Side, Split, SplitConfig, SplitError, TaggedConfig, Task,
    Word, data_files, is_datasets_folder, is_shard_folder, look_like_numbers, stratified_split,
};
use attention_probes_models::HubAccess;

use crate::SweepError;
use crate::config::haystack::{ModelTokenizer, read_haystack};
use crate::config::{DataConfig, HeldOut};
use crate::data::activation_sites::{ActivationSites, File, LeftOut};
use crate::data::sides::{check_classes, named};

/// The files of a data set and of what is held out from it, downloaded if need be.
pub(crate) struct Sources {
    data: Vec<PathBuf>,
    validation: Vec<PathBuf>,
    test: Vec<PathBuf>,
    /// Tokenizer of tokens that come as data.
    tokenizer: Option<PathBuf>,
}

impl Sources {
    /// Finds the files that a configuration names.
    pub(crate) fn find(config: &DataConfig, hub: Option<&HubAccess>) -> Result<Self, SweepError> {
        let held_out = |held_out: &HeldOut, split: &str| match held_out.file() {
            Some(path) => data_files(path, split, hub),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            data: data_files(&config.path, &config.split, hub)?,
            validation: held_out(&config.validation, "validation")?,
            test: held_out(&config.test, "test")?,
            tokenizer: config.tokenizer.clone(),
        })
    }

    /// Every file, those in folders of Gurnee et al. too; of folders of shards what is said about
    /// their files, hashes included.
    pub(crate) fn all(&self) -> impl Iterator<Item = PathBuf> {
        let paths = [&self.data, &self.validation, &self.test].into_iter().flatten();
        paths.chain(&self.tokenizer).flat_map(|path| match HaystackFolder::open(path) {
            Ok(folder) => folder.files().to_vec(),
            Err(_) if is_shard_folder(path) => json_files(path),
            Err(_) => vec![path.clone()],
        })
    }
}

/// The JSON files of a folder, sorted.
fn json_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort_unstable();
    files
}

/// Rows of a data set by the file that they come from: those to divide, then those held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// First row of the validation file.
    validation: usize,
    /// First row of the test file.
    test: usize,
}

impl Files {
    /// The side that a row's file is for; `None` if it is to be divided.
    pub(crate) fn side(self, row: usize) -> Option<Side> {
        match row {
            row if row >= self.test => Some(Side::Test),
            row if row >= self.validation => Some(Side::Validation),
            _ => None,
        }
    }

    /// Divides examples: those of a file held out go to its side, the others by their shares.
    ///
    /// `row_of` gives the row of a sequence.
    pub(crate) fn split(
        self,
        config: &DataConfig,
        examples: &ExampleSet,
        seed: u64,
        row_of: impl Fn(usize) -> usize,
    ) -> Result<Split, SweepError> {
        let unfit = unfit(&config.path);
        let sides: Vec<Option<Side>> =
            examples.examples.iter().map(|example| self.side(row_of(example.sequence))).collect();
        let of = |side| -> Vec<usize> { (0..sides.len()).filter(|&i| sides[i] == side).collect() };
        let free = of(None);
        let all_labels = examples.labels();
        let labels: Vec<usize> = free.iter().map(|&i| all_labels[i]).collect();
        let groups: Option<Vec<usize>> =
            examples.groups.as_ref().map(|groups| free.iter().map(|&i| groups[i]).collect());
        let shares =
            SplitConfig { validation: config.validation.share(), test: config.test.share(), seed };
        let split = stratified_split(&labels, groups.as_deref(), &shares)
            .map_err(|error| named(error, config, &examples.classes).unwrap_or_else(&unfit))?;
        let side = |divided: &[usize], side| {
            let mut examples: Vec<usize> = divided.iter().map(|&i| free[i]).collect();
            examples.extend(of(Some(side)));
            let n_examples = sides.len();
            if examples.is_empty() {
                return Err(unfit(
                    SplitError::EmptySide { side, n_examples, n_groups: None }.into(),
                ));
            }
            Ok(examples)
        };
        let split = Split {
            train: side(&split.train, Side::Train)?,
            validation: side(&split.validation, Side::Validation)?,
            test: side(&split.test, Side::Test)?,
        };
        if config.label_kind().is_class() {
            check_classes(config, examples, &split)?;
        }
        Ok(split)
    }
}

/// Reads the texts of a data set and of its files held out.
pub(crate) fn read_texts(
    config: &DataConfig,
    sources: &Sources,
    task: &Task,
    model: &ModelTokenizer<'_>,
) -> Result<(Dataset, Files), SweepError> {
    let read = |files: &[PathBuf]| match files {
        [path] if is_datasets_folder(path) => read_haystack(config, path, task, model),
        files => read_files(config, files, task),
    };
    let mut all = read(&sources.data)?;
    let mut starts = [all.len(); 2];
    let held_out = [(&config.validation, &sources.validation), (&config.test, &sources.test)];
    for (start, (held_out, files)) in starts.iter_mut().zip(held_out) {
        *start = all.len();
        let Some(path) = held_out.file() else { continue };
        let mut more = read(files)?;
        if let (Some(targets), Some(more_targets)) = (&mut all.targets, &more.targets) {
            extend_targets(targets, more_targets, path)?;
            all.labels.extend(vec![0; more.texts.len()]); // they are of no account on their side
        } else if *task == Task::Tokens {
            renumber(&mut more.words, &more.classes, &mut all.classes);
        } else {
            let labels = labels_in(&all.classes, &more.classes, &more.labels, path)?;
            all.labels.extend(labels);
        }
        // Pairs are numbered in each file by itself.
        let first = all.pairs.last().map_or(0, |pair| pair + 1);
        all.pairs.extend(more.pairs.into_iter().map(|pair| first + pair));
        all.words.append(&mut more.words);
        all.texts.extend(more.texts);
        all.source_rows.extend(more.source_rows);
        all.skipped_empty += more.skipped_empty;
        if let (Some(groups), Some(more)) = (&mut all.groups, more.groups) {
            // Groups are numbered in each file by itself, and the files keep them apart.
            let first = groups.iter().max().map_or(0, |group| group + 1);
            groups.extend(more.into_iter().map(|group| first + group));
        }
        all.hash = joined(&all.hash, &more.hash);
    }
    Ok((all, Files { validation: starts[0], test: starts[1] }))
}

/// Reads texts as the task needs them.
fn read_files(config: &DataConfig, files: &[PathBuf], task: &Task) -> Result<Dataset, SweepError> {
    if *task == Task::Tokens {
        let columns = TaggedConfig {
            tokens: config.tokens.clone(),
            tags: Some(config.tags.clone()),
            text: config.text.clone(),
            offsets: config.offsets.clone(),
            group: config.group.clone(),
        };
        return Ok(Dataset::read_tagged(&config.name, files, &columns)?);
    }
    if let Some(columns) = &config.pair {
        let (columns, group) = (columns.clone(), config.group.clone());
        let columns = PairConfig { columns, group, format: config.format() };
        return Ok(Dataset::read_pairs(&config.name, files, &columns)?);
    }
    let columns = DatasetConfig {
        text: config.text.clone(),
        label: config.label.clone(),
        group: config.group.clone(),
        format: config.format(),
    };
    if !config.label_kind().is_class() {
        let separator = config.label_separator.as_deref().unwrap_or(";");
        let labels = PlainLabels { kind: config.label_kind(), separator };
        return Ok(Dataset::read_with(&config.name, files, &columns, &labels)?);
    }
    let dataset = Dataset::read_files(&config.name, files, &columns, *task == Task::Sequence)?;
    check_numbers(config, &dataset.classes, &config.label)?;
    Ok(dataset)
}

/// Refuses labels that are many numbers, unless it is said that they are classes.
fn check_numbers(config: &DataConfig, classes: &[String], column: &str) -> Result<(), SweepError> {
    if config.label_kind.is_some() || !look_like_numbers(classes) {
        return Ok(());
    }
    let (path, column) = (config.path.clone(), column.to_owned());
    Err(SweepError::NumbersAsClasses { path, column, n_values: classes.len() })
}

/// Numbers the tags of a file as those of another, to which tags that it lacks are added: which tags
/// are too rare to be asked for shows only where the examples are divided.
fn renumber(words: &mut [Vec<Word>], found: &[String], classes: &mut Vec<String>) {
    let mut known: HashMap<String, usize> =
        classes.iter().enumerate().map(|(number, class)| (class.clone(), number)).collect();
    let mut numbers = Vec::with_capacity(found.len());
    for tag in found {
        let number = *known.entry(tag.clone()).or_insert(classes.len());
        if number == classes.len() {
            classes.push(tag.clone());
        }
        numbers.push(number);
    }
    for word in words.iter_mut().flatten() {
        word.label = word.label.map(|label| numbers[label]);
    }
}

/// Reads activations of one of their sites with their labels, and those of the files held out.
pub(crate) fn read_activations(
    config: &DataConfig,
    sites: &ActivationSites,
    site: usize,
    left_out: &LeftOut,
) -> Result<(ExternalActivations, Files), SweepError> {
    let read = |file, path: &Path| {
        let found = sites.read(file, site, config, left_out)?;
        found.map(|found| labelled(found, path, config)).transpose()
    };
    let mut all = read(File::Data, &config.path)?.ok_or_else(|| no_labels(&config.path))?;
    let mut starts = [all.n_examples(); 2];
    let held_out = [(File::Validation, &config.validation), (File::Test, &config.test)];
    for (start, (file, held_out)) in starts.iter_mut().zip(held_out) {
        *start = all.n_examples();
        let Some(path) = held_out.file() else { continue };
        let Some(more) = read(file, path)? else { continue };
        if more.d_model != all.d_model {
            let (path, width, expected) = (path.to_owned(), more.d_model, all.d_model);
            return Err(SweepError::OtherWidth { path, width, expected });
        }
        let n_groups = |groups: &[usize]| groups.iter().max().map_or(0, |group| group + 1);
        all.groups = match (all.groups.take(), more.groups) {
            (None, None) => None,
            (found, more_groups) => {
                // Who has no groups is a group of one.
                let mut groups = found.unwrap_or_else(|| (0..all.offsets.len() - 1).collect());
                let first = n_groups(&groups);
                let more_groups =
                    more_groups.unwrap_or_else(|| (0..more.offsets.len() - 1).collect());
                groups.extend(more_groups.into_iter().map(|group| first + group));
                Some(groups)
            }
        };
        let mut labels = more.labels.unwrap_or_default();
        if let (Some(targets), Some(more_targets)) = (&mut all.targets, &more.targets) {
            extend_targets(targets, more_targets, path)?;
            labels.fill(0); // they are of no account on their side
        } else {
            labels = labels_in(&all.classes, &more.classes, &labels, path)?;
        }
        all.labels.get_or_insert_default().extend(labels);
        let n_tokens = all.x.len() / all.d_model;
        all.x.extend(more.x);
        all.offsets.extend(more.offsets[1..].iter().map(|offset| n_tokens + offset));
        all.source_rows.extend(more.source_rows);
        all.skipped.extend(more.skipped);
        all.position = None; // probes count positions themselves
        all.input_ids =
            all.input_ids.take().zip(more.input_ids).map(|(ids, more)| [ids, more].concat());
        all.texts = all.texts.take().zip(more.texts).map(|(texts, more)| [texts, more].concat());
        all.hash = joined(&all.hash, &more.hash);
    }
    Ok((all, Files { validation: starts[0], test: starts[1] }))
}

/// Refuses activations without labels of at least two classes.
fn labelled(
    external: ExternalActivations,
    path: &Path,
    config: &DataConfig,
) -> Result<ExternalActivations, SweepError> {
    if external.labels.is_none() {
        return Err(no_labels(path));
    }
    check_numbers(config, &external.classes, "y")?;
    if let ([class], None) = (&external.classes[..], &external.targets) {
        let name = path.display().to_string();
        return Err(ActivationError::OneClass { name, class: class.clone() }.into());
    }
    Ok(external)
}

/// Activations without labels cannot be trained on.
pub(crate) fn no_labels(path: &Path) -> SweepError {
    ExternalActivations::no_labels(path).into()
}

/// Labels of a file as classes of the data set that it is held out from.
fn labels_in(
    classes: &[String],
    found: &[String],
    labels: &[usize],
    path: &Path,
) -> Result<Vec<usize>, SweepError> {
    let index_of = |class: &String| {
        classes.iter().position(|known| known == class).ok_or_else(|| SweepError::UnknownClass {
            path: path.to_owned(),
            class: class.clone(),
            classes: classes.to_vec(),
        })
    };
    let indices: Vec<usize> = found.iter().map(index_of).collect::<Result<_, _>>()?;
    Ok(labels.iter().map(|&label| indices[label]).collect())
}

/// Adds the labels of a file held out, which must be among those of the data set.
fn extend_targets(targets: &mut Labels, more: &Labels, path: &Path) -> Result<(), SweepError> {
    targets.extend(more).map_err(|class| SweepError::UnknownClass {
        path: path.to_owned(),
        class,
        classes: targets.names.clone(),
    })
}

/// The hash of two files, as hex.
fn joined(first: &str, second: &str) -> String {
    blake3::hash(format!("{first} {second}").as_bytes()).to_hex().to_string()
}

/// Names the file where the error itself does not.
pub(crate) fn unfit(path: &Path) -> impl Fn(ActivationError) -> SweepError {
    move |source| SweepError::Data { path: path.to_owned(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use attention_probes_models::demo::DemoModel;

    use super::*;

    #[test]
    fn files_held_out_stay_on_their_side_and_the_rest_is_divided() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let rows = |n: usize, of: &str| {
            let row = |i: usize| format!("{of} {i},{}\n", ["neg", "pos"][i % 2]);
            format!("text,label\n{}", (0..n).map(row).collect::<String>())
        };
        fs::write(path("all.csv"), rows(20, "free")).unwrap();
        fs::write(path("test.csv"), rows(6, "held out")).unwrap();
        let config = DataConfig {
            path: path("all.csv"),
            test: HeldOut::File(path("test.csv")),
            ..DataConfig::default()
        };
        let sources = Sources::find(&config, None).unwrap();
        let tokenizer = DemoModel::named("demo-gpt2").unwrap().tokenizer().unwrap();
        let model = ModelTokenizer { name: "demo-gpt2", tokenizer: &tokenizer };
        let read = || read_texts(&config, &sources, &Task::Sequence, &model);
        let (dataset, files) = read().unwrap();
        assert_eq!((dataset.len(), files), (26, Files { validation: 20, test: 20 }));
        let example = |sequence| attention_probes_activations::Example {
            sequence,
            end: 1,
            label: dataset.labels[sequence],
        };
        let examples = ExampleSet {
            examples: (0..26).map(example).collect(),
            classes: dataset.classes.clone(),
            groups: None,
            pairs: None,
            n_skipped_words: 0,
        };
        let split = files.split(&config, &examples, 1, |sequence| sequence).unwrap();
        assert_eq!(split.test, (20..26).collect::<Vec<_>>());
        assert_eq!((split.train.len(), split.validation.len()), (18, 2));
        assert!(split.validation.iter().all(|&example| example < 20));

        fs::write(path("test.csv"), "text,label\na,pos\nb,mixed\n").unwrap();
        let error = read().unwrap_err().to_string();
        assert!(error.contains("has the class `mixed`"), "{error}");
    }
}
