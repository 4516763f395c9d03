"""LIME: a straight line fitted to the model near this input.

Samples z hide parts of the input, or move the columns of a table; f(z) is asked, and a ridge regression
    min over w, c of sum over z of k(z) · (f(z) - w·z - c)² + |w|²,   k falling with the distance of z from x,
gives each player its coefficient, in units of f: how much the output changes when the player is present (image, text, a
category, an interval of a number) or rises by one standard deviation (a number that is not cut into intervals). The
coefficients do not add up to anything; R² says how far the line follows the model at all.
An image is hidden segment by segment, in the model's own numbers, by the segment's mean or the baseline. A text loses
words in place (bow=False in the library: the same word may count twice). Samples, distances and coefficients are those
of the lime library; every player gets a coefficient. Standard errors are the regression's own, robust to its weights
and to what the line misses (White, 1980): the spread of the coefficients over other samples.
Reference: Ribeiro, Singh and Guestrin (2016), arXiv:1602.04938.
Numbers: lime LimeImageExplainer, LimeTextExplainer and LimeTabularExplainer, same random_state, num_samples and
segments, words or training rows, to 1e-5 of their range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.engine.libraries import largest_error, quiet
from explainers.engine.pieces import spans
from explainers.types import Attribution, Method, Settled, knob
from explainers.words import percent
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    import torch

    from explainers.engine.run import Run
    from model_zoo.model import Model

MOST = 2000  # players
HALF = 0.5  # of the variation; a line that explains less is said to be a poor one


@dataclass(frozen=True)
class Params:
    """The neighbourhood and what hides a part."""

    num_samples: int = knob(
        1000, low=20, high=100_000, label="Samples", help="Altered copies of the input that the line is fitted to."
    )
    segments: int = knob(70, low=5, high=300, help="For images: about how many segments the picture is divided into.")
    hide: str = knob(
        "own mean",
        choices=("own mean", "baseline"),
        label="Hidden segments",
        help="For images: a hidden segment takes its own mean colour, as in lime, or the baseline.",
    )
    mask_string: str = knob(
        "",
        label="Hidden words",
        help="For texts: what stands in a hidden word's place; empty takes the word out. lime's own is UNKWORDZ.",
    )
    discretize_continuous: bool = knob(
        True,
        label="Intervals",
        help="For tables: cut numbers into quartiles of the training rows; a value says what its interval does.",
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) are coefficients, in the target's unit."""
    if players.count > MOST:
        raise UserError(
            f"LIME fits at most {MOST:,} players; this input has {players.count:,} {players.kind}."
            " Choose coarser players, such as segments or words."
        )
    run.expect(params.num_samples)
    fit = {"image": _image, "text": _text, "tabular": _table}[sample.modality]
    with quiet():
        surrogate, note = fit(model, sample, target, players, reference, params, run)
    values, error = surrogate.coefficients, surrogate.std_error()
    return Attribution(
        values,
        std_error=error,
        settled=Settled("standard_error", largest_error(error, values)),
        extras={"r2": np.array(surrogate.r2), "intercept": np.array(surrogate.intercept)},
        notes=(_follows(surrogate.r2), note),
        flavour=f"{params.num_samples:,} samples, R² {surrogate.r2:.2f}",
    )


class Surrogate:
    """The library's weighted ridge, in the place of an explainer's `base`: it keeps what went in and what came out."""

    def __init__(self, base: Any) -> None:
        self.base = base

    def explain_instance_with_data(
        self, data: Any, labels: np.ndarray, distances: np.ndarray, label: int, num_features: int, **options: Any
    ) -> Any:
        """Fit, as lime_base.LimeBase does, on every feature."""
        found = self.base.explain_instance_with_data(
            data, labels, distances, label, num_features, **(options | {"feature_selection": "none"})
        )
        self.intercept, pairs, self.r2 = float(found[0]), found[1], float(found[2])
        self.data, self.labels = np.asarray(data, dtype=np.float64), np.asarray(labels, dtype=np.float64)[:, label]
        self.weights = np.asarray(self.base.kernel_fn(distances))
        self.coefficients = np.zeros(self.data.shape[1])
        for feature, value in pairs:
            self.coefficients[feature] = value
        return found

    def std_error(self) -> np.ndarray:
        """(features,): the square root of A⁻¹ (Σ w² e² z zᵀ) A⁻¹ · n / (n - features), A the ridge's normal matrix."""
        w = self.weights
        z = self.data - np.average(self.data, axis=0, weights=w)
        missed = self.labels - self.intercept - self.data @ self.coefficients
        normal = (z * w[:, None]).T @ z + np.eye(z.shape[1])  # the library's ridge has alpha 1
        scores = z * (w * missed)[:, None]
        inverse = np.linalg.inv(normal)
        spare = max(1, len(z) - z.shape[1])
        return np.sqrt(np.maximum(np.diag(inverse @ (scores.T @ scores) @ inverse), 0) * len(z) / spare)


