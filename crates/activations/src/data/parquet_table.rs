//! Rows of text, label, and group from Parquet files, one row group at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use attention_probes_errors::{FileError, nearest};
use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::column::page::PageReader;
use parquet::column::reader::get_column_reader;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescriptor;

use super::parquet_column::{Chunk, Column};
use super::parquet_pages::fault_of;
use super::parquet_strings::CheckedPages;
use super::row::{Columns, TextRow};
use crate::{ActivationError, TableError};

/// Rows that are decoded at a time.
const BATCH: usize = 1024;

/// A file may hold this many times its own size in text, or [`MIN_TEXT_BYTES`]: the best
/// compression of prose is about a tenth of that.
const MAX_EXPANSION: u64 = 256;

/// Text that a file of any size may hold.
const MIN_TEXT_BYTES: u64 = 256 << 20;

/// What a row takes beside its letters.
const ROW_BYTES: u64 = size_of::<TextRow>() as u64;

/// A Parquet file, and how far it has been read.
pub(crate) struct ParquetRows {
    table: ParquetTable,
    file: File,
    /// Columns of text, label, and group.
    indices: [Option<usize>; 3],
    label_is_needed: bool,
    /// The row group that comes next.
    next_group: usize,
    /// The columns of the row group at hand, and how many of its rows are left.
    columns: [Option<Column>; 3],
    left: usize,
    rows: VecDeque<TextRow>,
    /// Rows decoded so far.
    n_rows: usize,
    /// Bytes of text that the file may still hold.
    room: u64,
    hash: String,
}

impl ParquetRows {
    /// Finds the columns that are asked for.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::File`] or [`TableError::Parquet`] if the file is damaged
    /// - [`TableError::NoColumn`] or [`TableError::ColumnType`] if a column does not fit
    pub(crate) fn open(path: &Path, columns: &Columns) -> Result<Self, ActivationError> {
        let file = File::open(path).map_err(FileError::read(path))?;
        let size_bytes = file.metadata().map_err(FileError::read(path))?.len();
        let metadata = ParquetMetaDataReader::new()
            .parse_and_finish(&file)
            .map_err(|source| TableError::Parquet { path: path.to_owned(), source })?;
        let table = ParquetTable { path: path.to_owned(), metadata, size_bytes };
        let text = table.column(&columns.text, true)?;
        let label = match &columns.label {
            Some(label) if columns.label_is_needed => Some(table.column(label, false)?),
            label => label.as_ref().and_then(|label| table.column(label, false).ok()),
        };
        let group = columns.group.as_ref().map(|group| table.column(group, false)).transpose()?;
        Ok(Self {
            indices: [Some(text), label, group],
            label_is_needed: columns.label_is_needed,
            table,
            file,
            next_group: 0,
            columns: [const { None }; 3],
            left: 0,
            rows: VecDeque::new(),
            n_rows: 0,
            room: size_bytes.saturating_mul(MAX_EXPANSION).max(MIN_TEXT_BYTES),
            hash: String::new(),
        })
    }

    /// BLAKE3 of the file as hex, once there is no further row.
    pub(crate) fn hash(&self) -> String {
        self.hash.clone()
    }

    /// The next row; of a row group, only the columns that are asked for are in memory.
    ///
    /// # Errors
    ///
    /// - [`ActivationError::File`], [`TableError::Parquet`], or
    ///   [`TableError::ParquetPage`] if the file is damaged, or too large for what it is
    /// - [`TableError::Cell`] if a value does not fit
    pub(crate) fn read_row(&mut self) -> Result<Option<TextRow>, ActivationError> {
        loop {
            if let Some(row) = self.rows.pop_front() {
                return Ok(Some(row));
            }
            if self.left > 0 {
                self.decode()?;
            } else if self.next_group < self.table.metadata.num_row_groups() {
                self.columns = [const { None }; 3]; // before the next ones are there
                for (column, index) in self.columns.iter_mut().zip(self.indices) {
                    let Some(index) = index else { continue };
                    *column = Some(self.table.open(&mut self.file, self.next_group, index)?);
                }
                let n_rows = self.table.metadata.row_group(self.next_group).num_rows();
                self.left = usize::try_from(n_rows).unwrap_or(0);
                self.next_group += 1;
            } else {
                self.hash = self.hash_of_file()?;
                return Ok(None);
            }
        }
    }

