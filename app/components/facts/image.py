"""Photographs: their size, colours, how pixels become numbers, and which part of a photo is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from app.components.facts.fields import Fields
from app.components.markup import caption
from app.saying import NORMALISATIONS, normalisation, numbers
from model_zoo.facts import Facts
from model_zoo.types import UserError

COLOURS = {"RGB": "RGB", "BGR": "BGR", "grey": "Grey"}
OTHER = "other"
CROPS = {
    "0.875": "the middle 7/8, as ImageNet's models are tested",
    "1.0": "the largest part of that shape",
    "0.0": "all of it, squeezed",
}
RESAMPLES = ("bilinear", "bicubic", "nearest", "lanczos")
LARGEST = 4096  # pixels a side
NAMES = ("size", "channels", "order", "scale", "mean", "std", "crop", "resample")  # of facts about pictures


def start(facts: Facts) -> dict[str, Any]:
    """What the fields begin with; "given" is what they were written from, to be told again as it was."""
    height, width = facts.size or (224, 224)
    channels = facts.channels or 3
    mean = facts.mean if len(facts.mean) == channels else (0.0,) * channels
    std = facts.std if len(facts.std) == channels else (1.0,) * channels
    return {
        "given": facts,
        "height": height,
        "width": width,
        "colours": "grey" if channels == 1 else OTHER if channels != 3 else facts.order or "RGB",
        "channels": channels,
        "normalisation": normalisation(replace(facts, mean=mean, std=std)) or OTHER,
        "scale": _written((facts.scale or 1.0,)),
        "mean": _written(mean),
        "std": _written(std),
        "crop": str(float(facts.crop or 0.0)),
        "resample": facts.resample or "bilinear",
    }


def draw(at: Fields) -> None:
    """Size, colours and normalisation, unless the file itself has them."""
    if at.get("own_input"):
        caption("The file says how it takes pictures.")
        return
    given: Facts = at.get("given")
    odd = (given.channels or 3) not in (1, 3)
    height, width, colours, _ = st.columns([2, 2, 3, 1])
    most = max(LARGEST, *(given.size or (0,)))
    assumed = at.get("assumed", ())
    mark = " (guessed)" if "size" in assumed else ""
    height.number_input(f"Height in pixels{mark}", 1, most, key=at.key("height"))
    width.number_input(f"Width in pixels{mark}", 1, most, key=at.key("width"))
    colours.segmented_control(
        "Colours",
        [*COLOURS, OTHER] if odd else list(COLOURS),
        format_func=lambda one: COLOURS.get(one, "Other"),
        key=at.key("colours"),
        required=True,
        help="The order of the channels. OpenCV and Caffe write BGR; nearly all others RGB.",
    )
    if at.get("colours") == OTHER:
        st.number_input("Channels", 1, max(LARGEST, given.channels or 0), key=at.key("channels"))
    unsaid = "mean" in assumed or "std" in assumed
    st.selectbox(
        "How pixels become numbers" + (" (guessed)" if unsaid else ""),
        [*NORMALISATIONS, OTHER],
        format_func=lambda one: NORMALISATIONS[one].title if one in NORMALISATIONS else "Other numbers",
        key=at.key("normalisation"),
        help="As in training: a wrong one gives wrong predictions, and the picture of them is explained.",
    )
    if unsaid:
        caption("The file does not say how pictures are normalised; a wrong choice gives wrong predictions.")
    if at.get("normalisation") == OTHER:
        scale, mean, std = st.columns([1, 2, 2])
        scale.text_input("White is", key=at.key("scale"), help="Before the mean is taken off: 1, 255 or another.")
        mean.text_input("Mean", key=at.key("mean"), help="Taken off after that; one a channel, or one for all.")
        std.text_input("Standard deviation", key=at.key("std"), help="Divided by after that.")


def more(at: Fields) -> None:
    """Cropping and resizing."""
    if at.get("own_input"):
        return
    own = at.get("crop")
    options = list(CROPS) if own in CROPS else [own, *CROPS]
    crop, resample = (" (guessed)" if one in at.get("assumed", ()) else "" for one in ("crop", "resample"))
    st.selectbox(
        f"Which part of a photo{crop}",
        options,
        format_func=lambda one: CROPS.get(one) or f"the middle {float(one):.3g} of it",
        key=at.key("crop"),
    )
    st.selectbox(f"Resized by{resample}", RESAMPLES, key=at.key("resample"))


def said(at: Fields) -> Facts:
    """What the fields hold; UserError names the one that is not as expected."""
    given: Facts = at.get("given")
    if at.get("own_input"):
        return replace(Facts(), **{name: getattr(given, name) for name in NAMES})
    colours, height, width = at.get("colours"), at.get("height"), at.get("width")
    if height is None or width is None:
        raise UserError("Height and width are whole numbers of pixels, such as 224; one is empty.")
    channels = {"grey": 1, OTHER: at.get("channels")}.get(colours, 3)
    if channels is None:
        raise UserError("The number of channels is a whole number, such as 4; it is empty.")
    shape = Facts(
        size=(int(height), int(width)),
        channels=channels,
        order=colours if colours in ("RGB", "BGR") else given.order,
        crop=float(at.get("crop")),
        resample=at.get("resample"),
    )
    return shape.over(_numeric(at, channels))


def _numeric(at: Fields, channels: int) -> Facts:
    """Scale, mean and std: of the usual normalisation that was chosen, or of one's own."""
    chosen, given = at.get("normalisation"), at.get("given")
    if chosen != OTHER:
        usual = NORMALISATIONS[chosen].facts(channels)
        if chosen != normalisation(given) or channels != (given.channels or 3):
            return usual
        return Facts(scale=given.scale, mean=given.mean, std=given.std).over(usual)  # to the last digit
    (scale,) = numbers(at.get("scale") or "", "White", 1)
    if not scale:
        raise UserError("White is not 0, or every picture would be the same to the model; give 1 or 255.")
    std = numbers(at.get("std") or "", "The standard deviation", channels)
    if 0 in std:
        raise UserError("The standard deviation is divided by, so it is not 0; give 1 to leave the numbers.")
    return Facts(scale=scale, mean=numbers(at.get("mean") or "", "The mean", channels), std=std)


def _written(numbers: tuple[float, ...]) -> str:
    """To the last digit; one number where all are alike."""
    alike = len(set(numbers)) == 1
    return ", ".join(repr(float(one)).removesuffix(".0") for one in (numbers[:1] if alike else numbers))
