//! One safetensors file, written tensor by tensor and flushed to the disk.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use half::bf16;
use serde_json::{Map, Value, json};

use super::HostTensor;
use crate::durable;
use crate::error::{Error, Result};

/// Number format of saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaveDtype {
    /// 16 bits with f32's exponent; f32 values are rounded to nearest, ties to even.
    Bf16,
    /// 32 bits, exactly the weights in memory.
    F32,
}

impl SaveDtype {
    /// Name in `config.json`.
    pub fn torch_name(self) -> &'static str {
        match self {
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
        }
    }

    fn safetensors_name(self) -> &'static str {
        match self {
            Self::Bf16 => "BF16",
            Self::F32 => "F32",
        }
    }

    pub(crate) fn size(self) -> u64 {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

/// Number of values of a tensor of `shape`.
pub(crate) fn elements(shape: &[usize]) -> u64 {
    shape.iter().map(|n| *n as u64).product()
}

/// Bytes of a file of `tensors`.
pub fn file_size(tensors: &[(String, Vec<usize>)], dtype: SaveDtype) -> u64 {
    safetensors_header(tensors, dtype, &[]).len() as u64 + tensors.iter().map(|(_, shape)| elements(shape) * dtype.size()).sum::<u64>()
}

/// What a safetensors file of `tensors` begins with, its `metadata` included: all but the values, which follow in their order.
pub(crate) fn safetensors_header(tensors: &[(String, Vec<usize>)], dtype: SaveDtype, metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut header = Map::new();
    // transformers refuses files without the format.
    let metadata = std::iter::once(&("format", "pt")).chain(metadata).map(|(key, value)| ((*key).to_owned(), Value::from(*value)));
    header.insert("__metadata__".to_owned(), Value::Object(metadata.collect()));
    let mut offset = 0;
    for (name, shape) in tensors {
        let end = offset + elements(shape) * dtype.size();
        header.insert(name.clone(), json!({"dtype": dtype.safetensors_name(), "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // Padded so that the data is aligned, as the safetensors library does.
    header.resize(header.len().next_multiple_of(8), b' ');
    [&(header.len() as u64).to_le_bytes()[..], &header].concat()
}

/// A safetensors file being written: every name and shape beforehand, because the file begins with them.
pub struct TensorFile<'a> {
    /// What messages call it.
    shown: PathBuf,
    file: BufWriter<durable::File>,
    tensors: &'a [(String, Vec<usize>)],
    written: usize,
    dtype: SaveDtype,
    buffer: Vec<u8>,
}

impl<'a> TensorFile<'a> {
    /// Starts the file at `path` for `tensors`, in that order; messages call it `shown`.
    pub fn create(path: &Path, shown: &Path, tensors: &'a [(String, Vec<usize>)], dtype: SaveDtype) -> Result<Self> {
        let header = safetensors_header(tensors, dtype, &[]);
        let write = || -> std::io::Result<BufWriter<durable::File>> {
            let mut file = BufWriter::new(durable::File::create(path)?);
            file.write_all(&header)?;
            Ok(file)
        };
        let file = write().map_err(|e| Error::io("write", shown, e))?;
        Ok(Self { shown: shown.to_owned(), file, tensors, written: 0, dtype, buffer: Vec::new() })
    }

    /// Writes the next tensor, which must be the announced one.
    pub fn push(&mut self, name: &str, tensor: &HostTensor) -> Result<()> {
        let announced = self.tensors.get(self.written).filter(|(n, shape)| n == name && *shape == tensor.shape);
        if announced.is_none() || tensor.data.len() as u64 != elements(&tensor.shape) {
            return Err(Error::Invalid(format!("tensor `{name}` {:?} was not announced as number {}", tensor.shape, self.written)));
        }
        // Pieces keep the extra memory small beside a large tensor.
        for piece in tensor.data.chunks(1 << 18) {
            self.buffer.clear();
            match self.dtype {
                SaveDtype::F32 => self.buffer.extend(piece.iter().flat_map(|v| v.to_le_bytes())),
                SaveDtype::Bf16 => self.buffer.extend(piece.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes())),
            }
            self.file.write_all(&self.buffer).map_err(|e| Error::io("write", &self.shown, e))?;
        }
        self.written += 1;
        Ok(())
    }

    /// Number of tensors written.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Whether every announced tensor is written.
    pub fn is_complete(&self) -> bool {
        self.written == self.tensors.len()
    }

    /// Returns once the file is on the disk. Errors: a tensor is still missing.
    pub fn finish(self) -> Result<()> {
        if !self.is_complete() {
            return Err(Error::Invalid(format!("tensor `{}` was announced and never written", self.tensors[self.written].0)));
        }
        let flush = || self.file.into_inner().map_err(|e| e.into_error())?.sync();
        flush().map_err(|e| Error::io("write", &self.shown, e))
    }
}
