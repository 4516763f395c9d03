"""Boosted trees of XGBoost, LightGBM and CatBoost as their own files hold them, as functions from rows to scores.

None of the libraries is imported here but by the objects themselves. `contributions` is each library's own tree SHAP,
in the flavour where an absent feature follows both branches (Lundberg and others, 2020, arXiv:1905.04610).
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from model_zoo.frames import Knowledge, spell
from model_zoo.types import Column, Output, Task, UserError

LOGARITHMS = {  # losses whose trees add up the logarithm of the prediction
    "xgboost": ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"),
    "lightgbm": ("poisson", "gamma", "tweedie"),
    "catboost": ("Poisson", "Tweedie", "LogLinQuantile"),
}
MULTI_LABEL = ("MultiLogloss", "MultiCrossEntropy")  # of CatBoost: the labels do not exclude one another
TEXT = re.compile(r"^\[?(objective|feature_infos|categorical_feature)(?:=|: )(.*?)\]?$", re.MULTILINE)


class Booster:
    """One booster: what it predicts, of what, and what it knows of its columns."""

    def __init__(self, own: Any) -> None:
        self.own = own
        self.task: Task = "regression"
        self.classes: tuple[str, ...] | None = None
        self.logits = False  # whether the margin is a logit, so that its softmax or sigmoid is the probability
        self.chances = False  # whether it gives probabilities
        self.link = ""  # "log" or "log-odds": what the trees add up, of each number that is predicted
        self.unit = ""  # of a regression's values, where the loss says it
        self.trees = True

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The kinds of number that it gives, what its trees add up first."""
        if self.task == "regression":
            return ("value",)
        logits: tuple[Output, ...] = ("logit",) if self.logits else ()
        return (*logits, "probability") if self.chances else logits

    def knowledge(self) -> Knowledge:
        """Its columns."""
        raise NotImplementedError

    def scores(self, table: Any, output: Output) -> np.ndarray:
        """Margins for "logit", probabilities (of the second class, where there are two) or values, of a table."""
        raise NotImplementedError

    def margins(self, table: Any) -> np.ndarray:
        """What the trees add up, (rows,) or (rows, outputs), whatever it means."""
        return self.scores(table, "logit")

    def contributions(self, table: Any) -> np.ndarray:
        """(rows, features + 1) or (rows, outputs, features + 1): the library's own tree SHAP, the start last."""
        raise NotImplementedError


class XGBoost(Booster):
    """xgboost.Booster; where training stopped early, its rounds up to the best, as XGBClassifier predicts."""

    def __init__(self, own: Any) -> None:
        config = json.loads(own.save_config())["learner"]
        name = config["objective"]["name"]
        trees = config["gradient_booster"]["name"] != "gblinear"
        best = str(own.attr("best_iteration") or "")
        if trees and best.isdigit() and int(best) + 1 < own.num_boosted_rounds():
            own = own[: int(best) + 1]
        super().__init__(own)
        self.trees = trees
        self.link = "log" if name in LOGARITHMS["xgboost"] else ""
        self._hinge = name == "binary:hinge"  # predicts 0 or 1; its margin is no log-odds, so it is taken for a value
        two = name in ("binary:logistic", "binary:logitraw", "reg:logistic")
        self.task = "binary" if two else "classification" if name.startswith("multi:") else "regression"
        self.logits = self.task != "regression"
        self.chances = name in ("binary:logistic", "reg:logistic", "multi:softprob")

    def knowledge(self) -> Knowledge:
        """Names, and the categories that XGBoost 3.1 and later keep; earlier ones keep their places alone."""
        width, types = self.own.num_features(), self.own.feature_types or ()
        names = tuple(self.own.feature_names or ())
        known: dict[str, tuple[Any, ...]] = {}
        if "c" in types and hasattr(self.own, "get_categories"):
            kept = self.own.get_categories(export_to_arrow=True).to_arrow() or ()
            known = {name: tuple(values.to_pylist()) for name, values in kept if values is not None}
        return _knowledge(names, width, known)

    def scores(self, table: Any, output: Output) -> np.ndarray:
        """As Booster says."""
        return self.own.predict(self._matrix(table), output_margin=output == "logit" or self._hinge)

    def contributions(self, table: Any) -> np.ndarray:
        """As Booster says."""
        return self.own.predict(self._matrix(table), pred_contribs=True)

    def _matrix(self, table: Any) -> Any:
        import xgboost

        if hasattr(table, "columns"):
            return xgboost.DMatrix(table, enable_categorical=True)
        return xgboost.DMatrix(table, feature_names=self.own.feature_names, feature_types=self.own.feature_types)


