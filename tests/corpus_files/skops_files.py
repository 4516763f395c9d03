"""Estimators of scikit-learn as people have them: pipelines on tables with categories, forests, boosting, margins."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpus import Built, Entry

CITIES = ("Bern", "Lyon", "Oslo")
PLANS = ("basic", "extra")
ROW = {"age": 41.0, "income": 5.2, "city": "Lyon", "plan": "extra", "rooms": 3}


@functools.cache
def people() -> Any:
    """300 rows of numbers, words and whole numbers that are categories."""
    import pandas as pd

    draw = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "age": draw.normal(40, 12, 300).round(),
            "income": draw.gamma(3, 2, 300).round(1),
            "city": draw.choice(CITIES, 300),
            "plan": draw.choice(PLANS, 300),
            "rooms": draw.choice([1, 2, 3], 300),
        }
    )


def churn() -> np.ndarray:
    """Whether each left: by age, plan and city."""
    table = people()
    score = (table["age"] - 40) / 12 + 1.5 * (table["plan"] == "basic") - (table["city"] == "Oslo") * 1.2
    return np.where(score + np.random.default_rng(6).normal(0, 0.3, 300) > 0.4, "left", "stayed")


def bands() -> np.ndarray:
    """Three classes by income."""
    return np.digitize(people()["income"], [4, 7])


def prepared(*, ordinal: bool = False) -> Any:
    """The columns prepared as in the documentation of scikit-learn."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    encoder = OrdinalEncoder() if ordinal else OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["age", "income"]),
            ("words", make_pipeline(SimpleImputer(strategy="most_frequent"), encoder), ["city", "plan"]),
            ("rooms", OneHotEncoder(), ["rooms"]),
        ]
    )


def pipeline(model: Any, y: np.ndarray, **how: Any) -> Any:
    """A fitted pipeline on the table."""
    from sklearn.pipeline import make_pipeline

    return make_pipeline(prepared(**how), model).fit(people(), y)


def numbers() -> np.ndarray:
    """The numeric columns as an array (300, 3)."""
    return people()[["age", "income", "rooms"]].to_numpy(dtype=np.float64)


def decoded(x: np.ndarray) -> Any:
    """One row of the table that x stands for, by hand."""
    import pandas as pd

    return pd.DataFrame(
        {
            "age": [x[0]],
            "income": [x[1]],
            "city": [CITIES[int(x[2])]],
            "plan": [PLANS[int(x[3])]],
            "rooms": [[1, 2, 3][int(x[4])]],
        }
    )


def _file(train: Callable[[], Any], scores: Callable[[Any, Any], np.ndarray], raw: Any, table: bool) -> Any:
    def build(folder: Path) -> Built:
        import skops.io

        own, path = train(), folder / "model.skops"
        skops.io.dump(own, path)
        return Built(path, raw, lambda x: scores(own, decoded(x) if table else x[None])[0])

    return build


def _people(train: Callable[[], Any], scores: Callable[[Any, Any], np.ndarray]) -> Any:
    return _file(train, scores, ROW, True)


def _numbers(train: Callable[[], Any], scores: Callable[[Any, Any], np.ndarray]) -> Any:
    return _file(train, scores, [41.0, 5.2, 3.0], False)


def chances(own: Any, rows: Any) -> np.ndarray:
    """As the library predicts."""
    return own.predict_proba(rows)


def margin(own: Any, rows: Any) -> np.ndarray:
    """As the library decides."""
    return own.decision_function(rows)


def value(own: Any, rows: Any) -> np.ndarray:
    """As the library predicts a number."""
    return own.predict(rows)


def logistic() -> Any:
    """Logistic regression on numbers and categories."""
    from sklearn.linear_model import LogisticRegression

    return pipeline(LogisticRegression(), churn())


def perceptron() -> Any:
    """A network on numbers and categories, three classes."""
    from sklearn.neural_network import MLPClassifier

    return pipeline(MLPClassifier((8,), max_iter=500, tol=0.01, random_state=0), bands(), ordinal=True)


def ridge() -> Any:
    """A regression on numbers and categories."""
    from sklearn.linear_model import Ridge

    table = people()
    return pipeline(Ridge(), table["age"].to_numpy() + 3 * (table["city"] == "Oslo"))


