"""Writes the bundled photographs: those of scikit-image and scikit-learn, as JPEG files of moderate size.

    python -m model_zoo.training.photographs

One of them, the rocket in portrait, is stored on its side with an EXIF orientation, as telephones do.
"""

from __future__ import annotations

from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "samples"
QUALITY = 88
ON_ITS_SIDE = 6  # EXIF orientation: turn by 90° clockwise to see it upright
ORIENTATION = 0x0112  # the EXIF tag


def main() -> None:
    """Write samples/*.jpg."""
    from PIL import Image
    from skimage import data
    from sklearn.datasets import load_sample_image

    photographs = {name: Image.fromarray(getattr(data, name)()) for name in ("cat", "coffee", "camera", "astronaut")}
    photographs["palace"] = Image.fromarray(load_sample_image("china.jpg"))
    photographs["flower"] = Image.fromarray(load_sample_image("flower.jpg"))
    for name, photograph in photographs.items():
        photograph.save(SAMPLES / f"{name}.jpg", quality=QUALITY, optimize=True)

    rocket = Image.fromarray(data.rocket()).crop((150, 0, 470, 427))
    exif = Image.Exif()
    exif[ORIENTATION] = ON_ITS_SIDE
    lying = rocket.transpose(Image.Transpose.ROTATE_90)
    lying.save(SAMPLES / "rocket.jpg", quality=QUALITY, optimize=True, exif=exif)


if __name__ == "__main__":
    main()
