"""skops: schemas that name what is not trusted, or unpack to more than there is."""

import io
import json
import zipfile
from pathlib import Path

from hostile import Hostile, World


def sound(folder: Path):
    """Schema and members of an honest model."""
    import numpy as np
    import skops.io
    from sklearn.linear_model import LogisticRegression

    path = folder / "honest.skops"
    numbers = np.random.default_rng(0).random((20, 4))
    skops.io.dump(LogisticRegression().fit(numbers, [0, 1] * 10), path)
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    path.unlink()
    return json.loads(found.pop("schema.json")), found


def changed(change):
    def build(folder: Path, world: World) -> Path:
        schema, members = sound(folder)
        schema = change(schema, members, world) or schema
        path = folder / "model.skops"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
            archive.writestr("schema.json", schema if isinstance(schema, bytes) else json.dumps(schema))
        return path

    return build


def node(loader, name, module, content=None, **more):
    return {"__class__": name, "__module__": module, "__loader__": loader, "content": content, "__id__": 1, **more}


def text(value):
    return node("JsonNode", "str", "builtins", json.dumps(value), is_json=True)


def root(loader, name, module, content=None, **more):
    return changed(lambda schema, members, world: {**schema, **node(loader, name, module, content, **more)})


def attribute(make):
    """One attribute of the model replaced."""

    def change(schema, members, world):
        schema["content"]["content"]["C"] = make(world)

    return changed(change)


def array(make):
    def change(schema, members, world):
        for name in members:
            members[name] = make(world, members[name])

    return changed(change)


def object_array(world, data):
    import numpy as np
    from hostile_files.pickled_code import call, dumped
    from hostile_files.pickled_code import object_array as pickled

    assert np.load(io.BytesIO(data)) is not None
    return pickled(dumped(call("builtins", "exec", world.code)))


def big_array(world, data):
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000), }"
    head += b" " * (-(10 + len(head) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(64)


def many_zeros(world, data):
    import numpy as np

    held = io.BytesIO()
    np.save(held, np.zeros(64 << 20))
    return held.getvalue()


def deep(schema, members, world):
    found = b"1"
    for _ in range(50_000):
        found = b'{"a":' + found + b"}"
    return found


def cycle(schema, members, world):
    schema["content"]["content"]["C"] = {
        "__loader__": "CachedNode",
        "__class__": "x",
        "__module__": "x",
        "__id__": schema["__id__"],
    }


CASES = {
    "os_system": root("FunctionNode", "system", "posix", {"module_path": "posix", "function": "system"}),
    "type_popen": root("TypeNode", "Popen", "subprocess", {"__class__": "Popen", "__module__": "subprocess"}),
    "object_popen": root("ObjectNode", "Popen", "subprocess", None),
    "reduce_eval": root("ReduceNode", "eval", "builtins", {"args": text("1"), "attrs": {}}),
    "partial": attribute(lambda w: node("PartialNode", "partial", "functools", {
        "func": node("FunctionNode", "system", "posix", {"module_path": "posix", "function": "system"}),
        "args": node("TupleNode", "tuple", "builtins", [text("id")]), "kwds": node("DictNode", "dict", "builtins", {}), "namespace": node("DictNode", "dict", "builtins", {})})),
    "methodcaller": attribute(lambda w: node("OperatorFuncNode", "methodcaller", "operator", {"attrs": node("TupleNode", "tuple", "builtins", [text("system")])})),
    "method_of_os": attribute(lambda w: node("MethodNode", "system", "os", {"func": "system", "obj": node("TypeNode", "system", "os", {})})),
    "joblib_inside": attribute(lambda w: node("JsonNode", "str", "builtins", "1e999999", is_json=True)),
    "attribute_code": attribute(lambda w: node("ObjectNode", "Thread", "threading", None)),
    "json_not_json": attribute(lambda w: node("JsonNode", "str", "builtins", "__import__('os')", is_json=True)),
    "file_upwards": attribute(lambda w: {**node("NdArrayNode", "ndarray", "numpy"), "type": "numpy", "file": f"../../..{w.secret}"}),
    "file_absolute": attribute(lambda w: {**node("NdArrayNode", "ndarray", "numpy"), "type": "numpy", "file": str(w.secret)}),
    "unknown_loader": root("EvilNode", "LogisticRegression", "sklearn.linear_model._logistic"),
    "object_arrays": array(object_array),
    "arrays_that_claim": array(big_array),
    "arrays_that_unpack": array(many_zeros),
    "deep_schema": changed(deep),
    "schema_bomb": changed(lambda schema, members, world: b'{"a":"' + b"x" * (256 << 20) + b'"}'),
    "cycle": changed(cycle),
    "newer_protocol": changed(lambda schema, members, world: {**schema, "protocol": 10**9}),
    "no_schema": changed(lambda schema, members, world: b"[]"),
}  # fmt: skip
ENTRIES = tuple(
    Hostile(
        f"skops_{id}",
        "skops",
        f"a skops file with {id.replace('_', ' ')}",
        build,
        shape=(4,),
        may_open=id in ("joblib_inside", "cycle", "newer_protocol"),
        slow=id == "schema_bomb",
    )
    for id, build in CASES.items()
)
