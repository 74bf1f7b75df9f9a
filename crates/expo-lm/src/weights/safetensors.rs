//! Weights in safetensors files: one `model.safetensors`, or shards with `model.safetensors.index.json`.
//!
//! Files are memory-mapped, their headers checked when they are opened (offsets inside the file, sizes that fit shape and type), and
//! a tensor is converted to f32 only when it is asked for.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorInfo};
use serde_json::Value;

use super::{HostTensor, TensorSource};
use crate::error::{Error, Result};

/// The file of an unsharded model.
pub const SINGLE_FILE: &str = "model.safetensors";
/// The file that says which shard holds which tensor.
pub const INDEX_FILE: &str = "model.safetensors.index.json";

/// The tensors of one or more safetensors files.
pub struct SafetensorsSource<'a> {
    name: String,
    files: Vec<Opened<'a>>,
    /// Which file holds a tensor, and where.
    tensors: HashMap<String, (usize, TensorInfo)>,
    /// What the files' headers hold beside the tensors.
    metadata: HashMap<String, String>,
}

struct Opened<'a> {
    path: PathBuf,
    bytes: Bytes<'a>,
    /// Where the tensors' data begins.
    data_start: usize,
}

impl Opened<'_> {
    /// A tensor's bytes; `None` where they lie outside the file.
    fn data(&self, info: &TensorInfo) -> Option<&[u8]> {
        let (start, end) = info.data_offsets;
        self.bytes.as_slice().get(self.data_start + start..self.data_start + end)
    }
}

enum Bytes<'a> {
    Mapped(Mmap),
    Borrowed(&'a [u8]),
}

impl Bytes<'_> {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Borrowed(bytes) => bytes,
        }
    }
}

impl SafetensorsSource<'static> {
    /// Opens the weights in `dir`: `model.safetensors`, else every shard that the index names.
    /// Errors: no weights, a missing shard, a corrupt header, a tensor that the index promises and no shard has.
    pub fn open(dir: &Path) -> Result<Self> {
        let single = dir.join(SINGLE_FILE);
        let index = dir.join(INDEX_FILE);
        let mut source = Self { name: dir.display().to_string(), files: Vec::new(), tensors: HashMap::new(), metadata: HashMap::new() };
        if single.is_file() {
            source.add(single.clone(), map_file(&single)?)?;
            source.name = single.display().to_string();
        } else if index.is_file() {
            let text = std::fs::read(&index).map_err(|e| Error::io("read", &index, e))?;
            let weight_map = parse_index(&text, &index)?;
            let mut shards: Vec<&String> = weight_map.values().collect();
            shards.sort();
            shards.dedup();
            for shard in shards {
                let path = dir.join(shard);
                if !path.is_file() {
                    return Err(Error::file(&path, format!("is missing, but {INDEX_FILE} names it; download the model again")));
                }
                source.add(path.clone(), map_file(&path)?)?;
            }
            if let Some((tensor, shard)) = weight_map.iter().find(|(tensor, _)| !source.tensors.contains_key(*tensor)) {
                return Err(Error::file(&dir.join(shard), format!("has no tensor `{tensor}`, but {INDEX_FILE} says so")));
            }
        } else {
            let other = ["pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.safetensors"];
            let hint = match other.into_iter().find(|name| dir.join(name).exists()) {
                Some(name) => format!("; {name} can't be read: save the model with transformers' `save_pretrained`"),
                None => "; download the model again or export it".to_owned(),
            };
            return Err(Error::file(dir, format!("has neither {SINGLE_FILE} nor {INDEX_FILE}{hint}")));
        }
        Ok(source)
    }

    /// Opens one file. Errors: it can't be read, a corrupt header.
    pub fn open_file(path: &Path) -> Result<Self> {
        let mut source = Self { name: path.display().to_string(), files: Vec::new(), tensors: HashMap::new(), metadata: HashMap::new() };
        source.add(path.to_owned(), map_file(path)?)?;
        Ok(source)
    }
}

impl<'a> SafetensorsSource<'a> {
    /// One safetensors file that lies in memory; `name` is for messages.
    pub fn from_bytes(name: &str, bytes: &'a [u8]) -> Result<Self> {
        let mut source = Self { name: name.to_owned(), files: Vec::new(), tensors: HashMap::new(), metadata: HashMap::new() };
        source.add(PathBuf::from(name), Bytes::Borrowed(bytes))?;
        Ok(source)
    }

    /// Names of all tensors, in no particular order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Dimensions of a tensor; `None` where there is none of that name.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, info)| info.shape.as_slice())
    }

    /// The number format of a tensor.
    pub(crate) fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|(_, info)| info.dtype)
    }

    /// Whether two tensors have the same shape and values. Errors: those of reading them.
    pub(crate) fn equal(&mut self, a: &str, b: &str) -> Result<bool> {
        if self.shape(a) != self.shape(b) {
            return Ok(false);
        }
        if let (Some((a, x)), Some((b, y))) = (self.tensors.get(a), self.tensors.get(b))
            && x.dtype == y.dtype
            && let (Some(x), Some(y)) = (self.files[*a].data(x), self.files[*b].data(y))
            && x == y
        {
            return Ok(true);
        }
        Ok(self.tensor(a)? == self.tensor(b)?)
    }

    /// An entry of the header's `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    fn add(&mut self, path: PathBuf, bytes: Bytes<'a>) -> Result<()> {
        let (header, metadata) = SafeTensors::read_metadata(bytes.as_slice())
            .map_err(|e| Error::file(&path, format!("is not a valid safetensors file ({e}); download or export it again")))?;
        // 8 bytes hold the header's length. `read_metadata` has checked every offset against the file's end.
        let data_start = header + 8;
        self.metadata.extend(metadata.metadata().clone().unwrap_or_default());
        for (name, info) in metadata.tensors() {
            if self.tensors.insert(name.clone(), (self.files.len(), info.clone())).is_some() {
                return Err(Error::file(&path, format!("has tensor `{name}`, which another shard has too")));
            }
        }
        self.files.push(Opened { path, bytes, data_start });
        Ok(())
    }
}

