"""Keras models of the kinds that people save: sequential, functional, convolutional, recurrent, old, quantised."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Built, Entry

from model_zoo.facts import Facts
from model_zoo.formats import _keras

WORDS = ("the", "film", "was", "good", "bad", "a", "joy", "bore", "not", "and")


def tokenizer() -> str:
    """A tokenizer.json of ten words, which says that texts are filled up at the end with id 0."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    ids = {"[PAD]": 0, "[UNK]": 1} | {word: index + 2 for index, word in enumerate(WORDS)}
    found = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    found.normalizer = normalizers.Lowercase()
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    found.enable_padding(direction="right", pad_id=0, pad_token="[PAD]")
    return found.to_str()


def keras() -> Any:
    """Keras on torch, seeded."""
    found = _keras.library()
    found.utils.set_random_seed(7)
    return found


def saved(model: Any, path: Path) -> Any:
    """The library's own predictions of what it reads back from the file it wrote."""
    model.save(path)
    back = keras().saving.load_model(path, compile=False)
    return lambda *inputs: np.asarray(back.predict(list(inputs) if len(inputs) > 1 else inputs[0], verbose=0))[0]


def stirred(model: Any) -> Any:
    """The model with weights and running statistics that are none of a fresh one."""
    draw = np.random.default_rng(3)
    for one in model.weights:
        if "seed" not in one.path:
            one.assign(np.asarray(one) + 0.3 * draw.random(one.shape).astype("float32"))
    return model


def pictures() -> Any:
    """A small network of convolutions with batch normalisation."""
    layers = keras().layers
    return stirred(
        keras().Sequential(
            [
                keras().Input((20, 24, 3)),
                layers.Conv2D(6, 3, strides=2, padding="same"),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.DepthwiseConv2D(3, padding="same"),
                layers.Conv2D(8, 1, activation="relu"),
                layers.GlobalAveragePooling2D(),
                layers.Dropout(0.5),
                layers.Dense(4, activation="softmax"),
            ]
        )
    )


def texts(length: int | None = 12) -> Any:
    """An LSTM over an embedding."""
    layers = keras().layers
    return stirred(
        keras().Sequential(
            [
                keras().Input((length,)),
                layers.Embedding(12, 6, mask_zero=True),
                layers.Bidirectional(layers.LSTM(5)),
                layers.Dense(1, activation="sigmoid"),
            ]
        )
    )


def picture() -> np.ndarray:
    """Coloured noise with a bright corner."""
    found = np.random.default_rng(1).integers(0, 160, (40, 48, 3)).astype(np.uint8)
    found[:16, :16] = 240
    return found


def _pictures(ending: str) -> Any:
    def build(folder: Path) -> Built:
        path = folder / f"pictures{ending}"
        scores = saved(pictures(), path)
        return Built(path, picture(), lambda x: scores(x.transpose(1, 2, 0)[None]))

    return build


def _keras_2(folder: Path) -> Built:
    """The file as tf.keras 2.4 wrote it: no modules in the config, `groups`, `batch_input_shape`."""
    path = folder / "old.h5"
    scores = saved(pictures(), path)
    as_keras_2(path)
    return Built(path, picture(), lambda x: scores(x.transpose(1, 2, 0)[None]))


