"""ONNX: graphs that reach for other files, or ask for more than there is."""

import json
from pathlib import Path

from hostile import Hostile, World

HUGE = 1 << 40


def graph(nodes, initializers=(), functions=(), domains=(), outputs=("y",), inputs=("x",), **more):
    """A model of x (n, 4) to y."""
    from onnx import TensorProto, helper

    made = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["a", "b"]) for name in outputs],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(one, 1) for one in domains)]
    return helper.make_model(made, opset_imports=opsets, ir_version=8, functions=list(functions), **more)


def node(kind, given, made, **attributes):
    from onnx import helper

    return helper.make_node(kind, given, made, **attributes)


def numbers(name, values, kind="int64"):
    import numpy as np
    from onnx import numpy_helper

    return numpy_helper.from_array(np.array(values, kind), name)


def file_of(make):
    def build(folder: Path, world: World) -> Path:
        path = folder / "model.onnx"
        made = make(world)
        path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
        return path

    return build


def external(location, **more):
    """A weight that lies in another file."""

    def make(world):
        from onnx import TensorProto

        one = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4, 2], data_location=TensorProto.EXTERNAL)
        for key, value in {"location": location.format(secret=world.secret, target=world.target), **more}.items():
            one.external_data.add(key=key, value=value)
        return graph([node("MatMul", ["x", "w"], ["y"])], [one])

    return file_of(make)


def simple(kind, values, kind_of="int64", shape_first=False, **attributes):
    """One operator whose second input asks for too much."""
    return file_of(lambda world: graph([node(kind, ["x", "n"], ["y"], **attributes)], [numbers("n", values, kind_of)]))


def constant_of_terabytes(world):
    return graph(
        [node("ConstantOfShape", ["n"], ["c"]), node("Add", ["x", "c"], ["y"])], [numbers("n", [1 << 20, 1 << 20])]
    )


def nested(depth):
    def make(world):
        from onnx import TensorProto, helper

        ends = [helper.make_tensor_value_info("o", TensorProto.FLOAT, ["a", "b"])]
        inner = helper.make_graph([node("Identity", ["x"], ["o"])], "inner", [], ends)
        for _ in range(depth):
            one = node("If", ["c"], ["o"], then_branch=inner, else_branch=inner)
            inner = helper.make_graph([one], "inner", [], ends)
        return graph([node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)], [numbers("c", True, "bool")])

    return file_of(make)


def deep_bytes(world):
    """Subgraphs nested 5,000 deep, written by hand: each is the attribute of a node of the one around it."""

    def field(number, data):
        length, head = len(data), bytes([number << 3 | 2])
        while length > 127:
            head, length = head + bytes([length & 127 | 128]), length >> 7
        return head + bytes([length]) + data

    inner = b""
    for _ in range(5_000):
        inner = field(1, field(4, b"If") + field(5, field(1, b"then_branch") + field(6, inner)))
    return b"\x08\x08" + field(8, field(1, b"") + b"\x10\x11") + field(7, inner)


def loop(world):
    from onnx import TensorProto, helper

    body = helper.make_graph(
        [node("Identity", ["c"], ["c2"]), node("Add", ["v", "v"], ["v2"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, ["a", "b"]),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, ["a", "b"]),
        ],
    )
    one = node("Loop", ["n", "t", "x"], ["y"], body=body)
    return graph([one], [numbers("n", 1 << 62), numbers("t", True, "bool")])


def growing_loop(world):
    made = loop(world)
    body = made.graph.node[0].attribute[0].g
    body.node[1].op_type = "Concat"
    body.node[1].attribute.add(name="axis", i=0, type=2)
    return made


def functions(count, itself=False):
    """Functions that call the one before twice: 2^count nodes when written out; or one that calls itself."""

    def make(world):
        from onnx import helper

        made = []
        for level in range(count):
            inner = "f0" if itself and level == 0 else f"f{level - 1}"
            body = [node("Identity", ["a"], ["b"])]
            if level or itself:
                body = [node(inner, ["a"], ["t"], domain="d"), node(inner, ["t"], ["b"], domain="d")]
            opsets = [helper.make_opsetid("", 17), helper.make_opsetid("d", 1)]
            made.append(helper.make_function("d", f"f{level}", ["a"], ["b"], body, opsets))
        return graph([node(f"f{count - 1}", ["x"], ["y"], domain="d")], functions=made, domains=["d"])

    return file_of(make)


def lying(dims, data=b"\0" * 16):
    def make(world):
        from onnx import TensorProto

        one = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=data)
        return graph([node("MatMul", ["x", "w"], ["y"])], [one])

    return file_of(make)


