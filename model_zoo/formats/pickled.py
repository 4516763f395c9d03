"""Whole objects as pickles: torch.save(model), joblib, cloudpickle, dill, pandas and numpy's arrays of objects.

Opening a pickle calls whatever it names, so it runs any code of whoever made it (docs/safety.md). It is told by its
opcodes, which are read and not run, and refused with the two lines that save the model safely. Where the operator has
allowed it, it is opened, in the sandbox.
"""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from model_zoo import guessing
from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _checkpoints, _pickles, _saving
from model_zoo.formats._torchfile import Claim
from model_zoo.types import UserError, quoted

LOOKED_AT = 4 << 20  # bytes of a pickle that are read to tell what it is
MOST_STEPS = 200_000
NAME = re.compile(r"[A-Za-z_][\w.<>]*")
PACKED: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
    (b"\x5d\x00\x00", lzma.open),
)
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
NUMPY = b"\x93NUMPY"
OBJECTS = re.compile(rb"'descr':\s*'\|O")
READY = ("torchvision", "timm", "transformers")
INSIDE = ("model", "net", "network", "estimator", "classifier", "regressor", "clf", "pipeline", "learner", "ema")


def sniff(file: ModelFile) -> bool:
    """Whether it is a pickle, compressed or in a zip of torch or numpy, by its first opcodes."""
    data = beginning(file)
    if not data:
        return False
    if data.startswith(NUMPY):
        return bool(OBJECTS.search(data[:512]))
    if data[0] == 0x80 and len(data) > 2 and data[1] <= 5:
        return _steps(data) >= 2
    return _steps(data) >= 4 and bool(_globals(data))  # protocols 0 and 1 have no mark of their own


def beginning(file: ModelFile) -> bytes:
    """The first bytes of the pickle in a file, unpacked; empty where there is none."""
    try:
        if file.folder:
            return b""
        for one in file.entries:
            if one.rpartition("/")[2] == "data.pkl" or one.endswith(".npy"):
                data = _member(file, one)
                if not one.endswith(".npy") or OBJECTS.search(data[:512]):
                    return data
        if file.entries or file.head.startswith(b"PK\x03\x04"):  # another zip, or one that was cut off
            return b""
        for mark, unpack in PACKED:
            if file.head.startswith(mark):
                with file.open() as raw, unpack(raw) as stream:
                    return stream.read(LOOKED_AT)
        with file.open() as raw:
            data = raw.read(LOOKED_AT)
        return zlib.decompressobj().decompress(data, LOOKED_AT) if data.startswith(ZLIB) else data
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, UserError):
        return b""


def _member(file: ModelFile, name: str) -> bytes:
    with zipfile.ZipFile(file.path) as archive, archive.open(name) as stream:
        return stream.read(LOOKED_AT)


def _steps(data: bytes) -> int:
    """Opcodes that can be read from the start, at most 64; 0 where the first names are none of Python's."""
    import pickletools

    count = 0
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL" and not all(map(NAME.fullmatch, str(argument).split(" "))):
                return 0
            count += 1
            if opcode.name == "STOP" or count >= 64:
                return max(count, 4)
    except Exception:  # anything may stand in the bytes
        return count
    return count


def _globals(data: bytes) -> set[str]:
    return {one for one in _pickles.globals_of(io.BytesIO(data), MOST_STEPS) if one != "?"}


def refusal(file: ModelFile) -> str:
    """Why a pickle is not opened, and the two lines that save what is in it safely."""
    data = beginning(file)
    names = _globals(data) | _saving.seen(data)
    told, lines = _saving.what(names)
    if data.startswith(NUMPY) and lines is None:
        return (
            f"{file.name} is an array of Python objects, which runs code when it is opened; save the model itself, or"
            " numbers alone: np.save(path, array.astype(float))."
        )
    if lines is None:
        kinds = sorted(one for one in names if not one.startswith(("builtins.", "__builtin__.", "copyreg.")))
        told = f"a pickle of {kinds[0][:80]}" if kinds else "a pickle"
        return (
            f"{file.name} is {told}, and opening a pickle runs any code that is in it; save the weights with"
            " safetensors or the model as ONNX, or explain it from Python with model_zoo.wrap(model)."
        )
    return (
        f"{file.name} is {told} in a pickle, and opening a pickle runs any code that is in it; save it where it was"
        f" made by these two lines:\n    {lines[0]}\n    {lines[1]}"
    )


