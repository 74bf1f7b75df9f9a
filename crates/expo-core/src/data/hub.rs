//! Data sets by their name on the Hugging Face hub, through `hf-hub` and its usual cache.
//!
//! `OWNER/NAME` is read from the branch on which the hub keeps every data set as Parquet, one folder a configuration and split; where there is none,
//! from the data set's own files by their names. `hf://datasets/OWNER/NAME[@REVISION]/PATH` names files itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::{Cache, Repo, RepoType};

use super::files::{DataFile, Found, Selection};
use super::table::is_table;
use crate::error::{Error, Result};

/// How the hub's own spelling of addresses begins.
pub const SCHEME: &str = "hf://datasets/";
/// The branch with every data set as Parquet: `CONFIG/SPLIT/0000.parquet`, ...
const CONVERTED: &str = "refs/convert/parquet";
const MAIN: &str = "main";
/// How many names an error lists.
const MOST_NAMED: usize = 12;

/// A data set on the hub, or files of it.
#[derive(Debug, PartialEq)]
pub struct Address<'a> {
    /// `OWNER/NAME`.
    name: &'a str,
    revision: Option<String>,
    /// A file's path, in which `*` stands for any part of a name; empty: the whole data set.
    path: &'a str,
    /// Whether it can't be a local file's name.
    pub is_explicit: bool,
}

