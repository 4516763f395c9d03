"""A user and an item: ids in a table that an embedding looks up, and the items somebody had before as a text of ids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import explainers
import model_zoo
from model_zoo.types import Capability, Column, UserError

USERS, ITEMS = 7, 9
ROWS = np.stack([np.arange(20) % USERS, np.arange(20) * 2 % ITEMS, np.linspace(0, 1, 20)], 1)
X = np.array([3.0, 5.0, 0.7])
COLUMNS = (
    Column("user", "category", categories=tuple(f"u{one}" for one in range(USERS))),
    Column("item", "category", categories=tuple(f"i{one}" for one in range(ITEMS))),
    Column("age"),
)


class Taste(nn.Module):
    """The product of a user's and an item's vector, and a slope on age."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.users, self.items = nn.Embedding(USERS, 4), nn.Embedding(ITEMS, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        alike = (self.users(x[:, 0].long()) * self.items(x[:, 1].long())).sum(-1, keepdim=True)
        return alike + 0.3 * x[:, 2:3]


class Ids(Taste):
    """The same of ids alone, which it takes as they are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.users(x[:, 0]) * self.items(x[:, 1])).sum(-1, keepdim=True)


def shared(network: nn.Module, x: np.ndarray, rows: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Shapley values over columns, by all orders, absent ones taken from each row."""

    def worth(present: tuple[int, ...]) -> float:
        mixed = rows.copy()
        mixed[:, present] = x[list(present)]
        with torch.no_grad():
            return float(network(torch.as_tensor(mixed, dtype=dtype)).mean())

    count = len(x)
    found = np.zeros(count)
    orders = list(itertools.permutations(range(count)))
    for order in orders:
        for place, player in enumerate(order):
            found[player] += worth(tuple(sorted(order[: place + 1]))) - worth(tuple(sorted(order[:place])))
    return found / len(orders)


@pytest.mark.parametrize("columns", [None, COLUMNS], ids=["numbers", "categories"])
def test_ids_in_a_table_share_by_shapley(columns) -> None:
    network = Taste()
    about = {"feature_names": ["user", "item", "age"]} if columns is None else {"columns": columns}
    model = model_zoo.wrap(network, background=ROWS, **about)
    truth = shared(network, X, ROWS, torch.float32)
    for name in ("kernel_shap", "exact_shapley"):
        found = explainers.explain(model, X, name)
        np.testing.assert_allclose(found.values, truth, rtol=1e-4, atol=1e-5)
    if columns is not None:
        given = {"user": "u3", "item": "i5", "age": 0.7}
        np.testing.assert_allclose(explainers.explain(model, given, "kernel_shap").values, truth, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(explainers.explain(model, given, "kernel_shap").values, truth, rtol=1e-4, atol=1e-5)
        assert [cell.shown for cell in model.sample(given).view.cells] == ["u3", "i5", "0.7"]


def test_a_category_has_no_mean() -> None:
    """Left out, a user is compared with the most frequent one: a code of 2.85 is no user."""
    network = Taste()
    model = model_zoo.wrap(network, background=ROWS, columns=COLUMNS)
    found = explainers.explain(model, X, "occlusion")
    users, counts = np.unique(ROWS[:, 0], return_counts=True)
    assert found.reference.rows[0][0] == users[counts.argmax()]
    assert found.reference.rows[0][2] == pytest.approx(ROWS[:, 2].mean())
    assert found.reference.sentence == "the mean of 20 background rows, of a category the most frequent"
    with torch.no_grad():
        left = X.copy()
        left[1] = found.reference.rows[0][1]
        fall = network(torch.tensor(np.stack([X, left]), dtype=torch.float32))
    assert found.values[1] == pytest.approx(float(fall[0] - fall[1]), rel=1e-4)


@pytest.mark.parametrize("wrapped", [lambda net: net, lambda net: lambda x: net(x)], ids=["module", "callable"])
def test_a_network_that_takes_whole_numbers_gets_them(wrapped) -> None:
    network = Ids()
    model = model_zoo.wrap(wrapped(network), feature_names=["user", "item"], background=ROWS[:, :2])
    assert model.can == Capability.NONE
    with torch.no_grad():
        assert model.predict(X[:2]).raw == pytest.approx(network(torch.tensor([[3, 5]])).numpy()[0], rel=1e-6)
    found = explainers.explain(model, X[:2], "kernel_shap")
    np.testing.assert_allclose(found.values, shared(network, X[:2], ROWS[:, :2], torch.long), rtol=1e-4, atol=1e-5)
    assert found.players.names == ("user", "item")
    with pytest.raises(UserError, match="takes whole numbers that it looks up, such as ids, and"):
        explainers.explain(model, X[:2], "occlusion")
    assert explainers.explain(model, X[:2], "occlusion", baseline=[0, 0]).values.shape == (2,)
    with pytest.raises(UserError, match="could not be run"):
        model_zoo.wrap(wrapped(network), feature_names=["user", "item", "more"]).predict([30, 50, 1])


class Next(nn.Module):
    """What comes after the items so far: the mean of their vectors, by a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.items = nn.Embedding(20, 6, dtype=torch.float64)
        self.head = nn.Linear(6, 20, dtype=torch.float64)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.items(ids).mean(1))


SHELF = {f"item{one}": one for one in range(1, 20)}
HAD = [3, 7, 12, 3]


@pytest.mark.parametrize("raw", ["item3 item7 item12 item3", HAD, np.array(HAD)], ids=["names", "list", "array"])
@pytest.mark.parametrize("method", ["occlusion", "kernel_shap", "integrated_gradients", "partition_shap"])
def test_items_had_before_are_explained_one_by_one(raw, method: str) -> None:
    """An item's value is what its vector adds to the mean, against the vector of id 0."""
    network = Next()
    names = isinstance(raw, str)
    tokenizer = (lambda text: [SHELF[word] for word in text.split()]) if names else None
    model = model_zoo.wrap(network, modality="text", tokenizer=tokenizer, baseline=0)
    found = explainers.explain(model, raw, method, target=12)
    vectors, weights = network.items.weight.detach().numpy(), network.head.weight.detach().numpy()
    truth = (vectors[HAD] - vectors[0]) @ weights[12] / len(HAD)
    np.testing.assert_allclose(found.values, truth, rtol=1e-4, atol=1e-9)
    assert found.players.names == (("item3", "item7", "item12", "item3") if names else ("3", "7", "12", "3"))


def test_an_item_that_is_not_on_the_shelf_is_told() -> None:
    model = model_zoo.wrap(Next(), modality="text", tokenizer=lambda text: [SHELF[word] for word in text.split()])
    with pytest.raises(UserError, match=r"The tokenizer could not read 'item3 item99'; it said: KeyError: 'item99'"):
        model.sample("item3 item99")
    model.sample("item3 item7")
    with pytest.raises(UserError, match="has the token id 20; the model's vocabulary has 20 tokens"):
        model.predict([3, 20])
