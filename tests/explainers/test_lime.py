"""LIME gives lime's numbers, and says how far its line follows the model."""

from __future__ import annotations

import lime.lime_image
import lime.lime_tabular
import lime.lime_text
import numpy as np
import pytest
import torch

import explainers
from model_zoo.modalities.image import ImageInput
from model_zoo.modalities.tabular import TableInput
from model_zoo.modalities.text import TextInput, WordTokenizer
from model_zoo.model import Model
from model_zoo.types import Capability, Column, ModelCard, UserError

LABELS = ("a", "b", "c")
WORDS = ("<pad>", "<unk>", "<mask>", "the", "film", "was", "not", "good", "bad", "at", "all", "but", ",")
TEXT = "The film was not bad, not bad at all"


def card(modality: str, can: Capability = Capability.GRADIENTS) -> ModelCard:
    return ModelCard("m", "M", modality, "classification", "logit", LABELS, can)


def coefficients(pairs: list[tuple[int, float]], count: int) -> np.ndarray:
    found = np.zeros(count)
    for player, value in pairs:
        found[player] = value
    return found


def compare(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert np.ptp(theirs) > 1e-4
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.ptp(theirs))


# -- pictures --------------------------------------------------------------------------------------------------------


def picture_model(channels: int = 3) -> Model:
    torch.manual_seed(3)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(channels, 4, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(4 * 30 * 30, 3)
    )
    return Model(card("image"), network, ImageInput((32, 32), channels=channels))


