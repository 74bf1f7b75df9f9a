//! What a plugin tells, asked in this process and handed on as JSON lines.

use std::io::Write;
use std::path::Path;

use expo_xla::Error;
use expo_xla::client::{Client, Limits, Plugin, Value};
use serde::{Deserialize, Serialize};

/// One line of the child's output. The plugin's comes first, so that it is known even where making a client ends the
/// process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The plugin was loaded.
    Plugin { api: String, attributes: Vec<(String, String)> },
    /// It has made a client.
    Client { platform: String, version: String, devices: Vec<Device> },
    /// It has not; `no_plugin`: since the file is something else.
    Error { message: String, no_plugin: bool },
}

/// A device as the plugin describes it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Device {
    pub id: i32,
    pub kind: String,
    /// Bytes of memory that a program may use; `None` where the plugin does not say.
    pub memory: Option<i64>,
    pub attributes: Vec<(String, String)>,
}

/// Asks the plugin at `path` and writes what it tells.
pub fn probe(path: &Path, mut out: impl Write) -> anyhow::Result<()> {
    // A plugin that aborts leaves its words, but no image of its memory.
    #[cfg(unix)]
    rustix::process::setrlimit(rustix::process::Resource::Core, rustix::process::Rlimit { current: Some(0), maximum: Some(0) })?;
    let mut write = |line: Line| -> anyhow::Result<()> {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    };
    let fail = |error: Error| Line::Error { no_plugin: matches!(error, Error::NotAPlugin { .. }), message: error.to_string() };
    let plugin = match Plugin::load(path) {
        Ok(plugin) => plugin,
        Err(error) => return write(fail(error)),
    };
    let (major, minor) = plugin.api_version();
    write(Line::Plugin { api: format!("{major}.{minor}"), attributes: texts(plugin.attributes()) })?;
    match client(&plugin) {
        Ok(client) => {
            let devices = client.devices().iter().map(|device| {
                let description = device.description();
                let memory = device.memory().ok().and_then(|memory| memory.limit);
                Device { id: description.id, kind: description.kind.clone(), memory, attributes: texts(&description.attributes) }
            });
            write(Line::Client {
                platform: client.platform().to_owned(),
                version: client.platform_version().to_owned(),
                devices: devices.collect(),
            })
        }
        Err(error) => write(fail(error)),
    }
}

/// A client that takes no memory for itself, where the plugin knows the option (those for GPUs take three quarters at
/// once).
fn client(plugin: &Plugin) -> expo_xla::Result<Client> {
    // The process that watches has the limit.
    let limits = Limits::default();
    match plugin.client(&[("preallocate", false.into())], limits) {
        Err(Error::Xla { message, .. }) if message.contains("preallocate") => plugin.client(&[], limits),
        other => other,
    }
}

fn texts(values: &[(String, Value)]) -> Vec<(String, String)> {
    values.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}
