//! Compiled programs.

use std::sync::Arc;

use super::raw::{CompiledHandle, LoadedHandle, MemoryNumbers, Value};
use super::thread::Worker;
use super::{Buffer, Device, Limits, call_error};
use crate::Program;
use crate::element::Shape;
use crate::error::Result;
use crate::program::Argument;

/// A compiled program apart from running it.
#[derive(Debug)]
pub struct Compiled {
    handle: CompiledHandle,
    name: String,
}

impl Compiled {
    pub(super) fn new(name: String, handle: CompiledHandle) -> Self {
        Self { handle, name }
    }

    fn ask<T>(&self, what: &str, outcome: std::result::Result<T, super::raw::Failure>) -> Result<T> {
        outcome.map_err(|failure| failure.during(format!("{}: {what}", self.name)))
    }

    /// The memory that it needs on each device.
    ///
    /// # Errors
    /// The plugin's own, as of all functions here: not all plugins tell everything.
    pub fn memory(&self) -> Result<MemoryNumbers> {
        self.ask("planned memory", self.handle.memory())
    }

    /// XLA's estimates: `flops`, `bytes accessed` and others.
    ///
    /// # Errors
    /// As [`Compiled::memory`].
    pub fn cost(&self) -> Result<Vec<(String, Value)>> {
        self.ask("cost", self.handle.cost())
    }

    /// What XLA calls this compilation; equal for equal inputs.
    ///
    /// # Errors
    /// As [`Compiled::memory`].
    pub fn fingerprint(&self) -> Result<String> {
        self.ask("fingerprint", self.handle.fingerprint())
    }

    /// The form that [`Client::load`](super::Client::load) takes, for the same version of the plugin on the same kind
    /// of device.
    ///
    /// # Errors
    /// As [`Compiled::memory`].
    pub fn serialize(&self) -> Result<Vec<u8>> {
        self.ask("serialising", self.handle.serialize())
    }

    /// The program after XLA's passes, and its format: `hlo` or `hlo_with_config` (protobuf messages), or `mlir`.
    ///
    /// # Errors
    /// As [`Compiled::memory`].
    pub fn optimized(&self) -> Result<(String, Vec<u8>)> {
        self.ask("program after optimisation", self.handle.optimized())
    }

    /// The outputs' shapes, in order.
    ///
    /// # Errors
    /// As [`Compiled::memory`].
    pub fn outputs(&self) -> Result<Vec<Shape>> {
        self.ask("outputs", self.handle.outputs())
    }
}

/// A program on a client's devices.
#[derive(Debug)]
pub struct Executable {
    handle: Arc<LoadedHandle>,
    worker: Arc<Worker>,
    compiled: Compiled,
    name: String,
    arguments: Option<Vec<Argument>>,
    outputs: Vec<Shape>,
    devices: Vec<Device>,
    limits: Limits,
}

impl Executable {
    pub(super) fn new(handle: LoadedHandle, program: &Program, worker: Arc<Worker>, limits: Limits) -> Result<Self> {
        let name = program.name.clone();
        let compiled = handle.compiled().map_err(|failure| failure.during(name.clone()))?;
        let compiled = Compiled::new(name.clone(), compiled);
        let outputs = compiled.outputs()?;
        if outputs.len() != handle.output_count() {
            return Err(call_error(format!(
                "{name}: the plugin tells {} outputs, but the shapes of {}",
                handle.output_count(),
                outputs.len()
            )));
        }
        let devices = handle.devices().map_err(|failure| failure.during(name.clone()))?;
        let devices = devices.into_iter().map(Device::new).collect::<Result<Vec<_>>>()?;
        Ok(Self { handle: Arc::new(handle), worker, compiled, name, arguments: program.arguments.clone(), outputs, devices, limits })
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What can be asked of it apart from running it.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }

    /// The devices that it runs on: for each replica its partitions.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The outputs' shapes on each device.
    pub fn outputs(&self) -> &[Shape] {
        &self.outputs
    }

