"""Boosted trees of XGBoost, LightGBM and CatBoost in their native files, trained for a moment."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Built, Entry

from model_zoo.facts import Facts

NAMES = ("age", "income", "height", "visits")
COLOURS = ("blue", "green", "red")
ROW = {"age": 1.4, "income": 1.2, "height": -0.7, "visits": -1.1, "colour": "red"}


@functools.cache
def data() -> tuple[np.ndarray, np.ndarray]:
    """Numbers (400, 4) and a colour for each row."""
    draw = np.random.default_rng(11)
    return draw.normal(size=(400, 4)).astype(np.float32).astype(np.float64), draw.choice(COLOURS, 400)


def frame(categories: bool = True) -> Any:
    """The data as a pandas table, with the colour as a category."""
    import pandas as pd

    numbers, colours = data()
    found = pd.DataFrame(numbers, columns=list(NAMES))
    return found.assign(colour=pd.Categorical(colours)) if categories else found


def two() -> np.ndarray:
    """Two classes that depend on the colour and on two numbers."""
    numbers, colours = data()
    return (numbers[:, 0] + numbers[:, 1] * numbers[:, 2] + 1.5 * (colours == "red") > 0.5).astype(int)


def three() -> np.ndarray:
    """Three classes."""
    numbers, _ = data()
    return np.digitize(numbers[:, 0] - numbers[:, 3], [-0.7, 0.7])


def number() -> np.ndarray:
    """A value."""
    numbers, _ = data()
    return 3 * numbers[:, 0] + numbers[:, 1] ** 2


def coded(x: np.ndarray) -> Any:
    """One row of the pandas table that x stands for."""
    import pandas as pd

    found = pd.DataFrame(x[None, :4], columns=list(NAMES))
    return found.assign(colour=pd.Categorical.from_codes([int(x[4])], categories=list(COLOURS)))


def xgboosted(objective: str, y: np.ndarray, categories: bool = False, rounds: int = 8, **settings: Any) -> Any:
    """A booster."""
    import xgboost

    rows = xgboost.DMatrix(frame(categories), y, enable_categorical=True)
    if objective.startswith("rank"):
        rows.set_group([40] * 10)
    return xgboost.train({"objective": objective, "nthread": 1, **settings}, rows, rounds)


def lightgbm_booster(objective: str, y: np.ndarray, categories: bool = False, **settings: Any) -> Any:
    """A booster of eight rounds."""
    import lightgbm

    given = {"objective": objective, "num_leaves": 6, "num_threads": 1, "verbose": -1, **settings}
    return lightgbm.train(given, lightgbm.Dataset(frame(categories), y), 8)


def catboosted(loss: str, y: np.ndarray, categories: bool = False, **settings: Any) -> Any:
    """A booster of eight rounds."""
    import catboost

    rows = frame(categories)
    if categories:
        rows["colour"] = rows["colour"].astype(str)
    given = {"loss_function": loss, "iterations": 8, "depth": 3, "thread_count": 1, "verbose": 0}
    own = catboost.CatBoost({**given, "allow_writing_files": False, "random_seed": 1, **settings})
    return own.fit(rows, y, cat_features=["colour"] if categories else None)


def _xgboost(ending: str, train: Callable[[], Any], categories: bool = False, margin: bool = True) -> Any:
    def build(folder: Path) -> Built:
        import xgboost

        own, path = train(), folder / f"model{ending}"
        own.save_model(path)

        def scores(x: np.ndarray) -> np.ndarray:
            given = coded(x) if categories else coded(np.append(x, 0)).drop(columns="colour")
            return own.predict(xgboost.DMatrix(given, enable_categorical=True), output_margin=margin)[0]

        return Built(path, ROW, scores)

    return build


def _lightgbm(train: Callable[[], Any], categories: bool = False, raw: bool = True) -> Any:
    def build(folder: Path) -> Built:
        own, path = train(), folder / "model.txt"
        own.save_model(path)

        def scores(x: np.ndarray) -> np.ndarray:
            given = coded(x) if categories else x[None]
            return own.predict(given, raw_score=raw)[0]

        return Built(path, ROW, scores)

    return build


def _catboost(ending: str, train: Callable[[], Any], categories: bool = False) -> Any:
    def build(folder: Path) -> Built:
        own, path = train(), folder / f"model{ending}"
        own.save_model(str(path), format="json" if ending == ".json" else "cbm")

        def scores(x: np.ndarray) -> np.ndarray:
            given = coded(x).astype({"colour": str}) if categories else x[None]
            return own.predict(given, prediction_type="RawFormulaVal")[0]

        return Built(path, ROW, scores)

    return build


def csv() -> str:
    """Ten rows of the data with the colour, as a CSV."""
    return frame().head(10).to_csv(index=False)


def _entry(id: str, format: str, what: str, build: Any, method: str = "tree_shap", **more: Any) -> Entry:
    return Entry(id, format, what, build, gradient="", perturbation=method, **more)


COUNTS = {"feature_perturbation": "tree_path_dependent"}
XGBOOST, LIGHTGBM, CATBOOST = "xgboost_file", "lightgbm_file", "catboost_file"
ENTRIES = (
    _entry(
        "xgboost_two", XGBOOST, "two classes, .json", _xgboost(".json", lambda: xgboosted("binary:logistic", two()))
    ),
    _entry(
        "xgboost_three",
        XGBOOST,
        "three classes, .ubj",
        _xgboost(".ubj", lambda: xgboosted("multi:softprob", three(), num_class=3)),
    ),
    _entry(
        "xgboost_categories",
        XGBOOST,
        "two classes, a category, .json",
        _xgboost(".json", lambda: xgboosted("binary:logistic", two(), True), True),
        parameters=COUNTS,
    ),
    _entry(
        "xgboost_poisson",
        XGBOOST,
        "Poisson regression, .ubj",
        _xgboost(".ubj", lambda: xgboosted("count:poisson", np.abs(number())), margin=False),
        "kernel_shap",
    ),
    _entry("xgboost_ranking", XGBOOST, "ranking, .ubj", _xgboost(".ubj", lambda: xgboosted("rank:ndcg", three()))),
    _entry(
        "xgboost_dart",
        XGBOOST,
        "DART, .json",
        _xgboost(".json", lambda: xgboosted("reg:squarederror", number(), booster="dart")),
    ),
    _entry(
        "xgboost_linear",
        XGBOOST,
        "a linear booster, .json",
        _xgboost(".json", lambda: xgboosted("reg:squarederror", number(), booster="gblinear")),
        "kernel_shap",
    ),
    _entry(
        "lightgbm_three",
        LIGHTGBM,
        "three classes",
        _lightgbm(lambda: lightgbm_booster("multiclass", three(), num_class=3)),
    ),
    _entry("lightgbm_value", LIGHTGBM, "regression", _lightgbm(lambda: lightgbm_booster("l1", number()))),
    _entry(
        "lightgbm_categories",
        LIGHTGBM,
        "two classes, a category",
        _lightgbm(lambda: lightgbm_booster("binary", two(), True), True),
        parameters=COUNTS,
    ),
    _entry("catboost_value", CATBOOST, "regression, .cbm", _catboost(".cbm", lambda: catboosted("RMSE", number()))),
    _entry(
        "catboost_three",
        CATBOOST,
        "three classes, .json",
        _catboost(".json", lambda: catboosted("MultiClass", three())),
    ),
    _entry(
        "catboost_leafwise",
        CATBOOST,
        "two classes, leaf-wise trees, .cbm",
        _catboost(".cbm", lambda: catboosted("Logloss", two(), grow_policy="Lossguide")),
    ),
    _entry(
        "catboost_categories",
        CATBOOST,
        "two classes, a category, .cbm",
        _catboost(".cbm", lambda: catboosted("Logloss", two(), True), True),
        parameters=COUNTS,
        facts=Facts(background=csv()),
    ),
)
