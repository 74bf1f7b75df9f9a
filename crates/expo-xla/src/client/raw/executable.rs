//! Compiled programs: for a client's devices, or for devices that are only described.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

use super::api::{Api, Failure, Outcome, Value, list, named_values, text};
use super::ffi::{self, Function, Object};
use super::objects::{BufferHandle, ClientHandle, DeviceHandle, non_null, text_of};
use super::topology::TopologyHandle;
use crate::element::{ElementType, Shape};
use crate::error::Code;

/// Bytes that XLA has planned for a program, on each device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNumbers {
    /// The code.
    pub generated_code: i64,
    /// All arguments.
    pub arguments: i64,
    /// All outputs.
    pub outputs: i64,
    /// Outputs that lie in donated arguments' memory.
    pub aliased: i64,
    /// Everything between.
    pub temporary: i64,
    /// The most at any time, arguments and outputs included; 0 where the plugin does not say.
    pub peak: i64,
}

/// What must outlive a compiled program.
#[derive(Debug, Clone)]
enum Keeper {
    Client(Arc<ClientHandle>),
    Topology(Arc<TopologyHandle>),
}

/// A compiled program: what can be asked of it, and its serialised form.
#[derive(Debug)]
pub struct CompiledHandle {
    keeper: Keeper,
    executable: NonNull<c_void>,
}

// SAFETY: a compiled program does not change; XLA guards what it computes late.
unsafe impl Send for CompiledHandle {}
// SAFETY: as above.
unsafe impl Sync for CompiledHandle {}

impl CompiledHandle {
    /// # Safety
    /// `executable` is a live one that nobody else frees.
    pub unsafe fn of_topology(topology: Arc<TopologyHandle>, executable: NonNull<c_void>) -> Self {
        Self { keeper: Keeper::Topology(topology), executable }
    }

    fn api(&self) -> Api {
        match &self.keeper {
            Keeper::Client(client) => client.api(),
            Keeper::Topology(topology) => topology.api(),
        }
    }

    fn object(&self) -> Object {
        self.executable.as_ptr()
    }

    /// The plugin's own form, for [`ClientHandle::load`] of the same version on the same kind of device.
    pub fn serialize(&self) -> Outcome<Vec<u8>> {
        let mut arguments = ffi::ExecutableSerialize::new();
        arguments.executable = self.object();
        // SAFETY: a live executable.
        unsafe { self.api().call(&mut arguments) }?;
        // SAFETY: the bytes live until the deleter is called, once, with what backs them.
        unsafe {
            let bytes = list(arguments.bytes, arguments.size).to_vec();
            if let Some(deleter) = arguments.deleter {
                deleter(arguments.backing);
            }
            Ok(bytes)
        }
    }

    /// What XLA calls this compilation; equal for equal inputs.
    pub fn fingerprint(&self) -> Outcome<String> {
        text_of!(self.api(), ExecutableFingerprint, executable, self.object())
    }

    /// The memory that it needs.
    pub fn memory(&self) -> Outcome<MemoryNumbers> {
        let mut arguments = ffi::ExecutableGetCompiledMemoryStats::new();
        arguments.executable = self.object();
        // SAFETY: a live executable.
        unsafe { self.api().call(&mut arguments) }?;
        Ok(MemoryNumbers {
            generated_code: arguments.generated_code,
            arguments: arguments.arguments,
            outputs: arguments.outputs,
            aliased: arguments.aliased,
            temporary: arguments.temporary,
            peak: arguments.peak,
        })
    }

    /// XLA's estimates: `flops`, `bytes accessed` and others.
    pub fn cost(&self) -> Outcome<Vec<(String, Value)>> {
        let mut arguments = ffi::ExecutableGetCostAnalysis::new();
        arguments.executable = self.object();
        // SAFETY: a live executable; the properties live as long and are copied here.
        unsafe {
            self.api().call(&mut arguments)?;
            Ok(named_values(arguments.properties, arguments.count))
        }
    }

