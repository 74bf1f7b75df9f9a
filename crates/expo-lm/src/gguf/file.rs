//! The container: header, metadata and the table of tensors, with every size checked against the file before memory is taken.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::dequantize::TensorType;
use crate::error::{Error, Result};

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Integer(i128),
    Float(f64),
    Bool(bool),
    String(String),
    Array(Vec<Value>),
}

/// Where a tensor lies.
#[derive(Debug, Clone)]
pub(super) struct TensorInfo {
    /// Dimensions, outermost first (the file has them the other way round).
    pub shape: Vec<usize>,
    pub kind: TensorType,
    /// The part of the model that holds it, from 0.
    part: usize,
    /// Range of its bytes in that part's file.
    range: std::ops::Range<usize>,
}

/// An open GGUF model: one file, or the parts that llama.cpp's `gguf-split` has made of it.
pub(super) struct GgufFile {
    /// The file that was named, for messages.
    pub path: PathBuf,
    /// That of the first part.
    metadata: HashMap<String, Value>,
    /// Those of all parts.
    pub tensors: HashMap<String, TensorInfo>,
    parts: Vec<Mmap>,
}

impl GgufFile {
    /// Opens the file at `path`; of a model in parts any of them, the others lie beside it. Errors: not a GGUF file, a size beyond the file, a part that is missing or
    /// belongs to another model.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = Self::open_one(path, 0)?;
        let count = file.integer("split.count")?.unwrap_or(1);
        if count > 1 {
            file = Self::open_parts(path, count)?;
        }
        file.path = path.to_owned();
        Ok(file)
    }

    /// The `count` parts of a model, of which `path` is one.
    fn open_parts(path: &Path, count: u64) -> Result<Self> {
        let fail =
            |message: String| Error::file(path, format!("{message}; or merge them with `llama-gguf-split --merge` and import the result"));
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let suffix = |part: u64| format!("-{part:05}-of-{count:05}.gguf");
        let Some(stem) = (1..=count.min(MOST_PARTS)).find_map(|part| name.strip_suffix(&suffix(part))) else {
            return Err(fail(format!("is one of {count} parts of a model, but not named NAME{}, so the others can't be found", suffix(1))));
        };
        let mut whole: Option<Self> = None;
        for part in 1..=count {
            let beside = path.with_file_name(format!("{stem}{}", suffix(part)));
            if !beside.is_file() {
                return Err(fail(format!(
                    "is one of {count} parts of a model, and {} is missing: put it beside this one",
                    beside.display()
                )));
            }
            let file = Self::open_one(&beside, part as usize - 1)?;
            // They count from 0.
            if file.integer("split.count")? != Some(count) || file.integer("split.no")? != Some(part - 1) {
                return Err(Error::file(&beside, format!("does not say of itself that it is part {part} of {count}; download it again")));
            }
            let Some(whole) = &mut whole else {
                whole = Some(file);
                continue;
            };
            if let Some(twice) = file.tensors.keys().find(|name| whole.tensors.contains_key(*name)) {
                return Err(Error::file(&beside, format!("has tensor `{twice}`, which another part has, too")));
            }
            whole.tensors.extend(file.tensors);
            whole.parts.extend(file.parts);
        }
        let whole = whole.ok_or_else(|| fail("has no parts".to_owned()))?;
        if let Some(expected) = whole.integer("split.tensors.count")?.filter(|expected| *expected != whole.tensors.len() as u64) {
            return Err(fail(format!("and the other parts hold {} tensors, but the model has {expected}", whole.tensors.len())));
        }
        Ok(whole)
    }

    /// One file, as part `part` of its model.
    fn open_one(path: &Path, part: usize) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let length = file.metadata().map_err(|e| Error::io("read", path, e))?.len();
        if length < 24 {
            return Err(Error::file(path, format!("is not a GGUF file: it has only {length} bytes")));
        }
        // SAFETY: the mapping is read-only and private to this process; a file that another process truncates meanwhile is the one
        // thing that it can't exclude, and finished model files are not written in place.
        let bytes = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
        let (metadata, tensors) = Reader { bytes: &bytes, at: 0, path, part }.read()?;
        Ok(Self { path: path.to_owned(), metadata, tensors, parts: vec![bytes] })
    }

    /// Bytes of a tensor.
    pub fn data(&self, info: &TensorInfo) -> &[u8] {
        &self.parts[info.part][info.range.clone()]
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// The names of all metadata.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.metadata.keys().map(String::as_str)
    }

    /// A value that holds for the whole model: itself, or what a list with one entry a layer has in all of them.
    fn single(&self, key: &str) -> Result<Option<&Value>> {
        match self.get(key) {
            Some(Value::Array(list)) => match list.as_slice() {
                [first, rest @ ..] if rest.iter().all(|value| value == first) => Ok(Some(first)),
                _ => Err(Error::Unsupported {
                    what: "model",
                    message: format!("`{key}` in {} differs from layer to layer; here all layers have the same shape", self.path.display()),
                }),
            },
            value => Ok(value),
        }
    }

    pub fn string(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a string")),
        }
    }

    pub fn integer(&self, key: &str) -> Result<Option<u64>> {
        match self.single(key)? {
            None => Ok(None),
            Some(Value::Integer(n)) => u64::try_from(*n).map(Some).map_err(|_| self.wrong(key, "a number that isn't negative")),
            Some(_) => Err(self.wrong(key, "an integer")),
        }
    }

    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        match self.single(key)? {
            None => Ok(None),
            Some(Value::Float(n)) => Ok(Some(*n)),
            Some(Value::Integer(n)) => Ok(Some(*n as f64)),
            Some(_) => Err(self.wrong(key, "a number")),
        }
    }

    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        match self.single(key)? {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(*b)),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    /// A number, or true and false as 1 and 0; `None` for anything else.
    pub fn scalar(&self, key: &str) -> Result<Option<f64>> {
        Ok(match self.single(key)? {
            Some(Value::Float(n)) => Some(*n),
            Some(Value::Integer(n)) => Some(*n as f64),
            Some(Value::Bool(b)) => Some(f64::from(u8::from(*b))),
            _ => None,
        })
    }

    pub fn array(&self, key: &str) -> Result<Option<&[Value]>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(self.wrong(key, "a list")),
        }
    }

    /// A value that has to be there.
    pub fn needed<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| Error::file(&self.path, format!("lacks the metadata `{key}`")))
    }

    pub fn wrong(&self, key: &str, expected: &str) -> Error {
        Error::file(&self.path, format!("the metadata `{key}` has to be {expected}"))
    }
}

