"""A good set: methods of different families that fit the time, best founded first, and a sentence for every one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import handmade
import pytest

from explainers import registry
from explainers.good_set import BEST, FAMILIES, MOST, PART, GoodSet, Pace, counted, good_set
from model_zoo import catalogue

SLOW, QUICK = Pace(0.03, 0.08), Pace(2e-5, 5e-5)


def ids(found: GoodSet) -> list[str]:
    return [one.method.id for one in found.picks]


@pytest.mark.parametrize("card", catalogue.cards(), ids=lambda card: card.id)
@pytest.mark.parametrize("budget", [5.0, 30.0, 120.0])
def test_every_model_gets_different_families_in_its_time(card, budget: float) -> None:
    found = good_set(card, lambda method: counted(card, handmade.image().sample, method), budget, SLOW)
    families = [one.method.family for one in found.picks]
    assert len(set(families)) == len(families) <= MOST
    assert found.seconds <= budget
    assert all(one.seconds <= PART * budget for one in found.picks)
    assert all(one.method.why_not(card) is None for one in found.picks)
    assert {one.method.id for one in (*found.picks, *found.left)} == {one.id for one in registry.methods()}
    said = [one.reason for one in (*found.picks, *found.left)]
    assert all(one.endswith(".") and len(one) > 20 for one in said)


def test_the_best_founded_come_first() -> None:
    assert ids(good_set(catalogue.card("adult_trees"), 12, 30, QUICK)) == ["tree_shap", "occlusion", "lime"]
    card = catalogue.card("efficientnet_lite0")
    picked = ids(good_set(card, 60, 600, SLOW))
    assert picked[:2] == ["integrated_gradients", "hires_cam"]


def test_little_time_takes_quicker_methods_and_less_work() -> None:
    card = catalogue.card("efficientnet_lite0")

    def pixels(method) -> int:
        return 60 if method.players.get("image") == "segments" else 224 * 224

    short = good_set(card, pixels, 30, SLOW).picks[0]
    assert short.method.id == "integrated_gradients"
    assert short.parameters == {"most": 256}
    assert "most = 256 so that it fits" in short.reason
    assert short.seconds == pytest.approx(short.evaluations * SLOW.backward)
    assert ids(good_set(card, pixels, 5, SLOW))[0] != "integrated_gradients"
    nothing = good_set(card, pixels, 0.01, SLOW)
    assert nothing.picks == ()
    assert "give it more time" in nothing.sentence


def test_what_was_measured_counts() -> None:
    """1 s an evaluation as it ran before: 13 of them do not fit in ten seconds."""
    card = catalogue.card("adult_trees")
    assert "occlusion" in ids(good_set(card, 12, 10, QUICK))
    found = good_set(card, 12, 10, replace(QUICK, known={"occlusion": 1.0}))
    assert "occlusion" not in ids(found)
    assert "It takes about 13 s" in next(one.reason for one in found.left if one.method.id == "occlusion")


def test_what_a_check_up_refuses_is_left_out_with_its_sentence() -> None:
    card, why = catalogue.card("adult_mlp"), "This model is not linear."
    found = good_set(card, 12, 30, QUICK, {"linear_shap": why})
    assert "linear_shap" not in ids(found)
    assert next(one.reason for one in found.left if one.method.id == "linear_shap") == why


def test_enumeration_stops_at_its_limit() -> None:
    card = catalogue.card("adult_mlp")
    refused = {"linear_shap": "Not linear."}
    assert ids(good_set(card, 8, 30, QUICK, refused))[0] == "exact_shapley"
    found = good_set(card, 14, 30, QUICK, refused)
    assert "there are 14" in next(one.reason for one in found.left if one.method.id == "exact_shapley")


def test_the_table_of_the_best_names_methods_and_families_that_exist() -> None:
    known = {one.id: one.family for one in registry.methods()}
    for family, ranked in BEST.items():
        for id in ranked:
            assert known.get(id) == family, f"{id} is no {family} method"
    assert all(sorted(order) == sorted(BEST) for order in FAMILIES.values())


def test_players_are_counted_from_the_sample() -> None:
    image, text = handmade.image(), handmade.text()
    assert counted(image.card, image.sample, registry.method("integrated_gradients")) == 56 * 56
    assert counted(image.card, image.sample, registry.method("kernel_shap")) < 1000
    assert counted(text.card, text.sample, registry.method("occlusion")) == text.players.count
    assert counted(handmade.table().card, handmade.table().sample, registry.method("lime")) == 7


def test_picking_needs_no_torch() -> None:
    script = (
        "import sys; from explainers.good_set import Pace, good_set; from model_zoo import catalogue\n"
        "good_set(catalogue.cards()[0], 60, 30, Pace(1, 1)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, cwd=Path(__file__).parents[2])
