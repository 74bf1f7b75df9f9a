//! Clients, devices and buffers: handles that own what the plugin made.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::api::{Api, Failure, Outcome, Value, list, named_values, text, to_named};
use super::event::{Event, Pending};
use super::executable::LoadedHandle;
use super::ffi::{self, Object, semantics};
use super::{buffer_type, ffi::Function};
use crate::element::Shape;
use crate::error::Code;

/// A plugin that reports success and gives nothing.
fn nothing(function: Function) -> Failure {
    Failure::Xla { code: Code::from_number(13), message: format!("{} reports success but gives nothing", function.name()) }
}

/// The pointer as a handle, unless it is null.
pub fn non_null(object: Object, function: Function) -> Outcome<NonNull<c_void>> {
    NonNull::new(object).ok_or_else(|| nothing(function))
}

/// Asks for a text of an object's: arguments type, field of the object.
macro_rules! text_of {
    ($api:expr, $arguments:ident, $field:ident, $object:expr) => {{
        let mut arguments = ffi::$arguments::new();
        arguments.$field = $object;
        // SAFETY: a live object; the text lives as long as it and is copied here.
        unsafe { $api.call(&mut arguments).map(|()| text(arguments.text, arguments.text_size)) }
    }};
}
pub(super) use text_of;

/// A client. Everything that it made holds it.
#[derive(Debug)]
pub struct ClientHandle {
    api: Api,
    client: NonNull<c_void>,
    abandoned: AtomicBool,
}

// SAFETY: XLA's clients are made to be used by many threads at once (jaxlib does, without Python's lock); what is
// kept here beside the pointer is atomic or constant.
unsafe impl Send for ClientHandle {}
// SAFETY: as above.
unsafe impl Sync for ClientHandle {}

impl ClientHandle {
    /// Makes a client with the plugin's own `options`.
    pub fn create<N: AsRef<str>>(api: Api, options: &[(N, Value)]) -> Outcome<Arc<Self>> {
        let named = to_named(options);
        let mut arguments = ffi::ClientCreate::new();
        (arguments.options, arguments.option_count) = (named.as_ptr(), named.len());
        // SAFETY: the options live through the call.
        unsafe { api.call(&mut arguments) }?;
        let client = non_null(arguments.client, Function::Client_Create)?;
        Ok(Arc::new(Self { api, client, abandoned: AtomicBool::new(false) }))
    }

    pub fn api(&self) -> Api {
        self.api
    }

    pub fn object(&self) -> Object {
        self.client.as_ptr()
    }

