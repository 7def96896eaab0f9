//! Every picture in one public form: turned to be seen, scaled, cut, in grey or in colours, plane by plane.
use super::{Channels, Fit, decode::Picture};
use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

/// The public form.
pub(super) struct Fitting {
    /// Height and width.
    pub size: [usize; 2],
    /// How other sizes are brought to it.
    pub fit: Fit,
    /// What the shorter side is scaled to before the cut.
    pub resize: Option<usize>,
    /// One plane or three.
    pub channels: Channels,
}

/// Pixels as they are seen: `height * width * channels` bytes, the channels of a pixel side by side.
struct Seen {
    size: [usize; 2],
    channels: usize,
    pixels: Vec<u8>,
}

impl Fitting {
    /// Puts the picture in its form to `out`, `channels * height * width` bytes, plane by plane.
    ///
    /// # Errors
    /// Another size than the declared one, with `fit = "exact"`; sides too unlike to be scaled.
    pub(super) fn put(&self, picture: &Picture, out: &mut [u8]) -> Result<(), String> {
        let seen = coloured(turned(picture), self.channels);
        let scaled = scale(seen, self.scaled(picture)?)?;
        let [height, width] = self.size;
        let [top, left] = [middle(scaled.size[0], height), middle(scaled.size[1], width)];
        for (plane, out) in out.chunks_exact_mut(height * width).enumerate() {
            for (y, row) in out.chunks_exact_mut(width).enumerate() {
                let from = (top + y) * scaled.size[1] + left;
                let pixels = scaled.pixels[from * scaled.channels..].iter().skip(plane).step_by(scaled.channels);
                row.iter_mut().zip(pixels).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(())
    }

    /// The size that the picture is scaled to: the sides, in proportion, are rounded down, as torchvision does.
    fn scaled(&self, picture: &Picture) -> Result<[usize; 2], String> {
        let [height, width] = seen(picture);
        let [high, wide] = match (self.fit, self.resize) {
            (Fit::Stretch, _) => return Ok(self.size),
            (Fit::Exact, _) if [height, width] == self.size => return Ok(self.size),
            (Fit::Exact, _) => {
                let [high, wide] = self.size;
                return Err(format!(
                    "is not {high} pixels high and {wide} wide; with `fit = \"crop\"` or `\"stretch\"` it is scaled"
                ));
            }
            (Fit::Crop, Some(side)) => [side; 2],
            (Fit::Crop, None) => self.size,
        };
        let sides = match width * high <= height * wide {
            true => [wide * height / width, wide],
            false => [high, high * width / height],
        };
        let few = sides[0] * sides[1] <= 1 << 27;
        if few { Ok(sides) } else { Err("is so much longer one way that scaled it is too large; cut it first".into()) }
    }
}

/// Where a stretch of `inner` begins in the middle of `outer`; half a pixel goes to the even side, as Python rounds.
fn middle(outer: usize, inner: usize) -> usize {
    ((outer - inner) as f64 / 2.0).round_ties_even() as usize
}

/// Height and width as seen: four of the orientations lie on their side.
fn seen(picture: &Picture) -> [usize; 2] {
    match picture.orientation {
        5.. => [picture.width, picture.height],
        _ => [picture.height, picture.width],
    }
}

/// The picture as its EXIF orientation says that it is to be seen.
fn turned(picture: &Picture) -> Seen {
    let (w, h, channels) = (picture.width, picture.height, picture.channels);
    let size = seen(picture);
    if picture.orientation == 1 {
        return Seen { size, channels, pixels: picture.pixels.clone() };
    }
    // Row and column in the file of what is seen at (y, x).
    let stored = |y: usize, x: usize| match picture.orientation {
        2 => (y, w - 1 - x),
        3 => (h - 1 - y, w - 1 - x),
        4 => (h - 1 - y, x),
        5 => (x, y),
        6 => (h - 1 - x, y),
        7 => (h - 1 - x, w - 1 - y),
        8 => (x, w - 1 - y),
        _ => (y, x),
    };
    let places = (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| (y, x)));
    let pixel = |(y, x)| {
        let (row, column) = stored(y, x);
        &picture.pixels[(row * w + column) * channels..][..channels]
    };
    Seen { size, channels, pixels: places.flat_map(pixel).copied().collect() }
}

/// In grey or in colours. Luma is ITU-R BT.601's, in the 16-bit fixed point of Pillow.
fn coloured(seen: Seen, channels: Channels) -> Seen {
    let luma =
        |p: &[u8]| ((19595 * u32::from(p[0]) + 38470 * u32::from(p[1]) + 7471 * u32::from(p[2]) + 0x8000) >> 16) as u8;
    let pixels = match (seen.channels, channels) {
        (3, Channels::Grey) => seen.pixels.chunks_exact(3).map(luma).collect(),
        (1, Channels::Rgb) => seen.pixels.iter().flat_map(|grey| [*grey; 3]).collect(),
        _ => seen.pixels,
    };
    Seen { channels: channels.count(), pixels, ..seen }
}

/// Scaled to `size`: bilinear, its support grown to the scale where it shrinks, as Pillow does.
fn scale(seen: Seen, size: [usize; 2]) -> Result<Seen, String> {
    if seen.size == size {
        return Ok(seen);
    }
    let kind = if seen.channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let unable = || "cannot be scaled; convert it to another size first".to_owned();
    let from = ImageRef::new(seen.size[1] as u32, seen.size[0] as u32, &seen.pixels, kind).map_err(|_| unable())?;
    let mut to = Image::new(size[1] as u32, size[0] as u32, kind);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&from, &mut to, &options).map_err(|_| unable())?;
    Ok(Seen { size, channels: seen.channels, pixels: to.into_vec() })
}
