"""torch.export archives: every way in which opening one can run code, and some in which its graph can."""

import base64
import json
import pickle
import zipfile
from pathlib import Path

from hostile import Hostile, World
from hostile_files.pickled_code import archive as torch_archive
from hostile_files.pickled_code import call, dumped


def members(folder: Path) -> dict[str, bytes]:
    """An honest archive of x (n, 4) -> (n, 3), by the names within its one folder."""
    import torch

    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(4, 3)

        def forward(self, x):
            return self.linear(x)

    batch = torch.export.Dim("batch", min=1, max=64)
    path = folder / "model.pt2"
    torch.export.save(torch.export.export(Small(), (torch.zeros(2, 4),), dynamic_shapes=({0: batch},)), path)
    with zipfile.ZipFile(path) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def changed(change):
    def build(folder: Path, world: World) -> Path:
        held = members(folder)
        change(held, world, folder)
        with zipfile.ZipFile(folder / "model.pt2", "w") as file:
            for name, data in held.items():
                file.writestr(f"model/{name}", data)
        return folder / "model.pt2"

    return build


def in_graph(change):
    """The description of the program changed."""

    def edit(held, world, folder):
        model = json.loads(held["models/model.json"])
        change(model, world)
        held["models/model.json"] = json.dumps(model).encode()

    return changed(edit)


def gadget(world, folder: Path) -> bytes:
    """A pickle in torch's own wrapping that runs code."""
    path = torch_archive(folder / "gadget", dumped(call("builtins", "exec", world.code)))
    data = path.read_bytes()
    path.unlink()
    return data


def sample_inputs(held, world, folder):
    held["data/sample_inputs/model.pt"] = gadget(world, folder)


def pickled_weight(held, world, folder):
    config = json.loads(held["data/weights/model_weights_config.json"])
    for one in config["config"].values():
        one["use_pickle"] = True
        held[f"data/weights/{one['path_name']}"] = gadget(world, folder)
    held["data/weights/model_weights_config.json"] = json.dumps(config).encode()


