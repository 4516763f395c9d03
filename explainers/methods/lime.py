"""LIME: a straight line fitted to the model near this input.

Samples z hide parts of the input, or move the columns of a table; f(z) is asked, and a ridge regression
    min over w, c of sum over z of k(z) · (f(z) - w·z - c)² + |w|²,   k falling with the distance of z from x,
gives each player its coefficient, in units of f: how much the output changes when the player is present (image, text, a
category, an interval of a number) or rises by one standard deviation (a number that is not cut into intervals). The
coefficients do not add up to anything; R² says how far the line follows the model at all.
An image is hidden segment by segment, in the model's own numbers, by the segment's mean or the baseline. A text loses
words in place (bow=False in the library: the same word may count twice). A series or a sound loses its players (spans
of time, channels) to the baseline, drawn and weighed as the segments of an image are. Samples, distances and
coefficients are those of the lime library; every player gets a coefficient. Standard errors are the regression's own,
robust to its weights and to what the line misses (White, 1980): the spread of the coefficients over other samples.
Reference: Ribeiro, Singh and Guestrin (2016), arXiv:1602.04938.
Numbers: lime LimeImageExplainer, LimeTextExplainer and LimeTabularExplainer, same random_state, num_samples and
segments, words or training rows, to 1e-5 of their range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.engine.codes import Codes
from explainers.engine.libraries import largest_error, quiet
from explainers.engine.pieces import spans
from explainers.engine.surrogate import Surrogate, follows
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Players, Reference, Sample, Target, UserError

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

MOST = 2000  # players
USUAL = "usual"


@dataclass(frozen=True)
class Params:
    """The neighbourhood and what hides a part."""

    num_samples: int = knob(
        0,
        low=0,
        high=100_000,
        label="Samples",
        help="Altered copies that the line is fitted to; 0 takes 1,000 for images and texts and 5,000 for tables.",
    )
    segments: int = knob(70, low=5, high=300, help="For images: about how many segments the picture is divided into.")
    spans: int = knob(20, low=2, high=300, help="For series and sounds: how many spans of time there are.")
    hide: str = knob(
        USUAL,
        choices=(USUAL, "baseline"),
        label="Hidden parts",
        help="usual: a hidden segment takes its own mean colour, a hidden word goes; or both take the baseline.",
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
            " Choose coarser players, such as segments, words or spans."
        )
    count = params.num_samples or _samples(sample.modality == "tabular")
    params = replace(params, num_samples=count)
    run.expect(count)
    fit = {"image": _image, "text": _text, "tabular": _table}.get(sample.modality, _parts)
    with quiet():
        surrogate, absence, notes = fit(model, sample, target, players, reference, params, run)
    values, error = surrogate.coefficients, surrogate.std_error()
    return Attribution(
        values,
        std_error=error,
        settled=Settled("standard_error", largest_error(error, values)),
        extras={"r2": np.array(surrogate.r2), "intercept": np.array(surrogate.intercept)},
        notes=(follows(surrogate.r2), *notes),
        flavour=f"{count:,} samples, R² {surrogate.r2:.2f}",
        absence=absence,
        used={"num_samples": count},
    )


def _image(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Surrogate, str, tuple[str, ...]]:
    picture = np.ascontiguousarray(np.moveaxis(sample.x, 0, -1))
    mean = params.hide == USUAL
    hide = None if mean else np.moveaxis(reference.rows[0], 0, -1)
    if mean and picture.shape[-1] != 3:  # the library takes means of three channels only
        hide = _means(picture, players)

    def worth(present: np.ndarray, fudged: np.ndarray) -> np.ndarray:
        hidden = Reference("given", np.moveaxis(fudged, -1, 0)[None], "")
        return run.evaluator.masked(sample, players, present, hidden, target)

    surrogate = _coalitions(picture, hide, players.owner, players.count, worth, params, run)
    return surrogate, "each hidden segment in its own mean colour" if mean else reference.sentence, ()


def _parts(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Surrogate, str, tuple[str, ...]]:
    """Players of any kind as the segments of a picture that is never looked at."""

    def worth(present: np.ndarray, fudged: np.ndarray) -> np.ndarray:
        return run.evaluator.masked(sample, players, present, reference, target)

    blank = np.zeros((1, players.count, 3))
    places = np.arange(players.count)[None]
    return _coalitions(blank, blank, places, players.count, worth, params, run), reference.sentence, ()


def _coalitions(
    picture: np.ndarray,
    hide: np.ndarray | None,
    owner: np.ndarray,
    features: int,
    worth: Callable[[np.ndarray, np.ndarray], np.ndarray],
    params: Params,
    run: Run,
) -> Surrogate:
    """The library's fit to worth(present (n, features), the hidden picture)."""
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
            data = self.random_state.randint(0, 2, count * features).reshape((count, features))
            data[0, :] = 1
            return data, worth(data == 1, fudged)[:, None]

    explainer = Coalitions(random_state=run.seed)
    explainer.base = surrogate = Surrogate(explainer.base)
    explainer.explain_instance(
        picture,
        None,
        labels=(0,),
        top_labels=None,
        hide_color=hide,
        num_features=features,
        num_samples=params.num_samples,
        segmentation_fn=lambda image: owner,
    )
    return surrogate


