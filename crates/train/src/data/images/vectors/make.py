"""Pictures in many forms and what Pillow (13.0.0) makes of them: `pictures.hex`, for ../tests.rs.

A line is a name and bytes. `NAME.png` or `NAME.jpg` is a file; `NAME CHANNELS HxW FIT` what it becomes, in planes: `crop` is
torchvision's Resize and CenterCrop on Pillow pictures, `crop-N` Resize(N) first.

python make.py
"""

import io

import numpy as np
from PIL import Image, ImageOps

rng = np.random.default_rng(7)
out = open("pictures.hex", "w")
files = {}


def smooth(h, w, c):
    """Waves and some noise: neither flat nor noise alone."""
    y, x = np.mgrid[0:h, 0:w]
    planes = [128 + 70 * np.sin(x / (3 + k)) + 50 * np.cos(y / (2 + k)) + rng.normal(0, 6, (h, w)) for k in range(c)]
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8).squeeze()


def crop(image, h, w, shorter):
    """torchvision.transforms.functional.resize(image, shorter), antialiased, and center_crop(image, (h, w))."""
    short, long = min(image.size), max(image.size)
    new = (shorter, int(shorter * long / short))
    image = image.resize(new if image.width <= image.height else new[::-1], Image.BILINEAR)
    top, left = round((image.height - h) / 2.0), round((image.width - w) / 2.0)
    return image.crop((left, top, left + w, top + h))


def expect(name, channels, h, w, fit):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(files[name]))).convert({"grey": "L", "rgb": "RGB"}[channels])
    if fit == "stretch":
        image = image.resize((w, h), Image.BILINEAR)
    else:
        image = crop(image, h, w, int(fit[5:] or min(h, w)))
    pixels = np.asarray(image).reshape(h, w, -1).transpose(2, 0, 1)
    out.write(f"{name.split('.')[0]} {channels} {h}x{w} {fit} {pixels.tobytes().hex()}\n")


def save(pixels, name, mode=None, **options):
    image = Image.fromarray(pixels)
    image = image.convert(mode) if mode else image
    into = io.BytesIO()
    image.save(into, {"png": "PNG", "jpg": "JPEG"}[name[-3:]], **options)
    files[name] = into.getvalue()
    out.write(f"{name} {files[name].hex()}\n")


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


colour, grey = smooth(9, 14, 3), smooth(15, 11, 1)
save(colour, "colour.png")
expect("colour.png", "rgb", 6, 6, "crop")
expect("colour.png", "grey", 6, 6, "crop-8")
expect("colour.png", "rgb", 13, 7, "stretch")
save(grey, "grey.png")
expect("grey.png", "grey", 7, 7, "crop")
expect("grey.png", "rgb", 5, 5, "crop-8")
save(colour, "palette.png", "P")
expect("palette.png", "rgb", 9, 9, "crop")
save(grey, "bits.png", "1")
expect("bits.png", "grey", 15, 11, "stretch")
alpha = np.dstack([colour, np.full(colour.shape[:2], 255, np.uint8)])
save(alpha, "opaque.png")
expect("opaque.png", "rgb", 9, 9, "crop")
alpha[3, 4, 3] = 254
save(alpha, "through.png")
save(grey.astype(np.uint16) * 16, "deep.png")
out.write(f"deep grey 15x11 stretch {grey.tobytes().hex()}\n")
for turn in range(1, 9):
    save(colour[:4, :3], f"turned{turn}.png", exif=exif(turn))
    expect(f"turned{turn}.png", "rgb", *((3, 4) if turn > 4 else (4, 3)), "stretch")
photo = smooth(16, 24, 3)
save(photo, "photo.jpg", quality=90, exif=exif(6))
expect("photo.jpg", "rgb", 24, 16, "stretch")
save(photo, "progressive.jpg", quality=90, progressive=True, subsampling=0)
expect("progressive.jpg", "rgb", 16, 16, "crop")
save(grey, "greyphoto.jpg", quality=90)
expect("greyphoto.jpg", "grey", 15, 11, "stretch")
save(photo, "print.jpg", "CMYK")
