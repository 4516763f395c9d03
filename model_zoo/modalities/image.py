"""Images: from a person's photograph to the pixels that a network takes, and back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageView:
    """The photograph as its owner sees it, and which part of it the model saw."""

    photo: bytes  # upright, without alpha, 8 bit RGB, JPEG or PNG, longest side at most 1,024 pixels
    width: int  # of the original, upright, in pixels
    height: int
    box: tuple[float, float, float, float]  # left, top, right, bottom of what the model saw, in original pixels
    seen: tuple[int, int]  # height and width of that in the model's pixels