    /// The program after XLA's passes, and its format: `hlo` or `hlo_with_config` (protobuf messages), or `mlir`.
    pub fn optimized(&self) -> Outcome<(String, Vec<u8>)> {
        let mut program = ffi::ProgramCode::new();
        let mut arguments = ffi::ExecutableOptimizedProgram::new();
        (arguments.executable, arguments.program) = (self.object(), &raw mut program);
        // SAFETY: a live executable; without code the call tells its size.
        unsafe { self.api().call(&mut arguments) }?;
        let mut code = vec![0u8; program.code_size];
        program.code = code.as_mut_ptr().cast();
        arguments.program = &raw mut program;
        // SAFETY: `code` has the size that was asked for.
        unsafe { self.api().call(&mut arguments) }?;
        // SAFETY: the format's name is a constant of the plugin's.
        Ok((unsafe { text(program.format, program.format_size) }, code))
    }

    /// The outputs' shapes, in order.
    pub fn outputs(&self) -> Outcome<Vec<Shape>> {
        let (mut types, mut dimensions) = (ffi::ExecutableOutputElementTypes::new(), ffi::ExecutableOutputDimensions::new());
        (types.executable, dimensions.executable) = (self.object(), self.object());
        // SAFETY: a live executable; the lists live as long. There are as many dimensions as the ranks add up to.
        unsafe {
            self.api().call(&mut types)?;
            self.api().call(&mut dimensions)?;
            let ranks = list(dimensions.ranks, dimensions.count);
            shapes(list(types.types, types.count), ranks, list(dimensions.dimensions, ranks.iter().sum()))
        }
    }
}

impl Drop for CompiledHandle {
    fn drop(&mut self) {
        let mut arguments = ffi::ExecutableDestroy::new();
        arguments.executable = self.object();
        // SAFETY: its one owner gives it up.
        let _ = unsafe { self.api().call(&mut arguments) };
    }
}

/// A compiled program on a client's devices.
#[derive(Debug)]
pub struct LoadedHandle {
    client: Arc<ClientHandle>,
    loaded: NonNull<c_void>,
    output_count: usize,
    device_count: usize,
}

// SAFETY: XLA's executables are made to be run by many threads at once.
unsafe impl Send for LoadedHandle {}
// SAFETY: as above.
unsafe impl Sync for LoadedHandle {}

impl LoadedHandle {
    /// # Safety
    /// `loaded` is a live one of `client`'s that nobody else frees.
    pub unsafe fn new(client: Arc<ClientHandle>, loaded: NonNull<c_void>) -> Outcome<Self> {
        let mut handle = Self { client, loaded, output_count: 0, device_count: 0 };
        let compiled = handle.compiled()?;
        let mut arguments = ffi::ExecutableNumOutputs::new();
        arguments.executable = compiled.object();
        // SAFETY: a live executable.
        unsafe { handle.client.api().call(&mut arguments) }?;
        handle.output_count = arguments.count;
        handle.device_count = handle.devices()?.len();
        Ok(handle)
    }

    pub fn client(&self) -> &Arc<ClientHandle> {
        &self.client
    }

    /// Outputs on each device.
    pub fn output_count(&self) -> usize {
        self.output_count
    }

    /// What can be asked of the program apart from running it.
    pub fn compiled(&self) -> Outcome<CompiledHandle> {
        let mut arguments = ffi::LoadedExecutableGetExecutable::new();
        arguments.loaded = self.loaded.as_ptr();
        // SAFETY: a live loaded executable.
        unsafe { self.client.api().call(&mut arguments) }?;
        let executable = non_null(arguments.executable, Function::LoadedExecutable_GetExecutable)?;
        Ok(CompiledHandle { keeper: Keeper::Client(self.client.clone()), executable })
    }

    /// The devices that it runs on, in the order of replicas and partitions.
    pub fn devices(&self) -> Outcome<Vec<DeviceHandle>> {
        let mut arguments = ffi::LoadedExecutableAddressableDevices::new();
        arguments.executable = self.loaded.as_ptr();
        // SAFETY: a live loaded executable; the list lives as long, the devices as long as the client.
        unsafe {
            self.client.api().call(&mut arguments)?;
            let devices = list(arguments.devices, arguments.count);
            devices
                .iter()
                .map(|&device| DeviceHandle::from_list(&self.client, device, Function::LoadedExecutable_AddressableDevices))
                .collect()
        }
    }

