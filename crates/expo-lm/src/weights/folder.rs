//! A Hugging Face model folder, written: sharded safetensors in bf16 or f32, one tensor in memory at a time, under a temporary name
//! that becomes the real one only when everything is on disk.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::HostTensor;
use super::safetensors::{INDEX_FILE, SINGLE_FILE};
pub use super::tensor_file::SaveDtype;
use super::tensor_file::{TensorFile, elements};
use crate::durable;
use crate::error::{Error, Result};

/// Largest shard, in bytes, as transformers has it.
const MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// A model folder being written. Dropped before [`FolderWriter::finish`], it leaves nothing behind.
pub struct FolderWriter {
    target: PathBuf,
    temporary: PathBuf,
    finished: bool,
}

impl FolderWriter {
    /// Prepares to write the folder `target`, which must not exist or be empty.
    /// Errors: `target` holds something already, its parent can't be written.
    pub fn create(target: &Path) -> Result<Self> {
        if target.exists() {
            let mut entries = std::fs::read_dir(target).map_err(|e| Error::io("read", target, e))?;
            if entries.next().is_some() {
                return Err(Error::file(target, "exists already and is not empty; choose another folder or remove it"));
            }
        }
        let name = match target.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => return Err(Error::file(target, "is not a name for a folder")),
        };
        let parent = match target.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        std::fs::create_dir_all(&parent).map_err(|e| Error::io("create", &parent, e))?;
        let temporary = parent.join(format!(".{name}.tmp-{}", std::process::id()));
        if temporary.exists() {
            // Left by an earlier process of the same id that was killed.
            std::fs::remove_dir_all(&temporary).map_err(|e| Error::io("remove", &temporary, e))?;
        }
        std::fs::create_dir(&temporary).map_err(|e| Error::io("create", &temporary, e))?;
        Ok(Self { target: target.to_owned(), temporary, finished: false })
    }

    /// Writes a small file; `name` may have folders in it.
    pub fn write_file(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.temporary.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| Error::io("create", parent, e))?;
        }
        // Messages name the place the user asked for, not the temporary one.
        durable::write(&path, content).map_err(|e| Error::io("write", &self.target.join(name), e))
    }

    /// Writes a JSON object, indented.
    pub fn write_json(&self, name: &str, object: &Map<String, Value>) -> Result<()> {
        let text = serde_json::to_string_pretty(object).map_err(|e| Error::file(&self.target.join(name), e.to_string()))?;
        self.write_file(name, format!("{text}\n").as_bytes())
    }

    /// Writes `config.json`: `config` with the dtype of the saved weights.
    pub fn write_config(&self, config: &Map<String, Value>, dtype: SaveDtype) -> Result<()> {
        let mut config = config.clone();
        // The older spelling is the one that every version of transformers reads.
        config.shift_remove("dtype");
        config.insert("torch_dtype".to_owned(), dtype.torch_name().into());
        self.write_json("config.json", &config)
    }

    /// Starts writing the weights, tensor by tensor, in the order of `tensors`: every name and shape beforehand, because a
    /// safetensors file begins with them.
    pub fn weights<'a>(&'a self, tensors: &'a [(String, Vec<usize>)], dtype: SaveDtype) -> WeightsWriter<'a> {
        WeightsWriter::new(self, tensors, dtype, MAX_SHARD_BYTES)
    }

    /// Gives the folder its real name.
    pub fn finish(mut self) -> Result<()> {
        if self.target.exists() {
            // Empty, as `create` has seen; refuses if that has changed.
            std::fs::remove_dir(&self.target).map_err(|e| Error::io("replace", &self.target, e))?;
        }
        durable::sync_folders(&self.temporary)
            .and_then(|()| durable::rename(&self.temporary, &self.target))
            .map_err(|e| Error::io("create", &self.target, e))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for FolderWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing better can be done when cleaning up fails too; the error that led here is the one to report.
            let _ = std::fs::remove_dir_all(&self.temporary);
        }
    }
}

/// Writes tensors one after the other into as many shards as they need.
pub struct WeightsWriter<'a> {
    folder: &'a FolderWriter,
    tensors: &'a [(String, Vec<usize>)],
    dtype: SaveDtype,
    /// Index of the first tensor of each shard, and the end.
    bounds: Vec<usize>,
    shard: usize,
    open: Option<TensorFile<'a>>,
}

impl<'a> WeightsWriter<'a> {
    fn new(folder: &'a FolderWriter, tensors: &'a [(String, Vec<usize>)], dtype: SaveDtype, max_shard_bytes: u64) -> Self {
        let mut bounds = vec![0];
        let mut bytes = 0;
        for (i, (_, shape)) in tensors.iter().enumerate() {
            let size = elements(shape) * dtype.size();
            if bytes > 0 && bytes + size > max_shard_bytes {
                bounds.push(i);
                bytes = 0;
            }
            bytes += size;
        }
        bounds.push(tensors.len());
        Self { folder, tensors, dtype, bounds, shard: 0, open: None }
    }

    /// Writes the next tensor, which must be the announced one.
    pub fn push(&mut self, name: &str, tensor: &HostTensor) -> Result<()> {
        if self.shard == self.shards() {
            return Err(Error::Invalid(format!("tensor `{name}` was not announced: all are written")));
        }
        let mut file = match self.open.take() {
            Some(open) => open,
            None => self.start_shard()?,
        };
        let pushed = file.push(name, tensor);
        if file.is_complete() {
            file.finish()?;
            self.shard += 1;
        } else {
            self.open = Some(file);
        }
        pushed
    }

