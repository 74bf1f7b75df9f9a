//! Which file of a crate uses which: read from its source, for tests that keep files free of circles.
//!
//! An arrow is a `use` or a path that leads to something that another file defines; names that a file only passes on (`pub use`) are followed to where they
//! are defined. Test modules, and calls of methods, make no arrows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// The files of a crate, by their path under `src`, with the files that each uses.
pub struct Rooms {
    uses: BTreeMap<String, BTreeSet<String>>,
    up: usize,
}

impl Rooms {
    /// Reads the crate whose source is in `src`.
    pub fn read(src: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(src, &mut Vec::new(), &mut files);
        let mut house = House { files: BTreeMap::new() };
        // What is compiled for tests alone is declared nowhere else.
        let mut next = vec![Module::new()];
        while let Some(module) = next.pop() {
            if let Some(file) = files.remove(&module) {
                next.extend(file.modules.iter().map(|name| module.iter().chain([name]).cloned().collect()));
                house.files.insert(module, file);
            }
        }
        let (mut uses, mut up) = (BTreeMap::new(), 0);
        for (module, file) in &house.files {
            let mut targets = BTreeSet::new();
            for used in &file.uses {
                // A name that is passed on is used where it also stands elsewhere in the file.
                let passed_on = used.public && !file.words.contains(&used.name);
                if !used.name.is_empty() && !passed_on {
                    targets.extend(house.defined_in(module, &used.path, 0));
                }
            }
            for path in &file.paths {
                targets.extend(house.defined_in(module, path, 0));
            }
            targets.remove(module);
            up += targets.iter().filter(|target| module.starts_with(target)).count();
            uses.insert(file.name.clone(), targets.iter().map(|target| house.files[target].name.clone()).collect());
        }
        Self { uses, up }
    }

    /// The circles: sets of files each of which leads to all others, largest first.
    pub fn circles(&self) -> Vec<Vec<&str>> {
        let reachable: BTreeMap<&str, BTreeSet<&str>> = self.uses.keys().map(|file| (file.as_str(), self.reachable(file))).collect();
        let (mut circles, mut seen) = (Vec::new(), BTreeSet::new());
        for (file, to) in &reachable {
            let circle: Vec<&str> = to.iter().filter(|other| reachable[**other].contains(file)).copied().collect();
            if circle.len() > 1 && seen.insert(circle[0]) {
                circles.push(circle);
            }
        }
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }

    fn reachable<'a>(&'a self, from: &'a str) -> BTreeSet<&'a str> {
        let (mut found, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(self.uses[file].iter().map(String::as_str).filter(|to| found.insert(*to)));
        }
        found
    }

    /// Files, arrows, arrows to a file whose module is around, and the circles with their arrows.
    pub fn summary(&self) -> String {
        let circles = self.circles();
        let arrows: usize = self.uses.values().map(BTreeSet::len).sum();
        let largest = circles.first().map_or(1, Vec::len);
        let mut text = format!("{} files, {arrows} arrows, {} of them up, largest circle {largest}\n", self.uses.len(), self.up);
        for circle in &circles {
            let _ = writeln!(text, "a circle of {}:", circle.len());
            for file in circle {
                let to: Vec<&str> = self.uses[*file].iter().map(String::as_str).filter(|to| circle.contains(to)).collect();
                let _ = writeln!(text, "    {file} -> {}", to.join(", "));
            }
        }
        text
    }
}

/// A module's path in its crate.
type Module = Vec<String>;

/// All files of a crate.
struct House {
    files: BTreeMap<Module, File>,
}

/// What one file says of others.
#[derive(Default)]
struct File {
    name: String,
    /// Modules in files of their own.
    modules: Vec<String>,
    uses: Vec<Use>,
    paths: BTreeSet<Vec<String>>,
    /// Every word outside `use`.
    words: BTreeSet<String>,
}

/// One name that a `use` brings in; `*` for all.
struct Use {
    path: Vec<String>,
    name: String,
    public: bool,
}

