"""open_model: a worker's answers are those of one's own process, and what goes wrong there is a sentence here."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

import explainers
import model_zoo
from explainers import remote
from explainers.engine.run import Run
from explainers.runtime import sandbox
from explainers.types import Cancelled
from model_zoo.facts import Facts
from model_zoo.types import Column, UserError

CONTAINED = sandbox.host().contained
pytestmark = pytest.mark.skipif(not CONTAINED, reason="TorchScript is opened in a whole sandbox only")
PHOTO = {"modality": "image", "size": (24, 24), "labels": ["a", "b", "c"]}
TABLE = {"modality": "tabular", "columns": tuple(Column(one) for one in "abcd"), "labels": ["no", "yes"]}


class Slow(torch.nn.Module):
    """Takes its time with many rows where the first number is large, so that a cancel can come between."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 2)

    def forward(self, x):
        total = torch.zeros(1)
        if bool(x[:, 0].max() > 1.0) and x.shape[0] > 1:
            for _ in range(3000):
                total = total + torch.randn(100, 100).mean() * 0.0
        return self.linear(torch.tanh(x)) + total


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models and a photo on disk."""
    home = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(16, 3),
    )
    torch.jit.script(net.eval()).save(home / "Photo net.ts")
    torch.jit.script(Slow().eval()).save(home / "table.ts")
    pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(home / "cat.png")
    return home


@pytest.fixture(scope="module")
def photo(folder):
    """The photo model in a worker of one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "available_cores", lambda: 1)
        with explainers.open_model(folder / "Photo net.ts", **PHOTO) as found:
            yield found


