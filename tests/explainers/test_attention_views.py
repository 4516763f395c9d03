"""The sheet of heads and a single head: pictures, decoders, long texts, and maps that are too large to keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import handmade
import numpy as np
import pytest
import torch
from attention_stacks import TEXT, WORDS, random_scores, wrapped
from torch import nn

import explainers
import model_zoo
from explainers import figures
from explainers.consistency import consistent
from explainers.engine import reading
from explainers.engine.reading import Place
from explainers.figures import attention
from explainers.types import Explanation


class Vision(nn.Module):
    """Eight patches of an oblong picture, a class token and two layers of attention."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.own = nn.Parameter(torch.randn(1, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).mT
        return self.out(self.encoder(torch.cat([self.own.expand(len(x), -1, -1), x], 1))[:, 0])


class Decoder(nn.Module):
    """Three learned positions that look at the embeddings of a text, in two layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(len(WORDS), 8)
        self.starts = nn.Embedding(3, 8)
        layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
        self.decoder = nn.TransformerDecoder(layer, 2)
        self.out = nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        starts = self.starts(torch.arange(3)).expand(len(ids), -1, -1)
        return self.out(self.decoder(starts, self.embedding(ids))[:, -1])


def _picture(method: str = "attention") -> Explanation:
    model = model_zoo.wrap(Vision().eval(), modality="image", size=(16, 32))
    return explainers.explain(model, np.random.default_rng(0).normal(size=(3, 16, 32)).astype(np.float32), method)


def _crossed() -> Explanation:
    return explainers.explain(wrapped(Decoder().eval()), TEXT, "cross_attention")


def test_patches_are_named_by_row_and_column() -> None:
    found = _picture()
    pictures = figures.pictures(found)
    assert [one.id for one in pictures] == ["overlay", "attention"]
    assert pictures[1].caption.endswith("run the method with its layer and head, counted from 0.")
    one = attention.head(found, 1, 0)
    assert list(one.layout.xaxis.ticktext) == ["[own]"] + [
        f"{row}, {column}" for row in (1, 2) for column in range(1, 5)
    ]
    np.testing.assert_array_equal(one.data[0].z, found.extras["attention"][1, 0])


def test_a_decoders_positions_are_rows() -> None:
    found = _crossed()
    sheet = next(one for one in figures.pictures(found) if one.id == "attention")
    assert "Rows are positions of the decoder, columns tokens of the input." in sheet.caption
    assert [list(one) for one in sheet.content.data[1].customdata] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    one = attention.head(found, 1, 1)
    assert one.data[0].z.shape == (3, 7)
    assert list(one.layout.yaxis.ticktext) == ["position 1", "position 2", "position 3"]
    assert list(one.layout.xaxis.ticktext) == ["[CLS]", *TEXT.split(), "[SEP]"]
    assert len(attention.sharpest(found)) == 2


@pytest.mark.parametrize("build", [_picture, _crossed, lambda: _picture("attention_norms")])
def test_what_is_kept_is_consistent_and_can_be_opened_again(build, tmp_path: Path) -> None:
    found = build()
    assert consistent(found)
    found.save(tmp_path / "run.assay")
    (again,) = explainers.open_record(tmp_path / "run.assay").explanations
    for name, one in found.extras.items():
        np.testing.assert_array_equal(again.extras[name], one)
    assert len(figures.pictures(again)) == len(figures.pictures(found))


@pytest.mark.parametrize("change", [
    {"attention_tokens": np.arange(5)},
    {"attention_tokens": np.full(9, -2)},
    {"attention_tokens": np.zeros(9)},
    {"attention_layers": np.array([0, 0])},
    {"attention_layers": np.array([[0, 1]])},
    {"attention": np.zeros((2, 2, 8, 9), dtype=np.float32)},
    {"attention": np.zeros((2, 2, 9), dtype=np.float32)},
    {"cross_attention": np.zeros((1, 1, 0, 3), dtype=np.float32)},
    {"cross_attention": np.zeros((1, 1, 4, 4), dtype=np.float32)},
])  # fmt: skip
def test_what_does_not_fit_is_not_consistent(change: dict[str, np.ndarray]) -> None:
    found = _picture()
    assert not consistent(replace(found, extras=found.extras | change))


def _long(layers: int, heads: int, tokens: int) -> tuple[np.ndarray, ...]:
    return tuple(np.abs(random_scores(layers, heads, tokens)))


def test_large_maps_are_kept_coarsely_or_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    maps, place = _long(4, 2, 10), Place(10, 0, 10)
    assert place.extras(maps)["attention"].dtype == np.float32
    monkeypatch.setattr(reading, "BOUND", 4 * 200 * 2)
    half = place.extras(maps)
    assert list(half) == ["attention"]
    assert half["attention"].dtype == np.float16
    np.testing.assert_allclose(half["attention"], np.stack(maps), rtol=1e-3)
    monkeypatch.setattr(reading, "BOUND", 3 * 200 * 2)
    some = place.extras(maps)
    np.testing.assert_array_equal(some["attention_layers"], [1, 2, 3])
    np.testing.assert_allclose(some["attention"], np.stack(maps[1:]), rtol=1e-3)
    monkeypatch.setattr(reading, "BOUND", 100)
    assert place.extras(maps) == {}


def test_layers_keep_their_numbers_where_the_first_are_left_out() -> None:
    whole = handmade.attention(4, 3)
    part = {"attention": whole.extras["attention"][2:], "attention_layers": np.array([2, 3])}
    found = replace(whole, extras=part)
    assert consistent(found)
    sheet = next(one for one in figures.pictures(found) if one.id == "attention")
    assert "The first 2 layers were left out" in sheet.caption
    assert [list(one) for one in sheet.content.data[1].customdata][::3] == [[2, 0], [3, 0]]
    assert list(sheet.content.layout.yaxis.ticktext) == ["3", "4"]
    np.testing.assert_array_equal(attention.head(found, 3, 1).data[0].z, whole.extras["attention"][3, 1])


def test_a_long_text_is_drawn_in_few_cells() -> None:
    """1,500 tokens: a tile of 24 a side on the sheet, 1,024 cells a side for one head, and 72 names at most."""
    whole = handmade.attention(1, 1)
    weights = np.zeros((1, 1, 1500, 1500), dtype=np.float16)
    weights[0, 0, np.arange(1500), np.arange(1500)] = 1
    found = replace(whole, extras={"attention": weights})
    sheet = attention.sheet(found)
    assert np.asarray(sheet.data[0].z).shape == (27, 27)
    assert np.nanmax(sheet.data[0].z) == 1
    one = attention.head(found, 0, 0)
    assert one.data[0].z.shape == (1024, 1024)
    assert np.diag(one.data[0].z).min() == 1
    assert len(one.layout.xaxis.ticktext) <= 72
