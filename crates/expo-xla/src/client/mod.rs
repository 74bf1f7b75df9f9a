//! A client of XLA's PJRT C API.
//!
//! [`Plugin::load`] opens a shared library, [`Plugin::client`] makes a [`Client`] of its devices; [`Client::compile`]
//! turns a [`Program`] into an [`Executable`], [`Client::buffer`] moves an array to a device, [`Executable::execute`]
//! runs, [`Buffer::to_vec`] brings a result back. [`Plugin::topology`] describes devices that need not be there, and
//! [`Topology::compile`] compiles for them.
//!
//! Work is asynchronous: a call returns when the work is under way, and an error of the device shows where a result
//! is read or waited for. Every wait has a name, which its error says, and ends: after its limit in [`Limits`] it is
//! an error, and what was waited for is left alone, since a device can't be stopped.
//!
//! The plugin is C++ that runs in this process. Most faults come back as errors in its own words ([`Error::Xla`]),
//! but a failed check in it ends the process: probe an unknown plugin in a child process.

mod buffer;
mod executable;
mod options;
mod raw;
mod thread;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use buffer::{Buffer, Reading};
pub use executable::{Compiled, Executable};
pub use options::CompileOptions;
pub use raw::{Description, DeviceMemory, MemoryNumbers, Value};

use crate::Program;
use crate::error::{Error, Result};
use raw::{Api, ClientHandle, DeviceHandle, TopologyHandle};

/// The oldest minor version of the C API whose table of functions has today's order.
pub const OLDEST_MINOR: i32 = 57;

/// How long each kind of wait may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Making a client.
    pub create: Duration,
    /// Compiling or loading one program.
    pub compile: Duration,
    /// Starting a program, and a result of it: the run itself and the copy to the host.
    pub result: Duration,
}

impl Default for Limits {
    /// Generous: 5 minutes, an hour, and half an hour.
    fn default() -> Self {
        Self { create: Duration::from_secs(300), compile: Duration::from_secs(3600), result: Duration::from_secs(1800) }
    }
}

/// A loaded plugin. It stays in the process: XLA can't be unloaded.
#[derive(Debug, Clone)]
pub struct Plugin {
    api: Api,
    path: PathBuf,
    attributes: Vec<(String, Value)>,
}

impl Plugin {
    /// Loads the plugin at `path`.
    ///
    /// # Errors
    /// [`Error::Load`], [`Error::NotAPlugin`], [`Error::Version`], or the plugin's own.
    pub fn load(path: &Path) -> Result<Self> {
        let api = Api::load(path)?;
        let attributes = api.attributes().map_err(|failure| failure.during(format!("{}: attributes", path.display())))?;
        Ok(Self { api, path: path.to_owned(), attributes })
    }

    /// Where it was loaded from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Major and minor version of the C API that it speaks.
    pub fn api_version(&self) -> (i32, i32) {
        self.api.version()
    }

    /// What it tells of itself: `xla_version`, `stablehlo_current_version` and others.
    pub fn attributes(&self) -> &[(String, Value)] {
        &self.attributes
    }

    /// One of [`Plugin::attributes`].
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    /// Makes a client of the devices that the plugin finds. `options` are the plugin's own: `cpu_device_count` of the
    /// CPU plugins, `memory_fraction` of CUDA's; newer ones refuse those that they don't know.
    ///
    /// # Errors
    /// The plugin's own (no device, an unknown option), or [`Error::Timeout`].
    pub fn client(&self, options: &[(&str, Value)], limits: Limits) -> Result<Client> {
        let (api, doing) = (self.api, format!("{}: making a client", self.path.display()));
        let options: Vec<(String, Value)> = options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let fail = |failure: raw::Failure| failure.during(doing.clone());
        let handle = thread::limited(&doing, limits.create, move || ClientHandle::create(api, &options))?.map_err(fail)?;
        let devices = handle.devices().map_err(fail)?;
        let devices = devices.into_iter().map(Device::new).collect::<Result<Vec<_>>>()?;
        let worker = thread::Worker::new(&doing)?;
        let platform = handle.platform().map_err(fail)?;
        let platform_version = handle.platform_version().map_err(fail)?;
        Ok(Client {
            inner: Arc::new(Inner { handle, worker: Arc::new(worker), plugin: self.clone(), devices, platform, platform_version, limits }),
        })
    }

    /// Describes devices by the plugin's own `options`, present or not.
    ///
    /// # Errors
    /// The plugin's own: what it can't read, or that it has no such function.
    pub fn topology(&self, name: &str, options: &[(&str, Value)]) -> Result<Topology> {
        let doing = format!("{}: describing devices", self.path.display());
        let fail = |failure: raw::Failure| failure.during(doing.clone());
        let handle = TopologyHandle::create(self.api, name, options).map_err(fail)?;
        let devices = handle.devices().map_err(fail)?;
        Ok(Topology {
            platform: handle.platform().map_err(fail)?,
            platform_version: handle.platform_version().map_err(fail)?,
            devices,
            handle,
        })
    }
}

