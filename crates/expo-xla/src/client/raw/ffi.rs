//! The PJRT C API as far as it is used, declared after `xla/pjrt/c/pjrt_c_api.h` (major version 0).
//!
//! Every function takes one pointer to a struct of its own, which begins with its size in bytes and a chain of
//! extensions (null here). A plugin that is newer sees from the size which fields its caller knows, one that is older
//! writes only those that it knows: all others keep the zeros that they start with.

use std::ffi::{c_char, c_void};

/// A pointer to an object of the plugin's.
pub type Object = *mut c_void;

/// A function of the table; it returns an error that the caller frees, or null.
pub type Entry = unsafe extern "C" fn(*mut c_void) -> Object;
/// `PJRT_Error_Destroy` and `PJRT_Error_Message`, which return nothing.
pub type ErrorEntry = unsafe extern "C" fn(*mut c_void);

/// What stands before the functions in `PJRT_Api`: its size and extensions, and `PJRT_Api_Version`.
#[repr(C)]
pub struct Header {
    pub struct_size: usize,
    pub extensions: *const c_void,
    pub version_size: usize,
    pub version_extensions: *const c_void,
    pub major: i32,
    pub minor: i32,
}

macro_rules! functions {
    ($($name:ident = $index:literal),* $(,)?) => {
        /// A function's place in the table.
        #[derive(Clone, Copy, Debug)]
        #[allow(non_camel_case_types)]
        pub enum Function { $($name = $index),* }

        /// All of them.
        #[cfg(test)]
        const FUNCTIONS: &[Function] = &[$(Function::$name),*];

        impl Function {
            /// Its name in the C API.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => concat!("PJRT_", stringify!($name))),* }
            }
        }
    };
}

functions! {
    Error_Destroy = 0, Error_Message = 1, Error_GetCode = 2, Plugin_Initialize = 3, Plugin_Attributes = 4,
    Event_Destroy = 5,   Event_OnReady = 9,
    Client_Create = 10, Client_Destroy = 11, Client_PlatformName = 12, Client_PlatformVersion = 14, Client_AddressableDevices = 16,
    Client_Compile = 20, Client_BufferFromHostBuffer = 22,
    DeviceDescription_Id = 23, DeviceDescription_Attributes = 25, DeviceDescription_Kind = 26, DeviceDescription_DebugString = 27,
    Device_GetDescription = 29, Device_MemoryStats = 34,
    Executable_Destroy = 40, Executable_NumOutputs = 44, Executable_GetCostAnalysis = 46, Executable_OptimizedProgram = 48, Executable_Serialize = 49,
    LoadedExecutable_Destroy = 50, LoadedExecutable_GetExecutable = 51, LoadedExecutable_AddressableDevices = 52, LoadedExecutable_Execute = 55,
    Executable_DeserializeAndLoad = 56,
    Buffer_Destroy = 58,  Buffer_IsDeleted = 68, Buffer_ToHostBuffer = 70, Buffer_ReadyEvent = 72,
    TopologyDescription_Create = 82, TopologyDescription_Destroy = 83, TopologyDescription_PlatformName = 84,
    TopologyDescription_PlatformVersion = 85, TopologyDescription_GetDeviceDescriptions = 86, Compile = 89,
    Executable_OutputElementTypes = 90, Executable_OutputDimensions = 91, Executable_Fingerprint = 94, Executable_GetCompiledMemoryStats = 96,
}

/// The one argument of a function.
///
/// # Safety
/// The type is `repr(C)`, declared as the C API's argument of `FUNCTION`, and all zeros are a value of it.
pub unsafe trait Arguments: Sized {
    /// The function that takes it.
    const FUNCTION: Function;
}