impl TensorSource for SafetensorsSource<'_> {
    fn tensor(&mut self, name: &str) -> Result<Option<HostTensor>> {
        let Some((file, info)) = self.tensors.get(name) else { return Ok(None) };
        let file = &self.files[*file];
        let corrupt = || Error::file(&file.path, format!("tensor `{name}`: its data lies outside the file"));
        let bytes = file.data(info).ok_or_else(corrupt)?;
        let data = match info.dtype {
            Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Dtype::BF16 => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            other => {
                let message = format!("tensor `{name}` has type {other:?}; supported: F32, F16, BF16");
                return Err(Error::file(&file.path, message));
            }
        };
        Ok(Some(HostTensor { shape: info.shape.clone(), data }))
    }

    fn describe(&self) -> String {
        self.name.clone()
    }
}

fn map_file(path: &Path) -> Result<Bytes<'static>> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let length = file.metadata().map_err(|e| Error::io("read", path, e))?.len();
    if length == 0 {
        return Err(Error::file(path, "is empty; download or export it again"));
    }
    // SAFETY: the mapping is read-only and private to this process. What a mapping can't exclude is another process that
    // truncates the file while it is read; model files are not written in place (this crate renames finished folders).
    let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
    Ok(Bytes::Mapped(map))
}

/// Tensor name to shard file name. A shard must lie in the index's own folder.
fn parse_index(text: &[u8], path: &Path) -> Result<HashMap<String, String>> {
    let value: Value = serde_json::from_slice(text).map_err(|e| Error::file(path, format!("is not valid JSON: {e}")))?;
    let map = value.get("weight_map").and_then(Value::as_object).ok_or_else(|| Error::file(path, "lacks the object `weight_map`"))?;
    map.iter()
        .map(|(tensor, shard)| match shard.as_str() {
            Some(shard) if Path::new(shard).file_name() == Some(shard.as_ref()) => Ok((tensor.clone(), shard.to_owned())),
            _ => Err(Error::file(path, format!("`weight_map` gives {shard} for `{tensor}`; it has to be the name of a file beside it"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A safetensors file made by hand: `header` as JSON, then `data`.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn every_float_type_becomes_f32() {
        let header = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F16","shape":[1,2],"data_offsets":[8,12]},"c":{"dtype":"BF16","shape":[],"data_offsets":[12,14]}}"#;
        let mut data = Vec::new();
        data.extend([1.5f32, -2.0].iter().flat_map(|v| v.to_le_bytes()));
        data.extend([0.5f32, 65504.0].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()));
        data.extend(bf16::from_f32(-3.0).to_le_bytes());
        let bytes = file(header, &data);
        let mut source = SafetensorsSource::from_bytes("m", &bytes).expect("valid");
        assert_eq!(source.tensor("a").expect("a"), Some(HostTensor { shape: vec![2], data: vec![1.5, -2.0] }));
        assert_eq!(source.tensor("b").expect("b"), Some(HostTensor { shape: vec![1, 2], data: vec![0.5, 65504.0] }));
        assert_eq!(source.tensor("c").expect("c"), Some(HostTensor { shape: vec![], data: vec![-3.0] }));
        assert_eq!(source.tensor("d").expect("d"), None);
    }

    #[test]
    fn corrupt_files_are_refused_when_opened() {
        let cases = [
            Vec::new(),
            vec![1, 2, 3],
            file("{", &[]),
            u64::MAX.to_le_bytes().to_vec(),
            file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, &[0; 4]),
            file(r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, &[0; 8]),
            file(r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, &[0; 8]),
            file(r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,8]}}"#, &[0; 8]),
        ];
        for bytes in cases {
            let error = SafetensorsSource::from_bytes("bad.safetensors", &bytes).err().expect("refused").to_string();
            assert!(error.contains("bad.safetensors: is not a valid safetensors file"), "{error}");
        }
    }

    #[test]
    fn other_types_are_refused_by_name() {
        let bytes = file(r#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, &[0; 8]);
        let error = SafetensorsSource::from_bytes("m", &bytes).expect("valid").tensor("a").expect_err("I64").to_string();
        assert!(error.contains("`a` has type I64"), "{error}");
    }

    #[test]
    fn what_a_folder_lacks_is_named() {
        let dir = tempfile::tempdir().expect("dir");
        let open = || SafetensorsSource::open(dir.path()).err().expect("an error").to_string();
        assert!(open().contains("has neither model.safetensors nor"), "{}", open());
        let index = dir.path().join(INDEX_FILE);
        std::fs::write(&index, r#"{"weight_map":{"a":"../x.safetensors"}}"#).expect("write");
        assert!(open().contains("name of a file beside it"), "{}", open());
        std::fs::write(&index, r#"{"weight_map":{"a":"x.safetensors"}}"#).expect("write");
        assert!(open().contains("x.safetensors: is missing"), "{}", open());
        let shard = file(r#"{"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4]);
        std::fs::write(dir.path().join("x.safetensors"), shard).expect("write");
        assert!(open().contains("has no tensor `a`"), "{}", open());
    }
}