impl<'a> Address<'a> {
    /// `None`: neither `OWNER/NAME` nor an address on the hub.
    pub fn parse(source: &'a str) -> Option<Self> {
        let is_part = |part: &str| {
            !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        let Some(rest) = source.strip_prefix(SCHEME) else {
            let (owner, name) = source.split_once('/')?;
            return (is_part(owner) && is_part(name)).then_some(Self { name: source, revision: None, path: "", is_explicit: false });
        };
        let (owner, after) = rest.split_once('/')?;
        let (dataset, path) = after.split_once('/').unwrap_or((after, ""));
        let (dataset, revision, path) = match dataset.split_once('@') {
            // A special branch has slashes in its name: `refs/convert/parquet`, `refs/pr/1`.
            Some((dataset, "refs")) => {
                let end = path.match_indices('/').nth(1).map_or(path.len(), |(end, _)| end);
                (dataset, Some(format!("refs/{}", &path[..end])), path[end..].trim_start_matches('/'))
            }
            Some((dataset, revision)) => (dataset, Some(revision.replace("%2F", "/")), path),
            None => (dataset, None, path),
        };
        let name = &rest[..owner.len() + 1 + dataset.len()];
        (is_part(owner) && is_part(dataset)).then_some(Self { name, revision, path, is_explicit: true })
    }
}

/// The hub, or what the cache has of it.
trait Hub {
    /// The commit that `revision` stands for, and the names of its files.
    fn list(&self, revision: &str) -> Result<(String, Vec<String>), String>;
    /// The local path of a file.
    fn get(&self, commit: &str, file: &str) -> Result<PathBuf, String>;
    /// Called when all files wanted of `revision` are there.
    fn done(&self, revision: &str, commit: &str);
}

/// The files of `address`, downloaded now or found in the cache; a notice says so when the hub can't be reached and the cache serves.
pub fn fetch(address: &Address<'_>, selection: Selection<'_>) -> Result<Found> {
    let cache = Cache::from_env();
    let online = ApiBuilder::from_env().build().map_err(|e| e.to_string());
    let online = online.map(|api| Online { api, cache: cache.clone(), name: address.name });
    from(online.as_ref().map(|hub| hub as &dyn Hub).map_err(String::clone), &Cached { cache, name: address.name }, address, selection)
}

fn from(online: Result<&dyn Hub, String>, cached: &dyn Hub, address: &Address<'_>, selection: Selection<'_>) -> Result<Found> {
    let name = address.name;
    let error = match online.map_err(Failure::Unreachable).and_then(|hub| gather(hub, address, selection)) {
        Ok(files) => return Ok(Found { files, notice: None }),
        Err(Failure::Selection(message)) => return Err(Error::Data(format!("data set `{name}`: {message}"))),
        Err(Failure::Unreachable(error)) => error,
    };
    match gather(cached, address, selection) {
        Ok(files) => {
            let notice = format!("the hub can't be reached ({error}); using {} file(s) of {name} from the cache", files.len());
            Ok(Found { files, notice: Some(notice) })
        }
        Err(Failure::Selection(message)) => {
            Err(Error::Data(format!("data set `{name}`, of which the cache has a part: {message}; the hub gave an error: {error}")))
        }
        Err(Failure::Unreachable(_)) => {
            Err(Error::Data(format!("data set `{name}` is neither a local file nor in the cache, and the hub gave an error: {error}")))
        }
    }
}

enum Failure {
    /// The hub (or the cache) has nothing to say.
    Unreachable(String),
    /// What is there isn't what was asked for.
    Selection(String),
}

fn gather(hub: &dyn Hub, address: &Address<'_>, selection: Selection<'_>) -> Result<Vec<DataFile>, Failure> {
    let (revision, commit, mut files) = choose(hub, address, selection)?;
    if address.path.is_empty() && !starts_at_the_beginning(&files) {
        return Err(Failure::Unreachable("only a part of its files is in the cache".into()));
    }
    // The last one first: where the first one is in the cache, all are, even after a download that was broken off.
    files.reverse();
    let mut found = files
        .into_iter()
        .map(|file| {
            let path = hub.get(&commit, &file).map_err(Failure::Unreachable)?;
            Ok(DataFile { name: format!("{SCHEME}{}@{commit}/{file}", address.name), path })
        })
        .collect::<Result<Vec<_>, _>>()?;
    found.reverse();
    hub.done(&revision, &commit);
    Ok(found)
}

/// Whether the first of numbered files (`0000.parquet`, `train-00000-of-00002.parquet`) is among them, or they have no such numbers.
fn starts_at_the_beginning(files: &[String]) -> bool {
    let Some(name) = files.first().and_then(|file| file.rsplit('/').next()?.strip_suffix(".parquet")) else { return true };
    let number = match name.split_once("-of-") {
        Some((before, _)) => before.rsplit('-').next().unwrap_or_default(),
        None => name,
    };
    !number.bytes().all(|digit| digit.is_ascii_digit()) || number.bytes().all(|digit| digit == b'0')
}

/// Revision, commit and files of what is asked for.
fn choose(hub: &dyn Hub, address: &Address<'_>, selection: Selection<'_>) -> Result<(String, String, Vec<String>), Failure> {
    if !address.path.is_empty() {
        let revision = address.revision.clone().unwrap_or_else(|| MAIN.to_owned());
        let (commit, files) = hub.list(&revision).map_err(Failure::Unreachable)?;
        let mut chosen: Vec<String> = files.iter().filter(|file| matches(address.path, file)).cloned().collect();
        chosen.sort();
        if chosen.is_empty() {
            return Err(Failure::Selection(format!("no file `{}`; it has {}", address.path, named(files.iter().filter(|f| is_table(f))))));
        }
        return Ok((revision, commit, chosen));
    }
    if address.revision.is_none()
        && let Ok((commit, files)) = hub.list(CONVERTED)
        && let Some(chosen) = by_folder(&files, selection).map_err(Failure::Selection)?
    {
        return Ok((CONVERTED.to_owned(), commit, chosen));
    }
    let revision = address.revision.clone().unwrap_or_else(|| MAIN.to_owned());
    let (commit, files) = hub.list(&revision).map_err(Failure::Unreachable)?;
    let chosen = by_name(&files, selection).map_err(Failure::Selection)?;
    Ok((revision, commit, chosen))
}

/// The files of a configuration and split among `CONFIG/SPLIT/NUMBER.parquet`. `None`: there are no such files, or not all of the split's.
fn by_folder(files: &[String], selection: Selection<'_>) -> Result<Option<Vec<String>>, String> {
    let mut parts: Vec<(&str, &str, &String)> = files
        .iter()
        .filter(|file| file.ends_with(".parquet"))
        .filter_map(|file| {
            let (config, rest) = file.split_once('/')?;
            let (split, _) = rest.split_once('/')?;
            Some((config, split, file))
        })
        .collect();
    parts.sort();
    let configs: BTreeSet<&str> = parts.iter().map(|(config, ..)| *config).collect();
    let config = match configs.first() {
        None => return Ok(None),
        Some(only) if configs.len() == 1 => *only,
        Some(_) => configs.get(selection.config).copied().ok_or_else(|| no_config(selection.config, configs.iter()))?,
    };
    parts.retain(|(of, ..)| *of == config);
    let splits: BTreeSet<&str> = parts.iter().map(|(_, split, _)| *split).collect();
    if !splits.contains(selection.split) {
        // The branch has only the beginning of very large splits.
        if splits.contains(format!("partial-{}", selection.split).as_str()) {
            return Ok(None);
        }
        return Err(no_split(selection.split, splits.iter()));
    }
    Ok(Some(parts.into_iter().filter(|(_, split, _)| *split == selection.split).map(|(.., file)| file.clone()).collect()))
}

/// The files of a data set's own whose names say that they are of the split (and, where they differ in this, of the configuration).
fn by_name(files: &[String], selection: Selection<'_>) -> Result<Vec<String>, String> {
    let Selection { config, split } = selection;
    let tables: Vec<&String> = files.iter().filter(|file| is_table(file)).collect();
    if tables.is_empty() {
        return Err(format!("no file that can be read (.parquet, .jsonl, .json, .csv); it has {}", named(files.iter())));
    }
    let mut chosen: Vec<&String> = tables.iter().copied().filter(|file| has_word(file, split)).collect();
    if chosen.is_empty() && tables.len() == 1 && split == "train" {
        chosen.clone_from(&tables);
    }
    if chosen.is_empty() {
        return Err(format!(
            "no file whose name says that it is of the split \"{split}\" (data.split); name one as {SCHEME}OWNER/NAME/PATH; it has {}",
            named(tables.iter())
        ));
    }
    if chosen.iter().any(|file| has_word(file, config)) {
        chosen.retain(|file| has_word(file, config));
    }
    // The same rows in several formats, or a configuration a folder.
    for extension in [".parquet", ".jsonl"] {
        if chosen.iter().any(|file| file.ends_with(extension)) {
            chosen.retain(|file| file.ends_with(extension));
        }
    }
    let folders: BTreeSet<&str> = chosen.iter().map(|file| file.rsplit_once('/').map_or("", |(folder, _)| folder)).collect();
    if folders.len() > 1 {
        return Err(no_config(config, folders.iter()));
    }
    let mut chosen: Vec<String> = chosen.into_iter().cloned().collect();
    chosen.sort();
    Ok(chosen)
}

/// Whether `word` stands in `file` by itself: between the path's separators, points, dashes and digits, or behind an underscore.
fn has_word(file: &str, word: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    !word.is_empty()
        && file.match_indices(word).any(|(start, _)| {
            let before = file[..start].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
            let after = file[start + word.len()..].chars().next().is_none_or(|c| !is_letter(c) || c.is_ascii_digit());
            before && after
        })
}

/// Whether `file` is what `pattern` says, in which `*` stands for any characters but `/`.
fn matches(pattern: &str, file: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == file,
        Some((before, after)) => file.strip_prefix(before).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(i, _)| i).chain([rest.len()]);
            ends.take_while(|end| !rest[..*end].contains('/')).any(|end| matches(after, &rest[end..]))
        }),
    }
}

