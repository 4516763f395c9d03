"""A stranger's file in a worker: read, opened, explained; refused where the sandbox has a hole."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import explainers
import model_zoo
from explainers.runtime import sandbox
from explainers.runtime.lane import Lane, Task
from explainers.runtime.nursery import Nursery
from explainers.runtime.types import Source
from model_zoo.facts import Facts
from model_zoo.types import Column, UserError

LIMIT = 60
COLUMNS = tuple(Column(name) for name in "abcd")
ROW = {"a": 1.0, "b": 0.5, "c": -1.0, "d": 2.0}
FACTS = Facts(modality="tabular", task="classification", output="logit", labels=("no", "yes"), columns=COLUMNS)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 2)

    def forward(self, x):
        return torch.tanh(self.layer(x))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(3)
    return Net().eval()


@pytest.fixture(scope="module")
def script(net, tmp_path_factory):
    """A TorchScript file and where it is."""
    path = tmp_path_factory.mktemp("files") / "net.pt"
    torch.jit.trace(net, torch.zeros(2, 4)).save(path)
    return Source("mine", str(path), "net.pt", "My net", "sha256:00", FACTS)


@pytest.fixture
def ask(tmp_path, toys):
    """Ask a lane of its own."""
    (tmp_path / "logs").mkdir()
    made = []

    def begin(source, kind, *body):
        if not made:
            made.append(Nursery(tmp_path, "cpu", toys, grow=False))
            made.append(Lane("look", lambda one: made[0].start("look", 1, one)))
        return made[1].submit(Task(kind, body, source)).future.result(LIMIT)

    begin.lane = lambda: made[1]
    yield begin
    for one in reversed(made):
        one.close()


def skip_where_open(ask, source):
    try:
        return ask(source, "card")
    except UserError as error:
        if "sandboxed worker" in str(error):
            pytest.skip("this machine has not the whole sandbox")
        raise


def test_a_file_is_read_opened_and_explained_as_in_this_process(ask, script, net):
    card = skip_where_open(ask, script)
    assert (card.id, card.title, card.digest, card.labels) == ("mine", "My net", "sha256:00", ("no", "yes"))
    reading = ask(script, "read")
    assert (reading.outputs, reading.parameters, reading.problem) == (2, 10, "")
    look = ask(script, "sample", ROW, "a row")
    with torch.no_grad():
        np.testing.assert_allclose(look.prediction.raw, net(torch.tensor([[1.0, 0.5, -1.0, 2.0]]))[0], rtol=1e-6)
    rows = ask(script, "rows", b"a,b,c,d\n1,2,3,4\n", "rows.csv")
    assert rows[0]["c"] == "3"
    found = ask(script, "given", ROW, "a row", "integrated_gradients", {"target": 1, "steps": 16, "seed": 3})
    ours = model_zoo.wrap(net, modality="tabular", columns=COLUMNS, class_names=("no", "yes"), output="logit")
    direct = explainers.explain(ours, ROW, "integrated_gradients", target=1, steps=16, seed=3)
    np.testing.assert_allclose(found.values, direct.values, rtol=1e-5, atol=1e-7)
    again = ask(script, "given", [1.0, 0.5, -1.0, 2.0], "", "integrated_gradients", {"target": "yes", "steps": 16})
    np.testing.assert_allclose(again.values, found.values, rtol=1e-9)
    looked = ask(script, "look", json.dumps(ROW).encode(), "row.json", "columns", None, {})
    assert looked.players.count == 4


def test_a_worker_is_told_what_its_owner_says_anew(ask, script):
    skip_where_open(ask, script)
    pid = ask.lane().pid()
    assert ask(replace(script, title="Another"), "card").title == "Another"
    other = replace(script, title="Another", facts=replace(FACTS, labels=("off", "on")))
    assert ask(other, "card").labels == ("off", "on")
    with pytest.raises(UserError):
        ask(replace(script, facts=replace(FACTS, labels=("one", "two", "three"))), "card")
    assert ask(script, "card").labels == ("no", "yes")
    assert ask.lane().pid() == pid
    ask(replace(script, id="another's"), "card")
    assert len(set(ask.lane().pids())) == 2  # the same file of somebody else


def test_what_is_asked_wrongly_is_a_sentence(ask, script):
    skip_where_open(ask, script)
    with pytest.raises(UserError, match="no method 'magic'"):
        ask(script, "given", ROW, "", "magic", {})
    with pytest.raises(UserError, match="A worker answers look"):
        ask(script, "model")
    with pytest.raises(UserError, match="is bundled"):
        ask(Source("quick"), "read")


@pytest.mark.parametrize("layer", sandbox.REQUIRED)
def test_a_missing_layer_refuses_what_can_run_code(ask, script, layer, monkeypatch):
    monkeypatch.setenv(sandbox.WITHOUT, layer)
    with pytest.raises(UserError, match="sandbox"):
        ask(script, "card")


def test_a_file_that_is_gone_or_cut_is_a_sentence(ask, script, tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        ask(Source("gone", str(tmp_path / "gone.pt"), "gone.pt"), "read")
    cut = tmp_path / "cut.pt"
    with open(script.path, "rb") as whole:
        cut.write_bytes(whole.read(600))
    with pytest.raises(UserError):
        ask(Source("cut", str(cut), "cut.pt"), "read")


def test_code_is_opened_only_where_the_operator_says_so(ask, net, tmp_path, monkeypatch):
    path = tmp_path / "whole.pt"
    torch.save(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Tanh()), path)
    source = Source("whole", str(path), "whole.pt", facts=FACTS)
    with pytest.raises(UserError, match="state_dict"):
        ask(source, "card")
    monkeypatch.setenv("ASSAY_ALLOW_CODE", "1")
    with pytest.raises(UserError, match="state_dict"):  # it counts as it was when the server started
        ask(source, "card")


def test_code_is_opened_in_the_sandbox_if_the_operator_said_so(ask, tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_ALLOW_CODE", "1")
    path = tmp_path / "whole.pt"
    torch.save(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Tanh()), path)
    assert skip_where_open(ask, Source("whole", str(path), "whole.pt", facts=FACTS)).labels == ("no", "yes")


@pytest.mark.parametrize("layer", ["landlock", "seccomp"])
def test_code_is_never_opened_outside_the_sandbox(ask, tmp_path, monkeypatch, layer):
    monkeypatch.setenv("ASSAY_ALLOW_CODE", "1")
    monkeypatch.setenv(sandbox.WITHOUT, layer)
    path = tmp_path / "whole.pt"
    torch.save(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Tanh()), path)
    with pytest.raises(UserError):
        ask(Source("whole", str(path), "whole.pt", facts=FACTS), "card")
