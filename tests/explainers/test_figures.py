"""Pictures: in the right place, on the right scale, safe, and with nothing lost."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from dataclasses import replace

import handmade
import numpy as np
import pytest
from PIL import Image

from explainers import credits as ledger
from explainers import figures
from explainers.figures import _maps, _style, attention, image, prediction
from model_zoo.types import Prediction

EVERY = {
    "pixels": handmade.image,
    "segments": lambda: handmade.image("segments"),
    "words": handmade.text,
    "tokens": lambda: handmade.text("tokens"),
    "attention": handmade.attention,
    "columns": handmade.table,
    "regression": handmade.regression,
}


@pytest.mark.parametrize("kind", EVERY)
def test_every_explanation_has_pictures_that_can_be_sent(kind):
    found = figures.pictures(EVERY[kind]())
    assert found
    assert len({one.id for one in found}) == len(found)
    for one in found:
        assert one.title
        assert one.caption
        if one.kind == "plotly":
            assert json.loads(one.content.to_json())["layout"]["paper_bgcolor"] == _style.CLEAR
    assert figures.main(EVERY[kind]()).data


def test_the_map_lies_on_what_the_model_saw():
    explanation = handmade.image(side=56)
    heat = figures.main(explanation).data[0]
    left, top, right, bottom = explanation.sample.view.box
    assert heat.x0 - heat.dx / 2 == pytest.approx(left)
    assert heat.x0 + 55.5 * heat.dx == pytest.approx(right)
    assert heat.y0 - heat.dy / 2 == pytest.approx(top)
    assert heat.y0 + 55.5 * heat.dy == pytest.approx(bottom)
    np.testing.assert_allclose(heat.z, explanation.dense(), rtol=1e-6)
    assert isinstance(heat.z, np.ndarray)
    assert len(figures.main(explanation).layout.shapes) == 2  # the crop is outlined, since it is not the whole photo


def test_the_photo_is_the_persons_own_and_fades_in_the_browser():
    explanation = handmade.image()
    layout = figures.main(explanation).layout
    own, grey = layout.images
    assert own.source == image.uri(explanation.sample.view.photo)
    assert (own.sizex, own.sizey, own.layer) == (640, 420, "below")
    assert (own.x, own.sizex) != (grey.x, grey.sizex)  # plotly would take them for one
    assert Image.open(io.BytesIO(image.grey(explanation.sample.view.photo))).mode == "L"
    first, last = layout.sliders[0].steps[0], layout.sliders[0].steps[-1]
    assert first.args[0]["opacity"] == 0
    assert last.args[0]["opacity"] == 1
    assert first.args[1] == {"images[1].opacity": 0}


def test_zero_is_the_middle_and_transparent():
    heat = figures.main(handmade.image()).data[0]
    assert heat.zmin == -heat.zmax
    shares, colours = zip(*heat.colorscale, strict=True)
    assert list(shares) == sorted(shares)
    assert {colours[place] for place, share in enumerate(shares) if share == 0.5} == {
        "rgba(32,104,200,0)",
        "rgba(214,45,60,0)",
    }


def test_a_given_scale_holds():
    assert figures.main(handmade.image(), scale=2.5).data[0].zmax == 2.5


def test_pixels_are_clipped_and_the_caption_says_so():
    values = np.full(56 * 56, 0.001)
    values[0] = 9.0
    (picture,) = figures.pictures(replace(handmade.image(), values=values))
    assert picture.content.data[0].zmax == pytest.approx(0.001)
    assert "the strongest pixels reach 9" in picture.caption


def test_speckle_is_smoothed_and_said_while_pointing_gives_the_pixel():
    noise = np.random.default_rng(0).normal(size=64 * 64)
    (picture,) = figures.pictures(replace(handmade.image(side=64), values=noise))
    np.testing.assert_allclose(picture.content.data[0].customdata, noise.reshape(64, 64), rtol=1e-6)
    assert "smoothed" in picture.caption
    broad = np.outer(np.hanning(64), np.hanning(64)).reshape(-1)
    shown, smoothed = _maps.visible(replace(handmade.image(side=64), values=broad))
    assert not smoothed
    np.testing.assert_array_equal(shown, broad.reshape(64, 64))


def test_smoothing_keeps_a_constant_and_the_sum():
    constant = np.full((64, 64), 3.0)
    np.testing.assert_allclose(_maps._gaussian(constant, 1.5), constant)
    spike = np.zeros((65, 65))
    spike[32, 32] = 1.0
    assert _maps._gaussian(spike, 1.5).sum() == pytest.approx(1.0)


def test_compared_pictures_share_a_scale_where_that_shows_both():
    plain, double = handmade.image("segments"), handmade.image("segments")
    double = replace(double, values=2 * double.values)
    faint = replace(plain, values=plain.values / 100)
    slope = replace(plain, unit="log-odds (logit) per unit of input")
    full = float(np.abs(double.values).max())
    assert figures.scales((plain, double, slope)) == (full, full, pytest.approx(full / 2))
    assert figures.scales((plain, faint))[1] == pytest.approx(figures.scale((faint,)))
    assert figures.scale((replace(plain, values=0 * plain.values),)) == 1.0
    assert figures.scale(()) == 1.0


def test_text_is_escaped_and_whole():
    explanation = handmade.text("tokens")
    (words, *_) = figures.pictures(explanation)
    assert words.kind == "html"
    assert "<b>two" not in words.content
    shown = re.sub(r"<[^>]+>", "", words.content.split('<div style="max-width')[0])
    assert shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == handmade.REVIEW


def test_a_hostile_word_stays_a_word():
    hostile = '"><img src=x onerror=alert(1)> terrible'
    for one in figures.pictures(handmade.text(written=hostile)):
        content = one.content if one.kind == "html" else one.content.to_json()
        assert "<img" not in content


def test_subwords_are_joined_and_their_values_add():
    explanation = handmade.text("tokens")
    found = ledger.credits(explanation)
    (joined,) = (one for one in found if one.name == "unwatchable")
    assert joined.value == pytest.approx(0.35)
    assert [part.name for part in joined.parts] == ["un", "watchable"]
    assert sum(one.value for one in found) == pytest.approx(float(explanation.values.sum()))
    assert len(found) == len(handmade.REVIEW.split())


def test_unread_words_are_grey_and_counted():
    written = "good " * 5 + "word " * 1000
    (words, *_) = figures.pictures(handmade.text(written=written.strip(), kept=5))
    assert "960 more words" in words.content
    assert "did not read the last 1,000" in words.content
    assert words.content.count("word ") < 60


def _told(figure) -> list[tuple[str, str]]:
    """Names and values of a figure of rows."""
    said = [one.text for one in figure.layout.annotations]
    return list(zip(said[: len(said) // 2], said[len(said) // 2 :], strict=True))


def test_bars_use_their_width_and_compared_ones_share_it():
    plain, double = handmade.table(std_error=None), handmade.table(std_error=None)
    double = replace(double, title="Twice", values=2 * double.values)
    low, high = figures.main(plain).layout.xaxis.range
    assert (low, high) == (pytest.approx(-0.55 - 0.04 * 2.86), pytest.approx(2.31 + 0.04 * 2.86))
    first, second = figures.scales((plain, double))
    assert figures.main(plain, first).layout.xaxis.range == figures.main(double, second).layout.xaxis.range
    assert "One scale with Twice." in figures.pictures(plain, first)[0].caption
    assert "One scale" not in figures.pictures(plain, figures.scales((plain,))[0])[0].caption


def test_bars_lose_nothing():
    explanation = handmade.text()
    bars = next(one for one in figures.pictures(explanation) if one.id == "bars").content
    rest = float(explanation.values.sum()) - sum(bars.data[0].x)
    assert _told(bars)[-1] == (f"{explanation.players.count - 12} others", _style.signed_number(rest))


def test_bars_name_the_persons_own_values():
    (bars, _) = figures.pictures(handmade.table())
    assert _told(bars.content)[0] == ("capital gain = 15,024 US$", "+2.31")
    assert ("age = 23 years", "\u22120.550") in _told(bars.content)
    assert max(bars.content.data[0].error_x.array) == pytest.approx(0.2)


def test_the_waterfall_arrives():
    explanation = handmade.table()
    fall = next(one for one in figures.pictures(explanation) if one.id == "waterfall").content
    steps, start = fall.data[0], explanation.base_value
    np.testing.assert_allclose(steps.base, start + np.concatenate([[0], np.cumsum(steps.x)[:-1]]))
    assert start + sum(steps.x) == pytest.approx(explanation.explained)
    assert "not accounted for" not in dict(_told(fall))


def test_the_waterfall_shows_what_is_missing():
    explanation = replace(handmade.table(), explained=4.0)
    fall = next(one for one in figures.pictures(explanation) if one.id == "waterfall").content
    assert _told(fall)[-2][0] == "not accounted for"
    assert explanation.base_value + sum(fall.data[0].x) == pytest.approx(4.0)


def test_attention_heads_can_be_picked():
    explanation = handmade.attention(layers=2, heads=3)
    sheet = next(one for one in figures.pictures(explanation) if one.id == "attention").content
    markers = sheet.data[1]
    assert [list(one) for one in markers.customdata] == [[layer, head] for layer in range(2) for head in range(3)]
    one = attention.head(explanation, 1, 2)
    np.testing.assert_array_equal(one.data[0].z, explanation.extras["attention"][1, 2])
    assert one.layout.xaxis.ticktext[0] == "[CLS]"


def test_concentration_is_zero_when_even_and_one_when_sharp():
    even = np.full((1, 1, 4, 4), 0.25)
    sharp = np.eye(4)[None, None]
    np.testing.assert_allclose(attention.concentration(even), 0, atol=1e-9)
    np.testing.assert_allclose(attention.concentration(sharp), 1, atol=1e-9)


def test_top_classes():
    found = Prediction(np.zeros(3), np.array([0.2, 0.7, 0.1]), ("<a>", "b", "c"))
    assert prediction.classes(found, 2) == (("b", 0.7), ("<a>", 0.2))


def test_drawing_needs_no_torch():
    code = (
        "import sys; import explainers.figures, explainers.sentence, app.reports.report;"
        "explainers.figures.pictures; assert not {'torch', 'plotly'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_strongest_segments_carry_their_numbers():
    plain = handmade.image("segments")
    names = tuple(f"the top ({place + 1})" for place in range(plain.players.count))
    found = replace(plain, players=replace(plain.players, names=names))
    picture = figures.pictures(found)[0]
    told = [one for one in picture.content.layout.annotations if one.bgcolor]
    strongest = np.argsort(-np.abs(plain.values), kind="stable")[: image.NUMBERED]
    assert [re.sub("<[^>]+>", "", one.text) for one in told] == [str(place + 1) for place in strongest]
    left, top, right, bottom = plain.sample.view.box
    for one, place in zip(told, strongest, strict=True):
        row, column = int((one.y - top) / (bottom - top) * 56), int((one.x - left) / (right - left) * 56)
        assert plain.players.owner[row, column] == place
    assert "Numbers are those of the strongest segments." in picture.caption


def test_a_panorama_is_zoomed_to_what_the_model_saw():
    picture = figures.pictures(handmade.image(photo=handmade.photograph(2000, 200)))[0]
    low, high = picture.content.layout.xaxis.range
    assert (low, high) == (900 - 24, 1100 + 24)
    assert list(picture.content.layout.yaxis.range) == [200, 0]
    assert "Zoomed to what the model saw" in picture.caption


def test_an_empty_map_has_no_legend():
    plain = handmade.image()
    picture = figures.pictures(replace(plain, method="grad_cam", values=0 * plain.values))[0]
    assert all(one.type == "heatmap" for one in picture.content.data)
    assert any("evidence" in one.text for one in picture.content.layout.annotations)
    assert picture.caption == "Nothing is coloured: every value is 0."


def test_the_legend_is_opaque_and_pale_at_zero_on_any_page():
    colours = dict(_style.legend(True, 0.9))
    assert colours[0.5] == f"rgb({_style.MUTED},{_style.MUTED},{_style.MUTED})"
    assert all(one.startswith("rgb(") for one in colours.values())


def test_only_attention_shows_the_heads_and_a_head_is_square():
    explanation = handmade.attention(layers=2, heads=3)
    assert "attention" not in {one.id for one in figures.pictures(replace(explanation, method="attention_rollout"))}
    one = attention.head(explanation, 0, 0)
    assert one.layout.yaxis.scaleanchor == "x"
    assert len(one.layout.xaxis.ticktext) == len(one.data[0].x)