@pytest.mark.parametrize(("hide", "colour"), [("usual", None), ("baseline", 0.25)])
def test_numbers_are_the_librarys_on_a_picture(picture, hide: str, colour: float | None, capsys) -> None:
    model = picture_model()
    found = explainers.explain(
        model, picture, "lime", target=1, output="probability", seed=8, num_samples=120, segments=14, hide=hide,
        baseline=colour,
    )  # fmt: skip

    def bare(pictures: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model.network(torch.tensor(np.moveaxis(pictures, -1, 1))).softmax(-1).numpy()

    assert not "".join(capsys.readouterr())  # no progress bar in between
    theirs = lime.lime_image.LimeImageExplainer(random_state=8).explain_instance(
        np.moveaxis(picture, 0, -1), bare, labels=(1,), top_labels=None, hide_color=colour, num_samples=120,
        segmentation_fn=lambda image: found.players.owner,
    )  # fmt: skip
    compare(found.values, coefficients(theirs.local_exp[1], found.players.count))
    assert float(found.extras["r2"]) == pytest.approx(theirs.score, abs=1e-5)
    assert float(found.extras["intercept"]) == pytest.approx(theirs.intercept[1], abs=1e-5)
    assert "surrogate explains" in found.notes[0]
    assert found.cost.forward == 121


def test_a_grey_picture_is_hidden_by_its_segments_means() -> None:
    model = picture_model(channels=1)
    x = np.random.default_rng(0).normal(size=(1, 32, 32)).astype(np.float32)
    found = explainers.explain(model, x, "lime", target=1, num_samples=400, segments=8)
    flat = x.copy()
    for player in range(found.players.count):
        flat[0, found.players.owner == player] = x[0, found.players.owner == player].mean()
    with torch.no_grad():
        everything = float(model.network(torch.tensor(flat[None]))[0, 1])
    assert float(found.extras["intercept"]) == pytest.approx(everything, abs=0.05)


# -- texts -----------------------------------------------------------------------------------------------------------


class Sentence(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.embedding = torch.nn.Embedding(len(WORDS), 5)
        self.rest, self.head = torch.nn.GRU(5, 6, batch_first=True), torch.nn.Linear(6, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.rest(self.embedding(ids))[0][:, -1])


def text_model() -> Model:
    network = Sentence()
    about = card("text", Capability.GRADIENTS | Capability.EMBEDDINGS)
    return Model(about, network, TextInput(WordTokenizer(WORDS, mask="<mask>")), embedding=network.embedding)


def test_numbers_are_the_librarys_on_a_text_and_a_word_may_count_twice() -> None:
    model = text_model()
    found = explainers.explain(model, TEXT, "lime", target=1, output="probability", seed=8, num_samples=150)

    def bare(texts: list[str]) -> np.ndarray:
        with torch.no_grad():  # one at a time: this network would read padding
            return np.stack(
                [model.network(torch.tensor(model.input.batch([one]))).softmax(-1)[0].numpy() for one in texts]
            )

    explainer = lime.lime_text.LimeTextExplainer(split_expression=r"\s+", bow=False, mask_string="", random_state=8)
    theirs = explainer.explain_instance(TEXT, bare, labels=(1,), num_features=20, num_samples=150)
    compare(found.values, coefficients(theirs.local_exp[1], 9))
    names = found.players.names
    assert names.count("not") == names.count("bad") == 2
    assert found.values[names.index("not")] != found.values[5]
    assert "without the hidden" in found.reference.sentence


def test_token_ids_without_a_text_take_the_baseline() -> None:
    model = text_model()
    ids = np.array([3, 4, 5, 0, 7])  # a pad in the middle is no text that anybody can write
    found = explainers.explain(model, ids, "lime", target=1, num_samples=60)
    assert found.players.count == 4
    assert "without the hidden" not in found.reference.sentence
    words = explainers.explain(model, TEXT, "lime", target=1, num_samples=60, hide="baseline", baseline="mask")
    assert "every word replaced by <mask>" in words.reference.sentence


# -- tables ----------------------------------------------------------------------------------------------------------

COLUMNS = (
    Column("age"),
    Column("colour", "category", categories=("red", "green", "blue")),
    Column("gain"),
    Column("hours"),
)


def table_model(dtype: str = "float64") -> tuple[Model, np.ndarray]:
    """A model of one-hot rows, and its background as numbers and category codes."""
    draw = np.random.default_rng(5)
    gain = np.where(draw.random(80) < 0.8, 0, 5000)
    raw = np.column_stack([draw.integers(17, 90, 80), draw.integers(0, 3, 80), gain, draw.normal(40, 9, 80)])
    mean, std = np.array([38.0, 0, 900, 40]), np.array([13.0, 1, 2000, 9])
    torch.manual_seed(6)
    network = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.Tanh(), torch.nn.Linear(12, 3)).double()
    given = [dict(zip(("age", "colour", "gain", "hours"), (a, COLUMNS[1].categories[int(c)], g, h), strict=True))
             for a, c, g, h in raw]  # fmt: skip
    table = TableInput(COLUMNS, "onehot", tuple(mean), tuple(std), background_rows=given, dtype=dtype)
    return Model(card("tabular"), network, table), raw


@pytest.mark.parametrize("intervals", [True, False])
def test_numbers_are_the_librarys_on_a_table_in_the_persons_own_units(intervals: bool) -> None:
    model, raw = table_model()
    row = np.array([52.0, 2, 0, 45])
    found = explainers.explain(
        model, {"age": 52, "colour": "blue", "gain": 0, "hours": 45}, "lime", target=1, output="probability", seed=8,
        num_samples=300, discretize_continuous=intervals,
    )  # fmt: skip

    def bare(rows: np.ndarray) -> np.ndarray:
        encoded = np.zeros((len(rows), 6))
        encoded[:, 0], encoded[:, 4], encoded[:, 5] = (
            (rows[:, 0] - 38) / 13, (rows[:, 2] - 900) / 2000, (rows[:, 3] - 40) / 9,
        )  # fmt: skip
        encoded[np.arange(len(rows)), 1 + rows[:, 1].astype(int)] = 1
        with torch.no_grad():
            return model.network(torch.tensor(encoded)).softmax(-1).numpy()

    theirs = lime.lime_tabular.LimeTabularExplainer(
        raw, categorical_features=[1], discretize_continuous=intervals, random_state=8
    ).explain_instance(row, bare, labels=(1,), num_features=10, num_samples=300)
    compare(found.values, coefficients(theirs.local_exp[1], 4))
    assert float(found.extras["r2"]) == pytest.approx(theirs.score, abs=1e-5)
    assert found.players.names == ("age", "colour", "gain", "hours")


def test_an_interval_of_one_value_gives_that_value() -> None:
    """lime itself gives 0 there, here 7, and so a value that the column never had."""
    torch.manual_seed(0)
    network = torch.nn.Linear(2, 3)
    rows = np.column_stack([np.linspace(-1, 1, 50), np.full(50, 7)]).astype(np.float32)
    seen = []

    def watched(x: torch.Tensor) -> torch.Tensor:
        seen.append(x)
        return network(x)

    model = Model(card("tabular"), watched, TableInput((Column("a"), Column("b")), "raw", background_rows=rows))
    explainers.explain(model, rows[10], "lime", num_samples=50)
    assert {float(one) for x in seen for one in x[:, 1]} == {7.0}


def test_a_straight_model_is_followed_and_its_slopes_are_found() -> None:
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 3).double()
    rows = np.random.default_rng(1).normal(size=(200, 4)) * [1, 2, 3, 4]
    table = TableInput(tuple(Column(f"f{i}") for i in range(4)), "raw", background_rows=rows, dtype="float64")
    model = Model(card("tabular"), network, table)
    found = explainers.explain(model, rows[0], "lime", target=1, discretize_continuous=False, num_samples=5000)
    slopes = network.weight.detach().numpy()[1] * rows.std(0)
    np.testing.assert_allclose(found.values, slopes, rtol=0.02, atol=0.01)
    assert float(found.extras["r2"]) > 0.99
    assert "explains" in found.notes[0]
    assert "below half" not in found.notes[0]


def test_the_standard_error_is_the_spread_over_seeds() -> None:
    model, _ = table_model()
    row = {"age": 52, "colour": "blue", "gain": 0, "hours": 45}
    runs = [explainers.explain(model, row, "lime", target=1, seed=seed, num_samples=300) for seed in range(40)]
    spread = np.std([one.values for one in runs], axis=0, ddof=1)
    said = np.sqrt(np.mean([one.std_error**2 for one in runs], axis=0))
    assert (np.abs(np.log(said / spread)) < 0.4).all()


def test_a_table_without_background_is_a_sentence() -> None:
    network = torch.nn.Linear(2, 3)
    model = Model(card("tabular"), network, TableInput((Column("a"), Column("b")), "raw"))
    with pytest.raises(UserError, match="background rows"):
        explainers.explain(model, np.zeros(2, np.float32), "lime")


def test_the_same_seed_gives_the_same_bytes(picture) -> None:
    model = picture_model()
    first = explainers.explain(model, picture, "lime", seed=1, num_samples=60)
    again = {"batches": first.provenance.batches, "num_samples": 60}
    runs = [first, *(explainers.explain(model, picture, "lime", seed=seed, **again) for seed in (1, 2))]
    assert runs[0].values.tobytes() == runs[1].values.tobytes()
    assert (runs[0].values != runs[2].values).any()
