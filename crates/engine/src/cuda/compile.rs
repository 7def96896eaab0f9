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

/// A source file and the headers that stand before it.
#[derive(Clone, Copy)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    headers: &'static [&'static str],
    source: &'static str,
}

macro_rules! programs {
    ($($name:literal $(: $($header:literal)*)?),* $(,)?) => {
        &[$(Program {
            name: $name,
            headers: &[$($(include_str!(concat!($header, ".cuh"))),*)?],
            source: include_str!(concat!($name, ".cu")),
        }),*]
    };
}

pub(crate) const PROGRAMS: &[Program] = programs![
    "activation",
    "attention": "warpgroup" "heads" "fragments" "teams",
    "convolution": "curves" "pixels",
    "cross_entropy",
    "elementwise": "columns",
    "embedding",
    "flat",
    "grams": "warpgroup" "boxes" "gram_norm",
    "group_norm": "held",
    "layer_norm": "held",
    "loss",
    "means",
    "moved",
    "noise": "normals",
    "noised_walk": "normals",
    "normalise": "columns",
    "octets": "curves" "pixels" "warpgroup",
    "patches_norms": "tile" "patches",
    "patches_sum": "tile" "patches" "weighted",
    "per_example": "weigh" "gram_norm",
    "pool",
    "product_norms": "tile",
    "product_sum": "tile" "weighted",
    "scatter",
    "softmax",
    "stacked",
    "standardise",
    "stencil_norms": "pixels" "stencil",
    "stencil_sum": "pixels" "stencil",
    "sum_of_parts",
    "unfold",
];

impl Program {
    /// The program that has this kernel.
    pub(crate) fn of(kernel: &str) -> Option<&'static Program> {
        PROGRAMS.iter().find(|program| program.kernels().any(|name| name == kernel))
    }

    /// The names of its kernels: lines that begin with `KERNEL name(`.
    pub(crate) fn kernels(&self) -> impl Iterator<Item = &'static str> {
        self.source.lines().filter_map(|line| line.strip_prefix("KERNEL ")?.split('(').next())
    }

    /// The whole text, with `defines` (`"WIDTH=64 PRECISION=1"`) in front.
    fn text(&self, defines: &str) -> String {
        let mut text = String::new();
        for (name, value) in defines.split_whitespace().filter_map(|define| define.split_once('=')) {
            text += &format!("#define {name} {value}\n");
        }
        for part in [COMMON].iter().chain(self.headers) {
            text += part;
        }
        text + &format!("\n#line 1 \"{}.cu\"\n{}", self.name, self.source)
    }
}

/// Machine code (a cubin) of a program for an architecture such as `sm_90`, from the cache if it is there.
pub(crate) fn machine_code(
    program: &Program,
    defines: &str,
    architecture: &str,
    driver: i32,
) -> Result<Vec<u8>, DeviceError> {
    let text = program.text(defines);
    let file = cache().map(|folder| folder.join(file_name(program.name, &text, architecture, driver)));
    if let Some(known) = file.as_ref().and_then(|file| std::fs::read(file).ok()).filter(|code| !code.is_empty()) {
        return Ok(known);
    }
    let code = compile(program.name, text, architecture)?;
    // A cache that cannot be written costs a second of compilation at the next start, and nothing else.
    let _ = file.map(|file| write_atomically(&file, &code));
    Ok(code)
}

/// Compiles a program.
pub(crate) fn compile(name: &str, text: String, architecture: &str) -> Result<Vec<u8>, DeviceError> {
    compile_with_log(name, text, architecture).map(|(code, _)| code)
}

