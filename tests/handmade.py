"""Explanations built by hand: real photographs, texts and rows, values made up; neither model nor torch."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import numpy as np
from PIL import Image

from explainers.types import Check, Cost, Explanation, Provenance, Verdict
from model_zoo.modalities.image import ImageView
from model_zoo.modalities.tabular import Cell, TableView
from model_zoo.modalities.text import TextView
from model_zoo.types import ModelCard, Players, Prediction, Reference, Sample, Target

CHECKS = (
    Check(
        "adds_up",
        "Adds up",
        Verdict.GOOD,
        "The values account for 99.4 % of the change (0.12 → 0.87).",
        0.006,
        "relative error",
    ),
    Check(
        "settled", "Settled", Verdict.DOUBTFUL, "Doubling the work moved the values by 3.1 %.", 0.031, "relative change"
    ),
)
UNSETTLED = (
    CHECKS[0],
    Check("settled", "Settled", Verdict.BAD, "**Did not converge.** Doubling the work moved the values by 31 %.", 0.31),
)
REVIEW = (
    "The camera work is beautiful, but an unwatchable plot & a terrible script make this <b>two hours</b> of pure"
    " waste. I wanted to like it; the cast is lovely. Still, a terrible film."
)


def _explanation(
    card: ModelCard, sample: Sample, target: Target, players: Players, values: object, **more: object
) -> Explanation:
    plain = Explanation(
        method="integrated_gradients",
        title="Integrated gradients",
        flavour="Clenshaw–Curtis, 33 points",
        card=card,
        sample=sample,
        target=target,
        players=players,
        reference=Reference("zero", sample.x[None] * 0, "the training mean colour"),
        values=np.asarray(values, dtype=np.float64),
        unit=target.unit,
        prediction=Prediction(np.array([1.2, -1.2]), np.array([0.91, 0.09]), card.labels),
        explained=1.9,
        base_value=None,
        std_error=None,
        extras={},
        notes=(),
        evidence=CHECKS,
        cost=Cost(66, 33, 3.21),
        provenance=Provenance(
            model_digest=f"sha256:{'a1' * 32}",
            sample_digest=f"sha256:{'b2' * 32}",
            parameters={"steps": 32, "rule": "clenshaw_curtis"},
            seed=7,
            device="cpu",
            batches=(1, 2, 4, 8, 18),
            threads=2,
            versions={"assay": "0.1.0", "torch": "2.13.0", "captum": "0.9.0"},
            when="2026-03-01T10:20:30+00:00",
        ),
    )
    return replace(plain, **more)  # type: ignore[arg-type]


def photograph(width: int = 640, height: int = 420) -> bytes:
    """A picture with a bright disc at the lower left, as JPEG."""
    rows, columns = np.mgrid[:height, :width]
    ramp = np.stack([columns * 160 / width, rows * 160 / height, np.full((height, width), 90.0)], -1)
    ramp[(columns - width * 0.25) ** 2 + (rows - height * 0.72) ** 2 < (height * 0.18) ** 2] = (240, 225, 190)
    held = io.BytesIO()
    Image.fromarray(ramp.astype(np.uint8)).save(held, "JPEG", quality=88)
    return held.getvalue()


def image(kind: str = "pixels", side: int = 56, photo: bytes | None = None, **more: object) -> Explanation:
    """Espresso on a photo whose middle square the model saw; credit around the disc, some against at the right."""
    photo = photo or photograph()
    width, height = Image.open(io.BytesIO(photo)).size
    left, middle = (width - height) / 2, 0.5
    view = ImageView(photo, width, height, (left, 0.0, left + height, float(height)), (side, side))
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side
    field = np.exp(-((columns - 0.15) ** 2 + (rows - 0.75) ** 2) / 0.02) - 0.6 * np.exp(
        -((columns - 0.9) ** 2 + (rows - 0.4) ** 2) / 0.02
    )
    field += np.random.default_rng(0).normal(0, 0.04, (side, side)) + 0 * middle
    if kind == "pixels":
        players, values = (
            Players(kind, np.arange(side * side).reshape(side, side), side * side),
            field.reshape(-1) * 0.01,
        )
    else:
        tiles = 8
        owner = (rows * tiles).astype(int) * tiles + (columns * tiles).astype(int)
        names = tuple(f"tile {place}" for place in range(tiles * tiles))
        players = Players(kind, owner, tiles * tiles, names)
        values = np.bincount(owner.reshape(-1), field.reshape(-1)) * 0.01
    card = ModelCard(
        "net", "EfficientNet-Lite0", "image", "classification", "logit", ("espresso", "coffee mug", "soup bowl")
    )
    raw = np.array([5.0, 3.2, 2.9])
    shares = np.exp(raw) / np.exp(raw).sum()
    sample = Sample(
        "image",
        "coffee.jpg",
        np.ones((3, side, side), np.float32),
        view,
        ("Cropped to the middle square.",),
        "sha256:c3",
    )
    return _explanation(
        card,
        sample,
        Target(0, "espresso", "logit"),
        players,
        values,
        **({"prediction": Prediction(raw, shares, card.labels)} | more),
    )


def _spans(text: str) -> tuple[tuple[int, int], ...]:
    spans, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        spans.append((at, at + len(word)))
        at += len(word)
    return tuple(spans)


def text(kind: str = "words", written: str = REVIEW, kept: int | None = None, **more: object) -> Explanation:
    """A review called negative; "unwatchable" is two tokens, [CLS] and [SEP] belong to nobody."""
    words = _spans(written)
    kept = len(words) if kept is None else kept
    tokens, spans, word_of = ["[CLS]"], [(0, 0)], [-1]
    for place, (start, stop) in enumerate(words[:kept]):
        cut = [start, start + 2, stop] if written[start:stop] == "unwatchable" else [start, stop]
        for a, b in itertools.pairwise(cut):
            tokens.append(("" if a == start else "##") + written[a:b])
            spans.append((a, b))
            word_of.append(place)
    tokens, spans, word_of = [*tokens, "[SEP]"], [*spans, (0, 0)], [*word_of, -1]
    known = {
        "terrible": 0.62,
        "waste.": 0.41,
        "beautiful,": -0.33,
        "un": 0.2,
        "watchable": 0.15,
        "lovely.": -0.18,
        "but": 0.05,
    }
    score = [known.get(token.removeprefix("##"), 0.004) for token in tokens]
    owner = np.array([place - 1 if 0 < place < len(tokens) - 1 else -1 for place in range(len(tokens))])
    if kind == "words":
        owner = np.array(word_of)
        values = np.bincount(owner[1:-1], score[1:-1], minlength=kept)
        names = tuple(written[slice(*span)] for span in words[:kept])
    else:
        values, names = np.array(score[1:-1]), tuple(tokens[1:-1])
    view = TextView(written, words, kept, tuple(tokens), tuple(spans), tuple(word_of))
    sample = Sample("text", "typed text", np.arange(len(tokens)), view, (), "sha256:d4")
    card = ModelCard("mini", "MiniLM sentiment", "text", "binary", "logit", ("negative", "positive"))
    return _explanation(
        card,
        sample,
        Target(0, "negative", "logit", "log-odds"),
        Players(kind, owner, len(values), names),
        values,
        **({"base_value": 0.3} | more),
    )


def attention(layers: int = 6, heads: int = 12, written: str = REVIEW) -> Explanation:
    """Softmax attention whose heads look before, at, or after the token, or at [SEP]."""
    plain = text("tokens", written)
    length = len(plain.sample.x)
    rng, place = np.random.default_rng(1), np.arange(length)
    score = rng.normal(0, 1, (layers, heads, length, length))
    for layer in range(layers):
        for head in range(heads):
            look = np.clip(place + (head % 5) - 2, 0, length - 1) if head % 4 else np.full(length, length - 1)
            score[layer, head, place, look] += 1 + layer
    weights = np.exp(score) / np.exp(score).sum(-1, keepdims=True)
    values = weights[-1].mean(0)[0][1:-1]
    return replace(
        plain,
        method="attention",
        title="Attention",
        values=values,
        unit="attention weight",
        extras={"attention": weights.astype(np.float32)},
        base_value=None,
        reference=None,
    )


def table(**more: object) -> Explanation:
    """A row of the Adult data: capital gain and education speak for > 50K, age against."""
    cells = (
        Cell("age", "number", 23.0, 23.0, "years"),
        Cell("education", "category", "Masters", "Masters"),
        Cell("capital gain", "number", 15024.0, 15024.0, "US$"),
        Cell("hours per week", "number", None, 40.0, "hours", "imputed"),
        Cell("native country", "category", "Holand-Netherlands", "unknown", "", "never seen in training"),
        Cell("marital status", "category", "Never-married", "Never-married"),
        Cell("occupation", "category", "Exec-managerial", "Exec-managerial"),
    )
    values = [-0.55, 0.7, 2.31, 0.08, 0.0, -0.4, 0.31]
    labels = ("<= 50K", "> 50K")
    card = ModelCard("adult", "Adult income network", "tabular", "binary", "logit", labels)
    sample = Sample("tabular", "row 3", np.zeros(7, np.float32), TableView(cells), (), "sha256:e5")
    plain = {
        "prediction": Prediction(np.array([1.9]), np.array([0.13, 0.87]), labels),
        "base_value": -0.55,
        "std_error": np.array([0.05, 0.08, 0.2, 0.04, 0.0, 0.05, 0.03]),
    }
    players = Players("columns", np.arange(7), 7, tuple(cell.name for cell in cells))
    return _explanation(card, sample, Target(1, "> 50K", "logit", "log-odds"), players, values, **(plain | more))


def regression() -> Explanation:
    """A house's value in US$."""
    plain = table()
    card = replace(
        plain.card,
        id="houses",
        task="regression",
        output="value",
        labels=("median house value",),
        unit="US$",
        title="Houses",
    )
    target = Target(0, "median house value", "value")
    found = Prediction(np.array([231_400.0]), None, card.labels)
    return replace(plain, card=card, target=target, prediction=found, unit="US$", explained=1.9, std_error=None)


