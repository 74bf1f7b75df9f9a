//! What a file may claim: every size is looked at before the `parquet` crate takes memory for it.

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescriptor;

use super::thrift::{Kind, Reader};
use crate::data::table::width::{MOST_FIELDS, too_wide};

/// What may be made of a file, in bytes, beside [`MOST_PER_BYTE`] times its size.
const FREE: usize = 64 << 20;
/// The same of a page: a megabyte is usual, and of a column that says always the same nearly nothing is left.
const FREE_PER_PAGE: usize = 16 << 20;
/// No text is packed tighter than this; what claims to be is damage, or a trap.
const MOST_PER_BYTE: usize = 1024;
/// snappy makes at most 64 bytes of 3.
const MOST_PER_SNAPPY_BYTE: usize = 22;
/// A field in a field in ...: more than any data set needs.
const MAX_DEPTH: usize = 32;

/// The most bytes that may be made of a file of `size` bytes.
pub fn bound(size: usize) -> usize {
    size.saturating_mul(MOST_PER_BYTE).saturating_add(FREE)
}

/// Looks through the metadata of a file: every list in it is there, and the schema is neither too wide nor too deep.
pub fn check_metadata(bytes: &[u8]) -> Result<(), String> {
    let mut elements = None;
    Reader::new(bytes).strukt(&mut |reader, field, kind| {
        if (field, kind) != (2, Kind::List) {
            return Ok(false);
        }
        let (count, kind) = reader.list()?;
        elements = Some(count);
        // The root is none. Fields in fields may be more than those of a row.
        if count > 10 * MOST_FIELDS {
            too_wide(count - 1)?;
        }
        if kind != Kind::Struct {
            return Err("has a schema that is none".into());
        }
        // How many members each group above the element at hand still has.
        let mut open: Vec<i64> = Vec::new();
        for _ in 0..count {
            let mut members = 0;
            reader.strukt(&mut |reader, field, kind| {
                if (field, kind) != (5, Kind::Int) {
                    return Ok(false);
                }
                members = reader.int()?;
                Ok(true)
            })?;
            while open.last() == Some(&0) {
                open.pop();
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if members > 0 {
                open.push(members);
            }
            if open.len() > MAX_DEPTH {
                return Err("has a schema that is nested too deeply".into());
            }
        }
        Ok(true)
    })?;
    match elements {
        None | Some(0) => Err("has metadata without a schema".into()),
        Some(_) => Ok(()),
    }
}

/// Looks through the headers of the pages in `chunk`, which may have `most_values` values together.
pub fn check_pages(chunk: &[u8], compression: Compression, column: &ColumnDescriptor, most_values: usize) -> Result<(), String> {
    let (mut at, mut values) = (0, 0usize);
    while at < chunk.len() {
        let header = Header::read(&chunk[at..])?;
        let start = at + header.length;
        let data = start.checked_add(header.compressed).and_then(|end| chunk.get(start..end));
        let data = data.ok_or("has a page that ends behind its chunk")?;
        at = start + data.len();
        let most = match compression {
            // Taken as it stands.
            Compression::UNCOMPRESSED => usize::MAX,
            Compression::SNAPPY => data.len().saturating_mul(MOST_PER_SNAPPY_BYTE),
            _ => data.len().saturating_mul(MOST_PER_BYTE).saturating_add(FREE_PER_PAGE),
        };
        let size = header.uncompressed;
        if size > most {
            return Err(format!("says that {size} bytes were compressed to {}", data.len()));
        }
        if header.is_dictionary {
            // Each of its values takes as many bytes at least.
            let width = match column.physical_type() {
                Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
                Type::INT64 | Type::DOUBLE => 8,
                Type::INT96 => 12,
                Type::FIXED_LEN_BYTE_ARRAY => usize::try_from(column.type_length()).unwrap_or(0),
                Type::BOOLEAN => 1,
            };
            let size = if compression == Compression::UNCOMPRESSED { data.len() } else { size };
            if width == 0 || header.values > size / width {
                return Err(format!("says that a dictionary of {size} bytes has {} values", header.values));
            }
        } else {
            values = values.saturating_add(header.values);
        }
        if matches!(compression, Compression::BROTLI(_)) && header.is_compressed && size > 0 {
            // The crate takes what comes, however much.
            let compressed = data.get(header.levels..).ok_or("has levels that end behind their page")?;
            let mut reader = std::io::Read::take(brotli::Decompressor::new(compressed, 4096), size as u64 + 1);
            let made = std::io::copy(&mut reader, &mut std::io::sink()).map_err(|e| format!("cannot be decompressed: {e}"))?;
            if made > size as u64 {
                return Err(format!("has another size than the {size} bytes it says"));
            }
        }
    }
    match values {
        values if values > most_values => Err(format!("says that it has {values} values, which would take more memory than its file may")),
        _ => Ok(()),
    }
}

/// What a page says of itself.
#[derive(Debug, Default)]
struct Header {
    /// Bytes that it takes.
    length: usize,
    uncompressed: usize,
    compressed: usize,
    values: usize,
    is_dictionary: bool,
    /// Bytes of levels before what is compressed.
    levels: usize,
    is_compressed: bool,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut header = Self { is_compressed: true, ..Self::default() };
        let size = |reader: &mut Reader<'_>| {
            let value = reader.int()?;
            usize::try_from(value).map_err(|_| format!("has a page with the size {value}"))
        };
        let mut reader = Reader::new(bytes);
        reader.strukt(&mut |reader, field, kind| {
            match (field, kind) {
                (1, Kind::Int) => header.is_dictionary = reader.int()? == 2,
                (2, Kind::Int) => header.uncompressed = size(reader)?,
                (3, Kind::Int) => header.compressed = size(reader)?,
                (5 | 7 | 8, Kind::Struct) => reader.strukt(&mut |reader, inner, kind| {
                    match (field, inner, kind) {
                        (_, 1, Kind::Int) => header.values = size(reader)?,
                        (8, 5 | 6, Kind::Int) => header.levels = header.levels.saturating_add(size(reader)?),
                        (8, 7, Kind::Bool(is_compressed)) => header.is_compressed = is_compressed,
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        header.length = reader.at;
        Ok(header)
    }
}

/// Pages whose content claims no more values than their headers do.
pub struct Pages {
    /// The crate's pages, whose headers were checked.
    pub inner: SerializedPageReader<Bytes>,
    /// Whether there are repetition and definition levels.
    pub levels: [bool; 2],
}

impl Iterator for Pages {
    type Item = ParquetResult<Page>;
    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        let page = self.inner.get_next_page()?;
        match page.as_ref().map(|page| check_values(page, self.levels)) {
            Some(Err(message)) => Err(ParquetError::General(message)),
            _ => Ok(page),
        }
    }
    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }
    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.inner.skip_next_page()
    }
}

/// Lengths that are coded as differences say how many there are.
fn check_values(page: &Page, levels: [bool; 2]) -> Result<(), String> {
    if !matches!(page.encoding(), Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY) {
        return Ok(());
    }
    let bytes = page.buffer();
    let mut at = match page {
        Page::DataPageV2 { rep_levels_byte_len, def_levels_byte_len, .. } => {
            (*rep_levels_byte_len as usize).saturating_add(*def_levels_byte_len as usize)
        }
        Page::DataPage { .. } => {
            let mut at = 0usize;
            for _ in levels.into_iter().filter(|there| *there) {
                let length = at.checked_add(4).and_then(|end| bytes.get(at..end)).and_then(|b| b.try_into().ok());
                let length = u32::from_le_bytes(length.ok_or("has levels that end behind their page")?);
                at = at.saturating_add(4).saturating_add(length as usize);
            }
            at
        }
        Page::DictionaryPage { .. } => return Ok(()),
    };
    let lists = if page.encoding() == Encoding::DELTA_BYTE_ARRAY { 2 } else { 1 };
    for _ in 0..lists {
        let values = bytes.get(at..).ok_or("has levels that end behind their page")?;
        at += check_deltas(values, page.num_values() as usize)?;
    }
    Ok(())
}

/// Where integers as differences end that begin with `bytes` and may be `most`
/// (<https://github.com/apache/parquet-format/blob/master/Encodings.md#delta-encoding-delta_binary_packed--5>).
fn check_deltas(bytes: &[u8], most: usize) -> Result<usize, String> {
    let mut at = 0;
    let varint = |at: &mut usize| {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.get(*at).ok_or("has fewer values than it says")?;
            *at += 1;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return usize::try_from(value).map_err(|_| "has a number of more than 64 bits");
            }
        }
        Err("has a number of more than 64 bits")
    };
    let (block, parts, total) = (varint(&mut at)?, varint(&mut at)?, varint(&mut at)?);
    varint(&mut at)?;
    if total > most {
        return Err(format!("says that a page of {most} values has {total}"));
    }
    let part = block.checked_div(parts).filter(|part| *part > 0).ok_or("has a block of no values")?;
    let mut left = total.saturating_sub(1);
    while left > 0 {
        varint(&mut at)?;
        let widths = at..at.saturating_add(parts);
        at = widths.end;
        for width in bytes.get(widths).ok_or("has fewer values than it says")? {
            if left > 0 {
                at = at.saturating_add(usize::from(*width).saturating_mul(part) / 8);
                left = left.saturating_sub(part);
            }
        }
    }
    Ok(at)
}
