//! Where activations live while probes train on them: in memory, on disk, or nowhere.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use attention_probes_errors::shown_size;
use serde::{Deserialize, Serialize};

use crate::{
    ActivationError, ActivationSource, Capture, DiskActivations, DiskCache, MemoryActivations,
    RecomputedActivations,
};

/// Where activations are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In memory if they fit the budget, else on disk if there is a folder and they fit its budget
    /// and the free space, else nowhere.
    #[default]
    Auto,
    /// Nowhere: the model runs anew on each batch.
    Recompute,
    /// In memory.
    Memory,
    /// In files that are mapped into memory, and found again by the next run.
    Disk,
}

impl Storage {
    /// Decides where activations are kept; never [`Storage::Auto`].
    ///
    /// `memory_bytes` and `disk_bytes` may be taken, the latter `None` where there is no folder. What is
    /// asked for by name is not held against the room on disk.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::MemoryBudget`] if memory is asked for and too small
    /// - [`ActivationError::NoFolder`] if disk is asked for without a folder
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::Storage;
    ///
    /// assert_eq!(Storage::Auto.resolve(5_000, 4_000, Some(9_000))?, Storage::Disk);
    /// assert_eq!(Storage::Auto.resolve(5_000, 4_000, Some(3_000))?, Storage::Recompute);
    /// assert!(Storage::Memory.resolve(5_000, 4_000, None).is_err());
    /// # Ok::<(), attention_probes::activations::ActivationError>(())
    /// ```
    pub fn resolve(
        self,
        needed_bytes: u64,
        memory_bytes: u64,
        disk_bytes: Option<u64>,
    ) -> Result<Self, ActivationError> {
        match self {
            Self::Auto if needed_bytes <= memory_bytes => Ok(Self::Memory),
            Self::Auto if disk_bytes.is_some_and(|room| needed_bytes <= room) => Ok(Self::Disk),
            Self::Auto => Ok(Self::Recompute),
            Self::Memory if needed_bytes > memory_bytes => {
                Err(ActivationError::MemoryBudget { needed_bytes, budget_bytes: memory_bytes })
            }
            Self::Disk if disk_bytes.is_none() => Err(ActivationError::NoFolder),
            other => Ok(other),
        }
    }
}

impl FromStr for Storage {
    type Err = ActivationError;

    fn from_str(name: &str) -> Result<Self, ActivationError> {
        match name {
            "auto" => Ok(Self::Auto),
            "recompute" => Ok(Self::Recompute),
            "memory" => Ok(Self::Memory),
            "disk" => Ok(Self::Disk),
            _ => Err(ActivationError::UnknownStorage { name: name.to_owned() }),
        }
    }
}

/// How [`open_activations`] keeps activations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Where. Default [`Storage::Auto`].
    pub storage: Storage,
    /// Bytes that activations may take in memory. Default 4 GiB.
    pub memory_budget_bytes: u64,
    /// Bytes that activations may take on disk where [`Storage::Auto`] puts them there; never more
    /// than is free. Default 20 GiB.
    pub disk_budget_bytes: u64,
    /// Folder for activations on disk, made if it is not there. Default none.
    pub folder: Option<PathBuf>,
    /// What tells the model from any other, its weights and dtype included: activations on disk
    /// are used again only under the same key. Default empty.
    pub model_key: String,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            storage: Storage::Auto,
            memory_budget_bytes: 4 << 30,
            disk_budget_bytes: 20 << 30,
            folder: None,
            model_key: String::new(),
        }
    }
}

/// Where activations are kept, and why.
///
/// Prints as a sentence for a person, without a full stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageChoice {
    /// Where; never [`Storage::Auto`].
    pub storage: Storage,
    /// Bytes that they take.
    pub needed_bytes: u64,
    /// Bytes that they may take in memory.
    pub memory_bytes: u64,
    /// Bytes that they may take on disk; `None` where there is no folder.
    pub disk_bytes: Option<u64>,
    /// Free bytes there, if the system says it.
    pub free_bytes: Option<u64>,
    /// Whether an earlier run has left them on disk.
    pub is_cached: bool,
}

