"""Writes the pictures in this folder, and what Pillow makes of them: `cases.json` lists them. Run by hand.

    python -m venv venv && venv/bin/pip install pillow==12.0.0 numpy==2.4.6 && venv/bin/python make_cases.py

Pillow 13 resizes rows before columns where a picture loses much more height than width; all versions before it take
columns first, as weights and features in circulation were made with.

Every picture is drawn here. Expected results are PNG files that Pillow wrote, always 8-bit RGB.
"""

import json
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageOps, __version__

HERE = pathlib.Path(__file__).parent
FILTERS = {"Bilinear": Image.Resampling.BILINEAR, "Bicubic": Image.Resampling.BICUBIC}
decoded, resized, prepared = [], [], []


def save(name, picture, **options):
    picture.save(HERE / name, **options)
    return name


def scene(height, width):
    """Gentle waves, a grating, and edges; every channel its own."""
    y, x = np.mgrid[0:height, 0:width]
    waves = 127 + 80 * np.sin(x / 7) + 40 * np.cos(y / 5)
    ramp = 255 * x / max(width - 1, 1)
    grating = 255 * ((x // 3 + y // 4) % 2)
    picture = Image.fromarray(np.stack([waves, ramp, grating], -1).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((width // 8, height // 2, width // 3, height - 3), fill=(250, 20, 30))
    draw.ellipse((width // 2, height // 8, width - 4, height // 2), fill=(10, 30, 240))
    return picture


def gentle(height, width):
    """What a lossy encoding keeps nearly as it was."""
    y, x = np.mgrid[0:height, 0:width]
    waves = 127 + 80 * np.sin(x / 9) + 40 * np.cos(y / 8)
    ramp = 40 + 170 * x / max(width - 1, 1)
    fall = 220 - 150 * y / max(height - 1, 1)
    return Image.fromarray(np.stack([waves, ramp, fall], -1).astype(np.uint8))


def noise(height, width, seed=1):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def resize(name, height, width):
    with Image.open(HERE / name) as source:
        for filter, pillows in FILTERS.items():
            expected = f"{name[:-4]}_{height}x{width}_{filter.lower()}.png"
            save(expected, source.resize((width, height), pillows), optimize=True)
            case = dict(source=name, height=height, width=width, filter=filter, expected=expected)
            resized.append(case)


def prepare(name, shorter, crop, filter):
    """As torchvision does it: `Resize(shorter)`, `CenterCrop(crop)`."""
    with Image.open(HERE / name) as source:
        width, height = source.size
        if width <= height:
            size = (shorter, int(shorter * height / width))
        else:
            size = (int(shorter * width / height), shorter)
        picture = source.resize(size, FILTERS[filter])
    width, height = picture.size
    rows, columns = crop
    if columns > width or rows > height:
        left, top = max(columns - width, 0) // 2, max(rows - height, 0) // 2
        padded = Image.new("RGB", (max(columns, width), max(rows, height)))
        padded.paste(picture, (left, top))
        picture = padded
        width, height = picture.size
    top, left = int(round((height - rows) / 2.0)), int(round((width - columns) / 2.0))
    picture = picture.crop((left, top, left + columns, top + rows))
    expected = f"{name[:-4]}_shorter{shorter}_crop{rows}x{columns}_{filter.lower()}.png"
    save(expected, picture, optimize=True)
    prepared.append(dict(source=name, shorter=shorter, crop=crop, filter=filter, expected=expected))


def decode(name, expected=None):
    """The picture upright and in RGB; `expected` where Pillow's conversion is not what a reader wants."""
    with Image.open(HERE / name) as source:
        picture = expected or ImageOps.exif_transpose(source).convert("RGB")
    expected = name.replace(".", "_") + ".png"
    save(expected, picture, optimize=True)
    decoded.append(dict(source=name, expected=expected))


for old in HERE.iterdir():
    if old.suffix in {".png", ".jpg", ".webp"}:
        old.unlink()

# Sizes: smaller, larger, one side only, the same, odd, and 1.
save("scene.png", scene(54, 72), optimize=True)
for height, width in [(24, 32), (17, 23), (1, 1), (1, 50), (50, 1), (75, 101), (54, 72), (54, 30), (31, 72)]:
    resize("scene.png", height, width)
save("noise.png", noise(21, 33), optimize=True)
for height, width in [(7, 5), (21, 34), (43, 50), (5, 66)]:
    resize("noise.png", height, width)
for name, height, width in [("dot.png", 1, 1), ("row.png", 1, 40), ("column.png", 31, 1)]:
    save(name, noise(height, width, seed=2), optimize=True)
    for size in [(1, 1), (5, 3), (1, 9), (12, 1)]:
        resize(name, *size)

# Odd and even margins, and crops larger than the picture on one side and on both.
save("tall.png", scene(61, 40), optimize=True)
for filter in FILTERS:
    prepare("scene.png", 32, (28, 28), filter)
    prepare("tall.png", 23, (20, 17), filter)
prepare("tall.png", 16, (16, 16), "Bilinear")
prepare("tall.png", 16, (20, 31), "Bilinear")
prepare("scene.png", 17, (30, 30), "Bilinear")

# Without loss: every byte is the same.
grey = scene(19, 26).convert("L")
save("grey.png", grey)
decode("grey.png")
alpha = noise(19, 26, seed=3).convert("L")
save("grey_alpha.png", Image.merge("LA", (grey, alpha)))
decode("grey_alpha.png")
rgba = scene(19, 26)
rgba.putalpha(alpha)
save("rgba.png", rgba)
decode("rgba.png")
save("palette.png", scene(19, 26).quantize(13), bits=4)
decode("palette.png")
save("palette_clear.png", scene(19, 26).quantize(200), transparency=3)
decode("palette_clear.png")
save("bits.png", grey.convert("1"))
decode("bits.png")
# Pillow's own conversion of grey with 16 bits clips at 255; its channels of colour with 16 bits keep their high bytes.
wide = np.random.default_rng(4).integers(0, 65536, (19, 26), dtype=np.uint16)
save("grey_16.png", Image.fromarray(wide))
decode("grey_16.png", Image.fromarray((wide >> 8).astype(np.uint8)).convert("RGB"))
exif = Image.Exif()
exif[0x0112] = 6
save("turned.png", scene(19, 26), exif=exif)
decode("turned.png")
save("lossless.webp", rgba, lossless=True, exact=True)
decode("lossless.webp")
save("frames.png", scene(19, 26), save_all=True, append_images=[noise(19, 26)])
decode("frames.png")
save("frames.webp", scene(19, 26), lossless=True, save_all=True, append_images=[noise(19, 26)])
decode("frames.webp")

# With loss: decoders round differently.
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(f"orientation_{orientation}.jpg", gentle(21, 34), exif=exif, quality=90)
    decode(f"orientation_{orientation}.jpg")
save("halved.jpg", scene(53, 70), quality=85, subsampling="4:2:0")
decode("halved.jpg")
save("whole.jpg", scene(53, 70), quality=85, subsampling="4:4:4")
decode("whole.jpg")
save("progressive.jpg", scene(53, 70), quality=85, progressive=True)
decode("progressive.jpg")
save("grey.jpg", grey, quality=85)
decode("grey.jpg")
save("cmyk.jpg", gentle(40, 33).convert("CMYK"), quality=90)
decode("cmyk.jpg")
# Pillow writes no YCCK: the last byte of Adobe's segment says how the four channels are to be read.
cmyk = (HERE / "cmyk.jpg").read_bytes()
at = cmyk.index(b"Adobe")
(HERE / "ycck.jpg").write_bytes(cmyk[: at + 11] + b"\x02" + cmyk[at + 12 :])
decode("ycck.jpg")
(HERE / "cmyk_plain.jpg").write_bytes(cmyk[: at - 4] + cmyk[at + 12 :])
decode("cmyk_plain.jpg")
save("small.jpg", gentle(1, 1), quality=90)
decode("small.jpg")
save("lossy.webp", scene(53, 70), quality=80)
decode("lossy.webp")
save("lossy_alpha.webp", rgba, quality=80)
decode("lossy_alpha.webp")
exif = Image.Exif()
exif[0x0112] = 8
save("turned.webp", gentle(19, 26), exif=exif, quality=80)
decode("turned.webp")

cases = dict(pillow=__version__, decoded=decoded, resized=resized, prepared=prepared)
(HERE / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
