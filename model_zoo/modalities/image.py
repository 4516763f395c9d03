"""Images: from a person's photograph to the pixels that a network takes, and back.

The part of the photo inside `box` is resampled to `size`; with p in 0..255, per channel in the network's order,
    x = (p * scale / 255 - mean) / std        (channels, height, width).
`crop` is the share of the largest centred box of the network's shape; without it the whole photo is squeezed to `size`.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from model_zoo.modalities import _given
from model_zoo.modalities._photo import open_photo
from model_zoo.modalities._segments import SEGMENTS, places, segments
from model_zoo.types import Players, Reference, Sample, UserError, digest

LARGEST_PHOTO = 1024  # longest side of the photo kept in a view, in pixels
SMALL = 256  # photos up to this side are kept without loss
BLUR = 0.05  # standard deviation of the blur baseline, as a share of the longest side


@dataclass(frozen=True)
class ImageView:
    """The photograph as its owner sees it, and which part of it the model saw."""

    photo: bytes  # upright, without alpha, 8 bit RGB, JPEG or PNG, longest side at most 1,024 pixels
    width: int  # of the original, upright, in pixels
    height: int
    box: tuple[float, float, float, float]  # left, top, right, bottom of what the model saw, in original pixels
    seen: tuple[int, int]  # height and width of that in the model's pixels


@dataclass(frozen=True, eq=False)
class ImageInput:
    """How a network takes photographs.

    SqueezeNet: ImageInput((227, 227), order="BGR", scale=255, mean=(104, 117, 123)).

    mean, std: one a channel, in the network's channel order, after scaling.
    preprocess: callable(PIL image) -> (C, H, W) in place of all of size, crop, resample, order, scale, mean and std.
    """

    size: tuple[int, int] | None = (224, 224)  # height, width; None: as the picture is
    crop: float | None = None  # share of the largest centred box of that shape; None: squeeze all of it
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    order: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1.0  # what white is before mean and std: 1 or 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    channels: int | None = 3  # 1: greyscale; None: whatever an array brings
    zero: str = ""  # the colour that x = 0 is, in words: "the training mean colour"
    preprocess: Callable[[Any], Any] | None = None
    baseline: Any = None  # the default baseline: a name, a number or an array like x
    background_rows: Any = None  # background: pictures, or an array (rows, channels, height, width) like x
    dtype: str = "float32"

    modality: ClassVar[str] = "image"
    player_kinds: ClassVar[tuple[str, ...]] = ("pixels", "segments")

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names that reference() accepts; the first is the default."""
        return _given.ordered(self.baseline, ("zero", "black", "white", "blur"))

    # -- the way in ----------------------------------------------------------------------------------------------

    def read(self, raw: Any, name: str = "") -> Sample:
        """A path, bytes, a PIL image, uint8 (H, W, 3), (H, W) or (H, W, 4), or floats (C, H, W) already as x."""
        if isinstance(raw, (list, tuple)):
            raw = _numbers(raw)
        if hasattr(raw, "__array__") and not hasattr(raw, "convert"):  # PIL images have both
            array = np.asarray(_given.arrayed(raw))
            if array.dtype.kind == "f":
                return self._read_x(array, name)
            raw = array
        photo = open_photo(raw, name)
        image, notes = photo.image, list(photo.notes)
        box = self._box(*image.size)
        x = self._x_of(image, box)
        if self.preprocess is not None:
            box = self._probed_box(image.size, x.shape)
        if min(x.shape[1] / (box[3] - box[1]), x.shape[2] / (box[2] - box[0])) > 2:
            notes.append(
                f"The picture has {image.width} × {image.height} pixels and was enlarged to"
                f" {x.shape[2]} × {x.shape[1]}; its details are coarse."
            )
        view = ImageView(_encoded(image), image.width, image.height, box, (x.shape[1], x.shape[2]))
        return Sample("image", photo.name, x, view, tuple(notes), photo.digest)

    def _read_x(self, array: np.ndarray, name: str) -> Sample:
        if array.ndim == 4 and len(array) == 1:
            array = array[0]
        channels = "channels" if self.channels is None else self.channels
        height, width = self.size or ("height", "width")
        fits = array.ndim == 3 and self.channels in (None, array.shape[0]) and 0 not in array.shape
        if not fits or (self.size is not None and self.preprocess is None and array.shape[1:] != tuple(self.size)):
            raise UserError(
                f"An array of floats is taken as the model's own input, of shape ({channels}, {height}, {width});"
                f" {array.shape} came. Give a photo, or a uint8 array (height, width, 3)."
            )
        if not np.isfinite(array).all():
            raise UserError("A picture is made of finite numbers; NaN or infinity came.")
        x = np.ascontiguousarray(array, dtype=self.dtype)
        height, width = x.shape[1:]
        photo = _encoded(_image(self.picture(x)))
        view = ImageView(photo, width, height, (0.0, 0.0, float(width), float(height)), (height, width))
        return Sample("image", name, x, view, (), digest(x.tobytes()))

    def _box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of what the model sees, in pixels of the photo."""
        if self.size is None or self.crop is None or self.preprocess is not None:
            return (0.0, 0.0, float(width), float(height))
        pixel = min(width / self.size[1], height / self.size[0]) * self.crop
        across, down = pixel * self.size[1], pixel * self.size[0]
        left, top = (width - across) / 2, (height - down) / 2
        return (left, top, left + across, top + down)

    def _x_of(self, image: Any, box: tuple[float, float, float, float]) -> np.ndarray:
        if self.preprocess is not None:
            return self._preprocessed(image)
        height, width = self.size or (image.height, image.width)
        if (width, height) != image.size or box != (0.0, 0.0, *image.size):
            from PIL import Image

            image = image.resize((width, height), Image.Resampling[self.resample.upper()], box=box)
        return self.to_x(np.asarray(image)[None])[0]

    def _preprocessed(self, image: Any) -> np.ndarray:
        assert self.preprocess is not None
        x = np.asarray(_given.arrayed(self.preprocess(image)))
        if x.ndim == 4 and len(x) == 1:
            x = x[0]
        if x.ndim != 3 or x.dtype.kind not in "fiu":
            raise UserError(
                f"preprocess is expected to return numbers (channels, height, width); shape {x.shape} came."
            )
        return np.ascontiguousarray(x, dtype=self.dtype)

    # -- what the model saw --------------------------------------------------------------------------------------

    def picture(self, x: np.ndarray) -> np.ndarray:
        """The RGB picture, uint8 (H, W, 3), of x (C, H, W); values beyond black and white are squeezed in between."""
        black, white, order = self._colours
        if len(x) == len(black):
            shares = (x - black[:, None, None]) / np.where(white == black, 1.0, white - black)[:, None, None]
        else:
            shares = (x - black.mean()) / ((white - black).mean() or 1.0)
        shares = shares[list(order)] if len(x) == 3 else np.repeat(shares.mean(0, keepdims=True), 3, 0)
        low, high = min(0.0, float(shares.min())), max(1.0, float(shares.max()))
        if low < -0.01 or high > 1.01:
            shares = (shares - low) / (high - low)
        return np.rint(shares.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)

    def to_x(self, pictures: np.ndarray) -> np.ndarray:
        """x (n, C, H, W) of RGB pictures, uint8 (n, H, W, 3): the inverse of picture()."""
        pixels = np.asarray(pictures).transpose(0, 3, 1, 2).astype(np.float64)
        if self.preprocess is not None:
            black, white, order = self._colours
            pixels = pixels[:, list(order)] if len(black) == 3 else pixels.mean(1, keepdims=True)
            x = black[:, None, None] + pixels / 255 * (white - black)[:, None, None]
        else:
            pixels = pixels.mean(1, keepdims=True) if self.channels == 1 else pixels
            pixels = pixels[:, ::-1] if self.order == "BGR" else pixels
            mean, std = (
                np.array(one, dtype=np.float64)[: pixels.shape[1], None, None] for one in (self.mean, self.std)
            )
            x = (pixels * (self.scale / 255) - mean) / std
        return np.ascontiguousarray(x, dtype=self.dtype)

    @functools.cached_property
    def _colours(self) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        """x of black and of white, one a channel, and the channels that hold red, green and blue."""
        if self.preprocess is None:
            count = self.channels or 3
            mean, std = np.array(self.mean[:count], dtype=np.float64), np.array(self.std[:count], dtype=np.float64)
            order = (2, 1, 0) if self.order == "BGR" else (0, 1, 2)
            return -mean / std, (self.scale - mean) / std, order[:count]
        from PIL import Image  # any affine normalisation shows itself on plain pictures

        black, white, red = (
            self._preprocessed(Image.new("RGB", (256, 256), colour)).mean((1, 2), dtype=np.float64)
            for colour in ("black", "white", "red")
        )
        share = (red - black) / np.where(white == black, 1.0, white - black)
        backwards = len(share) == 3 and share[2] > share[0]
        return black, white, (2, 1, 0) if backwards else (0, 1, 2)

    def _probed_box(self, size: tuple[int, int], shape: tuple[int, ...]) -> tuple[float, float, float, float]:
        """Where preprocess looks: a ramp from left to right and one from top to bottom go in, and lines are fitted."""
        whole = (0.0, 0.0, float(size[0]), float(size[1]))
        black, white, _ = self._colours
        edges = []
        for axis, (length, count) in enumerate(((size[0], shape[2]), (size[1], shape[1]))):
            ramp = np.rint((np.arange(length) + 0.5) / length * 255).astype(np.uint8)
            grey = np.broadcast_to(ramp if axis == 0 else ramp[:, None], size[::-1])
            seen = self._preprocessed(_image(np.repeat(grey[..., None], 3, 2)))
            if seen.shape != shape or white[0] == black[0] or count < 2:
                return whole
            places = ((seen[0] - black[0]) / (white[0] - black[0])).mean(axis)  # (count,) as shares of the length
            slope, start = np.polyfit(np.arange(count) + 0.5, places, 1)
            if not 0 < slope * count < 1.5 or np.abs(start + slope * (np.arange(count) + 0.5) - places).max() > 0.02:
                return whole
            edges.append((start * length, (start + slope * count) * length))
        (left, right), (top, bottom) = edges
        return (max(0.0, left), max(0.0, top), min(whole[2], right), min(whole[3], bottom))

    # -- players and references ----------------------------------------------------------------------------------

    def players(self, sample: Sample, kind: str | None = None, **options: Any) -> Players:
        """Pixels, or segments that follow the picture; option segments=<about how many>."""
        kind = kind or self.player_kinds[0]
        height, width = sample.x.shape[1:]
        if kind == "pixels":
            return Players("pixels", np.arange(height * width).reshape(height, width), height * width)
        if kind != "segments":
            raise UserError(f"The players of an image are {' or '.join(self.player_kinds)}; {kind!r} came.")
        wanted = options.get("segments", SEGMENTS)
        if isinstance(wanted, bool) or not isinstance(wanted, (int, np.integer)) or not 2 <= wanted <= 2000:
            raise UserError(f"segments is a whole number between 2 and 2,000; {wanted!r} came.")
        owner = segments(self.picture(sample.x), int(wanted))
        return Players("segments", owner, int(owner.max()) + 1, places(owner))

    def reference(self, sample: Sample, baseline: Any = None) -> Reference:
        """One picture to compare with: "zero", "black", "white", "blur", a number or an array (C, H, W) like x."""
        x = sample.x
        baseline = _given.named(baseline, self.baseline, self.baselines)
        if not isinstance(baseline, str):
            return _given.constant(baseline, x)
        if baseline == "zero":
            return Reference("zero", np.zeros_like(x)[None], self.zero or self._zero_in_words())
        if baseline == "blur":
            from skimage.filters import gaussian  # slow to import

            sigma = BLUR * max(x.shape[1:])
            row = gaussian(x.astype(np.float64), sigma, mode="nearest", channel_axis=0, preserve_range=True)
            return Reference("blur", row.astype(x.dtype)[None], f"the picture blurred by {sigma:.3g} of its pixels")
        black, white, _ = self._colours
        colour = black if baseline == "black" else white
        if len(colour) != len(x):
            colour = np.full(len(x), colour.mean())
        return Reference(baseline, np.broadcast_to(colour[:, None, None], x.shape).astype(x.dtype)[None], baseline)

    def background(self, sample: Sample, rows: Any = None) -> Reference:
        """Pictures to average over: those given, the model's own, or the baseline alone."""
        rows = self.background_rows if rows is None else rows
        if rows is None:
            return self.reference(sample)
        rows = _given.arrayed(rows)
        one = isinstance(rows, (str, bytes, bytearray, os.PathLike)) or hasattr(rows, "convert")
        if one or (isinstance(rows, np.ndarray) and rows.ndim == 3 and rows.shape[2] in (3, 4)):
            rows = [rows]
        if not isinstance(rows, (list, tuple)) and not (isinstance(rows, np.ndarray) and rows.ndim > 0):
            raise UserError(f"The background of an image model is a list of pictures; {type(rows).__name__} came.")
        if not (isinstance(rows, np.ndarray) and rows.dtype.kind == "f"):
            rows = [self.read(row).x for row in rows]
        found = _given.stacked(rows, sample.x)
        return Reference("background", found, f"{len(found):,} background picture{'s' * (len(found) != 1)}")

    def _zero_in_words(self) -> str:
        black, white, order = self._colours
        share = -black / np.where(white == black, 1.0, white - black)
        if (share < -0.01).any() or (share > 1.01).any() or len(share) not in (1, 3):
            return "zero in the model's input"
        if np.ptp(share) < 0.01 and (share.max() < 0.01 or share.min() > 0.99):
            return "black" if share.max() < 0.01 else "white"
        rgb = np.rint(255 * share).astype(int)[list(order)[: len(share)]]
        return f"zero in the model's input, the colour RGB ({', '.join(map(str, rgb))})"


