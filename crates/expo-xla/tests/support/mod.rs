//! The plugin that tests run with. Without one they are skipped, and say how to get it.

use std::path::PathBuf;

use expo_xla::client::{Client, Limits, Plugin, Value};

/// The CPU plugin of `EXPO_RL_PJRT_PLUGIN`; `None` (and a message) without it.
pub fn plugin_path(test: &str) -> Option<PathBuf> {
    match std::env::var_os("EXPO_RL_PJRT_PLUGIN") {
        Some(path) if !path.is_empty() => Some(path.into()),
        _ => {
            eprintln!("{test}: skipped, no PJRT plugin. Get one: export EXPO_RL_PJRT_PLUGIN=$(scripts/get-pjrt.sh cpu)");
            None
        }
    }
}

/// A client of that plugin with the plugin's own options.
pub fn client(test: &str, options: &[(&str, Value)]) -> Option<Client> {
    let path = plugin_path(test)?;
    let plugin = Plugin::load(&path).expect("EXPO_RL_PJRT_PLUGIN names a plugin");
    Some(plugin.client(options, Limits::default()).expect("a client of the CPU plugin"))
}