/// Compiles a program: its code, and what the compiler says of it.
fn compile_with_log(name: &str, text: String, architecture: &str) -> Result<(Vec<u8>, String), DeviceError> {
    if !library::open("nvrtc") {
        return Err(DeviceError(
            "libnvrtc, which compiles CUDA kernels, was not found: install CUDA or `pip install \
             nvidia-cuda-nvrtc`, or name its folder in SECATEUR_CUDA_LIBRARIES"
                .to_owned(),
        ));
    }
    let failed = |what: &str| DeviceError(format!("{name}.cu: {what}"));
    let text = CString::new(text).map_err(|_| failed("a NUL byte"))?;
    let options = [format!("--gpu-architecture={architecture}"), "--std=c++17".into(), "-default-device".into()];
    let program = result::create_program(&text, None).map_err(|e| failed(&format!("{e:?}")))?;
    // SAFETY: the program was created above and is destroyed once, below.
    unsafe {
        let compiled = result::compile_program(program, &options);
        let code = compiled.map_err(|_| failed(&log(program))).and_then(|()| cubin(program).map_err(|e| failed(&e)));
        let code = code.map(|code| (code, log(program)));
        let _ = result::destroy_program(program);
        code
    }
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

fn file_name(name: &str, text: &str, architecture: &str, driver: i32) -> String {
    let mut hasher = DefaultHasher::new();
    (text, driver, env!("CARGO_PKG_VERSION")).hash(&mut hasher);
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
    use super::{PROGRAMS, Program, compile_with_log, library};
    use crate::Dtype;

    /// Kernels are found by their names alone.
    #[test]
    fn no_two_kernels_have_one_name() {
        let mut names: Vec<_> = PROGRAMS.iter().flat_map(Program::kernels).collect();
        names.sort_unstable();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    /// What programs that have variants are compiled with here.
    const VARIANTS: &[(&str, &str)] = &[
        ("activation", "ACTIVATION=0"),
        ("activation", "ACTIVATION=1"),
        ("activation", "ACTIVATION=2"),
        ("attention", "HEAD=64 WIDTH=64 CAUSAL=1 PRECISION=0 WARPGROUPS=0"),
        ("attention", "HEAD=30 WIDTH=32 CAUSAL=0 PRECISION=1 WARPGROUPS=0"),
        ("attention", "HEAD=128 WIDTH=128 CAUSAL=1 PRECISION=1 WARPGROUPS=0"),
        ("attention", "HEAD=64 WIDTH=64 CAUSAL=1 PRECISION=1 WARPGROUPS=1 NUMBER=bf16"),
        ("attention", "HEAD=32 WIDTH=32 CAUSAL=0 PRECISION=1 WARPGROUPS=1 NUMBER=bf16"),
        ("attention", "HEAD=81 WIDTH=96 CAUSAL=0 PRECISION=1 WARPGROUPS=1 NUMBER=bf16"),
        (
            "convolution",
            "IN_C=32 IN_H=32 IN_W=32 OUT_C=32 OUT_H=32 OUT_W=32 KH=3 KW=3 SH=1 SW=1 PH=1 PW=1 ROWS=8 IMAGES=1 MI=2 NI=8 \
             WARPS_M=1 WARPS_N=4 WARPS=4 DEEP=1 ALIGNED=1 ACTIVATION=2",
        ),
        (
            "convolution",
            "IN_C=128 IN_H=8 IN_W=8 OUT_C=128 OUT_H=8 OUT_W=8 KH=3 KW=3 SH=1 SW=1 PH=1 PW=1 ROWS=8 IMAGES=4 MI=4 NI=8 \
             WARPS_M=1 WARPS_N=4 WARPS=4 DEEP=1 ALIGNED=1 ACTIVATION=0",
        ),
        (
            "convolution",
            "IN_C=5 IN_H=9 IN_W=7 OUT_C=70 OUT_H=4 OUT_W=7 KH=1 KW=1 SH=2 SW=1 PH=1 PW=1 ROWS=4 IMAGES=8 MI=4 NI=8 \
             WARPS_M=1 WARPS_N=4 WARPS=4 DEEP=4 ALIGNED=0 ACTIVATION=1",
        ),
        (
            "convolution",
            "IN_C=1 IN_H=28 IN_W=28 OUT_C=16 OUT_H=14 OUT_W=14 KH=8 KW=8 SH=2 SW=2 PH=3 PW=3 ROWS=14 IMAGES=1 MI=1 NI=8 WARPS_M=1 \
             WARPS_N=4 WARPS=4 DEEP=1 ALIGNED=0 NARROW=1 ACTIVATION=2",
        ),
        (
            "convolution",
            "IN_C=32 IN_H=5 IN_W=5 OUT_C=64 OUT_H=7 OUT_W=7 KH=2 KW=2 SH=1 SW=1 PH=1 PW=1 ROWS=7 IMAGES=4 MI=4 NI=8 WARPS_M=1 \
             WARPS_N=4 WARPS=4 DEEP=1 ALIGNED=0 NARROW=0 UP=2 FULL_C=16 FULL_H=13 FULL_W=13 CELLS_H=4 CELLS_W=4 BORDER_H=0 \
             BORDER_W=0 ACTIVATION=0",
        ),
        (
            "convolution",
            "IN_C=128 IN_H=16 IN_W=16 OUT_C=256 OUT_H=16 OUT_W=16 KH=2 KW=2 SH=1 SW=1 PH=0 PW=0 ROWS=16 IMAGES=1 MI=4 NI=8 WARPS_M=1 \
             WARPS_N=4 WARPS=4 DEEP=1 ALIGNED=1 NARROW=0 UP=2 FULL_C=64 FULL_H=32 FULL_W=32 CELLS_H=3 CELLS_W=3 BORDER_H=1 \
             BORDER_W=1 ACTIVATION=0",
        ),
        ("noised_walk", "GPUS=1"),
        ("noised_walk", "GPUS=2"),
        ("noised_walk", "GPUS=8"),
        ("grams", "CLUSTER=1 STAGES=6"),
        ("grams", "CLUSTER=2 STAGES=4"),
        ("grams", "CLUSTER=1 STAGES=6 NUMBER=bf16"),
        ("grams", "CLUSTER=2 STAGES=4 NUMBER=bf16"),
        ("grams", "CLUSTER=4 STAGES=4"),
        ("grams", "CLUSTER=4 STAGES=4 NUMBER=bf16"),
        ("group_norm", "FOURS=1 RELU=0"),
        ("group_norm", "FOURS=8 RELU=1"),
        ("layer_norm", "FOURS=6"),
        ("layer_norm", "FOURS=16"),
        ("product_norms", "ALONG=0 BK=32 STAGES=3 PRECISION=0 ALIGNED=0 WM=32 WN=32 WARPS_M=1 WARPS_N=4 BLOCKS=4"),
        ("product_norms", "ALONG=0 BK=32 STAGES=3 PRECISION=1 ALIGNED=1 WM=64 WN=64 WARPS_M=2 WARPS_N=2 BLOCKS=2"),
        ("product_norms", "ALONG=0 BK=32 STAGES=3 PRECISION=2 ALIGNED=1 WM=64 WN=64 WARPS_M=2 WARPS_N=2 BLOCKS=2"),
        ("product_norms", "ALONG=0 BK=32 STAGES=3 PRECISION=2 ALIGNED=0 WM=32 WN=32 WARPS_M=1 WARPS_N=4 BLOCKS=4"),
        ("product_sum", "ALONG=0 BK=16 STAGES=3 PRECISION=2 ALIGNED=1 WM=64 WN=64 WARPS_M=4 WARPS_N=2 BLOCKS=1"),
        ("product_sum", "ALONG=0 BK=32 STAGES=3 PRECISION=2 ALIGNED=0 WM=32 WN=64 WARPS_M=2 WARPS_N=2 BLOCKS=2"),
        ("product_sum", "ALONG=0 BK=16 STAGES=3 PRECISION=0 ALIGNED=1 WM=64 WN=32 WARPS_M=2 WARPS_N=4 BLOCKS=1"),
        ("product_sum", "ALONG=0 BK=16 STAGES=3 PRECISION=1 ALIGNED=1 WM=64 WN=64 WARPS_M=4 WARPS_N=2 BLOCKS=1"),
        ("patches_norms", "ALONG=1 LINE=32 STAGES=3 PRECISION=0 ALIGNED=0 WM=32 WN=32 WARPS_M=1 WARPS_N=4 BLOCKS=4"),
        ("patches_norms", "ALONG=1 LINE=32 STAGES=3 PRECISION=1 ALIGNED=1 WM=64 WN=64 WARPS_M=2 WARPS_N=2 BLOCKS=2"),
        ("patches_norms", "ALONG=1 LINE=32 STAGES=3 PRECISION=2 ALIGNED=0 WM=32 WN=32 WARPS_M=1 WARPS_N=4 BLOCKS=4"),
        ("patches_sum", "ALONG=1 LINE=16 STAGES=3 PRECISION=2 ALIGNED=1 WM=64 WN=64 WARPS_M=2 WARPS_N=2 BLOCKS=2"),
        ("patches_sum", "ALONG=1 LINE=32 STAGES=3 PRECISION=0 ALIGNED=0 WM=32 WN=32 WARPS_M=1 WARPS_N=4 BLOCKS=2"),
        ("patches_sum", "ALONG=1 LINE=16 STAGES=3 PRECISION=1 ALIGNED=1 WM=64 WN=64 WARPS_M=2 WARPS_N=2 BLOCKS=2"),
        (
            "stencil_norms",
            "IN_C=16 IN_H=9 IN_W=7 OUT_C=24 OUT_H=9 OUT_W=7 KH=3 KW=3 SH=1 SW=1 PH=1 PW=1 ROWS=8 MI=2 WARPS_M=1 WARPS_C=2 WARPS=2 \
             PRECISION=0 ALIGNED=0",
        ),
        (
            "stencil_norms",
            "IN_C=64 IN_H=32 IN_W=32 OUT_C=128 OUT_H=16 OUT_W=16 KH=3 KW=3 SH=2 SW=2 PH=1 PW=1 ROWS=4 MI=4 WARPS_M=1 \
             WARPS_C=4 WARPS=4 PRECISION=1 ALIGNED=1",
        ),
        (
            "stencil_norms",
            "IN_C=3 IN_H=16 IN_W=14 OUT_C=8 OUT_H=8 OUT_W=14 KH=4 KW=3 SH=2 SW=1 PH=1 PW=1 ROWS=4 MI=1 WARPS_M=1 WARPS_C=1 WARPS=1 \
             PRECISION=1 ALIGNED=0",
        ),
        (
            "stencil_sum",
            "IN_C=64 IN_H=32 IN_W=32 OUT_C=64 OUT_H=32 OUT_W=32 KH=3 KW=3 SH=1 SW=1 PH=1 PW=1 ROWS=2 MI=2 WARPS_M=2 \
             WARPS_C=4 WARPS=8 PRECISION=1 ALIGNED=1",
        ),
        (
            "stencil_sum",
            "IN_C=32 IN_H=8 IN_W=8 OUT_C=20 OUT_H=4 OUT_W=4 KH=1 KW=1 SH=2 SW=2 PH=0 PW=0 ROWS=4 MI=2 WARPS_M=1 WARPS_C=4 WARPS=4 \
             PRECISION=0 ALIGNED=1",
        ),
        (
            "octets",
            "IN_C=64 IN_H=32 IN_W=32 OUT_C=64 OUT_H=32 OUT_W=32 KH=3 KW=3 SH=1 SW=1 PH=1 PW=1 ROWS=8 IMAGES=1 WARPS=4 OCTETS=2 \
             ALIGNED=0 ACTIVATION=2 NUMBER=bf16",
        ),
        (
            "octets",
            "IN_C=70 IN_H=16 IN_W=16 OUT_C=40 OUT_H=16 OUT_W=16 KH=2 KW=2 SH=1 SW=1 PH=0 PW=0 UP=2 CELLS_H=3 CELLS_W=3 BORDER_H=1 \
             BORDER_W=1 ROWS=4 IMAGES=1 WARPS=4 OCTETS=2 ALIGNED=0 ACTIVATION=0 NUMBER=bf16",
        ),
        (
            "octets",
            "IN_C=70 IN_H=8 IN_W=8 OUT_C=40 OUT_H=8 OUT_W=8 KH=1 KW=1 SH=1 SW=1 PH=0 PW=0 UP=2 CELLS_H=1 CELLS_W=1 BORDER_H=0 \
             BORDER_W=0 ROWS=8 IMAGES=1 WARPS=4 OCTETS=4 ALIGNED=0 ACTIVATION=0 NUMBER=bf16",
        ),
        (
            "octets",
            "IN_C=40 IN_H=15 IN_W=16 OUT_C=70 OUT_H=8 OUT_W=8 KH=3 KW=3 SH=2 SW=2 PH=1 PW=1 ROWS=8 IMAGES=4 WARPS=4 OCTETS=2 \
             ALIGNED=0 ACTIVATION=1 NUMBER=bf16",
        ),
        (
            "octets",
            "IN_C=16 IN_H=16 IN_W=16 OUT_C=64 OUT_H=16 OUT_W=16 KH=1 KW=1 SH=1 SW=1 PH=0 PW=0 ROWS=16 IMAGES=1 WARPS=4 OCTETS=4 \
             ALIGNED=0 ACTIVATION=0 NUMBER=bf16",
        ),
    ];

    /// Every program compiles for Hopper, and the compiler makes no tensor core wait for each product; no device is needed, only NVRTC.
    #[test]
    fn every_program_compiles() {
        if !library::open("nvrtc") {
            println!("skipped: libnvrtc was not found (pip install nvidia-cuda-nvrtc, or SECATEUR_CUDA_LIBRARIES)");
            return;
        }
        for program in PROGRAMS {
            let mine = VARIANTS.iter().filter(|(name, _)| *name == program.name).map(|(_, defines)| *defines);
            let mine: Vec<&str> = mine.collect();
            let mine = if mine.is_empty() { vec![""] } else { mine };
            // Those of activations, for each type that these have.
            let dtypes: &[Dtype] =
                if program.source.contains("number*") { &[Dtype::F32, Dtype::Bf16] } else { &[Dtype::F32] };
            let all = mine.iter().flat_map(|mine| dtypes.iter().map(move |dtype| format!("{mine} {}", dtype.define())));
            for defines in &all.collect::<Vec<String>>() {
                let made = compile_with_log(program.name, program.text(defines), "sm_90a");
                let (code, log) = made.unwrap_or_else(|e| panic!("{e}"));
                assert!(code.starts_with(b"\x7fELF"), "{} {defines}", program.name);
                assert!(!log.contains("serialized"), "{} {defines}: {log}", program.name);
            }
        }
    }

    #[test]
    fn kernels_have_one_home() {
        let mut names: Vec<&str> = PROGRAMS.iter().flat_map(super::Program::kernels).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert!(count > 20 && names.len() == count, "a kernel's name is taken twice");
    }
}
