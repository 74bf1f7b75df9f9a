//! The pages of a column's chunk: found, bounded, decompressed.

use std::io::Read;

use super::thrift::{Struct, read_struct};

/// What may be made of a file, in bytes, beside [`MOST_PER_BYTE`] times its size.
const FREE: usize = 64 << 20;
/// No text is packed tighter than this; what claims to be is damage, or a trap.
const MOST_PER_BYTE: usize = 1024;
/// snappy makes at most 64 bytes of 3.
const MOST_PER_SNAPPY_BYTE: usize = 22;

/// The most bytes that may be made of `size` bytes.
pub fn bound(size: usize) -> usize {
    size.saturating_mul(MOST_PER_BYTE).saturating_add(FREE)
}

/// How a chunk's pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Codec {
    None,
    Snappy,
    Gzip,
    Zstd,
}

impl Codec {
    pub fn new(number: i64) -> Result<Self, String> {
        let other = match number {
            0 => return Ok(Self::None),
            1 => return Ok(Self::Snappy),
            2 => return Ok(Self::Gzip),
            6 => return Ok(Self::Zstd),
            3 => "LZO",
            4 => "BROTLI",
            5 => "LZ4",
            7 => "LZ4_RAW",
            _ => "unknown",
        };
        Err(format!("is compressed with {other}; snappy, gzip, zstd and no compression are read"))
    }

    /// `size` bytes from `data`.
    fn decompress(self, data: &[u8], size: usize) -> Result<Vec<u8>, String> {
        if size > bound(data.len()) {
            return Err(format!("says that {size} bytes were compressed to {}", data.len()));
        }
        // What doesn't fit is noticed by its length: one byte more than expected is enough.
        let read = |reader: &mut dyn Read| {
            let mut bytes = Vec::new();
            reader.take(size as u64 + 1).read_to_end(&mut bytes).map_err(|e| format!("cannot be decompressed: {e}"))?;
            Ok::<_, String>(bytes)
        };
        let bytes = match self {
            Self::None => data.to_vec(),
            Self::Snappy => {
                let length = snap::raw::decompress_len(data).map_err(|e| format!("cannot be decompressed: {e}"))?;
                if length != size || length > data.len().saturating_mul(MOST_PER_SNAPPY_BYTE) {
                    return Err(format!("says that {size} bytes ({length} by snappy) were compressed to {}", data.len()));
                }
                snap::raw::Decoder::new().decompress_vec(data).map_err(|e| format!("cannot be decompressed: {e}"))?
            }
            Self::Gzip => read(&mut flate2::read::MultiGzDecoder::new(data))?,
            Self::Zstd => {
                // A window is allocated whole; none needs to be larger than the page, but small ones are rounded up.
                let window = (size as u64).max(8 << 20);
                let decoder = ruzstd::decoding::StreamingDecoder::new_with_max_window_size(data, window);
                read(&mut decoder.map_err(|e| format!("cannot be decompressed: {e}"))?)?
            }
        };
        if bytes.len() != size {
            return Err(format!("has another size than the {size} bytes it says"));
        }
        Ok(bytes)
    }
}

/// A page's values and, before them, its levels.
#[derive(Debug)]
pub struct Page {
    /// Decompressed.
    pub bytes: Vec<u8>,
    /// Number of values, nulls among them.
    pub values: u64,
    /// Encoding of the values, by its number.
    pub encoding: i64,
    pub kind: PageKind,
}

/// Where a page's levels are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PageKind {
    /// The dictionary: no levels.
    Dictionary,
    /// Repetition and definition levels, where the column has such, each with its length before it.
    V1,
    /// So many bytes of repetition levels, then so many of definition levels.
    V2 { rep: usize, def: usize },
}

/// The pages of one chunk, one after the other.
pub struct Pages<'a> {
    bytes: &'a [u8],
    at: usize,
    codec: Codec,
}

impl<'a> Pages<'a> {
    /// The pages in `bytes`, the chunk's part of the file.
    pub fn new(bytes: &'a [u8], codec: Codec) -> Self {
        Self { bytes, at: 0, codec }
    }

    /// The next page; `None` at the end of the chunk.
    pub fn next(&mut self) -> Result<Option<Page>, String> {
        while self.at < self.bytes.len() {
            let (header, length) = read_struct(&self.bytes[self.at..])?;
            let start = self.at + length;
            let size = header.size(3, "compressed_page_size")?;
            let data = start.checked_add(size).and_then(|end| self.bytes.get(start..end)).ok_or("has a page that ends behind its chunk")?;
            self.at = start + size;
            if let Some(page) = self.page(&header, data)? {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    fn page(&self, header: &Struct<'_>, data: &[u8]) -> Result<Option<Page>, String> {
        let size = header.size(2, "uncompressed_page_size")?;
        let part = |field: i16| header.strukt(field).ok_or("has a page without its header");
        let values = |header: &Struct<'_>| header.size(1, "num_values").map(|values| values as u64);
        Ok(Some(match header.need(1, "page type")? {
            0 => {
                let header = part(5)?;
                // Encodings of levels: RLE, but for files older than the format's first version.
                if header.int(3) == Some(4) || header.int(4) == Some(4) {
                    return Err("has levels in the old encoding BIT_PACKED; write the file anew".into());
                }
                let bytes = self.codec.decompress(data, size)?;
                Page { bytes, values: values(header)?, encoding: header.need(2, "encoding")?, kind: PageKind::V1 }
            }
            2 => {
                let header = part(7)?;
                let bytes = self.codec.decompress(data, size)?;
                Page { bytes, values: values(header)?, encoding: header.need(2, "encoding")?, kind: PageKind::Dictionary }
            }
            3 => {
                let header = part(8)?;
                let (def, rep) = (header.size(5, "definition_levels_byte_length")?, header.size(6, "repetition_levels_byte_length")?);
                // Levels are not compressed.
                let levels =
                    def.checked_add(rep).filter(|levels| *levels <= data.len().min(size)).ok_or("has levels that end behind their page")?;
                let mut bytes = data[..levels].to_vec();
                let codec = if header.bool(7) == Some(false) { Codec::None } else { self.codec };
                if size > levels {
                    bytes.extend(codec.decompress(&data[levels..], size - levels)?);
                }
                Page { bytes, values: values(header)?, encoding: header.need(4, "encoding")?, kind: PageKind::V2 { rep, def } }
            }
            // Indices and what future versions may add.
            _ => return Ok(None),
        }))
    }
}
