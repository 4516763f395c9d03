"""What is no model is told by its bytes, with what to do."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from model_zoo.files import ModelFile
from model_zoo.opening import ANY_CODE, open_file
from model_zoo.types import UserError


def picture(kind: str) -> bytes:
    found = io.BytesIO()
    Image.new("RGB", (4, 4)).save(found, kind)
    return found.getvalue()


def zipped(**members: bytes) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return found.getvalue()


def arrays(save, **given) -> bytes:
    found = io.BytesIO()
    save(found, **given)
    return found.getvalue()


def saved(value) -> bytes:
    found = io.BytesIO()
    torch.save(value, found)
    return found.getvalue()


def tar() -> bytes:
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pt"))
    return found.getvalue()


def adam() -> torch.optim.Optimizer:
    layer = torch.nn.Linear(3, 2)
    layer(torch.ones(1, 3)).sum().backward()
    found = torch.optim.Adam(layer.parameters())
    found.step()
    return found


WEIGHTS = saved(torch.nn.Linear(40, 40).state_dict())
KERAS = zipped(**{"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": bytes(3000)})
GIVEN = {
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer"),
    "a page": (b"\n<!DOCTYPE html>\n<html><head>", "web page"),
    "an XHTML page": (b'<?xml version="1.0"?>\n<html xmlns="x">', "web page"),
    "a PNG": (picture("PNG"), "is a picture"),
    "a JPEG": (picture("JPEG"), "is a picture"),
    "a WebP": (picture("WEBP"), "is a picture"),
    "a BMP": (picture("BMP"), "is a picture"),
    "a CSV": (b"age,income,debt\n30,1000,5\n40,2000,7\n", "table of text"),
    "a CSV of tabs": (b"\xef\xbb\xbfage\tincome\n30\t1000\n", "table of text"),
    "an npy": (arrays(lambda file: np.save(file, np.ones((3, 4)))), "arrays of numbers"),
    "an npz": (arrays(np.savez, a=np.ones(3), b=np.ones(2)), "arrays of numbers"),
    "a zip of photos": (zipped(**{"a/1.jpg": b"x", "a/2.PNG": b"y", "__MACOSX/a/._1.jpg": b"z"}), "holds pictures"),
    "a zip around weights": (zipped(**{"best/model.pt": WEIGHTS}), "zip around best/model.pt; unpack it"),
    "an empty zip": (zipped(), "holds no files"),
    "a workbook": (zipped(**{"xl/workbook.xml": b"<a/>", "b.xml": b""}), "is a table"),
    "a parquet": (b"PAR1" + bytes(30), "is a table"),
    "a configuration": (b'{"architectures": ["BertModel"], "model_type": "bert"}', "does not hold its weights"),
    "an index": (b'{"metadata": {"total_size": 4}, "weight_map": {}}', "does not hold its weights"),
    "a notebook": (b'{"cells": [], "metadata": {}, "nbformat": 4}', "is a notebook"),
    "a tar": (tar(), "packed archive"),
    "an optimizer": (saved(adam().state_dict()), "state of an optimiser"),
    "an optimizer under its name": (saved({"optimizer": adam().state_dict(), "epoch": 3}), "state of an optimiser"),
    "cut weights": (WEIGHTS[: len(WEIGHTS) * 2 // 3], "begins like a PyTorch file and was cut off"),
    "a cut zip": (zipped(**{"a.bin": bytes(3000), "config.json": b"{}"})[:-60], "begins like a Hugging Face file and"),
    "cut TorchScript": (b"", "begins like a PyTorch file and was cut off"),
    "cut Keras": (KERAS[:-80], "begins like a Keras file and was cut off"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_no_model_is_told_with_what_to_do(name: str, tmp_path) -> None:
    data, words = GIVEN[name]
    path = tmp_path / "given.bin"
    if name == "cut TorchScript":
        torch.jit.script(torch.nn.Linear(40, 40)).save(str(path))
        data = path.read_bytes()[:-400]
    path.write_bytes(data)
    with pytest.raises(UserError, match=words) as told:
        open_file(ModelFile(path), trusted=ANY_CODE)
    assert str(told.value).startswith("given.bin ")
    assert str(told.value).endswith((".", "'model.pt')"))


def test_a_folder_without_files_is_told(tmp_path) -> None:
    (tmp_path / "inner").mkdir()
    with pytest.raises(UserError, match="holds no files; give the folder"):
        open_file(ModelFile(tmp_path), trusted=ANY_CODE)


def test_bytes_that_say_nothing_are_still_unknown(tmp_path) -> None:
    path = tmp_path / "given.bin"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(UserError, match="none of the model files"):
        open_file(ModelFile(path), trusted=ANY_CODE)
