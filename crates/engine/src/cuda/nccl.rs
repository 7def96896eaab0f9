//! NVIDIA's collective communication library, opened at run time.
//!
//! Its functions are looked up here, by name: `cudarc` does not look for the name that the library's wheels and packages give
//! it (`libnccl.so.2`). Types and constants are `cudarc`'s.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;

use cudarc::driver::sys::CUstream;
use cudarc::nccl::sys::{ncclComm_t, ncclDataType_t, ncclRedOp_t, ncclResult_t, ncclUniqueId};
use libloading::Library;

use super::{DeviceError, Gpu, library};

/// The library's answer: 0 if all is well.
type Status = c_int;

/// The functions that are used.
pub(super) struct Nccl {
    error: unsafe extern "C" fn(Status) -> *const c_char,
    init_all: unsafe extern "C" fn(*mut ncclComm_t, c_int, *const c_int) -> Status,
    new_id: unsafe extern "C" fn(*mut ncclUniqueId) -> Status,
    init_rank: unsafe extern "C" fn(*mut ncclComm_t, c_int, ncclUniqueId, c_int) -> Status,
    trouble: unsafe extern "C" fn(ncclComm_t, *mut Status) -> Status,
    abort: unsafe extern "C" fn(ncclComm_t) -> Status,
    start: unsafe extern "C" fn() -> Status,
    end: unsafe extern "C" fn() -> Status,
    all_reduce: unsafe extern "C" fn(
        *const c_void,
        *mut c_void,
        usize,
        ncclDataType_t,
        ncclRedOp_t,
        ncclComm_t,
        CUstream,
    ) -> Status,
    reduce: unsafe extern "C" fn(
        *const c_void,
        *mut c_void,
        usize,
        ncclDataType_t,
        ncclRedOp_t,
        c_int,
        ncclComm_t,
        CUstream,
    ) -> Status,
    broadcast:
        unsafe extern "C" fn(*const c_void, *mut c_void, usize, ncclDataType_t, c_int, ncclComm_t, CUstream) -> Status,
}

/// One GPU's place among those that work together.
pub(super) struct Seat {
    pub(super) gpu: &'static Gpu,
    comm: ncclComm_t,
}

// SAFETY: communicators are used by one thread at a time: the one that holds the group, or the lock of its seats.
unsafe impl Send for Seat {}
unsafe impl Sync for Seat {}

