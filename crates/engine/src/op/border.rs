//! Images with a border of zeros, for the kernels that walk over them in place.

use multiversion::multiversion;

/// Copies planes of `h` by `w` into the middle of larger ones, whose borders become zeros.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn border(image: &[f32], [h, w]: [usize; 2], [ph, pw]: [usize; 2], out: &mut [f32]) {
    let wide = w + 2 * pw;
    for (plane, to) in image.chunks_exact(h * w).zip(out.chunks_exact_mut((h + 2 * ph) * wide)) {
        to[..ph * wide].fill(0.0);
        to[(ph + h) * wide..].fill(0.0);
        for (row, to) in plane.chunks_exact(w).zip(to[ph * wide..].chunks_exact_mut(wide)) {
            copy_line(row, &mut to[pw..pw + w]);
            // A fill of any length is a call, which takes longer than a short line's copy.
            if pw == 1 {
                (to[0], to[w + 1]) = (0.0, 0.0);
            } else {
                to[..pw].fill(0.0);
                to[pw + w..].fill(0.0);
            }
        }
    }
}

/// Copies a line of an image. Those of the usual widths are a few instructions, where a copy of any length is a call.
#[inline(always)]
fn copy_line(from: &[f32], to: &mut [f32]) {
    match from.len() {
        8 => copy_all::<8>(from, to),
        16 => copy_all::<16>(from, to),
        32 => copy_all::<32>(from, to),
        _ => to.copy_from_slice(from),
    }
}

/// As [`copy_line`], for lines of `LEN`.
#[inline(always)]
fn copy_all<const LEN: usize>(from: &[f32], to: &mut [f32]) {
    to.as_chunks_mut::<LEN>().0.iter_mut().zip(from.as_chunks::<LEN>().0).for_each(|(to, from)| *to = *from);
}

#[cfg(test)]
mod tests {
    use super::border;

    #[test]
    fn every_pixel_is_in_its_place_and_all_else_is_zero() {
        for (h, w, ph, pw) in [(3, 8, 1, 1), (2, 16, 0, 1), (1, 32, 2, 3), (4, 5, 1, 0), (2, 7, 0, 2), (3, 33, 1, 1)] {
            let image: Vec<f32> = (1..=2 * h * w).map(|i| i as f32).collect();
            let (tall, wide) = (h + 2 * ph, w + 2 * pw);
            let mut out = vec![f32::NAN; 2 * tall * wide];
            border(&image, [h, w], [ph, pw], &mut out);
            for (at, x) in out.iter().enumerate() {
                let (plane, y, x_at) = (at / (tall * wide), at / wide % tall, at % wide);
                let inside = (ph..ph + h).contains(&y) && (pw..pw + w).contains(&x_at);
                let want = if inside { image[(plane * h + y - ph) * w + x_at - pw] } else { 0.0 };
                assert_eq!(*x, want, "{h} x {w} with {ph}, {pw}: ({plane}, {y}, {x_at})");
            }
        }
    }
}