macro_rules! arguments {
    ($($function:ident: $name:ident { $($field:ident: $type:ty),* $(,)? })*) => { $(
        #[repr(C)]
        pub struct $name {
            struct_size: usize,
            extensions: *const c_void,
            $(pub $field: $type,)*
        }

        impl $name {
            /// All zeros but for its size: to the end of the last field, as `PJRT_STRUCT_SIZE` has it.
            pub fn new() -> Self {
                #[allow(unused_mut, unused_assignments)]
                let mut end = 2 * size_of::<usize>();
                $(end = std::mem::offset_of!(Self, $field) + size_of::<$type>();)*
                // SAFETY: integers, floats, `bool`, pointers, optional function pointers and structs of these, for
                // which zeros are a value.
                let zeros: Self = unsafe { std::mem::zeroed() };
                Self { struct_size: end, ..zeros }
            }
        }

        arguments!(@impl $function $name);
    )*

        /// For each function the size of its argument.
        #[cfg(test)]
        fn sizes() -> Vec<(&'static str, usize)> {
            [$(arguments!(@size $function $name)),*].into_iter().flatten().collect()
        }
    };
    (@size none $name:ident) => { None };
    (@size $function:ident $name:ident) => { Some((Function::$function.name(), $name::new().struct_size)) };
    (@impl none $name:ident) => {};
    // These two return nothing: `Api::take_error` calls them by their own type.
    (@impl Error_Destroy $name:ident) => {};
    (@impl Error_Message $name:ident) => {};
    (@impl $function:ident $name:ident) => {
        // SAFETY: declared here after the header, field by field.
        unsafe impl Arguments for $name {
            const FUNCTION: Function = Function::$function;
        }
    };
}

/// `PJRT_NamedValue`; `value` is a union of a pointer and numbers of up to 8 bytes.
#[repr(C)]
pub struct NamedValue {
    pub struct_size: usize,
    pub extensions: *const c_void,
    pub name: *const c_char,
    pub name_size: usize,
    pub kind: i32,
    pub value: NamedUnion,
    pub value_size: usize,
}

#[repr(C)]
pub union NamedUnion {
    pub text: *const c_char,
    pub integer: i64,
    pub integers: *const i64,
    pub float: f32,
    pub boolean: bool,
}

/// `PJRT_NamedValue_Type`.
pub mod named {
    pub const STRING: i32 = 0;
    pub const INTEGER: i32 = 1;
    pub const INTEGERS: i32 = 2;
    pub const FLOAT: i32 = 3;
    pub const BOOLEAN: i32 = 4;
}

/// `PJRT_HostBufferSemantics`.
pub mod semantics {
    pub const IMMUTABLE_ONLY_DURING_CALL: i32 = 0;
    pub const IMMUTABLE_UNTIL_TRANSFER_COMPLETES: i32 = 1;
}

/// `PJRT_Event_OnReadyCallback`: an error that the callee has to free, or null, and the caller's pointer.
pub type OnReady = unsafe extern "C" fn(error: Object, user: *mut c_void);
/// Frees what backs serialised bytes.
pub type Deleter = unsafe extern "C" fn(Object);

