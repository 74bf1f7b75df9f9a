//! Events: what a device will have done, and waits for it that have an end.

use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::api::{Api, Outcome};
use super::ffi::{self, Object};
use super::objects::ClientHandle;
use crate::error::Error;

/// An event of the plugin's; freed when it is dropped, which says nothing of the work that it stands for.
pub struct Event {
    client: Arc<ClientHandle>,
    /// Null where the plugin gave none: done from the start.
    event: Object,
}

// SAFETY: an event is a counted reference to state that XLA guards; any thread may ask and free it.
unsafe impl Send for Event {}

impl Event {
    /// Takes over `event`.
    ///
    /// # Safety
    /// `event` is null or an event of `client`'s plugin that nobody else frees.
    pub unsafe fn new(client: Arc<ClientHandle>, event: Object) -> Self {
        Self { client, event }
    }

    /// Keeps `kept`, host memory that the device still reads or writes, until the work is done, whether anybody waits
    /// or not. It must not hold the client: it may be dropped on one of the client's own threads.
    pub fn keeping<K: Send + 'static>(mut self, kept: K) -> Outcome<Pending<K>> {
        let client = self.client.clone();
        let event = std::mem::replace(&mut self.event, std::ptr::null_mut());
        let shared = Arc::new(Shared { state: Mutex::new(State { outcome: None, kept: Some(kept) }), done: Condvar::new() });
        let pending = Pending { client: client.clone(), shared: shared.clone() };
        if event.is_null() {
            shared.finish(Ok(()));
            return Ok(pending);
        }
        let api = client.api();
        let user = Box::into_raw(Box::new(Callback { api, event, shared: shared.clone() }));
        let mut arguments = ffi::EventOnReady::new();
        (arguments.event, arguments.callback, arguments.user) = (event, Some(on_ready::<K> as ffi::OnReady), user.cast());
        // SAFETY: a live event; the callback gets its own pointer, once, and frees it.
        let registered = unsafe { api.call(&mut arguments) };
        if let Err(failure) = registered {
            // Not registered, so the device may still be at work: what it may touch is never freed.
            std::mem::forget(shared);
            return Err(failure);
        }
        Ok(pending)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if !self.event.is_null() {
            destroy(self.client.api(), self.event);
        }
    }
}

fn destroy(api: Api, event: Object) {
    let mut arguments = ffi::EventDestroy::new();
    arguments.event = event;
    // SAFETY: a live event that its one owner gives up. It fails only for null or a wrong size: nothing is left to be
    // done then.
    let _ = unsafe { api.call(&mut arguments) };
}

struct State<K> {
    outcome: Option<Outcome<()>>,
    kept: Option<K>,
}

struct Shared<K> {
    state: Mutex<State<K>>,
    done: Condvar,
}

impl<K> Shared<K> {
    fn finish(&self, outcome: Outcome<()>) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).outcome = Some(outcome);
        self.done.notify_all();
    }
}

/// What the plugin's callback gets.
struct Callback<K> {
    api: Api,
    event: Object,
    shared: Arc<Shared<K>>,
}

/// `PJRT_Event_OnReadyCallback`. May run inside the call that registers it.
unsafe extern "C" fn on_ready<K: Send + 'static>(error: Object, user: *mut c_void) {
    // SAFETY: the pointer that `keeping` made for this one call.
    let callback = unsafe { Box::from_raw(user.cast::<Callback<K>>()) };
    // SAFETY: the C API hands the error over to the callback.
    let outcome = unsafe { callback.api.take_error(error) };
    // XLA's own client, too, frees an event in its callback.
    destroy(callback.api, callback.event);
    callback.shared.finish(outcome);
}

/// Work under way, with what it needs of the host's memory.
pub struct Pending<K> {
    client: Arc<ClientHandle>,
    shared: Arc<Shared<K>>,
}

impl<K> Pending<K> {
    /// Whether the work is done, or has failed.
    pub fn is_done(&self) -> bool {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).outcome.is_some()
    }

    /// Waits until the work is done and gives back what was kept.
    ///
    /// # Errors
    /// The device's error; [`Error::Timeout`] with `what` after `limit`. Then what was kept stays until the work
    /// ends, and the client is left as it is for good.
    pub fn wait(self, what: impl FnOnce() -> String, limit: Duration) -> crate::Result<K> {
        let start = Instant::now();
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match state.outcome.take() {
                Some(Ok(())) => match state.kept.take() {
                    Some(kept) => return Ok(kept),
                    None => unreachable!("taken here alone, and `wait` consumes the value"),
                },
                Some(Err(failure)) => return Err(failure.during(what())),
                None => {}
            }
            let Some(left) = limit.checked_sub(start.elapsed()) else {
                self.client.abandon();
                return Err(Error::Timeout { what: what(), limit });
            };
            state = self.shared.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