    /// Work on it may never end: it won't be destroyed, since that would wait for the work or pull its memory away.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
    }

    /// What the plugin calls its kind of devices, `cpu` or `cuda` say.
    pub fn platform(&self) -> Outcome<String> {
        text_of!(self.api, ClientPlatformName, client, self.object())
    }

    /// The version of what is beneath, CUDA's say.
    pub fn platform_version(&self) -> Outcome<String> {
        text_of!(self.api, ClientPlatformVersion, client, self.object())
    }

    /// The devices that this process can use.
    pub fn devices(self: &Arc<Self>) -> Outcome<Vec<DeviceHandle>> {
        let mut arguments = ffi::ClientAddressableDevices::new();
        arguments.client = self.object();
        // SAFETY: a live client.
        unsafe { self.api.call(&mut arguments) }?;
        // SAFETY: the list is the client's and lives as long.
        let devices = unsafe { list(arguments.devices, arguments.count) };
        let handle =
            |&device: &Object| Ok(DeviceHandle { client: self.clone(), device: non_null(device, Function::Client_AddressableDevices)? });
        devices.iter().map(handle).collect()
    }

    /// Compiles StableHLO text (`options`: a serialised `CompileOptionsProto`).
    pub fn compile(self: &Arc<Self>, code: &str, options: &[u8]) -> Outcome<LoadedHandle> {
        let program = program(code);
        let mut arguments = ffi::ClientCompile::new();
        (arguments.client, arguments.program) = (self.object(), &raw const program);
        (arguments.options, arguments.options_size) = (options.as_ptr().cast(), options.len());
        // SAFETY: a live client; text and options live through the call, and the text is only read.
        unsafe { self.api.call(&mut arguments) }?;
        let loaded = non_null(arguments.executable, Function::Client_Compile)?;
        // SAFETY: just made, and nobody else has it.
        unsafe { LoadedHandle::new(self.clone(), loaded) }
    }

    /// Loads what [`CompiledHandle::serialize`] gave.
    pub fn load(self: &Arc<Self>, bytes: &[u8]) -> Outcome<LoadedHandle> {
        let mut arguments = ffi::ExecutableDeserializeAndLoad::new();
        (arguments.client, arguments.bytes, arguments.size) = (self.object(), bytes.as_ptr(), bytes.len());
        // SAFETY: a live client; the bytes live through the call.
        unsafe { self.api.call(&mut arguments) }?;
        let loaded = non_null(arguments.executable, Function::Executable_DeserializeAndLoad)?;
        // SAFETY: just made, and nobody else has it.
        unsafe { LoadedHandle::new(self.clone(), loaded) }
    }

    /// A buffer on `device` with a copy of `data`, made before this returns; row-major.
    ///
    /// # Panics
    /// If `data` is not as long as `shape` says or `device` is another client's: callers check both and say it better.
    pub fn copy_from(self: &Arc<Self>, data: &[u8], shape: &Shape, device: &DeviceHandle) -> Outcome<BufferHandle> {
        let (buffer, event) = self.transfer(data, shape, device, semantics::IMMUTABLE_ONLY_DURING_CALL)?;
        drop(event);
        Ok(buffer)
    }

    /// A buffer on `device` with the contents of `data`, which is kept until they have been copied. Whoever uses the
    /// buffer waits for that.
    ///
    /// # Panics
    /// As [`ClientHandle::copy_from`].
    pub fn take_from<T: bytemuck::NoUninit + Send>(
        self: &Arc<Self>,
        data: Vec<T>,
        shape: &Shape,
        device: &DeviceHandle,
    ) -> Outcome<(BufferHandle, Pending<Vec<T>>)> {
        let (buffer, event) = self.transfer(bytemuck::cast_slice(&data), shape, device, semantics::IMMUTABLE_UNTIL_TRANSFER_COMPLETES)?;
        // The vector's memory stays where it is when the vector is moved.
        Ok((buffer, event.keeping(data)?))
    }

    fn transfer(self: &Arc<Self>, data: &[u8], shape: &Shape, device: &DeviceHandle, semantics: i32) -> Outcome<(BufferHandle, Event)> {
        assert!(std::ptr::eq(Arc::as_ptr(&device.client), Arc::as_ptr(self)), "a device of another client");
        let size = shape.elements().and_then(|elements| elements.checked_mul(shape.element.size()));
        assert_eq!(size, Some(data.len()), "bytes of {shape}");
        let dimensions: Vec<i64> = shape.dimensions.iter().map(|&size| size as i64).collect();
        let mut arguments = ffi::BufferFromHostBuffer::new();
        (arguments.client, arguments.device) = (self.object(), device.device.as_ptr());
        (arguments.data, arguments.element) = (data.as_ptr().cast(), buffer_type(shape.element));
        (arguments.dimensions, arguments.dimension_count) = (dimensions.as_ptr(), dimensions.len());
        arguments.semantics = semantics;
        // SAFETY: a live client and one of its devices; dimensions live through the call, and `data` holds as many
        // bytes as they say: through the call, or until the event, by the caller.
        unsafe { self.api.call(&mut arguments) }?;
        // SAFETY: just made, and nobody else has it.
        let event = unsafe { Event::new(self.clone(), arguments.done_with_host_buffer) };
        let buffer = non_null(arguments.buffer, Function::Client_BufferFromHostBuffer)?;
        Ok((BufferHandle { client: self.clone(), buffer }, event))
    }
}