@pytest.fixture(scope="module")
def table(folder):
    """The table model in a worker of one thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "available_cores", lambda: 1)
        with explainers.open_model(folder / "table.ts", **TABLE) as found:
            yield found


def here(path, facts):
    torch.set_num_threads(1)
    return model_zoo.load(path, trust=True, **facts)


@pytest.mark.parametrize(
    ("method", "keywords"),
    [
        ("integrated_gradients", {"target": "b", "baseline": "black"}),
        ("grad_cam", {"target": 1}),
        ("occlusion", {"output": "probability"}),
    ],
)
def test_the_same_bytes_as_in_this_process(photo, folder, method, keywords):
    local = here(folder / "Photo net.ts", PHOTO)
    far = explainers.explain(photo, folder / "cat.png", method, **keywords)
    near = explainers.explain(local, folder / "cat.png", method, batches=far.provenance.batches, **keywords)
    assert far.values.tobytes() == near.values.tobytes()
    assert np.abs(far.values).max() > 0
    assert (far.card, far.target, far.sample.digest) == (near.card, near.target, near.sample.digest)
    assert far.provenance.model_digest == near.provenance.model_digest
    assert photo.card == local.card


def test_whatever_a_person_gives_as_a_picture_is_read_as_here(photo, folder):
    local = here(folder / "Photo net.ts", PHOTO)
    path = folder / "cat.png"
    image = Image.open(path)
    x = np.random.default_rng(2).normal(size=(3, 24, 24)).astype(np.float32)
    cmyk = image.convert("CMYK")
    for raw in (path, str(path), path.read_bytes(), bytearray(path.read_bytes()), image, cmyk, np.asarray(image), x):
        far, near = photo.sample(raw), local.sample(raw)
        assert far.x.tobytes() == near.x.tobytes()
        assert far.name == near.name
        assert photo.predict(far).raw.tobytes() == local.predict(near).raw.tobytes()
    assert photo.sample(torch.tensor(x)).x.tobytes() == x.tobytes()
    assert photo.sample(path, "mine").name == "mine"
    assert photo.sample(far) is far
    rows = [path, str(path), image]
    far = explainers.explain(photo, path, "gradient_shap", background=rows, nsamples=8)
    near = explainers.explain(local, path, "gradient_shap", background=rows, nsamples=8, batches=far.provenance.batches)
    assert far.values.tobytes() == near.values.tobytes()


def test_whatever_a_person_gives_as_a_row_and_as_background(table, folder, tmp_path):
    local = here(folder / "table.ts", TABLE)
    row = {"a": 0.5, "b": -1, "c": np.float32(2), "d": 0}
    frame = pandas.DataFrame([row, {"a": 1, "b": 2, "c": 3, "d": 4}])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame[:1].to_csv(tmp_path / "row.csv", index=False)
    (tmp_path / "row.json").write_text(json.dumps({**row, "c": 2.0}))
    for raw in (row, frame.iloc[0], frame[:1], [0.5, -1, 2, 0], np.array([0.5, -1, 2, 0]), json.dumps({**row, "c": 2})):
        assert table.sample(raw).x.tobytes() == local.sample(raw).x.tobytes()
    for raw in (tmp_path / "row.csv", str(tmp_path / "row.json")):
        far, near = table.sample(raw), local.sample(raw)
        assert (far.x.tobytes(), far.name) == (near.x.tobytes(), near.name)
    for rows in (tmp_path / "rows.csv", str(tmp_path / "rows.csv"), frame, frame.to_numpy(), frame.to_dict("records")):
        far = explainers.explain(table, row, "kernel_shap", background=rows, seed=1)
        near = explainers.explain(local, row, "kernel_shap", background=rows, seed=1, batches=far.provenance.batches)
        assert far.values.tobytes() == near.values.tobytes()
    far = explainers.explain(table, row, "occlusion", baseline=frame.iloc[1])
    near = explainers.explain(local, row, "occlusion", baseline=frame.iloc[1], batches=far.provenance.batches)
    assert far.values.tobytes() == near.values.tobytes()


def test_methods_check_up_and_what_can_be_asked(photo, folder):
    local = here(folder / "Photo net.ts", PHOTO)
    assert photo.can == local.can
    assert [bool(one) for one in explainers.methods_for(photo)] == [bool(one) for one in explainers.methods_for(local)]
    assert photo.diagnose(folder / "cat.png").sample == "cat.png"
    assert photo.diagnose().card == photo.card


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"method": "magic"}, "There is no method 'magic'"),
        ({"sample": "nothing.png"}, "nothing.png could not be opened: there is no such file"),
        ({"sample": [1, 2, 3]}, "picture"),
        ({"baseline": object()}, r"What was given cannot be sent to Photo net\.ts in its worker: object cannot be"),
    ],
)
def test_what_does_not_fit_is_a_sentence(photo, folder, about, message):
    with pytest.raises(UserError, match=message):
        explainers.explain(photo, **{"sample": folder / "cat.png", "method": "saliency", **about})
    assert photo.predict(folder / "cat.png").raw.shape == (3,)


def test_what_cannot_be_opened_is_a_sentence_and_leaves_no_process(folder, tmp_path):
    before = len(remote._homes)
    (tmp_path / "odd.bin").write_bytes(b"nothing that anybody opens")
    for path, about, message in (
        ("nowhere.pt", {}, "There is no file 'nowhere.pt' to open"),
        (tmp_path / "odd.bin", {}, "none of the model files that Assay opens"),
        (folder / "table.ts", {"colour": "red"}, "There is no fact 'colour'"),
        (folder / "table.ts", {"card": tmp_path / "none.json"}, "could not be read"),
        (folder / "table.ts", {"workspace": tmp_path, **TABLE, "labels": list("abc")}, "2"),
    ):
        with pytest.raises(UserError, match=message):
            explainers.open_model(path, **about)
    assert len(remote._homes) == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_bundled_model_by_its_id(table):
    with explainers.open_model("adult_mlp") as model:
        assert model.card.id == "adult_mlp"


def test_facts_of_a_card_file(folder, tmp_path, photo):
    (tmp_path / "card.json").write_text(Facts(title="My net", **{**PHOTO, "labels": tuple("xyz")}).dump())
    with explainers.open_model(folder / "Photo net.ts", card=tmp_path / "card.json", labels=list("abc")) as model:
        assert (model.card.title, model.card.labels) == ("My net", ("a", "b", "c"))
    model.close()
    with pytest.raises(UserError, match=r"Photo net\.ts was closed; open it again"):
        model.predict(folder / "cat.png")


def test_a_worker_that_dies_is_a_sentence_and_the_next_call_has_a_new_one(table):
    row = {"a": 7.0, "b": 0, "c": 0, "d": 0}
    table.predict(row)
    first = table._lane.pid()
    threading.Timer(0.5, os.kill, (first, signal.SIGKILL)).start()
    with pytest.raises(
        UserError, match=r"The worker with table\.ts stopped \(killed by signal 9.*the next call starts"
    ):
        explainers.explain(table, row, "integrated_gradients", steps=512)
    assert table.predict(row).raw.shape == (2,)
    assert table._lane.pid() != first


def test_interrupting_cancels_and_the_worker_is_free_again(table):
    row = {"a": 7.0, "b": 0, "c": 0, "d": 0}
    table.predict(row)
    threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,)).start()
    with pytest.raises(KeyboardInterrupt):
        explainers.explain(table, row, "integrated_gradients", steps=512)
    began = time.monotonic()
    assert table.predict({**row, "a": 1.0}).raw.shape == (2,)
    assert time.monotonic() - began < 10


def test_a_run_hears_how_far_it_is_and_can_stop(folder):
    """On more samples than a worker can compute before it hears that nobody wants them."""
    seen, stopped = [], threading.Event()
    run = Run(on_progress=lambda done, total: (seen.append((done, total)), stopped.set()), stop=stopped.is_set)
    with (
        explainers.open_model(folder / "Photo net.ts", modality="image", size=(24, 24)) as model,
        pytest.raises(Cancelled),
    ):
        explainers.explain(model, folder / "cat.png", "lime", num_samples=20_000, run=run)
    assert seen
    assert all(0 <= done <= total for done, total in seen)


def test_where_the_sandbox_does_not_hold_the_way_out_is_named(folder, monkeypatch):
    import dataclasses

    host = dataclasses.replace(sandbox.host(), contained=False)
    monkeypatch.setattr(sandbox, "host", lambda: host)
    with pytest.raises(
        UserError, match=r"is a TorchScript.*lacks a part of the sandbox.*model_zoo\.load\(path, trust="
    ):
        explainers.open_model(folder / "table.ts", **{**TABLE, "labels": list("abc")})


def test_a_script_loads_no_torch_and_leaves_nothing(folder, tmp_path):
    script = f"""
