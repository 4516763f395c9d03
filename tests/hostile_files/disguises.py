"""Files that are not what they seem: other formats, several at once, archives in archives, programs."""

import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

from hostile import Hostile, World
from hostile_files.pickled_code import archive, call, dumped

ELF = b"\x7fELF\x02\x01\x01" + bytes(57)
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"


def plain(name, content):
    def build(folder: Path, world: World) -> Path:
        path = folder / name
        path.write_bytes(content(world) if callable(content) else content)
        return path

    return build


def zipped(name, members, prefix=b""):
    def build(folder: Path, world: World) -> Path:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
            for member, data in members(world).items():
                file.writestr(member, data)
        path = folder / name
        path.write_bytes(prefix + held.getvalue())
        return path

    return build


def russian_doll(world):
    data = bytes(64 << 20)
    for level in range(6):
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
            for number in range(4):
                file.writestr(f"{level}-{number}.zip", data)
        data = held.getvalue()
    return data


def overlapping(world):
    """A zip whose directory names one member 20,000 times."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", b"0" * (1 << 20))
    data = held.getvalue()
    at = data.index(b"PK\x01\x02")
    entry = data[at : data.index(b"PK\x05\x06")]
    directory = entry * 20_000
    end = b"PK\x05\x06" + bytes(4) + (20_000).to_bytes(2, "little") * 2
    return data[:at] + directory + end + len(directory).to_bytes(4, "little") + at.to_bytes(4, "little") + bytes(2)


def old_torch_tar(world):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as file:
        for name, data in (
            ("pickle", dumped(call("builtins", "exec", world.code))),
            ("storages", dumped(0)),
            ("tensors", dumped(0)),
            (f"../../..{world.target}", b"x"),
        ):
            one = tarfile.TarInfo(name)
            one.size = len(data)
            file.addfile(one, io.BytesIO(data))
    return held.getvalue()


def encrypted(folder: Path, world: World) -> Path:
    path = archive(folder / "model.pt", dumped({}))
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at != -1:
            data[at + offset] |= 1
            at = data.find(mark, at + 1)
    path.write_bytes(data)
    return path


def special(make):
    """Something that is no plain file."""

    def build(folder: Path, world: World) -> Path:
        path = folder / "model.pt"
        make(path, world)
        return path

    return build


def gadget(world):
    return dumped(call("builtins", "exec", world.code))


CASES = {
    "empty": plain("model.pt", b""),
    "one_byte": plain("model.pt", b"\x80"),
    "noughts": plain("model.safetensors", bytes(1 << 20)),
    "noise": plain("model.onnx", bytes((n * 7919 + n // 251) % 256 for n in range(1 << 16))),
    "program": plain("model.pt", ELF),
    "library_named_pt2": plain("model.pt2", ELF),
    "executorch": plain("model.pte", b"\x1c\x00\x00\x00ET12" + bytes(256)),
    "aot_package": zipped("model.pt2", lambda w: {"model/data/aotinductor/model/x.so": ELF, "model/archive_format": "pt2"}),
    "shell_script": plain("model.bin", lambda w: f"#!/bin/sh\ncat {w.secret}\n".encode()),
    "python": plain("model.py", lambda w: w.code.encode()),
    "html": plain("model.json", b"<html><script>alert(1)</script></html>"),
    "json_for_nobody": plain("model.json", b'{"a": 1}'),
    "json_deep": plain("model.json", b"[" * 1_000_000),
    "picture_and_zip": zipped("model.pt", lambda w: {"archive/data.pkl": gadget(w), "archive/version": "3"}, PNG),
    "program_and_zip": zipped("model.keras", lambda w: {"config.json": "{}", "metadata.json": "{}", "archive/data.pkl": gadget(w)}, ELF),
    "every_format_at_once": zipped("model.zip", lambda w: {"config.json": "{}", "metadata.json": "{}", "schema.json": "{}", "archive/data.pkl": gadget(w), "archive/code/x.py": w.code, "archive/constants.pkl": gadget(w), "model.safetensors": b"", "models/model.json": "{}", "archive_format": "pt2"}),
    "onnx_and_zip": zipped("model.onnx", lambda w: {"archive/data.pkl": gadget(w)}, b"\x08\x08\x12\x07pytorch"),
    "empty_zip": plain("model.zip", b"PK\x05\x06" + bytes(18)),
    "zip_without_directory": plain("model.pt", b"PK\x03\x04" + bytes(200)),
    "zip_in_zip": plain("model.zip", russian_doll),
    "zip_overlapping": plain("model.pt", overlapping),
    "zip_encrypted": encrypted,
    "zip_comment": plain("model.pt", b"PK\x05\x06" + bytes(16) + b"\xff\xff" + b"PK\x05\x06" * 16_000),
    "tar_of_old_torch": plain("model.pt", old_torch_tar),
    "gzip_bomb": plain("model.gz", lambda w: gzip.compress(bytes(256 << 20), 9)),
    "gzip_pickle": plain("model.pkl.gz", lambda w: gzip.compress(gadget(w))),
    "xz_pickle": plain("model.pkl.xz", lambda w: lzma.compress(gadget(w))),
    "r_bomb": plain("model.rds", lambda w: gzip.compress(b"X\n" + bytes(256 << 20), 9)),
    "gguf": plain("model.gguf", b"GGUF\x03\x00\x00\x00" + b"\xff" * 64),
    "link_to_secret": special(lambda path, world: path.symlink_to(world.secret)),
    "link_to_itself": special(lambda path, world: path.symlink_to(path)),
    "link_to_nowhere": special(lambda path, world: path.symlink_to("/nowhere")),
    "pipe": special(lambda path, world: os.mkfifo(path)),
    "device": special(lambda path, world: path.symlink_to("/dev/zero")),
    "proc": special(lambda path, world: path.symlink_to("/proc/self/mem")),
    "unreadable_name": plain("m\u202eto.\x07del<b>.pt", b"x"),
    "empty_folder": special(lambda path, world: path.mkdir()),
}  # fmt: skip
ENTRIES = tuple(
    Hostile(
        f"disguise_{id}",
        "disguise",
        f"a file that is {id.replace('_', ' ')}",
        build,
        slow=id in ("zip_in_zip", "gzip_bomb", "r_bomb"),
        seconds=5.0 if id == "pipe" else 20.0,
    )
    for id, build in CASES.items()
)