    /// Starts it with `arguments[device][argument]`; the outputs, `[device][output]`, come as the devices finish them.
    ///
    /// # Panics
    /// If there are not as many lists as devices, if they differ in length, or if a buffer is another client's:
    /// callers check that and say it better.
    pub fn execute(&self, arguments: &[Vec<&BufferHandle>]) -> Outcome<Vec<Vec<BufferHandle>>> {
        assert_eq!(arguments.len(), self.device_count, "a list of arguments for each device");
        let argument_count = arguments.first().map_or(0, Vec::len);
        assert!(arguments.iter().all(|list| list.len() == argument_count), "lists of one length");
        assert!(arguments.iter().flatten().all(|buffer| Arc::ptr_eq(buffer.client(), &self.client)), "buffers of this client");
        let inputs: Vec<Vec<Object>> = arguments.iter().map(|list| list.iter().map(|buffer| buffer.object()).collect()).collect();
        let input_lists: Vec<*const Object> = inputs.iter().map(Vec::as_ptr).collect();
        let mut outputs = vec![vec![std::ptr::null_mut(); self.output_count]; self.device_count];
        let output_lists: Vec<*mut Object> = outputs.iter_mut().map(Vec::as_mut_ptr).collect();
        let mut options = ffi::ExecuteOptions::new();
        let mut call = ffi::LoadedExecutableExecute::new();
        (call.executable, call.options) = (self.loaded.as_ptr(), &raw mut options);
        (call.arguments, call.device_count, call.argument_count) = (input_lists.as_ptr(), self.device_count, argument_count);
        call.outputs = output_lists.as_ptr();
        // SAFETY: a live executable, live buffers of its client in lists of the lengths that are told, and room for
        // its outputs on each device; all lists live through the call.
        let outcome = unsafe { self.client.api().call(&mut call) };
        // What was made before a failure is freed with its handle.
        let own = |list: Vec<Object>| -> Vec<BufferHandle> {
            // SAFETY: just made, and nobody else has them.
            list.into_iter().filter_map(NonNull::new).map(|buffer| unsafe { BufferHandle::new(self.client.clone(), buffer) }).collect()
        };
        let outputs: Vec<Vec<BufferHandle>> = outputs.into_iter().map(own).collect();
        outcome?;
        match outputs.iter().all(|list| list.len() == self.output_count) {
            true => Ok(outputs),
            false => Err(non_null(std::ptr::null_mut(), Function::LoadedExecutable_Execute).map(drop).expect_err("null")),
        }
    }
}

impl Drop for LoadedHandle {
    fn drop(&mut self) {
        let mut arguments = ffi::LoadedExecutableDestroy::new();
        arguments.executable = self.loaded.as_ptr();
        // SAFETY: its one owner gives it up; XLA keeps what running work needs.
        let _ = unsafe { self.client.api().call(&mut arguments) };
    }
}

/// The element types and dimensions of outputs; a type that the crate does not know is an error.
fn shapes(types: &[i32], ranks: &[usize], dimensions: &[i64]) -> Outcome<Vec<Shape>> {
    let invalid = |message: String| Failure::Xla { code: Code::from_number(12), message };
    let mut rest = dimensions;
    let mut shapes = Vec::with_capacity(types.len());
    for (index, (&code, &rank)) in types.iter().zip(ranks).enumerate() {
        let element: ElementType = super::element_type(code)
            .ok_or_else(|| invalid(format!("output {index} has PJRT's element type {code}, which this program does not know")))?;
        let (own, others) =
            rest.split_at_checked(rank).ok_or_else(|| invalid("the plugin tells fewer dimensions than its outputs have".to_owned()))?;
        rest = others;
        let sizes: Option<Vec<usize>> = own.iter().map(|&size| usize::try_from(size).ok()).collect();
        let dimensions =
            sizes.ok_or_else(|| invalid(format!("output {index} has dimensions {own:?}; only sizes known beforehand are supported")))?;
        shapes.push(Shape { element, dimensions });
    }
    Ok(shapes)
}
