"""ONNX files: by torch with gradients where its scores are onnxruntime's, else as a black box; bad ones refused."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
import zipfile

import numpy as np
import onnx
import pytest
import torch
from corpus_files.onnx_graphs import exported
from onnx import TensorProto, helper
from small_networks import PHOTO, ROW, TEXT, Recurrent, Transformer, cnn, mlp, scores_of, tokenizer

from explainers import explain
from model_zoo import probe
from model_zoo.facts import Facts
from model_zoo.files import ModelFile
from model_zoo.formats._onnx import converting, interpreter, opening
from model_zoo.formats._onnx.registry import OPERATORS
from model_zoo.formats.onnx_graph import FORMAT
from model_zoo.opening import CONTAINED, format_of, open_file, read
from model_zoo.types import Capability, UserError


def opened(path, **facts):
    assert format_of(ModelFile(path)).id == "onnx"
    return open_file(ModelFile(path), Facts(**facts), trusted=CONTAINED)


def written(folder, nodes, inputs, outputs, weights=(), opset=17, check=True):
    """A model of given nodes: inputs and outputs are name -> shape."""
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in one.items()]
        for one in (inputs, outputs)
    ]
    kept = [onnx.numpy_helper.from_array(np.asarray(value, dtype=np.float32), name) for name, value in weights]
    graph = helper.make_graph(
        [helper.make_node(*one[:3], **(one[3] if len(one) > 3 else {})) for one in nodes], "g", *infos, kept
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


LINEAR = [("weight", np.arange(12).reshape(4, 3) / 10)]


@pytest.mark.parametrize(
    "network", [Recurrent("LSTM"), Recurrent("GRU"), Transformer()], ids=["lstm", "gru", "transformer"]
)
def test_gradients_of_texts_are_those_of_the_network(network, tmp_path):
    ids = torch.from_numpy(np.arange(18).reshape(2, 9) % 14)
    model = opened(exported(tmp_path, network, ids, 17, moving=(0, 1)), tokenizer=tokenizer())
    ids = torch.as_tensor(np.stack([model.sample(TEXT).x] * 2))
    vectors = network.words(ids).detach().requires_grad_()
    handle = network.words.register_forward_hook(lambda *_: vectors)
    (expected,) = torch.autograd.grad(network(ids)[:, 1].sum(), vectors)
    handle.remove()
    entry = model.entry(ids).requires_grad_()
    (found,) = torch.autograd.grad(model.forward_entry(entry, ids)[:, 1].sum(), entry)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    if isinstance(network, Transformer):
        maps = [probe.attention(lambda one=one: one(ids)).maps[0] for one in (network, model.outputs)]
        torch.testing.assert_close(maps[0], maps[1])


def test_gradients_of_pictures_and_a_layer_by_its_name(tmp_path):
    network = cnn(16)
    model = opened(exported(tmp_path, network, torch.rand(1, 3, 16, 16), 20))
    x = torch.rand(2, 3, 16, 16, requires_grad=True)
    (found,) = torch.autograd.grad(model.forward(x)[:, 1].sum(), x)
    torch.testing.assert_close(found, torch.autograd.grad(network(x)[:, 1].sum(), x)[0], atol=1e-6, rtol=1e-4)
    layer = next(name for name, _ in model.network.named_modules() if name.endswith("Relu"))
    named = probe.spatial(lambda: model.outputs(x)[:, 1], model.network, layer)
    assert named.activation.shape == (2, 6, 16, 16)
    assert np.abs(explain(model, model.sample(PHOTO), "grad_cam").values).max() > 0


def test_an_operator_that_nobody_writes_is_a_black_box(tmp_path, monkeypatch):
    path = exported(tmp_path, mlp(), torch.rand(2, 6), 17)
    monkeypatch.delitem(OPERATORS, "Tanh")
    for library in ("_onnx2torch", "_onnx2pytorch"):
        monkeypatch.setattr(converting, library, lambda model: (_ for _ in ()).throw(NotImplementedError("Tanh")))
    model = opened(path)
    assert model.can == Capability.NONE
    assert any("black box, without gradients, since torch lacks the operator Tanh" in one for one in model.card.notes)
    sample = model.sample(ROW)
    with torch.no_grad():
        expected = mlp()(torch.as_tensor(sample.x[None]).float())[0].numpy()
    np.testing.assert_allclose(model.predict(sample).raw, expected, atol=1e-5)
    assert np.abs(explain(model, sample, "occlusion").values).max() > 0


def test_a_conversion_that_disagrees_is_not_taken(tmp_path, monkeypatch):
    path = exported(tmp_path, mlp(), torch.rand(2, 6), 17)
    monkeypatch.setitem(OPERATORS, "Tanh", lambda node, x: torch.sigmoid(x))
    for library in ("_onnx2torch", "_onnx2pytorch"):
        monkeypatch.setattr(converting, library, lambda model: (_ for _ in ()).throw(NotImplementedError("Tanh")))
    assert any("scores by torch are not those of onnxruntime" in one for one in opened(path).card.notes)


def test_a_conversion_that_disagrees_on_the_first_input_is_left_for_the_black_box(tmp_path, monkeypatch):
    """Right on made-up inputs from 0 to 1, wrong below 0."""
    path = written(
        tmp_path,
        [("Abs", ["x"], ["a"]), ("MatMul", ["a", "weight"], ["y"])],
        {"x": [None, 4]},
        {"y": [None, 3]},
        LINEAR,
    )
    monkeypatch.setitem(OPERATORS, "Abs", lambda node, x: x)
    model = opened(path)
    assert Capability.GRADIENTS in model.can
    row = np.array([1.0, -2.0, 3.0, 4.0])
    sample = model.sample(row)
    assert model.can == Capability.NONE
    assert "explained as a black box, by onnxruntime" in model.card.notes[-1]
    np.testing.assert_allclose(model.predict(sample).raw, np.abs(row) @ LINEAR[0][1], atol=1e-6)
    with pytest.raises(UserError, match="gradient"):
        explain(model, sample, "integrated_gradients")
    assert np.abs(explain(model, sample, "occlusion").values).max() > 0
    model.sample(row)
    assert len([one for one in model.card.notes if "black box" in one]) == 1
    assert opened(path, architecture="onnxruntime").can == Capability.NONE


def test_texts_are_made_up_of_the_whole_vocabulary(tmp_path, monkeypatch):
    """A conversion that is right on the ids 0 and 1 alone is not taken."""
    path = exported(tmp_path, Recurrent("GRU"), torch.from_numpy(np.arange(18).reshape(2, 9) % 14), 17, moving=(0, 1))
    model = onnx.load(path)
    assert opening.vocabulary(model, opening.signature(model, "m")) == Recurrent("GRU").words.num_embeddings
    gather = OPERATORS["Gather"]
    monkeypatch.setitem(OPERATORS, "Gather", lambda node, table, at: gather(node, table, at.clamp(max=1)))
    for library in ("_onnx2torch", "_onnx2pytorch"):
        monkeypatch.setattr(converting, library, lambda model: (_ for _ in ()).throw(NotImplementedError("Gather")))
    assert any("scores by torch are not" in one for one in opened(path, tokenizer=tokenizer()).card.notes)


def test_a_length_that_the_exporter_wrote_into_the_graph_is_found(tmp_path):
    class Encoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(5)
            self.words = torch.nn.Embedding(14, 16)
            layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.layers = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
            self.out = torch.nn.Linear(16, 2)

        def forward(self, ids):
            return self.out(self.layers(self.words(ids)).mean(1))

    network = Encoder().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = exported(tmp_path, network, torch.arange(18).reshape(2, 9) % 14, 17, moving=(0, 1))
    model = opened(path, tokenizer=tokenizer())
    assert "Its length was fixed to 9 tokens" in " ".join(model.card.notes)
    assert Capability.GRADIENTS in model.can
    sample = model.sample(TEXT)
    assert sample.x.shape == (9,)
    np.testing.assert_allclose(model.predict(sample).raw, scores_of(network)(sample.x), rtol=1e-4, atol=1e-5)


def test_choices_offer_the_black_box(tmp_path):
    path = exported(tmp_path, mlp(), torch.rand(2, 6), 17)
    reading = read(ModelFile(path), trusted=CONTAINED)
    assert [one.id for one in reading.choices] == ["torch", "onnxruntime"]
    assert reading.outputs == 3
    assert len(reading.guess.columns) == 6


def test_other_outputs_are_ignored_and_named(tmp_path):
    nodes = [("MatMul", ["x", "weight"], ["features"]), ("Softmax", ["features"], ["probabilities"])]
    path = written(tmp_path, nodes, {"x": [None, 4]}, {"features": [None, 3], "probabilities": [None, 3]}, LINEAR)
    model = opened(path)
    assert any("probabilities is explained, features ignored" in one for one in model.card.notes)
    assert model.card.output == "probability"


@pytest.mark.parametrize("width", [1, 3])
def test_what_a_last_sigmoid_tells(width, tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.Sigmoid()).eval()
    model = opened(exported(tmp_path, network, torch.randn(2, 6), 17))
    expected = ("binary", "probability") if width == 1 else ("regression", "value")
    assert (model.card.task, model.card.output) == expected
    assert bool(model.card.notes) == (width > 1)


class Bytes(torch.nn.Module):
    """A network that takes pictures of bytes, colours last, and turns them into floats."""

    def __init__(self):
        super().__init__()
        self.inner = cnn()

    def forward(self, x):
        return self.inner(x.permute(0, 3, 1, 2).float() / 255 - 0.5)


def test_a_picture_of_bytes_has_the_gradient_of_its_floats(tmp_path):
    network = Bytes().eval()
    model = opened(exported(tmp_path, network, torch.randint(0, 255, (2, 16, 16, 3), dtype=torch.uint8), 17))
    assert Capability.GRADIENTS in model.can
    x = torch.as_tensor(model.sample(PHOTO).x)[None]
    whole = x.round().clone().requires_grad_()
    expected = network(whole.permute(0, 2, 3, 1))
    np.testing.assert_allclose(model.forward(x).detach(), expected.detach(), rtol=1e-4, atol=1e-5)
    (gradient,) = torch.autograd.grad(expected[0, 1], whole)
    given = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(model.forward(given)[0, 1], given)
    np.testing.assert_allclose(found, gradient, rtol=1e-3, atol=1e-6)


def test_whole_numbers_that_are_computed_with_have_no_gradient_and_it_is_said(tmp_path):
    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = cnn()

        def forward(self, x):
            return self.inner((x // 2).float())

    model = opened(exported(tmp_path, Whole().eval(), torch.randint(0, 255, (2, 3, 16, 16), dtype=torch.uint8), 17))
    assert Capability.GRADIENTS not in model.can
    assert "no gradient" in " ".join(model.card.notes)


def test_half_precision_is_computed_in_float32_with_gradients(tmp_path):
    network = mlp().half()
    path = exported(tmp_path, network, torch.randn(2, 6).half(), 17)
    model = opened(path)
    assert Capability.GRADIENTS in model.can
    assert "half precision" in " ".join(model.card.notes)
    sample = model.sample(ROW)
    assert sample.x.dtype == np.float32
    wide = copy.deepcopy(network).float()
    np.testing.assert_allclose(model.predict(sample).raw, scores_of(wide)(sample.x), rtol=1e-4, atol=1e-5)


def test_two_inputs_are_told(tmp_path):
    path = written(tmp_path, [("Add", ["left", "right"], ["y"])], {"left": [1, 4], "right": [1, 4]}, {"y": [1, 4]})
    with pytest.raises(UserError, match=r"takes 2 inputs \(left, right\)"):
        opened(path)


def test_scores_that_are_no_numbers_are_told(tmp_path):
    path = written(
        tmp_path,
        [("MatMul", ["x", "weight"], ["a"]), ("Log", ["a"], ["y"])],
        {"x": [None, 4]},
        {"y": [None, 3]},
        LINEAR,
    )
    model = opened(path)
    sample = model.sample(np.array([-1.0, -2.0, -3.0, -4.0]))
    with pytest.raises(UserError, match="not a finite number"):
        explain(model, sample, "occlusion")


def test_a_file_cut_off_is_told(tmp_path):
    path = exported(tmp_path, mlp(), torch.rand(2, 6), 17)
    whole = path.read_bytes()
    for share in (0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UserError, match=r"cut off|damaged"):
            opened(path)


def beside(folder):
    """What torch.onnx.export writes by default: m.onnx, and its weights in m.onnx.data."""
    network = mlp()
    folder.mkdir(exist_ok=True)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.randn(2, 6),), str(folder / "m.onnx"), dynamo=True, opset_version=18)
    assert (folder / "m.onnx.data").stat().st_size > 100
    return network


@pytest.mark.parametrize("kind", ["folder", "zip", "zip of the folder", "with a tokenizer"])
def test_weights_beside_the_model_are_read(kind, tmp_path):
    path = tmp_path / "export"
    network = beside(path)
    if kind == "with a tokenizer":
        (path / "tokenizer.json").write_text(tokenizer())
    if kind.startswith("zip"):
        prefix = "export/" if kind == "zip of the folder" else ""
        with zipfile.ZipFile(tmp_path / "e.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for one in path.iterdir():
                archive.write(one, prefix + one.name)
        path = tmp_path / "e.zip"
    model = opened(path)
    assert Capability.GRADIENTS in model.can
    np.testing.assert_allclose(
        model.predict(model.sample(ROW)).raw, scores_of(network)(np.array(list(ROW.values()))), rtol=1e-4, atol=1e-6
    )


def test_a_model_without_the_file_of_its_weights_says_what_to_give(tmp_path):
    beside(tmp_path)
    with pytest.raises(UserError, match=r"m.onnx keeps its weights in m.onnx.data: give the folder or a zip with both"):
        opened(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "said",
    [
        {"location": "../secret"},
        {"location": "/etc/passwd"},
        {"location": "sub/data"},
        {"location": "link"},
        {"location": "m.onnx.data", "offset": 1 << 40},
        {"location": "m.onnx.data", "offset": -4},
        {"location": "m.onnx.data", "length": 4},
        {"location": ".."},
    ],
    ids=str,
)
def test_weights_are_read_from_beside_the_model_alone(said, tmp_path):
    folder = tmp_path / "export"
    beside(folder)
    (tmp_path / "secret").write_bytes(bytes(10_000))
    (folder / "sub").mkdir()
    (folder / "sub" / "data").write_bytes(bytes(10_000))
    (folder / "link").symlink_to(tmp_path / "secret")
    model = onnx.load(folder / "m.onnx", load_external_data=False)
    one = next(one for one in model.graph.initializer if one.external_data)
    one.ClearField("external_data")
    one.external_data.extend(onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in said.items())
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=r"keeps its weights in|is a link|does not hold|does not say where"):
        opened(folder)


@pytest.mark.parametrize("opset", [3, 999])
def test_an_opset_that_nobody_knows_is_told(opset, tmp_path):
    path = written(
        tmp_path, [("MatMul", ["x", "weight"], ["y"])], {"x": [None, 4]}, {"y": [None, 3]}, LINEAR, opset=opset
    )
    if opset == 3:
        assert opened(path).card.labels  # old ones still run
        return
    with pytest.raises(UserError, match=r"Export it again"):
        opened(path)


def test_an_operator_that_is_none_is_told(tmp_path):
    path = written(tmp_path, [("Frobnicate", ["x"], ["y"])], {"x": [None, 4]}, {"y": [None, 4]})
    with pytest.raises(UserError, match=r"Frobnicate.*Export it again"):
        opened(path)


def test_a_constant_of_terabytes_is_never_made(tmp_path):
    """262,144² · 4 bytes from a file of 200 bytes."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1 << 18, 1 << 18])
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceMax", ["big"], ["top"], keepdims=0),
        helper.make_node("Add", ["x", "top"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 4]) for name in ("x", "y")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", infos[:1], infos[1:]), opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="too large"):
        opened(path)