    /// Decodes the next rows of the row group at hand.
    fn decode(&mut self) -> Result<(), ActivationError> {
        let (n, first) = (self.left.min(BATCH), self.n_rows);
        let [text, label, group] = &mut self.columns;
        let Some(text) = text else { return Ok(()) };
        let texts = text.texts(n, first)?;
        let names = |column: &mut Option<Column>, is_needed| match column {
            Some(column) => column.names(n, first, is_needed),
            None => Ok(vec![None; n]),
        };
        let labels = names(label, self.label_is_needed)?;
        let groups = names(group, true)?;
        for ((text, label), group) in texts.into_iter().zip(labels).zip(groups) {
            let row = TextRow { text, label, group };
            let of_names = row.label.iter().chain(&row.group).map(String::len).sum::<usize>();
            let taken = ROW_BYTES + (row.text.len() + of_names) as u64;
            self.room = self.room.checked_sub(taken).ok_or_else(|| TableError::ParquetPage {
                path: self.table.path.clone(),
                fault: "more text than a file of this size may",
                column: self.columns[0].as_ref().map_or(String::new(), Column::name),
            })?;
            self.rows.push_back(row);
        }
        self.left -= n;
        self.n_rows += n;
        Ok(())
    }

    fn hash_of_file(&mut self) -> Result<String, ActivationError> {
        let mut hasher = blake3::Hasher::new();
        self.file
            .rewind()
            .and_then(|()| hasher.update_reader(&mut self.file).map(|_| ()))
            .map_err(FileError::read(&self.table.path))?;
        Ok(hasher.finalize().to_hex().to_string())
    }
}

/// A file whose metadata has been read.
struct ParquetTable {
    path: PathBuf,
    metadata: ParquetMetaData,
    size_bytes: u64,
}

impl ParquetTable {
    /// Index of a column by its name, if it is of a type that is read.
    fn column(&self, name: &str, is_text: bool) -> Result<usize, TableError> {
        let schema = self.metadata.file_metadata().schema_descr();
        let fields = schema.root_schema().get_fields();
        if !fields.iter().any(|field| field.name() == name) {
            let columns: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
            let nearest = nearest(name, &columns).map(str::to_owned);
            let path = self.path.clone();
            return Err(TableError::NoColumn { path, column: name.to_owned(), columns, nearest });
        }
        let refuse = |found| TableError::ColumnType {
            path: self.path.clone(),
            column: name.to_owned(),
            found,
            expected: if is_text { "strings" } else { "strings, integers, or booleans" },
        };
        let is_it = |column: &ColumnDescriptor| column.path().parts() == [name];
        let found = schema.columns().iter().position(|column| is_it(column));
        let index = found.ok_or_else(|| refuse("lists or structures"))?;
        let column = schema.column(index);
        if column.max_rep_level() > 0 || column.max_def_level() > 1 {
            return Err(refuse("lists or structures"));
        }
        match column.physical_type() {
            Type::BOOLEAN | Type::INT32 | Type::INT64 if is_text => Err(refuse("numbers")),
            Type::BOOLEAN => Ok(index),
            Type::BYTE_ARRAY | Type::INT32 | Type::INT64 if is_plain(&column) => Ok(index),
            Type::FLOAT | Type::DOUBLE => Err(refuse("floats")),
            _ => Err(refuse("values of another type")),
        }
    }

    /// Reads a column of a row group, and looks over its pages.
    fn open(
        &self,
        file: &mut File,
        row_group: usize,
        column: usize,
    ) -> Result<Column, ActivationError> {
        let row_group = self.metadata.row_group(row_group);
        let chunk = row_group.column(column);
        let name = chunk.column_descr().name();
        let fault = |fault| TableError::ParquetPage {
            path: self.path.clone(),
            column: name.to_owned(),
            fault,
        };
        let (start, length) = byte_range(chunk)
            .filter(|(start, length)| {
                start.checked_add(*length).is_some_and(|end| end <= self.size_bytes)
            })
            .ok_or_else(|| fault("pages outside of the file"))?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))
            .and_then(|_| file.take(length).read_to_end(&mut bytes))
            .map_err(FileError::read(&self.path))?;
        if let Some(found) = fault_of(&bytes) {
            return Err(fault(found).into());
        }
        let n_rows = usize::try_from(row_group.num_rows())
            .map_err(|_| fault("a row group of less than no rows"))?;
        let chunk_reader = Chunk { start, bytes: bytes.into(), size_bytes: self.size_bytes };
        let broken = |source| TableError::Parquet { path: self.path.clone(), source };
        let pages = SerializedPageReader::new(Arc::new(chunk_reader), chunk, n_rows, None)
            .map_err(broken)?;
        let has_nulls = chunk.column_descr().max_def_level() > 0;
        let pages: Box<dyn PageReader> = match chunk.column_type() {
            Type::BYTE_ARRAY => Box::new(CheckedPages { pages, has_nulls }),
            _ => Box::new(pages),
        };
        let reader = get_column_reader(chunk.column_descr_ptr(), pages);
        Ok(Column { path: self.path.clone(), descriptor: chunk.column_descr_ptr(), reader })
    }
}

