"""State dicts that claim more than they hold, or unpack to more than anyone has."""

import io
import pickle
import zipfile
from pathlib import Path

from hostile import Hostile, World
from hostile_files.pickled_code import Named, Writer, archive, call, dumped, legacy


class Stored:
    """Pickled as a persistent reference, torch's way of naming a storage."""

    def __init__(self, *what):
        self.what = what


class StorageWriter(Writer):
    def persistent_id(self, one):
        return one.what if isinstance(one, Stored) else None


def saved(value) -> bytes:
    out = io.BytesIO()
    StorageWriter(out, 2).dump(value)
    return out.getvalue()


def tensor(size, stride, offset=0, kind="FloatStorage", count=4, key="0"):
    storage = Stored("storage", Named("torch", kind), key, "cpu", count)
    empty = call("collections", "OrderedDict")
    return call("torch._utils", "_rebuild_tensor_v2", storage, offset, size, stride, False, empty)


def weights(**given):
    def build(folder: Path, world: World) -> Path:
        return archive(folder / "model.pt", saved({"fc.weight": tensor(**given)}), **{"data/0": bytes(16)})

    return build


def pickled(made, wrap=archive):
    def build(folder: Path, world: World) -> Path:
        return wrap(folder / "model.pt", made())

    return build


def laughs() -> bytes:
    """2^64 elements in 200 bytes, by way of the memo."""
    parts = [b"\x80\x02]q\x00"]
    for level in range(64):
        parts.append(b"]q" + bytes([level + 1]) + b"(h" + bytes([level]) + b"h" + bytes([level]) + b"e")
    return b"".join(parts) + b"."


def bomb(folder: Path, world: World) -> Path:
    path = folder / "model.pt"
    size = 256 << 20
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", saved({"fc.weight": tensor((size // 4,), (1,), count=size // 4)}))
        with file.open("archive/data/0", "w") as member:
            for _ in range(size >> 20):
                member.write(bytes(1 << 20))
    return path


def pickle_bomb(folder: Path, world: World) -> Path:
    path = folder / "model.pt"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file,
        file.open("archive/data.pkl", "w", force_zip64=True) as member,
    ):
        for _ in range(600):
            member.write(b"0" * (1 << 20))
    return path


def named(names):
    def build(folder: Path, world: World) -> Path:
        path = folder / "model.pt"
        with zipfile.ZipFile(path, "w") as file:
            for name in names(world):
                file.writestr(name, saved({"fc.weight": tensor((4,), (1,))}) if name.endswith("pkl") else bytes(16))
        return path

    return build


def lying_sizes(folder: Path, world: World) -> Path:
    path = weights(size=(4,), stride=(1,))(folder, world)
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    while at != -1:
        data[at + 20 : at + 28] = b"\xff\xff\xff\x7f" * 2
        at = data.find(b"PK\x01\x02", at + 1)
    path.write_bytes(data)
    return path


def cut(folder: Path, world: World) -> Path:
    path = weights(size=(4,), stride=(1,))(folder, world)
    path.write_bytes(path.read_bytes()[:-60])
    return path


def sparse():
    one = call(
        "torch._utils",
        "_rebuild_sparse_tensor",
        Named("torch", "sparse_coo"),
        (
            tensor((1, 2), (2, 1), kind="LongStorage", count=2),
            tensor((2,), (1,), count=2, key="0"),
            (1 << 40,),
            True,
        ),
    )
    return saved({"fc.weight": one})


def subclass():
    inner = call(
        "torch._tensor",
        "_rebuild_from_type_v2",
        Named("torch._utils", "_rebuild_tensor_v2"),
        Named("os", "system"),
        ("echo",),
        {"x": 1},
    )
    return saved({"fc.weight": inner})