impl fmt::Display for StorageChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needed = shown_size(self.needed_bytes);
        let memory = shown_size(self.memory_bytes);
        let disk = self
            .disk_bytes
            .map(|bytes| format!("the {} that they may take on disk", shown_size(bytes)));
        let is_full = self.free_bytes.is_some_and(|free| free < self.needed_bytes);
        match (self.storage, disk) {
            (Storage::Memory, _) => {
                write!(
                    f,
                    "activations take {needed}, and are kept in memory, where {memory} are allowed"
                )
            }
            (Storage::Disk, _) if self.is_cached => {
                write!(f, "activations of an earlier run, {needed}, are read from disk")
            }
            (Storage::Disk, _) => write!(
                f,
                "activations take {needed}, more than the {memory} that are allowed in memory, and are \
                 kept on disk"
            ),
            (_, Some(disk)) => {
                let free = self.free_bytes.filter(|_| is_full).map(shown_size);
                let beyond = free.map_or(disk, |free| format!("the {free} that are free on disk"));
                write!(
                    f,
                    "activations take {needed}, more than the {memory} that are allowed in memory, \
                     and than {beyond}; the model runs again for every batch"
                )
            }
            (_, None) => write!(
                f,
                "activations take {needed}, more than the {memory} that are allowed in memory; the model \
                 runs again for every batch"
            ),
        }
    }
}

impl StorageConfig {
    /// Decides where the activations of some sequences are kept.
    ///
    /// # Errors
    ///
    /// As [`Storage::resolve`].
    pub fn choose(
        &self,
        capture: &Capture<'_>,
        sequences: &[usize],
    ) -> Result<StorageChoice, ActivationError> {
        let needed_bytes = capture.needed_bytes(sequences);
        let cache = |folder| DiskCache { folder, model_key: &self.model_key };
        let folder = self.folder.as_deref();
        let is_cached = folder
            .is_some_and(|folder| DiskActivations::is_there(capture, sequences, cache(folder)));
        let free_bytes = folder.and_then(free_bytes);
        let disk_bytes = folder.map(|_| self.disk_budget_bytes);
        let room = match (disk_bytes, free_bytes) {
            _ if is_cached => Some(u64::MAX),
            (Some(budget), Some(free)) => Some(budget.min(free)),
            (budget, _) => budget,
        };
        let memory_bytes = self.memory_budget_bytes;
        let storage = self.storage.resolve(needed_bytes, memory_bytes, room)?;
        Ok(StorageChoice { storage, needed_bytes, memory_bytes, disk_bytes, free_bytes, is_cached })
    }
}

/// Free bytes where a folder is or would be made; `None` if the system does not say it.
fn free_bytes(folder: &Path) -> Option<u64> {
    let folder = std::path::absolute(folder).ok()?;
    let there = folder.ancestors().find(|folder| folder.exists())?;
    fs4::available_space(there).ok()
}

