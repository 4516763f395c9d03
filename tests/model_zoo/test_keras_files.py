"""Keras files beyond the corpus: where gradients live, what a picture's white is, and every file that is refused."""

from __future__ import annotations

import json
import warnings
import zipfile

import h5py
import numpy as np
import pytest
import torch
from corpus_files import keras_files as made

import explainers
from model_zoo.facts import Facts
from model_zoo.files import ModelFile
from model_zoo.opening import CONTAINED, format_of, open_file, read
from model_zoo.types import Capability, UserError


def opened(model, tmp_path, ending: str = ".keras", **facts):
    path = tmp_path / f"model{ending}"
    model.save(path)
    return open_file(ModelFile(path), Facts(**facts), trusted=CONTAINED)


def refused(model, tmp_path, ending: str = ".keras") -> str:
    with pytest.raises(UserError) as told:
        opened(model, tmp_path, ending)
    return str(told.value)


def layers():
    return made.keras().layers


def dense(*shape, **last):
    keras = made.keras()
    return keras.Sequential([keras.Input(shape), layers().Dense(3, **last)])


# -- what opens --------------------------------------------------------------------------------------------------


def test_gradients_are_those_of_keras_itself(tmp_path) -> None:
    own = made.pictures()
    model = opened(own, tmp_path)
    x = torch.rand(1, 3, 20, 24, requires_grad=True)
    (ours,) = torch.autograd.grad(model.forward(x)[0, 1], x)
    theirs = x.detach().permute(0, 2, 3, 1).requires_grad_()
    (expected,) = torch.autograd.grad(own(theirs, training=False)[0, 1], theirs)
    torch.testing.assert_close(ours, expected.permute(0, 3, 1, 2))
    assert Capability.SPATIAL in model.can


@pytest.mark.parametrize("length", [None, 12])
def test_the_entry_of_a_text_is_the_output_of_its_embedding(length, tmp_path) -> None:
    model = opened(made.texts(length), tmp_path, tokenizer=made.tokenizer())
    ids = torch.tensor([[2, 3, 4, 5, 1]])
    others = torch.tensor([[2, 3, 4, 6, 1]])
    with torch.no_grad():
        torch.testing.assert_close(model.forward_entry(model.entry(ids), ids), model.forward(ids))
        torch.testing.assert_close(model.forward_entry(model.entry(others), ids), model.forward(others))
    assert not torch.equal(model.forward(ids), model.forward(others))


def test_short_texts_are_filled_up_where_the_tokenizer_says(tmp_path) -> None:
    own = made.texts(12)
    front = made.tokenizer().replace('"Right"', '"Left"')
    for said, width in ((made.tokenizer(), (0, 8)), (front, (8, 0))):
        model = opened(own, tmp_path, tokenizer=said)
        sample = model.sample("the film was good")
        expected = own.predict(np.pad(sample.x, width)[None], verbose=0)[0]
        np.testing.assert_allclose(model.predict(sample).raw, expected, atol=1e-5)
        assert ("at the end" if width[0] == 0 else "at the front") in model.card.notes[0]


def test_a_series_is_given_step_by_step(tmp_path) -> None:
    keras = made.keras()
    network = keras.Sequential([keras.Input((7, 3)), layers().LSTM(4), layers().Dense(2)])
    model = opened(network, tmp_path)
    series = np.random.default_rng(6).normal(size=(7, 3)).astype(np.float32)
    expected = network.predict(series[None], verbose=0)[0]
    np.testing.assert_allclose(model.predict(model.sample(series)).raw, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model.sample(series).x, model.sample(series.reshape(-1)).x)
    with pytest.raises(UserError, match="one dimension"):
        model.sample(series.T)


def test_a_text_model_asks_for_its_tokenizer(tmp_path) -> None:
    path = tmp_path / "texts.keras"
    made.texts(12).save(path)
    found = read(ModelFile(path), trusted=CONTAINED)
    assert (found.required, found.guess.modality, found.guess.limit) == (("tokenizer",), "text", 12)


@pytest.mark.parametrize(("last", "task", "output"), [("softmax", "classification", "probability"), (None, None, None)])
def test_the_last_activation_tells_what_the_scores_are(last, task, output, tmp_path) -> None:
    path = tmp_path / "m.keras"
    dense(5, activation=last).save(path)
    guess = read(ModelFile(path), trusted=CONTAINED).guess
    assert (guess.task, guess.output) == ((task, output) if task else ("classification", "logit"))


@pytest.mark.parametrize(
    ("name", "first", "scale", "mean"),
    [
        ("own", [], 1.0, 0.0),
        ("own", ["Rescaling"], 255.0, 0.0),
        ("resnet50", [], 255.0, 103.939),
        ("mobilenetv2_1.00_224", [], 255.0, 127.5),
        ("densenet121", [], 1.0, 0.485),
        ("efficientnetb0", [], 255.0, 0.0),
    ],
)
def test_what_white_is_follows_from_the_layers_or_the_applications_name(name, first, scale, mean, tmp_path) -> None:
    keras = made.keras()
    start = now = keras.Input((8, 8, 3))
    for _ in first:
        now = layers().Rescaling(1 / 255)(now)
    now = layers().Dense(2)(layers().Flatten()(layers().Conv2D(2, 3)(now)))
    taken = opened(keras.Model(start, now, name=name), tmp_path).input
    assert (taken.scale, taken.mean[0], taken.order) == (scale, mean, "BGR" if name == "resnet50" else "RGB")


def test_a_quantised_model_has_gradients(tmp_path) -> None:
    own = made.plain()
    made.quantised(own)
    model = opened(own, tmp_path)
    assert any(one.dtype == torch.int8 for one in model.network.parameters())
    assert Capability.GRADIENTS in model.can


