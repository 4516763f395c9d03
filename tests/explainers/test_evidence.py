"""Verdicts for findings whose quality is known."""

from __future__ import annotations

import numpy as np
import pytest

from explainers import registry
from explainers.evidence import adds_up, settled
from explainers.types import Attribution, Found, Settled, Verdict
from model_zoo.types import Target


def found(values: list[float], explained: float, start: float, method: str = "integrated_gradients", how=None) -> Found:
    attribution = Attribution(np.array(values), settled=how)
    return Found(registry.method(method), attribution, Target(0, "a", "logit"), explained, start)


@pytest.mark.parametrize(
    ("total", "verdict"), [(1.0, Verdict.GOOD), (1.02, Verdict.DOUBTFUL), (1.5, Verdict.BAD), (-1.0, Verdict.BAD)]
)
def test_adds_up(total: float, verdict: Verdict) -> None:
    check = adds_up.judge(found([total / 2, total / 2], 1.5, 0.5))
    assert check.verdict is verdict
    assert check.value == pytest.approx(abs(total - 1) / abs(total))
    assert ("Does not add up" in check.sentence) == (verdict is Verdict.BAD)


def test_adds_up_gives_no_credit_for_a_forced_sum_but_sees_a_broken_one() -> None:
    assert adds_up.judge(found([0.4, 0.6], 1.5, 0.5, "kernel_shap")).verdict is Verdict.BY_CONSTRUCTION
    assert adds_up.judge(found([0.4, 0.1], 1.5, 0.5, "kernel_shap")).verdict is Verdict.BAD


def test_adds_up_cannot_test_a_prediction_that_did_not_change() -> None:
    assert adds_up.judge(found([0.0, 0.0], 0.5, 0.5)).verdict is Verdict.UNTESTABLE


def test_adds_up_judges_values_that_cancel_by_their_size() -> None:
    check = adds_up.judge(found([1.0, -1.0], 0.5, 0.5))
    assert check.verdict is Verdict.GOOD
    assert "sum to 0" in check.sentence


def test_adds_up_does_not_apply_to_saliency() -> None:
    assert adds_up.judge(found([1.0], 1, 0, "saliency")).verdict is Verdict.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("how", "verdict"),
    [
        (None, Verdict.NOT_APPLICABLE),
        (Settled("exact"), Verdict.EXACT),
        (Settled("nested", 0.01), Verdict.GOOD),
        (Settled("nested", 0.03), Verdict.DOUBTFUL),
        (Settled("nested", 0.31), Verdict.BAD),
        (Settled("delta", 0.31), Verdict.BAD),
        (Settled("standard_error", 0.2), Verdict.BAD),
    ],
)
def test_settled(how: Settled | None, verdict: Verdict) -> None:
    check = settled.judge(found([1.0], 1, 0, how=how))
    assert check.verdict is verdict
    if verdict is Verdict.BAD:
        assert "31 %" in check.sentence or "20 %" in check.sentence
