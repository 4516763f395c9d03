"""TorchScript files: scripts give the scores, gradients, attention and maps of the networks that they were made of."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from small_networks import PHOTO, ROW, TEXT, Recurrent, Transformer, cnn, mlp, scores_of, tokenizer

from explainers import explain
from model_zoo import probe
from model_zoo.facts import Facts
from model_zoo.files import ModelFile
from model_zoo.guessing import columns
from model_zoo.opening import CONTAINED, format_of, open_file, read
from model_zoo.types import Capability, UserError


def opened(script, folder, **facts):
    path = folder / "model.pt"
    torch.jit.save(script, str(path))
    assert format_of(ModelFile(path)).id == "torchscript"
    return open_file(ModelFile(path), Facts(**facts), trusted=CONTAINED)


def traced(network, *inputs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(network, inputs)


@pytest.mark.parametrize("kind", ["scripted", "traced"])
@pytest.mark.parametrize(
    "network", [Recurrent("LSTM"), Transformer(), Transformer(False)], ids=["lstm", "fused", "plain"]
)
def test_gradients_of_texts_are_those_of_the_network_from_the_first_call_on(network, kind, tmp_path):
    script = torch.jit.script(network) if kind == "scripted" else traced(network, torch.zeros(2, 11, dtype=torch.long))
    model = opened(script, tmp_path, tokenizer=tokenizer())
    assert Capability.EMBEDDINGS | Capability.GRADIENTS in model.can
    ids = torch.as_tensor(np.stack([model.sample(TEXT).x] * 3))
    vectors = network.words(ids).detach().requires_grad_()
    handle = network.words.register_forward_hook(lambda *_: vectors)
    (expected,) = torch.autograd.grad(network(ids)[:, 1].sum(), vectors)
    handle.remove()
    for _ in range(4):
        entry = model.entry(ids).requires_grad_()
        (found,) = torch.autograd.grad(model.forward_entry(entry, ids)[:, 1].sum(), entry)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_attention_of_a_script_is_that_of_the_network(tmp_path):
    network = Transformer()
    model = opened(torch.jit.script(network), tmp_path, tokenizer=tokenizer())
    ids = torch.as_tensor(model.sample(TEXT).x[None])
    found = probe.attention(lambda: model.outputs(ids))
    expected = probe.attention(lambda: network(ids))
    assert len(found.maps) == len(expected.maps) == 1
    torch.testing.assert_close(found.maps[0], expected.maps[0])


def test_grad_cam_of_a_script_needs_no_layer(tmp_path):
    network = cnn(16)
    scripted = opened(torch.jit.script(network), tmp_path)
    assert scripted.input.size == (16, 16)
    assert Capability.SPATIAL in scripted.can
    x = torch.as_tensor(scripted.sample(PHOTO).x[None]).requires_grad_()
    found = probe.spatial(lambda: scripted.outputs(x)[:, 0], scripted.network)
    expected = probe.spatial(lambda: network(x)[:, 0], network)
    torch.testing.assert_close(found.activation, expected.activation)
    torch.testing.assert_close(found.gradient, expected.gradient)


@pytest.mark.parametrize("batch", [1, 4])
def test_a_batch_baked_in_is_looped_and_keeps_its_gradients(batch, tmp_path):
    weight = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))

    def baked(x):
        return (x.reshape(batch, 2, 3).transpose(1, 2).reshape(batch, 6) @ weight.T).tanh()

    model = opened(traced(baked, torch.rand(batch, 6)), tmp_path, modality="tabular", columns=columns(6))
    assert any(f"batches of {batch}" in one for one in model.card.notes)
    x = torch.rand(7, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    expected = (x.reshape(-1, 2, 3).transpose(1, 2).reshape(-1, 6) @ weight.T).tanh()
    torch.testing.assert_close(model.forward(x), expected)
    (found,) = torch.autograd.grad(model.forward(x)[:, 1].sum(), x)
    torch.testing.assert_close(found, torch.autograd.grad(expected[:, 1].sum(), x)[0])


def test_rows_that_change_one_another_are_run_one_by_one(tmp_path):
    """A network traced in training mode normalises by its batch: the scores of a row alone are what it says of it."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.BatchNorm1d(4)).train()
    model = opened(traced(network, torch.rand(3, 6)), tmp_path)
    assert any("batches of 1" in one for one in model.card.notes)
    x = torch.rand(3, 6)
    alone = torch.cat([model.forward(one[None]) for one in x])
    torch.testing.assert_close(model.forward(x), alone)


