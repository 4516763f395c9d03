"""torch.export archives: opened where they are proven to run no code, in the mode and batch that they were made for."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from corpus_files.exports import saved
from small_networks import PHOTO, TEXT, Transformer, cnn, mlp, scores_of, tokenizer

from explainers import explain
from model_zoo import probe
from model_zoo.facts import Facts
from model_zoo.files import ModelFile, Trust
from model_zoo.formats import _pt2
from model_zoo.opening import ANY_CODE, CONTAINED, format_of, open_file
from model_zoo.types import Capability, UserError

WEIGHTS, CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"
PROGRAM = "models/model.json"


class Evil:
    """A pickle that makes a folder when it is read."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("plain"), mlp(), torch.rand(2, 6), 0)


def changed(source, target, **members):
    """A copy of an archive with members replaced, by their path without the folder; a callable changes JSON."""
    members = {name.replace("__", "/").replace("_json", ".json"): value for name, value in members.items()}
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        folder = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            inside = name.partition("/")[2]
            data = old.read(name)
            change = members.pop(inside, None)
            if callable(change):
                found = json.loads(data)
                data = json.dumps(change(found) or found).encode()
            elif change is not None:
                data = change
            new.writestr(name, data)
        for inside, data in members.items():
            new.writestr(f"{folder}/{inside}", data)
    return target


def first(archive, change):
    """A change of the first node of the program."""

    def work(found):
        change(found["graph_module"]["graph"]["nodes"][0])

    return work


def test_gradients_and_attention_are_those_of_the_network(tmp_path):
    network = Transformer()
    path = saved(tmp_path, network, torch.from_numpy(np.arange(18).reshape(2, 9) % 14), 0, 1)
    model = open_file(ModelFile(path), Facts(tokenizer=tokenizer()), trusted=CONTAINED)
    assert model.can == Capability.GRADIENTS | Capability.EMBEDDINGS | Capability.ATTENTION
    ids = torch.as_tensor(model.sample(TEXT).x[None])
    vectors = network.words(ids).detach().requires_grad_()
    handle = network.words.register_forward_hook(lambda *_: vectors)
    (expected,) = torch.autograd.grad(network(ids)[:, 1].sum(), vectors)
    handle.remove()
    entry = model.entry(ids).requires_grad_()
    (found,) = torch.autograd.grad(model.forward_entry(entry, ids)[:, 1].sum(), entry)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    maps = [probe.attention(lambda one=one: one(ids)).maps[0] for one in (network, model.outputs)]
    torch.testing.assert_close(maps[0], maps[1])


@pytest.mark.parametrize(("batch", "method"), [(1, "grad_cam"), (2, "saliency")])
def test_a_fixed_batch_is_looped_with_its_gradients(batch, method, tmp_path):
    """What is seen inside a graph is that of one row where it takes one row; else nothing inside is offered."""
    network = cnn(16)
    model = open_file(ModelFile(saved(tmp_path, network, torch.rand(batch, 3, 16, 16))), trusted=CONTAINED)
    assert any(f"batches of {batch}" in one for one in model.card.notes)
    assert (Capability.SPATIAL in model.can) == (batch == 1)
    x = torch.rand(5, 3, 16, 16, requires_grad=True)
    torch.testing.assert_close(model.forward(x), network(x))
    (found,) = torch.autograd.grad(model.forward(x)[:, 1].sum(), x)
    torch.testing.assert_close(found, torch.autograd.grad(network(x)[:, 1].sum(), x)[0], atol=1e-6, rtol=1e-4)
    sample = model.sample(PHOTO)
    np.testing.assert_allclose(model.predict(sample).raw, scores_of(network)(sample.x), atol=1e-5)
    assert np.abs(explain(model, sample, method).values).max() > 0


def test_what_is_loaded_is_what_was_checked(plain):
    """The archive made anew has no sample inputs, no guards and no metadata, and the same weights."""
    with zipfile.ZipFile(_pt2.made_anew(ModelFile(plain))) as made:
        program = json.loads(made.read("model/models/model.json"))
        assert made.read("model/data/sample_inputs/model.pt") == b""
        assert program["guards_code"] == []
        assert all(node["metadata"] == {} for node in program["graph_module"]["graph"]["nodes"])


