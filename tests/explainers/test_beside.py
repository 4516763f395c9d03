"""Pictures side by side: one scale in one unit, and what differs is made a share and said."""

from __future__ import annotations

from dataclasses import replace

import handmade
import numpy as np
import pytest

from explainers.figures import SPAN, beside


def test_alike_values_stay_as_they_are() -> None:
    one = handmade.table()
    found = beside.beside([one, replace(one, title="LIME", values=2 * one.values)])
    assert found.unit == one.unit
    np.testing.assert_array_equal(found.explanations[0].values, one.values)
    assert found.sentence == f"All are on one scale, in {one.unit}."
    ranges = [beside.cell(found, place).content.layout.xaxis.range for place in (0, 1)]
    assert ranges[0] == ranges[1]
    names = [
        [note.text for note in beside.cell(found, place).content.layout.annotations if note.x == 0] for place in (0, 1)
    ]
    assert names[0] == names[1], "the same columns in the same order"


def test_other_units_become_shares() -> None:
    one, other = handmade.text(), handmade.attention()
    found = beside.beside([one, other])
    assert found.unit == beside.SHARE
    for made in found.explanations:
        assert np.abs(made.values).sum() == pytest.approx(1)
    assert "share of that method's credit" in found.sentence
    assert (found.signed, found.plain) == (True, True)
    assert "against" in beside.legend(found)
    assert "matters" in beside.legend(found)
    assert "linear-gradient" not in beside.cell(found, 0).content, "the legend stands once for all"


def test_pixels_and_segments_are_told_in_even_shares() -> None:
    """A map that is the same everywhere has its even share everywhere, however it is divided."""
    pixels, segments = handmade.image(), handmade.image("segments")
    even = replace(segments, values=np.ones(64) * 49), replace(pixels, values=np.ones(56 * 56))
    found = beside.beside(even)
    assert found.unit == beside.EVEN
    for made in found.explanations:
        np.testing.assert_allclose(made.values, 1)
    cam = replace(even[0], method="grad_cam", unit="activation")
    np.testing.assert_allclose(beside.beside([cam, even[1]]).explanations[0].values, 1)


def test_one_symmetric_scale_and_what_goes_beyond_it() -> None:
    weak = handmade.image("segments")
    strong = replace(weak, values=100 * weak.values, title="LIME")
    found = beside.beside([weak, strong])
    assert found.full == pytest.approx(SPAN * np.abs(weak.values).max())
    assert found.beyond == ("LIME",)
    assert "LIME goes beyond" in found.sentence
    for place in (0, 1):
        drawn = beside.cell(found, place).content
        assert (drawn.data[0].zmin, drawn.data[0].zmax) == (-found.full, found.full)
        assert not drawn.layout.sliders


def test_what_speaks_for_the_target_is_red_in_every_cell() -> None:
    signed = handmade.image("segments")
    cam = replace(signed, method="grad_cam", title="Grad-CAM", values=np.abs(signed.values))
    drawn = beside.cell(beside.beside([signed, cam]), 1).content
    assert drawn.data[0].zmin == -drawn.data[0].zmax
    nothing = beside.cell(beside.beside([signed, replace(cam, values=np.zeros(64))]), 1).content
    assert "no evidence" in nothing.layout.annotations[0].text
