"""A folder of timm, as its save_for_hf writes it: config.json names an architecture and how its pictures are prepared;
the weights lie beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_zoo import vision
from model_zoo.facts import Facts
from model_zoo.files import Opened
from model_zoo.formats import _hf_weights
from model_zoo.formats._hf_files import PLAIN, Files
from model_zoo.types import UserError, quoted

ARGUMENTS = ("img_size", "global_pool")  # of a constructor; others may name files
RESAMPLE = ("nearest", "bilinear", "bicubic", "lanczos")
SQUEEZED = 0.0


def is_one(config: dict[str, Any]) -> bool:
    """Whether a config.json is timm's."""
    return isinstance(config.get("architecture"), str) and "model_type" not in config


def open_timm(files: Files, config: dict[str, Any], scratch: Path) -> Opened:
    """The network with its labels and picture settings; UserError where it is unknown or the weights are others."""
    vision.ready()
    import timm

    from model_zoo.formats._weights import blank, parameters

    name, about = config["architecture"], config.get("pretrained_cfg")
    about = about if isinstance(about, dict) else config
    if not PLAIN.fullmatch(name) or not timm.is_model(name):
        raise UserError(
            f"config.json in {files.name} names the architecture {name[:60]!r}, which timm {timm.__version__} does not"
            " have; install the version of timm that saved it."
        )
    tensors, notes = _hf_weights.load(files, scratch)
    count = config.get("num_classes", about.get("num_classes"))
    size = about.get("input_size")
    size = size if isinstance(size, list) and len(size) == 3 and all(isinstance(one, int) for one in size) else None
    own = config.get("model_args")
    given = {"global_pool": config.get("global_pool"), **(own if isinstance(own, dict) else {})}
    given = {key: one for key, one in given.items() if key in ARGUMENTS and isinstance(one, (str, int))}
    try:
        with blank():
            network = timm.create_model(name, num_classes=count, in_chans=size[0] if size else 3, **given)
        network.load_state_dict(tensors, assign=True)
    except Exception as error:  # constructors raise errors of many kinds
        _, _, found = quoted(error, 400).partition(": ")
        raise UserError(
            f"The weights in {files.name} are not those of {name} with {count} classes, as its config.json says:"
            f" {found[:160] or quoted(error)}. Give the config.json that was saved with them."
        ) from error
    labels = config.get("label_names", about.get("label_names"))
    named = isinstance(labels, list) and len(labels) == count
    return Opened(
        network.float().eval().requires_grad_(False),
        _facts(about, size, tuple(map(str, labels)) if named and labels else ()),
        f"{name} of timm, {parameters(network)}, {count} outputs",
        notes,
    )


def _facts(about: dict[str, Any], size: list[int] | None, labels: tuple[str, ...]) -> Facts:
    mean, std = (
        tuple(map(float, one)) if isinstance(one, list) and all(isinstance(each, (int, float)) for each in one) else ()
        for one in (about.get("mean"), about.get("std"))
    )
    crop = about.get("crop_pct")
    share = float(crop) if isinstance(crop, (int, float)) and 0 < crop <= 1 else None
    resample = about.get("interpolation")
    return Facts(
        modality="image",
        labels=labels,
        size=(size[1], size[2]) if size else None,
        channels=size[0] if size else 3,
        scale=1.0,
        mean=mean,
        std=std,
        crop=SQUEEZED if about.get("crop_mode") == "squash" else share,
        resample=resample if resample in RESAMPLE else "bicubic",
    )