def _numbers(raw: Any) -> np.ndarray:
    """An array of the numbers in nested lists; whole ones from 0 to 255 are a photo's."""
    try:
        found = np.asarray(_given.arrayed(raw))
    except (TypeError, ValueError) as error:
        raise UserError("A picture as nested lists has as many numbers in every row; a ragged list came.") from error
    if found.dtype.kind not in "fiu" or found.ndim < 2:
        raise UserError(
            "A picture is a file, a PIL image or an array of numbers (height, width, 3);"
            f" a {type(raw).__name__} of {len(raw):,} came. Give one picture."
        )
    whole = found.dtype.kind in "iu" and found.min(initial=0) >= 0 and found.max(initial=0) <= 255
    return found.astype(np.uint8) if whole else found


def _image(pixels: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(pixels)


def _encoded(image: Any) -> bytes:
    """The photo as a screen needs it: small ones without loss, others as JPEG of at most 1,024 pixels a side."""
    image = image.copy()
    image.info.clear()  # leave out what a camera wrote: place, time, thumbnails
    image.thumbnail((LARGEST_PHOTO, LARGEST_PHOTO))
    stream = io.BytesIO()
    if max(image.size) <= SMALL:
        image.save(stream, "PNG")
    else:
        image.save(stream, "JPEG", quality=90)
    return stream.getvalue()
