//! CUDA source to machine code, by NVRTC, remembered on disk.
//!
//! Every `.cu` file beside this one is a program of its own, with `common.cuh` in front. A program is compiled when the
//! first of its kernels is launched, for the architecture of the device, and its machine code is kept in the user's cache
//! under a name that depends on source, architecture, compiler and driver: a second start compiles nothing.

use std::ffi::{CStr, CString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use cudarc::nvrtc::{result, sys};

use super::error::DeviceError;
use super::library;

const COMMON: &str = include_str!("common.cuh");

/// The folder for machine code, instead of the user's cache.
const VARIABLE: &str = "SECATEUR_CACHE";

macro_rules! programs {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!($name, ".cu")))),*] };
}

/// The programs: name and source.
pub(crate) const PROGRAMS: &[(&str, &str)] = programs![
    "attention",
    "cross_entropy",
    "elementwise",
    "embedding",
    "flat",
    "keystream",
    "loss",
    "means",
    "normalise",
    "per_example",
    "pool",
    "scatter",
    "standardise",
    "unfold",
];

/// The program that has this kernel.
pub(crate) fn program_of(kernel: &str) -> Option<(&'static str, &'static str)> {
    PROGRAMS.iter().copied().find(|(_, source)| kernels(source).any(|name| name == kernel))
}

/// The names of a source's kernels: lines that begin with `KERNEL name(`.
pub(crate) fn kernels(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| line.strip_prefix("KERNEL ")?.split('(').next())
}

/// Machine code (a cubin) of a program for an architecture such as `sm_90`, from the cache if it is there.
pub(crate) fn machine_code(program: (&str, &str), architecture: &str, driver: i32) -> Result<Vec<u8>, DeviceError> {
    let file = cache().map(|folder| folder.join(file_name(program, architecture, driver)));
    if let Some(known) = file.as_ref().and_then(|file| std::fs::read(file).ok()).filter(|code| !code.is_empty()) {
        return Ok(known);
    }
    let code = compile(program, architecture)?;
    // A cache that cannot be written costs a second of compilation at the next start, and nothing else.
    let _ = file.map(|file| write_atomically(&file, &code));
    Ok(code)
}

/// Compiles a program.
pub(crate) fn compile((name, source): (&str, &str), architecture: &str) -> Result<Vec<u8>, DeviceError> {
    if !library::open("nvrtc") {
        return Err(DeviceError(
            "libnvrtc, which compiles CUDA kernels, was not found: install CUDA or `pip install \
             nvidia-cuda-nvrtc`, or name its folder in SECATEUR_CUDA_LIBRARIES"
                .to_owned(),
        ));
    }
    let failed = |what: &str| DeviceError(format!("{name}.cu: {what}"));
    let text = CString::new(format!("{COMMON}\n#line 1 \"{name}.cu\"\n{source}")).map_err(|_| failed("a NUL byte"))?;
    let options = [format!("--gpu-architecture={architecture}"), "--std=c++17".into(), "-default-device".into()];
    let program = result::create_program(&text, None).map_err(|e| failed(&format!("{e:?}")))?;
    // SAFETY: the program was created above and is destroyed once, below.
    let code = unsafe {
        let compiled = result::compile_program(program, &options);
        let code = compiled.map_err(|_| failed(&log(program))).and_then(|()| cubin(program).map_err(|e| failed(&e)));
        let _ = result::destroy_program(program);
        code
    };
    code
}

/// # Safety
/// The program must be alive.
unsafe fn log(program: sys::nvrtcProgram) -> String {
    // SAFETY: by this function's contract; the log ends with a NUL.
    unsafe {
        let log = result::get_program_log(program).unwrap_or_else(|_| vec![0]);
        CStr::from_ptr(log.as_ptr()).to_string_lossy().into_owned()
    }
}

/// # Safety
/// The program must be alive and compiled.
unsafe fn cubin(program: sys::nvrtcProgram) -> Result<Vec<u8>, String> {
    let mut size = 0;
    // SAFETY: by this function's contract; the buffer has the size that NVRTC asks for.
    unsafe {
        sys::nvrtcGetCUBINSize(program, &raw mut size).result().map_err(|e| format!("{e:?}"))?;
        let mut code = vec![0u8; size];
        sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast()).result().map_err(|e| format!("{e:?}"))?;
        Ok(code)
    }
}

fn file_name((name, source): (&str, &str), architecture: &str, driver: i32) -> String {
    let mut hasher = DefaultHasher::new();
    (COMMON, source, driver, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
    format!("{name}-{architecture}-{:016x}.cubin", hasher.finish())
}

fn cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = || set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    set(VARIABLE).or_else(|| user().map(|cache| cache.join("secateur"))).map(|cache| cache.join("kernels"))
}

fn write_atomically(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let unfinished = file.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&unfinished, bytes)?;
    std::fs::rename(unfinished, file)
}

#[cfg(test)]
mod tests {
    use super::{PROGRAMS, compile, kernels, library};

    /// Every program compiles for Hopper; no device is needed, only NVRTC.
    #[test]
    fn every_program_compiles() {
        if !library::open("nvrtc") {
            println!("skipped: libnvrtc was not found (pip install nvidia-cuda-nvrtc, or SECATEUR_CUDA_LIBRARIES)");
            return;
        }
        for program in PROGRAMS {
            let code = compile(*program, "sm_90a").unwrap_or_else(|e| panic!("{e}"));
            assert!(code.starts_with(b"\x7fELF"), "{}", program.0);
        }
    }

    #[test]
    fn kernels_have_one_home() {
        let mut names: Vec<&str> = PROGRAMS.iter().flat_map(|(_, source)| kernels(source)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert!(count > 20 && names.len() == count, "a kernel's name is taken twice");
    }
}
