//! Loading a plugin and calling the functions of its table.

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use super::ffi::{self, Arguments, Entry, ErrorEntry, Function, Header, NamedUnion, NamedValue, Object, named};
use crate::client::OLDEST_MINOR;
use crate::error::{Code, Error};

/// A value with a name: an option of a plugin, an attribute of a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A list of integers.
    Integers(Vec<i64>),
    /// A number.
    Float(f32),
    /// Yes or no.
    Boolean(bool),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Integers(list) => f.write_str(&list.iter().map(i64::to_string).collect::<Vec<_>>().join(".")),
            Self::Float(float) => write!(f, "{float}"),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}
impl From<i32> for Value {
    fn from(integer: i32) -> Self {
        Self::Integer(integer.into())
    }
}
impl From<f32> for Value {
    fn from(float: f32) -> Self {
        Self::Float(float)
    }
}
impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

/// Why a call failed, without what it was for.
#[derive(Debug)]
pub enum Failure {
    /// The plugin's table ends before the function, or has a hole there.
    Missing { function: &'static str, minor: i32 },
    /// The plugin's own error.
    Xla { code: Code, message: String },
}

impl Failure {
    /// The error of a call that was for `doing`.
    pub fn during(self, doing: impl Into<String>) -> Error {
        match self {
            Self::Missing { function, minor } => Error::Missing { doing: doing.into(), function, minor },
            Self::Xla { code, message } => Error::Xla { doing: doing.into(), code, message },
        }
    }
}

pub type Outcome<T> = std::result::Result<T, Failure>;

/// The table of functions of a loaded plugin.
#[derive(Debug, Clone, Copy)]
pub struct Api(NonNull<Header>);

// SAFETY: the table is never written after the plugin has made it, and lies in a library that is never unloaded.
// PJRT's functions may be called from any thread: its users do (jaxlib gives up Python's lock around them), and XLA's
// clients guard what they share.
unsafe impl Send for Api {}
// SAFETY: as above.
unsafe impl Sync for Api {}

/// The plugins of this process by file. A plugin is initialised once, and stays: XLA starts threads that go on
/// running its code.
static LOADED: Mutex<Option<HashMap<PathBuf, Api>>> = Mutex::new(None);

impl Api {
    /// Loads and initialises the plugin `path`; the same file again gives the same table.
    pub fn load(path: &Path) -> crate::Result<Self> {
        let load_error = |reason: String| Error::Load { path: path.to_owned(), reason };
        // The real file, since a library finds others relative to the folder that it was loaded from.
        let real = path.canonicalize().map_err(|error| load_error(error.to_string()))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = loaded.get_or_insert_default();
        if let Some(&api) = loaded.get(&real) {
            return Ok(api);
        }
        let no_plugin = |reason: &str| Error::NotAPlugin { path: path.to_owned(), reason: reason.to_owned() };
        let library = open(&real).map_err(|error| load_error(error.to_string()))?;
        // SAFETY: the symbol's type is what the C API says of `GetPjrtApi`.
        let get = unsafe { library.get::<unsafe extern "C" fn() -> *mut Header>(b"GetPjrtApi\0") };
        let get = match get {
            Ok(get) => *get,
            Err(_) => return Err(no_plugin("it has no function GetPjrtApi")),
        };
        // From here on the library's code may have started threads.
        std::mem::forget(library);
        // SAFETY: a plugin's function of that name takes nothing and may be called at any time.
        let table = NonNull::new(unsafe { get() }).ok_or_else(|| no_plugin("its GetPjrtApi returns nothing"))?;
        let api = Self(table);
        let header = api.header();
        if header.struct_size < size_of::<Header>() {
            return Err(no_plugin("its table of functions is shorter than its own version"));
        }
        if header.major != 0 || header.minor < OLDEST_MINOR {
            return Err(Error::Version { path: path.to_owned(), major: header.major, minor: header.minor });
        }
        // SAFETY: takes its own size alone.
        unsafe { api.call(&mut ffi::PluginInitialize::new()) }
            .map_err(|failure| failure.during(format!("{}: initialising", path.display())))?;
        loaded.insert(real, api);
        Ok(api)
    }

    fn header(&self) -> &'static Header {
        // SAFETY: the plugin's constant table, of which the header is read by every caller of the C API; never
        // unloaded.
        unsafe { self.0.as_ref() }
    }

    /// Major and minor version of the C API that the plugin speaks.
    pub fn version(self) -> (i32, i32) {
        (self.header().major, self.header().minor)
    }

    /// The function's address, if the plugin's table reaches that far and has no hole there.
    ///
    /// # Safety
    /// `F` is [`ErrorEntry`] for the two functions that return nothing and [`Entry`] for all others.
    unsafe fn entry<F>(self, function: Function) -> Option<F> {
        let offset = size_of::<Header>() + function as usize * size_of::<usize>();
        if offset + size_of::<usize>() > self.header().struct_size {
            return None;
        }
        // SAFETY: inside the table by its own size; function pointers follow the header without gaps, and null is
        // `None`; the caller vouches for the type.
        unsafe { self.0.as_ptr().byte_add(offset).cast::<Option<F>>().read() }
    }

    /// Calls the function that takes `A`.
    ///
    /// # Safety
    /// What `arguments` points to lives and is as the C API's header says of that function.
    pub unsafe fn call<A: Arguments>(self, arguments: &mut A) -> Outcome<()> {
        // SAFETY: the two functions that return nothing are no `Arguments`' function.
        let entry = unsafe { self.entry::<Entry>(A::FUNCTION) }
            .ok_or(Failure::Missing { function: A::FUNCTION.name(), minor: self.version().1 })?;
        // SAFETY: `A` is that function's argument; the caller vouches for what it points to.
        let error = unsafe { entry(std::ptr::from_mut(arguments).cast()) };
        // SAFETY: an error that the plugin has just returned.
        unsafe { self.take_error(error) }
    }

