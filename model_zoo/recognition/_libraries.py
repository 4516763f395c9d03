"""The libraries of networks: their names, their constructors and how they take a photo; torch is imported inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from model_zoo import vision

OWN: Mapping[str, tuple[str, str]] = {  # of ours: module and class, which takes the number of classes
    "squeezenet": ("model_zoo.architectures.squeezenet", "SqueezeNet"),
    "efficientnet_lite0": ("model_zoo.architectures.efficientnet_lite", "EfficientNetLite0"),
}
TITLES = {"torchvision": "torchvision", "timm": "timm", "assay": "Assay"}


@dataclass(frozen=True)
class Photo:
    """How a network takes a photo, as its library says."""

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    crop: float | None = None
    resample: str = ""
    order: str = ""
    scale: float | None = None
    others: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...] = ()


def construct(identity: str, classes: int, channels: int = 3, size: tuple[int, int] | None = None) -> Any:
    """A network, untrained; what its constructor raises is let through."""
    library, _, name = identity.partition("/")
    return _CONSTRUCT[library](name, classes, channels, size)


def _torchvision(name: str, classes: int, channels: int, size: tuple[int, int] | None) -> Any:
    from torch import nn

    models = vision.torchvision().models
    given: dict[str, Any] = {"num_classes": classes}
    base, _, aux = name.partition(":")
    if base in ("googlenet", "inception_v3"):
        given |= {"init_weights": False, "aux_logits": aux != "plain"}
    if size is not None:
        given["image_size"] = size[0]
    network = models.get_model(base, weights=None, **given)
    if base in ("googlenet", "inception_v3"):
        network.transform_input = False  # on for the published weights alone, whose means differ
    if channels != 3:  # as people do it: the first convolution is replaced
        first = next(one for one in network.modules() if isinstance(one, nn.Conv2d))
        first.in_channels = channels
        first.weight = nn.Parameter(first.weight.new_empty(first.out_channels, channels, *first.kernel_size))
    return network


def _timm(name: str, classes: int, channels: int, size: tuple[int, int] | None) -> Any:
    vision.ready()
    import timm

    given: dict[str, Any] = {} if channels == 3 else {"in_chans": channels}
    if size is not None:
        given["img_size"] = size
    return timm.create_model(name, pretrained=False, num_classes=classes, **given)


def _own(name: str, classes: int, channels: int, size: tuple[int, int] | None) -> Any:
    import importlib

    if channels != 3 or size is not None:
        raise ValueError("made for photographs alone")
    module, kind = OWN[name]
    return getattr(importlib.import_module(module), kind)(classes)


_CONSTRUCT: Mapping[str, Callable[..., Any]] = {"torchvision": _torchvision, "timm": _timm, "assay": _own}


def _torchvision_names() -> list[str]:
    models = vision.torchvision().models
    found = models.list_models(module=models)
    return sorted([*found, *(f"{one}:plain" for one in ("googlenet", "inception_v3"))])


def _timm_names() -> list[str]:
    vision.ready()
    import timm

    return sorted(timm.list_models())


def _torchvision_photo(name: str) -> Photo:
    models = vision.torchvision().models
    weights = next(iter(models.get_model_weights(name.partition(":")[0])), None)
    if weights is None:
        return Photo()
    how = weights.transforms()
    side = how.crop_size[0]
    return Photo(
        size=(side, side),
        mean=tuple(how.mean),
        std=tuple(how.std),
        crop=round(side / how.resize_size[0], 4),
        resample=how.interpolation.value,
    )


def _timm_photo(name: str) -> Photo:
    from timm.models import get_pretrained_cfg, list_pretrained

    first = get_pretrained_cfg(name)
    if first is None:
        return Photo()
    own = (tuple(first.mean), tuple(first.std))
    tags = [get_pretrained_cfg(one) for one in list_pretrained(f"{name}.*")]
    others = {(tuple(one.mean), tuple(one.std)) for one in tags if one is not None} - {own}
    return Photo(
        size=(first.input_size[1], first.input_size[2]),
        mean=own[0],
        std=own[1],
        crop=round(first.crop_pct, 4),
        resample=first.interpolation if first.interpolation in ("bilinear", "bicubic", "nearest", "lanczos") else "",
        others=tuple(sorted(others)),
    )


def _own_photo(name: str) -> Photo:
    from model_zoo import catalogue

    taken: Any = catalogue.load(name).input  # a bundled model of the same name
    return Photo(taken.size, taken.mean, taken.std, taken.crop, taken.resample, taken.order, taken.scale)


class _Libraries(dict[str, Callable[[], list[str]]]):
    """Names of each library's networks, and how one takes a photo."""

    def facts(self, identity: str) -> Photo:
        library, _, name = identity.partition("/")
        return {"torchvision": _torchvision_photo, "timm": _timm_photo, "assay": _own_photo}[library](name)


LIBRARIES = _Libraries(assay=lambda: sorted(OWN), torchvision=_torchvision_names, timm=_timm_names)