impl Drop for ClientHandle {
    fn drop(&mut self) {
        if self.abandoned.load(Ordering::Acquire) {
            return;
        }
        let mut arguments = ffi::ClientDestroy::new();
        arguments.client = self.object();
        // SAFETY: all that was made of it held it, so it is the last. An error here has nobody to be told.
        let _ = unsafe { self.api.call(&mut arguments) };
    }
}

/// StableHLO text as the C API has it.
pub fn program(code: &str) -> ffi::ProgramCode {
    let mut program = ffi::ProgramCode::new();
    (program.code, program.code_size) = (code.as_ptr().cast_mut().cast(), code.len());
    (program.format, program.format_size) = (c"mlir".as_ptr(), 4);
    program
}

/// One of a client's devices.
#[derive(Debug, Clone)]
pub struct DeviceHandle {
    client: Arc<ClientHandle>,
    device: NonNull<c_void>,
}

// SAFETY: a device lives as long as its client, and only constant facts and XLA's own guarded counters are asked of it.
unsafe impl Send for DeviceHandle {}
// SAFETY: as above.
unsafe impl Sync for DeviceHandle {}

/// What a device's allocator tells, in bytes. `None`: the plugin does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// In use now.
    pub in_use: i64,
    /// The most that was in use.
    pub peak: Option<i64>,
    /// How much may be used.
    pub limit: Option<i64>,
    /// The largest block that is free.
    pub largest_free_block: Option<i64>,
    /// Held by the allocator, in use or not.
    pub pool: Option<i64>,
}

impl DeviceHandle {
    pub fn client(&self) -> &Arc<ClientHandle> {
        &self.client
    }

    /// The same object of the plugin's.
    pub fn is(&self, other: &Self) -> bool {
        self.device == other.device
    }

    pub(super) fn from_list(client: &Arc<ClientHandle>, device: Object, function: Function) -> Outcome<Self> {
        Ok(Self { client: client.clone(), device: non_null(device, function)? })
    }

    /// Its number, kind and attributes.
    pub fn describe(&self) -> Outcome<Description> {
        let mut arguments = ffi::DeviceGetDescription::new();
        arguments.device = self.device.as_ptr();
        // SAFETY: a live device.
        unsafe { self.client.api.call(&mut arguments) }?;
        // SAFETY: the description lives as long as the device.
        unsafe { describe(self.client.api, arguments.description) }
    }

    /// What its allocator tells.
    pub fn memory(&self) -> Outcome<DeviceMemory> {
        let mut arguments = ffi::DeviceMemoryStats::new();
        arguments.device = self.device.as_ptr();
        // SAFETY: a live device.
        unsafe { self.client.api.call(&mut arguments) }?;
        Ok(DeviceMemory {
            in_use: arguments.bytes_in_use,
            peak: arguments.peak_bytes_in_use_is_set.then_some(arguments.peak_bytes_in_use),
            limit: arguments.bytes_limit_is_set.then_some(arguments.bytes_limit),
            largest_free_block: arguments.largest_free_block_is_set.then_some(arguments.largest_free_block),
            pool: arguments.pool_bytes_is_set.then_some(arguments.pool_bytes),
        })
    }
}

/// What is known of a device, present or described.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// Its number, unique among the devices of its kind.
    pub id: i32,
    /// Its kind: `NVIDIA H100 80GB HBM3`, `cpu`.
    pub kind: String,
    /// The plugin's longer description.
    pub details: String,
    /// What else the plugin tells.
    pub attributes: Vec<(String, Value)>,
}

