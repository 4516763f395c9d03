"""Partition SHAP: Owen values, Shapley values over a tree of groups, for pictures and texts.

The input is split in two, each part in two again, and so on. A part's credit is shared between its halves as between
two players, averaged over the rest of the tree being present or absent. Parts that matter most are split first; when
the evaluations run out, what is left of a part is spread evenly over it. Values are in units of the output and add up
to f(x) - f(reference). A picture is halved along its longer side, down to single colour values, which are summed for
each pixel; a text is joined word by word along its punctuation. The tree, the order and the values are those of shap.
Settled: the library is run again with half the evaluations, answered from those already made.
Reference: Owen (1977); Lundberg and Lee (2017), arXiv:1705.07874.
Numbers: shap PartitionExplainer, same seed, masker, max_evals and batch_size, to 1e-5 of their range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explainers.engine.credit import credit
from explainers.engine.libraries import quiet, seeded
from explainers.engine.pieces import spans
from explainers.types import Attribution, Method, Settled, knob
from model_zoo.types import Players, Reference, Sample, Target

if TYPE_CHECKING:
    from explainers.engine.run import Run
    from model_zoo.model import Model

SHOWN = 40  # words of which the groups are told
Worth = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Params:
    """How finely the tree is followed."""

    max_evals: int = knob(
        500, low=10, high=50_000, label="Evaluations", help="Splits are refined until this many evaluations are made."
    )
    blur: int = knob(
        0,
        low=0,
        high=512,
        help="For images: hide by shap's blur of so many pixels, not the baseline; 0 is off.",
    )
    batch_size: int = knob(
        50, low=2, high=1000, help="Evaluations between two choices of what to split next.", advanced=True
    )


def explain(
    model: Model, sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> Attribution:
    """Attribute the target to each player; values (players,) in the target's unit."""
    if players.count == 1:  # the library needs something to split
        nobody, everybody = run.evaluator.masked(sample, players, np.array([[False], [True]]), reference, target)
        return Attribution(np.array([everybody - nobody]), base_value=float(nobody), settled=Settled("exact"))
    run.expect(params.max_evals)
    game = _picture if sample.modality == "image" else _text
    masker, x, worth, share = game(sample, target, players, reference, params, run)
    heard: list[np.ndarray] = []

    def recorded(inputs: np.ndarray) -> np.ndarray:
        heard.append(worth(inputs))
        return heard[-1]

    values, base, finished = _solve(recorded, masker, x, params.max_evals, params, run.seed)
    found = share(values)
    if finished:
        settled = Settled("exact")
    else:
        # With half the evaluations the library asks the same questions in the same order, and stops earlier.
        answers = iter(heard)
        replayed = _solve(
            lambda inputs: next(answers)[: len(inputs)], masker, x, params.max_evals // 2, params, run.seed
        )
        half = share(replayed[0])
        settled = Settled("nested", float(np.abs(found - half).sum() / (np.abs(found).sum() or 1.0)))
    return Attribution(
        found,
        base_value=base,
        settled=settled,
        absence=_blurred(params.blur) if params.blur and sample.modality == "image" else "",
        flavour=f"grouped (Owen values), {sum(map(len, heard)):,} evaluations",
        notes=(_grouped(sample, players),),
    )


def _solve(
    worth: Worth, masker: Any, x: Any, evaluations: int, params: Params, seed: int
) -> tuple[np.ndarray, float, bool]:
    """The library's values, its base, and whether the tree was followed to its leaves."""
    from shap import PartitionExplainer

    with seeded(seed), quiet():
        explainer = PartitionExplainer(worth, masker)
        found = explainer(x, max_evals=evaluations, batch_size=params.batch_size, silent=True)
    return found.values[0], float(found.base_values[0]), explainer.last_eval_count < evaluations - 2


def _picture(
    sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Any, np.ndarray, Worth, Callable[[np.ndarray], np.ndarray]]:
    """The library's image masker over what the network takes, with the colours last as it expects."""
    from shap.maskers import Image

    x = np.ascontiguousarray(np.moveaxis(sample.x, 0, -1))
    hidden = np.ascontiguousarray(np.moveaxis(reference.rows[0], 0, -1))
    masker = Image(f"blur({params.blur},{params.blur})", x.shape) if params.blur else Image(hidden)

    def worth(pictures: np.ndarray) -> np.ndarray:
        return run.evaluator.values(np.ascontiguousarray(np.moveaxis(pictures, -1, 1)), target)

    return masker, x[None], worth, lambda values: credit(np.moveaxis(values, -1, 0), players, sample.x.ndim)


def _text(
    sample: Sample, target: Target, players: Players, reference: Reference, params: Params, run: Run
) -> tuple[Any, Any, Worth, Callable[[np.ndarray], np.ndarray]]:
    """Coalitions of words as the input, joined to the tree that the library's text masker makes of them."""
    tree = clustering(sample.view.text, spans(sample, players))

    class Coalitions:
        """A masker whose masked input is the mask itself; the evaluator turns it into token ids."""

        shape = (1, players.count)
        clustering = tree
        immutable_outputs = True

        def __call__(self, mask: np.ndarray, x: np.ndarray) -> tuple[np.ndarray]:
            return (mask.astype(bool)[None],)

    def worth(coalitions: np.ndarray) -> np.ndarray:
        return run.evaluator.masked(sample, players, coalitions, reference, target)

    return Coalitions(), np.ones((1, players.count), dtype=bool), worth, lambda values: values


def clustering(text: str, where: list[tuple[int, int]]) -> np.ndarray:
    """The tree (players - 1, 4) that shap's text masker makes of pieces of text at these places."""
    from shap.maskers import Text

    def pieces(string: str, **_: Any) -> dict[str, list[Any]]:
        places = where if string == text else []  # the library also asks for "" and its mask token
        return {"input_ids": list(range(len(places))), "offset_mapping": places}

    return Text(pieces, mask_token=0).clustering(text)


def _grouped(sample: Sample, players: Players) -> str:
    """The tree in words: another tree would share the credit otherwise."""
    if sample.modality == "image":
        return "The picture was halved again and again along its longer side; other groups would share otherwise."
    if players.count > SHOWN:
        return "Neighbouring words were joined along the punctuation; other groups would share the credit otherwise."
    where = spans(sample, players)
    groups = [" ".join(sample.view.text[slice(*one)].split()) for one in where]
    for left, right, *_ in clustering(sample.view.text, where):
        groups.append(f"[{groups[int(left)]} {groups[int(right)]}]")
    return f"Grouped as {groups[-1]}; other groups would share the credit otherwise."


def _blurred(width: int) -> str:
    return f"hidden parts blurred over {width} × {width} pixels"


METHOD = Method(
    id="partition_shap",
    title="Partition SHAP",
    family="shapley",
    summary="Hides ever smaller groups of neighbours, and shares the prediction among groups, then among their parts.",
    source="Owen (1977); Lundberg and Lee (2017), arXiv:1705.07874",
    library="shap",
    aliases=("partition", "owen"),
    explain=explain,
    modalities=("image", "text"),
    params=Params,
    players={"text": "words"},
    absence="baseline",
    completeness="by_construction",
    effort="max_evals",
    evaluations=lambda params, players, rows: params.max_evals,
)