/// Deepest nesting of metadata lists.
const MAX_DEPTH: usize = 4;

/// More parts than any model has: where a file says so, its count is wrong.
const MOST_PARTS: u64 = 10_000;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    path: &'a Path,
    part: usize,
}

impl Reader<'_> {
    fn read(mut self) -> Result<(HashMap<String, Value>, HashMap<String, TensorInfo>)> {
        if self.take(4)? != b"GGUF" {
            return Err(Error::file(self.path, "is not a GGUF file: it does not begin with `GGUF`"));
        }
        let version = self.u32()?;
        if !(2..=3).contains(&version) {
            let hint = if version.swap_bytes() <= 3 { " (a big-endian file)" } else { "" };
            return Err(Error::file(self.path, format!("is GGUF version {version}{hint}; versions 2 and 3, little-endian, can be read")));
        }
        let (tensor_count, metadata_count) = (self.u64()?, self.u64()?);
        let mut metadata = HashMap::new();
        for _ in 0..metadata_count {
            let key = self.string()?;
            let kind = self.u32()?;
            let value = self.value(kind, 0)?;
            metadata.insert(key, value);
        }
        let alignment = match metadata.get("general.alignment") {
            None => 32,
            Some(Value::Integer(n)) if (1..=1 << 20).contains(n) => *n as u64,
            Some(_) => return Err(Error::file(self.path, "has an impossible `general.alignment`")),
        };
        let mut placed = Vec::new();
        for _ in 0..tensor_count {
            placed.push(self.tensor()?);
        }
        let data_start = (self.at as u64).next_multiple_of(alignment);
        let mut tensors = HashMap::new();
        for (name, shape, kind, size, offset) in placed {
            let start = data_start.checked_add(offset);
            let end = start.and_then(|start| start.checked_add(size)).filter(|end| *end <= self.bytes.len() as u64);
            let (Some(start), Some(end)) = (start, end) else {
                let message = format!("tensor `{name}` lies outside the file ({} bytes); download it again", self.bytes.len());
                return Err(Error::file(self.path, message));
            };
            let info = TensorInfo { shape, kind, part: self.part, range: start as usize..end as usize };
            if tensors.insert(name.clone(), info).is_some() {
                return Err(Error::file(self.path, format!("has tensor `{name}` twice")));
            }
        }
        Ok((metadata, tensors))
    }

    /// Name, shape, type, bytes and offset (from the start of the data).
    fn tensor(&mut self) -> Result<(String, Vec<usize>, TensorType, u64, u64)> {
        let name = self.string()?;
        let dimensions = self.u32()?;
        if dimensions == 0 || dimensions > 4 {
            return Err(Error::file(self.path, format!("tensor `{name}` has {dimensions} dimensions; 1 to 4 can be read")));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(self.u64()?);
        }
        let code = self.u32()?;
        let kind = TensorType::from_code(code).ok_or_else(|| Error::Unsupported {
            what: "tensor type",
            message: format!("{} in `{name}` of {}; supported: {}", TensorType::name_of(code), self.path.display(), TensorType::SUPPORTED),
        })?;
        let offset = self.u64()?;
        let elements = shape.iter().try_fold(1u64, |product, n| product.checked_mul(*n));
        let (block, bytes) = (kind.block_elements() as u64, kind.block_bytes() as u64);
        let size = elements.filter(|_| shape[0] % block == 0).and_then(|n| (n / block).checked_mul(bytes));
        let size = size.ok_or_else(|| Error::file(self.path, format!("tensor `{name}` has the impossible shape {shape:?}")))?;
        // The file has the innermost dimension first.
        let shape = shape.iter().rev().map(|n| *n as usize).collect();
        Ok((name, shape, kind, size, offset))
    }

    fn value(&mut self, kind: u32, depth: usize) -> Result<Value> {
        Ok(match kind {
            0 => Value::Integer(self.number::<1>()?[0].into()),
            1 => Value::Integer(i8::from_le_bytes(self.number()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.number()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.number()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.number()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.number()?).into()),
            7 => Value::Bool(self.number::<1>()?[0] != 0),
            8 => Value::String(self.string()?),
            9 => {
                let (kind, count) = (self.u32()?, self.u64()?);
                // Every element takes at least a byte: a longer list can't be in the file.
                if count > (self.bytes.len() - self.at) as u64 || depth == MAX_DEPTH {
                    return Err(Error::file(self.path, "is corrupt: a metadata list is longer than the file"));
                }
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push(self.value(kind, depth + 1)?);
                }
                Value::Array(list)
            }
            10 => Value::Integer(self.u64()?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.number()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.number()?)),
            other => return Err(Error::file(self.path, format!("is corrupt: metadata of the unknown type {other}"))),
        })
    }

    fn take(&mut self, length: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(Error::file(self.path, "ends in the middle of its header; download it again"));
        };
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.number()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.number()?))
    }

    fn string(&mut self) -> Result<String> {
        let length = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        // Some files cut a string in the middle of a character.
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }
}
