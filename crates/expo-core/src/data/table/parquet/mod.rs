//! Apache Parquet by the `parquet` crate: rows as JSON objects, one at a time.
//!
//! Written for files that anybody may have made: no size that a file claims is believed before it was looked at ([`limits`]), what is made of a file is
//! bounded by its size, and where the crate panics on a broken file, that is an error.

mod column;
mod limits;
mod schema;
mod shield;
mod thrift;
mod values;

use std::sync::Arc;

use bytes::Bytes;
use parquet::column::reader::get_column_reader;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;
use serde_json::{Map, Value};

use super::width::too_wide;
use crate::data::json::Unheld;
use crate::data::rows::scalar;
use column::Column;
use schema::Node;
use shield::{shielded, told};

const MAGIC: &[u8; 4] = b"PAR1";
/// Magic, length of the metadata, magic.
const SMALLEST: usize = 12;
/// What a JSON value takes by itself.
const VALUE_SIZE: usize = size_of::<Value>();

/// A row's object, and what it can't hold.
type Fields = (Map<String, Value>, Unheld);

/// A file in memory.
pub struct Parquet {
    bytes: Bytes,
    metadata: ParquetMetaData,
    root: Vec<(String, Node)>,
}

impl Parquet {
    /// Reads the metadata of a file. `Err` says what is wrong with it.
    pub fn new(bytes: Vec<u8>) -> Result<Self, String> {
        if bytes.ends_with(b"PARE") {
            return Err("is an encrypted Parquet file, which is not read".into());
        }
        if bytes.len() < SMALLEST || !bytes.starts_with(MAGIC) {
            return Err("is not a Parquet file (it doesn't begin with PAR1)".into());
        }
        if !bytes.ends_with(MAGIC) {
            return Err("is cut off: a Parquet file ends with PAR1".into());
        }
        let tail = bytes.len() - 8;
        let length = u32::from_le_bytes([bytes[tail], bytes[tail + 1], bytes[tail + 2], bytes[tail + 3]]) as usize;
        let start = tail.checked_sub(length).filter(|start| *start >= 4);
        let start = start.ok_or_else(|| format!("says that its metadata has {length} bytes, more than the file"))?;
        limits::check_metadata(&bytes[start..tail])?;
        let bytes = Bytes::from(bytes);
        let metadata = shielded(|| ParquetMetaDataReader::new().parse_and_finish(&bytes).map_err(|e| told(&e)))?;
        let fields = metadata.file_metadata().schema().get_fields();
        too_wide(fields.len())?;
        if fields.is_empty() {
            return Err("has no column".into());
        }
        let root = schema::fields(metadata.file_metadata().schema())?;
        Ok(Self { bytes, metadata, root })
    }

    /// The rows in order. After an error there are no more.
    pub fn rows(&self) -> Rows<'_> {
        let budget = limits::bound(self.bytes.len());
        Rows { file: self, group: 0, columns: Vec::new(), left: 0, row: 0, unheld: Unheld::default(), budget, over: false }
    }

    /// Readers of the columns of a row group.
    fn open(&self, group: &RowGroupMetaData) -> Result<Vec<Column>, String> {
        // Every value becomes a JSON value.
        let most_values = limits::bound(self.bytes.len()) / VALUE_SIZE;
        let open = group.columns().iter().map(|chunk| {
            self.column(chunk, group.num_rows(), most_values).map_err(|e| format!("column `{}` {e}", chunk.column_path().string()))
        });
        open.collect()
    }

    fn column(&self, chunk: &ColumnChunkMetaData, rows: i64, most_values: usize) -> Result<Column, String> {
        if chunk.file_path().is_some() {
            return Err("is in another file".into());
        }
        let size = |value: i64, name: &str| usize::try_from(value).map_err(|_| format!("has the {name} {value}"));
        let data = size(chunk.data_page_offset(), "offset")?;
        // Writers without a dictionary leave its place out, or write 0.
        let dictionary = chunk.dictionary_page_offset().and_then(|at| usize::try_from(at).ok()).filter(|at| *at > 0 && *at < data);
        let (start, length) = (dictionary.unwrap_or(data), size(chunk.compressed_size(), "size")?);
        let end = start.checked_add(length).filter(|end| *end <= self.bytes.len() - 8 && start >= MAGIC.len());
        let end =
            end.ok_or_else(|| format!("has {length} bytes from {start} on by its metadata, beyond the file's {}", self.bytes.len()))?;
        let column = chunk.column_descr();
        limits::check_pages(&self.bytes[start..end], chunk.compression(), column, most_values)?;
        let chunk =
            chunk.clone().into_builder().set_dictionary_page_offset(dictionary.map(|at| at as i64)).build().map_err(|e| told(&e))?;
        let pages = SerializedPageReader::new(Arc::new(self.bytes.clone()), &chunk, size(rows, "number of rows")?, None);
        let levels = [column.max_rep_level() > 0, column.max_def_level() > 0];
        let pages = limits::Pages { inner: pages.map_err(|e| told(&e))?, levels };
        Ok(Column::new(&chunk, get_column_reader(chunk.column_descr_ptr(), Box::new(pages))))
    }
}

/// The rows of a file.
pub struct Rows<'a> {
    file: &'a Parquet,
    /// The row group that comes next.
    group: usize,
    columns: Vec<Column>,
    /// Rows left in the row group at hand.
    left: i64,
    /// Rows given.
    row: u64,
    /// What the row at hand has that JSON doesn't hold.
    unheld: Unheld,
    /// Bytes that may still be made of the file.
    budget: usize,
    over: bool,
}

