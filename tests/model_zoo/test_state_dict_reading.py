"""State dicts are read as torch reads them, without calling anything that they name; claims are weighed first."""

import argparse
import io
import pickle
import struct
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo.files import ModelFile
from model_zoo.formats import _checkpoints, _pickles, _torchfile, safetensors, state_dict
from model_zoo.opening import format_of
from model_zoo.types import UserError


def saved(tmp_path, value, name="model.pt", **how):
    path = tmp_path / name
    torch.save(value, path, **how)
    return ModelFile(path)


def claims(file):
    return _checkpoints.weights(_torchfile.contents(file).tree, file.name).claims


DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.uint16)
LAYOUTS = ({}, {"_use_new_zipfile_serialization": False})


def every_kind(kinds=DTYPES):
    torch.manual_seed(0)
    base = torch.randn(6, 8)
    return {
        **{f"{str(kind)[6:]}.weight": torch.randn(3, 4).mul(9).abs().to(kind) for kind in kinds},
        "bool": base > 0,
        "turned": base.t(),
        "part": base[1:4, 2:5],
        "strided": base[::2, ::3],
        "spread": torch.ones(1).expand(5),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 4),
        "parameter": nn.Parameter(torch.randn(2, 2)),
        "last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    }


@pytest.mark.parametrize("how", LAYOUTS, ids=["archive", "stream"])
def test_every_dtype_and_layout_is_read_as_torch_reads_it(tmp_path, how):
    old = [one for one in DTYPES if one not in (torch.float8_e4m3fn, torch.uint16)]  # torch cannot read its own there
    file = saved(tmp_path, every_kind(old if how else DTYPES), **how)
    expected = torch.load(file.path, weights_only=True)
    found = claims(file)
    assert list(found) == list(expected)
    for name, one in found.items():
        read = one.read()
        assert (one.shape, one.dtype) == (tuple(expected[name].shape), str(expected[name].dtype)[6:])
        assert torch.equal(read.double(), expected[name].detach().double()), name
        assert read.is_contiguous()


def test_sparse_tensors_are_written_out(tmp_path):
    dense = torch.eye(5) * 3
    file = saved(tmp_path, {"a.weight": dense.to_sparse(), "b.weight": torch.ones(2)})
    assert torch.equal(claims(file)["a.weight"].read(), dense)


def test_writing_to_what_was_read_leaves_the_file_alone(tmp_path):
    file = saved(tmp_path, {"a.weight": torch.ones(3, 3)})
    before = file.path.read_bytes()
    claims(file)["a.weight"].read().zero_()
    assert file.path.read_bytes() == before


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('it ran')",))


def test_what_the_file_names_is_never_called(tmp_path):
    held = {"state_dict": {"a.weight": torch.ones(2, 2)}, "args": argparse.Namespace(lr=1), "bomb": Bomb()}
    file = saved(tmp_path, held)
    found = _torchfile.contents(file)
    assert set(found.foreign) >= {"argparse.Namespace"}
    assert any(one.endswith("exec") for one in found.foreign)
    assert state_dict.sniff(file)
    weights = _checkpoints.weights(found.tree, file.name, found.foreign)
    assert torch.equal(weights.claims["a.weight"].read(), torch.ones(2, 2))
    assert any("left unread" in note for note in weights.notes)


def test_a_whole_network_is_no_state_dict(tmp_path):
    assert not state_dict.sniff(saved(tmp_path, nn.Linear(2, 2)))
    assert not state_dict.sniff(saved(tmp_path, {"model": nn.Linear(2, 2), "epoch": 3}))


