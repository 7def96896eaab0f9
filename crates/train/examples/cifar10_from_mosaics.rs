//! Writes CIFAR-10's binary files from lossless WebP mosaics: 100 x 100 tiles of 32 x 32 pixels a batch.
//!
//! Tile `i` of a batch has its top left corner at `x = 32 * (i % 100)`, `y = 32 * (i / 100)`; `labels.bin` holds the
//! labels of all six batches in order, the test batch last.

use std::{
    error::Error,
    fs,
    io::{BufReader, Cursor},
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "usage: cifar10_from_mosaics FROM TO

Reads data_batch_1.webp to data_batch_5.webp, test_batch.webp and labels.bin
in the folder FROM, and writes data_batch_1.bin to data_batch_5.bin and
test_batch.bin (30,730,000 bytes each) into the folder TO, made if absent.";

const BATCHES: [&str; 6] =
    ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];
const TILES: usize = 100;
const SIDE: usize = 32;
const WIDE: usize = TILES * SIDE;
const EACH: usize = TILES * TILES;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if arguments.iter().any(|a| a.as_os_str() == "--help" || a.as_os_str() == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let [from, to] = &arguments[..] else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match convert(from, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("cifar10_from_mosaics: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn convert(from: &Path, to: &Path) -> Outcome<()> {
    let path = from.join("labels.bin");
    let labels = read(&path)?;
    if labels.len() != EACH * BATCHES.len() || labels.iter().any(|&l| l > 9) {
        return Err(format!("{}: must be 60,000 bytes of 0 to 9", path.display()).into());
    }
    fs::create_dir_all(to).map_err(|e| format!("{}: {e}", to.display()))?;
    for (name, labels) in BATCHES.iter().zip(labels.chunks(EACH)) {
        let pixels = mosaic(&from.join(name).with_extension("webp"))?;
        let out = to.join(name).with_extension("bin");
        write(&out, &records(&pixels, labels))?;
        println!("{}", out.display());
    }
    Ok(())
}

fn read(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(|e| format!("{}: {e}", path.display()).into())
}

/// The picture's pixels, three bytes each, row by row.
fn mosaic(path: &Path) -> Outcome<Vec<u8>> {
    let named = |e: image_webp::DecodingError| format!("{}: {e}", path.display());
    let mut decoder = image_webp::WebPDecoder::new(BufReader::new(Cursor::new(read(path)?))).map_err(named)?;
    if decoder.dimensions() != (WIDE as u32, WIDE as u32) || decoder.has_alpha() {
        return Err(
            format!("{}: must be a picture of {WIDE} x {WIDE} pixels without transparency", path.display()).into()
        );
    }
    let mut pixels = vec![0; WIDE * WIDE * 3];
    decoder.read_image(&mut pixels).map_err(named)?;
    Ok(pixels)
}

/// One record a tile: its label, then its red, green and blue planes.
fn records(pixels: &[u8], labels: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(EACH * (1 + 3 * SIDE * SIDE));
    for (i, &label) in labels.iter().enumerate() {
        let corner = (i / TILES * SIDE) * WIDE + i % TILES * SIDE;
        out.push(label);
        for channel in 0..3 {
            let rows = (0..SIDE).map(|y| corner + y * WIDE);
            out.extend(rows.flat_map(|row| row..row + SIDE).map(|at| pixels[3 * at + channel]));
        }
    }
    out
}

/// Writes under a temporary name first, so a file of the right name is whole.
fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let part = path.with_extension("bin.part");
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, path))
        .map_err(|e| format!("{}: {e}", path.display()).into())
}
