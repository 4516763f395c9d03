"""A picture from outside, opened with care: known by its bytes, its size checked before decoding, made upright RGB.

Every correction (turned, transparent, 16 bit, CMYK, ...) is told in one sentence. PIL is imported inside functions.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_zoo.modalities import _given
from model_zoo.types import UserError, digest

MOST_PIXELS = 50_000_000
FORMATS = "a JPEG, PNG, WebP, BMP, GIF or TIFF picture"
OTHERS = (  # what people send by mistake, by its first bytes
    (b"%!PS", "an EPS or PostScript drawing"),
    (b"\xc5\xd0\xd3\xc6", "an EPS drawing"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"<svg", "an SVG drawing"),
    (b"\x1f\x8b", "a compressed file"),
)


@dataclass(frozen=True)
class Photo:
    """An upright 8 bit RGB picture (PIL), what was done to it, and the digest of what came."""

    image: Any
    notes: tuple[str, ...]
    digest: str
    name: str


def open_photo(raw: Any, name: str = "") -> Photo:
    """Open a path, bytes, a PIL image or a uint8 array (H, W), (H, W, 3) or (H, W, 4); UserError if it cannot."""
    from PIL import Image

    if isinstance(raw, Image.Image):
        _check_size(raw.size, name or "The picture")
        image, notes = _upright(*_loaded(raw, name or "The picture"))
        return Photo(image, notes, digest(image.tobytes()), name)
    if isinstance(raw, np.ndarray):
        image, notes = _upright(_of_array(raw, name or "The picture"), 1)
        return Photo(image, notes, digest(np.ascontiguousarray(raw).tobytes()), name)
    if not isinstance(raw, (str, bytes, bytearray, memoryview, os.PathLike)):
        raise UserError(f"A picture is a file, its bytes, a PIL image or an array; {type(raw).__name__} came.")
    data, name = _given.read_bytes(raw, name)
    image, notes = _upright(*_decoded(data, name or "The picture"))
    return Photo(image, notes, digest(data), name)


def sniff(data: bytes) -> str | None:
    """PIL's name of the format that these bytes start, or None; a file's name is not believed."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data.startswith(b"BM") and len(data) > 26:
        return "BMP"
    return None


def _decoded(data: bytes, name: str) -> tuple[Any, int]:
    from PIL import Image

    kind = sniff(data)
    if kind is None:
        raise UserError(f"{name} is not a picture that can be read: it holds {_what(data)}. Give {FORMATS}.")
    Image.init()
    factory, _ = Image.OPEN[kind]  # not Image.open, which warns by a process-wide limit before we can look at the size
    try:
        image = factory(io.BytesIO(data), "")
    except Exception as error:  # plugins raise SyntaxError, struct.error, IndexError and more on damaged headers
        raise UserError(f"{name} starts like a {kind} picture but is damaged or cut short; save it again.") from error
    _check_size(image.size, name)
    return _loaded(image, name)


def _loaded(image: Any, name: str) -> tuple[Any, int]:
    """The picture decoded, and how the camera stored it: TIFF turns itself while loading, and forgets."""
    try:
        turned = _orientation(image)
        image.load()
    except Exception as error:  # as above: anything may come out of a damaged file
        raise UserError(f"{name} is damaged or cut short, so it could not be decoded; save it again.") from error
    return image, turned


def _check_size(size: tuple[int, ...], name: str) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise UserError(
            f"{name} has {width * height / 1e6:,.0f} megapixels ({width:,} × {height:,}); at most"
            f" {MOST_PIXELS // 1_000_000} are read. Make it smaller first."
        )
    if width < 1 or height < 1:
        raise UserError(f"{name} has no pixels ({width} × {height}); give a picture of at least 1 × 1.")


def _of_array(pixels: np.ndarray, name: str) -> Any:
    from PIL import Image

    fits = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    if not fits or not (pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and pixels.ndim == 2)):
        raise UserError(
            "A picture as an array is uint8 of shape (height, width, 3), (height, width, 4) or (height, width);"
            f" {pixels.dtype} of shape {pixels.shape} came."
        )
    _check_size(pixels.shape[1::-1], name)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _upright(image: Any, turned: int) -> tuple[Any, tuple[str, ...]]:
    """The picture as upright 8 bit RGB, and a sentence for each thing done."""
    from PIL import Image

    notes = []
    if getattr(image, "is_animated", False) and image.format != "MPO":
        notes.append(f"The picture is an animation of {image.n_frames} frames; the first one is used.")
    again = _orientation(image)
    image, told = _rgb(image)
    notes += told
    ways = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    if again in ways:
        image = image.transpose(ways[again])
    if turned in ways:
        notes.append("The camera stored the picture turned or mirrored; it was put upright.")
    return image, tuple(notes)


def _orientation(image: Any) -> int:
    return int(image.getexif().get(0x0112, 1) or 1)


def _rgb(image: Any) -> tuple[Any, list[str]]:
    from PIL import Image

    mode, notes = image.mode, []
    if mode.startswith("I") or mode == "F":
        image, note = _eight_bit(image)
        notes.append(note)
        mode = "L"
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        if layered.getextrema()[3][0] < 255:
            notes.append("The picture has transparent parts; they were laid on white.")
        image = Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered)
    if mode in ("P", "PA"):
        notes.append("The picture's colours come from a table (palette); it was read as full colour.")
    elif mode in ("L", "LA", "La", "1") and not notes:
        notes.append("The picture is greyscale; its grey was put into all three colours.")
    elif mode == "CMYK":
        notes.append("The picture has printing colours (CMYK); they were converted to RGB.")
    elif mode not in ("L", "LA", "La", "1", "RGB", "RGBA", "RGBX", "RGBa"):
        notes.append(f"The picture's colours are stored as {mode}; they were converted to RGB.")
    return image.convert("RGB"), notes


def _eight_bit(image: Any) -> tuple[Any, str]:
    """Grey of more than 8 bits, scaled rather than clipped: 65,535 becomes 255."""
    from PIL import Image

    values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    if image.mode == "F" and low >= 0 and high <= 1:
        note, grey = "The picture has greys from 0 to 1; they were scaled to 8 bits.", values * 255
    elif image.mode != "F" and low >= 0 and high <= 65535:
        note, grey = "The picture has 16 bit greys; they were scaled to 8 bits.", values / 257
    else:
        note = f"The picture has greys from {low:g} to {high:g}; they were scaled to 8 bits."
        grey = (values - low) * (255 / ((high - low) or 1.0))
    return Image.fromarray(np.rint(grey).astype(np.uint8)), note


def _what(data: bytes) -> str:
    for start, name in OTHERS:
        if data.lstrip()[: len(start)].lower() == start.lower():
            return name
    if data[4:8] == b"ftyp":
        return "a HEIC or AVIF picture or a film"
    try:
        data[:512].decode("utf-8" if len(data) <= 512 else "ascii")
    except UnicodeDecodeError:
        return "something else"
    return "text"