def open(file: ModelFile, said: Facts) -> Opened:
    """The model in a pickle, by running it: only for an operator who has allowed that."""
    data = beginning(file)
    names = _globals(data) | _saving.seen(data)
    if any(one.partition(".")[0] in READY for one in names):
        from model_zoo import vision

        vision.ready()
    try:
        found = _loaded(file, data)
        model = _inside(found)
        if model is None:
            return _weights(found, file.name, said)
    except UserError:
        raise
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(
            f"{file.name} needs code that is not installed here ({quoted(error)}); save the model"
            " where its code is, as ONNX or torch.export, or explain it there with model_zoo.wrap."
        ) from error
    except Exception as error:  # it runs code: anything may be raised
        raise UserError(f"{file.name} could not be unpickled ({quoted(error)}); save it again.") from error
    return _opened(model, file.name, said)


def _loaded(file: ModelFile, data: bytes) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # versions that differ are the owner's affair
        if data.startswith(NUMPY):
            import numpy as np

            found = np.load(file.path, allow_pickle=True)
            found = found[found.files[0]] if hasattr(found, "files") else found
            return found.item() if found.size == 1 else found.tolist()
        if file.entries or "torch" in {one.partition(".")[0] for one in _saving.seen(data)}:
            import torch

            try:
                return torch.load(file.path, map_location="cpu", weights_only=False)
            except RuntimeError:  # a plain pickle of an object that holds tensors
                if file.entries:
                    raise
        import joblib

        return joblib.load(file.path)


def _claimed(found: Any) -> Any:
    """The tensors and arrays in dictionaries as a file of weights would claim them."""
    import numpy as np
    import torch

    if isinstance(found, Mapping):
        return {key: _claimed(one) for key, one in found.items()}
    if isinstance(found, np.ndarray) and found.dtype.kind in "fiub":
        found = torch.from_numpy(np.array(found))
    if not isinstance(found, torch.Tensor):
        return found
    return Claim(tuple(found.shape), str(found.dtype).removeprefix("torch."), found.detach)


def _inside(found: Any) -> Any:
    """The model in what was unpickled: itself, or under a usual name; None where there is none."""
    import torch

    if isinstance(found, torch.nn.Module) or hasattr(found, "predict"):
        return found
    parts = found if isinstance(found, dict) else dict(enumerate(found)) if isinstance(found, (list, tuple)) else {}
    if not parts and isinstance(getattr(found, "model", None), torch.nn.Module):
        return found.model
    models = {k: v for k, v in parts.items() if isinstance(v, torch.nn.Module) or hasattr(v, "predict")}
    named = [models[one] for one in INSIDE if one in models]
    if named or len(models) == 1:
        return (named or list(models.values()))[0]
    return None


def _weights(found: Any, name: str, said: Facts) -> Opened:
    """The network of a state dict; UserError where there is none."""
    from model_zoo.formats._weights import network_of

    tree = _claimed(found)
    if not _checkpoints.has_weights(tree):
        raise UserError(
            f"{name} holds a {type(found).__name__} without a model in it; expected is a torch module, a state dict, or"
            " an object with predict()."
        )
    return network_of(_checkpoints.weights(tree, name), said, name)


def _in_order(names: dict[Any, str]) -> tuple[str, ...]:
    """Class names by their numbers, which may be texts; none where they are no numbers."""
    try:
        return tuple(names[one] for one in sorted(names, key=int))
    except (TypeError, ValueError):
        return ()


def _opened(found: Any, name: str, said: Facts) -> Opened:
    from model_zoo import boosters

    kind = type(found)
    if kind.__module__.partition(".")[0] == "keras":
        from model_zoo.formats import _keras, _keras_network

        _keras.library()
        return _keras_network.opened(found, "unpickled Keras model", said, name)
    if hasattr(found, "named_parameters"):
        guess = guessing.by_network(found)
        names = getattr(getattr(found, "config", None), "id2label", None)
        labels = _in_order(names) if isinstance(names, dict) else ()
        half = any(one.dtype.itemsize < 4 for one in found.parameters() if one.is_floating_point())
        return Opened(
            (found.float() if half else found).eval(),
            dataclasses.replace(guess, labels=guess.labels or labels),
            f"unpickled {kind.__name__}",
        )
    if boosters.booster(found) is not None:
        from model_zoo.formats import _boosters

        return _boosters.opened(found, kind.__module__.partition(".")[0], said)
    from model_zoo.formats import _estimators

    return _estimators.opened(found, name)


FORMAT = Format(
    id="pickled",
    title="pickle",
    endings=(".pkl", ".pickle", ".joblib", ".pt", ".pth", ".npy"),
    trust=Trust.CODE,
    sniff=sniff,
    open=open,
    summary=(
        "Whole objects of torch.save, joblib, pickle, cloudpickle and dill: refused with the lines that save them"
        " safely; opened in the sandbox only where the operator has set ASSAY_ALLOW_CODE=1."
    ),
    order=80,
    refusal=refusal,
)
