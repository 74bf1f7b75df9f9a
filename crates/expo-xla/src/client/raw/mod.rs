//! The crate's one room with `unsafe`: the C API's declarations and handles that own the plugin's objects.
//!
//! What leaves the room is safe: a handle is never null, is freed once, outlives nothing that it needs (a client is
//! kept by all that it made, the plugin's library is never unloaded), and host memory that a device still reads or
//! writes is kept until the device is done, whatever becomes of the wait.
#![allow(unsafe_code)]

mod api;
mod event;
mod executable;
mod ffi;
mod objects;
mod topology;

pub use api::{Api, Failure, Value};
pub use event::Pending;
pub use executable::{CompiledHandle, LoadedHandle, MemoryNumbers};
pub use objects::{BufferHandle, ClientHandle, Description, DeviceHandle, DeviceMemory};
pub use topology::TopologyHandle;

use crate::element::ElementType;

/// `PJRT_Buffer_Type` of an element type.
fn buffer_type(element: ElementType) -> i32 {
    match element {
        ElementType::Pred => 1,
        ElementType::S8 => 2,
        ElementType::S32 => 4,
        ElementType::S64 => 5,
        ElementType::U8 => 6,
        ElementType::U32 => 8,
        ElementType::U64 => 9,
        ElementType::F16 => 10,
        ElementType::F32 => 11,
        ElementType::F64 => 12,
        ElementType::Bf16 => 13,
    }
}

/// The element type of a `PJRT_Buffer_Type`; `None` for those that the crate does not know.
fn element_type(code: i32) -> Option<ElementType> {
    ElementType::ALL.into_iter().find(|&element| buffer_type(element) == code)
}
