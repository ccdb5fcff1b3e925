//! Record batches of a file in Arrow's stream format, each checked before it is decoded.
//!
//! The format: messages one after the other, each with its length before it and its body behind it;
//! a length of 0 is the end. <https://arrow.apache.org/docs/format/Columnar.html>

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_ipc::convert::try_fb_to_schema;
use arrow_ipc::reader::read_record_batch;
use arrow_ipc::{Message, MessageHeader, root_as_message};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use attention_probes_errors::FileError;

use crate::{ActivationError, HaystackError};

/// Stands before the length of a message.
const CONTINUATION: u32 = u32::MAX;

/// A file, and how far it has been read.
pub(super) struct ArrowStream {
    path: PathBuf,
    file: BufReader<File>,
    /// Bytes that are left of the file: no message is longer, whatever it says.
    left: u64,
    schema: SchemaRef,
    /// Bytes of an element of each buffer of a batch.
    widths: Vec<usize>,
}

/// A message and its body.
struct RawMessage {
    message: Vec<u8>,
    body: Buffer,
}

impl ArrowStream {
    /// Reads the schema.
    pub(super) fn open(path: &Path) -> Result<Self, ActivationError> {
        let file = File::open(path).map_err(FileError::read(path))?;
        let left = file.metadata().map_err(FileError::read(path))?.len();
        let schema = Arc::new(arrow_schema::Schema::empty());
        let (path, file) = (path.to_owned(), BufReader::new(file));
        let mut stream = Self { path, file, left, schema, widths: Vec::new() };
        let raw = stream.read_message()?.ok_or_else(|| stream.damaged("no schema"))?;
        let message = stream.parse(&raw.message)?;
        let schema = message.header_as_schema().ok_or_else(|| stream.damaged("no schema"))?;
        let schema = try_fb_to_schema(schema).map_err(|source| stream.broken(source))?;
        for field in schema.fields() {
            add_widths(field.data_type(), &mut stream.widths)
                .ok_or_else(|| stream.damaged("a column of a type that such data do not have"))?;
        }
        stream.schema = Arc::new(schema);
        Ok(stream)
    }

    /// Names and types of the columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The next batch of some columns; `None` at the end.
    pub(super) fn next(
        &mut self,
        columns: &[usize],
    ) -> Result<Option<RecordBatch>, ActivationError> {
        loop {
            let Some(RawMessage { message, body }) = self.read_message()? else { return Ok(None) };
            let message = self.parse(&message)?;
            match message.header_type() {
                MessageHeader::RecordBatch => {}
                // Columns that are read are of no such type.
                MessageHeader::DictionaryBatch => continue,
                _ => return Err(self.damaged("a message that is no batch of rows").into()),
            }
            let batch = message
                .header_as_record_batch()
                .filter(|batch| is_within(batch, body.len(), &self.widths))
                .ok_or_else(|| self.damaged("a batch whose parts lie outside of it"))?;
            let schema = Arc::clone(&self.schema);
            let none = HashMap::new();
            return read_record_batch(
                &body,
                batch,
                schema,
                &none,
                Some(columns),
                &message.version(),
            )
            .map(Some)
            .map_err(|source| self.broken(source).into());
        }
    }

    fn read_message(&mut self) -> Result<Option<RawMessage>, ActivationError> {
        let mut length = self.read_length()?;
        if length == CONTINUATION {
            length = self.read_length()?;
        }
        if length == 0 {
            return Ok(None);
        }
        let mut message = vec![0; self.size_of(i64::from(length))?];
        self.fill(&mut message)?;
        let size = self.size_of(self.parse(&message)?.bodyLength())?;
        let mut body = MutableBuffer::from_len_zeroed(size);
        self.fill(&mut body)?;
        Ok(Some(RawMessage { message, body: body.into() }))
    }

    /// A size that a file claims, if so much of it is left.
    fn size_of(&self, claimed: i64) -> Result<usize, HaystackError> {
        let size = u64::try_from(claimed).ok().filter(|size| *size <= self.left);
        size.and_then(|size| usize::try_from(size).ok())
            .ok_or_else(|| self.damaged("a part that is longer than the rest of it"))
    }

    fn read_length(&mut self) -> Result<u32, ActivationError> {
        if self.left < 4 {
            return Err(self.damaged("no end").into());
        }
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ActivationError> {
        self.file.read_exact(bytes).map_err(FileError::read(&self.path))?;
        self.left -= bytes.len() as u64;
        Ok(())
    }

    fn parse<'a>(&self, message: &'a [u8]) -> Result<Message<'a>, HaystackError> {
        root_as_message(message).map_err(|_| self.damaged("bytes that are no message"))
    }

    fn damaged(&self, fault: &'static str) -> HaystackError {
        HaystackError::Damaged { path: self.path.clone(), fault }
    }

    fn broken(&self, source: ArrowError) -> HaystackError {
        HaystackError::Arrow { path: self.path.clone(), source }
    }
}

/// Adds the bytes of an element of each buffer of a column, validity bits counting as bytes; `None`
/// for a type that is not known.
fn add_widths(kind: &DataType, widths: &mut Vec<usize>) -> Option<()> {
    match kind {
        DataType::Null => return Some(()),
        DataType::Boolean => widths.extend([1, 1]),
        DataType::Utf8 | DataType::Binary => widths.extend([1, size_of::<i32>(), 1]),
        DataType::LargeUtf8 | DataType::LargeBinary => widths.extend([1, size_of::<i64>(), 1]),
        DataType::List(child) | DataType::LargeList(child) => {
            let is_large = matches!(kind, DataType::LargeList(_));
            widths.extend([1, if is_large { size_of::<i64>() } else { size_of::<i32>() }]);
            add_widths(child.data_type(), widths)?;
        }
        DataType::FixedSizeList(child, _) => {
            widths.push(1);
            add_widths(child.data_type(), widths)?;
        }
        DataType::Struct(children) => {
            widths.push(1);
            children.iter().try_for_each(|child| add_widths(child.data_type(), widths))?;
        }
        primitive => widths.extend([1, primitive.primitive_width()?]),
    }
    Some(())
}

/// Whether what a batch says of its parts can be true of a body of so many bytes; arrow-ipc panics
/// where a buffer lies outside of it, or ends within an element.
fn is_within(batch: &arrow_ipc::RecordBatch<'_>, n_bytes: usize, widths: &[usize]) -> bool {
    let n_bytes = n_bytes as i64;
    let is_buffer = |offset: i64, length: i64, width: usize| {
        offset >= 0
            && length >= 0
            && length % width as i64 == 0
            && offset.checked_add(length).is_some_and(|end| end <= n_bytes)
    };
    // A value takes a bit at least, but where every one is null.
    let most = n_bytes.saturating_mul(8).max(batch.length());
    let is_node =
        |length: i64, n_null: i64| (0..=most).contains(&length) && (0..=length).contains(&n_null);
    let mut buffers = batch.buffers().into_iter().flatten();
    (0..=i64::from(i32::MAX)).contains(&batch.length())
        && widths.iter().all(|width| {
            let buffer = buffers.next();
            buffer.is_some_and(|buffer| is_buffer(buffer.offset(), buffer.length(), *width))
        })
        && buffers.next().is_none()
        && batch.nodes().iter().flatten().all(|node| is_node(node.length(), node.null_count()))
}