impl House {
    /// The module that defines what `path` leads to from `module`; none where it is a module itself, or outside the crate.
    fn defined_in(&self, module: &Module, path: &[String], depth: usize) -> Option<Module> {
        let mut rest = path;
        let mut at: Module = match path.first()?.as_str() {
            "crate" => {
                rest = &rest[1..];
                Vec::new()
            }
            "self" => {
                rest = &rest[1..];
                module.clone()
            }
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                rest = &rest[ups..];
                module[..module.len().checked_sub(ups)?].to_vec()
            }
            _ => module.clone(),
        };
        let is_bare = rest.len() == path.len();
        let named = rest.len();
        while let Some(part) = rest.first() {
            let inner: Module = at.iter().chain([part]).cloned().collect();
            if self.files.contains_key(&inner) {
                (at, rest) = (inner, &rest[1..]);
                continue;
            }
            if depth < 8
                && part != "*"
                && let Some(passed_on) = self.files.get(&at)?.uses.iter().find(|used| used.name == *part && used.path != path)
            {
                let path: Vec<String> = passed_on.path.iter().chain(&rest[1..]).cloned().collect();
                return self.defined_in(&at, &path, depth + 1);
            }
            // A name of this file, or of another crate, says nothing of other files.
            return (!is_bare || rest.len() < named).then_some(at);
        }
        None
    }
}

fn collect(folder: &Path, module: &mut Module, files: &mut BTreeMap<Module, File>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).expect("a source folder").map(|entry| entry.expect("readable").path()).collect();
    entries.sort();
    for path in entries {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name in UTF-8").to_owned();
        if path.is_dir() {
            module.push(stem);
            collect(&path, module, files);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut own = module.clone();
            if !matches!(stem.as_str(), "mod" | "lib" | "main") {
                own.push(stem.clone());
            }
            let source = std::fs::read_to_string(&path).expect("readable");
            let name = module.iter().map(|part| format!("{part}/")).collect::<String>() + &stem;
            files.insert(own, File { name, ..parsed(&words(&source)) });
        }
    }
}

