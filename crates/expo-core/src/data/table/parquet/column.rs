//! One column of a row group, a value at a time, over what the `parquet` crate decodes in batches.

use parquet::basic::Encoding;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{
    BoolType, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, FloatType, Int32Type, Int64Type, Int96Type,
};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ColumnChunkMetaData;
use serde_json::Value;

use super::schema::Meaning;
use super::shield::told;
use super::values::{self, Converted};

/// Records that are decoded at once.
const BATCH: usize = 64;

/// The levels of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// 0: begins a row.
    pub rep: i16,
    /// Below the column's own: null, at the depth that it says.
    pub def: i16,
}

/// A column's chunk, being read.
pub struct Column {
    /// Names from the top, joined by points.
    pub path: String,
    meaning: Meaning,
    most: Levels,
    batch: usize,
    rep: Vec<i16>,
    def: Vec<i16>,
    decoded: Decoded,
    /// Levels of the batch that are behind.
    level: usize,
    levels: usize,
    /// Values of the batch that are behind.
    value: usize,
}

/// What decodes the values of a type, and those of the batch at hand that are there.
enum Decoded {
    Bool(Typed<BoolType>),
    Int32(Typed<Int32Type>),
    Int64(Typed<Int64Type>),
    Int96(Typed<Int96Type>),
    Float(Typed<FloatType>),
    Double(Typed<DoubleType>),
    ByteArray(Typed<ByteArrayType>),
    FixedLenByteArray(Typed<FixedLenByteArrayType>),
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    values: Vec<T::T>,
}

impl<T: DataType> Typed<T> {
    fn new(reader: ColumnReaderImpl<T>) -> Self {
        Self { reader, values: Vec::new() }
    }

    /// Decodes at most `batch` records; the number of their levels.
    fn read(&mut self, batch: usize, def: &mut Vec<i16>, rep: &mut Vec<i16>) -> ParquetResult<usize> {
        self.values.clear();
        let (_, _, levels) = self.reader.read_records(batch, Some(def), Some(rep), &mut self.values)?;
        Ok(levels)
    }
}

impl Column {
    /// The column of `chunk` with its `reader`.
    pub fn new(chunk: &ColumnChunkMetaData, reader: ColumnReader) -> Self {
        let column = chunk.column_descr();
        let decoded = match reader {
            ColumnReader::BoolColumnReader(reader) => Decoded::Bool(Typed::new(reader)),
            ColumnReader::Int32ColumnReader(reader) => Decoded::Int32(Typed::new(reader)),
            ColumnReader::Int64ColumnReader(reader) => Decoded::Int64(Typed::new(reader)),
            ColumnReader::Int96ColumnReader(reader) => Decoded::Int96(Typed::new(reader)),
            ColumnReader::FloatColumnReader(reader) => Decoded::Float(Typed::new(reader)),
            ColumnReader::DoubleColumnReader(reader) => Decoded::Double(Typed::new(reader)),
            ColumnReader::ByteArrayColumnReader(reader) => Decoded::ByteArray(Typed::new(reader)),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => Decoded::FixedLenByteArray(Typed::new(reader)),
        };
        // Values that begin as the one before them are made anew each, as large as a page: never many at once.
        let is_prefixed = chunk.encodings().any(|encoding| encoding == Encoding::DELTA_BYTE_ARRAY);
        Self {
            path: column.path().string(),
            meaning: Meaning::new(column),
            most: Levels { rep: column.max_rep_level(), def: column.max_def_level() },
            batch: if is_prefixed { 1 } else { BATCH },
            rep: Vec::new(),
            def: Vec::new(),
            decoded,
            level: 0,
            levels: 0,
            value: 0,
        }
    }

    /// Levels of the next value; `None` at the end of the chunk.
    pub fn peek(&mut self) -> Result<Option<Levels>, String> {
        if self.level == self.levels && !self.fill()? {
            return Ok(None);
        }
        let level = |levels: &[i16], most: i16| match most {
            0 => Ok(0),
            most => levels.get(self.level).copied().filter(|level| *level <= most).ok_or("has damaged levels"),
        };
        Ok(Some(Levels { rep: level(&self.rep, self.most.rep)?, def: level(&self.def, self.most.def)? }))
    }

    /// The next value; null where its levels say so. The inner error says what JSON doesn't hold. Errors: there is none.
    pub fn take(&mut self) -> Result<Converted, String> {
        let levels = self.peek()?.ok_or("has fewer values than there are rows")?;
        self.level += 1;
        if levels.def < self.most.def {
            return Ok(Ok(Value::Null));
        }
        let (at, meaning) = (self.value, &self.meaning);
        self.value += 1;
        let value = match &self.decoded {
            Decoded::Bool(typed) => typed.values.get(at).map(|value| match meaning {
                Meaning::None(_) => values::integer(0, 32, meaning),
                _ => Ok(Value::Bool(*value)),
            }),
            Decoded::Int32(typed) => typed.values.get(at).map(|value| values::integer(i64::from(*value), 32, meaning)),
            Decoded::Int64(typed) => typed.values.get(at).map(|value| values::integer(*value, 64, meaning)),
            Decoded::Int96(typed) => typed.values.get(at).map(|value| values::int96(value, meaning)),
            // Through its shortest decimal form: 0.1 is not to become 0.10000000149.
            Decoded::Float(typed) => {
                typed.values.get(at).map(|value| values::float(value.to_string().parse().unwrap_or(f64::NAN), meaning))
            }
            Decoded::Double(typed) => typed.values.get(at).map(|value| values::float(*value, meaning)),
            Decoded::ByteArray(typed) => typed.values.get(at).map(|value| values::bytes(value.data(), meaning)),
            Decoded::FixedLenByteArray(typed) => typed.values.get(at).map(|value| values::bytes(value.data(), meaning)),
        };
        value.ok_or_else(|| "has fewer values than its levels say".into())
    }

    /// Decodes the next batch; whether there is one.
    fn fill(&mut self) -> Result<bool, String> {
        (self.level, self.levels, self.value) = (0, 0, 0);
        self.rep.clear();
        self.def.clear();
        let (batch, def, rep) = (self.batch, &mut self.def, &mut self.rep);
        let read = match &mut self.decoded {
            Decoded::Bool(typed) => typed.read(batch, def, rep),
            Decoded::Int32(typed) => typed.read(batch, def, rep),
            Decoded::Int64(typed) => typed.read(batch, def, rep),
            Decoded::Int96(typed) => typed.read(batch, def, rep),
            Decoded::Float(typed) => typed.read(batch, def, rep),
            Decoded::Double(typed) => typed.read(batch, def, rep),
            Decoded::ByteArray(typed) => typed.read(batch, def, rep),
            Decoded::FixedLenByteArray(typed) => typed.read(batch, def, rep),
        };
        let levels = read.map_err(|e| told(&e))?;
        self.levels = levels;
        Ok(levels > 0)
    }
}