arguments! {
    Error_Destroy: ErrorDestroy { error: Object }
    Error_Message: ErrorMessage { error: Object, message: *const c_char, message_size: usize }
    Error_GetCode: ErrorGetCode { error: Object, code: i32 }
    Plugin_Initialize: PluginInitialize {}
    Plugin_Attributes: PluginAttributes { attributes: *const NamedValue, count: usize }

    Event_Destroy: EventDestroy { event: Object }
    Event_OnReady: EventOnReady { event: Object, callback: Option<OnReady>, user: *mut c_void }

    Client_Create: ClientCreate {
        options: *const NamedValue, option_count: usize, get: Object, get_user: Object, put: Object, put_user: Object, client: Object,
        try_get: Object, try_get_user: Object,
    }
    Client_Destroy: ClientDestroy { client: Object }
    Client_PlatformName: ClientPlatformName { client: Object, text: *const c_char, text_size: usize }
    Client_PlatformVersion: ClientPlatformVersion { client: Object, text: *const c_char, text_size: usize }
    Client_AddressableDevices: ClientAddressableDevices { client: Object, devices: *const Object, count: usize }
    none: ProgramCode { code: *mut c_char, code_size: usize, format: *const c_char, format_size: usize }
    Client_Compile: ClientCompile { client: Object, program: *const ProgramCode, options: *const c_char, options_size: usize, executable: Object }
    Client_BufferFromHostBuffer: BufferFromHostBuffer {
        client: Object, data: *const c_void, element: i32, dimensions: *const i64, dimension_count: usize, strides: *const i64, stride_count: usize,
        semantics: i32, device: Object, memory: Object, layout: Object, done_with_host_buffer: Object, buffer: Object,
    }

    DeviceDescription_Id: DescriptionId { description: Object, id: i32 }
    DeviceDescription_Attributes: DescriptionAttributes { description: Object, count: usize, attributes: *const NamedValue }
    DeviceDescription_Kind: DescriptionKind { description: Object, text: *const c_char, text_size: usize }
    DeviceDescription_DebugString: DescriptionDebugString { description: Object, text: *const c_char, text_size: usize }
    Device_GetDescription: DeviceGetDescription { device: Object, description: Object }
    Device_MemoryStats: DeviceMemoryStats {
        device: Object, bytes_in_use: i64, peak_bytes_in_use: i64, peak_bytes_in_use_is_set: bool, allocations: i64, allocations_is_set: bool,
        largest_allocation: i64, largest_allocation_is_set: bool, bytes_limit: i64, bytes_limit_is_set: bool, bytes_reserved: i64,
        bytes_reserved_is_set: bool, peak_bytes_reserved: i64, peak_bytes_reserved_is_set: bool, bytes_reservable_limit: i64,
        bytes_reservable_limit_is_set: bool, largest_free_block: i64, largest_free_block_is_set: bool, pool_bytes: i64, pool_bytes_is_set: bool,
        peak_pool_bytes: i64, peak_pool_bytes_is_set: bool,
    }

    Executable_Destroy: ExecutableDestroy { executable: Object }
    Executable_NumOutputs: ExecutableNumOutputs { executable: Object, count: usize }
    Executable_GetCostAnalysis: ExecutableGetCostAnalysis { executable: Object, count: usize, properties: *const NamedValue }
    Executable_OptimizedProgram: ExecutableOptimizedProgram { executable: Object, program: *mut ProgramCode }
    Executable_Serialize: ExecutableSerialize { executable: Object, bytes: *const u8, size: usize, backing: Object, deleter: Option<Deleter> }
    Executable_OutputElementTypes: ExecutableOutputElementTypes { executable: Object, types: *const i32, count: usize }
    Executable_OutputDimensions: ExecutableOutputDimensions { executable: Object, count: usize, dimensions: *const i64, ranks: *const usize }
    Executable_Fingerprint: ExecutableFingerprint { executable: Object, text: *const c_char, text_size: usize }
    // The last four came with versions 0.90 and 0.104; newer plugins refuse the shorter struct.
    Executable_GetCompiledMemoryStats: ExecutableGetCompiledMemoryStats {
        executable: Object, generated_code: i64, arguments: i64, outputs: i64, aliased: i64, temporary: i64, host_generated_code: i64, host_arguments: i64,
        host_outputs: i64, host_aliased: i64, host_temporary: i64, peak: i64, total: i64, total_allocation: i64, indefinite_allocation: i64,
        peak_unpadded_heap: i64,
    }
    Executable_DeserializeAndLoad: ExecutableDeserializeAndLoad {
        client: Object, bytes: *const u8, size: usize, executable: Object, options: *const c_char, options_size: usize,
    }

    LoadedExecutable_Destroy: LoadedExecutableDestroy { executable: Object }
    LoadedExecutable_GetExecutable: LoadedExecutableGetExecutable { loaded: Object, executable: Object }
    LoadedExecutable_AddressableDevices: LoadedExecutableAddressableDevices { executable: Object, devices: *const Object, count: usize }
    none: ExecuteOptions {
        send: Object, receive: Object, send_count: usize, receive_count: usize, launch: i32, not_donated: *const i64, not_donated_count: usize,
        context: Object, call_location: *const c_char, task_count: usize, tasks: *const i32, incarnations: *const i64,
    }
    LoadedExecutable_Execute: LoadedExecutableExecute {
        executable: Object, options: *mut ExecuteOptions, arguments: *const *const Object, device_count: usize, argument_count: usize,
        outputs: *const *mut Object, done: *mut Object, device: Object,
    }

    Buffer_Destroy: BufferDestroy { buffer: Object }
    Buffer_IsDeleted: BufferIsDeleted { buffer: Object, is_deleted: bool }
    none: TiledLayout { minor_to_major: *const i64, minor_to_major_size: usize, tiles: *const i64, tile_sizes: *const usize, tile_count: usize }
    // The header's union of a tiled and a strided layout is as large as the tiled one.
    none: MemoryLayout { tiled: TiledLayout, kind: i32 }
    Buffer_ToHostBuffer: BufferToHostBuffer { buffer: Object, layout: *const MemoryLayout, destination: *mut c_void, size: usize, event: Object }
    Buffer_ReadyEvent: BufferReadyEvent { buffer: Object, event: Object }

    TopologyDescription_Create: TopologyCreate {
        name: *const c_char, name_size: usize, options: *const NamedValue, option_count: usize, topology: Object,
    }
    TopologyDescription_Destroy: TopologyDestroy { topology: Object }
    TopologyDescription_PlatformName: TopologyPlatformName { topology: Object, text: *const c_char, text_size: usize }
    TopologyDescription_PlatformVersion: TopologyPlatformVersion { topology: Object, text: *const c_char, text_size: usize }
    TopologyDescription_GetDeviceDescriptions: TopologyDescriptions { topology: Object, descriptions: *const Object, count: usize }
    Compile: CompileForTopology {
        topology: Object, program: *const ProgramCode, options: *const c_char, options_size: usize, client: Object, executable: Object,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;
    use std::path::PathBuf;
    use std::process::Command;

    /// The C compiler compares the declarations with the C API's own header, which lies beside one of the plugins.
    #[test]
    fn the_declarations_agree_with_the_header() {
        let plugin = std::env::var_os("EXPO_RL_PJRT_PLUGIN").and_then(|path| PathBuf::from(path).canonicalize().ok());
        let header = plugin.as_deref().and_then(|path| path.parent()).map(|folder| folder.join("include/pjrt_c_api.h"));
        let Some(header) = header.filter(|header| header.is_file()) else {
            eprintln!("skipped, no header: export EXPO_RL_PJRT_PLUGIN=$(scripts/get-pjrt.sh cpu)");
            return;
        };
        let mut code = format!("#include \"{}\"\n", header.display());
        for &function in FUNCTIONS {
            let offset = size_of::<Header>() + function as usize * size_of::<usize>();
            let _ = writeln!(code, "_Static_assert(offsetof(PJRT_Api, {name}) == {offset}, \"place of {name}\");", name = function.name());
        }
        for (name, size) in sizes() {
            // It has grown since.
            let relation = if name == "PJRT_Executable_GetCompiledMemoryStats" { "<=" } else { "==" };
            let _ = writeln!(code, "_Static_assert({name}_Args_STRUCT_SIZE {relation} {size}, \"size of {name}_Args\");");
        }
        for (name, size) in [
            ("PJRT_NamedValue", size_of::<NamedValue>()),
            ("PJRT_Program", ProgramCode::new().struct_size),
            ("PJRT_ExecuteOptions", ExecuteOptions::new().struct_size),
            ("PJRT_Buffer_MemoryLayout", MemoryLayout::new().struct_size),
            ("PJRT_Buffer_MemoryLayout_Tiled", TiledLayout::new().struct_size),
        ] {
            let _ = writeln!(code, "_Static_assert({name}_STRUCT_SIZE == {size}, \"size of {name}\");");
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("check.c");
        std::fs::write(&file, code).unwrap();
        match Command::new("cc").arg("-fsyntax-only").arg(&file).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => eprintln!("skipped, no C compiler (cc: {error})"),
        }
    }
}
