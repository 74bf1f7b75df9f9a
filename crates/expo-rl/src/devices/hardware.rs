//! Accelerators that the system shows, whatever plugins there are.

use std::path::Path;

/// A kind of accelerator with the plugin that drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardware {
    /// What it is.
    pub name: &'static str,
    /// What its plugins call their platform, all in lower case.
    pub platforms: &'static [&'static str],
    /// What installs the plugin with its libraries into Python's active environment.
    pub install: &'static str,
}

/// The device files that drivers make, below `/dev`.
const KNOWN: [(&str, Hardware); 3] = [
    ("nvidiactl", Hardware { name: "an NVIDIA GPU", platforms: &["cuda", "gpu"], install: "pip install \"jax[cuda13]\"" }),
    ("kfd", Hardware { name: "an AMD GPU", platforms: &["rocm", "gpu"], install: "pip install \"jax[rocm7-local]\"" }),
    ("accel0", Hardware { name: "a TPU", platforms: &["tpu"], install: "pip install \"jax[tpu]\"" }),
];

/// What is there, by the device files below `dev`.
pub fn present(dev: &Path) -> Vec<Hardware> {
    KNOWN.iter().filter(|(file, _)| dev.join(file).exists()).map(|&(_, hardware)| hardware).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_files_say_what_is_there() {
        let dev = tempfile::tempdir().unwrap();
        assert!(present(dev.path()).is_empty());
        std::fs::write(dev.path().join("nvidiactl"), "").unwrap();
        let names: Vec<_> = present(dev.path()).iter().map(|hardware| hardware.name).collect();
        assert_eq!(names, ["an NVIDIA GPU"]);
    }
}