CASES = {
    "stride_nought": ("10^13 elements of four, by a stride of nought", weights(size=(10**7, 10**6), stride=(0, 0))),
    "offset_outside": ("a tensor outside its storage", weights(size=(4,), stride=(1,), offset=1 << 40)),
    "offset_negative": ("a tensor before its storage", weights(size=(4,), stride=(1,), offset=-4096)),
    "stride_outside": ("a stride that leaves the storage", weights(size=(4, 4), stride=(1 << 50, 1))),
    "stride_negative": ("a stride that goes backwards", weights(size=(4,), stride=(-1024,))),
    "storage_too_large": ("a storage that claims 2^60 elements", weights(size=(1 << 60,), stride=(1,), count=1 << 60)),
    "storage_of_objects": ("a storage of no known kind", weights(size=(4,), stride=(1,), kind="os.system")),
    "shape_of_text": ("a shape that is a text", weights(size="four", stride=(1,))),
    "shape_negative": ("a negative shape", weights(size=(-4, -4), stride=(1, 1))),
    "shape_of_many_axes": ("a shape of 10,000 axes", weights(size=(1,) * 10_000, stride=(1,) * 10_000)),
    "sparse_huge": ("a sparse tensor of 4 TiB when written out", pickled(sparse)),
    "tensor_subclass": ("a tensor subclass that is os.system", pickled(subclass)),
    "allocating_call": (
        "torch.Tensor(10^6, 10^6), which weights_only allows",
        pickled(lambda: dumped({"fc.weight": call("torch", "Tensor", 10**6, 10**6)})),
    ),
    "bytearray_of_terabytes": (
        "bytearray(10^12), which weights_only allows",
        pickled(lambda: dumped({"fc.weight": call("builtins", "bytearray", 10**12)})),
    ),
    "billion_laughs": ("2^64 elements by way of the memo", pickled(laughs)),
    "deep": ("lists nested a million deep", pickled(lambda: b"\x80\x02" + b"]" * 1_000_000 + b"a" * 999_999 + b".")),
    "endless_marks": ("ten million marks", pickled(lambda: b"\x80\x02" + b"(" * 10_000_000)),
    "long_integer": (
        "an integer of 50 million bytes",
        pickled(lambda: b"\x80\x02\x8b" + (50_000_000).to_bytes(4, "little") + b"\xff" * 50_000_000 + b"."),
    ),
    "frame_too_large": (
        "a frame that claims 2^60 bytes",
        pickled(lambda: b"\x80\x04\x95" + (1 << 60).to_bytes(8, "little") + b"}."),
    ),
    "text_too_large": ("a text that claims 2^31 bytes", pickled(lambda: b"\x80\x02X\xff\xff\xff\x7fabc.")),
    "memo_far_away": ("a memo entry of number 2^31", pickled(lambda: b"\x80\x02}r\xff\xff\xff\x7f.")),
    "stack_underflow": ("more taken from the stack than lies on it", pickled(lambda: b"\x80\x02tRbuuu.")),
    "legacy_laughs": ("2^64 elements in the older layout", pickled(laughs, legacy)),
    "legacy_storages": (
        "the older layout with a million storages",
        pickled(lambda: saved({}) + pickle.dumps(list(range(1_000_000)), 2), legacy),
    ),
    "bomb": ("256 MiB of noughts in 260 kB", bomb),
    "pickle_bomb": ("a pickle of 600 MiB in 600 kB", pickle_bomb),
    "two_pickles": ("two data.pkl", named(lambda w: ["archive/data.pkl", "other/data.pkl", "archive/data/0"])),
    "paths": ("members named ../ and /", named(lambda w: ["archive/data.pkl", f"../../..{w.target}", str(w.target)])),
    "many_members": (
        "200,000 members",
        named(lambda w: ["archive/data.pkl", *(f"archive/data/{n}" for n in range(200_000))]),
    ),
    "lying_sizes": ("members that claim 2 GiB each", lying_sizes),
    "cut_off": ("an archive without its end", cut),
}
ENTRIES = tuple(
    Hostile(f"state_dict_{id}", "state_dict", what, build, slow=id in ("many_members", "endless_marks", "deep"))
    for id, (what, build) in CASES.items()
)