impl Iterator for Rows<'_> {
    type Item = Result<Fields, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let row = shielded(|| self.next_row()).transpose();
        self.over = !matches!(row, Some(Ok(_)));
        row
    }
}

impl Rows<'_> {
    fn next_row(&mut self) -> Result<Option<Fields>, String> {
        while self.left == 0 {
            for column in &mut self.columns {
                if column.peek().map_err(|e| format!("column `{}` {e}", column.path))?.is_some() {
                    return Err(format!("column `{}` has more values than its row group has rows", column.path));
                }
            }
            self.columns.clear();
            let Some(group) = self.file.metadata.row_groups().get(self.group) else { return Ok(None) };
            self.group += 1;
            // An empty row group has no pages, and its offsets say nothing.
            if group.num_rows() > 0 {
                self.left = group.num_rows();
                self.columns = self.file.open(group)?;
            }
        }
        self.left -= 1;
        self.row += 1;
        let row = self.row;
        self.assemble().map(Some).map_err(|e| format!("row {row}: {e}"))
    }

    fn assemble(&mut self) -> Result<Fields, String> {
        let file = self.file;
        let fields = self.object(&file.root)?;
        // Each column has come to the beginning of a row, or to its end.
        for column in &mut self.columns {
            if column.peek().map_err(|e| format!("column `{}` {e}", column.path))?.is_some_and(|levels| levels.rep > 0) {
                return Err(format!("column `{}` has more values than its neighbours", column.path));
            }
        }
        Ok((fields, std::mem::take(&mut self.unheld)))
    }

    /// The next value of `node`.
    fn value(&mut self, node: &Node) -> Result<Value, String> {
        match node {
            Node::Leaf(column) => self.take(*column),
            Node::Object(fields) => self.object(fields).map(Value::Object),
            Node::Optional { def, inner } => {
                if self.def(inner.first_column())? < *def {
                    self.pass(inner)?;
                    return Ok(Value::Null);
                }
                self.value(inner)
            }
            Node::List { def, rep, element } => {
                let first = element.first_column();
                let mut list = Vec::new();
                if self.def(first)? < *def {
                    self.pass(element)?;
                    return Ok(Value::Array(list));
                }
                loop {
                    list.push(self.value(element)?);
                    let next = self.peek(first)?;
                    if next.is_none_or(|levels| levels.rep < *rep) {
                        return Ok(Value::Array(list));
                    }
                }
            }
            Node::Map(list) => {
                let Value::Array(entries) = self.value(list)? else { return Ok(Value::Null) };
                let entries = entries.into_iter().filter_map(|entry| match entry {
                    Value::Object(fields) => Some(fields),
                    _ => None,
                });
                Ok(Value::Object(entries.filter_map(entry).collect()))
            }
        }
    }

    fn object(&mut self, fields: &[(String, Node)]) -> Result<Map<String, Value>, String> {
        let mut object = Map::new();
        for (name, node) in fields {
            let value = self.value(node)?;
            self.spend(name.len())?;
            object.insert(name.clone(), value);
        }
        Ok(object)
    }

    fn column(&mut self, column: usize) -> Result<&mut Column, String> {
        self.columns.get_mut(column).ok_or_else(|| "has a row group with fewer columns than its schema".into())
    }

    fn peek(&mut self, column: usize) -> Result<Option<column::Levels>, String> {
        let column = self.column(column)?;
        column.peek().map_err(|e| format!("column `{}` {e}", column.path))
    }

    fn def(&mut self, column: usize) -> Result<i16, String> {
        match self.peek(column)? {
            Some(levels) => Ok(levels.def),
            None => Err(format!("column `{}` has fewer values than there are rows", self.columns[column].path)),
        }
    }

    fn take(&mut self, column: usize) -> Result<Value, String> {
        let column = self.column(column)?;
        let value = column.take().map_err(|e| format!("column `{}` {e}", column.path))?;
        let value = match value {
            Ok(value) => value,
            Err(found) => {
                let path = column.path.clone();
                self.unheld.null.insert(path, found);
                Value::Null
            }
        };
        self.spend(VALUE_SIZE + value.as_str().map_or(0, str::len))?;
        Ok(value)
    }

    /// Passes over one entry of every column below a node that isn't there.
    fn pass(&mut self, node: &Node) -> Result<(), String> {
        match node {
            Node::Leaf(column) => self.take(*column).map(drop),
            Node::Object(fields) => fields.iter().try_for_each(|(_, node)| self.pass(node)),
            Node::Optional { inner, .. } => self.pass(inner),
            Node::List { element, .. } => self.pass(element),
            Node::Map(list) => self.pass(list),
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.budget = self.budget.checked_sub(bytes).ok_or_else(|| {
            let size = self.file.bytes.len();
            format!(
                "the rows up to here would take more than {} bytes, but the file has only {size}: taken for damage",
                limits::bound(size)
            )
        })?;
        Ok(())
    }
}

/// A map's entry: its first field is the key, the second, where there is one, the value.
fn entry(fields: Map<String, Value>) -> Option<(String, Value)> {
    let mut fields = fields.into_iter();
    let (_, key) = fields.next()?;
    let value = fields.next().map_or(Value::Null, |(_, value)| value);
    Some((scalar(&key)?, value))
}

#[cfg(test)]
mod tests;
