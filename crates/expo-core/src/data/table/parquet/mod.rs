//! Apache Parquet, as far as tables of text and numbers need it: rows as JSON objects, one at a time.
//!
//! Written for files that anybody may have made: nothing panics, and no size that a file claims is believed before its bytes are there
//! (values are decoded one by one from pages whose size is bounded by that of the file). Types that have no plain JSON form (dates, binary data)
//! are not read; a row goes without them.

mod bits;
mod column;
mod pages;
mod schema;
mod thrift;
mod values;

use serde_json::{Map, Value};

use column::ColumnReader;
use pages::Codec;
use schema::{Node, Schema};
use thrift::{Struct, read_struct};

const MAGIC: &[u8; 4] = b"PAR1";
/// Magic, length of the metadata, magic.
const SMALLEST: usize = 12;
/// What a JSON value takes by itself.
const VALUE_SIZE: usize = size_of::<Value>();

/// A file in memory.
pub struct Parquet {
    bytes: Vec<u8>,
    schema: Schema,
    groups: Vec<Group>,
}

/// A row group: its rows, and for each column that is read where its pages are.
struct Group {
    rows: u64,
    chunks: Vec<Chunk>,
}

struct Chunk {
    start: usize,
    end: usize,
    codec: Result<Codec, String>,
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
        let (metadata, _) = read_struct(&bytes[start..tail])?;
        let schema = Schema::new(metadata.structs(2))?;
        if schema.columns.is_empty() {
            let types: Vec<String> = schema.unread.iter().map(|(name, kind)| format!("`{name}` {kind}")).collect();
            let found = if types.is_empty() { "none".to_owned() } else { types.join(", ") };
            return Err(format!("has no column of text or numbers (columns: {found})"));
        }
        let groups = metadata.structs(4).map(|group| Group::new(group, &schema, tail)).collect::<Result<_, _>>()?;
        Ok(Self { schema, groups, bytes })
    }

    /// Names and types of the columns that are not read.
    pub fn unread(&self) -> &[(String, String)] {
        &self.schema.unread
    }

    /// The rows in order. After an error there are no more.
    pub fn rows(&self) -> Rows<'_> {
        Rows { file: self, group: 0, columns: Vec::new(), left: 0, row: 0, budget: pages::bound(self.bytes.len()), over: false }
    }

    /// Readers of the columns of row group `index`.
    fn open(&self, index: usize) -> Result<Vec<ColumnReader<'_>>, String> {
        // Every value becomes a JSON value.
        let most_values = (pages::bound(self.bytes.len()) / VALUE_SIZE) as u64;
        let columns = self.schema.columns.iter().zip(&self.groups[index].chunks);
        let open = columns.map(|(column, chunk)| {
            let codec = chunk.codec.clone().map_err(|e| format!("column `{}` {e}", column.path))?;
            Ok(ColumnReader::new(column, &self.bytes[chunk.start..chunk.end], codec, most_values))
        });
        open.collect()
    }
}

impl Group {
    /// `end`: where the file's data ends.
    fn new(group: &Struct<'_>, schema: &Schema, end: usize) -> Result<Self, String> {
        let rows = group.size(3, "num_rows")? as u64;
        let columns: Vec<&Struct<'_>> = group.structs(1).collect();
        if columns.len() != schema.chunks {
            return Err(format!("has a row group with {} columns; its schema has {}", columns.len(), schema.chunks));
        }
        let chunk = |column: &schema::Column| {
            let chunk = columns[column.chunk];
            if chunk.text(1).is_some() {
                return Err(format!("has column `{}` in another file", column.path));
            }
            let metadata = chunk.strukt(3).ok_or_else(|| format!("says nothing about column `{}`", column.path))?;
            let data = metadata.size(9, "data_page_offset")?;
            // Writers without a dictionary leave its place out, or write 0.
            let start = match metadata.int(11).map(usize::try_from) {
                Some(Ok(dictionary)) if dictionary > 0 => dictionary.min(data),
                _ => data,
            };
            let length = metadata.size(7, "total_compressed_size")?;
            let chunk_end = start.checked_add(length).filter(|chunk_end| *chunk_end <= end && start >= MAGIC.len());
            let chunk_end = chunk_end
                .ok_or_else(|| format!("says that column `{}` has {length} bytes from {start} on, beyond its {end}", column.path))?;
            Ok(Chunk { start, end: chunk_end, codec: Codec::new(metadata.need(4, "codec")?) })
        };
        Ok(Self { rows, chunks: schema.columns.iter().map(chunk).collect::<Result<_, _>>()? })
    }
}

/// The rows of a file.
pub struct Rows<'a> {
    file: &'a Parquet,
    /// The row group that comes next.
    group: usize,
    columns: Vec<ColumnReader<'a>>,
    /// Rows left in the row group at hand.
    left: u64,
    /// Rows given.
    row: u64,
    /// Bytes that may still be made of the file.
    budget: usize,
    over: bool,
}

impl Iterator for Rows<'_> {
    type Item = Result<Map<String, Value>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let row = self.next_row().transpose();
        self.over = !matches!(row, Some(Ok(_)));
        row
    }
}

impl Rows<'_> {
    fn next_row(&mut self) -> Result<Option<Map<String, Value>>, String> {
        while self.left == 0 {
            for column in &mut self.columns {
                if column.peek().map_err(|e| format!("column `{}` {e}", column.path()))?.is_some() {
                    return Err(format!("column `{}` has more values than its row group has rows", column.path()));
                }
            }
            if self.group == self.file.groups.len() {
                return Ok(None);
            }
            self.left = self.file.groups[self.group].rows;
            self.columns = self.file.open(self.group)?;
            self.group += 1;
        }
        self.left -= 1;
        self.row += 1;
        let row = self.row;
        self.assemble().map(Some).map_err(|e| format!("row {row}: {e}"))
    }

    fn assemble(&mut self) -> Result<Map<String, Value>, String> {
        let fields = self.object(&self.file.schema.root)?;
        // Each column has come to the beginning of a row, or to its end.
        for column in &mut self.columns {
            if column.peek().map_err(|e| format!("column `{}` {e}", column.path()))?.is_some_and(|levels| levels.rep > 0) {
                return Err(format!("column `{}` has more values than its neighbours", column.path()));
            }
        }
        Ok(fields)
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

    fn peek(&mut self, column: usize) -> Result<Option<column::Levels>, String> {
        let column = &mut self.columns[column];
        column.peek().map_err(|e| format!("column `{}` {e}", column.path()))
    }

    fn def(&mut self, column: usize) -> Result<u32, String> {
        match self.peek(column)? {
            Some(levels) => Ok(levels.def),
            None => Err(format!("column `{}` has fewer values than there are rows", self.columns[column].path())),
        }
    }

    fn take(&mut self, column: usize) -> Result<Value, String> {
        let reader = &mut self.columns[column];
        let value = reader.take().map_err(|e| format!("column `{}` {e}", reader.path()))?;
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
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.budget = self.budget.checked_sub(bytes).ok_or_else(|| {
            let size = self.file.bytes.len();
            format!("the rows up to here would take more than {} bytes, but the file has only {size}: taken for damage", pages::bound(size))
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