def test_other_files_are_not_taken_for_onnx(tmp_path):
    for data in (
        b"\x08\x01\x12\x04abcd",
        b"PK\x03\x04" + bytes(60),
        b"\x08\x07" + b"\xff" * 50,
        b"hello",
        b"\x80\x02}q\x00.",
    ):
        path = tmp_path / "file"
        path.write_bytes(data)
        assert not FORMAT.sniff(ModelFile(path))


def folded_graph(folder):
    """A transposed weight and a weight times a constant: both are worked out when the graph is read."""
    weights = [("w", np.arange(12).reshape(4, 3) / 10), ("scale", [2.0]), ("b", [1.0, 2.0, 3.0, 4.0])]
    nodes = [
        ("Transpose", ["w"], ["wt"], {"perm": [1, 0]}),
        ("Mul", ["b", "scale"], ["bb"]),
        ("MatMul", ["x", "wt"], ["h"]),
        ("Add", ["h", "bb"], ["y"]),
    ]
    return interpreter.converted(onnx.load(written(folder, nodes, {"x": [1, 3]}, {"y": [1, 4]}, weights)))


def test_what_is_worked_out_beforehand_follows_the_module(tmp_path):
    network = folded_graph(tmp_path)
    x = torch.tensor([[1.0, -2.0, 0.5]])
    expected = x @ (torch.arange(12.0).reshape(4, 3) / 10).T + 2 * torch.arange(1.0, 5.0)
    assert torch.allclose(network(x), expected)
    found = copy.deepcopy(network).double()(x.double())
    assert found.dtype == torch.float64
    assert torch.allclose(found, expected.double())
    assert network.to("meta")(x.to("meta")).device.type == "meta"


