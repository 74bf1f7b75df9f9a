//! Where plugins lie on this machine.
//!
//! Nothing is loaded here: what is found may be no plugin, or one that ends the process that loads it.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The environment variable that names a plugin's file.
pub const PLUGIN_VARIABLE: &str = "EXPO_RL_PJRT_PLUGIN";
/// The environment variable that names the folder of `scripts/get-pjrt.sh`.
pub const FOLDER_VARIABLE: &str = "EXPO_RL_PJRT_DIR";

/// How a plugin was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was named by the caller.
    Named,
    /// [`PLUGIN_VARIABLE`] names it.
    Variable,
    /// `scripts/get-pjrt.sh` got it.
    Downloaded,
    /// It lies among Python's packages, in this folder.
    Python(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("named"),
            Self::Variable => f.write_str(PLUGIN_VARIABLE),
            Self::Downloaded => f.write_str("scripts/get-pjrt.sh"),
            Self::Python(folder) => write!(f, "{}", folder.display()),
        }
    }
}

/// A file that may be a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The file.
    pub path: PathBuf,
    /// How it was found.
    pub origin: Origin,
}

/// Where to look.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// A file that the user names; then nothing else is looked at.
    pub named: Option<PathBuf>,
    /// The value of [`PLUGIN_VARIABLE`].
    pub variable: Option<PathBuf>,
    /// The folder of `scripts/get-pjrt.sh`.
    pub downloads: Option<PathBuf>,
    /// Python's folders of packages.
    pub packages: Vec<PathBuf>,
}

impl Places {
    /// The places that this process's environment names: the variables; the Python that is active (`VIRTUAL_ENV`,
    /// `CONDA_PREFIX`), that the program itself was installed into, the first on `PATH`, and the user's own.
    pub fn of_this_process() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = variable("HOME").map(PathBuf::from);
        let mut prefixes: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(variable).map(PathBuf::from).collect();
        prefixes.extend(std::env::current_exe().ok().as_deref().and_then(grandparent));
        prefixes.extend(python_on(variable("PATH").unwrap_or_default()));
        prefixes.extend(home.as_ref().map(|home| home.join(".local")));
        let data = variable("XDG_DATA_HOME").map(PathBuf::from).or_else(|| home.map(|home| home.join(".local/share")));
        let downloads = variable(FOLDER_VARIABLE).map(PathBuf::from).or_else(|| data.map(|data| data.join("expo-rl/pjrt")));
        let mut packages = Vec::new();
        for folder in prefixes.iter().flat_map(|prefix| packages_in(prefix)) {
            if !packages.contains(&folder) {
                packages.push(folder);
            }
        }
        Self { named: None, variable: variable(PLUGIN_VARIABLE).map(PathBuf::from), downloads, packages }
    }

    /// The candidates, each file once, in the order of the places.
    pub fn find(&self) -> Vec<Candidate> {
        if let Some(path) = &self.named {
            return vec![Candidate { path: path.clone(), origin: Origin::Named }];
        }
        let mut candidates = Vec::new();
        candidates.extend(self.variable.iter().map(|path| Candidate { path: path.clone(), origin: Origin::Variable }));
        let downloads = self.downloads.iter().flat_map(|folder| libraries(folder));
        candidates.extend(downloads.map(|path| Candidate { path, origin: Origin::Downloaded }));
        for packages in &self.packages {
            let groups = ["jax_plugins", "xla_plugins"].into_iter().flat_map(|group| entries(&packages.join(group)));
            let files = groups.chain([packages.join("libtpu")]).flat_map(|folder| libraries(&folder));
            candidates.extend(files.map(|path| Candidate { path, origin: Origin::Python(packages.clone()) }));
        }
        let mut seen = Vec::new();
        candidates.retain(|candidate| {
            let real = candidate.path.canonicalize().unwrap_or_else(|_| candidate.path.clone());
            let new = !seen.contains(&real);
            seen.push(real);
            new
        });
        candidates
    }
}

