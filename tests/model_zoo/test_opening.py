"""The road from a file to a model: formats found, trust obeyed, what is missing asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from model_zoo import opening
from model_zoo.facts import IMAGENET_MEAN, Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.modalities.image import ImageInput
from model_zoo.types import Column, ModelCard, UserError


def net(channels=3, outputs=4):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 5, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, outputs)
    )


@pytest.fixture
def formats(monkeypatch):
    """Made-up formats, told by their first letter."""

    def made(letter, trust, opened, refusal=""):
        return Format(
            letter,
            f"format {letter}",
            (".x",),
            trust,
            lambda file: file.head[:1] == letter.encode(),
            opened,
            "",
            50,
            refusal,
        )

    found = [
        made("D", Trust.DATA, lambda file, said: Opened(net(), Facts(modality="image"), "a small net", ("A note.",))),
        made("S", Trust.SANDBOX, lambda file, said: Opened(net(), Facts(modality="image"))),
        made("C", Trust.CODE, lambda file, said: Opened(net()), "{name} runs code; save it as D."),
        made("N", Trust.DATA, lambda file, said: Opened(net())),
        made("T", Trust.DATA, lambda file, said: Opened(net(), Facts(modality="text"))),
        made("G", Trust.DATA, lambda file, said: Opened(net(1), Facts(modality="image", channels=1, size=(28, 28)))),
    ]
    monkeypatch.setattr(opening, "formats", lambda: tuple(found))
    return found


def written(tmp_path, letter):
    path = tmp_path / f"{letter}.model"
    path.write_bytes(letter.encode() + b"...")
    return ModelFile(path)


def test_data_opens_anywhere_and_takes_what_is_usual_for_photos(formats, tmp_path):
    model = opening.open_file(written(tmp_path, "D"), Facts(labels=("a", "b", "c", "d")))
    assert (model.input.size, model.input.mean, model.input.crop) == ((224, 224), IMAGENET_MEAN, 0.875)
    sample = model.sample(np.zeros((300, 400, 3), np.uint8))
    assert model.card.labels == ("a", "b", "c", "d")
    assert (model.card.title, model.card.description, model.card.notes) == ("D", "a small net", ("A note.",))
    assert model.card.source == "D.model (format D)"
    assert sample.x.shape == (3, 224, 224)


def test_a_small_grey_picture_is_not_taken_for_a_photo(formats, tmp_path):
    model = opening.open_file(written(tmp_path, "G"))
    assert (model.input.size, model.input.mean, model.input.std, model.input.crop) == ((28, 28), (0.0,), (1.0,), None)


def test_what_can_run_code_opens_where_it_is_contained(formats, tmp_path):
    file = written(tmp_path, "S")
    with pytest.raises(UserError, match=r"explainers.open_model\(path\), or model_zoo.load\(path, trust=True\)"):
        opening.open_file(file)
    assert opening.open_file(file, trusted=opening.CONTAINED).card.labels == (
        "class 0",
        "class 1",
        "class 2",
        "class 3",
    )
    with pytest.raises(UserError, match=r"C.model runs code; save it as D"):
        opening.open_file(written(tmp_path, "C"), trusted=opening.CONTAINED)


def test_a_reading_says_what_is_missing(formats, tmp_path):
    assert opening.read(written(tmp_path, "N")).required == ("modality",)
    assert opening.read(written(tmp_path, "T")).required == ("tokenizer",)
    with pytest.raises(UserError, match=r"N\.model does not say its modality"):
        opening.open_file(written(tmp_path, "N"))
    reading = opening.read(written(tmp_path, "D"))
    assert (reading.required, reading.outputs, reading.problem) == ((), 4, "")
    assert (reading.parameters, reading.guess.task) == (3 * 5 * 9 + 5 + 5 * 4 + 4, "classification")


def test_a_reading_keeps_the_problem_of_the_first_run(formats, tmp_path):
    reading = opening.read(written(tmp_path, "D"), Facts(labels=("a", "b")))
    assert "4 class names are expected; 2 came" in reading.problem


def test_what_is_no_model_is_told(formats, tmp_path):
    with pytest.raises(UserError, match="none of the model files that Assay opens"):
        opening.read(written(tmp_path, "?"))
    empty = tmp_path / "empty.pt"
    empty.write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        opening.read(ModelFile(empty))
    with pytest.raises(UserError, match=r"no file 'gone\.pt'"):
        opening.read(ModelFile(tmp_path / "gone.pt"))


def test_means_that_do_not_fit_the_channels(formats, tmp_path):
    with pytest.raises(UserError, match="mean has one number for each of the 1 channels; 3 came"):
        opening.open_file(written(tmp_path, "G"), Facts(mean=(0.1, 0.2, 0.3)))


def test_what_is_said_decides_what_is_usual(formats, tmp_path):
    formats[0] = dataclasses.replace(formats[0], open=lambda file, said: Opened(net(1), Facts(modality="image")))
    model = opening.open_file(written(tmp_path, "D"), Facts(channels=1, size=(28, 28)))
    assert (model.input.mean, model.input.std, model.input.crop) == ((0.0,), (1.0,), None)
    assert opening.read(written(tmp_path, "D"), Facts(channels=1)).problem == ""


def test_a_reading_says_whether_the_file_brings_its_own_input(formats, tmp_path):
    own = ImageInput((28, 28), mean=(0.5,), std=(0.5,), channels=1)
    formats[0] = dataclasses.replace(formats[0], open=lambda file, said: Opened(net(1), Facts(), input=own))
    reading = opening.read(written(tmp_path, "D"))
    assert (reading.own_input, reading.guess.modality, reading.required) == (True, "image", ())
    assert not opening.read(written(tmp_path, "S"), trusted=opening.CONTAINED).own_input


def test_photos_of_other_than_three_channels_have_no_usual_mean(formats, tmp_path):
    guess = Facts(modality="image", channels=4, size=(224, 224))
    assert opening.completed(guess).mean == ()


def test_a_known_card_gives_its_name_and_digest(formats, tmp_path):
    about = ModelCard("m1", "My net", "image", "classification", "logit", (), digest="sha256:abc")
    card = opening.open_file(written(tmp_path, "D"), about=about).card
    assert (card.id, card.title, card.digest) == ("m1", "My net", "sha256:abc")


def test_the_last_check_sees_the_first_input(formats, tmp_path):
    seen = []

    def settle(x):
        seen.append(x.shape)
        raise UserError("It does not agree.")

    formats[0] = dataclasses.replace(
        formats[0], open=lambda file, said: Opened(net(), Facts(modality="image"), settle=settle)
    )
    model = opening.open_file(written(tmp_path, "D"))
    with pytest.raises(UserError, match="does not agree"):
        model.sample(np.zeros((30, 40, 3), np.uint8))
    assert seen == [(3, 224, 224)]


def test_single_facts_go_over_a_card(tmp_path):
    path = tmp_path / "card.json"
    path.write_text(Facts(title="A", labels=("x", "y")).dump())
    assert opening.said(path, {"title": "B"}) == Facts(title="B", labels=("x", "y"))
    with pytest.raises(UserError, match="no fact 'colour' about a model"):
        opening.said(None, {"colour": 1})
    with pytest.raises(UserError, match="could not be read"):
        opening.said(tmp_path / "gone.json", {})


def test_facts_as_scripts_write_them(tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("age,job\n3,cook\n")
    found = opening.said(
        None,
        {
            "labels": ["a", "b"],
            "columns": ["age", Column("job", "category", categories=("cook",))],
            "mean": np.array([0.5, 0.25]),
            "size": 32,
            "background": rows,
            "tokenizer": '{"version": "1.0"}',
            "limit": None,
        },
    )
    assert found == Facts(
        labels=("a", "b"),
        columns=(Column("age"), Column("job", "category", categories=("cook",))),
        mean=(0.5, 0.25),
        size=(32, 32),
        background="age,job\n3,cook\n",
        tokenizer='{"version": "1.0"}',
    )
    assert opening.said(None, {"class_names": ["a"], "feature_names": ["x"]}) == Facts(
        labels=("a",), columns=(Column("x"),)
    )
    for wrong in ({"labels": 3}, {"size": "big"}, {"background": "gone.csv"}, {"background": 4}, {"modality": 1}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            opening.said(None, wrong)


def test_what_is_usual_is_told_from_what_the_file_says():
    assert opening.assumed(Facts(modality="image", size=(224, 224), mean=(0.5,) * 3, std=(0.5,) * 3)) == (
        "crop",
        "resample",
    )
    assert set(opening.assumed(Facts(modality="image"))) == {"size", "mean", "std", "resample", "crop"}
    assert opening.assumed(Facts(modality="text")) == ("limit",)
    assert opening.assumed(Facts()) == ()


def test_bare_weights_do_not_say_how_pictures_are_normalised(tmp_path):
    from model_zoo import vision

    path = tmp_path / "net.pth"
    torch.save(vision.torchvision().models.resnet18(num_classes=7).state_dict(), path)
    assert {"mean", "std", "crop"} <= set(opening.read(ModelFile(path), trusted=opening.CONTAINED).assumed)
