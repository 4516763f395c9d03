"""safetensors: headers that lie or never end."""

import json
import struct
from pathlib import Path

from hostile import Hostile, World


def written(folder: Path, header: bytes, data: bytes = b"", length: int | None = None) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header) if length is None else length) + header + data)
    return path


def tensor(shape=(2, 2), begin=0, end=16, dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def header(made, data=b"\0" * 16, length=None):
    def build(folder: Path, world: World) -> Path:
        found = made(world) if callable(made) else made
        text = found if isinstance(found, bytes) else json.dumps(found).encode()
        return written(folder, text, data, length)

    return build


def many(count):
    one = tensor((0,), 0, 0)
    return {f"layer.{n}.weight": one for n in range(count)}


CASES = {
    "million_tensors": ("a header with a million tensors", header(lambda w: many(1_000_000))),
    "header_of_exabytes": ("a header that claims 2^62 bytes", header(b'{"a":1}', length=1 << 62)),
    "header_of_gigabytes": ("a header that claims 8 GiB of a small file", header(b'{"weight":', length=8 << 30)),
    "header_of_spaces": ("a header of 64 MiB of spaces", header(lambda w: b'{"a":' + b" " * (64 << 20) + b"1}")),
    "header_nested": (
        "a header nested 100,000 deep",
        header(lambda w: b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    ),
    "header_not_text": ("a header that is no UTF-8", header(b'{"\xff\xfe":{}}')),
    "header_a_list": ("a header that is a list in an object", header({"weight": [1, 2, 3]})),
    "overlapping": (
        "tensors that overlap",
        header({"a.weight": tensor(), "b.weight": tensor(begin=8, end=24)}, b"\0" * 24),
    ),
    "all_the_same_place": (
        "4,000 tensors of the same megabyte",
        header(lambda w: {f"l{n}.weight": tensor((512, 512), 0, 1 << 20) for n in range(4000)}, b"\0" * (1 << 20)),
    ),
    "past_the_end": ("a tensor past the end of the file", header({"a.weight": tensor((1 << 20, 1 << 10), 0, 1 << 32)})),
    "negative_place": ("a tensor before the beginning", header({"a.weight": tensor(begin=-16, end=0)})),
    "backwards": ("a tensor that ends before it begins", header({"a.weight": tensor(begin=16, end=0)})),
    "shape_overflows": (
        "a shape whose product overflows to the right size",
        header({"a.weight": tensor((1 << 33, 1 << 31, 4))}),
    ),
    "shape_of_many_axes": ("a shape of 100,000 axes", header(lambda w: {"a.weight": tensor((1,) * 100_000, 0, 4)})),
    "shape_of_booleans": ("a shape of truths", header({"a.weight": tensor((True, True), 0, 4)})),
    "shape_of_floats": ("a shape of floats", header({"a.weight": tensor((2.0, 2.0))})),
    "unknown_kind": ("a dtype that does not exist", header({"a.weight": tensor(dtype="F1024")})),
    "infinite_shape": (
        "a shape of Infinity",
        header(b'{"a.weight":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,16]}}'),
    ),
    "names_that_are_paths": (
        "tensor names that are paths and HTML",
        header(
            lambda w: {f"../../{w.target}": tensor(), "<script>alert(1)</script>": tensor(begin=16, end=32)}, b"\0" * 32
        ),
    ),
    "a_long_name": ("a tensor name of 8 MiB", header(lambda w: {"a" * (8 << 20): tensor()})),
    "deep_names": ("a tensor name with a million dots", header(lambda w: {".".join("a" * 1_000_000): tensor()})),
    "cut_off": ("a file cut off in its header", header(b'{"weight":{"dtype":"F32","sha', b"", length=4096)),
}
ENTRIES = tuple(Hostile(f"safetensors_{id}", "safetensors", what, build) for id, (what, build) in CASES.items())
