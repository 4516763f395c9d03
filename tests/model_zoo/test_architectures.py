"""The networks against independent answers: torch's own layers, loops written out, texts one at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model_zoo.architectures.bert import BertClassifier, Layer, Size
from model_zoo.architectures.bilstm import BiLSTMClassifier
from model_zoo.architectures.efficientnet_lite import EfficientNetLite0, Unit
from model_zoo.architectures.mlp import MLP
from model_zoo.architectures.squeezenet import SqueezeNet

TINY = Size(vocabulary=50, width=16, layers=2, heads=4, inner=24, positions=12, epsilon=1e-6)
PADDED = torch.tensor([[3, 9, 4, 0, 0, 0], [7, 2, 8, 8, 1, 5], [6, 0, 0, 0, 0, 0]])


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_squeezenet_has_the_published_size_and_maps():
    """1,235,496 parameters; Caffe rounds its pooling up, so 227 pixels become 113, 56, 28, 14."""
    network = SqueezeNet()
    assert count(network) == 1_235_496
    sizes = []
    for module in network.features:
        module.register_forward_hook(lambda module, args, output: sizes.append(output.shape[-1]))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 227, 227)).shape == (1, 1000)
    assert sizes == [56, 56, 56, 28, 28, 28, 14, 14, 14, 14, 14]


def test_efficientnet_has_the_published_size():
    network = EfficientNetLite0().eval()
    assert count(network) == 4_652_008
    with torch.no_grad():
        assert network.blocks(network.stem(torch.zeros(1, 3, 224, 224))).shape == (1, 320, 7, 7)


@pytest.mark.parametrize(
    ("kernel", "stride", "size"), [(3, 1, 7), (3, 2, 7), (3, 2, 8), (5, 2, 8), (5, 2, 9), (5, 1, 6)]
)
def test_same_padding_is_tensorflows(kernel, stride, size):
    """Output i reads pixels from i * stride - before on, where before = floor(total padding / 2)."""
    unit = Unit(1, 1, kernel, stride, active=False).eval()
    x = torch.randn(1, 1, size, size)
    found = unit.conv.weight[0, 0].detach().numpy()
    out = -(-size // stride)
    before = max((out - 1) * stride + kernel - size, 0) // 2
    expected = np.zeros((out, out))
    for i, j, a, b in np.ndindex(out, out, kernel, kernel):
        row, column = i * stride - before + a, j * stride - before + b
        if 0 <= row < size and 0 <= column < size:
            expected[i, j] += found[a, b] * x[0, 0, row, column].item()
    with torch.no_grad():
        np.testing.assert_allclose(unit(x)[0, 0] * (1 + 1e-3) ** 0.5, expected, atol=1e-5)


def test_transformer_layer_is_torchs():
    """The same weights in torch.nn.TransformerEncoderLayer give the same numbers, padding masked."""
    ours = Layer(TINY, dropout=0.0).eval()
    theirs = torch.nn.TransformerEncoderLayer(
        TINY.width, TINY.heads, TINY.inner, 0.0, "gelu", TINY.epsilon, batch_first=True
    )
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
        for one, other in (
            (theirs.self_attn.out_proj, ours.mix),
            (theirs.linear1, ours.up),
            (theirs.linear2, ours.down),
            (theirs.norm1, ours.attention_norm),
            (theirs.norm2, ours.norm),
        ):
            one.load_state_dict(other.state_dict())
        x, absent = torch.randn(3, 6, TINY.width), PADDED == 0
        found = ours(x, ~absent[:, None, None])
        expected = theirs(x, src_key_padding_mask=absent)
    torch.testing.assert_close(found[~absent], expected[~absent], atol=1e-5, rtol=1e-5)


@pytest.fixture(params=["bert", "bilstm"])
def network(request):
    found = {"bert": lambda: BertClassifier(2, TINY), "bilstm": lambda: BiLSTMClassifier(50, 1, width=8, hidden=8)}
    return found[request.param]().eval()


def test_padded_texts_score_as_each_alone(network):
    with torch.no_grad():
        together = network(PADDED)
        alone = torch.cat([network(row[row != 0][None]) for row in PADDED])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


def test_gradients_reach_every_word_and_no_padding(network):
    entry = network.embedding(PADDED).detach().requires_grad_(True)
    handle = network.embedding.register_forward_hook(lambda module, args, output: entry)
    (gradient,) = torch.autograd.grad(network(PADDED)[:, -1].sum(), entry)
    handle.remove()
    assert ((gradient.abs().sum(-1) > 0) == (PADDED != 0)).all()


def test_bilstm_is_torchs_lstm_pooled():
    network = BiLSTMClassifier(50, 1, width=8, hidden=8).eval()
    ids = torch.tensor([[3, 9, 4, 7]])
    with torch.no_grad():
        states = network.lstm(network.embedding(ids))[0]
        expected = network.head(torch.cat([states.max(1).values, states.mean(1)], 1))
        torch.testing.assert_close(network(ids), expected)


def test_bilstm_padding_in_the_middle_deletes_the_word():
    network = BiLSTMClassifier(50, 1, width=8, hidden=8).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(torch.tensor([[3, 0, 4, 7]])), network(torch.tensor([[3, 4, 7]])))
        assert network(torch.zeros(2, 4, dtype=torch.long)).isfinite().all()


def test_mlp_is_matrices_and_relu():
    network = MLP(5, (7, 6), 2).eval()
    x = torch.randn(4, 5)
    (w1, b1), (w2, b2), (w3, b3) = [
        (one.weight, one.bias) for one in network.layers if isinstance(one, torch.nn.Linear)
    ]
    with torch.no_grad():
        expected = F.relu(F.relu(x @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
        torch.testing.assert_close(network(x), expected)


def test_a_folded_efficientnet_is_the_same_function() -> None:
    torch.manual_seed(0)
    plain = EfficientNetLite0(5)
    for part in plain.modules():
        if isinstance(part, torch.nn.BatchNorm2d):  # statistics and scales as after training
            torch.nn.init.uniform_(part.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(part.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = plain.eval()(x)
        folded = plain.fold()
        assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
        torch.testing.assert_close(folded(x), before, rtol=1e-3, atol=1e-4)