class LightGBM(Booster):
    """lightgbm.Booster."""

    def __init__(self, own: Any) -> None:
        super().__init__(own)
        self._said = dict(TEXT.findall(own.model_to_string(num_iteration=1)))
        name, *rest = self._said.get("objective", "").split() or [""]
        two = name in ("binary", "cross_entropy", "xentropy")
        self.task = "binary" if two else "classification" if name.startswith("multiclass") else "regression"
        steep = next((float(one[8:]) for one in rest if one.startswith("sigmoid:")), 1.0)
        self.logits = name in ("multiclass", "cross_entropy", "xentropy") or (name == "binary" and steep == 1)
        self.chances = self.task != "regression"
        self.link = "log" if name in LOGARITHMS["lightgbm"] else ""
        if name == "multiclassova" and steep == 1:
            self.link = "log-odds"

    def knowledge(self) -> Knowledge:
        """Names, the ranges seen in training and, of a model trained on a pandas table, the categories."""
        names, infos = tuple(self.own.feature_name()), self._said.get("feature_infos", "").split()
        found = self._categories(names, infos) if self.own.pandas_categorical else {}
        ranges = {name: _range(info) for name, info in zip(names, infos, strict=False) if info[:1] == "["}
        numbered = all(re.fullmatch(r"Column_\d+", name) for name in names)
        return _knowledge(() if numbered else names, len(names), found, ranges, names)

    def _categories(self, names: tuple[str, ...], infos: list[str]) -> dict[str, tuple[Any, ...]]:
        """The words of each category, () where it is not certain whose they are.

        The file has the words of every pandas category, in the order of the columns, and says elsewhere which columns
        it took for categories: not the ordered ones, and integers too where it was told to.
        """
        kept, said = self.own.pandas_categorical, self._said.get("categorical_feature", "")
        if re.fullmatch(r"\d+(,\d+)*", said):
            places = sorted(place for place in map(int, said.split(",")) if place < len(names))
        else:  # of a column with one category alone nothing is noted
            places = [place for place, info in enumerate(infos) if info[:1] != "[" and ":" in info]
        known = [_codes(infos[place]) for place in places] if len(infos) == len(names) else []
        fitting = len(kept) == len(known) and all(most < len(words) for most, words in zip(known, kept, strict=True))
        return {
            names[place]: tuple(words)
            for place, words in zip(places, kept if fitting else [()] * len(places), strict=True)
        }

    def scores(self, table: Any, output: Output) -> np.ndarray:
        """As Booster says."""
        return np.asarray(self.own.predict(table, raw_score=output == "logit"))

    def contributions(self, table: Any) -> np.ndarray:
        """As Booster says."""
        found = np.asarray(self.own.predict(table, pred_contrib=True))
        outputs = self.own.num_model_per_iteration()
        return found.reshape(len(found), outputs, -1) if outputs > 1 else found


