//! From one GPU to another: work that waits for work elsewhere, and copies.
//!
//! Copies go over NVLink or PCI Express where the driver lets one GPU see the other's memory, and through the host's
//! otherwise; either way nobody waits on the host.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use cudarc::driver::result::event;
use cudarc::driver::{result, sys};

use super::{Buffer, Gpu};

impl Gpu {
    /// Whatever is asked of this GPU from now on happens after all that was asked of `other` until now.
    pub(crate) fn after(&self, other: &Gpu) {
        self.settle();
        other.settle();
        other.enter();
        // SAFETY: the event is of the context of the stream that it is recorded on. One that is destroyed is freed when
        // nobody waits for it any more.
        unsafe {
            let event = other.check("event", event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING));
            other.check("event", event::record(event, other.stream));
            let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
            self.check("waiting", result::stream::wait_event(self.stream, event, flags));
            other.check("event", event::destroy(event));
        }
        self.enter();
    }

    /// Copies `bytes` bytes at `from` on `other` to `to`. What `other` does next leaves them alone until they are copied.
    pub(crate) fn fetch(&self, to: u64, other: &Gpu, from: u64, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.see(other);
        self.after(other);
        // SAFETY: the callers' buffers hold that many bytes, each on the GPU of its context.
        let done =
            unsafe { sys::cuMemcpyPeerAsync(to, self.context, from, other.context, bytes, self.stream).result() };
        self.check("copy from another GPU", done);
        other.after(self);
        self.enter();
    }

    /// A copy of `bytes` bytes at `from` on `other`.
    pub(crate) fn fetched(&'static self, other: &Gpu, from: u64, bytes: usize) -> Buffer {
        let buffer = Buffer::new(self, bytes);
        self.fetch(buffer.address(), other, from, bytes);
        buffer
    }

    /// Lets this GPU's kernels and copies reach into the other's memory: whether the machine can. Tried once for each pair.
    pub(crate) fn see(&self, other: &Gpu) -> bool {
        static SEEN: Mutex<Option<HashMap<(usize, usize), bool>>> = Mutex::new(None);
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        *seen.get_or_insert_default().entry((self.ordinal(), other.ordinal())).or_insert_with(|| {
            self.enter();
            // SAFETY: both contexts live as long as the process. A refusal leaves copies that go through the host.
            let answer = unsafe { sys::cuCtxEnablePeerAccess(other.context, 0) };
            matches!(answer, sys::CUresult::CUDA_SUCCESS | sys::CUresult::CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED)
        })
    }

    /// Whatever is asked of any of these GPUs from now on happens after all that was asked of all of them until now.
    pub(crate) fn meet(gpus: &[&Gpu]) {
        if let [first, others @ ..] = gpus {
            others.iter().for_each(|other| first.after(other));
            others.iter().for_each(|other| other.after(first));
        }
    }
}
