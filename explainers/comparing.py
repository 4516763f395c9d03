"""Several explanations of one input beside one another: how far they agree, on what, and on what they do not.

Compared are values on common players (common.py): pixels as the sums over a grid's cells or over another method's
segments, tokens as words. With v_i the values of explanation i, m_i = v_i / ‖v_i‖₁ and s the sign of their sum,
    rank correlation    Spearman's, ties sharing their mean rank, -1 to 1;
    overlap             (share of the k strongest that both name, with the same sign, - k/d) / (1 - k/d), 0 by chance;
    consensus           s · the mean of |m_i|, those of the other sign counted as 0;
    disagreement        the standard deviation of the m_i;
    moved               ½ ‖m_i - m_j‖₁: the share of the credit that another baseline gives to other parts, 0 to 1.
What an explanation cannot say does not count against it: a map without a sign is held against what speaks for the
target, and one that tells only how much a part matters (slopes, attention) against magnitudes. Methods may share an
error: agreement is no proof.
References: Spearman (1904); Krishna and others (2022), arXiv:2202.01602.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from explainers.common import common
from explainers.credits import blind, intensities, method_of, signed, slopes
from explainers.engine.likeness import above_chance, rank_correlation, shared
from explainers.types import Explanation
from model_zoo.types import Players, UserError

SHARE = "share of each one's credit"  # unit of consensus and disagreement
Kind = Literal["signed", "positive", "slope", "size"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What compare() found; the order is that of the explanations."""

    explanations: tuple[Explanation, ...]
    names: tuple[str, ...]  # what tells them apart
    kinds: tuple[Kind, ...]  # what the values of each claim
    players: Players  # the common ones
    maps: np.ndarray  # (explanations, players), each in its own unit
    matrix: np.ndarray  # (explanations, explanations) rank correlations; not a number where one is constant
    overlap: np.ndarray  # (explanations, explanations) of the k strongest, above chance
    k: int
    consensus: np.ndarray  # (players,)
    disagreement: np.ndarray  # (players,), at least 0

    @property
    def sentence(self) -> str:
        """What a person would say: 'Three of four methods name …; LIME names … instead.'"""
        return " ".join(self.sentences)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Who names the same part, how alike their orders are, and about what they differ most."""
        from explainers.comparing_words import sentences

        return sentences(self)

    def figure(self) -> Any:
        """The matrices of agreement as a plotly figure."""
        from explainers.figures import agreement

        return agreement.figure(self)

    def shown(self, which: Literal["consensus", "disagreement"]) -> Explanation:
        """The consensus or the disagreement as if a method had found it, to be drawn like the others."""
        lead = next((one for one in self.explanations if signed(one) and not intensities(one)), None)
        has_sign = which == "consensus" and lead is not None
        return replace(
            self.explanations[0],
            method=lead.method if lead is not None and has_sign else "",
            title=which.capitalize(),
            flavour="",
            players=self.players,
            reference=None,
            values=self.consensus if which == "consensus" else self.disagreement,
            unit=SHARE,
            base_value=None,
            std_error=None,
            extras={},
            notes=(),
            evidence=(),
        )


def compare(explanations: Iterable[Explanation]) -> Comparison:
    """Bring explanations of one input to common players and say how far they agree; UserError for fewer than two."""
    found = tuple(explanations)
    if len(found) < 2:
        raise UserError(f"Two explanations or more are compared; {len(found)} came. Run another method on this input.")
    players, maps = common(found)
    kinds = tuple(kind(one) for one in found)
    k = strongest(players.count)
    matrix, overlap = np.empty((2, len(found), len(found)))
    for i in range(len(found)):
        for j in range(i, len(found)):
            one, other, with_sign = paired(maps[i], maps[j], kinds[i], kinds[j])
            matrix[i, j] = matrix[j, i] = rank_correlation(one, other)
            overlap[i, j] = overlap[j, i] = _overlap(one, other, k, with_sign)
    consensus, disagreement = together(maps, kinds)
    return Comparison(found, told_apart(found), kinds, players, maps, matrix, overlap, k, consensus, disagreement)


def strongest(count: int) -> int:
    """How many parts are called the strongest: five, of many a tenth, of few a third."""
    return max(1, min(count // 3, max(5, count // 10)))


def kind(explanation: Explanation) -> Kind:
    """What its values claim: for and against, for alone, a slope, or how much a part matters either way."""
    method = method_of(explanation)
    if blind(explanation):
        return "size"
    if slopes(explanation) or (method is not None and method.reading == "matters"):
        return "slope" if signed(explanation) else "size"
    return "signed" if signed(explanation) else "positive"


def paired(one: np.ndarray, other: np.ndarray, first: Kind, second: Kind) -> tuple[np.ndarray, np.ndarray, bool]:
    """Both maps reduced to what both can claim, and whether their signs are compared."""
    if first == second and first != "size":
        return one, other, first != "positive"
    if {first, second} == {"signed", "positive"}:
        return np.maximum(one, 0.0), np.maximum(other, 0.0), False
    return np.abs(one), np.abs(other), False


def moved(one: np.ndarray, other: np.ndarray) -> float:
    """The share of the credit that goes to other parts; not a number where there is none."""
    first, second = shares(np.stack([one, other]))
    return float(np.abs(first - second).sum() / 2) if first.any() and second.any() else float("nan")


def shares(maps: np.ndarray) -> np.ndarray:
    """Each map divided by its own L1 norm; one without any value stays 0."""
    size = np.abs(maps).sum(-1, keepdims=True)
    return maps / np.where(size > 0, size, 1.0)


def together(maps: np.ndarray, kinds: tuple[Kind, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Consensus and disagreement (players,); 0 where fewer than two can say anything."""
    found = shares(maps)
    alone = set(kinds) <= {"slope"}
    votes = np.array([alone or one in ("signed", "positive") for one in kinds])
    sign = np.sign(_clean(found[votes].sum(0))) if votes.any() else np.ones(found.shape[1])
    silent = np.array([one == "positive" for one in kinds])[:, None] & (sign < 0)
    found = np.where(votes[:, None], found, sign * np.abs(found))
    voices = (~silent).sum(0)
    heard = np.where(silent, np.nan, found)
    agree = np.where(silent | (np.sign(found) != sign), 0.0, found)
    enough = voices >= 2
    consensus = np.where(enough, agree.sum(0) / np.maximum(voices, 1), 0.0)
    heard[:, ~enough] = 0.0
    return consensus, np.nanstd(heard, axis=0)


def told_apart(found: tuple[Explanation, ...]) -> tuple[str, ...]:
    """The shortest names that differ: the method's title, then what is explained, the baseline, the model, a number."""
    names = [one.title for one in found]
    for said in (
        [one.target.label for one in found],
        [one.reference.sentence if one.reference is not None else "" for one in found],
        [one.card.title for one in found],
    ):
        if len(set(names)) < len(names) and len(set(said)) > 1:
            names = [", ".join(filter(None, both)) for both in zip(names, said, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    return tuple(names)


def _overlap(one: np.ndarray, other: np.ndarray, k: int, with_sign: bool) -> float:
    """Of the k strongest, or as many as both have; not a number where one has none."""
    count = min(k, *(int(np.count_nonzero(_clean(values))) for values in (one, other)))
    if not count:
        return float("nan")
    return above_chance(shared(one, other, count, with_sign), count / len(one))


def _clean(values: np.ndarray) -> np.ndarray:
    """Values without the noise of floating point, so that what cancels is 0."""
    size = float(np.abs(values).max(initial=0.0))
    return np.where(np.abs(values) <= 1e-9 * size, 0.0, values)