def curved(ways: tuple[str, ...] = ("the training mean colour", "the picture <blurred>"), **more: object) -> Check:
    """Beats chance, with curves of the map below those of its copies when parts go, and above when they come."""
    share = np.linspace(0, 1, 6)
    fall = np.array([(1 - share) ** 3 for _ in ways]) + 0.1 * np.arange(len(ways))[:, None] * share
    drawn = {"share": share, "deletion": fall, "insertion": 1 - (1 - share) ** 3 + 0 * fall}
    drawn |= {f"{name}_low": np.tile(1 - share, (len(ways), 1)) - 0.1 for name in ("deletion", "insertion")}
    drawn |= {f"{name}_high": np.tile(1 - share, (len(ways), 1)) + 0.1 for name in ("deletion", "insertion")}
    drawn["ways"] = np.frombuffer("\n".join(ways).encode(), np.uint8)
    says = "Taking away what this map ranks first moves the prediction more: 0 of 39 did as well (p = 0.025)."
    plain = Check("beats_chance", "Beats chance", Verdict.GOOD, says, 0.025, "p", 1280, drawn)
    return replace(plain, **more)  # type: ignore[arg-type]


def tested(plain: Explanation) -> Explanation:
    """The same explanation after all six tests: one could not be made, and one came out badly."""
    more = (
        curved(),
        Check("reads_the_model", "Reads the model", Verdict.UNTESTABLE, "The network has no weights of its own."),
        Check("repeats", "Repeats", Verdict.BAD, "**The order is not stable.** Only in 1 of 5 runs.", 1.0),
        Check("second_opinion", "Second opinion", Verdict.DOUBTFUL, "Leaving out names 2 of the 5 strongest.", 0.4),
    )
    return replace(plain, evidence=(*CHECKS, *more))