def test_other_weights_give_other_scores(tmp_path):
    network = folded_graph(tmp_path)
    x = torch.ones(1, 3)
    assert sorted(tuple(one.shape) for one in network.parameters()) == [(3, 4), (4,)]
    for one in network.parameters():
        before = network(x)
        one.data = torch.randn(one.shape, generator=torch.Generator().manual_seed(0))
        assert not torch.allclose(network(x), before)


def test_constants_of_a_graph_inside_a_node_follow_the_module(tmp_path):
    info = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 3])
    branches = {}
    for name, by in (("then_branch", 2.0), ("else_branch", 3.0)):
        by = onnx.numpy_helper.from_array(np.float32([by]), "by")
        nodes = [
            helper.make_node("Constant", [], ["one"], value=onnx.numpy_helper.from_array(np.float32([1]), "v")),
            helper.make_node("Add", ["by", "one"], ["more"]),
            helper.make_node("Mul", ["x", "more"], ["inner"]),
        ]
        branches[name] = helper.make_graph(nodes, name, [], [info], [by])
    nodes = [
        ("ReduceSum", ["x"], ["sum"], {"keepdims": 0}),
        ("Greater", ["sum", "zero"], ["positive"]),
        ("If", ["positive"], ["y"], branches),
    ]
    path = written(tmp_path, nodes, {"x": [1, 3]}, {"y": [1, 3]}, [("zero", 0.0)])
    network = interpreter.converted(onnx.load(path)).double()
    x = torch.ones(1, 3, dtype=torch.float64)
    assert network(x).dtype == torch.float64
    assert torch.equal(network(x), 3 * x)
    assert torch.equal(network(-x), -4 * x)
    for one in network.parameters():
        one.data = one.data + 1
    assert torch.equal(network(x), 4 * x)
