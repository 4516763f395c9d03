"""Comparing explanations: closed forms, chance counted by hand, and sentences that say who differs about what."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import handmade
import numpy as np
import pytest

import explainers
from explainers import comparing
from explainers.common import common
from explainers.comparing_words import baselines
from explainers.types import Explanation, UserError
from model_zoo.types import Reference


def table(values: object, title: str = "Integrated gradients", **more: object) -> Explanation:
    found = handmade.table()
    given = np.zeros(found.players.count)
    given[: len(values)] = values  # type: ignore[arg-type]
    return replace(found, values=given, title=title, **more)  # type: ignore[arg-type]


A = (5.0, -4.0, 3.0, 2.0)
COUNT = handmade.table().players.count


def test_identical_maps_agree_in_everything() -> None:
    found = explainers.compare([table(A), table(3 * np.array(A), "KernelSHAP")])
    np.testing.assert_allclose(found.matrix, 1)
    np.testing.assert_allclose(found.overlap, 1)
    np.testing.assert_allclose(found.consensus[:4], np.array(A) / 14)
    np.testing.assert_allclose(found.disagreement, 0, atol=1e-15)
    assert found.sentence.startswith("Both methods name ")
    assert "Their orders agree well (rank correlation 1.00)." in found.sentence


def test_a_negated_map_disagrees_in_everything() -> None:
    found = explainers.compare([table(A), table(-np.array(A), "KernelSHAP")])
    assert found.matrix[0, 1] == pytest.approx(-1)
    assert found.overlap[0, 1] == pytest.approx(-found.k / (COUNT - found.k))
    np.testing.assert_allclose(found.consensus, 0)
    np.testing.assert_allclose(found.disagreement[:4], np.abs(A) / np.array(14.0))
    assert "agree on no part" in found.sentence
    assert comparing.moved(*found.maps) == pytest.approx(1)


def test_overlap_is_counted_above_chance() -> None:
    """Of twelve parts the four strongest: two shared with one sign, so (2/4 - 4/12) / (1 - 4/12) = 1/4."""
    one = np.array([9, 8, 7, 6, 0.1, 0.2, 0, 0, 0, 0, 0, 0.0])
    other = np.array([9, 8, -7, 0, 0.1, 8, 0, 0, 0, 0, 0, 0.0])
    assert comparing.strongest(12) == 4
    assert comparing._overlap(one, other, 4, True) == pytest.approx(0.25)
    assert comparing._overlap(one, other, 4, False) == pytest.approx((3 / 4 - 1 / 3) / (2 / 3))
    assert comparing._overlap(one, np.eye(12)[0], 4, True) == pytest.approx(1), "what is 0 is not among the strongest"
    assert np.isnan(comparing._overlap(one, np.zeros(12), 4, True))


@pytest.mark.parametrize(("count", "k"), [(1, 1), (5, 1), (12, 4), (30, 5), (60, 6), (196, 19)])
def test_how_many_are_the_strongest(count: int, k: int) -> None:
    assert comparing.strongest(count) == k


def test_consensus_leaves_out_who_says_the_opposite() -> None:
    """Shares .5, .5 and -.25 of one part: the mean of (.5, .5, 0); the spread is that of all three."""
    maps = np.array([[0.5, 0.5], [0.5, -0.5], [-0.25, 0.75]])
    consensus, disagreement = comparing.together(maps, ("signed",) * 3)
    np.testing.assert_allclose(consensus, [1 / 3, 1.25 / 3])
    np.testing.assert_allclose(disagreement, maps.std(0))


def test_a_map_without_a_sign_has_no_say_against_the_target() -> None:
    signed, positive = np.array([0.5, -0.5, 0.0]), np.array([1.0, 0.0, 0.0])
    consensus, disagreement = comparing.together(np.stack([signed, positive]), ("signed", "positive"))
    np.testing.assert_allclose(consensus, [0.75, 0, 0])
    np.testing.assert_allclose(disagreement, [0.25, 0, 0])
    one, _, with_sign = comparing.paired(signed, positive, "signed", "positive")
    np.testing.assert_allclose(one, [0.5, 0, 0])
    assert not with_sign
    one, _, with_sign = comparing.paired(signed, positive, "signed", "size")
    np.testing.assert_allclose(one, [0.5, 0.5, 0])
    consensus, _ = comparing.together(np.stack([signed, np.array([0.5, 0.5, 0])]), ("signed", "size"))
    np.testing.assert_allclose(consensus, signed, err_msg="a size follows the sign of the others")


def test_slopes_are_compared_with_shares_by_size() -> None:
    slope = replace(handmade.table(), unit="logit per unit of input", method="saliency", title="Saliency")
    negated = replace(slope, values=-slope.values, title="SmoothGrad", method="smoothgrad")
    assert explainers.compare([slope, negated]).matrix[0, 1] == pytest.approx(-1)
    found = explainers.compare([table(slope.values), negated])
    assert found.kinds == ("signed", "slope")
    assert found.matrix[0, 1] == pytest.approx(1)


def test_the_share_that_moves() -> None:
    assert comparing.moved(np.array([1.0, 0]), np.array([5.0, 0])) == 0
    assert comparing.moved(np.array([1.0, 0]), np.array([0, 2.0])) == 1
    assert comparing.moved(np.array([3.0, 1]), np.array([1.0, 1])) == pytest.approx(0.25)
    assert np.isnan(comparing.moved(np.zeros(2), np.ones(2)))


# -- common players ------------------------------------------------------------------------------------------------


def test_tokens_are_joined_to_words() -> None:
    tokens, words = handmade.text("tokens"), replace(handmade.text(), title="LIME")
    players, maps = common([tokens, words])
    assert players.kind == "words"
    np.testing.assert_allclose(maps[0], maps[1])
    assert players.count == words.players.count
    assert common([tokens, tokens])[0].kind == "words", "a text is read in words"
    assert "“terrible”" in explainers.compare([tokens, words]).sentence


def test_pixels_are_added_in_another_s_segments() -> None:
    pixels, segments = handmade.image(), replace(handmade.image("segments"), title="LIME")
    players, maps = common([pixels, segments])
    assert players is segments.players
    np.testing.assert_allclose(maps[0], segments.values)
    np.testing.assert_allclose(explainers.compare([pixels, segments]).matrix, 1)


def test_pixels_alone_are_compared_by_regions_and_few_as_they_are() -> None:
    pixels = handmade.image()
    players, maps = common([pixels, pixels])
    assert players.kind == "regions"
    assert players.count == 14 * 14
    np.testing.assert_allclose(maps.sum(1), pixels.values.sum())
    small = handmade.image(side=8)
    assert common([small, small])[0] is small.players


def test_two_divisions_that_cross_meet_on_a_grid() -> None:
    one = handmade.image("segments")
    owner = np.roll(one.players.owner, 3, axis=0)
    other = replace(one, players=replace(one.players, owner=owner))
    players, maps = common([one, other])
    assert players.kind == "regions"
    np.testing.assert_allclose(maps.sum(1), [one.values.sum()] * 2)


def test_an_intensity_is_not_spread_over_its_segment() -> None:
    segments = replace(handmade.image("segments"), method="grad_cam", title="Grad-CAM", unit="activation")
    segments = replace(segments, values=np.ones(64))
    _, maps = common([handmade.image(), segments])
    np.testing.assert_allclose(maps[1], 1, err_msg="on its own players each keeps its value")
    owner = np.roll(segments.players.owner, 3, axis=0)
    crossed = replace(handmade.image("segments"), players=replace(segments.players, owner=owner))
    _, maps = common([segments, crossed])
    np.testing.assert_allclose(maps[0], 16, err_msg="a cell of 4 × 4 pixels, 1 each")


def test_other_inputs_and_too_few_are_refused() -> None:
    with pytest.raises(UserError, match="Two explanations"):
        explainers.compare([handmade.table()])
    with pytest.raises(UserError, match="same input"):
        explainers.compare([handmade.table(), handmade.text()])


# -- what is said --------------------------------------------------------------------------------------------------


def test_who_names_another_part_is_said() -> None:
    names = handmade.table().players.names
    other = (0.0, 0.1, 0.0, 0.0, 9.0)
    found = explainers.compare([table(A), table(A, "KernelSHAP"), table(A, "Occlusion"), table(other, "LIME")])
    assert found.sentence.startswith(f"Three of four methods name {names[0]}")
    assert f"LIME names {names[4]} instead." in found.sentence
    assert f"They differ most about {names[4]}: LIME gives it 98.9 % of its credit" in found.sentence


def test_who_counts_the_part_the_other_way_is_said() -> None:
    found = explainers.compare([table(A), table(A, "KernelSHAP"), table(-np.array(A), "Occlusion")])
    assert "; Occlusion counts it the other way." in found.sentence


def test_a_picture_is_told_by_its_places() -> None:
    pixels = handmade.image()
    turned = replace(pixels, values=pixels.dense()[::-1, ::-1].reshape(-1).copy(), title="Occlusion")
    said = explainers.compare([pixels, replace(pixels, title="SmoothGrad"), turned]).sentence
    assert said.startswith("Two of three methods point at the ")
    assert "Occlusion points at the " in said


def test_names_tell_them_apart() -> None:
    one = handmade.table()
    two = replace(one, reference=Reference("mean", one.sample.x[None], "the mean"))
    assert explainers.compare([one, two]).names[1].endswith(", the mean")
    assert explainers.compare([one, one]).names == ("Integrated gradients (1)", "Integrated gradients (2)")
    assert explainers.compare([one, replace(one, title="LIME")]).names == ("Integrated gradients", "LIME")


def test_how_far_baselines_move_the_answer() -> None:
    found = explainers.compare([table((3.0, 1.0)), table((1.0, 1.0)), table((30.0, 10.0))])
    said = baselines(found, ("the mean", "zero", "noise"))
    assert said.startswith("The baseline changes this answer somewhat. Compared with the mean, with zero 25 % of")
    assert "with noise 0 % of the credit" in said
    assert "No baseline gives" in baselines(explainers.compare([table((0.0,)), table((0.0,))]), ("a", "b"))


def test_the_figure_has_both_matrices_with_their_numbers() -> None:
    drawn = explainers.compare([table(A), table(-np.array(A), "<b>LIME"), table((0.0,), "Nothing")]).figure()
    texts = [one.text for one in drawn.layout.annotations]
    assert "Rank correlation" in texts
    assert any("\u22121.00" in one for one in texts)
    assert sum("–" in one for one in texts) >= 4, "a constant map has no rank"
    assert all((one.zmin, one.zmax) == (-1, 1) for one in drawn.data)
    assert "&lt;b&gt;LIME" in drawn.layout.yaxis.ticktext[1]


def test_consensus_and_disagreement_are_drawn_like_explanations() -> None:
    found = explainers.compare([handmade.image(), replace(handmade.image("segments"), title="LIME")])
    assert found.shown("consensus").figure().data
    shown = found.shown("disagreement")
    assert (shown.values >= 0).all()
    assert shown.figure().data


def test_comparing_needs_no_torch() -> None:
    script = (
        f"import sys; sys.path.append({str(Path(handmade.__file__).parent)!r}); import handmade, explainers\n"
        "explainers.compare([handmade.image()] * 2).figure(); assert 'torch' not in sys.modules"
    )
    root = Path(handmade.__file__).parent.parent
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, cwd=root)