import sys
import explainers
model = explainers.open_model({str(folder / "Photo net.ts")!r}, modality="image", size=(24, 24))
found = explainers.explain(model, {str(folder / "cat.png")!r}, "saliency")
assert any(explainers.methods_for(model))
print(found.values.shape, model._lane.pid(), flush=True)
heavy = {{"torch", "captum", "shap", "lime", "sklearn", "skimage", "plotly", "pandas", "streamlit"}}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""  # it ends without close()
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=120)
    assert found.returncode == 0, found.stderr
    assert list(Path(tmp_path).iterdir()) == []
    state, end = Path(f"/proc/{found.stdout.split()[-1]}/stat"), time.monotonic() + 10
    while state.exists() and ") Z " not in state.read_text():  # gone, or waiting for this machine to note it
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_model_that_is_forgotten_is_ended_whatever_its_thread_was_doing(folder):
    """A collection of garbage may come inside any call of this thread: here inside one that opens another model."""
    about = {"modality": "image", "size": (24, 24)}
    model = explainers.open_model(folder / "Photo net.ts", **about)
    model.itself, lane = model, model._lane
    pid = lane.pid()

    def collect():
        with remote._turn:
            gc.collect()

    del model
    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    end = time.monotonic() + 20
    while lane.pids() or Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
