"""Photographs: their size, colours, how pixels become numbers, and which part of a photo is taken."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.components.facts.fields import Fields
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


def start(facts: Facts) -> dict[str, Any]:
    """What the fields begin with."""
    height, width = facts.size or (224, 224)
    channels = facts.channels or 3
    return {
        "height": height,
        "width": width,
        "colours": "grey" if channels == 1 else facts.order or "RGB",
        "normalisation": normalisation(facts) or OTHER,
        "scale": facts.scale or 1.0,
        "mean": _written(facts.mean or (0.0,) * channels),
        "std": _written(facts.std or (1.0,) * channels),
        "crop": str(float(facts.crop or 0.0)),
        "resample": facts.resample or "bilinear",
    }


def draw(at: Fields) -> None:
    """Size, colours and normalisation."""
    height, width, colours, _ = st.columns([2, 2, 3, 1], vertical_alignment="bottom")
    height.number_input("Height in pixels", 1, LARGEST, key=at.key("height"))
    width.number_input("Width in pixels", 1, LARGEST, key=at.key("width"))
    colours.segmented_control(
        "Colours",
        list(COLOURS),
        format_func=COLOURS.__getitem__,
        key=at.key("colours"),
        required=True,
        help="The order of the channels. OpenCV and Caffe write BGR; nearly all others RGB.",
    )
    st.selectbox(
        "How pixels become numbers",
        [*NORMALISATIONS, OTHER],
        format_func=lambda one: NORMALISATIONS[one].title if one in NORMALISATIONS else "Other numbers",
        key=at.key("normalisation"),
        help="As in training: a wrong one gives wrong predictions, and the picture of them is explained.",
    )
    if at.get("normalisation") == OTHER:
        scale, mean, std = st.columns([1, 2, 2])
        scale.selectbox("White is", (1.0, 255.0), format_func=lambda one: f"{one:g}", key=at.key("scale"))
        mean.text_input("Mean", key=at.key("mean"), help="Taken off after that; one a channel, or one for all.")
        std.text_input("Standard deviation", key=at.key("std"), help="Divided by after that.")


def more(at: Fields) -> None:
    """Cropping and resizing."""
    own = at.get("crop")
    options = list(CROPS) if own in CROPS else [own, *CROPS]
    st.selectbox(
        "Which part of a photo",
        options,
        format_func=lambda one: CROPS.get(one) or f"the middle {float(one):.3g} of it",
        key=at.key("crop"),
    )
    st.selectbox("Resized by", RESAMPLES, key=at.key("resample"))


def said(at: Fields) -> Facts:
    """What the fields hold; UserError names the one that is not as expected."""
    colours, height, width = at.get("colours"), at.get("height"), at.get("width")
    if height is None or width is None:
        raise UserError("Height and width are whole numbers of pixels, such as 224; one is empty.")
    channels = 1 if colours == "grey" else 3
    chosen = at.get("normalisation")
    if chosen == OTHER:
        std = numbers(at.get("std"), "The standard deviation", channels)
        if 0 in std:
            raise UserError("The standard deviation is divided by, so it is not 0; give 1 to leave the numbers.")
        numeric = Facts(scale=float(at.get("scale")), mean=numbers(at.get("mean"), "The mean", channels), std=std)
    else:
        numeric = NORMALISATIONS[chosen].facts(channels)
    shape = Facts(
        size=(int(height), int(width)),
        channels=channels,
        order="" if colours == "grey" else colours,
        crop=float(at.get("crop")),
        resample=at.get("resample"),
    )
    return shape.over(numeric)


def _written(numbers: tuple[float, ...]) -> str:
    alike = len(set(numbers)) == 1
    return ", ".join(f"{one:g}" for one in (numbers[:1] if alike else numbers))
