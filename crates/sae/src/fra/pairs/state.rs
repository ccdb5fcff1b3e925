//! Statistics as a file, to go on with later to the same bits.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use attention_probes_activations::write_atomically;
use attention_probes_errors::{FileError, JsonFileError};
use serde::{Deserialize, Serialize};

use super::entry::PairEntry;
use super::induction_sums::InductionSums;
use super::permutation::NONE;
use super::row::Row;
use super::statistics::FraStatistics;
use super::table::PairTable;
use crate::SaeError;

/// First line of a file.
const MAGIC: &str = "fra statistics 3";

/// Longest second line.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// Larger numbers of anything are not believed, so that they can be added to.
const MAX_COUNT: u64 = 1 << 60;

/// Ends a list of rows; no feature has this number.
const END: u32 = u32::MAX;

/// Everything but the pairs. Numbers that are not whole are given by their bits.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    digest: String,
    heads: Vec<usize>,
    budget_bytes: usize,
    seed: u64,
    permuted: bool,
    d_sae: usize,
    is_factored: bool,
    n_texts: u64,
    n_skipped: u64,
    n_positions: u64,
    n_active: u64,
    /// Texts, queries, and four sums.
    induction: Vec<[u64; 6]>,
    tables: Vec<TableHeader>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct TableHeader {
    capacity: usize,
    floor: u32,
    n_dropped: u64,
}

impl FraStatistics {
    /// Writes everything that the next text is added to.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Json`] if the settings cannot be written as JSON.
    /// - [`SaeError::Activation`] if the file cannot be written.
    pub fn save(&self, path: &Path, digest: &str) -> Result<(), SaeError> {
        let header =
            serde_json::to_string(&self.header(digest)).map_err(JsonFileError::new(path))?;
        Ok(write_atomically(path, |file| {
            let mut file = Hashed::new(file);
            file.write_all(format!("{MAGIC}\n{header}\n").as_bytes())?;
            let others = self.permutation.others.iter().flat_map(|other| other.to_le_bytes());
            file.write_all(&others.collect::<Vec<u8>>())?;
            for table in self.tables.iter().chain(&self.permuted) {
                write_rows(&mut file, &table.settled)?;
                write_rows(&mut file, &table.recent)?;
            }
            let hash = file.hasher.finalize();
            file.inner.write_all(hash.as_bytes())
        })?)
    }

    /// Goes on from a file that [`FraStatistics::save`] wrote of statistics with the same settings
    /// and digest.
    ///
    /// # Errors
    ///
    /// [`SaeError::File`], or [`SaeError::Statistics`] if it is damaged or of another run; the
    /// statistics are then as they were.
    pub fn load(&mut self, path: &Path, digest: &str) -> Result<(), SaeError> {
        let file = File::open(path).map_err(FileError::read(path))?;
        let mut file = Hashed::new(BufReader::new(file));
        let loaded = self.read(&mut file, digest);
        if let Some(source) = file.failed {
            return Err(FileError::read(path)(source).into());
        }
        let reason = |reason| SaeError::Statistics { path: path.to_owned(), reason };
        *self = loaded.map_err(reason)?;
        Ok(())
    }

    fn read(&self, file: &mut Hashed<BufReader<File>>, digest: &str) -> Result<Self, &'static str> {
        const DAMAGED: &str = "it is damaged";
        let line = |file: &mut Hashed<BufReader<File>>| {
            let mut line = Vec::new();
            let read = file.inner.by_ref().take(MAX_HEADER_BYTES).read_until(b'\n', &mut line);
            file.hasher.update(&line);
            file.noted(read).filter(|_| line.pop() == Some(b'\n')).ok_or(DAMAGED)?;
            String::from_utf8(line).map_err(|_| DAMAGED)
        };
        if line(file)? != MAGIC {
            return Err("it is another kind of file");
        }
        let found: Header = serde_json::from_str(&line(file)?).map_err(|_| DAMAGED)?;
        let mut loaded = Self { tables: Vec::new(), permuted: Vec::new(), ..self.clone() };
        loaded.n_texts = found.n_texts;
        loaded.n_skipped = found.n_skipped;
        loaded.n_positions = found.n_positions;
        loaded.n_active = found.n_active;
        loaded.induction = found.induction.iter().map(|sums| from_bits(*sums)).collect();
        let n_tables = self.tables.len() + self.permuted.len();
        let capacities = self.tables.iter().chain(&self.permuted).map(|table| table.capacity);
        let is_same = found.tables.iter().map(|table| table.capacity).eq(capacities);
        if found.tables.len() != n_tables
            || found.induction.len() != self.induction.len()
            || !is_same
        {
            return Err("it was made with other settings");
        }
        let of_texts = [found.n_texts, found.n_skipped, found.n_positions, found.n_active];
        let of_heads = found.induction.iter().flat_map(|sums| &sums[..2]);
        let of_tables = found.tables.iter().map(|table| &table.n_dropped);
        if of_texts.iter().chain(of_heads).chain(of_tables).any(|n| *n > MAX_COUNT) {
            return Err(DAMAGED);
        }
        loaded.permutation.others = read_others(file, self.d_sae).ok_or(DAMAGED)?;
        let mut tables = Vec::new();
        for header in &found.tables {
            let others = &loaded.permutation.others;
            let settled = read_rows(file, others).ok_or(DAMAGED)?;
            let recent = read_rows(file, others).ok_or(DAMAGED)?;
            let n = |rows: &[Row]| rows.iter().map(Row::len).sum();
            let table = PairTable {
                n_settled: n(&settled),
                n_recent: n(&recent),
                settled,
                recent,
                capacity: header.capacity,
                floor: f32::from_bits(header.floor),
                n_dropped: header.n_dropped,
            };
            tables.push(Some(table).filter(PairTable::is_sound).ok_or(DAMAGED)?);
        }
        loaded.permuted = tables.split_off(self.tables.len());
        loaded.tables = tables;
        let hash = file.hasher.finalize();
        let mut kept = Vec::new();
        let read = file.inner.by_ref().take(33).read_to_end(&mut kept);
        file.noted(read).ok_or(DAMAGED)?;
        if kept != hash.as_bytes() {
            return Err(DAMAGED);
        }
        // What was read with these settings would be written as it was read.
        if loaded.header(digest) == found {
            Ok(loaded)
        } else {
            Err("it was made with other settings, texts, or model")
        }
    }

    fn header(&self, digest: &str) -> Header {
        let table = |table: &PairTable| TableHeader {
            capacity: table.capacity,
            floor: table.floor.to_bits(),
            n_dropped: table.n_dropped,
        };
        Header {
            digest: digest.to_owned(),
            heads: self.config.heads.clone(),
            budget_bytes: self.config.budget_bytes,
            seed: self.config.seed,
            permuted: self.config.permuted,
            d_sae: self.d_sae,
            is_factored: self.is_factored,
            n_texts: self.n_texts,
            n_skipped: self.n_skipped,
            n_positions: self.n_positions,
            n_active: self.n_active,
            induction: self.induction.iter().map(to_bits).collect(),
            tables: self.tables.iter().chain(&self.permuted).map(table).collect(),
        }
    }
}