def test_neither_torchscript_nor_an_exported_program_is_a_state_dict(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.pt2", "w") as archive:
        archive.writestr("b/archive_format", "pt2")
        archive.writestr("b/models/model.json", "{}")
        archive.writestr("b/data/sample_inputs/data.pkl", pickle.dumps({}))
    assert not state_dict.sniff(ModelFile(tmp_path / "b.pt2"))
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/constants.pkl", pickle.dumps(()))
        archive.writestr("a/code/__torch__.py", "")
    assert not state_dict.sniff(ModelFile(tmp_path / "a.pt"))


@pytest.mark.parametrize("how", LAYOUTS, ids=["archive", "stream"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_file_that_was_cut_off_says_so(tmp_path, how, share):
    file = saved(tmp_path, {"a.weight": torch.randn(200, 200), "b.weight": torch.randn(300)}, **how)
    whole = file.path.read_bytes()
    cut = tmp_path / "cut.pt"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match="cut off"):
        format_of(ModelFile(cut)).open(ModelFile(cut), None)


# -- claims of more than there is


def forged(tmp_path, size, stride, offset=0, rows=16, compressed=False):
    """An archive whose one tensor claims this of a storage of `rows` floats."""
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, protocol=2)
    pickler.persistent_id = lambda one: ("storage", torch.FloatStorage, "0", "cpu", rows) if one == "here" else None
    record = _Rebuilt("here", offset, size, stride)
    pickler.dump({"a.weight": record})
    path = tmp_path / "forged.pt"
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("forged/data.pkl", stream.getvalue())
        archive.writestr("forged/data/0", np.zeros(rows, "float32").tobytes())
    return ModelFile(path)


class _Rebuilt:
    def __init__(self, *args):
        self.args = args

    def __reduce__(self):
        return (torch._utils._rebuild_tensor_v2, (*self.args, False, OrderedDict()))


@pytest.mark.parametrize(
    ("size", "stride", "said"),
    [
        ((10**13,), (0,), "claims tensors of"),
        ((4096, 4096, 64), (0, 0, 0), "claims tensors of"),
        ((17,), (1,), "reaches past"),
        ((4, 4), (5, 1), "reaches past"),
        ((2,), (10**15,), "reaches past"),
        ((-4,), (1,), "damaged"),
        ((4,), (1, 1), "damaged"),
        (("4",), (1,), "damaged"),
    ],
)
def test_a_tensor_that_claims_more_than_is_stored_is_refused_unread(tmp_path, size, stride, said):
    with pytest.raises(UserError, match=said):
        _torchfile.contents(forged(tmp_path, size, stride))


def test_an_honest_forgery_is_read(tmp_path):
    assert claims(forged(tmp_path, (4, 4), (4, 1)))["a.weight"].read().shape == (4, 4)


def test_compressed_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match="compressed"):
        _torchfile.contents(forged(tmp_path, (4,), (1,), rows=1 << 20, compressed=True))


def test_a_sparse_tensor_that_would_fill_the_memory_is_refused(tmp_path):
    one = torch.sparse_coo_tensor(torch.tensor([[10**6]]), torch.ones(1), (10**10,), check_invariants=True)
    with pytest.raises(UserError, match="sparse"):
        _torchfile.contents(saved(tmp_path, {"a.weight": one}))


def test_a_stream_that_claims_more_than_is_stored_is_refused(tmp_path):
    file = saved(tmp_path, {"a.weight": torch.ones(4)}, _use_new_zipfile_serialization=False)
    data = file.path.read_bytes()
    at = data.rindex(struct.pack("<q", 4))
    file.path.write_bytes(data[:at] + struct.pack("<q", 10**14) + data[at + 8 :])
    with pytest.raises(UserError, match="cut off"):
        _torchfile.contents(ModelFile(file.path))


# -- the pickle machine


class Odd:
    def __init__(self):
        self.x = 1


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_is_read_without_its_classes(protocol):
    shared = [1, 2]
    value = {"a": (1, 2.5, None, True, b"x"), "b": [shared, shared], "c": {1, 2}, "d": 10**30, "o": Odd()}
    found = _pickles.read(io.BytesIO(pickle.dumps(value, protocol)))
    assert found.root["b"][0] is found.root["b"][1]
    assert found.root["d"] == 10**30
    assert any(one.endswith("Odd") for one in found.globals)


def test_a_name_that_is_put_together_is_found():
    data = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x02ls\x85R."
    assert _pickles.globals_of(io.BytesIO(data)) == {"os.system"}
    assert "?" in _pickles.globals_of(io.BytesIO(b"\x80\x04)\x8c\x01a\x93."))


@pytest.mark.parametrize("data", [b"", b"no pickle", b"\x80\x04", b"\x80\x04.", b"(((", b"h\x05.", b"\x82\x01."])
def test_what_is_no_pickle_is_told(data):
    with pytest.raises(_pickles.NotAPickle):
        _pickles.read(io.BytesIO(data))
    _pickles.globals_of(io.BytesIO(data))


def test_nesting_without_end_is_no_trouble(tmp_path):
    data = b"\x80\x02" + b")" + b"\x85" * 300_000 + b"."
    root = _pickles.read(io.BytesIO(data)).root
    reader = _torchfile._Reader(saved(tmp_path, {}), {})
    assert reader.contents(_pickles.Pickle(root, frozenset()))


# -- safetensors


def header(tmp_path, entries, body=b"", length=None):
    import json

    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)
    return ModelFile(path)


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("entries", "body", "said"),
    [
        ({"a": entry([4], 0, 16)}, b"\0" * 8, "8 bytes are missing"),
        ({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, b"\0" * 24, "overlaps"),
        ({"a": entry([5], 0, 16)}, b"\0" * 16, "do not agree"),
        ({"a": entry([-4], 0, 16)}, b"\0" * 16, "do not agree"),
        ({"a": entry([4], 0, 16, "F31")}, b"\0" * 16, "no dtype"),
        ({"a": 3}, b"", "no dtype"),
        (b'{"a": [1,', b"", "no JSON"),
        (b'{"a"' + b"[" * 100_000, b"", "no JSON"),
        ({f"t{i}": entry([0], 0, 0) for i in range(50_001)}, b"", "50,001 tensors"),
    ],
    ids=["cut", "overlap", "shape", "negative", "dtype", "number", "json", "nested", "many"],
)
def test_a_safetensors_header_is_checked_first(tmp_path, entries, body, said):
    with pytest.raises(UserError, match=said):
        safetensors.claims(header(tmp_path, entries, body))