def test_companions_of_token_ids_follow_from_them(tmp_path):
    class Masked(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Transformer()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.inner(input_ids) * attention_mask.float().sum(1, keepdim=True)}

    network = Masked().eval()
    model = opened(torch.jit.script(network), tmp_path, tokenizer=tokenizer())
    sample = model.sample(TEXT)
    ids = torch.as_tensor(sample.x[None])
    expected = network(ids, torch.ones_like(ids))["logits"][0]
    np.testing.assert_allclose(model.predict(sample).raw, expected.detach().numpy(), atol=1e-5)
    assert np.abs(explain(model, sample, "saliency").values).max() > 0


def test_half_and_double_weights_are_run_as_they_are(tmp_path):
    network = mlp().double()
    model = opened(torch.jit.script(network), tmp_path)
    assert model.dtype == torch.float64
    x = np.linspace(-1, 1, 6)
    expected = network(torch.as_tensor(x)[None])[0].detach().numpy()
    np.testing.assert_allclose(model.predict(model.sample(x)).raw, expected, rtol=1e-9)


class Ended(torch.nn.Module):
    """Some columns out of a sigmoid, as a row each or flat."""

    def __init__(self, width, flat=False):
        super().__init__()
        torch.manual_seed(4)
        self.layer, self.flat = torch.nn.Linear(6, width), flat

    def forward(self, x):
        found = torch.sigmoid(self.layer(x))
        return found.squeeze(-1) if self.flat else found


@pytest.mark.parametrize("flat", [False, True])
def test_one_column_out_of_a_sigmoid_is_the_chance_of_the_second_class(flat, tmp_path):
    network = Ended(1, flat)
    model = opened(traced(network, torch.randn(2, 6)), tmp_path)
    chance = scores_of(network)(np.array(list(ROW.values()))).item()
    found = model.predict(model.sample(ROW))
    assert (model.card.task, model.card.output) == ("binary", "probability")
    np.testing.assert_allclose(found.probabilities, [1 - chance, chance], rtol=1e-5)
    assert opened(traced(network, torch.randn(2, 6)), tmp_path, task="regression").card.output == "value"


def test_labels_out_of_a_sigmoid_do_not_exclude_one_another(tmp_path):
    network = Ended(3)
    model = opened(traced(network, torch.randn(2, 6)), tmp_path)
    assert model.card.task == "regression"
    assert "do not exclude one another" in " ".join(model.card.notes)
    expected = scores_of(network)(np.array(list(ROW.values())))
    np.testing.assert_allclose(model.predict(model.sample(ROW)).raw, expected, rtol=1e-5)


class Pair(torch.nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left + right


class Many(torch.nn.Module):
    def forward(self, images: list[torch.Tensor]) -> torch.Tensor:
        return images[0]


class Nothing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> None:
        return None


class Both(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        return x * 2, 3


def test_two_inputs_are_told_by_name(tmp_path):
    with pytest.raises(UserError, match=r"takes 2 inputs \(left, right\).*one input"):
        opened(torch.jit.script(Pair()), tmp_path)


def test_a_list_of_pictures_is_no_input(tmp_path):
    with pytest.raises(UserError, match=r"takes images as List\[Tensor\]"):
        opened(torch.jit.script(Many()), tmp_path)


def test_another_number_of_columns_than_the_file_suggests_is_told(tmp_path):
    with pytest.raises(UserError, match="takes 6 columns; 3 came"):
        opened(traced(mlp(), torch.randn(2, 6)), tmp_path, columns=columns(3))


def test_nothing_returned_is_said_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"it returned NoneType\. Return the scores"):
        opened(torch.jit.script(Nothing()), tmp_path, modality="tabular", columns=columns(3))


def test_the_first_of_a_tuple_is_explained(tmp_path):
    model = opened(torch.jit.script(Both()), tmp_path, modality="tabular", columns=columns(3))
    np.testing.assert_allclose(model.predict(model.sample(np.arange(3.0))).raw, [0, 2, 4])
    assert "It returns 2 outputs; the first, of 3 numbers, is explained." in model.card.notes


def test_a_file_cut_off_is_told(tmp_path):
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(mlp()), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut off|damaged"):
        read(ModelFile(path), trusted=CONTAINED)


def test_a_script_stays_closed_outside_the_sandbox(tmp_path):
    torch.jit.save(torch.jit.script(mlp()), tmp_path / "model.pt")
    with pytest.raises(UserError, match="sandboxed worker only"):
        open_file(ModelFile(tmp_path / "model.pt"))