/// Where the pages of a column lie; `None` if the metadata says something impossible.
fn byte_range(chunk: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let first = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    Some((u64::try_from(first).ok()?, u64::try_from(chunk.compressed_size()).ok()?))
}

/// Whether values are letters or integers and stand for nothing else, such as a date.
fn is_plain(column: &ColumnDescriptor) -> bool {
    match column.logical_type_ref() {
        Some(kind) => matches!(
            kind,
            LogicalType::String | LogicalType::Json | LogicalType::Enum | LogicalType::Integer(_)
        ),
        None => matches!(
            column.converted_type(),
            ConvertedType::NONE
                | ConvertedType::UTF8
                | ConvertedType::ENUM
                | ConvertedType::JSON
                | ConvertedType::INT_8
                | ConvertedType::INT_16
                | ConvertedType::INT_32
                | ConvertedType::INT_64
                | ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
    use parquet::data_type::{
        BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, Int32Type,
        Int64Type,
    };
    use parquet::file::properties::{
        EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
    };
    use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::{Dataset, DatasetConfig, LabelColumn, TextReader};

    const SCHEMA: &str = "message m { required binary text (UTF8); optional int64 label; }";

    type Group<'a> = SerializedRowGroupWriter<'a, Vec<u8>>;

    /// A file with the row groups that the functions write.
    fn file(
        schema: &str,
        properties: WriterPropertiesBuilder,
        row_groups: &[&dyn Fn(&mut Group<'_>)],
    ) -> Vec<u8> {
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut writer =
            SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
        for fill in row_groups {
            let mut group = writer.next_row_group().unwrap();
            fill(&mut group);
            group.close().unwrap();
        }
        writer.into_inner().unwrap()
    }

    fn write<T: DataType>(group: &mut Group<'_>, values: &[T::T], levels: Option<&[i16]>) {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<T>().write_batch(values, levels, None).unwrap();
        column.close().unwrap();
    }

    fn texts(group: &mut Group<'_>, texts: &[&str]) {
        let values: Vec<ByteArray> = texts.iter().map(|&text| text.into()).collect();
        write::<ByteArrayType>(group, &values, None);
    }

    /// A file of three rows in two row groups.
    fn small(properties: WriterPropertiesBuilder) -> Vec<u8> {
        file(
            SCHEMA,
            properties,
            &[
                &|group| {
                    texts(group, &["one", "two"]);
                    write::<Int64Type>(group, &[-1, 7], Some(&[1, 1]));
                },
                &|group| {
                    texts(group, &["drei"]);
                    write::<Int64Type>(group, &[7], Some(&[1]));
                },
            ],
        )
    }

    fn read(bytes: &[u8]) -> Result<Dataset, ActivationError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.parquet");
        fs::write(&path, bytes).unwrap();
        Dataset::read("d", &path, &DatasetConfig::default(), true)
    }

    /// The message without the folder, which differs from run to run.
    fn message(result: Result<Dataset, ActivationError>) -> String {
        let message = with_causes(&result.unwrap_err());
        match (message.find("`/"), message.find("d.parquet")) {
            (Some(start), Some(end)) => format!("{}{}", &message[..=start], &message[end..]),
            _ => message,
        }
    }

    /// An error with its causes.
    fn with_causes(error: &dyn std::error::Error) -> String {
        let cause = error.source().map(|cause| format!(": {}", with_causes(cause)));
        format!("{error}{}", cause.unwrap_or_default())
    }

    #[test]
    fn row_groups_follow_each_other_whatever_compresses_them() {
        let plain = || WriterProperties::builder().set_dictionary_enabled(false);
        for properties in [
            WriterProperties::builder(),
            plain(),
            plain().set_compression(Compression::SNAPPY),
            WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())),
            WriterProperties::builder().set_compression(Compression::GZIP(GzipLevel::default())),
            WriterProperties::builder()
                .set_writer_version(WriterVersion::PARQUET_2_0)
                .set_encoding(Encoding::PLAIN),
        ] {
            let bytes = small(properties);
            let dataset = read(&bytes).unwrap();
            assert_eq!(dataset.texts, ["one", "two", "drei"]);
            assert_eq!(
                (dataset.classes, dataset.labels),
                (vec!["-1".into(), "7".into()], vec![0, 1, 1])
            );
            assert_eq!(dataset.source_rows, [0, 1, 2]);
            assert_eq!(dataset.hash, blake3::hash(&bytes).to_hex().to_string());
        }
    }

    #[test]
    fn more_rows_than_are_decoded_at_a_time_stay_beside_their_labels() {
        let numbers: Vec<String> = (0..3000).map(|row| row.to_string()).collect();
        let bytes = file(
            SCHEMA,
            WriterProperties::builder().set_data_page_row_count_limit(700),
            &[&|group| {
                let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
                texts(group, &numbers);
                let labels: Vec<i64> = (0..3000).collect();
                write::<Int64Type>(group, &labels, Some(&[1; 3000]));
            }],
        );
        let dataset = read(&bytes).unwrap();
        assert_eq!(dataset.texts, numbers);
        assert_eq!(dataset.labels, (0..3000).collect::<Vec<_>>());
    }

    #[test]
    fn labels_are_strings_integers_or_booleans() {
        let labelled = |kind: &str, fill: &dyn Fn(&mut Group<'_>)| {
            let schema = format!("message m {{ required binary text (UTF8); required {kind}; }}");
            let bytes = file(
                &schema,
                WriterProperties::builder(),
                &[&|group| {
                    texts(group, &["a", "b"]);
                    fill(group);
                }],
            );
            read(&bytes).map(|dataset| dataset.classes)
        };
        let bools =
            labelled("boolean label", &|group| write::<BoolType>(group, &[true, false], None));
        assert_eq!(bools.unwrap(), ["false", "true"]);
        let small = labelled("int32 label (INTEGER(8, true))", &|group| {
            write::<Int32Type>(group, &[-3, 2], None);
        });
        assert_eq!(small.unwrap(), ["-3", "2"]);
        let unsigned =
            labelled("int64 label (UINT_64)", &|group| write::<Int64Type>(group, &[-1, 2], None));
        assert_eq!(unsigned.unwrap(), ["2", "18446744073709551615"]);
        let names = labelled("binary label (ENUM)", &|group| texts(group, &[" pos ", "neg"]));
        assert_eq!(names.unwrap(), ["neg", "pos"]);

        for (kind, fill, found) in [
            (
                "double label",
                &(|group: &mut Group<'_>| write::<DoubleType>(group, &[1.0, 2.0], None))
                    as &dyn Fn(&mut Group<'_>),
                "holds floats",
            ),
            (
                "int32 label (DATE)",
                &|group| write::<Int32Type>(group, &[1, 2], None),
                "holds values of another type",
            ),
            (
                "fixed_len_byte_array(1) label",
                &|group| {
                    let values = ["a", "b"].map(|text| ByteArray::from(text).into());
                    write::<FixedLenByteArrayType>(group, &values, None);
                },
                "holds values of another type",
            ),
            (
                "binary label (UTF8)",
                &|group| texts(group, &["a", " "]),
                "row 1: column `label` holds an empty string",
            ),
        ] {
            let error = labelled(kind, fill).unwrap_err().to_string();
            assert!(error.contains(found) && error.contains("`label`"), "{error}");
        }
    }

    #[test]
    fn a_label_that_is_none_is_left_out_where_it_need_not_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.parquet");
        let labels = |bytes: &[u8]| -> Vec<Option<String>> {
            fs::write(&path, bytes).unwrap();
            let config = DatasetConfig::default();
            let rows = TextReader::open(&path, &config, LabelColumn::IfThere).unwrap();
            rows.map(|row| row.unwrap().label).collect()
        };
        let builder = WriterProperties::builder;
        let some = file(
            SCHEMA,
            builder(),
            &[&|group| {
                texts(group, &["a", "b"]);
                write::<Int64Type>(group, &[1], Some(&[1, 0]));
            }],
        );
        assert_eq!(labels(&some), [Some("1".to_owned()), None]);
        for schema in ["", "required double label;"] {
            let schema = format!("message m {{ required binary text (UTF8); {schema} }}");
            let none = file(
                &schema,
                builder(),
                &[&|group| {
                    texts(group, &["a", "b"]);
                    if schema.contains("label") {
                        write::<DoubleType>(group, &[1.0, 2.0], None);
                    }
                }],
            );
            assert_eq!(labels(&none), [None, None]);
        }
    }

    #[test]
    fn columns_and_rows_that_do_not_fit_are_named() {
        let builder = WriterProperties::builder;
        let no_label = file(
            "message m { required binary txt (UTF8); }",
            builder(),
            &[&|group| texts(group, &["a"])],
        );
        assert_eq!(
            message(read(&no_label)),
            "`d.parquet` has no column `text`; columns: `txt`; did you mean `txt`?"
        );
        let list = "message m { required group text (LIST) { repeated group list { required binary element (UTF8); } } }";
        let list = file(list, builder(), &[]);
        assert_eq!(
            message(read(&list)),
            "column `text` of `d.parquet` holds lists or structures, expected strings"
        );
        let repeated = file("message m { repeated binary text (UTF8); }", builder(), &[]);
        assert!(message(read(&repeated)).contains("holds lists"));
        let numbers =
            file("message m { required int64 text; required int64 label; }", builder(), &[]);
        assert!(message(read(&numbers)).contains("holds numbers, expected strings"));

        let null = file(
            SCHEMA,
            builder(),
            &[&|group| {
                texts(group, &["a", "b"]);
                write::<Int64Type>(group, &[1], Some(&[1, 0]));
            }],
        );
        assert_eq!(
            message(read(&null)),
            "`d.parquet` row 1: column `label` holds null, expected a string, an integer, or a boolean"
        );
        let bytes = file(
            SCHEMA,
            builder(),
            &[&|group| {
                write::<ByteArrayType>(group, &[vec![0xff].into()], None);
                write::<Int64Type>(group, &[1], Some(&[1]));
            }],
        );
        assert_eq!(
            message(read(&bytes)),
            "`d.parquet` row 0: column `text` holds bytes that are not UTF-8, expected a string"
        );
        assert!(message(read(&file(SCHEMA, builder(), &[]))).contains("no text: 0 rows"));
        assert!(message(read(b"PAR1")).contains("is not a readable Parquet file"));
    }

    #[test]
    fn an_encoding_that_may_ask_for_any_memory_is_refused() {
        let delta = small(
            WriterProperties::builder()
                .set_dictionary_enabled(false)
                .set_column_encoding("text".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY),
        );
        let error = message(read(&delta));
        assert!(
            error.contains("column `text`") && error.contains("plain or dictionary"),
            "{error}"
        );
    }

    #[test]
    fn text_that_is_far_larger_than_its_file_is_refused() {
        // One text of a MiB, which a dictionary holds once and 300 rows name.
        let properties = WriterProperties::builder().set_dictionary_page_size_limit(4 << 20);
        let long: ByteArray = vec![b'a'; 1 << 20].into();
        let bytes = file(
            SCHEMA,
            properties,
            &[&|group| {
                write::<ByteArrayType>(group, &vec![long.clone(); 300], None);
                write::<Int64Type>(group, &[1; 300], Some(&[1; 300]));
            }],
        );
        assert!(bytes.len() < 3 << 20, "{}", bytes.len());
        assert!(message(read(&bytes)).contains("more text than a file of this size may"));
    }

    #[test]
    fn damage_anywhere_is_an_error_or_harmless_but_never_a_panic() {
        let builder =
            || WriterProperties::builder().set_statistics_enabled(EnabledStatistics::None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.parquet");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Dataset::read("d", &path, &DatasetConfig::default(), true)
        };
        for whole in [
            small(builder()),
            small(builder().set_dictionary_enabled(false)),
            small(builder().set_compression(Compression::SNAPPY)),
            small(builder().set_writer_version(WriterVersion::PARQUET_2_0)),
        ] {
            for at in 0..whole.len() {
                assert!(read(&whole[..at]).is_err(), "{at}");
                for value in [0xff, whole[at] ^ 1] {
                    let mut damaged = whole.clone();
                    damaged[at] = value;
                    let _ = read(&damaged); // an error, or another text
                }
            }
        }
    }

    #[test]
    fn a_file_of_another_program_is_read() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/reviews.parquet");
        let config = DatasetConfig { group: Some("film".to_owned()), ..DatasetConfig::default() };
        let dataset = Dataset::read("reviews", path, &config, true).unwrap();
        assert_eq!(dataset.texts[..2], ["a fine film, number 0", "an äwful one, number 1"]);
        assert_eq!((dataset.len(), dataset.classes.len()), (50, 2));
        assert_eq!(dataset.labels, (0..50).map(|row| row % 2).collect::<Vec<_>>());
        assert_eq!(dataset.groups.unwrap(), (0..50).map(|row| row / 10).collect::<Vec<_>>());
    }
}