def forest() -> Any:
    """A forest on an array."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(12, max_depth=4, random_state=0).fit(numbers(), churn())


def histogram() -> Any:
    """Histogram boosting of three classes on an array."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=8, max_leaf_nodes=5, random_state=0).fit(numbers(), bands())


def histogram_of_categories() -> Any:
    """Histogram boosting that takes its categories from the table's own types."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    own = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=5, random_state=0)
    return own.fit(people().astype({"city": "category", "plan": "category", "rooms": "category"}), churn())


def vectors() -> Any:
    """A support vector machine, whose margins are no probabilities."""
    from sklearn.svm import SVC

    return pipeline(SVC(), churn())


def searched() -> Any:
    """A search over a pipeline."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    whole = make_pipeline(prepared(), LogisticRegression())
    return GridSearchCV(whole, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(people(), churn())


def isolation() -> Any:
    """A detector of outliers."""
    from sklearn.ensemble import IsolationForest

    return IsolationForest(n_estimators=12, random_state=0).fit(numbers())


def boosted() -> Any:
    """XGBoost's wrapper on an array."""
    import xgboost

    return xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1).fit(numbers(), churn() == "left")


def boosted_light() -> Any:
    """LightGBM's wrapper in a pipeline with categories."""
    import lightgbm

    return pipeline(lightgbm.LGBMRegressor(n_estimators=8, num_leaves=5, n_jobs=1, verbose=-1), people()["age"] ** 1.1)


def histogram_rows(own: Any, rows: Any) -> np.ndarray:
    """As the library predicts of a table with pandas' categories."""
    rows = rows.assign(
        **{
            name: rows[name].astype(people().astype({name: "category"})[name].dtype)
            for name in ("city", "plan", "rooms")
        }
    )
    return own.decision_function(rows)


TEXTS = (
    "a good film, and a joy",
    "a bad film and a bore",
    "what a joy",
    "not good at all",
    "bad, bad",
    "joy of a film",
)


def texts() -> Any:
    """A classifier of texts by their words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=10)).fit(
        TEXTS * 3, ["good", "bad", "good", "bad", "bad", "good"] * 3
    )


def _texts(folder: Path) -> Built:
    import skops.io

    own, path, text = texts(), folder / "model.skops", "Not a good film;  a bore, a bore"
    skops.io.dump(own, path)
    return Built(path, text, lambda x: own.predict_proba([text])[0])


SKOPS = "skops_file"


def _entry(id: str, what: str, build: Any, method: str = "kernel_shap", **parameters: Any) -> Entry:
    return Entry(id, SKOPS, what, build, gradient="", perturbation=method, parameters=parameters)


ENTRIES = (
    _entry("skops_logistic", "logistic regression, pipeline with categories", _people(logistic, chances)),
    _entry(
        "skops_perceptron",
        "MLPClassifier, three classes, ordinal categories",
        _people(perceptron, chances),
        "occlusion",
    ),
    _entry("skops_ridge", "Ridge, pipeline with categories", _people(ridge, value), "occlusion"),
    _entry("skops_forest", "random forest", _numbers(forest, chances), "tree_shap"),
    _entry("skops_histogram", "histogram boosting, three classes", _numbers(histogram, margin), "tree_shap"),
    _entry(
        "skops_histogram_categories",
        "histogram boosting with categories",
        _people(histogram_of_categories, histogram_rows),
    ),
    _entry("skops_vectors", "SVC, pipeline with categories, margins", _people(vectors, margin)),
    _entry("skops_search", "grid search over a pipeline", _people(searched, chances)),
    _entry("skops_isolation", "isolation forest", _numbers(isolation, margin)),
    _entry(
        "skops_xgboost",
        "XGBClassifier",
        _numbers(boosted, lambda own, rows: own.predict(rows, output_margin=True)),
        "tree_shap",
    ),
    _entry("skops_texts", "texts by TF-IDF and logistic regression", _texts, "occlusion"),
    _entry("skops_lightgbm", "LGBMRegressor, pipeline with categories", _people(boosted_light, value)),
)
