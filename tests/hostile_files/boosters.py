"""XGBoost, LightGBM and CatBoost: good files with bytes changed, and trees that lead nowhere."""

import json
import random
import re
from pathlib import Path

from hostile import Hostile, World

SEEDS = range(6)


def table():
    import numpy as np

    numbers = np.random.default_rng(0).random((120, 4))
    return numbers, (numbers[:, 0] + numbers[:, 1] > 1).astype(int)


def xgboost(path: Path) -> None:
    from xgboost import XGBClassifier

    XGBClassifier(n_estimators=4, max_depth=3, n_jobs=1).fit(*table()).save_model(path)


def lightgbm(path: Path) -> None:
    import lightgbm

    settings = {"verbose": -1, "objective": "binary", "num_threads": 1, "min_data_in_leaf": 5}
    lightgbm.train(settings, lightgbm.Dataset(*table()), 4).save_model(path)


def catboost(path: Path) -> None:
    from catboost import CatBoostClassifier

    one = CatBoostClassifier(iterations=4, depth=3, verbose=False, allow_writing_files=False, thread_count=1)
    one.fit(*table()).save_model(str(path), format=path.suffix[1:])


MAKERS = {
    "xgboost_json": (xgboost, "model.json"),
    "xgboost_ubj": (xgboost, "model.ubj"),
    "lightgbm": (lightgbm, "model.txt"),
    "catboost": (catboost, "model.cbm"),
    "catboost_json": (catboost, "model.json"),
}


def mutated(kind, seed):
    """Some bytes changed, cut out or doubled, behind the ones that tell the format."""

    def build(folder: Path, world: World) -> Path:
        make, name = MAKERS[kind]
        path = folder / name
        make(path)
        drawn = random.Random(f"{kind} {seed}")
        data = bytearray(path.read_bytes())
        for _ in range(drawn.randint(1, 12)):
            at = drawn.randrange(64, len(data))
            match drawn.randrange(5):
                case 0:
                    data[at] = drawn.randrange(256)
                case 1:
                    data[at : at + 4] = drawn.choice([b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"9999", b"-999"])
                case 2:
                    del data[at : at + drawn.randrange(1, 9)]
                case 3:
                    data[at:at] = data[at : at + drawn.randrange(1, 99)]
                case 4:
                    data[at] ^= 1 << drawn.randrange(8)
        path.write_bytes(data)
        return path

    return build


def edited(kind, edit):
    """A good file with its text, or its JSON, edited."""

    def build(folder: Path, world: World) -> Path:
        make, name = MAKERS[kind]
        path = folder / name
        make(path)
        found = edit(json.loads(path.read_text()) if name.endswith("json") else path.read_text())
        path.write_text(found if isinstance(found, str) else json.dumps(found))
        return path

    return build


def trees(change):
    """Every tree of an XGBoost file changed."""

    def edit(model):
        for one in model["learner"]["gradient_booster"]["model"]["trees"]:
            change(one)
        return model

    return edited("xgboost_json", edit)


def parameters(**given):
    def edit(model):
        model["learner"]["learner_model_param"].update(given)
        return model

    return edited("xgboost_json", edit)


def lines(key, value):
    """A line of every tree of a LightGBM file replaced."""
    return edited(
        "lightgbm",
        lambda text: re.sub(rf"^{key}=.*$", lambda found: f"{key}={value(found[0].split('=')[1])}", text, flags=re.M),
    )


def every(value):
    return lambda given: " ".join([str(value)] * len(given.split()))


def catboost_trees(change):
    def edit(model):
        for one in model["oblivious_trees"]:
            change(one)
        return model

    return edited("catboost_json", edit)


CASES = {
    "xgboost_json_cycle": trees(lambda one: one.update(left_children=[0] * len(one["left_children"]), right_children=[0] * len(one["right_children"]))),
    "xgboost_json_children_outside": trees(lambda one: one.update(left_children=[10**6 if n >= 0 else n for n in one["left_children"]])),
    "xgboost_json_features_outside": trees(lambda one: one.update(split_indices=[10**6] * len(one["split_indices"]))),
    "xgboost_json_lengths_differ": trees(lambda one: one.update(base_weights=one["base_weights"][:1], split_conditions=[])),
    "xgboost_json_many_nodes": trees(lambda one: one["tree_param"].update(num_nodes="2000000000")),
    "xgboost_json_many_features": parameters(num_feature="4000000000"),
    "xgboost_json_many_classes": parameters(num_class="2000000000"),
    "xgboost_json_base_score": parameters(base_score="nan"),
    "xgboost_json_deep": edited("xgboost_json", lambda model: '{"learner":{"a":' + "[" * 200_000 + "]" * 200_000 + "}}"),
    "xgboost_json_bomb": edited("xgboost_json", lambda model: '{"learner":{"a":[' + "0," * 20_000_000 + "0]}}"),
    "lightgbm_children_outside": lines("left_child", every(10**6)),
    "lightgbm_children_far_below": lines("right_child", every(-(10**8))),
    "lightgbm_cycle": lines("left_child", every(0)),
    "lightgbm_features_outside": lines("split_feature", every(10**7)),
    "lightgbm_many_leaves": lines("num_leaves", lambda given: str(2**31 - 1)),
    "lightgbm_few_leaves": lines("num_leaves", lambda given: "1"),
    "lightgbm_no_leaves": lines("num_leaves", lambda given: "-5"),
    "lightgbm_many_features": edited("lightgbm", lambda text: re.sub(r"max_feature_idx=\d+", "max_feature_idx=2147483646", text)),
    "lightgbm_many_classes": edited("lightgbm", lambda text: text.replace("num_class=1", "num_class=2000000000")),
    "lightgbm_short_arrays": lines("threshold", lambda given: "0.5"),
    "lightgbm_linear": edited("lightgbm", lambda text: text.replace("is_linear=0", "is_linear=1")),
    "lightgbm_parameters": edited("lightgbm", lambda text: text.replace("parameters:\n", "parameters:\n[machines: 127.0.0.1:9]\n[num_machines: 2]\n[input_model: /etc/passwd]\n[forcedsplits_filename: /etc/passwd]\n")),
    "catboost_json_splits_outside": catboost_trees(lambda one: [split.update(float_feature_index=10**6) for split in one["splits"]]),
    "catboost_json_few_leaves": catboost_trees(lambda one: one.update(leaf_values=one["leaf_values"][:1])),
    "catboost_json_many_splits": catboost_trees(lambda one: one.update(splits=one["splits"] * 20)),
    "catboost_json_deep": edited("catboost_json", lambda model: '{"oblivious_trees":' + "[" * 200_000 + "]" * 200_000 + "}"),
}  # fmt: skip
ENTRIES = (
    *(
        Hostile(
            f"{id}",
            id.partition("_")[0],
            f"a file with {id.replace('_', ' ')}",
            build,
            shape=(4,),
            may_open=True,
            slow="bomb" in id,
        )
        for id, build in CASES.items()
    ),
    *(
        Hostile(
            f"{kind}_mutated_{seed}",
            kind.partition("_")[0],
            f"a good file with bytes changed, seed {seed}",
            mutated(kind, seed),
            shape=(4,),
            may_open=True,
        )
        for kind in MAKERS
        for seed in SEEDS
    ),
)
