"""Pickles are told without running them, refused with the lines that save them safely, and opened where allowed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import types
import zlib
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from corpus_files import boosters, skops_files

from explainers import explain
from model_zoo.facts import Facts
from model_zoo.files import ModelFile, Trust
from model_zoo.formats import pickled
from model_zoo.formats.refused import KINDS
from model_zoo.opening import ANY_CODE, CONTAINED, format_of, open_file
from model_zoo.types import UserError


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


class Bare(torch.nn.Module):
    """No layer of torch is named in its pickle."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3))


def written(path: Path, data: bytes) -> ModelFile:
    path.write_bytes(data)
    return ModelFile(path)


def dumped(value, path: Path) -> ModelFile:
    joblib.dump(value, path, compress=3 if path.suffix == ".gz" else 0)
    return ModelFile(path)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))


def saved(value, path: Path, **how) -> ModelFile:
    torch.save(value, path, **how)
    return ModelFile(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zlib.compress], ids=str)
def test_every_protocol_and_packing_is_told_and_nothing_runs(protocol: int, pack, tmp_path) -> None:
    mark = tmp_path / "ran"
    file = written(tmp_path / "model", pack(pickle.dumps(Bomb(mark), protocol)))
    assert format_of(file).id == "pickled"
    with pytest.raises(UserError, match="runs any code"):
        open_file(file, trusted=CONTAINED)
    assert not mark.exists()


HELD = {
    "a state dict": lambda: network().state_dict(),
    "parameters": lambda: dict(network().named_parameters()),
    "a checkpoint": lambda: {"epoch": 3, "model_state_dict": network().state_dict()},
    "numpy": lambda: {name: one.numpy() for name, one in network().state_dict().items()},
}


@pytest.mark.parametrize("dump", [pickle.dump, joblib.dump])
@pytest.mark.parametrize("name", HELD)
def test_weights_in_a_plain_pickle_are_opened_as_weights(name: str, dump, tmp_path) -> None:
    with (tmp_path / "m.pkl").open("wb") as stream:
        dump(HELD[name](), stream)
    file = ModelFile(tmp_path / "m.pkl")
    if name != "numpy":
        with pytest.raises(
            UserError, match=r"dictionary of torch tensors in a pickle(.|\n)*torch.save\(weights, 'model.pt"
        ):
            open_file(file, trusted=CONTAINED)
    said = Facts(modality="tabular", architecture="plain/mlp/relu")
    x = np.array([0.3, -1.0, 2.0, 0.5])
    expected = network()(torch.tensor(x).float()).detach().numpy()
    np.testing.assert_allclose(open_file(file, said, trusted=ANY_CODE).predict(x).raw, expected, atol=1e-6)


def test_a_model_goes_before_the_numbers_beside_it(tmp_path) -> None:
    file = dumped({"model": network(), "mean": torch.zeros(400)}, tmp_path / "m.pkl")
    assert isinstance(open_file(file, Facts(modality="tabular"), trusted=ANY_CODE).network, torch.nn.Sequential)


def test_a_module_of_bare_parameters_is_no_dictionary(tmp_path) -> None:
    file = dumped(Bare(), tmp_path / "m.pkl")
    with pytest.raises(UserError, match="is a torch module in a pickle"):
        open_file(file, trusted=CONTAINED)