    /// The plugin's error as a value; it is freed.
    ///
    /// # Safety
    /// `error` is null or an error of this plugin's that nobody has freed.
    pub unsafe fn take_error(self, error: Object) -> Outcome<()> {
        if error.is_null() {
            return Ok(());
        }
        let (mut message, mut code, mut destroy) = (ffi::ErrorMessage::new(), ffi::ErrorGetCode::new(), ffi::ErrorDestroy::new());
        (message.error, code.error, destroy.error) = (error, error, error);
        // SAFETY: it returns nothing.
        let entry = unsafe { self.entry::<ErrorEntry>(Function::Error_Message) };
        let text = entry.map(|entry| {
            // SAFETY: a live error.
            unsafe { entry(std::ptr::from_mut(&mut message).cast()) };
            // SAFETY: the message lives as long as the error.
            unsafe { text(message.message, message.message_size) }
        });
        // SAFETY: it returns an error of its own for a wrong size alone, which it has not got.
        if let Some(entry) = unsafe { self.entry::<Entry>(Function::Error_GetCode) } {
            // SAFETY: a live error.
            unsafe { entry(std::ptr::from_mut(&mut code).cast()) };
        }
        // SAFETY: it returns nothing.
        if let Some(entry) = unsafe { self.entry::<ErrorEntry>(Function::Error_Destroy) } {
            // SAFETY: a live error, freed once.
            unsafe { entry(std::ptr::from_mut(&mut destroy).cast()) };
        }
        let message = text.filter(|text| !text.is_empty()).unwrap_or_else(|| "(the plugin gives no message)".to_owned());
        Err(Failure::Xla { code: Code::from_number(code.code), message })
    }

    /// The plugin's attributes, `xla_version` and `stablehlo_current_version` among them.
    pub fn attributes(self) -> Outcome<Vec<(String, Value)>> {
        let mut arguments = ffi::PluginAttributes::new();
        // SAFETY: nothing is passed; what comes back lives as long as the process.
        unsafe {
            self.call(&mut arguments)?;
            Ok(named_values(arguments.attributes, arguments.count))
        }
    }
}

#[cfg(unix)]
fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: the user names a plugin to be run with the user's rights; its initialisers run here. All symbols are
    // resolved now, so that a missing one is an error here and no abort later, and stay its own, so that two plugins
    // don't mix.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
}

#[cfg(not(unix))]
fn open(path: &Path) -> Result<libloading::Library, libloading::Error> {
    // SAFETY: the user names a plugin to be run with the user's rights; its initialisers run here.
    unsafe { libloading::Library::new(path) }
}

/// A copy of a plugin's text.
///
/// # Safety
/// `pointer` is null or points to `size` bytes.
pub unsafe fn text(pointer: *const c_char, size: usize) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), size) }).into_owned()
}

/// A plugin's list as a slice; empty where it gives null.
///
/// # Safety
/// `pointer` is null or points to `count` values that live and do not change while the slice is used.
pub unsafe fn list<'a, T>(pointer: *const T, count: usize) -> &'a [T] {
    if pointer.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(pointer, count) }
}

/// Copies of a plugin's named values. Kinds that came later are left out.
///
/// # Safety
/// `pointer` is null or points to `count` values, with what they point to.
pub unsafe fn named_values(pointer: *const NamedValue, count: usize) -> Vec<(String, Value)> {
    let mut values = Vec::new();
    // SAFETY: the caller's promise.
    for value in unsafe { list(pointer, count) } {
        // SAFETY: `kind` says which member of the union was written, and `value_size` how many characters or integers
        // it points to.
        let (name, converted) = unsafe {
            let converted = match value.kind {
                named::STRING => Value::Text(text(value.value.text, value.value_size)),
                named::INTEGER => Value::Integer(value.value.integer),
                named::INTEGERS => Value::Integers(list(value.value.integers, value.value_size).to_vec()),
                named::FLOAT => Value::Float(value.value.float),
                named::BOOLEAN => Value::Boolean(value.value.boolean),
                _ => continue,
            };
            (text(value.name, value.name_size), converted)
        };
        values.push((name, converted));
    }
    values
}

/// `values` as the C API has them; they point into `values`.
pub fn to_named<N: AsRef<str>>(values: &[(N, Value)]) -> Vec<NamedValue> {
    let convert = |(name, value): &(N, Value)| {
        let name = name.as_ref();
        let (kind, union, value_size) = match value {
            Value::Text(text) => (named::STRING, NamedUnion { text: text.as_ptr().cast() }, text.len()),
            &Value::Integer(integer) => (named::INTEGER, NamedUnion { integer }, 1),
            Value::Integers(list) => (named::INTEGERS, NamedUnion { integers: list.as_ptr() }, list.len()),
            &Value::Float(float) => (named::FLOAT, NamedUnion { float }, 1),
            &Value::Boolean(boolean) => (named::BOOLEAN, NamedUnion { boolean }, 1),
        };
        NamedValue {
            struct_size: size_of::<NamedValue>(),
            extensions: std::ptr::null::<c_void>(),
            name: name.as_ptr().cast(),
            name_size: name.len(),
            kind,
            value: union,
            value_size,
        }
    };
    values.iter().map(convert).collect()
}