/// The words and signs of Rust source, without comments, literals and numbers; `::` is one sign.
fn words(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let (mut out, mut i) = (Vec::new(), 0);
    let starts = |i: usize, text: &str| text.chars().enumerate().all(|(n, c)| chars.get(i + n) == Some(&c));
    while i < chars.len() {
        let c = chars[i];
        if starts(i, "//") {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if starts(i, "/*") {
            while i < chars.len() && !starts(i, "*/") {
                i += 1;
            }
            i += 2;
        } else if c == 'r' && (starts(i, "r\"") || starts(i, "r#\"") || starts(i, "r##\"")) {
            let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
            let end = format!("\"{}", "#".repeat(hashes));
            i += hashes + 2;
            while i < chars.len() && !starts(i, &end) {
                i += 1;
            }
            i += end.len();
        } else if c == '"' {
            i += 1;
            while i < chars.len() && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            i += 1;
        } else if c == '\'' {
            // A lifetime has no second quote.
            let len = match chars.get(i + 1) {
                Some('\\') => chars[i + 3..].iter().position(|c| *c == '\'').map_or(1, |n| n + 4),
                _ if chars.get(i + 2) == Some(&'\'') => 3,
                _ => 1,
            };
            i += len;
        } else if c.is_alphanumeric() || c == '_' {
            let len = chars[i..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
            out.push(chars[i..i + len].iter().collect());
            i += len;
        } else if starts(i, "::") {
            out.push("::".to_owned());
            i += 2;
        } else {
            if !c.is_whitespace() {
                out.push(c.to_string());
            }
            i += 1;
        }
    }
    out
}

/// Names and paths of one file, those of its inline modules as if they stood outside; without what is compiled for tests alone.
fn parsed(words: &[String]) -> File {
    let mut file = File::default();
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    let is_name = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let (mut i, mut braces, mut inline) = (0, 0usize, Vec::<usize>::new());
    while i < words.len() {
        match word(i) {
            "#" if words[i..].iter().take(7).map(String::as_str).eq(["#", "[", "cfg", "(", "test", ")", "]"]) => {
                i = end_of_item(words, i + 7);
                continue;
            }
            "{" => braces += 1,
            "}" => {
                braces = braces.saturating_sub(1);
                if inline.last() == Some(&braces) {
                    inline.pop();
                }
            }
            "mod" if word(i + 2) == ";" && inline.is_empty() => file.modules.push(word(i + 1).to_owned()),
            "mod" if word(i + 2) == "{" => {
                inline.push(braces);
                i += 2;
                continue;
            }
            "use" => {
                let end = i + words[i..].iter().position(|word| word == ";").unwrap_or(words.len() - i);
                let public = i > 0 && (word(i - 1) == "pub" || word(i - 1) == ")");
                for (path, name) in tree(&words[i + 1..end]) {
                    if let Some(path) = outside(path, inline.len()) {
                        // What an inline module brings in is not seen from outside.
                        match inline.is_empty() {
                            true => file.uses.push(Use { path, name, public }),
                            false => _ = file.paths.insert(path),
                        }
                    }
                }
                i = end;
                continue;
            }
            name if is_name(name) => {
                file.words.insert(name.to_owned());
                let mut path = vec![name.to_owned()];
                while word(i + 1) == "::" && is_name(word(i + 2)) {
                    path.push(word(i + 2).to_owned());
                    i += 2;
                }
                if path.len() > 1 {
                    file.paths.extend(outside(path, inline.len()));
                }
            }
            _ => {}
        }
        i += 1;
    }
    file
}

/// A path in an inline module as it would be outside; none where it stays inside.
fn outside(mut path: Vec<String>, inline: usize) -> Option<Vec<String>> {
    if inline > 0 && path[0] == "super" {
        let within = path.iter().take_while(|part| *part == "super").count().min(inline);
        path.drain(..within);
        if path.first().is_none_or(|part| part != "super") {
            path.insert(0, "self".to_owned());
        }
        return (within == inline).then_some(path);
    }
    Some(path)
}

/// The index after the item that begins at `i`.
fn end_of_item(words: &[String], mut i: usize) -> usize {
    let mut open = 0;
    while i < words.len() {
        match words[i].as_str() {
            "{" | "(" | "[" => open += 1,
            "}" | ")" | "]" => {
                open -= 1;
                if open == 0 && words[i] == "}" {
                    return i + 1;
                }
            }
            ";" if open == 0 => return i + 1,
            _ => {}
        }
        i += 1;
    }
    i
}

/// The paths of a `use` with the names that they bring in.
fn tree(words: &[String]) -> Vec<(Vec<String>, String)> {
    let mut path = Vec::new();
    for (i, word) in words.iter().enumerate() {
        match word.as_str() {
            "{" => {
                let (mut out, mut open, mut start) = (Vec::new(), 0, i + 1);
                for (j, word) in words.iter().enumerate().skip(i) {
                    match word.as_str() {
                        "{" => open += 1,
                        "}" => open -= 1,
                        _ => {}
                    }
                    if (word == "," && open == 1) || open == 0 {
                        for (rest, name) in tree(&words[start..j]) {
                            let rest = rest.into_iter().filter(|part| part != "self");
                            let whole: Vec<String> = path.iter().cloned().chain(rest).collect();
                            let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name };
                            out.push((whole, name));
                        }
                        start = j + 1;
                    }
                    if open == 0 {
                        break;
                    }
                }
                return out;
            }
            "as" => return vec![(path, words[i + 1].clone())],
            "::" => {}
            word => path.push(word.to_owned()),
        }
    }
    match path.last().cloned() {
        Some(name) => vec![(path, name)],
        None => Vec::new(),
    }
}
