"""How to save a model so that opening it runs no code: two lines, fitted to the classes that a pickle names."""

from __future__ import annotations

import re
from collections.abc import Collection

KNOWN = (
    *("torch", "torchvision", "timm", "transformers", "pytorch_lightning", "lightning", "fastai", "ultralytics"),
    *("sklearn", "xgboost", "lightgbm", "catboost", "keras", "tensorflow", "statsmodels", "pandas", "numpy"),
)
NAMED = re.compile(rb"\b((?:" + b"|".join(one.encode() for one in KNOWN) + rb")(?:\.\w+)+)")
TENSORS = re.compile(  # what a pickle of tensors in dictionaries, lists and tuples names
    r"torch\.(?:_utils|_tensor|storage|serialization|Tensor|Size|device|\w+Storage|nn\.parameter)\b"
    r"|torch\.(?:float|double|half|bfloat|int|long|uint|bool|complex)\w*$"
    r"|(?:collections|_codecs|builtins|__builtin__|copyreg|copy_reg|numpy|joblib)\."
)
SKLEARN = ("import skops.io", "skops.io.dump(model, 'model.skops')")
TORCH = (
    "import torch",
    "torch.save(model.state_dict(), 'model.pt')  # for a class of your own: torch.jit.script(model).save('model.pt')",
)
XGBOOST = ("booster = getattr(model, 'get_booster', lambda: model)()", "booster.save_model('model.ubj')")
LIGHTGBM = ("booster = getattr(model, 'booster_', model)", "booster.save_model('model.txt')")
CATBOOST = ("import catboost", "catboost.CatBoost.save_model(model, 'model.cbm')")
KERAS = ("import keras", "model.save('model.keras')")
HUGGING = ("model.save_pretrained('folder', safe_serialization=True)", "tokenizer.save_pretrained('folder')")
WEIGHTS = ("import torch", "torch.save(weights, 'model.pt')  # weights = model.state_dict()")
FASTAI = ("import torch", "torch.save(learner.model.state_dict(), 'model.pt')")
YOLO = ("from ultralytics import YOLO", "YOLO('model.pt').export(format='onnx')")
PANDAS = ("# a table is no model; as background rows of one:", "table.to_csv('background.csv', index=False)")
WAYS = (  # how names begin, what it is, and the two lines; the first wins
    ("sklearn.pipeline.", "a scikit-learn pipeline", SKLEARN),
    ("xgboost.", "an XGBoost model", XGBOOST),
    ("lightgbm.", "a LightGBM model", LIGHTGBM),
    ("catboost.", "a CatBoost model", CATBOOST),
    ("_catboost.", "a CatBoost model", CATBOOST),
    ("sklearn.", "a scikit-learn model", SKLEARN),
    ("keras.", "a Keras model", KERAS),
    ("tensorflow.", "a Keras model", KERAS),
    ("transformers.", "a model of transformers", HUGGING),
    ("fastai.", "a fastai learner", FASTAI),
    ("ultralytics.", "an Ultralytics model", YOLO),
    ("torch", "a torch module", TORCH),
    ("timm.", "a torch module of timm", TORCH),
    ("pytorch_lightning.", "a Lightning module", TORCH),
    ("lightning.", "a Lightning module", TORCH),
    ("pandas.", "a pandas table", PANDAS),
)


def seen(data: bytes) -> set[str]:
    """Dotted names of known libraries that stand in the bytes of a pickle."""
    return {one.decode() for one in NAMED.findall(data)}


def what(names: Collection[str]) -> tuple[str, tuple[str, str] | None]:
    """What a pickle with these classes is, and the two lines that save it safely; None where there are none."""
    if any(one.startswith("torch.") for one in names) and all(map(TENSORS.match, names)):
        return "a dictionary of torch tensors", WEIGHTS
    for beginning, told, lines in WAYS:
        if any(one.startswith(beginning) for one in names):
            return told, lines
    return "", None