/// What is in a folder, by name; nothing where it can't be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The shared libraries in a folder.
fn libraries(folder: &Path) -> Vec<PathBuf> {
    let mut files = entries(folder);
    files.retain(|path| {
        path.extension().is_some_and(|extension| ["so", "dylib", "dll"].iter().any(|&name| extension == name)) && path.is_file()
    });
    files
}

/// The folder above the one that `file` lies in: `/venv` for `/venv/bin/python3`.
fn grandparent(file: &Path) -> Option<PathBuf> {
    file.parent()?.parent().map(Path::to_owned)
}

/// The prefixes of the first Python on `path`: as it is named and, for links, as it is installed.
fn python_on(path: OsString) -> Vec<PathBuf> {
    let interpreters = std::env::split_paths(&path).flat_map(|folder| ["python3", "python"].map(|name| folder.join(name)));
    let Some(python) = interpreters.into_iter().find(|file| file.is_file()) else { return Vec::new() };
    [Some(python.clone()), python.canonicalize().ok()].into_iter().flatten().filter_map(|file| grandparent(&file)).collect()
}

/// The folders of packages of a Python that is installed in `prefix`.
fn packages_in(prefix: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for library in ["lib", "lib64", "local/lib"] {
        let versions = entries(&prefix.join(library));
        let versions = versions.iter().filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("python3")));
        folders.extend(versions.flat_map(|version| ["site-packages", "dist-packages"].map(|name| version.join(name))));
    }
    folders.push(prefix.join("Lib/site-packages"));
    folders.retain(|folder| folder.is_dir());
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: PathBuf) -> PathBuf {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        path
    }

    #[test]
    fn candidates_come_in_order_and_once() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let packages = root.join("venv/lib/python3.11/site-packages");
        let cuda = file(packages.join("jax_plugins/xla_cuda13/xla_cuda_plugin.so"));
        file(packages.join("jax_plugins/xla_cuda13/__init__.py"));
        let cpu = file(packages.join("xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"));
        let tpu = file(packages.join("libtpu/libtpu.so"));
        file(packages.join("torch/lib/libtorch.so"));
        let downloaded = file(root.join("pjrt/cpu.so"));
        let places = Places {
            named: None,
            variable: Some(cpu.clone()),
            downloads: Some(root.join("pjrt")),
            packages: packages_in(&root.join("venv")),
        };
        let found: Vec<(PathBuf, String)> = places.find().into_iter().map(|c| (c.path, c.origin.to_string())).collect();
        let of = |path: &PathBuf, origin: &str| (path.clone(), origin.to_owned());
        let site = packages.display().to_string();
        assert_eq!(found, [of(&cpu, PLUGIN_VARIABLE), of(&downloaded, "scripts/get-pjrt.sh"), of(&cuda, &site), of(&tpu, &site)]);
        // What is named is all.
        let places = Places { named: Some(root.join("missing.so")), ..places };
        assert_eq!(places.find(), [Candidate { path: root.join("missing.so"), origin: Origin::Named }]);
    }

    #[test]
    fn nothing_is_found_where_nothing_is() {
        let root = tempfile::tempdir().unwrap();
        let places =
            Places { downloads: Some(root.path().join("none")), packages: packages_in(&root.path().join("none")), ..Places::default() };
        assert!(places.find().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_python_leads_to_both_of_its_places() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let installed = file(root.join("opt/python/bin/python3.11"));
        std::fs::create_dir_all(root.join("venv/bin")).unwrap();
        std::os::unix::fs::symlink(&installed, root.join("venv/bin/python3")).unwrap();
        let path = std::env::join_paths([root.join("nothing"), root.join("venv/bin"), root.join("opt/python/bin")]).unwrap();
        assert_eq!(python_on(path), [root.join("venv"), root.join("opt/python")]);
    }
}
