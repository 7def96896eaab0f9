//! Bytes from the host to a GPU, back, and about.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cudarc::driver::{result, sys};

use super::gpu::{Gpu, lock};
use super::recorder::Work;
use super::{Buffer, Grid, arguments};

/// Bytes of page-locked memory that uploads and downloads go through.
pub(super) const STAGING: usize = 8 << 20;

/// Bytes that a kernel may fetch.
const SMALL: usize = 64 << 10;

/// Page-locked memory, used round and round.
pub(super) struct Staging {
    pub(super) memory: *mut u8,
    pub(super) at: usize,
}

// SAFETY: the memory belongs to the process and is used under the mutex that it lives in.
unsafe impl Send for Staging {}

/// Tables on the GPU with their contents, those used last at the end.
pub(super) type Constants = VecDeque<(Vec<u64>, Arc<Buffer>)>;

/// So many tables are kept.
const TABLES: usize = 32;

impl Gpu {
    /// A table of public numbers (addresses, sizes) that nobody changes. The same ones are wanted in every step: they are copied
    /// once.
    pub(crate) fn constant(&'static self, words: &[u64]) -> Arc<Buffer> {
        let known = |constants: &mut Constants| {
            let at = constants.iter().position(|(known, _)| known == words)?;
            let found = constants.remove(at)?;
            constants.push_back(found);
            constants.back().map(|(_, table)| table.clone())
        };
        // Not held while a buffer is made or given back: the arena has a lock of its own.
        if let Some(table) = known(&mut lock(&self.constants)) {
            return table;
        }
        let table = Arc::new(self.upload(words));
        let mut constants = lock(&self.constants);
        constants.push_back((words.to_vec(), table.clone()));
        let _oldest = (constants.len() > TABLES).then(|| constants.pop_front());
        drop(constants);
        table
    }

    /// Copies `data` to a new buffer. Returns once `data` may change.
    pub(crate) fn upload<T: Copy>(&'static self, data: &[T]) -> Buffer {
        let buffer = Buffer::new(self, size_of_val(data));
        self.write(buffer.address(), data);
        buffer
    }

    /// Copies `data` to `address`. Small data goes through page-locked memory, and nobody waits.
    pub(crate) fn write<T: Copy>(&self, address: u64, data: &[T]) {
        self.enter();
        let bytes = size_of_val(data);
        if bytes == 0 {
            return;
        }
        if bytes > STAGING / 2 {
            // On the stream: a copy beside it may still be on its way when the driver says that it is done with `data`, and what is
            // asked of the stream next would not wait for it.
            self.settle();
            // SAFETY: the buffer holds that many bytes; the stream is waited for before `data` may change.
            self.check("upload", unsafe { result::memcpy_htod_async(address, data, self.stream) });
            return self.wait();
        }
        // Locked until the copy is on its way: whoever brings the ring round waits for the stream.
        let mut staging = lock(&self.staging);
        let memory = self.stage(&mut staging, bytes);
        // SAFETY: `memory` has room for `bytes` bytes, which are not part of `data` and stay until the ring comes round.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr().cast(), memory, bytes) };
        let from = memory as usize;
        if self.recording.load(Ordering::Relaxed) && bytes <= SMALL && bytes.is_multiple_of(4) {
            // A kernel, since those of a graph are told where the bytes are this time.
            let words = bytes / 4;
            return self.launch("fetch_words", Grid::over(words), arguments![from as u64, address, words]);
        }
        self.submit(Work::Upload { to: address, from, bytes });
    }

    /// The next `bytes` of page-locked memory.
    fn stage(&self, staging: &mut Staging, bytes: usize) -> *mut u8 {
        if staging.at + bytes > STAGING {
            self.wait();
            staging.at = 0;
        }
        // SAFETY: `at + bytes` is at most the size of the memory.
        let memory = unsafe { staging.memory.add(staging.at) };
        staging.at += bytes.next_multiple_of(64);
        memory
    }

    /// Copies from `address` into `data`, and waits for it.
    pub(crate) fn read<T: Copy>(&self, address: u64, data: &mut [T]) {
        self.enter();
        let bytes = size_of_val(data);
        if bytes == 0 {
            return;
        }
        // SAFETY: both sides hold that many bytes; the copy has ended before anybody looks at it, and the staged bytes are
        // nobody else's until the lock is given back.
        unsafe {
            match bytes <= STAGING / 2 {
                true => {
                    self.settle();
                    let mut staging = lock(&self.staging);
                    let memory = self.stage(&mut staging, bytes);
                    let slice = std::slice::from_raw_parts_mut(memory, bytes);
                    let copy = || result::memcpy_dtoh_async(slice, address, self.stream);
                    self.check("download", self.timed("download", copy));
                    self.wait();
                    std::ptr::copy_nonoverlapping(memory, data.as_mut_ptr().cast(), bytes);
                }
                false => {
                    self.wait();
                    self.check("download", result::memcpy_dtoh_sync(data, address));
                }
            }
        }
    }

    /// Copies on the device.
    pub(crate) fn copy(&self, to: u64, from: u64, bytes: usize) {
        self.enter();
        if bytes > 0 {
            self.submit(Work::Copy { to, from, bytes });
        }
    }

    /// Zeroes `bytes` bytes.
    pub(crate) fn clear(&self, address: u64, bytes: usize) {
        self.enter();
        if bytes > 0 {
            self.submit(Work::Clear { address, bytes });
        }
    }

    /// Whether everything that was asked of the GPU is done.
    pub(super) fn is_idle(&self) -> bool {
        self.settle();
        self.enter();
        // SAFETY: the stream is alive.
        let asked = unsafe { sys::cuStreamQuery(self.stream) };
        asked != sys::CUresult::CUDA_ERROR_NOT_READY && {
            self.check("waiting", asked.result());
            true
        }
    }

    /// Waits until everything that was asked of the GPU is done.
    pub fn wait(&self) {
        self.settle();
        self.enter();
        // SAFETY: the stream is alive.
        self.check("waiting", unsafe { result::stream::synchronize(self.stream) });
    }
}