/// # Safety
/// `description` is null or one of `api`'s that lives.
pub unsafe fn describe(api: Api, description: Object) -> Outcome<Description> {
    let description = non_null(description, Function::Device_GetDescription)?.as_ptr();
    let (mut id, mut attributes) = (ffi::DescriptionId::new(), ffi::DescriptionAttributes::new());
    (id.description, attributes.description) = (description, description);
    // SAFETY: the caller's promise; attributes live as long as the description and are copied here.
    let attributes = unsafe {
        api.call(&mut id)?;
        api.call(&mut attributes).map(|()| named_values(attributes.attributes, attributes.count))
    };
    Ok(Description {
        id: id.id,
        kind: text_of!(api, DescriptionKind, description, description)?,
        details: text_of!(api, DescriptionDebugString, description, description).unwrap_or_default(),
        attributes: attributes.unwrap_or_default(),
    })
}

/// An array on a device. Dropping it frees its memory as soon as the work that uses it is done.
#[derive(Debug)]
pub struct BufferHandle {
    client: Arc<ClientHandle>,
    buffer: NonNull<c_void>,
}

// SAFETY: XLA counts and guards who uses a buffer, across threads and devices.
unsafe impl Send for BufferHandle {}
// SAFETY: as above.
unsafe impl Sync for BufferHandle {}

impl BufferHandle {
    /// # Safety
    /// `buffer` is a live one of `client`'s that nobody else frees.
    pub unsafe fn new(client: Arc<ClientHandle>, buffer: NonNull<c_void>) -> Self {
        Self { client, buffer }
    }

    pub fn client(&self) -> &Arc<ClientHandle> {
        &self.client
    }

    pub fn object(&self) -> Object {
        self.buffer.as_ptr()
    }

    /// Whether its memory was given up or away.
    pub fn is_deleted(&self) -> Outcome<bool> {
        let mut arguments = ffi::BufferIsDeleted::new();
        arguments.buffer = self.object();
        // SAFETY: a live buffer.
        unsafe { self.client.api.call(&mut arguments) }?;
        Ok(arguments.is_deleted)
    }

    /// When its contents are there.
    pub fn ready(&self) -> Outcome<Event> {
        let mut arguments = ffi::BufferReadyEvent::new();
        arguments.buffer = self.object();
        // SAFETY: a live buffer.
        unsafe { self.client.api.call(&mut arguments) }?;
        // SAFETY: just made, and nobody else has it.
        Ok(unsafe { Event::new(self.client.clone(), arguments.event) })
    }

    /// Begins to copy its contents, `shape`, into `into`, row-major.
    ///
    /// # Panics
    /// If `into` is not as long as `shape` says.
    pub fn copy_to<T: bytemuck::Pod + Send>(&self, shape: &Shape, mut into: Vec<T>) -> Outcome<Pending<Vec<T>>> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut into);
        let size = shape.elements().and_then(|elements| elements.checked_mul(shape.element.size()));
        assert_eq!(size, Some(bytes.len()), "bytes of {shape}");
        let minor_to_major: Vec<i64> = (0..shape.dimensions.len() as i64).rev().collect();
        let mut layout = ffi::MemoryLayout::new();
        layout.tiled = ffi::TiledLayout::new();
        (layout.tiled.minor_to_major, layout.tiled.minor_to_major_size) = (minor_to_major.as_ptr(), minor_to_major.len());
        let mut arguments = ffi::BufferToHostBuffer::new();
        (arguments.buffer, arguments.layout) = (self.object(), &raw const layout);
        // A null destination would ask for the size; an empty vector's pointer is dangling, not null.
        (arguments.destination, arguments.size) = (bytes.as_mut_ptr().cast(), bytes.len());
        // SAFETY: a live buffer; the layout lives through the call; the destination has the size that is told, and
        // lives until the event: it is kept below.
        unsafe { self.client.api.call(&mut arguments) }?;
        // SAFETY: just made, and nobody else has it.
        unsafe { Event::new(self.client.clone(), arguments.event) }.keeping(into)
    }
}

impl Drop for BufferHandle {
    fn drop(&mut self) {
        let mut arguments = ffi::BufferDestroy::new();
        arguments.buffer = self.object();
        // SAFETY: its one owner gives it up; XLA frees the memory when work under way no longer needs it.
        let _ = unsafe { self.client.api.call(&mut arguments) };
    }
}
