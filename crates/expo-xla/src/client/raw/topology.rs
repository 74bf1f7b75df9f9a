//! Devices that are described, to compile for without having them.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use super::api::{Api, Outcome, Value, list, text, to_named};
use super::executable::CompiledHandle;
use super::ffi::{self, Function};
use super::objects::{Description, describe, non_null, program, text_of};

/// Devices that are described, present or not.
#[derive(Debug)]
pub struct TopologyHandle {
    api: Api,
    topology: NonNull<c_void>,
}

// SAFETY: a description that does not change.
unsafe impl Send for TopologyHandle {}
// SAFETY: as above.
unsafe impl Sync for TopologyHandle {}

impl TopologyHandle {
    /// Describes devices by the plugin's own `options`.
    pub fn create<N: AsRef<str>>(api: Api, name: &str, options: &[(N, Value)]) -> Outcome<Arc<Self>> {
        let named = to_named(options);
        let mut arguments = ffi::TopologyCreate::new();
        (arguments.name, arguments.name_size) = (name.as_ptr().cast(), name.len());
        (arguments.options, arguments.option_count) = (named.as_ptr(), named.len());
        // SAFETY: name and options live through the call.
        unsafe { api.call(&mut arguments) }?;
        let topology = non_null(arguments.topology, Function::TopologyDescription_Create)?;
        Ok(Arc::new(Self { api, topology }))
    }

    pub fn api(&self) -> Api {
        self.api
    }

    /// What the plugin calls its kind of devices.
    pub fn platform(&self) -> Outcome<String> {
        text_of!(self.api, TopologyPlatformName, topology, self.topology.as_ptr())
    }

    /// The version of what is beneath.
    pub fn platform_version(&self) -> Outcome<String> {
        text_of!(self.api, TopologyPlatformVersion, topology, self.topology.as_ptr())
    }

    /// The devices.
    pub fn devices(&self) -> Outcome<Vec<Description>> {
        let mut arguments = ffi::TopologyDescriptions::new();
        arguments.topology = self.topology.as_ptr();
        // SAFETY: a live topology.
        unsafe { self.api.call(&mut arguments) }?;
        // SAFETY: the list and what is in it live as long as the topology.
        unsafe { list(arguments.descriptions, arguments.count).iter().map(|&description| describe(self.api, description)).collect() }
    }

    /// Compiles StableHLO text for them (`options`: a serialised `CompileOptionsProto`).
    pub fn compile(self: &Arc<Self>, code: &str, options: &[u8]) -> Outcome<CompiledHandle> {
        let program = program(code);
        let mut arguments = ffi::CompileForTopology::new();
        (arguments.topology, arguments.program) = (self.topology.as_ptr(), &raw const program);
        (arguments.options, arguments.options_size) = (options.as_ptr().cast(), options.len());
        // SAFETY: a live topology; text and options live through the call, and the text is only read.
        unsafe { self.api.call(&mut arguments) }?;
        let executable = non_null(arguments.executable, Function::Compile)?;
        // SAFETY: just made, and nobody else has it.
        Ok(unsafe { CompiledHandle::of_topology(self.clone(), executable) })
    }
}

impl Drop for TopologyHandle {
    fn drop(&mut self) {
        let mut arguments = ffi::TopologyDestroy::new();
        arguments.topology = self.topology.as_ptr();
        // SAFETY: its one owner gives it up.
        let _ = unsafe { self.api.call(&mut arguments) };
    }
}