def opaque_constant(held, world, folder):
    held["data/constants/custom_obj_0"] = pickle.dumps(("x", dumped(call("builtins", "exec", world.code))))
    held["data/constants/model_constants_config.json"] = json.dumps(
        {"config": {"c": {"path_name": "custom_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}}}
    ).encode()


def bundled_library(held, world, folder):
    held["data/aotinductor/model/model.so"] = b"\x7fELF\x02\x01\x01" + bytes(4096)
    held["data/aotinductor/model/model.wrapper.so"] = b"\x7fELF\x02\x01\x01" + bytes(4096)


def expression(world) -> str:
    code = base64.b64encode(world.code.encode()).decode()
    return f"__import__('builtins').exec(__import__('base64').b64decode('{code}').decode())"


def sympy(model, world):
    for one in model["graph_module"]["graph"]["tensor_values"].values():
        for size in one["sizes"]:
            if "as_expr" in size:
                size["as_expr"]["expr_str"] = expression(world)


def symbol_names(model, world):
    model["range_constraints"] = {expression(world): {"min_val": 1, "max_val": 64}}


def guards(model, world):
    model["guards_code"] = [expression(world)]


def target(name):
    def change(model, world):
        model["graph_module"]["graph"]["nodes"][0]["target"] = name

    return in_graph(change)


def named(model, world):
    """A name that goes into generated Python."""
    text = json.dumps(model).replace('"linear"', json.dumps(f"linear = {expression(world)} #"))
    model.update(json.loads(text))


def tree(model, world):
    for one in model["graph_module"]["module_call_graph"]:
        if one["signature"]:
            one["signature"]["in_spec"] = json.dumps([1, {"type": "os.system", "context": '"id"', "children_spec": []}])


def metadata(model, world):
    for one in model["graph_module"]["graph"]["nodes"]:
        one["metadata"] = {
            "nn_module_stack": f"{expression(world)},,os.system",
            "stack_trace": expression(world),
            "custom": expression(world),
        }


def sizes(*shape):
    def change(model, world):
        values = model["graph_module"]["graph"]["tensor_values"]
        values["p_l_weight" if "p_l_weight" in values else next(iter(values))]["sizes"] = [
            {"as_int": one} for one in shape
        ]

    return in_graph(change)


def full(shape):
    """One more node, which asks for a tensor of this shape."""

    def change(model, world):
        graph = model["graph_module"]["graph"]
        node = json.loads(json.dumps(graph["nodes"][0]))
        node["target"] = "torch.ops.aten.full.default"
        node["inputs"] = [
            {"name": "size", "arg": {"as_ints": shape}, "kind": 1},
            {"name": "fill_value", "arg": {"as_float": 1.0}, "kind": 1},
        ]
        node["outputs"] = [{"as_tensor": {"name": "full"}}]
        graph["nodes"].insert(0, node)
        graph["tensor_values"]["full"] = {**graph["tensor_values"]["linear"], "sizes": [{"as_int": n} for n in shape]}

    return in_graph(change)


def from_file(model, world):
    graph = model["graph_module"]["graph"]
    node = json.loads(json.dumps(graph["nodes"][0]))
    node["target"] = "torch.ops.aten.from_file.default"
    node["inputs"] = [
        {"name": "filename", "arg": {"as_string": str(world.target)}, "kind": 1},
        {"name": "shared", "arg": {"as_bool": True}, "kind": 1},
        {"name": "size", "arg": {"as_int": 9}, "kind": 1},
    ]
    node["outputs"] = [{"as_tensor": {"name": "stolen"}}]
    graph["nodes"].insert(0, node)
    graph["tensor_values"]["stolen"] = {**graph["tensor_values"]["linear"], "sizes": [{"as_int": 9}]}


def weight_upwards(held, world, folder):
    config = json.loads(held["data/weights/model_weights_config.json"])
    for one in config["config"].values():
        one["path_name"] = f"../../../../..{world.secret}"
    held["data/weights/model_weights_config.json"] = json.dumps(config).encode()


def weight_strides(held, world, folder):
    config = json.loads(held["data/weights/model_weights_config.json"])
    for one in config["config"].values():
        one["tensor_meta"]["sizes"] = [{"as_int": 10**7}, {"as_int": 10**6}]
        one["tensor_meta"]["strides"] = [{"as_int": 0}, {"as_int": 0}]
    held["data/weights/model_weights_config.json"] = json.dumps(config).encode()


CASES = {
    "sample_inputs": changed(sample_inputs),
    "pickled_weight": changed(pickled_weight),
    "opaque_constant": changed(opaque_constant),
    "bundled_library": changed(bundled_library),
    "sympy": in_graph(sympy),
    "symbol_names": in_graph(symbol_names),
    "guards": in_graph(guards),
    "target_os_system": target("os.system"),
    "target_builtins": target("builtins.eval"),
    "target_dotted": target("torch.ops.aten.linear.default.__globals__"),
    "target_loads": target("torch.ops.torchao.load.default"),
    "names_in_code": in_graph(named),
    "tree_of_a_class": in_graph(tree),
    "metadata": in_graph(metadata),
    "weight_upwards": changed(weight_upwards),
    "weight_strides": changed(weight_strides),
    "weight_shape": sizes(10**9, 10**9),
    "allocates": full([1 << 20, 1 << 20]),
    "from_file": in_graph(from_file),
    "json_deep": changed(
        lambda held, world, folder: held.update({"models/model.json": b"[" * 200_000 + b"]" * 200_000})
    ),
    "json_cut_off": changed(
        lambda held, world, folder: held.update({"models/model.json": held["models/model.json"][:900]})
    ),
    "json_bomb": changed(
        lambda held, world, folder: held.update({"models/model.json": b'{"a":"' + b"x" * (100 << 20) + b'"}'})
    ),
    "two_programs": changed(lambda held, world, folder: held.update({"models/other.json": held["models/model.json"]})),
    "no_weights": changed(lambda held, world, folder: [held.pop(name) for name in list(held) if "weight_" in name]),
}
ODD = (
    "sample_inputs",
    "guards",
    "metadata",
    "two_programs",
    "symbol_names",
    "weight_shape",
)  # unused parts are left out
ENTRIES = tuple(
    Hostile(
        f"pt2_{id}",
        "pt2",
        f"an exported program with {id.replace('_', ' ')}",
        build,
        facts={"modality": "tabular", "task": "regression"},
        shape=(4,),
        may_open=id in ODD,
    )
    for id, build in CASES.items()
)