fn no_config<'a>(config: &str, configs: impl Iterator<Item = &'a &'a str>) -> String {
    let found = if config.is_empty() { "several configurations".to_owned() } else { format!("no configuration \"{config}\"") };
    format!("{found}; set data.config to one of {}", named(configs))
}

fn no_split<'a>(split: &str, splits: impl Iterator<Item = &'a &'a str>) -> String {
    format!("no split \"{split}\"; set data.split to one of {}", named(splits))
}

/// Names for a message.
fn named<T: std::fmt::Display>(names: impl Iterator<Item = T>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let more = names.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if names.is_empty() { "none".to_owned() } else { format!("{}{more}", names[..names.len().min(MOST_NAMED)].join(", ")) }
}

/// The hub itself.
struct Online<'a> {
    api: Api,
    cache: Cache,
    name: &'a str,
}

fn repo(name: &str, revision: &str) -> Repo {
    Repo::with_revision(name.to_owned(), RepoType::Dataset, revision.to_owned())
}

impl Hub for Online<'_> {
    fn list(&self, revision: &str) -> Result<(String, Vec<String>), String> {
        let info = self.api.repo(repo(self.name, revision)).info().map_err(|e| e.to_string())?;
        Ok((info.sha, info.siblings.into_iter().map(|file| file.rfilename).collect()))
    }
    fn get(&self, commit: &str, file: &str) -> Result<PathBuf, String> {
        // By commit: files of two versions must not be mixed.
        self.api.repo(repo(self.name, commit)).get(file).map_err(|e| e.to_string())
    }
    fn done(&self, revision: &str, commit: &str) {
        // What the cache can't note is downloaded again next time.
        let _ = self.cache.repo(repo(self.name, revision)).create_ref(commit);
    }
}

/// What earlier downloads left.
struct Cached<'a> {
    cache: Cache,
    name: &'a str,
}

impl Cached<'_> {
    fn folder(&self) -> PathBuf {
        self.cache.path().join(repo(self.name, MAIN).folder_name())
    }
}

impl Hub for Cached<'_> {
    fn list(&self, revision: &str) -> Result<(String, Vec<String>), String> {
        let commit = std::fs::read_to_string(self.folder().join("refs").join(revision)).map_err(|e| e.to_string())?;
        let root = self.cache.repo(repo(self.name, revision)).pointer_path(commit.trim());
        let mut files = Vec::new();
        walk(&root, "", &mut files).map_err(|e| e.to_string())?;
        files.sort();
        Ok((commit.trim().to_owned(), files))
    }
    fn get(&self, commit: &str, file: &str) -> Result<PathBuf, String> {
        Ok(self.cache.repo(repo(self.name, MAIN)).pointer_path(commit).join(file))
    }
    fn done(&self, _: &str, _: &str) {}
}

/// The files below `folder`, by their paths in it.
fn walk(folder: &Path, prefix: &str, files: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{name}/"), files)?;
        } else if entry.path().exists() {
            files.push(name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