class CatBoost(Booster):
    """catboost.CatBoost and what derives from it."""

    def __init__(self, own: Any) -> None:
        super().__init__(own)
        try:
            loss = str(own.get_all_params().get("loss_function", ""))
        except Exception:  # a model that was not trained here may have no parameters, and says so in its own way
            loss = ""
        self.loss = loss.partition(":")[0]
        classes = [] if own.classes_ is None else list(own.classes_)
        labels = self.loss in MULTI_LABEL
        if labels:
            self.unit = "probability"
        elif self.loss in ("MultiClass", "MultiClassOneVsAll") or len(classes) > 2:
            self.task = "classification"
        elif self.loss in ("Logloss", "CrossEntropy") or len(classes) == 2:
            self.task = "binary"
        self.logits = self.task != "regression" and self.loss != "MultiClassOneVsAll"
        self.chances = self.task != "regression"
        if labels or self.loss == "MultiClassOneVsAll":
            self.link = "log-odds"
        elif self.loss in LOGARITHMS["catboost"]:
            self.link = "log"
        if classes:
            word = "label" if labels else "class"
            self.classes = tuple(one if isinstance(one, str) else f"{word} {one}" for one in classes)

    def knowledge(self) -> Knowledge:
        """Names, and which columns are categories; CatBoost keeps hashes of them, not their words."""
        names = tuple(map(str, self.own.feature_names_))
        places = {names[place]: () for place in self.own.get_cat_feature_indices()}
        numbered = all(name == str(place) for place, name in enumerate(names)) and not places
        return _knowledge(() if numbered else names, len(names), places)

    def scores(self, table: Any, output: Output) -> np.ndarray:
        """As Booster says; values of several labels are a probability each, those of Poisson and its like exponents."""
        kind = "Probability" if output == "probability" else "RawFormulaVal"
        if output == "value":
            kind = {"log": "Exponent", "log-odds": "Probability"}.get(self.link, kind)
        found = np.asarray(self.own.predict(self._text(table), prediction_type=kind))
        return found[:, 1] if self.task == "binary" and kind == "Probability" else found

    def contributions(self, table: Any) -> np.ndarray:
        """As Booster says."""
        import catboost

        pool = catboost.Pool(self._text(table), cat_features=self.own.get_cat_feature_indices())
        return np.asarray(self.own.get_feature_importance(pool, type="ShapValues"))

    def _text(self, table: Any) -> Any:
        """A missing category is a text of its own here."""
        if not hasattr(table, "columns"):
            return table
        categories = [table.columns[place] for place in self.own.get_cat_feature_indices()]
        return table.assign(**{name: table[name].astype(object).fillna("nan").astype(str) for name in categories})


def booster(one: Any) -> Booster | None:
    """One of the three libraries' own boosters; None for anything else, UserError if it was never trained."""
    for base in type(one).__mro__:
        match base.__module__.partition(".")[0], base.__name__:
            case "xgboost", "Booster":
                return XGBoost(_grown(one))
            case "lightgbm", "Booster":
                return LightGBM(_grown(one))
            case "catboost", "CatBoost":
                return CatBoost(_grown(one))
    return None


def inside(one: Any) -> Booster | None:
    """The booster that something is, or that a library's wrapper for scikit-learn holds; None for anything else."""
    package = type(one).__module__.partition(".")[0]
    if package == "xgboost" and hasattr(one, "get_booster"):
        one = one.get_booster()
    elif package == "lightgbm" and hasattr(one, "booster_"):
        one = one.booster_
    return booster(one)


def count(one: Any) -> int:
    """The trees, or rounds, of one of the three libraries' boosters."""
    for name in ("num_boosted_rounds", "num_trees"):
        if hasattr(one, name):
            return getattr(one, name)()
    return getattr(one, "tree_count_", None) or 0


def _grown(one: Any) -> Any:
    if not count(one):
        raise UserError(
            f"This {type(one).__module__.partition('.')[0]} model has no trees: it was saved before it was trained, or"
            " its training stopped at once. Train it and save it again."
        )
    return one


def _codes(info: str) -> int:
    """The largest code of a category that LightGBM saw."""
    return max((int(one) for one in info.split(":") if one.isdigit()), default=0)


def _range(info: str) -> tuple[float, float] | None:
    try:
        low, high = info.strip("[]").split(":")
        return float(low), float(high)
    except ValueError:
        return None


def _knowledge(
    names: tuple[str, ...],
    width: int,
    categories: dict[str, tuple[Any, ...]],
    ranges: dict[str, tuple[float, float] | None] | None = None,
    keys: tuple[str, ...] = (),
) -> Knowledge:
    keys = keys or names or tuple(map(str, range(width)))
    shown = names or tuple(f"feature {place}" for place in range(width))
    columns = []
    for key, name in zip(keys, shown, strict=True):
        low, high = (ranges or {}).get(key) or (None, None)
        if key in categories:
            columns.append(Column(name, "category", categories=tuple(map(spell, categories[key]))))
        else:
            columns.append(Column(name, low=low, high=high))
    values = {place: categories[key] for place, key in enumerate(keys) if key in categories}
    return Knowledge(names, tuple(columns), values, pandas=True)