def test_a_safetensors_header_of_any_length_is_not_read(tmp_path):
    file = header(tmp_path, {"a": entry([1], 0, 4)}, b"\0" * 4, length=1 << 35)
    assert safetensors.sniff(file)
    with pytest.raises(UserError, match="no model needs more"):
        safetensors.claims(file)


def test_safetensors_are_read_by_their_library(tmp_path):
    from safetensors.torch import save_file

    held = {"a.weight": torch.randn(3, 4), "b.bias": torch.randn(5).half()}
    save_file(held, tmp_path / "m.safetensors", metadata={"format": "pt"})
    found = safetensors.claims(ModelFile(tmp_path / "m.safetensors"))
    assert all(torch.equal(found[name].read(), one) for name, one in held.items())


# -- from a checkpoint to weights


def test_containers_of_all_kinds_are_dictionaries(tmp_path):
    held = defaultdict(dict)
    held["model"] = OrderedDict(a=torch.ones(1))
    assert list(claims(saved(tmp_path, held))) == ["a"]


@pytest.mark.parametrize(
    ("held", "path"),
    [
        ({"state_dict": 1}, ("state_dict",)),
        ({"model_state_dict": 1, "optimizer_state_dict": {"state": {}, "param_groups": []}}, ("model_state_dict",)),
        ({"ema": {"module": 1}, "model": 1}, ("ema", "module")),
        ({"anything": {"deep": 1}, "epoch": 3}, ("anything", "deep")),
    ],
)
def test_the_weights_are_found_in_a_checkpoint(tmp_path, held, path):
    weights = {"a.weight": torch.ones(3, 3), "a.bias": torch.ones(3)}

    def filled(one):
        return weights if one == 1 else {k: filled(v) for k, v in one.items()} if isinstance(one, dict) else one

    found = _checkpoints.weights(_torchfile.contents(saved(tmp_path, filled(held))).tree, "x")
    assert list(found.claims) == list(weights)
    assert all(repr(one) in found.notes[0] for one in path)


def read(tmp_path, held):
    file = saved(tmp_path, held)
    found = _checkpoints.weights(_torchfile.contents(file).tree, file.name)
    folded, notes = _checkpoints.folded(found.claims)
    return _checkpoints.numbers(folded, file.name)[0], notes


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("new", [False, True])
@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
def test_weight_normalisation_is_folded_exactly(tmp_path, dim, new):
    normed = nn.utils.parametrizations.weight_norm if new else nn.utils.weight_norm
    torch.manual_seed(0)
    layer = normed(nn.Conv2d(3, 5, 3), dim=dim)
    with torch.no_grad():
        (layer.parametrizations.weight.original0 if new else layer.weight_g).mul_(1.7)
        expected = (
            layer.weight if new else torch._weight_norm(layer.weight_v, layer.weight_g, -1 if dim is None else dim)
        )
    found, notes = read(tmp_path, layer.state_dict())
    assert found.keys() == {"weight", "bias"}
    torch.testing.assert_close(found["weight"], expected.detach())
    assert "Weight normalisation" in notes[0]


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("channels", [(3, 5), (4, 4)], ids=str)
def test_spectral_normalisation_is_folded_exactly(tmp_path, kind, new, channels):
    normed = nn.utils.parametrizations.spectral_norm if new else nn.utils.spectral_norm
    torch.manual_seed(0)
    layer = normed(kind(*channels, 3))
    layer(torch.randn(1, channels[0], 8, 8))
    layer.eval()
    layer(torch.randn(1, channels[0], 8, 8))
    found, _ = read(tmp_path, layer.state_dict())
    torch.testing.assert_close(found["weight"], layer.weight.detach())


def test_vectors_of_another_weight_are_told(tmp_path):
    held = {"0.weight_orig": torch.ones(4, 3), "0.weight_u": torch.ones(2), "0.weight_v": torch.ones(3)}
    with pytest.raises(UserError, match="do not belong together"):
        read(tmp_path, held)


def test_an_unknown_parametrization_is_told(tmp_path):
    layer = nn.utils.parametrizations.orthogonal(nn.Linear(3, 3))
    with pytest.raises(UserError, match="remove_parametrizations"):
        read(tmp_path, layer.state_dict())


@pytest.mark.parametrize(
    ("dtypes", "expected", "said"),
    [
        ((torch.float16, torch.float32), torch.float32, "float16 are computed in float32"),
        ((torch.bfloat16,), torch.float32, "bfloat16"),
        ((torch.float64, torch.float32), torch.float64, "float64"),
    ],
)
def test_mixed_precision_becomes_one(tmp_path, dtypes, expected, said):
    held = {f"{i}.weight": torch.ones(2, 2, dtype=one) for i, one in enumerate(dtypes)}
    found, notes = _checkpoints.numbers(claims(saved(tmp_path, held)), "x")
    assert {one.dtype for one in found.values()} == {expected}
    assert said in notes[0]