impl Nccl {
    /// The library; none where it is not installed.
    pub(super) fn open() -> Option<&'static Nccl> {
        static OPEN: OnceLock<Option<Nccl>> = OnceLock::new();
        OPEN.get_or_init(|| if library::open("nccl") { Self::load() } else { None }).as_ref()
    }

    fn load() -> Option<Nccl> {
        // SAFETY: the library is open already, and these are its functions by its own header.
        unsafe {
            let library = ["libnccl.so.2", "libnccl.so"].iter().find_map(|name| Library::new(*name).ok())?;
            let library: &'static Library = Box::leak(Box::new(library));
            Some(Nccl {
                error: *library.get(b"ncclGetErrorString").ok()?,
                init_all: *library.get(b"ncclCommInitAll").ok()?,
                new_id: *library.get(b"ncclGetUniqueId").ok()?,
                init_rank: *library.get(b"ncclCommInitRank").ok()?,
                trouble: *library.get(b"ncclCommGetAsyncError").ok()?,
                abort: *library.get(b"ncclCommAbort").ok()?,
                all_reduce: *library.get(b"ncclAllReduce").ok()?,
                start: *library.get(b"ncclGroupStart").ok()?,
                end: *library.get(b"ncclGroupEnd").ok()?,
                reduce: *library.get(b"ncclReduce").ok()?,
                broadcast: *library.get(b"ncclBroadcast").ok()?,
            })
        }
    }

    fn check(&self, what: &str, status: Status) -> Result<(), DeviceError> {
        if status == ncclResult_t::ncclSuccess as Status {
            return Ok(());
        }
        // SAFETY: the library's own constant strings.
        let said = unsafe { CStr::from_ptr((self.error)(status)) };
        Err(DeviceError(format!("NCCL: {what}: {}", said.to_string_lossy())))
    }

    /// Seats for GPUs of this process, in this order.
    ///
    /// # Errors
    /// If the library cannot connect them.
    pub(super) fn seats(&self, gpus: &[&'static Gpu]) -> Result<Vec<Seat>, DeviceError> {
        let ordinals: Vec<c_int> = gpus.iter().map(|gpu| gpu.ordinal() as c_int).collect();
        let mut comms = vec![std::ptr::null_mut(); gpus.len()];
        // SAFETY: as many places as there are GPUs.
        let done = unsafe { (self.init_all)(comms.as_mut_ptr(), gpus.len() as c_int, ordinals.as_ptr()) };
        Gpu::leave();
        self.check("connecting the GPUs", done)?;
        Ok(gpus.iter().zip(comms).map(|(gpu, comm)| Seat { gpu, comm }).collect())
    }

    /// Bytes by which processes find each other.
    ///
    /// # Errors
    /// If there is no network to meet on.
    pub(super) fn new_id(&self) -> Result<Vec<u8>, DeviceError> {
        let mut id = ncclUniqueId { internal: [0; 128] };
        // SAFETY: a place for the bytes.
        let done = unsafe { (self.new_id)(&raw mut id) };
        self.check("a new run", done)?;
        Ok(id.internal.map(|byte| byte as u8).to_vec())
    }

    /// A seat among `size` processes; waits for the others.
    ///
    /// # Errors
    /// If `id` is none, or the library cannot connect them.
    pub(super) fn join(&self, gpu: &'static Gpu, rank: usize, size: usize, id: &[u8]) -> Result<Seat, DeviceError> {
        let id: [u8; 128] = id.try_into().map_err(|_| DeviceError("NCCL: rank 0 sent no way to it".into()))?;
        let (id, mut comm) = (ncclUniqueId { internal: id.map(|byte| byte as c_char) }, std::ptr::null_mut());
        gpu.enter();
        // SAFETY: a place for the communicator, of the current GPU.
        let done = unsafe { (self.init_rank)(&raw mut comm, size as c_int, id, rank as c_int) };
        Gpu::leave();
        self.check("connecting the processes", done)?;
        Ok(Seat { gpu, comm })
    }

    /// Adds up `len` floats at `at` over all processes, in place.
    pub(super) fn all_reduce(&self, seat: &Seat, at: u64, len: usize) -> Result<(), DeviceError> {
        let (kind, sum) = (ncclDataType_t::ncclFloat32, ncclRedOp_t::ncclSum);
        seat.gpu.enter();
        // SAFETY: the caller's buffer holds that many floats.
        let done = unsafe {
            (self.all_reduce)(at as *const c_void, at as *mut c_void, len, kind, sum, seat.comm, seat.gpu.stream())
        };
        Gpu::leave();
        self.check("sum over all processes", done)
    }

    /// What went wrong on a seat while nobody looked.
    pub(super) fn check_seat(&self, seat: &Seat) -> Result<(), DeviceError> {
        let mut trouble = 0;
        // SAFETY: a live communicator and a place for the answer.
        let asked = unsafe { (self.trouble)(seat.comm, &raw mut trouble) };
        self.check("its state", asked)?;
        self.check("the other processes", trouble)
    }

    /// Makes the GPU stop waiting for the others. The seat is of no use afterwards.
    pub(super) fn abort(&self, seat: &Seat) {
        // SAFETY: nobody uses the communicator afterwards: the run ends.
        let _ = unsafe { (self.abort)(seat.comm) };
        Gpu::leave();
    }

    /// Collectives that go on their way together.
    ///
    /// # Errors
    /// What the first of them to fail said.
    pub(super) fn together(&self, work: impl FnOnce() -> Result<(), DeviceError>) -> Result<(), DeviceError> {
        // SAFETY: every start is followed by its end.
        self.check("group", unsafe { (self.start)() })?;
        let done = work();
        let ended = self.check("group", unsafe { (self.end)() });
        // The library makes other contexts current as it goes.
        Gpu::leave();
        done.and(ended)
    }

    /// This seat's part of a sum into the first seat's numbers: `len` floats at `at`.
    pub(super) fn reduce(&self, seat: &Seat, at: u64, len: usize) -> Result<(), DeviceError> {
        let (kind, sum) = (ncclDataType_t::ncclFloat32, ncclRedOp_t::ncclSum);
        seat.gpu.enter();
        // SAFETY: the caller's buffer holds that many floats; only the first seat's is written.
        let done = unsafe {
            (self.reduce)(at as *const c_void, at as *mut c_void, len, kind, sum, 0, seat.comm, seat.gpu.stream())
        };
        self.check("sum", done)
    }

    /// This seat's part of handing out the first seat's numbers: `len` floats at `at`.
    pub(super) fn broadcast(&self, seat: &Seat, at: u64, len: usize) -> Result<(), DeviceError> {
        let kind = ncclDataType_t::ncclFloat32;
        seat.gpu.enter();
        // SAFETY: as above; all but the first seat's are written.
        let done = unsafe {
            (self.broadcast)(at as *const c_void, at as *mut c_void, len, kind, 0, seat.comm, seat.gpu.stream())
        };
        self.check("handing out", done)
    }
}

#[cfg(test)]
mod tests {
    use super::Nccl;

    /// Where the library is installed, every function that is used is found in it, GPU or none.
    #[test]
    fn the_library_has_what_is_used() {
        if super::library::open("nccl") {
            assert!(Nccl::open().is_some());
        } else {
            println!("skipped: no NCCL");
        }
    }
}
