"""Photographs on their way in and back: every format and correction against PIL and numpy by hand, every refusal."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from model_zoo.modalities._segments import segments
from model_zoo.modalities.image import ImageInput
from model_zoo.types import Sample, UserError

PLAIN = ImageInput(None)  # x is the picture itself, 0 to 1
LITE = ImageInput((24, 24), crop=0.875, scale=255, mean=(127,) * 3, std=(128,) * 3)
SQUEEZE = ImageInput((23, 23), order="BGR", scale=255, mean=(104, 117, 123), zero="the training mean colour")


def scene(height: int = 60, width: int = 80) -> np.ndarray:
    """A smooth picture with a bright corner at the upper left, uint8 (height, width, 3)."""
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns * 200 / width, rows * 200 / height, np.full((height, width), 90.0)], -1)
    pixels[: height // 4, : width // 4] = 250
    return pixels.astype(np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def shown(sample: Sample) -> np.ndarray:
    """What the model saw, as uint8 (H, W, 3)."""
    return np.rint(sample.x * 255).astype(int).transpose(1, 2, 0)


# -- to x and back -----------------------------------------------------------------------------------------------


def test_a_centre_crop_is_that_of_pil():
    image = Image.fromarray(scene(60, 80))
    sample = LITE.read(image)
    side = 60 * 0.875
    box = ((80 - side) / 2, (60 - side) / 2, (80 + side) / 2, (60 + side) / 2)
    pixels = np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC, box=box)).astype(float)
    np.testing.assert_allclose(sample.x, ((pixels - 127) / 128).transpose(2, 0, 1), atol=1e-6)
    assert sample.x.dtype == np.float32
    assert sample.view.box == box
    assert (sample.view.width, sample.view.height, sample.view.seen) == (80, 60, (24, 24))


def test_squeezed_bgr_minus_mean():
    image = Image.fromarray(scene())
    sample = SQUEEZE.read(image)
    pixels = np.asarray(image.resize((23, 23), Image.Resampling.BICUBIC)).astype(float)[..., ::-1]
    np.testing.assert_allclose(sample.x, (pixels - (104, 117, 123)).transpose(2, 0, 1), atol=1e-4)
    assert sample.view.box == (0, 0, 80, 60)


@pytest.mark.parametrize("taken", [PLAIN, LITE, SQUEEZE])
def test_pictures_go_to_x_and_back_unchanged(taken):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
    x = taken.to_x(pictures)
    assert x.shape == (3, 3, 24, 24)
    assert x.dtype == np.float32
    for picture, one in zip(pictures, x, strict=True):
        np.testing.assert_array_equal(taken.picture(one), picture)


def test_the_crop_box_maps_a_bright_spot_back():
    pixels = np.zeros((90, 150, 3), dtype=np.uint8)
    pixels[40:44, 60:64] = 255
    sample = LITE.read(pixels)
    row, column = np.unravel_index(LITE.picture(sample.x).sum(-1).argmax(), (24, 24))
    left, top, right, bottom = sample.view.box
    assert left + (column + 0.5) / 24 * (right - left) == pytest.approx(62, abs=3)
    assert top + (row + 0.5) / 24 * (bottom - top) == pytest.approx(42, abs=3)


def test_floats_are_taken_as_they_are():
    x = np.random.default_rng(0).normal(size=(3, 24, 24))
    sample = LITE.read(x)
    np.testing.assert_array_equal(sample.x, x.astype(np.float32))
    assert Image.open(io.BytesIO(sample.view.photo)).size == (24, 24)
    assert sample.view.box == (0, 0, 24, 24)


# -- corrections -------------------------------------------------------------------------------------------------

UPRIGHT = {1: lambda p: p, 2: np.fliplr, 3: lambda p: p[::-1, ::-1], 4: np.flipud, 5: lambda p: p.transpose(1, 0, 2)}
UPRIGHT |= {6: lambda p: np.rot90(p, -1), 7: lambda p: p[::-1, ::-1].transpose(1, 0, 2), 8: lambda p: np.rot90(p, 1)}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_put_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    sample = PLAIN.read(saved(Image.fromarray(scene()), kind, exif=exif, **options))
    np.testing.assert_array_equal(shown(sample), UPRIGHT[orientation](scene()))
    assert (sample.view.width, sample.view.height) == ((80, 60) if orientation < 5 else (60, 80))
    assert any("put upright" in note for note in sample.notes) == (orientation != 1)


def test_a_persons_own_pil_image_is_left_as_it_was():
    image = Image.fromarray(scene())
    PLAIN.read(image)
    assert image.info == {}


def test_alpha_is_laid_on_white():
    pixels = np.dstack([scene(), np.full((60, 80), 255, np.uint8)])
    assert PLAIN.read(pixels).notes == ()
    pixels[..., 3] = 128
    sample = PLAIN.read(saved(Image.fromarray(pixels)))
    share = 128 / 255
    np.testing.assert_allclose(shown(sample), scene() * share + 255 * (1 - share), atol=1)
    assert sample.notes == ("The picture has transparent parts; they were laid on white.",)


def test_sixteen_bit_grey_is_scaled_not_clipped():
    grey = np.linspace(0, 65535, 60 * 80).reshape(60, 80).astype(np.uint16)
    for raw in (saved(Image.fromarray(grey)), saved(Image.fromarray(grey), "TIFF"), grey):
        sample = PLAIN.read(raw)
        np.testing.assert_array_equal(shown(sample), np.rint(grey / 257)[..., None].repeat(3, 2))
        assert sample.notes == ("The picture has 16 bit greys; they were scaled to 8 bits.",)


def test_grey_palette_cmyk_and_bilevel():
    grey = Image.fromarray(scene()[..., 0])
    sample = PLAIN.read(saved(grey))
    np.testing.assert_array_equal(shown(sample), np.asarray(grey)[..., None].repeat(3, 2))
    assert sample.notes == ("The picture is greyscale; its grey was put into all three colours.",)
    palette = Image.fromarray(scene()).quantize(16)
    sample = PLAIN.read(saved(palette))
    np.testing.assert_array_equal(shown(sample), np.asarray(palette.convert("RGB")))
    assert "palette" in sample.notes[0]
    printed = Image.fromarray(scene()).convert("CMYK")
    sample = PLAIN.read(saved(printed, "TIFF"))
    np.testing.assert_array_equal(shown(sample), np.asarray(printed.convert("RGB")))
    assert sample.notes == ("The picture has printing colours (CMYK); they were converted to RGB.",)
    assert set(np.unique(shown(PLAIN.read(saved(grey.convert("1")))))) <= {0, 255}


def test_the_first_frame_of_an_animation():
    frames = [Image.fromarray(np.full((20, 20), value, np.uint8)) for value in (10, 200, 90)]
    for kind in ("GIF", "WEBP"):
        sample = PLAIN.read(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
        np.testing.assert_allclose(shown(sample), 10, atol=2)
        assert sample.notes[0] == "The picture is an animation of 3 frames; the first one is used."


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_formats_are_known_by_their_bytes(kind, tmp_path):
    path = tmp_path / "photo.txt"
    path.write_bytes(saved(Image.fromarray(scene()), kind))
    sample = PLAIN.read(path)
    assert sample.name == "photo.txt"
    np.testing.assert_array_equal(sample.x, PLAIN.read(path.read_bytes()).x)
    assert sample.digest == PLAIN.read(str(path)).digest


def test_the_photo_kept_is_small_upright_and_without_the_cameras_notes():
    exif = Image.Exif()
    exif[0x010F] = "Somebody's camera"
    sample = LITE.read(saved(Image.fromarray(scene(1500, 3000)), "JPEG", exif=exif))
    photo = Image.open(io.BytesIO(sample.view.photo))
    assert (photo.format, photo.size, photo.mode) == ("JPEG", (1024, 512), "RGB")
    assert not photo.getexif()


def test_an_enlarged_picture_is_told():
    assert "enlarged to 24 × 24" in ImageInput((24, 24)).read(scene(8, 8)).notes[-1]


# -- refusals ----------------------------------------------------------------------------------------------------


def bare_png(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    data = struct.pack(">I", 4) + b"IDAT" + b"junk" + struct.pack(">I", zlib.crc32(b"IDATjunk"))
    return b"\x89PNG\r\n\x1a\n" + chunk + data


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", r"a\.png is empty \(0 bytes\)"),
        (b"These are my notes.\n", r"a\.png is not a picture that can be read: it holds text\. Give a JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "it holds an EPS or PostScript drawing"),
        (b"%PDF-1.7\n", "it holds a PDF document"),
        (b"<svg xmlns='x'/>", "it holds an SVG drawing"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "it holds a HEIC or AVIF picture or a film"),
        (bytes(range(200, 256)), "it holds something else"),
        (bare_png(20000, 10000), r"a\.png has 200 megapixels \(20,000 × 10,000\); at most 50 are read"),
        (bare_png(100, 100), "a.png is damaged or cut short, so it could not be decoded"),
        (saved(Image.fromarray(scene()))[:150], "damaged or cut short"),
        (saved(Image.fromarray(scene(200, 200)), "JPEG")[:900], "damaged or cut short"),
        (saved(Image.fromarray(scene()), "GIF")[:10], "damaged or cut short"),
        (b"BM" + bytes(40), "damaged or cut short|no pixels"),
        ("/no/such/photo.png", "could not be opened: there is no such file to read"),
        ("/", "it is a folder"),
        (np.zeros((4, 4, 2), np.uint8), r"uint8 of shape \(4, 4, 2\) came"),
        (np.zeros(5, np.uint8), r"uint8 of shape \(5,\) came"),
        (np.zeros((0, 4, 3), np.uint8), r"has no pixels \(4 × 0\)"),
        (5, "A picture is a file, its bytes, a PIL image or an array; int came"),
        (np.zeros((4, 4, 3), np.int64), r"int64 of shape \(4, 4, 3\) came"),
        (np.zeros((4, 4, 3)), r"of shape \(3, height, width\); \(4, 4, 3\) came"),
        (np.full((3, 4, 4), np.nan), "finite numbers"),
        (None, "A picture is a file, its bytes, a PIL image or an array; NoneType came"),
        ([[1, 2], [3]], "a ragged list came"),
        ([], "a list of 0 came"),
        (Image.new("1", (10000, 6000)), "has 60 megapixels"),
    ],
)
def test_refusals(raw, sentence):
    with pytest.raises(UserError, match=sentence):
        PLAIN.read(raw, "a.png")


def test_floats_must_have_the_models_size():
    with pytest.raises(UserError, match=r"of shape \(3, 24, 24\); \(3, 20, 24\) came"):
        LITE.read(np.zeros((3, 20, 24)))


# -- players and references --------------------------------------------------------------------------------------


def test_pixels():
    players = LITE.players(LITE.read(scene()))
    np.testing.assert_array_equal(players.owner, np.arange(24 * 24).reshape(24, 24))
    assert (players.count, players.name(25)) == (576, "pixel at row 1, column 1")


def test_segments_follow_the_picture_and_are_connected():
    from skimage.measure import label

    picture = scene(120, 160)
    owner = segments(picture)
    count = owner.max() + 1
    assert 40 <= count <= 120
    assert sorted(np.unique(owner)) == list(range(count))
    assert label(owner + 1, connectivity=2).max() == count
    np.testing.assert_array_equal(owner, segments(picture))
    corner = np.zeros((120, 160), bool)
    corner[:30, :40] = True
    mixed = sum(0.1 < corner[owner == one].mean() < 0.9 for one in range(count))
    assert mixed <= 2  # hardly any segment lies across the edge of the bright corner


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (5, 90), (1, 1)])
def test_segments_of_small_and_noisy_pictures(shape):
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    count = segments(picture).max() + 1
    assert min(40, picture[..., 0].size) <= count <= 120


def test_segments_have_names_by_place_and_a_number_can_be_asked():
    taken = ImageInput((90, 90))
    sample = taken.read(scene(90, 90))
    few, many = (taken.players(sample, "segments", segments=count) for count in (9, 200))
    assert few.count < 20 < 120 < many.count
    assert len(set(many.names)) == many.count
    assert many.names[many.owner[0, 0]].startswith("the upper left (")
    assert many.names[many.owner[45, 45]].startswith("the centre (")
    assert many.names[many.owner[89, 89]].startswith("the lower right (")
    with pytest.raises(UserError, match="segments is a whole number between 2 and 2,000; 1 came"):
        taken.players(sample, "segments", segments=1)
    with pytest.raises(UserError, match="players of an image are pixels or segments; 'words' came"):
        taken.players(sample, "words")


def test_baselines():
    sample = SQUEEZE.read(scene())
    zero = SQUEEZE.reference(sample)
    assert (zero.kind, zero.sentence, zero.rows.any()) == ("zero", "the training mean colour", False)
    assert SQUEEZE.picture(zero.rows[0])[0, 0].tolist() == [123, 117, 104]
    for name, value in (("black", 0), ("white", 255)):
        row = SQUEEZE.reference(sample, name).rows
        assert row.shape == (1, 3, 23, 23)
        assert np.unique(SQUEEZE.picture(row[0])).tolist() == [value]
    blurred = SQUEEZE.reference(sample, "blur").rows[0]
    assert np.ptp(blurred) < np.ptp(sample.x)
    np.testing.assert_allclose(blurred.mean(), sample.x.mean(), atol=5)
    np.testing.assert_array_equal(SQUEEZE.reference(sample, 2).rows, np.full((1, 3, 23, 23), 2))
    np.testing.assert_array_equal(SQUEEZE.reference(sample, sample.x).rows[0], sample.x)


def test_zero_is_put_in_words():
    assert PLAIN.reference(PLAIN.read(scene())).sentence == "black"
    assert LITE.reference(LITE.read(scene())).sentence == "zero in the model's input, the colour RGB (127, 127, 127)"
    bgr = ImageInput((9, 9), order="BGR", scale=255, mean=(104, 117, 123))
    assert "RGB (123, 117, 104)" in bgr.reference(bgr.read(scene())).sentence


def test_wrong_baselines_are_refused():
    sample = PLAIN.read(scene())
    for baseline, sentence in (
        ("grey", "one of zero, black, white, blur, a number or an array; 'grey' came"),
        (np.zeros((3, 2, 2)), r"has the input's shape \(3, 60, 80\); one of shape \(3, 2, 2\) came"),
        (np.nan, "finite"),
        ({}, "is a number or an array"),
    ):
        with pytest.raises(UserError, match=sentence):
            PLAIN.reference(sample, baseline)


def test_background_pictures():
    taken = ImageInput((24, 24), background_rows=[scene(), scene(30, 30)])
    found = taken.background(taken.read(scene()))
    assert (found.rows.shape, found.sentence) == ((2, 3, 24, 24), "2 background pictures")
    np.testing.assert_array_equal(found.rows[0], taken.read(scene()).x)
    assert LITE.background(LITE.read(scene())).kind == "zero"


# -- somebody else's preprocessing -------------------------------------------------------------------------------


@pytest.mark.parametrize("backwards", [False, True])
def test_a_preprocess_is_understood_by_what_it_does(backwards):
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

    def preprocess(image: Image.Image) -> np.ndarray:
        image = image.resize((128, 96), Image.Resampling.BILINEAR).crop((24, 8, 104, 88))
        found = ((np.asarray(image) / 255 - mean) / std).transpose(2, 0, 1)
        return found[::-1] if backwards else found

    taken = ImageInput(preprocess=preprocess)
    image = Image.fromarray(scene(192, 256))
    sample = taken.read(image)
    np.testing.assert_allclose(sample.x, preprocess(image), rtol=1e-6)
    np.testing.assert_allclose(sample.view.box, (48, 16, 208, 176), atol=1.5)
    expected = np.asarray(image.resize((128, 96), Image.Resampling.BILINEAR).crop((24, 8, 104, 88)))
    np.testing.assert_array_equal(taken.picture(sample.x), expected)
    np.testing.assert_allclose(taken.to_x(expected[None])[0], sample.x, atol=1e-5)
    assert np.unique(taken.picture(taken.reference(sample, "white").rows[0])).tolist() == [255]


def test_nested_lists_of_numbers_are_the_arrays_that_they_spell():
    taken = ImageInput(None, channels=None)
    photo = np.random.default_rng(0).integers(0, 256, (4, 5, 3))
    np.testing.assert_array_equal(taken.read(photo.tolist()).x, taken.read(photo.astype(np.uint8)).x)
    floats = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(taken.read(floats.tolist()).x, floats)


def test_backgrounds_are_tensors_arrays_or_pictures(tmp_path):
    import torch

    taken = ImageInput((4, 4))
    photo = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    sample = taken.read(photo)
    Image.fromarray(photo).save(tmp_path / "one.png")
    for given in (
        torch.tensor(sample.x)[None].requires_grad_(),
        torch.tensor(sample.x),
        [torch.tensor(sample.x)],
        sample.x,
        photo,
        torch.tensor(photo),
        [photo],
        Image.fromarray(photo),
        tmp_path / "one.png",
        str(tmp_path / "one.png"),
        (tmp_path / "one.png").read_bytes(),
    ):
        np.testing.assert_array_equal(taken.background(sample, given).rows, sample.x[None])
    with pytest.raises(UserError, match="background of an image model is a list of pictures; int came"):
        taken.background(sample, 5)