def _image(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Surrogate, str]:
    from lime.lime_image import LimeImageExplainer

    class Coalitions(LimeImageExplainer):
        """Draws as the library does, and asks for all samples at once instead of copying the picture for each."""

        def data_labels(
            self,
            image: np.ndarray,
            fudged: np.ndarray,
            segments: np.ndarray,
            ask: Any,
            count: int,
            batch_size: int = 10,
        ) -> tuple[np.ndarray, np.ndarray]:
            features = players.count
            data = self.random_state.randint(0, 2, count * features).reshape((count, features))
            data[0, :] = 1
            hidden = Reference("given", np.moveaxis(fudged, -1, 0)[None], "")
            return data, run.evaluator.masked(sample, players, data == 1, hidden, target)[:, None]

    picture = np.ascontiguousarray(np.moveaxis(sample.x, 0, -1))
    mean = params.hide == "own mean"
    hide = None if mean else np.moveaxis(reference.rows[0], 0, -1)
    if mean and picture.shape[-1] != 3:  # the library takes means of three channels only
        hide = _means(picture, players)
    explainer = Coalitions(random_state=run.seed)
    explainer.base = surrogate = Surrogate(explainer.base)
    explainer.explain_instance(
        picture,
        None,
        labels=(0,),
        top_labels=None,
        hide_color=hide,
        num_features=players.count,
        num_samples=params.num_samples,
        segmentation_fn=lambda image: players.owner,
    )
    cover = "their own mean colour" if mean else f"the baseline ({reference.sentence})"
    return surrogate, f"Hidden segments took {cover}."


def _means(picture: np.ndarray, players: Players) -> np.ndarray:
    flat, owner = picture.reshape(-1, picture.shape[-1]), players.owner.reshape(-1)
    size = np.bincount(owner, minlength=players.count)
    means = [np.bincount(owner, channel, players.count) / size for channel in flat.T]
    return np.stack(means, -1)[players.owner].astype(picture.dtype)


def _text(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Surrogate, str]:
    from lime.lime_text import LimeTextExplainer

    where = spans(sample, players)
    text = sample.view.text[: max(stop for _, stop in where)]  # what the model did not read is left out
    words = [text[start:stop] for start, stop in where]

    def ask(texts: list[str]) -> np.ndarray:
        unique, back = np.unique(texts, return_inverse=True)
        order = sorted(range(len(unique)), key=lambda place: len(unique[place]))  # alike lengths need little padding
        ranked = [str(unique[place]) for place in order]

        def batch(part: slice) -> torch.Tensor:
            return model.tensor(model.input.batch(ranked[part]))  # type: ignore[attr-defined]

        found = np.empty(len(unique))
        found[order] = run.evaluator.composed(len(ranked), batch, target)
        return found[back][:, None]

    explainer = LimeTextExplainer(
        split_expression=lambda string: words, bow=False, mask_string=params.mask_string, random_state=run.seed
    )
    explainer.base = surrogate = Surrogate(explainer.base)
    explainer.explain_instance(text, ask, labels=(0,), num_features=players.count, num_samples=params.num_samples)
    instead = f"were replaced by {params.mask_string!r}" if params.mask_string else "were taken out of the text"
    return surrogate, f"Hidden {players.kind} {instead}."


def _table(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Surrogate, str]:
    raise NotImplementedError


def _follows(r2: float) -> str:
    says = f"The linear surrogate explains {percent(max(r2, 0.0))} of the model's variation nearby"
    return f"{says}; below half, so treat its values as rough." if r2 < HALF else f"{says}."


METHOD = Method(
    id="lime",
    title="LIME",
    family="surrogate",
    summary="Alters the input many times, watches the prediction, and fits a straight line whose slopes say what"
    " matters nearby.",
    source="Ribeiro, Singh and Guestrin (2016), arXiv:1602.04938",
    library="lime",
    explain=explain,
    params=Params,
    players={"image": "segments", "text": "words", "tabular": "columns"},
    absence="background",
    evaluations=lambda params, players, rows: params.num_samples,
)
