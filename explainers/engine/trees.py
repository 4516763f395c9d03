"""Boosted trees that shap does not read by itself, in the forms that it does.

LightGBM grows one tree a class in turn, and shap's interventional flavour adds all up; here are the trees of one class.
CatBoost's trees are not read by that flavour at all. An oblivious one asks the same question at every node of a level:
    leaf = sum over levels i of [x > border_i] * 2^i,
so as a binary tree in heap order the last level's question is the root's. Its JSON also holds trees with questions of
their own (grow_policy Lossguide and Depthwise).
Reference: Prokhorenkova and others (2018), arXiv:1706.09516; catboost.ai, "Model export as JSON".
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from model_zoo import boosters
from model_zoo.types import UserError

CATEGORICAL = (
    "These trees split by sets of categories, which the interventional flavour does not read; choose the"
    " tree_path_dependent one, or KernelSHAP, which asks any model."
)


class CategoricalError(UserError):
    """Trees that split by sets of categories, which only the path-dependent flavour reads."""


def readable(trees: Any, index: int) -> Any:
    """What shap.TreeExplainer reads in place of these trees, for output `index`; None where it reads these."""
    booster = boosters.inside(trees)
    if isinstance(booster, boosters.CatBoost):
        return _catboost(booster, index)
    if isinstance(booster, boosters.LightGBM) and booster.own.num_model_per_iteration() > 1:
        from shap.explainers._tree import SingleTree

        grown = booster.own.dump_model()["tree_info"]
        return [SingleTree(one) for one in grown[index :: booster.own.num_model_per_iteration()]]
    if isinstance(booster, boosters.XGBoost):  # without the rounds after the best one
        return booster.own
    return None


def _catboost(booster: boosters.CatBoost, index: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        booster.own.save_model(str(path), format="json")
        said = json.loads(path.read_text())
    numbers = {one["feature_index"]: one for one in said["features_info"].get("float_features", [])}
    scale, offsets = said["scale_and_bias"]
    offsets = offsets if isinstance(offsets, list) else [offsets]
    outputs = len(offsets)
    one = index if outputs > 1 else 0
    grow = _Oblivious if "oblivious_trees" in said else _Branching
    return {
        "tree_output": "log_odds" if booster.task == "binary" else "raw_value",
        "base_offset": float(offsets[one]),
        "trees": [grow(tree, numbers, outputs, one, float(scale)).arrays() for tree in said[grow.key]],
    }


class _Tree:
    """Nodes in the order in which they are met: an inner one has a feature, a border and two children."""

    key = ""

    def __init__(self, tree: Any, numbers: dict[int, Any], outputs: int, index: int, scale: float) -> None:
        self.numbers, self.outputs, self.index, self.scale = numbers, outputs, index, scale
        self.left: list[int] = []
        self.right: list[int] = []
        self.default: list[int] = []
        self.feature: list[int] = []
        self.border: list[float] = []
        self.value: list[float] = []
        self.grow(tree)

    def grow(self, tree: Any) -> None:
        raise NotImplementedError

    def leaf(self, value: float) -> int:
        return self._node(-1, -1, -1, -1, 0.0, value * self.scale)

    def inner(self, split: Any) -> int:
        """A node whose children are said later."""
        if split["split_type"] != "FloatFeature":
            raise CategoricalError(CATEGORICAL)
        number = self.numbers[split["float_feature_index"]]
        at = self._node(0, 0, 0, number["flat_feature_index"], split["border"], 0.0)
        self.default[at] = int(number.get("nan_value_treatment") == "AsTrue")  # 1: to the right, below
        return at

    def join(self, at: int, left: int, right: int) -> None:
        self.left[at], self.right[at] = left, right
        self.default[at] = right if self.default[at] else left

    def _node(self, left: int, right: int, default: int, feature: int, border: float, value: float) -> int:
        for kept, one in (
            (self.left, left),
            (self.right, right),
            (self.default, default),
            (self.feature, feature),
            (self.border, border),
            (self.value, value),
        ):
            kept.append(one)  # type: ignore[arg-type]
        return len(self.left) - 1

    def arrays(self) -> dict[str, np.ndarray]:
        """As shap.TreeExplainer takes a tree; x <= threshold goes left."""
        return {
            "children_left": np.array(self.left, dtype=np.int32),
            "children_right": np.array(self.right, dtype=np.int32),
            "children_default": np.array(self.default, dtype=np.int32),
            "features": np.array(self.feature, dtype=np.int32),
            "thresholds": np.array(self.border, dtype=np.float64),
            "values": np.array(self.value, dtype=np.float64)[:, None],
            "node_sample_weight": np.ones(len(self.left)),
        }


class _Oblivious(_Tree):
    key = "oblivious_trees"

    def grow(self, tree: Any) -> None:
        splits = (tree.get("splits") or [])[::-1]
        for depth, split in enumerate(splits):
            for _ in range(2**depth):
                self.inner(split)
        inner = len(self.left)
        for value in tree["leaf_values"][self.index :: self.outputs]:
            self.leaf(value)
        for at in range(inner):
            self.join(at, 2 * at + 1, 2 * at + 2)


class _Branching(_Tree):
    key = "trees"

    def grow(self, tree: Any) -> None:
        """Without recursion, since such a tree may be deep."""
        waiting = [(tree, -1)]
        sides: dict[int, list[int]] = {}
        while waiting:
            node, above = waiting.pop()
            if "split" in node:
                at = self.inner(node["split"])
                sides[at] = []
                waiting += [(node["right"], at), (node["left"], at)]
            else:
                value = node["value"]
                at = self.leaf(value[self.index] if isinstance(value, list) else value)
            if above >= 0:
                sides[above].append(at)
        for at, (left, right) in sides.items():
            self.join(at, left, right)
