//! Event files that `TensorBoard` opens.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use attention_probes_activations::{ActivationError, write_atomically};
use prost::Message;

/// Scalars of one run of `TensorBoard`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Events {
    /// Seconds since 1970 that every event is dated with.
    pub(super) wall_time_s: f64,
    /// Scalars by step.
    pub(super) steps: Vec<Step>,
}

/// Scalars of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Step {
    /// Its number, from 0 or 1.
    pub(super) step: i64,
    /// Tag and value of each scalar; NaN is drawn as a gap.
    pub(super) scalars: Vec<(String, f32)>,
}

/// `tensorflow.Event`, as far as it is written here.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

/// `tensorflow.Summary.Value`, as far as it is written here.
#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// What stands before the number of a file that grows while a run goes on.
///
/// `TensorBoard` reads the files of a folder in the order of their names, so these come before the
/// one of the end.
const GROWING: &str = "events.out.tfevents.0.";

/// A file that grows while a run goes on.
#[derive(Debug)]
pub(super) struct GrowingEvents {
    file: File,
    /// Last step of each tag, in this file and those before it.
    last_steps: HashMap<String, i64>,
}

impl GrowingEvents {
    /// Begins the next file of a folder, in which no step of the earlier ones is written again.
    pub(super) fn resume(folder: &Path, wall_time_s: f64) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut last_steps = HashMap::new();
        let earlier = growing_files(folder)?;
        for path in &earlier {
            for event in events_of(&std::fs::read(path)?) {
                for value in event.summary.into_iter().flat_map(|summary| summary.value) {
                    let last = last_steps.entry(value.tag).or_insert(event.step);
                    *last = event.step.max(*last);
                }
            }
        }
        let path = folder.join(format!("{GROWING}{:04}", earlier.len()));
        let mut file = File::create(path)?;
        file.write_all(&Events { wall_time_s, steps: Vec::new() }.to_bytes())?;
        Ok(Self { file, last_steps })
    }

    /// Begins the first file of a folder, instead of those of an earlier run.
    pub(super) fn begin(folder: &Path, wall_time_s: f64) -> io::Result<Self> {
        for path in growing_files(folder)? {
            std::fs::remove_file(path)?;
        }
        Self::resume(folder, wall_time_s)
    }

    /// Appends the scalars of a step that are not in the files yet.
    pub(super) fn append(&mut self, wall_time_s: f64, mut step: Step) -> io::Result<()> {
        let last_steps = &mut self.last_steps;
        let number = step.step;
        step.scalars.retain(|(tag, _)| last_steps.get(tag).is_none_or(|last| *last < number));
        if step.scalars.is_empty() {
            return Ok(());
        }
        last_steps.extend(step.scalars.iter().map(|(tag, _)| (tag.clone(), number)));
        let mut bytes = Vec::new();
        push_record(&mut bytes, &step.to_event(wall_time_s).encode_to_vec());
        // In one call and without a buffer: a reader sees whole records but for the last.
        self.file.write_all(&bytes)
    }
}

/// Files of a folder that grow or have grown, in order; none if there is no folder.
fn growing_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix(GROWING).unwrap_or_default();
        if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The events of a file, up to a record that is damaged, or was not written to its end.
fn events_of(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some((data, rest)) = split_record(bytes) {
        let Ok(event) = Event::decode(data) else { break };
        events.push(event);
        bytes = rest;
    }
    events
}

impl Step {
    fn to_event(&self, wall_time: f64) -> Event {
        let value = |(tag, value): &(String, f32)| SummaryValue {
            tag: tag.clone(),
            simple_value: Some(*value),
        };
        let summary = Some(Summary { value: self.scalars.iter().map(value).collect() });
        Event { wall_time, step: self.step, file_version: None, summary }
    }
}