def test_its_layers_are_listed_by_their_names(tmp_path) -> None:
    own = made.pictures()
    model = opened(own, tmp_path)
    assert list(dict(model.network.layers.named_children())) == [one.name for one in own.layers]
    assert (
        sum(one.numel() for name, one in model.network.named_parameters() if "seed" not in name) == own.count_params()
    )


# -- what does not -----------------------------------------------------------------------------------------------


def test_a_lambda_layer_is_refused(tmp_path) -> None:
    keras = made.keras()
    own = keras.Sequential([keras.Input((4,)), layers().Lambda(lambda x: x * 2), layers().Dense(2)])
    assert "has a Lambda layer, which is Python code inside the file" in refused(own, tmp_path)
    assert "has a Lambda layer" in refused(own, tmp_path, ".h5")


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_class_of_the_authors_own_is_named(ending: str, tmp_path) -> None:
    keras = made.keras()

    class Squeezed(layers().Layer):
        def call(self, x):
            return x.tanh()

    own = keras.Sequential([keras.Input((4,)), Squeezed(), layers().Dense(2)])
    assert "uses Squeezed, which Keras does not have" in refused(own, tmp_path, ending)


@pytest.mark.parametrize(
    ("kind", "sentence"), [("PruneLowMagnitude", "strip_pruning"), ("TFOpLambda", "operation of TensorFlow")]
)
def test_what_only_tensorflow_has_is_told(kind: str, sentence: str, tmp_path) -> None:
    path = tmp_path / "m.h5"
    dense(5).save(path)
    made.as_keras_2(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace(
            '"class_name": "Dense"', f'"class_name": "{kind}"'
        )
    with pytest.raises(UserError, match=sentence):
        open_file(ModelFile(path), trusted=CONTAINED)


def test_weights_alone_are_told(tmp_path) -> None:
    dense(5).save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(UserError, match="weights of a Keras model without its architecture"):
        open_file(ModelFile(tmp_path / "only.weights.h5"), trusted=CONTAINED)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(UserError, match="holds no Keras model"):
        open_file(ModelFile(tmp_path / "data.h5"), trusted=CONTAINED)


def test_outputs_and_inputs_that_cannot_be_explained_are_told(tmp_path) -> None:
    keras = made.keras()
    whole = keras.Sequential([keras.Input((4, 2)), layers().LSTM(3, return_sequences=True)])
    assert "one row of scores (n, outputs)" in refused(whole, tmp_path)
    wide, picture = keras.Input((4,)), keras.Input((8, 8, 3))
    both = keras.Model([wide, picture], layers().Dense(2)(layers().concatenate([wide, layers().Flatten()(picture)])))
    assert "with one such input" in refused(both, tmp_path)
    film = keras.Sequential([keras.Input((5, 8, 8, 3)), layers().Flatten(), layers().Dense(2)])
    assert "with one such input" in refused(film, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras says so too, when it is saved
        assert "does not say the shape of its input" in refused(keras.Sequential([layers().Dense(2)]), tmp_path)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_file_that_was_cut_off_is_told(ending: str, share: float, tmp_path) -> None:
    path = tmp_path / f"m{ending}"
    made.pictures().save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError) as told:
        open_file(ModelFile(path), trusted=CONTAINED)
    assert "cut off" in str(told.value)


def rewritten(path, change) -> ModelFile:
    """The archive with its weights changed by `change(h5py.File)`."""
    with zipfile.ZipFile(path) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    inner = path.with_suffix(".weights")
    inner.write_bytes(parts["model.weights.h5"])
    with h5py.File(inner, "r+") as file:
        change(file)
    parts["model.weights.h5"] = inner.read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return ModelFile(path)


CHANGES = {
    "external link": (lambda file: file.__setitem__("far", h5py.ExternalLink("/etc/hostname", "/")), "another place"),
    "soft link": (lambda file: file.__setitem__("near", h5py.SoftLink("/layers")), "another place"),
    "external data": (
        lambda file: file.create_dataset("far", (8,), "u1", external=[("/etc/hostname", 0, 8)]),
        "in another file",
    ),
    "huge": (lambda file: file.create_dataset("huge", (1 << 40,), "f4", chunks=(1024,)), "made to fill the memory"),
}


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.parametrize("name", CHANGES)
def test_weights_that_point_elsewhere_or_claim_too_much_are_refused(name: str, ending: str, tmp_path) -> None:
    change, sentence = CHANGES[name]
    path = tmp_path / f"m{ending}"
    dense(5).save(path)
    if ending == ".keras":
        file = rewritten(path, change)
    else:
        with h5py.File(path, "r+") as store:
            change(store)
        file = ModelFile(path)
    with pytest.raises(UserError, match=sentence):
        open_file(file, trusted=CONTAINED)


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path) -> None:
    path = tmp_path / "m.keras"
    dense(5).save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/zeros", bytes(64 << 20))
    with pytest.raises(UserError, match="unpacks to"):
        open_file(ModelFile(path), trusted=CONTAINED)


def test_a_config_that_is_no_model_is_told(tmp_path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "system", "module": "os", "config": {}}))
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", b"")
    assert format_of(ModelFile(path)).id == "keras_archive"
    with pytest.raises(UserError, match="uses system"):
        open_file(ModelFile(path), trusted=CONTAINED)


def test_it_is_explained_like_any_model(tmp_path) -> None:
    model = opened(made.pictures(), tmp_path, labels=("a", "b", "c", "d"))
    applies = {one.method.id for one in explainers.methods_for(model) if one}
    assert {"grad_cam", "integrated_gradients", "occlusion", "lime"} <= applies