def many_nodes(world):
    nodes = [node("Identity", ["x" if not n else f"t{n}"], [f"t{n + 1}"]) for n in range(100_000)]
    return graph([*nodes, node("Identity", ["t100000"], ["y"])])


def cycle(world):
    return graph([node("Add", ["x", "b"], ["a"]), node("Add", ["a", "x"], ["b"]), node("Add", ["a", "b"], ["y"])])


def custom(world):
    one = node("PyOp", ["x"], ["y"], domain="ai.onnx.contrib", module="os", class_name="system", compute="id")
    return graph([one], domains=["ai.onnx.contrib"])


def metadata(world):
    made = graph([node("Relu", ["x"], ["y"])])
    for number in range(100):
        made.metadata_props.add(key=f"names{number}", value="<script>" + "x" * 100_000)
    made.metadata_props.add(key="names", value=json.dumps({"0": "__import__('os').system('id')"}))
    return made


def cut(world):
    made = graph([node("MatMul", ["x", "w"], ["y"])], [numbers("w", [[0.5] * 64] * 4, "float32")])
    return made.SerializeToString()[:-300]


CASES = {
    "external_absolute": external("{secret}"),
    "external_upwards": external("../outside/secret"),
    "external_huge": external("model.onnx", length=str(HUGE), offset="0"),
    "external_negative": external("model.onnx", length="32", offset="-1"),
    "external_itself": external("model.onnx", length="32", offset="0"),
    "external_device": external("/dev/zero", length="32"),
    "external_proc": external("/proc/self/environ", length="32"),
    "constant_of_terabytes": file_of(constant_of_terabytes),
    "expand": simple("Expand", [1 << 20, 1 << 18, 4]),
    "tile": simple("Tile", [1 << 35, 1 << 5]),
    "reshape": simple("Reshape", [1 << 40, -1]),
    "pad": simple("Pad", [0, 0, 1 << 38, 4]),
    "one_hot": file_of(
        lambda w: graph(
            [
                node("Cast", ["x"], ["i"], to=7),
                node("OneHot", ["i", "d", "v"], ["h"]),
                node("Cast", ["h"], ["y"], to=1),
            ],
            [numbers("d", HUGE), numbers("v", [0, 1])],
        )
    ),
    "range": file_of(
        lambda w: graph(
            [
                node("Range", ["a", "b", "c"], ["r"]),
                node("Cast", ["r"], ["f"], to=1),
                node("ReduceSum", ["f"], ["s"]),
                node("Add", ["x", "s"], ["y"]),
            ],
            [numbers("a", 0), numbers("b", 1 << 50), numbers("c", 1)],
        )
    ),
    "resize": file_of(
        lambda w: graph(
            [node("Unsqueeze", ["x", "a"], ["u"]), node("Resize", ["u", "", "s"], ["y"])],
            [numbers("a", [0, 1]), numbers("s", [1, 1, 1e6, 1e6], "float32")],
        )
    ),
    "random": file_of(
        lambda w: graph(
            [
                node("RandomNormal", [], ["r"], shape=[1 << 20, 1 << 20]),
                node("ReduceSum", ["r"], ["s"]),
                node("Add", ["x", "s"], ["y"]),
            ]
        )
    ),
    "loop_for_ever": file_of(loop),
    "loop_that_grows": file_of(growing_loop),
    "nested_ifs": nested(14),
    "nested_bytes": file_of(deep_bytes),
    "functions_laugh": functions(40),
    "function_calls_itself": functions(1, itself=True),
    "dims_overflow": lying([1 << 33, 1 << 31]),
    "dims_negative": lying([-4, -1]),
    "dims_larger_than_data": lying([4, 1 << 20]),
    "many_nodes": file_of(many_nodes),
    "cycle": file_of(cycle),
    "python_operator": file_of(custom),
    "unknown_operator": file_of(lambda w: graph([node("System", ["x"], ["y"], command="id")])),
    "metadata": file_of(metadata),
    "cut_off": file_of(cut),
}
TABLE = {"modality": "tabular", "task": "regression"}
ODD = ("metadata", "external_itself", "nested_ifs", "reshape")
ENTRIES = tuple(
    Hostile(
        f"onnx_{id}",
        "onnx",
        f"a graph with {id.replace('_', ' ')}",
        build,
        facts=TABLE,
        shape=(4,),
        may_open=id in ODD,
        seconds=10.0,
        slow=id in ("many_nodes", "functions_laugh"),
    )
    for id, build in CASES.items()
)