SKOPS = "skops.io.dump(model, 'model.skops')"
REFUSED = {
    "a torch module": (lambda path: saved(network(), path / "m.pt"), "torch.save(model.state_dict(), 'model.pt')"),
    "an old torch module": (
        lambda path: saved(network(), path / "m.pt", _use_new_zipfile_serialization=False),
        "torch.save(model.state_dict(), 'model.pt')",
    ),
    "a torch module in a dictionary": (
        lambda path: saved({"epoch": 3, "model": network()}, path / "m.pth"),
        "torch.save(model.state_dict(), 'model.pt')",
    ),
    "a pipeline": (
        lambda path: dumped(skops_files.logistic(), path / "m.joblib"),
        "skops.io.dump(model, 'model.skops')",
    ),
    "a packed forest": (
        lambda path: dumped(skops_files.forest(), path / "m.gz"),
        "skops.io.dump(model, 'model.skops')",
    ),
    "an XGBoost model": (lambda path: dumped(skops_files.boosted(), path / "m.pkl"), "booster.save_model('model.ubj')"),
    "a LightGBM booster": (
        lambda path: dumped(boosters.lightgbm_booster("l2", boosters.number()), path / "m.pkl"),
        "booster.save_model('model.txt')",
    ),
    "a CatBoost model": (
        lambda path: dumped(boosters.catboosted("RMSE", boosters.number()), path / "m.pkl"),
        "save_model(model, 'model.cbm')",
    ),
    "a table": (
        lambda path: dumped(skops_files.people(), path / "m.pkl"),
        "table.to_csv('background.csv'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_lines_fit_what_is_in_it(name: str, tmp_path) -> None:
    build, line = REFUSED[name]
    file = build(tmp_path)
    assert format_of(file).trust is Trust.CODE
    with pytest.raises(UserError) as told:
        open_file(file, trusted=CONTAINED)
    sentence, *lines = str(told.value).split("\n")
    assert len(lines) == 2
    assert line in lines[1]
    assert sentence.startswith(file.name)


def test_arrays_of_objects_are_pickles_and_arrays_of_numbers_are_none(tmp_path) -> None:
    for name, value, found in (("o.npy", np.array([{}], dtype=object), True), ("n.npy", np.zeros(3), False)):
        np.save(tmp_path / name, value, allow_pickle=True)
        assert pickled.sniff(ModelFile(tmp_path / name)) is found
    np.savez(tmp_path / "o.npz", a=np.array([{}], dtype=object))
    assert "array of Python objects" in pickled.refusal(ModelFile(tmp_path / "o.npz"))


@pytest.mark.parametrize(
    "text",
    [b"a,b\n1,2\n", b"col1,col2\n1,2\n3,4\n5,6\n", b"(see below)\n\n...", b"{}", b"]\n]\n", b"import os\n", bytes(99)],
)
def test_texts_are_no_pickles(text: bytes, tmp_path) -> None:
    assert not pickled.sniff(written(tmp_path / "text", text))


def applied(x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return network()(torch.tensor(x)[None])[0].numpy()


OPENED = {
    "torch": (lambda path: saved(network(), path / "m.pt"), applied, "saliency"),
    "a dictionary": (
        lambda path: saved({"epoch": 3, "net": network()}, path / "m.pt"),
        applied,
        "integrated_gradients",
    ),
    "joblib": (
        lambda path: dumped(skops_files.ridge(), path / "m.joblib"),
        lambda x: skops_files.ridge().predict(skops_files.decoded(x)),
        "occlusion",
    ),
    "a booster": (
        lambda path: dumped(boosters.lightgbm_booster("l2", boosters.number()), path / "m.pkl"),
        lambda x: boosters.lightgbm_booster("l2", boosters.number()).predict(x[None]),
        "tree_shap",
    ),
}


@pytest.mark.parametrize("name", OPENED)
def test_they_open_where_the_operator_allows_it(name: str, tmp_path) -> None:
    build, scores, method = OPENED[name]
    model = open_file(build(tmp_path), trusted=ANY_CODE)
    sample = model.sample(skops_files.ROW if name == "joblib" else [1.4, 1.2, -0.7, -1.1])
    np.testing.assert_allclose(model.predict(sample).raw, scores(sample.x), atol=1e-5)
    assert np.abs(explain(model, sample, method).values).max() > 0


def test_what_is_no_model_is_told(tmp_path) -> None:
    file = written(tmp_path / "m.pkl", pickle.dumps({"weights": Path("x")}))
    with pytest.raises(UserError, match="without a model in it"):
        open_file(file, trusted=ANY_CODE)


def test_code_that_is_missing_is_told(tmp_path) -> None:
    file = written(tmp_path / "m.pkl", b"cnowhere.models\nNet\n(tR.")
    with pytest.raises(UserError, match="needs code that is not installed here"):
        open_file(file, trusted=ANY_CODE)


FOREIGN = {
    "GGUF": b"GGUF\x03\x00\x00\x00" + bytes(64),
    "TensorFlow Lite": b"\x1c\x00\x00\x00TFL3" + bytes(64),
    "Core ML": b"\x08\x07\x12\x90\x01" + bytes(40) + b"com.github.apple.coremltools.version",
    "PaddlePaddle": b"\n\xd2\x01\x08\x00" + b"feed" + bytes(30) + b"fetch",
    "NVIDIA TensorRT": b"ftrt" + bytes(60),
    "R data": gzip.compress(b"X\n\x00\x00\x00\x03\x00\x04\x02\x01"),
    "PMML": b'<?xml version="1.0"?>\n<PMML version="4.4">',
    "MXNet": b'{"nodes": [], "attrs": {"mxnet_version": ["int", 10700]}}',
    "Darknet": b"[net]\nbatch=1\n",
    "OpenVINO": b'<?xml version="1.0"?><net name="m" version="11">',
    "Spark ML": b'{"class":"org.apache.spark.ml.PipelineModel","sparkVersion":"3.5.0"}',
}


@pytest.mark.parametrize("title", FOREIGN)
def test_files_of_other_runtimes_are_known_by_their_bytes(title: str, tmp_path) -> None:
    file = written(tmp_path / "model", FOREIGN[title])
    with pytest.raises(UserError, match=f"is a {title} file, which Assay does not open"):
        open_file(file, trusted=ANY_CODE)


FOLDERS = {
    "TensorFlow SavedModel": "saved_model.pb",
    "TensorFlow checkpoint": "variables.index",
    "H2O MOJO": "model.ini",
}


@pytest.mark.parametrize("title", FOLDERS)
def test_folders_of_other_runtimes_are_known_too(title: str, tmp_path) -> None:
    names = {
        "TensorFlow SavedModel": "saved_model.pb",
        "TensorFlow checkpoint": "variables.index",
        "H2O MOJO": "model.ini",
    }
    (tmp_path / names[title]).write_bytes(b"...")
    with pytest.raises(UserError, match=f"is a {title} file"):
        open_file(ModelFile(tmp_path), trusted=ANY_CODE)
    assert {one.title for one in KINDS} == {*FOREIGN, *FOLDERS}


def test_class_names_are_in_the_order_of_their_numbers() -> None:
    network = torch.nn.Linear(3, 11)
    network.config = types.SimpleNamespace(id2label={str(one): f"class {chr(97 + one)}" for one in range(11)})
    labels = pickled._opened(network, "a.pt", Facts()).guess.labels
    assert labels == tuple(f"class {chr(97 + one)}" for one in range(11))


@pytest.mark.parametrize(
    ("kind", "expected"), [(torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float64,) * 2]
)
def test_only_half_precision_becomes_float32(kind: torch.dtype, expected: torch.dtype) -> None:
    assert pickled._opened(torch.nn.Linear(3, 2).to(kind), "a.pt", Facts()).network.weight.dtype == expected