def as_keras_2(path: Path) -> None:
    """Rewrite the config of a sequential .h5 as Keras 2 spelt it."""
    import h5py

    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layers = [_old(one) for one in config["config"]["layers"]]
        file.attrs["model_config"] = json.dumps(
            {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
        )
        file.attrs["keras_version"] = "2.4.0"
        file.attrs["backend"] = "tensorflow"


def _old(layer: Any) -> Any:
    config = {key: _plain(value) for key, value in layer["config"].items()}
    if "batch_shape" in config:
        config["batch_input_shape"] = config.pop("batch_shape")
    if layer["class_name"] == "DepthwiseConv2D":
        config["groups"] = 1
    if layer["class_name"] == "LSTM":
        config |= {"time_major": False, "implementation": 2}
    if layer["class_name"] == "Embedding":
        config["input_length"] = None
    for key in ("quantization_config", "sparse", "ragged", "optional"):
        config.pop(key, None)
    if isinstance(config.get("layer"), dict):
        config["layer"] = _old(config["layer"])
    config.pop("backward_layer", None)
    return {"class_name": layer["class_name"], "config": config}


def _plain(value: Any) -> Any:
    """Initialisers and types without their modules."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    if value["class_name"] == "DTypePolicy":
        return value["config"]["name"]
    return value if value.get("config", {}).get("layer") else {key: value[key] for key in ("class_name", "config")}


def _texts(ending: str, length: int | None) -> Any:
    def build(folder: Path) -> Built:
        path = folder / f"texts{ending}"
        scores = saved(texts(length), path)
        if ending == ".h5":
            as_keras_2(path)

        def said(x: np.ndarray) -> np.ndarray:
            return scores(np.pad(x, (0, 0 if length is None else length - len(x)))[None])

        return Built(path, "the film was not good and a bore", said)

    return build


def rows() -> Any:
    """A functional network of two inputs, wide and deep."""
    layers, wide, deep = keras().layers, keras().Input((2,), name="size"), keras().Input((1,), name="age")
    scaled = layers.Normalization(mean=1.0, variance=4.0)(wide)
    hidden = layers.Dense(8, activation="tanh")(layers.concatenate([scaled, deep]))
    scores = layers.Dense(3, activation="softmax")(layers.concatenate([hidden, wide]))
    return stirred(keras().Model([wide, deep], scores))


def _rows(folder: Path) -> Built:
    path = folder / "rows.keras"
    scores = saved(rows(), path)
    return Built(path, {"size 0": 1.5, "size 1": -0.5, "age": 2.0}, lambda x: scores(x[None, :2], x[None, 2:]))


def plain() -> Any:
    """A regression of five numbers."""
    layers = keras().layers
    return stirred(
        keras().Sequential([keras().Input((5,)), layers.Dense(8, activation="gelu"), layers.Dense(1)], name="houses")
    )


def _plain_rows(change: Any, name: str) -> Any:
    def build(folder: Path) -> Built:
        path, model = folder / f"{name}.keras", plain()
        change(model)
        scores = saved(model, path)
        return Built(path, [0.3, -1.0, 2.0, 0.5, 1.2], lambda x: scores(x[None]))

    return build


def quantised(model: Any) -> None:
    """To int8, in place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that an input has nothing to quantise
        model.quantize("int8")


def _pruned(model: Any) -> None:
    for one in model.weights:
        kept = np.asarray(one)
        one.assign(np.where(np.abs(kept) < np.median(np.abs(kept)), 0, kept))


def _steps(folder: Path) -> Built:
    layers = keras().layers
    model = stirred(keras().Sequential([keras().Input((6, 2)), layers.GRU(5), layers.Dense(1)]))
    scores = saved(model, folder / "steps.keras")
    return Built(folder / "steps.keras", list(np.linspace(-1, 1, 12)), lambda x: scores(x.reshape(1, 6, 2)))


def _grey(folder: Path) -> Built:
    layers = keras().layers
    model = stirred(
        keras().Sequential(
            [
                keras().Input((16, 16, 1)),
                layers.Rescaling(1 / 255),
                layers.Conv2D(4, 3, activation="relu"),
                layers.Flatten(),
                layers.Dense(3),
            ]
        )
    )
    scores = saved(model, folder / "grey.keras")
    return Built(folder / "grey.keras", picture()[..., 0], lambda x: scores(x.transpose(1, 2, 0)[None]))


TEXT = Facts(tokenizer=tokenizer(), labels=("bad", "good"))
ARCHIVE, HDF5 = "keras_archive", "keras_h5"
ENTRIES = (
    Entry("keras_pictures", ARCHIVE, "CNN with batch normalisation, .keras", _pictures(".keras"), gradient="grad_cam"),
    Entry("keras_grey_rescaling", ARCHIVE, "grey CNN that starts with Rescaling, logits, .keras", _grey),
    Entry("keras_two_inputs", ARCHIVE, "functional, two inputs with names, .keras", _rows),
    Entry(
        "keras_regression",
        ARCHIVE,
        "sequential regression, .keras",
        _plain_rows(lambda model: None, "plain"),
        gradient="integrated_gradients",
        perturbation="kernel_shap",
    ),
    Entry("keras_int8", ARCHIVE, "quantised to int8, .keras", _plain_rows(quantised, "int8")),
    Entry("keras_pruned", ARCHIVE, "pruned to half of its weights, .keras", _plain_rows(_pruned, "pruned")),
    Entry("keras_steps", ARCHIVE, "GRU over six steps of two numbers, .keras", _steps),
    Entry("keras_lstm", ARCHIVE, "embedding and LSTM of 12 tokens, .keras", _texts(".keras", 12), TEXT),
    Entry("keras_lstm_any", ARCHIVE, "embedding and LSTM of any length, .keras", _texts(".keras", None), TEXT),
    Entry("keras_h5_pictures", HDF5, "CNN, .h5 of Keras 3", _pictures(".h5")),
    Entry("keras_2_pictures", HDF5, "depthwise CNN, .h5 as Keras 2.4 wrote it", _keras_2, gradient="grad_cam"),
    Entry("keras_2_lstm", HDF5, "embedding and LSTM, .h5 as Keras 2.4 wrote it", _texts(".h5", 12), TEXT),
)