    /// Writes the index, if there is more than one shard. Errors: a tensor is still missing.
    pub fn finish(self) -> Result<()> {
        if self.shard != self.shards() {
            let missing = self.open.as_ref().map_or(self.bounds[self.shard], |open| self.bounds[self.shard] + open.written());
            return Err(Error::Invalid(format!("tensor `{}` was announced and never written", self.tensors[missing].0)));
        }
        if self.shards() == 1 {
            return Ok(());
        }
        let total: u64 = self.tensors.iter().map(|(_, shape)| elements(shape) * self.dtype.size()).sum();
        let mut map = Map::new();
        for shard in 0..self.shards() {
            for (name, _) in &self.tensors[self.bounds[shard]..self.bounds[shard + 1]] {
                map.insert(name.clone(), Value::String(self.shard_name(shard)));
            }
        }
        let index = json!({"metadata": {"total_size": total}, "weight_map": map});
        self.folder.write_file(INDEX_FILE, format!("{index:#}\n").as_bytes())
    }

    fn shards(&self) -> usize {
        self.bounds.len() - 1
    }

    fn shard_name(&self, shard: usize) -> String {
        match self.shards() {
            1 => SINGLE_FILE.to_owned(),
            n => format!("model-{:05}-of-{n:05}.safetensors", shard + 1),
        }
    }

    fn start_shard(&self) -> Result<TensorFile<'a>> {
        let name = self.shard_name(self.shard);
        let tensors = &self.tensors[self.bounds[self.shard]..self.bounds[self.shard + 1]];
        // Messages name the place the user asked for, not the temporary one.
        TensorFile::create(&self.folder.temporary.join(&name), &self.folder.target.join(&name), tensors, self.dtype)
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;
    use crate::weights::TensorSource;
    use crate::weights::safetensors::SafetensorsSource;

    fn example() -> (Vec<(String, Vec<usize>)>, Vec<HostTensor>) {
        let shapes = [vec![3, 5], vec![7], vec![2, 2]];
        let specs = shapes.iter().enumerate().map(|(i, shape)| (format!("t{i}"), shape.clone())).collect();
        let tensors = shapes
            .iter()
            .map(|shape| HostTensor { shape: shape.clone(), data: (0..elements(shape)).map(|i| i as f32 * 0.3 - 1.0).collect() })
            .collect();
        (specs, tensors)
    }

    #[test]
    fn shards_read_back() {
        let (specs, tensors) = example();
        for (limit, dtype, files) in [(1 << 20, SaveDtype::F32, 1), (64, SaveDtype::F32, 2), (1, SaveDtype::Bf16, 3)] {
            let dir = tempfile::tempdir().expect("dir");
            let target = dir.path().join("model");
            let folder = FolderWriter::create(&target).expect("create");
            let mut writer = WeightsWriter::new(&folder, &specs, dtype, limit);
            for ((name, _), tensor) in specs.iter().zip(&tensors) {
                writer.push(name, tensor).expect("push");
            }
            writer.finish().expect("finish");
            folder.finish().expect("rename");
            let shards = std::fs::read_dir(&target)
                .expect("list")
                .filter(|f| f.as_ref().expect("entry").file_name().to_string_lossy().ends_with(".safetensors"));
            assert_eq!(shards.count(), files);
            let mut source = SafetensorsSource::open(&target).expect("open");
            for ((name, _), tensor) in specs.iter().zip(&tensors) {
                let read = source.tensor(name).expect("read").expect("there");
                let rounded = tensor.data.iter().map(|v| if dtype == SaveDtype::Bf16 { bf16::from_f32(*v).to_f32() } else { *v });
                assert_eq!((read.shape, read.data), (tensor.shape.clone(), rounded.collect()));
            }
        }
    }

    #[test]
    fn bf16_rounds_to_nearest_even() {
        let (dir, specs) = (tempfile::tempdir().expect("dir"), [("t".to_owned(), vec![4])]);
        // Exactly half way between two bf16 numbers: to the even one. A little above: up.
        let data = [0x3f80_8000, 0x3f81_8000, 0x3f80_8001, 0x3f80_7fff].map(f32::from_bits).to_vec();
        let folder = FolderWriter::create(&dir.path().join("m")).expect("create");
        let mut writer = folder.weights(&specs, SaveDtype::Bf16);
        writer.push("t", &HostTensor { shape: vec![4], data }).expect("push");
        writer.finish().expect("finish");
        folder.finish().expect("rename");
        let read = SafetensorsSource::open(&dir.path().join("m")).expect("open").tensor("t").expect("read").expect("t");
        assert_eq!(read.data.iter().map(|v| v.to_bits() >> 16).collect::<Vec<_>>(), [0x3f80, 0x3f82, 0x3f81, 0x3f80]);
    }

    #[test]
    fn nothing_is_left_when_writing_stops() {
        let dir = tempfile::tempdir().expect("dir");
        let (specs, tensors) = example();
        let folder = FolderWriter::create(&dir.path().join("model")).expect("create");
        let mut writer = folder.weights(&specs, SaveDtype::F32);
        writer.push("t0", &tensors[0]).expect("push");
        assert!(writer.push("t0", &tensors[0]).is_err(), "the wrong tensor");
        drop(writer);
        drop(folder);
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 0);
    }

    #[test]
    fn an_existing_folder_is_not_overwritten() {
        let dir = tempfile::tempdir().expect("dir");
        std::fs::write(dir.path().join("precious"), "x").expect("write");
        let error = FolderWriter::create(dir.path()).err().expect("refused").to_string();
        assert!(error.contains("exists already and is not empty"), "{error}");
    }
}
