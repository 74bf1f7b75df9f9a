//! Arrays on devices.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytemuck::Zeroable;

use super::raw::{BufferHandle, Pending};
use super::{Client, Device, Limits, call_error};
use crate::element::{Element, Shape};
use crate::error::Result;

/// An array on a device. Dropping it frees its memory as soon as the work that uses it is done.
#[derive(Debug)]
pub struct Buffer {
    pub(super) handle: Arc<BufferHandle>,
    name: String,
    shape: Shape,
    limit: Duration,
    /// The program that took its memory for an output.
    donated_to: OnceLock<String>,
}

impl Client {
    /// A copy of `data`, row-major with `dimensions`, on `device`. `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Call`](crate::Error::Call) where `data` has another length than `dimensions` say or `device` is
    /// another client's; the plugin's own, out of memory among them.
    pub fn buffer<T: Element>(&self, name: &str, data: &[T], dimensions: &[usize], device: &Device) -> Result<Buffer> {
        let shape = self.check(name, data.len(), Shape::new(T::TYPE, dimensions), device)?;
        let handle = self.inner.handle.copy_from(bytemuck::cast_slice(data), &shape, &device.handle);
        let handle = handle.map_err(|failure| failure.during(format!("{name}: {shape} to device {}", device.description().id)))?;
        Ok(Buffer::new(handle, name.to_owned(), shape, self.limits()))
    }

    /// The same without a copy in between, for large arrays: `data` is kept until it has arrived.
    ///
    /// # Errors
    /// As [`Client::buffer`].
    pub fn buffer_from_vec<T: Element>(&self, name: &str, data: Vec<T>, dimensions: &[usize], device: &Device) -> Result<Buffer> {
        let shape = self.check(name, data.len(), Shape::new(T::TYPE, dimensions), device)?;
        let taken = self.inner.handle.take_from(data, &shape, &device.handle);
        let (handle, _kept_until_it_has_arrived) =
            taken.map_err(|failure| failure.during(format!("{name}: {shape} to device {}", device.description().id)))?;
        Ok(Buffer::new(handle, name.to_owned(), shape, self.limits()))
    }

    fn check(&self, name: &str, length: usize, shape: Shape, device: &Device) -> Result<Shape> {
        if !Arc::ptr_eq(device.handle.client(), &self.inner.handle) {
            return Err(call_error(format!("{name}: device {} is another client's", device.description().id)));
        }
        match shape.elements() {
            Some(elements) if elements == length => Ok(shape),
            _ => Err(call_error(format!("{name}: {length} elements are no {shape}"))),
        }
    }
}

impl Buffer {
    pub(super) fn new(handle: BufferHandle, name: String, shape: Shape, limits: Limits) -> Self {
        Self { handle: Arc::new(handle), name, shape, limit: limits.result, donated_to: OnceLock::new() }
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its element type and dimensions.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether its memory was given away to a program that donates it.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn is_deleted(&self) -> Result<bool> {
        self.handle.is_deleted().map_err(|failure| failure.during(self.name.clone()))
    }

    /// Notes that `program` has taken its memory.
    pub(super) fn donated(&self, program: &str) {
        // It can be taken once.
        let _ = self.donated_to.set(program.to_owned());
    }

    /// An error where its memory is gone.
    pub(super) fn check_alive(&self) -> Result<()> {
        if !self.is_deleted()? {
            return Ok(());
        }
        Err(call_error(match self.donated_to.get() {
            Some(program) => format!("{}: its memory was donated to {program}; use that program's output instead", self.name),
            None => format!("{}: its memory is gone", self.name),
        }))
    }

    /// Waits until its contents are there, no longer than the client's limit for results.
    ///
    /// # Errors
    /// That of the program which was to compute it, or [`Error::Timeout`](crate::Error::Timeout).
    pub fn wait(&self) -> Result<()> {
        self.wait_for(self.limit)
    }

    /// The same with a limit of its own.
    ///
    /// # Errors
    /// As [`Buffer::wait`].
    pub fn wait_for(&self, limit: Duration) -> Result<()> {
        self.check_alive()?;
        let fail = |failure: super::raw::Failure| failure.during(self.name.clone());
        self.handle.ready().map_err(fail)?.keeping(()).map_err(fail)?.wait(|| self.name.clone(), limit)
    }

    /// Begins to copy it to the host; [`Reading::wait`] gives the elements, row-major.
    ///
    /// # Errors
    /// [`Error::Call`](crate::Error::Call) where it holds another element type or its memory is gone.
    pub fn read<T: Element>(&self) -> Result<Reading<T>> {
        self.check_alive()?;
        if T::TYPE != self.shape.element {
            return Err(call_error(format!("{}: holds {}, not {}", self.name, self.shape.element, T::TYPE)));
        }
        let elements = self.shape.elements().ok_or_else(|| call_error(format!("{}: {} is too large", self.name, self.shape)))?;
        let bits = vec![T::Bits::zeroed(); elements];
        let pending = self.handle.copy_to(&self.shape, bits).map_err(|failure| failure.during(format!("{}: to the host", self.name)))?;
        Ok(Reading { pending, name: self.name.clone(), limit: self.limit })
    }

    /// Its elements, row-major.
    ///
    /// # Errors
    /// As [`Buffer::read`] and [`Reading::wait`].
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.read()?.wait()
    }
}

/// A copy to the host under way. Dropping it lets the copy run into memory that is kept for it.
pub struct Reading<T: Element> {
    pending: Pending<Vec<T::Bits>>,
    name: String,
    limit: Duration,
}

impl<T: Element> Reading<T> {
    /// Whether it is done, or has failed.
    pub fn is_done(&self) -> bool {
        self.pending.is_done()
    }

    /// Waits for the elements, no longer than the client's limit for results.
    ///
    /// # Errors
    /// That of the program which was to compute them, or [`Error::Timeout`](crate::Error::Timeout).
    pub fn wait(self) -> Result<Vec<T>> {
        let name = self.name;
        Ok(T::from_bits(self.pending.wait(|| format!("{name}: to the host"), self.limit)?))
    }
}
