//! Event files that `TensorBoard` opens.

use std::io::Write as _;
use std::path::Path;

use attention_probes_activations::{ActivationError, write_atomically};
use prost::Message;

/// Scalars of one run of `TensorBoard`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Events {
    /// Seconds since 1970 that every event is dated with.
    pub(crate) wall_time_s: f64,
    /// Scalars by step.
    pub(crate) steps: Vec<Step>,
}

/// Scalars of one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Step {
    /// Its number, from 0 or 1.
    pub(crate) step: i64,
    /// Tag and value of each scalar; NaN is drawn as a gap.
    pub(crate) scalars: Vec<(String, f32)>,
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

impl Events {
    /// Writes the file, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// [`ActivationError::Write`] if it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), ActivationError> {
        write_atomically(path, |file| file.write_all(&self.to_bytes()))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let wall_time = self.wall_time_s;
        let version = Some("brain.Event:2".to_owned());
        let mut bytes = Vec::new();
        let first = Event { wall_time, step: 0, file_version: version, summary: None };
        push_record(&mut bytes, &first.encode_to_vec());
        for Step { step, scalars } in &self.steps {
            let value = |(tag, value): &(String, f32)| SummaryValue {
                tag: tag.clone(),
                simple_value: Some(*value),
            };
            let summary = Some(Summary { value: scalars.iter().map(value).collect() });
            let event = Event { wall_time, step: *step, file_version: None, summary };
            push_record(&mut bytes, &event.encode_to_vec());
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
    let masked = |data: &[u8]| {
        let crc = crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8);
        crc.to_le_bytes()
    };
    let length = (data.len() as u64).to_le_bytes();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&masked(&length));
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(&masked(data));
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

    const GOLDEN: &[u8] =
        b"1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c\
        1a00000000000000129bd82d09000000000000f83f10032a0d0a0b0a046c6f7373150000803ed054\
        b255";
}
