"""The doctor finds faults that were planted, and finds none where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import model_zoo
from explainers import codec, doctor, registry
from explainers.doctor import examine, exams
from explainers.types import Verdict
from model_zoo.discovery import Broken
from model_zoo.repair import activations, own_activations

NAMES = ["width", "height", "depth", "weight"]


def checked(module, **about):
    torch.manual_seed(0)
    model = model_zoo.wrap(module, modality="tabular", feature_names=NAMES, class_names=["a", "b", "c"], **about)
    diagnosis = examine(model, [0.3, -1.2, 0.5, 2.0])
    return {one.id: one for one in diagnosis.findings}, diagnosis


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)
        self.act = nn.Tanh()

    def middle(self, x):
        return self.act(x)

    def forward(self, x):
        return self.last(self.middle(self.first(x)))


def faulty(middle, **parts):
    net = Net()
    for name, part in parts.items():
        setattr(net, name, part)
    net.middle = middle.__get__(net)
    return net


def test_a_healthy_network_gets_no_complaint():
    found, diagnosis = checked(Net().eval())
    assert {one.verdict for one in found.values()} == {Verdict.GOOD}
    assert diagnosis.parameters == 4 * 6 + 6 + 6 * 3 + 3
    assert diagnosis.weights == 4 * diagnosis.parameters
    assert (diagnosis.takes, diagnosis.returns) == ("one float32 array (4,) an input", "logits of 3 classes")
    assert [(one.path, one.kind, one.output) for one in diagnosis.parts][1:] == [
        ("first", "Linear", "(1, 6)"),
        ("last", "Linear", "(1, 3)"),
        ("act", "Tanh", "(1, 6)"),
    ]
    assert [one.method for one in diagnosis.methods] == [one.id for one in registry.methods()]
    assert codec.decode(*codec.encode(diagnosis)) == diagnosis


def test_an_exam_that_did_not_load_is_not_passed_over(monkeypatch):
    monkeypatch.setattr(doctor, "broken", lambda: (Broken("colours", "ImportError: no paint"),))
    found, _ = checked(Net().eval())
    assert (found["colours"].verdict, "ImportError: no paint" in found["colours"].sentence) == (
        Verdict.UNTESTABLE,
        True,
    )


def test_random_numbers_at_prediction():
    found, _ = checked(faulty(lambda self, x: F.dropout(x, 0.5, training=True)).eval())
    assert found["determinism"].verdict == Verdict.BAD
    assert "dropout" in found["determinism"].sentence


def test_batch_norm_without_statistics_depends_on_the_batch():
    norm = nn.BatchNorm1d(6, track_running_stats=False)
    found, _ = checked(faulty(lambda self, x: self.norm(x) if len(x) > 1 else x, norm=norm).eval())
    assert found["batch"].verdict == Verdict.BAD
    assert "batch norm norm has no statistics" in found["batch"].sentence


def test_training_mode_is_told_and_put_back():
    norm = nn.BatchNorm1d(6)
    net = faulty(lambda self, x: self.drop(self.norm(x)), norm=norm, drop=nn.Dropout(0.5)).train()
    before = {name: one.clone() for name, one in net.state_dict().items()}
    found, _ = checked(net)
    assert "norm, drop came in training mode" in found["training"].sentence
    assert found["training"].repair
    assert net.training
    assert norm.training
    assert all(torch.equal(before[name], one) for name, one in net.state_dict().items())


def test_a_counter_in_a_buffer():
    def count(self, x):
        self.seen += 1
        return x

    net = faulty(count)
    net.register_buffer("seen", torch.zeros(()))
    found, _ = checked(net.eval())
    assert found["unchanged"].verdict == Verdict.BAD
    assert "seen" in found["unchanged"].sentence


def test_writing_into_the_input_is_kept_from_the_person():
    class InPlace(Net):
        def forward(self, x):
            return super().forward(x.mul_(2))

    found, _ = checked(InPlace().eval())
    assert "a copy" in found["unchanged"].sentence


def test_a_step_has_no_gradient():
    found, _ = checked(faulty(lambda self, x: torch.round(x)).eval())
    assert found["gradient"].verdict == Verdict.BAD
    assert "zero" in found["gradient"].sentence


def test_an_infinite_score_is_a_sentence():
    found, _ = checked(faulty(lambda self, x: x / 0).eval())
    assert found["scores"].verdict == Verdict.BAD
    assert "not a finite number" in found["scores"].sentence
    assert {"determinism", "batch"}.isdisjoint(found)
    assert ".." not in found["gradient"].sentence


def test_a_saturated_probability():
    net = Net().eval()
    with torch.no_grad():
        net.last.weight *= 10_000
    found, _ = checked(net)
    assert found["scores"].verdict == Verdict.DOUBTFUL
    assert "logit" in found["scores"].sentence


def test_hidden_activations_are_counted_and_mended():
    net = faulty(lambda self, x: self.act(self.act(F.relu(x)).relu() + torch.sigmoid(x))).eval()
    found, _ = checked(net)
    assert "5 of its 5 activations" in found["activations"].sentence
    assert "3 called as functions and 2 through a module" in found["activations"].sentence
    assert found["activations"].repair
    x = torch.randn(7, 4)
    mended = own_activations(net, x)
    assert torch.equal(mended(x), net(x))
    seen = activations(mended, lambda: mended(x))
    assert (seen.total, seen.functional, seen.reused) == (5, 0, 0)


def test_every_kind_that_a_rule_exists_for_is_counted():
    """Pooling and softmax have rules in DeepLIFT too; counted by hand."""

    class Mixed(nn.Module):
        def forward(self, x):
            x = F.max_pool1d(x[:, None], 2)[:, 0]
            return F.softmax(F.relu6(x), -1)

    x = torch.randn(3, 8)
    seen = activations(Mixed(), lambda: Mixed()(x))
    assert (seen.functional, seen.reused) == (seen.total, 0)
    assert seen.total == 3
    mended = own_activations(Mixed(), x)
    assert torch.equal(mended(x), Mixed()(x))
    kinds = [type(one).__name__ for one in mended.modules()][1:]
    assert kinds == ["MaxPool1d", "ReLU6", "Softmax"]


def test_a_forward_that_no_trace_can_follow_is_left_alone():
    net = faulty(lambda self, x: F.relu(x) if x.sum() > -1e9 else x).eval()
    found, _ = checked(net)
    assert "could not be rewritten" in found["activations"].sentence
    assert not found["activations"].repair


def test_a_function_on_arrays_has_no_gradient_and_no_layers():
    found, diagnosis = checked(lambda rows: np.stack([rows[:, 0], rows[:, 1], rows.sum(1)], 1).round(3))
    assert found["gradient"].verdict == Verdict.NOT_APPLICABLE, "it never had one: nothing is wrong with it"
    assert diagnosis.parts == ()
    assert {one.method for one in diagnosis.methods if one.reason} >= {"saliency", "integrated_gradients"}


@pytest.mark.parametrize("model", ["adult_mlp", "adult_trees", "bilstm_reviews"])
def test_without_an_input_one_is_made_up(model):
    diagnosis = examine(model_zoo.load(model))
    assert len(diagnosis.findings) >= 4
    assert all(one.verdict != Verdict.UNTESTABLE for one in diagnosis.findings)


def test_every_exam_has_a_place_of_its_own():
    orders = [one.order for one in exams()]
    assert len(set(orders)) == len(orders)
