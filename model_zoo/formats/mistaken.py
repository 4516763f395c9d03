"""What people give for a model and is none: pages, pointers, pictures, tables, archives, files that were cut off.

Asked after every other format, and told by its bytes, with what to do instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.types import UserError

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff")
PICTURE = re.compile(rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF[\s\S]{4}WEBP|BM[\s\S]{4}\x00{4}|II\*\x00|MM\x00\*")
PAGE = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--[\s\S]{0,500}?-->\s*)?<(?:!doctype\s+html|html[\s>])", re.IGNORECASE)
ARCHIVE = re.compile(rb"\x1f\x8b|BZh\d|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!|[\s\S]{257}ustar")
ZIP = b"PK\x03\x04"
MODELS = (
    *(".pt", ".pth", ".pt2", ".bin", ".ckpt", ".safetensors", ".onnx", ".keras", ".h5", ".hdf5", ".skops"),
    *(".json", ".ubj", ".txt", ".cbm", ".pkl", ".pickle", ".joblib"),
)
BEGINNINGS = (  # what stands near the start of a zip, and whose it then is
    (b"archive_format", "a torch.export"),
    (b"data.pkl", "a PyTorch"),
    (b"metadata.json", "a Keras"),
    (b"schema.json", "a skops"),
    (b"config.json", "a Hugging Face"),
)


@dataclass(frozen=True)
class Mistake:
    """One kind of thing that is no model: how it is told, and the rest of the sentence after its name."""

    told: Callable[[ModelFile], bool]
    says: str


def _starts(pattern: bytes | re.Pattern[bytes]) -> Callable[[ModelFile], bool]:
    return lambda file: bool(re.match(pattern, file.head))


def _files(file: ModelFile) -> list[str]:
    """Names of what lies in an archive or folder, without folders and what macOS adds."""
    return [one for one in file.entries if not one.endswith("/") and not one.startswith("__MACOSX/")]


def _all_end(*endings: str) -> Callable[[ModelFile], bool]:
    return lambda file: bool(_files(file)) and all(one.lower().endswith(endings) for one in _files(file))


def _one_model(file: ModelFile) -> bool:
    found = _files(file)
    return not file.folder and len(found) == 1 and found[0].lower().endswith(MODELS)


def _hollow(file: ModelFile) -> bool:
    return (file.folder or file.head.startswith(b"PK\x05\x06")) and not _files(file)


def _cut(file: ModelFile) -> bool:
    return file.head.startswith(ZIP) and not file.entries


def _table(file: ModelFile) -> bool:
    """Whether two lines of text begin it that have the same number of separators."""
    try:
        text = file.head[: file.head.rfind(b"\n") + 1 or None].decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    lines = [one for one in text.splitlines() if one.strip()][:3]
    if len(lines) < 2 or text.lstrip()[:1] in "{[<" or "\x00" in text:
        return False
    return any(0 < lines[0].count(one) == lines[1].count(one) for one in (",", ";", "\t"))


MISTAKES = (
    Mistake(
        _starts(rb"version https://git-lfs\.github\.com/spec/v1"),
        "is a Git LFS pointer, which says where the model is kept and does not hold it; run: git lfs pull, or download"
        " the file itself",
    ),
    Mistake(
        _starts(PAGE),
        "is a web page, such as a site shows for a login or an error, and not the file that was to be downloaded;"
        " download the file itself (on Hugging Face its address has /resolve/, not /blob/)",
    ),
    Mistake(_starts(PICTURE), "is a picture, not a model; give a model first, and then this as the input to explain"),
    Mistake(_all_end(*PICTURES), "holds pictures and no model; give a model first, and then one of these as its input"),
    Mistake(
        lambda file: file.head.startswith(b"\x93NUMPY") or _all_end(".npy")(file),
        "holds arrays of numbers and no model; save the model's weights by name with safetensors, or the model as ONNX"
        " (rows of data are given as a CSV beside a model of tables)",
    ),
    Mistake(
        lambda file: file.head.startswith(b"PAR1") or "xl/workbook.xml" in file.entries,
        "is a table, not a model; give a model of tables, and the table as a CSV for its background",
    ),
    Mistake(
        _starts(rb'\s*\{[\s\S]{0,4000}?"(?:weight_map|model_type|architectures|added_tokens)"\s*:'),
        "describes a Hugging Face model and does not hold its weights; zip the whole folder, with config.json,"
        " model.safetensors and tokenizer.json, and give that",
    ),
    Mistake(_starts(rb'\s*\{[\s\S]{0,60000}?"nbformat"'), "is a notebook, not a model; save the model that it trains"),
    Mistake(_starts(rb"%PDF-"), "is a PDF document, not a model; give the model's file"),
    Mistake(
        _cut,
        "begins like {kind} file and was cut off: the end, where its list of contents stands, is missing; "
        "upload or save it again",
    ),
    Mistake(_one_model, "is a zip around {inside}; unpack it and give that file"),
    Mistake(_hollow, "holds no files; give the folder or the zip in which the model's files lie"),
    Mistake(_starts(ARCHIVE), "is a packed archive; unpack it and give the model's file, or a zip of its folder"),
    Mistake(_table, "is a table of text (CSV), not a model; give a model of tables, and this as its background"),
)


def _mistake(file: ModelFile) -> Mistake | None:
    return next((one for one in MISTAKES if one.told(file)), None)


def sniff(file: ModelFile) -> bool:
    """Whether it is one of them."""
    return _mistake(file) is not None


def refusal(file: ModelFile) -> str:
    """What it is, and what to do."""
    found = _mistake(file)
    kind = next((kind for mark, kind in BEGINNINGS if mark in file.head), "a zip")
    says = "is no model" if found is None else found.says
    inside = (_files(file) or [""])[0][-80:]
    return f"{file.name} {says.replace('{kind}', kind).replace('{inside}', inside)}."


def open(file: ModelFile, said: Facts) -> Opened:
    """Never."""
    raise UserError(refusal(file))


FORMAT = Format(
    id="mistaken",
    title="no model",
    endings=(".html", ".png", ".jpg", ".csv", ".npy", ".npz"),
    trust=Trust.REFUSED,
    sniff=sniff,
    open=open,
    summary="Web pages, Git LFS pointers, pictures, tables, arrays, archives and what was cut off: told what to give.",
    order=90,
    refusal=refusal,
)
