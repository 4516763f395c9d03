"""What torch.save wrote, read without calling anything that the file names.

Both layouts are read: the zip archive (torch 1.6 and later: `data.pkl` and one member a storage) and the older stream
(three headers, the pickle, the storages' keys, then a count and the bytes of each). `_pickles.read` says what the
pickle would build; dictionaries, lists and numbers are taken from that, tensors become a `Claim` on a part of the file,
whose size is checked before any of it is read, and everything else is left as the record of a call that never happens.
torch.load(weights_only=True) would call some of it: `torch.Tensor(10**6, 10**6)` and `bytearray(10**12)` are allowed
there, and a foreign object anywhere makes it refuse the weights as well.
"""

from __future__ import annotations

import functools
import io
import mmap
import struct
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from model_zoo.files import ModelFile
from model_zoo.formats import _pickles
from model_zoo.formats._pickles import Global, Made, NotAPickle, Persistent
from model_zoo.types import UserError

MAGIC = 0x1950A86A20F9469CFC6C  # opens a stream of torch.save before 1.6
MOST_PICKLE = 64 << 20
MOST_TENSORS = 50_000
MOST_TIMES = 4  # tensors may share their storage, as tied weights do: so many times the file's bytes in all,
MOST_EXPANDED = 64 << 20  # and so many more
MOST_AXES = 32
MOST_DENSE = 1 << 30  # bytes that sparse tensors may have when written out
STORAGES = {
    **{"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8"},
    **{"ByteStorage": "uint8", "BoolStorage": "bool", "UntypedStorage": "uint8"},
    **{"ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128"},
    **{"QInt8Storage": "qint8", "QUInt8Storage": "quint8", "QInt32Storage": "qint32"},
}
WIDTHS = {
    **{"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int64": 8, "int32": 4, "int16": 2, "int8": 1},
    **{"uint8": 1, "bool": 1, "complex64": 8, "complex128": 16, "qint8": 1, "quint8": 1, "qint32": 4},
    **{"uint16": 2, "uint32": 4, "uint64": 8},
    **{"float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1},
}
PLAIN = (  # what tensors and the containers around them need, by the beginning of the name
    *("torch._utils._rebuild_", "torch._tensor._rebuild_", "torch.nn.parameter.Parameter", "torch.Size"),
    *("torch.storage.", "torch.serialization._get_layout", "torch.device", "torch.Tensor"),
    *("torch.float", "torch.int", "torch.uint", "torch.bfloat16", "torch.bool", "torch.complex", "torch.half"),
    *("torch.per_", "torch.qint", "torch.quint", "torch.sparse_"),
    *("collections.OrderedDict", "collections.defaultdict", "collections.Counter", "_codecs.encode"),
    *("builtins.set", "builtins.dict", "__builtin__.set", "__builtin__.dict", "builtins.complex"),
)


@dataclass(frozen=True)
class Claim:
    """A tensor that a file says it holds: read only when it is asked for."""

    shape: tuple[int, ...]
    dtype: str  # "float32"
    read: Callable[[], Any]  # the torch tensor

    @property
    def floating(self) -> bool:
        """Whether it holds floating-point numbers."""
        return self.dtype.startswith(("float", "bfloat"))


@dataclass(frozen=True, eq=False)
class Foreign:
    """Something that only the code of its class could make."""

    name: str


@dataclass(frozen=True)
class Contents:
    """What a file of torch.save holds, without its storages' bytes."""

    tree: Any  # dictionaries, lists, tuples, numbers, texts, Claim, Foreign
    foreign: tuple[str, ...]  # dotted names of classes and functions that are not plain tensors and containers


def is_archive(file: ModelFile) -> bool:
    """Whether a file is a zip archive of torch.save, and neither TorchScript nor torch.export."""
    root = _root(file)
    return root is not None and not any(
        one.startswith((f"{root}/code/", f"{root}/constants.pkl")) or one.endswith("archive_format")
        for one in file.entries
    )


def is_stream(file: ModelFile) -> bool:
    """Whether a file is a stream of torch.save before version 1.6."""
    return b"\x8a\x0a" + MAGIC.to_bytes(10, "little") in file.head[:16]


def is_torch(file: ModelFile) -> bool:
    """Whether torch.save wrote it."""
    return is_stream(file) or (file.head[:2] == b"PK" and is_archive(file))


def contents(file: ModelFile) -> Contents:
    """What a file holds; UserError where it is cut off, claims more than is there or more than it may."""
    try:
        stat = file.path.stat()
        pickle, begins = _parsed(file, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return _Reader(file, begins).contents(pickle)
    except (NotAPickle, struct.error, zipfile.BadZipFile, EOFError, OSError, OverflowError) as error:
        raise UserError(
            f"{file.name} is cut off or damaged: what torch.save wrote cannot be followed to its end ({short(error)})."
            " Save or upload it again."
        ) from error


Begins = dict[str, tuple[int, int]]  # where each storage lies: its offset in the file, and its bytes


@functools.lru_cache(maxsize=1)
def _parsed(file: ModelFile, stamp: tuple[int, ...]) -> tuple[_pickles.Pickle, Begins]:
    """The pickle and the storages' places; kept, since one file is first told and then opened."""
    return _archive(file) if file.head[:2] == b"PK" else _stream(file)


def _root(file: ModelFile) -> str | None:
    return next((one[: -len("/data.pkl")] for one in file.entries if one.endswith("/data.pkl")), None)


def _archive(file: ModelFile) -> tuple[_pickles.Pickle, Begins]:
    root = _root(file)
    with zipfile.ZipFile(file.path) as archive:
        members = {one.filename: one for one in archive.infolist()}
        size = members[f"{root}/data.pkl"].file_size
        if size > MOST_PICKLE:
            raise UserError(
                f"{file.name} keeps {size / (1 << 20):,.0f} MiB in its pickle, where the numbers of numpy arrays lie"
                " and those of tensors do not; save tensors: torch.save(model.state_dict(), 'model.pt')."
            )
        order = archive.read(f"{root}/byteorder")[:8] if f"{root}/byteorder" in members else b"little"
        begins = {}
        with file.open() as raw:
            for name, one in members.items():
                if not name.startswith(f"{root}/data/"):
                    continue
                if one.compress_type != zipfile.ZIP_STORED:
                    raise UserError(
                        f"{file.name} keeps its weights compressed ({one.compress_size:,} bytes that unpack to"
                        f" {one.file_size:,}), which torch.save never does; save it again with torch.save."
                    )
                raw.seek(one.header_offset + 26)
                extra = sum(struct.unpack("<HH", raw.read(4)))
                begins[name[len(root or "") + 6 :]] = (one.header_offset + 30 + extra, one.file_size)
    if order != sys.byteorder.encode():
        raise UserError(f"{file.name} was saved on a machine with the other byte order; save it again on a usual one.")
    return _pickles.read(io.BytesIO(file.member(f"{root}/data.pkl", MOST_PICKLE))), begins


def _stream(file: ModelFile) -> tuple[_pickles.Pickle, Begins]:
    with file.open() as raw:
        if _pickles.read(raw).root != MAGIC:
            raise NotAPickle("not torch's magic number")
        _pickles.read(raw)
        system = _pickles.read(raw).root
        if not isinstance(system, dict) or system.get("little_endian") is not (sys.byteorder == "little"):
            raise UserError(f"{file.name} was saved on a machine with the other byte order; save it again.")
        pickle = _pickles.read(raw)
        keys = _pickles.read(raw).root
        if not isinstance(keys, list) or len(keys) > MOST_TENSORS:
            raise NotAPickle("no list of storages")
        widths = {
            _text(one.id[2]): WIDTHS.get(_storage(one.id[1]), 1)
            for one in _pickles.walk(pickle.root)
            if isinstance(one, Persistent) and isinstance(one.id, tuple) and len(one.id) > 4
        }
        begins = {}
        for key in keys:
            (count,) = struct.unpack("<q", raw.read(8))
            size = count * widths.get(_text(key), 1)
            if count < 0 or raw.tell() + size > file.size:
                raise EOFError("a storage reaches past the end of the file")
            begins[_text(key)] = (raw.tell(), size)
            raw.seek(size, io.SEEK_CUR)
    return pickle, begins


class _Reader:
    """From the record of a pickle to plain values and claims."""

    def __init__(self, file: ModelFile, begins: Begins) -> None:
        self.file = file
        self.begins = begins
        self.done: dict[int, Any] = {}
        self.tensors = 0
        self.expanded = 0
        self.dense = 0
        self.map: mmap.mmap | None = None

    def contents(self, pickle: _pickles.Pickle) -> Contents:
        foreign = sorted(one for one in pickle.globals if not one.startswith(PLAIN) and not _is_storage(one))
        return Contents(self.plain(pickle.root), tuple(foreign))

    def plain(self, value: Any, depth: int = 0) -> Any:
        """A value with its records read; shared parts once."""
        if not isinstance(value, (dict, list, tuple, set, Made, Persistent, Global)):
            return value
        if id(value) in self.done:
            return self.done[id(value)]
        if depth > 60:
            return Foreign("nesting")
        self.done[id(value)] = Foreign("itself")  # what holds itself is no state dict
        if isinstance(value, Made):
            found = self.made(value, depth)
        elif isinstance(value, dict):
            found = {_text(key): self.plain(one, depth + 1) for key, one in value.items()}
        elif isinstance(value, list):
            found = [self.plain(one, depth + 1) for one in value]
        elif isinstance(value, tuple):
            found = tuple(self.plain(one, depth + 1) for one in value)
        else:
            found = Foreign(str(value) if isinstance(value, Global) else type(value).__name__)
        self.done[id(value)] = found
        return found

    def made(self, one: Made, depth: int) -> Any:
        if not isinstance(one.of, Global):
            return Foreign("?")
        name = str(one.of)
        args = one.args if isinstance(one.args, tuple) else ()
        if name in ("collections.OrderedDict", "collections.defaultdict", "collections.Counter"):
            if args and isinstance(args[0], list):  # the form of old protocols: a list of pairs
                pairs = [pair for pair in args[0] if isinstance(pair, (list, tuple)) and len(pair) == 2]
                return {_text(key): self.plain(kept, depth + 1) for key, kept in pairs}
            return self.plain(one.items, depth + 1)
        if name == "torch.Size" and args:
            return args[0]
        if name == "_codecs.encode" and args and isinstance(args[0], str):
            return args[0].encode("latin-1", "replace")
        if name.startswith("torch._utils._rebuild_parameter") and args:
            return self.plain(args[0], depth + 1)
        if name == "torch.nn.parameter.Parameter" and args:
            return self.plain(args[0], depth + 1)
        if name == "torch._utils._rebuild_device_tensor_from_cpu_tensor" and args:
            return self.plain(args[0], depth + 1)
        if name == "torch._tensor._rebuild_from_type_v2" and len(args) > 2 and isinstance(args[0], Global):
            return self.made(Made(args[0], args[2]), depth + 1)
        if name in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2") and len(args) > 3:
            return self.strided(*args[:4])
        if name == "torch._utils._rebuild_tensor_v3" and len(args) > 6 and isinstance(args[6], Global):
            return self.strided(args[0], args[1], args[2], args[3], args[6].name)
        if name == "torch._utils._rebuild_qtensor" and len(args) > 3:
            return self.strided(*args[:4])
        if name == "torch._utils._rebuild_sparse_tensor" and len(args) > 1:
            return self.sparse(args[1], depth)
        return Foreign(name)

    def strided(self, storage: Any, offset: Any, size: Any, stride: Any, dtype: str = "") -> Claim:
        """A dense tensor, once what it claims is known to lie in the file."""
        if isinstance(size, Made):
            size = self.made(size, 0)
        if not isinstance(storage, Persistent) or not isinstance(storage.id, tuple) or len(storage.id) < 5:
            raise NotAPickle("a tensor without a storage")
        key, kind = _text(storage.id[2]), dtype or _storage(storage.id[1])
        numbers = [offset, *_whole(size), *_whole(stride)]
        sound = all(isinstance(n, int) and n >= 0 for n in numbers) and len(_whole(size)) == len(_whole(stride))
        sound = sound and len(numbers) <= 2 * MOST_AXES
        if kind not in WIDTHS or key not in self.begins or not sound:
            raise NotAPickle(f"a tensor of {kind or 'an unknown kind'} whose storage {key!r} is missing")
        shape, steps = tuple(size), tuple(stride)
        begin, room = self.begins[key]
        begin += _view(storage.id, WIDTHS[kind])
        count = prod(shape)
        reach = 0 if not count else offset + sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) + 1
        if reach * WIDTHS[kind] > room or begin + room > self.file.size + 64:
            raise UserError(
                f"{self.file.name} is cut off or damaged: a tensor of shape {list(shape)} in it reaches past the bytes"
                " that are stored. Save or upload it again."
            )
        self.tensors += 1
        self.expanded += count * WIDTHS[kind]
        if self.tensors > MOST_TENSORS:
            raise UserError(f"{self.file.name} holds more than {MOST_TENSORS:,} tensors, which no model needs.")
        if self.expanded > MOST_TIMES * self.file.size + MOST_EXPANDED:
            raise UserError(
                f"{self.file.name} claims tensors of {self.expanded:,} bytes, one of shape {list(shape)}, and has only"
                f" {self.file.size:,}; save the model again with tensors that were copied by .contiguous()."
            )
        return Claim(shape, kind, lambda: self.tensor(begin, offset, shape, steps, kind))

    def tensor(self, begin: int, offset: int, shape: tuple[int, ...], steps: tuple[int, ...], kind: str) -> Any:
        """The numbers of a claim, on the file's own pages until somebody writes to them."""
        import torch

        dtype = getattr(torch, kind)
        if kind.startswith("q"):
            raise UserError(quantised(self.file.name))
        if not prod(shape):
            return torch.empty(shape, dtype=dtype)
        if self.map is None:
            with self.file.open() as raw:
                self.map = mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_COPY)
        reach = sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) + 1
        flat = torch.frombuffer(
            self.map, dtype=torch.uint8, count=reach * dtype.itemsize, offset=begin + offset * dtype.itemsize
        )
        if flat.data_ptr() % dtype.itemsize:
            flat = flat.clone()
        return flat.view(dtype).as_strided(shape, steps).contiguous()

    def sparse(self, data: Any, depth: int) -> Any:
        """A sparse tensor in coordinates, to be written out in full."""
        if not isinstance(data, tuple) or len(data) < 3:
            return Foreign("torch.sparse")
        indices, values, size = (self.plain(one, depth + 1) for one in data[:3])
        if not isinstance(indices, Claim) or not isinstance(values, Claim):
            return Foreign("torch.sparse")
        shape = tuple(_whole(size))
        self.dense += prod(shape) * WIDTHS[values.dtype]
        if self.dense > MOST_DENSE:
            raise UserError(
                f"{self.file.name} has a sparse tensor of shape {list(shape)}, which needs more than"
                f" {MOST_DENSE >> 30} GiB written out; save it dense, or explain the model from Python with wrap()."
            )

        def read() -> Any:
            import torch

            return torch.sparse_coo_tensor(indices.read(), values.read(), shape, check_invariants=True).to_dense()

        return Claim(shape, values.dtype, read)


def short(name: Any) -> str:
    """A tensor's name as a sentence shows it; a file may have one of megabytes."""
    said = str(name)
    return said if len(said) <= 100 else f"{said[:60]}...{said[-30:]}"


def quantised(name: str) -> str:
    """What to do with integers that only their own kernels can run."""
    return (
        f"{name} holds quantised weights (qint8), which only the quantised network's own code can run; save the network"
        " itself with torch.jit.save(torch.jit.trace(model, example), 'model.pt') or export it to ONNX, or give the"
        " weights from before quantisation."
    )


def _text(value: Any) -> Any:
    """Keys as texts; Python 2 wrote them as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _whole(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else ()


def _is_storage(name: str) -> bool:
    return name.startswith("torch.") and name.rsplit(".", 1)[-1] in STORAGES


def _storage(kind: Any) -> str:
    return STORAGES.get(kind.name.rsplit(".", 1)[-1], "") if isinstance(kind, Global) else ""


def _view(identity: tuple[Any, ...], width: int) -> int:
    """Bytes at which a view of another storage begins (streams before torch 0.4)."""
    view = identity[5] if len(identity) > 5 else None
    return view[1] * width if isinstance(view, tuple) and len(view) > 1 and isinstance(view[1], int) else 0
