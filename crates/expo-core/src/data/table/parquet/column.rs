//! One column of a row group, a value at a time, over what the `parquet` crate decodes in batches.

use parquet::basic::Encoding;
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::ColumnChunkMetaData;
use serde_json::Value;

use super::schema::Meaning;
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
    reader: ColumnReader,
    meaning: Meaning,
    most: Levels,
    batch: usize,
    rep: Vec<i16>,
    def: Vec<i16>,
    values: Values,
    /// Levels of the batch that are behind.
    level: usize,
    levels: usize,
    /// Values of the batch that are behind.
    value: usize,
}

/// Decoded values that are there.
enum Values {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Int96(Vec<Int96>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
    Fixed(Vec<FixedLenByteArray>),
}

impl Column {
    /// The column of `chunk` with its `reader`.
    pub fn new(chunk: &ColumnChunkMetaData, reader: ColumnReader) -> Self {
        let column = chunk.column_descr();
        let values = match &reader {
            ColumnReader::BoolColumnReader(_) => Values::Bool(Vec::new()),
            ColumnReader::Int32ColumnReader(_) => Values::Int32(Vec::new()),
            ColumnReader::Int64ColumnReader(_) => Values::Int64(Vec::new()),
            ColumnReader::Int96ColumnReader(_) => Values::Int96(Vec::new()),
            ColumnReader::FloatColumnReader(_) => Values::Float(Vec::new()),
            ColumnReader::DoubleColumnReader(_) => Values::Double(Vec::new()),
            ColumnReader::ByteArrayColumnReader(_) => Values::Bytes(Vec::new()),
            ColumnReader::FixedLenByteArrayColumnReader(_) => Values::Fixed(Vec::new()),
        };
        // Values that begin as the one before them are made anew each, as large as a page: never many at once.
        let is_prefixed = chunk.encodings().any(|encoding| encoding == Encoding::DELTA_BYTE_ARRAY);
        Self {
            path: column.path().string(),
            reader,
            meaning: Meaning::new(column),
            most: Levels { rep: column.max_rep_level(), def: column.max_def_level() },
            batch: if is_prefixed { 1 } else { BATCH },
            rep: Vec::new(),
            def: Vec::new(),
            values,
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
        let value = match &self.values {
            Values::Bool(values) => values.get(at).map(|value| match meaning {
                Meaning::None(_) => values::integer(0, 32, meaning),
                _ => Ok(Value::Bool(*value)),
            }),
            Values::Int32(values) => values.get(at).map(|value| values::integer(i64::from(*value), 32, meaning)),
            Values::Int64(values) => values.get(at).map(|value| values::integer(*value, 64, meaning)),
            Values::Int96(values) => values.get(at).map(|value| values::int96(value, meaning)),
            // Through its shortest decimal form: 0.1 is not to become 0.10000000149.
            Values::Float(values) => values.get(at).map(|value| values::float(value.to_string().parse().unwrap_or(f64::NAN), meaning)),
            Values::Double(values) => values.get(at).map(|value| values::float(*value, meaning)),
            Values::Bytes(values) => values.get(at).map(|value| values::bytes(value.data(), meaning)),
            Values::Fixed(values) => values.get(at).map(|value| values::bytes(value.data(), meaning)),
        };
        value.ok_or_else(|| "has fewer values than its levels say".into())
    }

    /// Decodes the next batch; whether there is one.
    fn fill(&mut self) -> Result<bool, String> {
        (self.level, self.levels, self.value) = (0, 0, 0);
        self.rep.clear();
        self.def.clear();
        let (batch, def, rep) = (self.batch, &mut self.def, &mut self.rep);
        /// Reads with one of the typed readers.
        macro_rules! read {
            ($reader:expr, $values:expr) => {{
                $values.clear();
                $reader.read_records(batch, Some(def), Some(rep), $values)
            }};
        }
        let read: ParquetResult<(usize, usize, usize)> = match (&mut self.reader, &mut self.values) {
            (ColumnReader::BoolColumnReader(reader), Values::Bool(values)) => read!(reader, values),
            (ColumnReader::Int32ColumnReader(reader), Values::Int32(values)) => read!(reader, values),
            (ColumnReader::Int64ColumnReader(reader), Values::Int64(values)) => read!(reader, values),
            (ColumnReader::Int96ColumnReader(reader), Values::Int96(values)) => read!(reader, values),
            (ColumnReader::FloatColumnReader(reader), Values::Float(values)) => read!(reader, values),
            (ColumnReader::DoubleColumnReader(reader), Values::Double(values)) => read!(reader, values),
            (ColumnReader::ByteArrayColumnReader(reader), Values::Bytes(values)) => read!(reader, values),
            (ColumnReader::FixedLenByteArrayColumnReader(reader), Values::Fixed(values)) => read!(reader, values),
            _ => unreachable!("both were made together"),
        };
        let (_, _, levels) = read.map_err(|e| super::told(&e))?;
        self.levels = levels;
        Ok(levels > 0)
    }
}
