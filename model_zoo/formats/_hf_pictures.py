"""What a preprocessor_config.json says of pictures, as Facts.

The library resizes, cuts out the centre, rescales by rescale_factor and normalises; ImageInput does the first two in
one resampling, of the same part of the photo.
"""

from __future__ import annotations

from typing import Any

from model_zoo.facts import Facts

SQUEEZED = 0.0  # a crop of nothing: all of the photo is squeezed to the size
RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # PIL's numbers


def facts(said: dict[str, Any], config: dict[str, Any]) -> Facts:
    """Size, crop, resampling, scale, mean and std; what the model's own configuration says where nothing does."""
    channels = config.get("num_channels", 3)
    channels = channels if channels in (1, 3) else 3
    own = _pair(config.get("image_size")) or (224, 224)
    if not said:
        return Facts(modality="image", channels=channels, size=own)
    size, crop = _geometry(said, own)
    mean, std = (_numbers(said.get(name), channels) for name in ("image_mean", "image_std"))
    if said.get("do_normalize") is False or not mean or not std:
        mean, std = (0.0,) * channels, (1.0,) * channels
    factor = said.get("rescale_factor", 1 / 255)
    factor = 1.0 if said.get("do_rescale") is False else float(factor if isinstance(factor, (int, float)) else 1 / 255)
    if said.get("rescale_offset") is True or said.get("offset") is True:  # pixels from -1 to 1 before normalising
        mean = tuple(one + 1.0 for one in mean)
    return Facts(
        modality="image",
        channels=channels,
        size=size,
        crop=crop,
        resample=RESAMPLE.get(_whole(said.get("resample"), 3), "bicubic"),
        order="BGR" if said.get("do_flip_channel_order") is True else "RGB",
        scale=255 * factor,
        mean=mean,
        std=std,
    )


def squeezed_first(said: dict[str, Any]) -> tuple[str, ...]:
    """A sentence where a photo that is not square is squeezed before its centre is cut out: here it is only cut out."""
    cut, size = _pair(said.get("crop_size")) if said.get("do_center_crop") else None, said.get("size")
    if cut is None or _pair(size) is None or isinstance(size, int):
        return ()
    return (
        "Its preprocessor squeezes a photo to a square and then cuts out the centre; here the centre is cut out of the"
        " photo as it is, which differs where a photo is not square.",
    )


def _geometry(said: dict[str, Any], own: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """Height and width that the network gets, and the share of the largest such box; SQUEEZED where all of it is."""
    wanted = said.get("size")
    edge = wanted.get("shortest_edge") if isinstance(wanted, dict) else None
    edge = wanted if isinstance(wanted, int) and "crop_pct" in said else edge
    share = said.get("crop_pct")
    cut = _pair(said.get("crop_size")) if said.get("do_center_crop") else None
    if isinstance(edge, int) and isinstance(share, (int, float)) and 0 < share <= 1 and cut is None:
        return (edge, edge), (SQUEEZED if edge >= 384 else float(share))  # ConvNeXT's rule
    if cut is not None:
        before = edge if isinstance(edge, int) and edge > 0 else min(_pair(wanted) or cut)
        return cut, min(1.0, min(cut) / before)
    if isinstance(edge, int):
        return (edge, edge), 1.0
    return (_pair(wanted) or own), SQUEEZED


def _pair(said: Any) -> tuple[int, int] | None:
    """Height and width of a number, a list, or an object with them."""
    if isinstance(said, dict):
        said = [said.get("height"), said.get("width")]
    said = [said, said] if isinstance(said, int) and not isinstance(said, bool) else said
    if isinstance(said, list) and len(said) == 2 and all(isinstance(one, int) and 0 < one <= 4096 for one in said):
        return (said[0], said[1])
    return None


def _numbers(said: Any, channels: int) -> tuple[float, ...]:
    said = [said] * channels if isinstance(said, (int, float)) else said
    if isinstance(said, list) and len(said) == channels and all(isinstance(one, (int, float)) for one in said):
        return tuple(map(float, said))
    return ()


def _whole(said: Any, otherwise: int) -> int:
    return said if isinstance(said, int) else otherwise