#[derive(Debug)]
struct Inner {
    handle: Arc<ClientHandle>,
    /// Where programs are started: the CPU plugins run some of them inside the call.
    worker: Arc<thread::Worker>,
    plugin: Plugin,
    devices: Vec<Device>,
    platform: String,
    platform_version: String,
    limits: Limits,
}

/// The devices of a plugin, to compile for and to run on. A clone is the same client.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

impl Client {
    /// The plugin that made it.
    pub fn plugin(&self) -> &Plugin {
        &self.inner.plugin
    }

    /// What the plugin calls its kind of devices: `cpu`, `cuda`.
    pub fn platform(&self) -> &str {
        &self.inner.platform
    }

    /// The version of what is beneath: CUDA's, say.
    pub fn platform_version(&self) -> &str {
        &self.inner.platform_version
    }

    /// The devices that this process can use.
    pub fn devices(&self) -> &[Device] {
        &self.inner.devices
    }

    /// How long its waits may last.
    pub fn limits(&self) -> Limits {
        self.inner.limits
    }

    /// Compiles `program`.
    ///
    /// # Errors
    /// What XLA says of the program, or [`Error::Timeout`].
    pub fn compile(&self, program: &Program, options: &CompileOptions) -> Result<Executable> {
        let doing = format!("compiling {}", program.name);
        let (handle, text, options) = (self.inner.handle.clone(), program.text.clone(), options.encode());
        let loaded = self.limited(&doing, move || handle.compile(&text, &options))?;
        Executable::new(loaded.map_err(|failure| failure.during(doing))?, program, self.inner.worker.clone(), self.limits())
    }

    /// Loads `program` from what [`Compiled::serialize`] gave, by the same version of the plugin on the same kind of
    /// device.
    ///
    /// # Errors
    /// What XLA says of the bytes, or [`Error::Timeout`]. Bytes of another program are not noticed here.
    pub fn load(&self, program: &Program, bytes: &[u8]) -> Result<Executable> {
        let doing = format!("loading {}", program.name);
        let (handle, bytes) = (self.inner.handle.clone(), bytes.to_vec());
        let loaded = self.limited(&doing, move || handle.load(&bytes))?;
        Executable::new(loaded.map_err(|failure| failure.during(doing))?, program, self.inner.worker.clone(), self.limits())
    }

    /// Runs `work`, which may hang inside the plugin, with the limit of compilations. If it hangs, the client stays
    /// as it is for good.
    fn limited<T: Send + 'static>(&self, doing: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        thread::limited(doing, self.inner.limits.compile, work).inspect_err(|_| self.inner.handle.abandon())
    }
}

/// A device of a client. A clone is the same device.
#[derive(Debug, Clone)]
pub struct Device {
    handle: DeviceHandle,
    description: Arc<Description>,
}

impl Device {
    fn new(handle: DeviceHandle) -> Result<Self> {
        let description = handle.describe().map_err(|failure| failure.during("describing a device"))?;
        Ok(Self { handle, description: Arc::new(description) })
    }

    /// Its number, kind and attributes.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// What its allocator tells; an error where the plugin keeps no such numbers.
    pub fn memory(&self) -> Result<DeviceMemory> {
        self.handle.memory().map_err(|failure| failure.during(format!("memory of device {}", self.description.id)))
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        self.handle.is(&other.handle)
    }
}

/// Devices that are described, present or not.
#[derive(Debug)]
pub struct Topology {
    handle: Arc<TopologyHandle>,
    platform: String,
    platform_version: String,
    devices: Vec<Description>,
}

impl Topology {
    /// What the plugin calls its kind of devices.
    pub fn platform(&self) -> &str {
        &self.platform
    }

    /// The version of what is beneath.
    pub fn platform_version(&self) -> &str {
        &self.platform_version
    }

    /// The devices.
    pub fn devices(&self) -> &[Description] {
        &self.devices
    }

    /// Compiles `program` for them.
    ///
    /// # Errors
    /// What XLA says of the program, or [`Error::Timeout`] after `limit`.
    pub fn compile(&self, program: &Program, options: &CompileOptions, limit: Duration) -> Result<Compiled> {
        let doing = format!("compiling {} for {}", program.name, self.platform);
        let (handle, text, options) = (self.handle.clone(), program.text.clone(), options.encode());
        let compiled = thread::limited(&doing, limit, move || handle.compile(&text, &options))?;
        Ok(Compiled::new(program.name.clone(), compiled.map_err(|failure| failure.during(doing))?))
    }
}

/// An error of a call that does not fit.
fn call_error(message: String) -> Error {
    Error::Call(message)
}