@pytest.mark.parametrize(
    "way",
    [
        *("sample", "weight", "constant", "expression", "library", "operator", "name", "tree", "object", "twice"),
        *("loader", "input", "legacy", "second"),
    ],
)
def test_no_way_to_run_code_opens(way, plain, tmp_path):
    mark, target = tmp_path / "ran", tmp_path / "model.pt2"
    evil = pickle.dumps(Evil(mark))
    shell = f"__import__('os').mkdir({str(mark)!r})"

    def weight(found):
        one = next(iter(found["config"].values()))
        one["use_pickle"] = True

    def opaque(found):
        found["config"]["x"] = {"path_name": "opaque_obj_0", "use_pickle": True, "is_param": False, "tensor_meta": None}

    def expression(found):
        sizes = next(
            one["sizes"]
            for one in found["graph_module"]["graph"]["tensor_values"].values()
            if "as_expr" in one["sizes"][0]
        )
        sizes[0]["as_expr"]["expr_str"] = shell

    def target_of(value):
        return first(None, lambda node: node.update(target=value))

    def named(found):
        given = found["graph_module"]["graph"]["inputs"][-1]["as_tensor"]
        given["name"] = f"x={shell}"

    def tree(found):
        call = found["graph_module"]["module_call_graph"][0]["signature"]
        made = {"default_factory_module": "os", "default_factory_name": "getcwd", "dict_context": "[]"}
        kind = {"type": "collections.defaultdict", "context": json.dumps(made), "children_spec": []}
        call["in_spec"] = json.dumps([1, kind])

    def custom(found):
        found["graph_module"]["graph"]["inputs"].append({"as_custom_obj": {"name": "x", "class_fqn": "a.B"}})

    changes = {
        "sample": {"data/sample_inputs/model.pt": evil},
        "weight": {WEIGHTS: weight, "data/weights/weight_0": evil},
        "constant": {CONSTANTS: opaque, "data/constants/opaque_obj_0": evil},
        "expression": {PROGRAM: expression},
        "library": {"data/aotinductor/model/x.wrapper.so": b"\x7fELF"},
        "operator": {PROGRAM: target_of("torch.ops.aten.from_file.default")},
        "name": {PROGRAM: named},
        "tree": {PROGRAM: tree},
        "object": {PROGRAM: custom},
        "loader": {PROGRAM: target_of("torch.hub.load")},
        "input": {PROGRAM: first(None, lambda node: node["outputs"][0]["as_tensor"].update(name="a;b"))},
        "legacy": {"data/weights/model.pt": evil},
        "second": {"models/other.json": b"{}"},
    }.get(way, {})
    changed(plain, target, **changes)
    if way == "twice":
        with zipfile.ZipFile(target, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(archive.namelist()[0], evil)
    file = ModelFile(target)
    found = format_of(file)
    if found.trust is Trust.SANDBOX:  # then the part that would run is not loaded at all
        assert way in ("sample", "legacy")
        open_file(file, trusted=CONTAINED)
    else:
        assert found.trust is (Trust.REFUSED if way == "library" else Trust.CODE)
        with pytest.raises(UserError, match=r"^model\.pt2 .*torch\.export\.save\("):
            open_file(file, trusted=CONTAINED)
    assert not mark.exists()


def test_guards_of_the_file_are_never_run(plain, tmp_path):
    mark = tmp_path / "ran"

    def guarded(found):
        found["guards_code"] = [f"__import__('os').mkdir({str(mark)!r}) is None"]

    path = changed(plain, tmp_path / "model.pt2", **{PROGRAM: guarded})
    model = open_file(ModelFile(path), trusted=CONTAINED)
    model.forward(torch.rand(3, 6))
    assert not mark.exists()


def test_programs_with_random_damage_open_or_say_why(plain, tmp_path):
    """A value of the JSON replaced by one of another kind: the bytes are told without an error, whatever they say."""
    rng = np.random.default_rng(0)
    for attempt in range(25):

        def broken(found):
            at = found["graph_module"]
            while True:
                keys = list(at) if isinstance(at, dict) else list(range(len(at)))
                key = keys[rng.integers(len(keys))]
                if not isinstance(at[key], (dict, list)) or not at[key] or rng.random() < 0.1:
                    at[key] = [None, 7, "x y", [], {}, True][rng.integers(6)]
                    return
                at = at[key]

        file = ModelFile(changed(plain, tmp_path / f"{attempt}.pt2", **{PROGRAM: broken}))
        with contextlib.suppress(UserError):
            open_file(file, trusted=CONTAINED)


def test_an_operator_that_allows_code_opens_an_archive_with_pickled_parts(plain, tmp_path):
    """A weight that torch itself pickles; the flag is the operator's."""
    buffer = io.BytesIO()
    torch.save(mlp()[0].weight, buffer)

    def weight(found):
        found["config"]["0.weight"]["use_pickle"] = True

    path = changed(plain, tmp_path / "model.pt2", **{WEIGHTS: weight, "data/weights/weight_0": buffer.getvalue()})
    assert format_of(ModelFile(path)).id == "export_code"
    model = open_file(ModelFile(path), trusted=ANY_CODE)
    x = torch.rand(3, 6)
    torch.testing.assert_close(model.forward(x), mlp()(x))


@pytest.mark.parametrize("width", [1, 3])
def test_what_a_last_sigmoid_tells(width, tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.Sigmoid()).eval()
    torch.export.save(torch.export.export(network, (torch.randn(2, 6),)), tmp_path / "model.pt2")
    model = open_file(ModelFile(tmp_path / "model.pt2"), trusted=CONTAINED)
    expected = ("binary", "probability") if width == 1 else ("regression", "value")
    assert (model.card.task, model.card.output) == expected


class Bytes(torch.nn.Module):
    """A network that takes pictures of bytes, and computes with floats or with the bytes themselves."""

    def __init__(self, first):
        super().__init__()
        self.inner, self.first = cnn(), first

    def forward(self, x):
        return self.inner(self.first(x))


@pytest.mark.parametrize("first", [lambda x: x.float() / 255 - 0.5, lambda x: x / 255], ids=["cast", "divided"])
def test_a_picture_of_bytes_has_the_gradient_of_its_floats(first, tmp_path):
    network = Bytes(first).eval()
    example = torch.randint(0, 255, (2, 3, 16, 16), dtype=torch.uint8)
    torch.export.save(torch.export.export(network, (example,)), tmp_path / "model.pt2")
    model = open_file(ModelFile(tmp_path / "model.pt2"), trusted=CONTAINED)
    assert Capability.GRADIENTS in model.can
    x = torch.as_tensor(model.sample(PHOTO).x)[None]
    whole = x.round().requires_grad_()
    (expected,) = torch.autograd.grad(network(whole)[0, 1], whole)
    given = x.clone().requires_grad_()
    scores = model.forward(given)
    np.testing.assert_allclose(scores.detach(), network(x.round().byte()).detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(torch.autograd.grad(scores[0, 1], given)[0], expected, rtol=1e-3, atol=1e-6)


def test_bytes_that_are_computed_with_have_no_gradient_and_it_is_said(tmp_path):
    network = Bytes(lambda x: (x // 2).float()).eval()
    example = torch.randint(0, 255, (2, 3, 16, 16), dtype=torch.uint8)
    torch.export.save(torch.export.export(network, (example,)), tmp_path / "model.pt2")
    model = open_file(ModelFile(tmp_path / "model.pt2"), trusted=CONTAINED)
    assert Capability.GRADIENTS not in model.can
    assert "no gradient" in " ".join(model.card.notes)


def test_two_inputs_and_a_cut_file_are_each_a_sentence(plain, tmp_path):
    class Pair(torch.nn.Module):
        def forward(self, left, right):
            return left + right

    path = tmp_path / "pair.pt2"
    torch.export.save(torch.export.export(Pair(), (torch.rand(2, 3), torch.rand(2, 3))), path)
    with pytest.raises(UserError, match=r"takes 2 inputs \(left, right\)"):
        open_file(ModelFile(path), trusted=CONTAINED)
    path.write_bytes(plain.read_bytes()[:3000])
    with pytest.raises(UserError, match=r"cut off|damaged"):
        open_file(ModelFile(path), trusted=CONTAINED)


@pytest.mark.parametrize("head", [b"\x7fELF\x02\x01", b"\x1c\x00\x00\x00ET12"])
def test_compiled_libraries_are_refused(head, tmp_path):
    path = tmp_path / "model.so"
    path.write_bytes(head + bytes(64))
    with pytest.raises(UserError, match="compiled library"):
        open_file(ModelFile(path), trusted=ANY_CODE)