    /// Starts it on its one device.
    ///
    /// # Errors
    /// As [`Executable::execute_on_all`].
    pub fn execute(&self, arguments: &[&Buffer]) -> Result<Vec<Buffer>> {
        let mut outputs = self.execute_on_all(&[arguments])?;
        Ok(outputs.pop().unwrap_or_default())
    }

    /// Starts it on all its devices, with a list of arguments for each, in the order of [`Executable::devices`];
    /// gives the outputs of each. It returns when the work is under way (or done, where the plugin runs a program
    /// inside the call); errors of the devices show when an output is read or waited for.
    ///
    /// Arguments that the program donates (`tf.aliasing_output`, `jax.buffer_donor`) are gone afterwards, and using
    /// them is an error that says so.
    ///
    /// # Errors
    /// [`Error::Call`](crate::Error::Call) where the lists don't fit the devices, or an argument its description or
    /// its client, or where its memory is gone; the plugin's own; [`Error::Timeout`](crate::Error::Timeout).
    pub fn execute_on_all(&self, arguments: &[&[&Buffer]]) -> Result<Vec<Vec<Buffer>>> {
        self.check(arguments)?;
        let buffers: Vec<Vec<_>> = arguments.iter().map(|list| list.iter().map(|buffer| buffer.handle.clone()).collect()).collect();
        let (doing, handle) = (format!("running {}", self.name), self.handle.clone());
        let run = move || {
            let lists: Vec<Vec<_>> = buffers.iter().map(|list| list.iter().map(AsRef::as_ref).collect()).collect();
            handle.execute(&lists)
        };
        let outputs = self.worker.limited(&doing, self.limits.result, run).inspect_err(|_| self.handle.client().abandon())?;
        let outputs = outputs.map_err(|failure| failure.during(doing))?;
        for buffer in arguments.iter().flat_map(|list| list.iter()) {
            if buffer.is_deleted()? {
                buffer.donated(&self.name);
            }
        }
        let several = outputs.len() > 1;
        let own = |(device, list): (usize, Vec<_>)| {
            let place = if several { format!(" on device {}", self.devices[device].description().id) } else { String::new() };
            let with_shapes = list.into_iter().zip(&self.outputs).enumerate();
            let named = with_shapes.map(|(index, (handle, shape))| {
                Buffer::new(handle, format!("output {index} of {}{place}", self.name), shape.clone(), self.limits)
            });
            named.collect()
        };
        Ok(outputs.into_iter().enumerate().map(own).collect())
    }

    fn check(&self, arguments: &[&[&Buffer]]) -> Result<()> {
        let name = &self.name;
        if arguments.len() != self.devices.len() {
            let message = format!("{name}: runs on {} devices, but has arguments for {}", self.devices.len(), arguments.len());
            return Err(call_error(message));
        }
        for list in arguments {
            let expected = self.arguments.as_ref().map_or(arguments[0].len(), Vec::len);
            if list.len() != expected {
                return Err(call_error(format!("{name}: takes {expected} arguments, not {}", list.len())));
            }
            for (index, buffer) in list.iter().enumerate() {
                if !Arc::ptr_eq(buffer.handle.client(), self.handle.client()) {
                    return Err(call_error(format!("{name}: argument {index} ({}) is another client's", buffer.name())));
                }
                if let Some(argument) = self.arguments.as_ref().map(|arguments| &arguments[index])
                    && argument.shape != *buffer.shape()
                {
                    let (wanted, found) = (&argument.shape, buffer.shape());
                    return Err(call_error(format!(
                        "{name}: argument {index} ({}) is {wanted}, not {found} ({})",
                        argument.name,
                        buffer.name()
                    )));
                }
                buffer.check_alive().map_err(|error| call_error(format!("{name}: argument {index}: {error}")))?;
            }
        }
        Ok(())
    }
}