fn to_bits(sums: &InductionSums) -> [u64; 6] {
    let InductionSums { n_texts, n, sum, n_squared, n_sum, sum_squared } = sums;
    let [sum, n_squared, n_sum, sum_squared] =
        [sum, n_squared, n_sum, sum_squared].map(|sum| sum.to_bits());
    [*n_texts, *n, sum, n_squared, n_sum, sum_squared]
}

fn from_bits([n_texts, n, sums @ ..]: [u64; 6]) -> InductionSums {
    let [sum, n_squared, n_sum, sum_squared] = sums.map(f64::from_bits);
    InductionSums { n_texts, n, sum, n_squared, n_sum, sum_squared }
}

/// Bytes that go by, and the hash of them.
struct Hashed<T> {
    inner: T,
    hasher: blake3::Hasher,
    /// Why bytes could not be read, other than that there are no more.
    failed: Option<io::Error>,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Self {
        Self { inner, hasher: blake3::Hasher::new(), failed: None }
    }
}

impl<W: Write> Hashed<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl<R: Read> Hashed<R> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let read = self.inner.read_exact(&mut bytes);
        self.noted(read)?;
        self.hasher.update(&bytes);
        Some(bytes)
    }

    /// What was read; where that failed the error is kept.
    fn noted<T>(&mut self, read: io::Result<T>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
}

/// Another feature of each that occurred; `None` if one cannot be.
fn read_others<R: Read>(file: &mut Hashed<R>, n_features: usize) -> Option<Vec<u32>> {
    let is_other = |other: &u32| *other == NONE || (*other as usize) < n_features;
    (0..n_features).map(|_| file.u32().filter(is_other)).collect()
}

/// Rows that are not empty: feature, number of entries, entries.
fn write_rows<W: Write>(file: &mut Hashed<W>, rows: &[Row]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for (feature, row) in rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
        bytes.clear();
        bytes.extend((feature as u32).to_le_bytes());
        bytes.extend((row.len() as u32).to_le_bytes());
        for entry in row.entries() {
            bytes.extend(entry.key_feature.to_le_bytes());
            bytes.extend(entry.count.to_le_bytes());
            bytes.extend(entry.max.to_le_bytes());
            bytes.extend(entry.missed.to_le_bytes());
            for sum in [entry.sum, entry.sum_abs, entry.distance, entry.induction] {
                bytes.extend(sum.to_le_bytes());
            }
        }
        file.write_all(&bytes)?;
    }
    file.write_all(&END.to_le_bytes())
}

/// The rows of as many features, of pairs of those that have another; `None` if they cannot be.
fn read_rows<R: Read>(file: &mut Hashed<R>, others: &[u32]) -> Option<Vec<Row>> {
    let n_features = others.len();
    let occurred = |feature: usize| others.get(feature).is_some_and(|other| *other != NONE);
    let mut rows = vec![Row::default(); n_features];
    let mut next = 0;
    loop {
        let feature = file.u32()?;
        if feature == END {
            return Some(rows);
        }
        let n = file.u32()? as usize;
        let feature = feature as usize;
        if feature < next || !occurred(feature) || n == 0 || n > n_features {
            return None;
        }
        next = feature + 1;
        let entries = (0..n).map(|_| read_entry(file)).collect::<Option<Vec<_>>>()?;
        if !entries.iter().all(|entry| occurred(entry.key_feature as usize)) {
            return None;
        }
        rows[feature] = Row::of(entries)?;
    }
}

fn read_entry<R: Read>(file: &mut Hashed<R>) -> Option<PairEntry> {
    let (key_feature, count) = (file.u32()?, file.u32()?);
    let (max, missed) = (f32::from_bits(file.u32()?), f32::from_bits(file.u32()?));
    let mut sum = || file.array().map(f64::from_le_bytes).filter(|sum| sum.is_finite());
    let (sum, sum_abs, distance, induction) = (sum()?, sum()?, sum()?, sum()?);
    let is_entry = max >= 0.0 && missed >= 0.0 && sum_abs >= 0.0;
    let entry = PairEntry { key_feature, count, max, missed, sum, sum_abs, distance, induction };
    is_entry.then_some(entry)
}
