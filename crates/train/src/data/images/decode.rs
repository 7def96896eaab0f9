//! From the bytes of a PNG or JPEG file to pixels of 8 bits. Messages say what is wrong, and nothing of the content.
use std::{
    io::{Cursor, Read},
    path::Path,
};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// A picture of more pixels is refused before memory is taken for it: a small file can ask for any number.
const MOST_PIXELS: u64 = 1 << 27;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";

/// Pixels, row by row, the channels of a pixel side by side.
pub(super) struct Picture {
    /// Pixels a row, as stored.
    pub width: usize,
    /// Rows, as stored.
    pub height: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub pixels: Vec<u8>,
    /// The EXIF orientation, 1 to 8: how it is to be turned and mirrored to be seen.
    pub orientation: u8,
}

/// Whether the file begins as a picture does.
pub(super) fn is_picture(path: &Path) -> bool {
    let mut first = [0; 8];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut first));
    read.is_ok_and(|n| first[..n].starts_with(PNG) || first[..n].starts_with(JPEG))
}

/// The picture in a file's bytes. `window`: the values of a 16-bit picture that become 0 and 255.
///
/// # Errors
/// Bytes that are neither PNG nor JPEG, end too soon or are damaged; see-through pixels, 16 bits without a window, too many pixels.
pub(super) fn decode(bytes: &[u8], window: Option<[u16; 2]>) -> Result<Picture, String> {
    if bytes.starts_with(PNG) {
        png(bytes, window)
    } else if bytes.starts_with(JPEG) {
        jpeg(bytes)
    } else {
        Err("is neither a PNG nor a JPEG file; convert it, or move it away".into())
    }
}

fn broken(kind: &str) -> String {
    format!("is not a whole {kind} file (truncated or damaged); fetch it again, or decide to leave it out")
}

fn bounded(width: u64, height: u64) -> Result<(), String> {
    let fine = (1..=MOST_PIXELS).contains(&(width * height));
    if fine { Ok(()) } else { Err("has no pixels, or more than 134 million; scale it down first".into()) }
}

fn png(bytes: &[u8], window: Option<[u16; 2]>) -> Result<Picture, String> {
    let broken = |_| broken("PNG");
    // The header stands first, in a chunk whose content begins at byte 16.
    if let Some(&[a, b, c, d, e, f, g, h]) = bytes.get(16..24) {
        bounded(u32::from_be_bytes([a, b, c, d]).into(), u32::from_be_bytes([e, f, g, h]).into())?;
    }
    let limits = png::Limits { bytes: 1 << 30 };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    // Palettes and fewer bits become 8, a colour that is declared see-through becomes alpha.
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(broken)?;
    let (width, height) = (reader.info().width, reader.info().height);
    let size = reader.output_buffer_size().ok_or_else(|| "has too many pixels".to_owned())?;
    let mut pixels = vec![0; size];
    reader.next_frame(&mut pixels).map_err(broken)?;
    reader.finish().map_err(broken)?;
    let orientation = reader.info().exif_metadata.as_deref().map_or(1, orientation);
    let (color, depth) = reader.output_color_type();
    if depth == png::BitDepth::Sixteen {
        pixels = narrow(
            &pixels,
            window,
            matches!(color, png::ColorType::GrayscaleAlpha | png::ColorType::Rgba),
            color.samples(),
        )?;
    }
    let (channels, pixels) = match color {
        png::ColorType::Grayscale => (1, pixels),
        png::ColorType::Rgb => (3, pixels),
        png::ColorType::GrayscaleAlpha => (1, opaque(&pixels, 2)?),
        png::ColorType::Rgba => (3, opaque(&pixels, 4)?),
        png::ColorType::Indexed => return Err("has a palette that is missing".into()),
    };
    Ok(Picture { width: width as usize, height: height as usize, channels, pixels, orientation })
}

/// 16 bits to 8, by the declared window; the alpha of `samples` a pixel, the last, is not looked at through it.
fn narrow(pixels: &[u8], window: Option<[u16; 2]>, alpha: bool, samples: usize) -> Result<Vec<u8>, String> {
    let Some([black, white]) = window.map(|window| window.map(f64::from)) else {
        return Err(
            "has 16 bits a channel: declare the public values that become black and white, `window = [0, 65535]`"
                .into(),
        );
    };
    let values = pixels.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let seen = |value: u16| ((f64::from(value) - black) / (white - black) * 255.0).clamp(0.0, 255.0).round() as u8;
    let byte = |(i, value): (usize, u16)| match alpha && i % samples == samples - 1 {
        true => u8::from(value == u16::MAX) * 255,
        false => seen(value),
    };
    Ok(values.enumerate().map(byte).collect())
}

/// Takes the alpha off, the last of `samples`, where all of it is opaque.
fn opaque(pixels: &[u8], samples: usize) -> Result<Vec<u8>, String> {
    if pixels.chunks_exact(samples).any(|pixel| pixel[samples - 1] != 255) {
        return Err("has see-through pixels; lay it on a background first".into());
    }
    Ok(pixels.chunks_exact(samples).flat_map(|pixel| &pixel[..samples - 1]).copied().collect())
}

fn jpeg(bytes: &[u8]) -> Result<Picture, String> {
    let broken = || broken("JPEG");
    if !ends(bytes) {
        return Err(broken());
    }
    let options = DecoderOptions::default().set_strict_mode(true).set_max_width(usize::from(u16::MAX));
    let options = options.set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(|_| broken())?;
    let (width, height) = decoder.dimensions().ok_or_else(broken)?;
    bounded(width as u64, height as u64)?;
    let (channels, space) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
        Some(ColorSpace::CMYK | ColorSpace::YCCK) => return Err("is in CMYK, for print; convert it to RGB".into()),
        _ => (3, ColorSpace::RGB),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let pixels = decoder.decode().map_err(|_| broken())?;
    if pixels.len() != width * height * channels {
        return Err(broken());
    }
    let orientation = decoder.exif().map_or(1, |exif| orientation(exif));
    Ok(Picture { width, height, channels, pixels, orientation })
}

/// Whether a JPEG's own end mark is there: decoders fill up with grey what is missing. Thumbnails within segments are stepped over.
fn ends(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[mark, kind]) = bytes.get(at..at + 2) {
        at += match (mark, kind) {
            (0xff, 0xd9) => return true,
            // Pixels (where 0xff is followed by zero), restarts in them, and fill bytes.
            (0..=0xfe, _) | (0xff, 0xff) => 1,
            (0xff, 0x00..=0x01 | 0xd0..=0xd8) => 2,
            (0xff, _) => match bytes.get(at + 2..at + 4) {
                Some(&[high, low]) => 2 + usize::from(u16::from_be_bytes([high, low])).max(2),
                _ => return false,
            },
        };
    }
    false
}

/// The orientation that EXIF data tell (a TIFF header and its first directory); 1, as stored, where they tell none.
fn orientation(exif: &[u8]) -> u8 {
    told(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif)).filter(|way| (1..=8).contains(way)).map_or(1, |way| way as u8)
}

fn told(exif: &[u8]) -> Option<u16> {
    let little = match exif.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let short = |at: usize| {
        let pair = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
    };
    let four = exif.get(4..8)?.try_into().ok()?;
    let directory = if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) } as usize;
    let entries = usize::from(short(directory)?);
    // An entry: tag, type, count (4 bytes), value (4 bytes, a short in the first two).
    let entry = (0..entries).map(|i| directory + 2 + 12 * i).find(|at| short(*at) == Some(0x0112))?;
    short(entry + 8)
}