impl Events {
    /// Writes the file, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// [`ActivationError::File`] if it cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), ActivationError> {
        write_atomically(path, |file| file.write_all(&self.to_bytes()))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let wall_time = self.wall_time_s;
        let version = Some("brain.Event:2".to_owned());
        let mut bytes = Vec::new();
        let first = Event { wall_time, step: 0, file_version: version, summary: None };
        push_record(&mut bytes, &first.encode_to_vec());
        for step in &self.steps {
            push_record(&mut bytes, &step.to_event(wall_time).encode_to_vec());
        }
        bytes
    }
}

/// Appends a record of the `TFRecord` format.
///
/// ```text
/// length (u64), masked CRC-32C of length, data, masked CRC-32C of data      little-endian
/// mask(crc) = rotate_right(crc, 15) + 0xa282ead8
/// ```
fn push_record(bytes: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&masked_crc(&length));
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(&masked_crc(data));
}

/// Data of the first record, and what comes after it; `None` if there is no whole one.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (length_crc, rest) = rest.split_first_chunk::<4>()?;
    let n_bytes = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (data, rest) = rest.split_at_checked(n_bytes)?;
    let (data_crc, rest) = rest.split_first_chunk::<4>()?;
    let is_sound = masked_crc(length) == *length_crc && masked_crc(data) == *data_crc;
    is_sound.then_some((data, rest))
}

fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_reference_writer() {
        // `RecordWriter` of tensorboard 2.21.0: two events of the wall time 1.5, one with the
        // version of the file, one with the scalar `loss`, 0.25 at step 3.
        let expected = GOLDEN
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
        let events = Events {
            wall_time_s: 1.5,
            steps: vec![Step { step: 3, scalars: vec![("loss".to_owned(), 0.25)] }],
        };
        assert_eq!(events.to_bytes(), expected.collect::<Vec<u8>>());
    }

    #[test]
    fn a_run_that_was_killed_goes_on_in_a_new_file_with_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("run");
        let step = |step: i64, tags: &[&str]| {
            let scalar = |tag: &&str| ((*tag).to_owned(), step as f32);
            Step { step, scalars: tags.iter().map(scalar).collect() }
        };
        let scalars = |path: &Path| -> Vec<(i64, String)> {
            let events = events_of(&std::fs::read(path).unwrap()).into_iter();
            let tags = |event: Event| {
                let values = event.summary.into_iter().flat_map(|summary| summary.value);
                values.map(move |value| (event.step, value.tag)).collect::<Vec<_>>()
            };
            events.flat_map(tags).collect()
        };
        let mut first = GrowingEvents::begin(&folder, 1.0).unwrap();
        first.append(1.0, step(1, &["a", "b"])).unwrap();
        first.append(2.0, step(2, &["a"])).unwrap();
        first.append(2.0, step(2, &["b"])).unwrap();
        // The last record is cut off by the kill.
        let path = folder.join("events.out.tfevents.0.0000");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        let mut second = GrowingEvents::resume(&folder, 3.0).unwrap();
        second.append(3.0, step(2, &["a", "b"])).unwrap();
        second.append(4.0, step(3, &["a"])).unwrap();
        second.append(4.0, step(3, &["a"])).unwrap();
        let own = |step: i64, tag: &str| (step, tag.to_owned());
        assert_eq!(scalars(&path), [own(1, "a"), own(1, "b"), own(2, "a")]);
        let next = folder.join("events.out.tfevents.0.0001");
        assert_eq!(scalars(&next), [own(2, "b"), own(3, "a")]);

        let other = folder.join("events.out.tfevents.0.attention-probes");
        std::fs::write(&other, "of the end").unwrap();
        GrowingEvents::begin(&folder, 5.0).unwrap();
        assert_eq!(growing_files(&folder).unwrap(), [path]);
        assert!(other.exists());
    }

    const GOLDEN: &[u8] =
        b"1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c\
        1a00000000000000129bd82d09000000000000f83f10032a0d0a0b0a046c6f7373150000803ed054\
        b255";
}