/// Runs the model once over some sequences and keeps their activations as the config says.
///
/// Where they are recomputed, that pass only finds the sequences to skip; where they are found on
/// disk, there is none. `progress` is as in [`stream_activations`](crate::stream_activations).
///
/// # Errors
///
/// - as [`Storage::resolve`] and [`stream_activations`](crate::stream_activations)
/// - [`ActivationError::File`] if files cannot be written
/// - [`ActivationError::NothingFinite`] if every sequence is skipped
///
/// # Panics
///
/// If there is no such sequence, or one is given twice.
///
/// # Memory
///
/// [`Capture::needed_bytes`] where they are kept in memory, else one forward pass.
pub fn open_activations<'a>(
    capture: Capture<'a>,
    sequences: &[usize],
    config: &StorageConfig,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Box<dyn ActivationSource + 'a>, ActivationError> {
    let choice = config.choose(&capture, sequences)?;
    let source: Box<dyn ActivationSource + 'a> = match (choice.storage, config.folder.as_deref()) {
        (Storage::Memory, _) => {
            Box::new(MemoryActivations::capture(&capture, sequences, progress)?)
        }
        (Storage::Disk, Some(folder)) => {
            let cache = DiskCache { folder, model_key: &config.model_key };
            Box::new(DiskActivations::open(&capture, sequences, cache, progress)?)
        }
        _ => Box::new(RecomputedActivations::new(capture, sequences, progress)?),
    };
    let n_sequences = sequences.len();
    if n_sequences > 0 && source.skipped().len() == n_sequences {
        return Err(ActivationError::NothingFinite { n_sequences });
    }
    Ok(source)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use approx::assert_abs_diff_eq;
    use attention_probes_models::HookedModel;

    use super::*;
    use crate::ExternalActivations;
    use crate::testing::{Disguised, Fixture};

    /// Prefixes of the fixture's good sequences, one of them twice.
    const EXAMPLES: [(usize, usize); 6] = [(2, 7), (0, 5), (4, 1), (2, 11), (0, 2), (2, 7)];

    fn rows(source: &mut dyn ActivationSource) -> Vec<Vec<Vec<f32>>> {
        let mut copied = Vec::new();
        source
            .with_rows(&EXAMPLES, &mut |sites| {
                copied = sites
                    .iter()
                    .map(|site| site.iter().map(|rows| rows.to_vec()).collect())
                    .collect();
            })
            .unwrap();
        copied
    }

    fn open<'a>(
        fixture: &'a Fixture,
        storage: Storage,
        folder: Option<&std::path::Path>,
    ) -> Box<dyn ActivationSource + 'a> {
        let folder = folder.map(ToOwned::to_owned);
        let config = StorageConfig { storage, folder, ..StorageConfig::default() };
        open_activations(fixture.capture(), &fixture.all(), &config, &mut |_, _| {}).unwrap()
    }

    #[test]
    fn all_sources_give_the_same_rows() {
        let fixture = Fixture::damaged();
        let folder = tempfile::tempdir().unwrap();
        let mut sources = vec![
            open(&fixture, Storage::Memory, None),
            open(&fixture, Storage::Disk, Some(folder.path())),
            open(&fixture, Storage::Recompute, None),
        ];
        let expected = rows(&mut *sources[0]);
        assert_eq!((expected.len(), expected[0].len()), (3, EXAMPLES.len()));
        for source in &mut sources {
            assert_eq!((source.n_sites(), source.d_model(), source.n_sequences()), (3, 8, 6));
            assert_eq!(source.skipped(), [3]);
            let rows = rows(&mut **source);
            for (site, expected) in rows.iter().zip(&expected) {
                for ((rows, expected), (_, end)) in site.iter().zip(expected).zip(EXAMPLES) {
                    assert_eq!(rows.len(), end * 8);
                    assert_abs_diff_eq!(rows[..], expected[..], epsilon = 1e-5);
                }
            }
        }
    }

    #[test]
    fn activations_from_elsewhere_are_one_site() {
        let external = ExternalActivations {
            x: (0..22_u8).map(f32::from).collect(),
            offsets: vec![0, 5, 5 + 2, 11],
            labels: Some(vec![1, 0, 1]),
            targets: None,
            classes: vec!["3".to_owned(), "8".to_owned()],
            d_model: 2,
            position: None,
            input_ids: None,
            texts: None,
            groups: None,
            source_rows: vec![0, 2, 3],
            skipped: vec![1],
            sites: Vec::new(),
            origin: crate::ActivationOrigin::default(),
            hash: String::new(),
        };
        let set = crate::ExampleSet::from_external(&external, &external.keys()).unwrap();
        let ends: Vec<_> = set.examples.iter().map(|e| (e.sequence, e.end, e.label)).collect();
        assert_eq!(ends, [(0, 5, 1), (1, 2, 0), (2, 4, 1)]);
        let mut source = MemoryActivations::from(external);
        assert_eq!((source.n_sites(), source.d_model(), source.n_sequences()), (1, 2, 3));
        assert!(source.skipped().is_empty());
        let mut n_calls = 0;
        source
            .with_rows(&[(1, 2), (2, 1)], &mut |sites| {
                n_calls += 1;
                assert_eq!(sites, [vec![&[10.0, 11.0, 12.0, 13.0][..], &[14.0, 15.0]]]);
            })
            .unwrap();
        assert_eq!(n_calls, 1);
    }

    #[test]
    fn rows_that_are_not_there_are_refused() {
        let fixture = Fixture::damaged();
        let folder = tempfile::tempdir().unwrap();
        for storage in [Storage::Memory, Storage::Disk, Storage::Recompute] {
            let mut source = open(&fixture, storage, Some(folder.path()));
            for example in [(3, 1), (0, 6), (0, 0), (6, 1)] {
                let result = source.with_rows(&[(0, 1), example], &mut |_| panic!("not there"));
                assert!(
                    matches!(result, Err(ActivationError::NoActivations { sequence, end })
                        if (sequence, end) == example),
                    "{storage:?} {example:?}"
                );
            }
        }
    }

    #[test]
    fn nothing_but_nan_is_refused() {
        let mut fixture = Fixture::new();
        fixture.sites[1].convention = attention_probes_models::Convention::TlProcessed;
        let model = Disguised { model: &fixture.model, shape: fixture.model.shape().clone() };
        let config = StorageConfig::default();
        let result = open_activations(fixture.capture_of(&model), &[0, 1], &config, &mut |_, _| {});
        assert!(matches!(result.err(), Some(ActivationError::NothingFinite { n_sequences: 2 })));
    }

    #[test]
    fn auto_takes_memory_then_disk_then_nothing() {
        let cases = [
            (Storage::Auto, 10, Some(9), Storage::Memory),
            (Storage::Auto, 9, Some(10), Storage::Disk),
            (Storage::Auto, 9, Some(9), Storage::Recompute),
            (Storage::Auto, 9, None, Storage::Recompute),
            (Storage::Memory, 10, None, Storage::Memory),
            (Storage::Disk, 10, Some(9), Storage::Disk),
            (Storage::Recompute, 10, Some(10), Storage::Recompute),
        ];
        for (storage, memory_bytes, disk_bytes, expected) in cases {
            assert_eq!(storage.resolve(10, memory_bytes, disk_bytes).unwrap(), expected);
        }
        assert!(matches!(Storage::Disk.resolve(1, 9, None), Err(ActivationError::NoFolder)));
        assert_eq!(
            Storage::Memory.resolve(5 << 30, 4 << 30, Some(9)).unwrap_err().to_string(),
            "activations take 5.00 GiB, but the memory budget is 4.00 GiB; raise it, or set the \
             storage to `disk` or `recompute`"
        );
        assert_eq!(serde_json::to_string(&Storage::Recompute).unwrap(), "\"recompute\"");
    }

    #[test]
    fn the_budget_decides_before_anything_runs() {
        let fixture = Fixture::new();
        let n_bytes = fixture.tokens.ids.len() as u64 * 8 * 4 * 3;
        assert_eq!(fixture.capture().needed_bytes(&fixture.all()), n_bytes);
        let folder = tempfile::tempdir().unwrap();
        let mut config = StorageConfig {
            memory_budget_bytes: n_bytes - 1,
            folder: Some(folder.path().to_owned()),
            storage: Storage::Memory,
            ..StorageConfig::default()
        };
        let open = |config: &StorageConfig| {
            open_activations(fixture.capture(), &fixture.all(), config, &mut |_, _| {}).err()
        };
        assert!(matches!(open(&config), Some(ActivationError::MemoryBudget { .. })));
        config.storage = Storage::Auto;
        let choose = |config: &StorageConfig| {
            config.choose(&fixture.capture(), &fixture.all()).map(|it| (it.storage, it.to_string()))
        };
        let small = StorageConfig { disk_budget_bytes: n_bytes - 1, ..config.clone() };
        let (storage, why) = choose(&small).unwrap();
        assert_eq!(storage, Storage::Recompute);
        assert!(why.contains("that they may take on disk; the model runs again"), "{why}");
        let (storage, why) = choose(&config).unwrap();
        assert_eq!(storage, Storage::Disk);
        assert!(why.ends_with("that are allowed in memory, and are kept on disk"), "{why}");
        assert!(open(&config).is_none());
        assert!(fs::read_dir(folder.path()).unwrap().count() > 0);
        // What is on disk already takes no more room there.
        let (storage, why) = choose(&small).unwrap();
        assert_eq!(storage, Storage::Disk);
        assert!(why.starts_with("activations of an earlier run, "), "{why}");
    }
}