def _means(picture: np.ndarray, players: Players) -> np.ndarray:
    flat, owner = picture.reshape(-1, picture.shape[-1]), players.owner.reshape(-1)
    size = np.bincount(owner, minlength=players.count)
    means = [np.bincount(owner, channel, players.count) / size for channel in flat.T]
    return np.stack(means, -1)[players.owner].astype(picture.dtype)


def _text(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Surrogate, str, tuple[str, ...]]:
    from lime.lime_text import LimeTextExplainer

    # The library draws which words to hide and never looks at them, so it is given their numbers instead.
    numbers = " ".join(map(str, range(players.count)))
    worth, absence = _hidden_words(model, sample, target, players, reference, params, run)

    def ask(texts: list[str]) -> np.ndarray:
        present = np.zeros((len(texts), players.count), dtype=bool)
        for row, text in zip(present, texts, strict=True):
            row[np.array(text.split(), dtype=int)] = True
        return worth(present)[:, None]

    explainer = LimeTextExplainer(split_expression=r"\s+", bow=False, mask_string="", random_state=run.seed)
    explainer.base = surrogate = Surrogate(explainer.base)
    explainer.explain_instance(numbers, ask, labels=(0,), num_features=players.count, num_samples=params.num_samples)
    return surrogate, absence, ()


def _hidden_words(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """What coalitions (n, players) are worth (n,), and how hidden words are hidden."""

    def replaced(present: np.ndarray) -> np.ndarray:
        return run.evaluator.masked(sample, players, present, reference, target)

    where = spans(sample, players) if params.hide == USUAL else []
    text = sample.view.text[: max((stop for _, stop in where), default=0)]  # what the model did not read is left out
    if not where or not _reads_back(model, text, sample):
        return replaced, reference.sentence

    def shortened(present: np.ndarray) -> np.ndarray:
        unique, back = np.unique(present, axis=0, return_inverse=True)
        texts = [_without(text, [span for span, kept in zip(where, row, strict=True) if not kept]) for row in unique]
        ids = [model.input.batch([one])[0] for one in texts]  # type: ignore[attr-defined]
        lengths = np.array([len(one) for one in ids])
        found = np.empty(len(texts))
        for length in np.unique(lengths):  # alike lengths together: nothing is padded, so nothing can read the padding
            alike = np.flatnonzero(lengths == length)
            found[alike] = run.evaluator.values(np.stack([ids[place] for place in alike]), target)
        return found[back.reshape(-1)]

    return shortened, f"the text without the hidden {players.kind}"


def _reads_back(model: Model, text: str, sample: Sample) -> bool:
    """Whether the model's tokenizer makes x of the text; not so for a sample that was given as token ids."""
    try:
        return np.array_equal(model.input.batch([text])[0], sample.x)  # type: ignore[attr-defined]
    except UserError:
        return False


def _without(text: str, gone: list[tuple[int, int]]) -> str:
    kept, last = [], 0
    for start, stop in gone:
        kept.append(text[last:start])
        last = max(last, stop)
    return "".join([*kept, text[last:]])


def _table(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Surrogate, str, tuple[str, ...]]:
    from lime.discretize import QuartileDiscretizer
    from lime.lime_tabular import LimeTabularExplainer

    if len(reference.rows) < 2:
        raise UserError(
            "LIME on a table learns from background rows how each column varies; this model has none."
            " Give some: background=rows."
        )

    class Quartiles(QuartileDiscretizer):
        """The library's, but an interval of one value gives that value: the library gives 0 there, whatever it is."""

        def get_undiscretize_values(self, feature: int, values: np.ndarray) -> np.ndarray:
            low, high = np.array(self.mins[feature])[values], np.array(self.maxs[feature])[values]
            return np.where(low == high, low, super().get_undiscretize_values(feature, values))

    table = Codes(sample, players, reference)
    rows = table.columns(reference.rows)
    names = [players.name(player) for player in range(players.count)]
    random = np.random.RandomState(run.seed)
    intervals = Quartiles(rows, table.categories, names, random_state=random) if params.discretize_continuous else None
    explainer = LimeTabularExplainer(
        rows,
        mode="regression",
        feature_names=names,
        categorical_features=table.categories,
        discretize_continuous=params.discretize_continuous,
        discretizer=intervals,
        random_state=random,
    )
    explainer.base = surrogate = Surrogate(explainer.base)
    explainer.explain_instance(
        table.columns(sample.x[None])[0],
        lambda columns: run.evaluator.values(table.inputs(columns), target),
        num_features=players.count,
        num_samples=params.num_samples,
    )
    if params.discretize_continuous:
        return surrogate, "", ("A value says what the column's own interval or category does, against other rows'.",)
    return (
        surrogate,
        "",
        ("A number's value is for a rise of one standard deviation; a category's, for being as it is.",),
    )


def _samples(table: bool) -> int:
    return 5000 if table else 1000


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
    effort="num_samples",
    evaluations=lambda params, players, rows: params.num_samples or _samples(rows > 1),  # only tables bring rows
)
