"""scikit-learn's estimators as skops saves them: a zip with schema.json and one .npy or .npz for each array.

skops builds an object only of types that it is told to trust; the list is fixed here. Beside its own, which are the
estimators of scikit-learn, numpy and scipy, it has what those are made of, and the boosters' wrappers. Some of them
(trees, neighbour searches, boosters) trust their own bytes, so such a file belongs into the sandbox.
"""

from __future__ import annotations

import json
import warnings

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _archives
from model_zoo.types import UserError, quoted

SCHEMA = "schema.json"
MOST_SCHEMA = 64 << 20
TRUSTED = (
    "builtins.object",
    "builtins.slice",
    "catboost.core.CatBoost",
    "catboost.core.CatBoostClassifier",
    "catboost.core.CatBoostRegressor",
    "collections.OrderedDict",
    "collections.defaultdict",
    "functools.partial",
    "lightgbm.basic.Booster",
    "lightgbm.sklearn.LGBMClassifier",
    "lightgbm.sklearn.LGBMRanker",
    "lightgbm.sklearn.LGBMRegressor",
    "numpy.dtype",
    "numpy.mean",
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "scipy.sparse._csr.csr_matrix",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._mutual_info.mutual_info_classif",
    "sklearn.feature_selection._mutual_info.mutual_info_regression",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"sklearn.gaussian_process.kernels.{one}"
        for one in ("ConstantKernel", "DotProduct", "Exponentiation", "ExpSineSquared", "Matern", "Product")
    ),
    *(f"sklearn.gaussian_process.kernels.{one}" for one in ("RBF", "RationalQuadratic", "Sum", "WhiteKernel")),
    *(
        f"sklearn.metrics._classification.{one}"
        for one in ("accuracy_score", "balanced_accuracy_score", "f1_score", "precision_score", "recall_score")
    ),
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.metrics._ranking.roc_auc_score",
    *(
        f"sklearn.metrics._regression.{one}"
        for one in ("mean_absolute_error", "mean_squared_error", "r2_score", "root_mean_squared_error")
    ),
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._Scorer",
    *(
        f"sklearn.model_selection._split.{one}"
        for one in ("GroupKFold", "KFold", "RepeatedStratifiedKFold", "StratifiedKFold", "TimeSeriesSplit")
    ),
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
    "sklearn.utils.validation.check_array",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
    "xgboost.sklearn.XGBRanker",
    "xgboost.sklearn.XGBRFClassifier",
    "xgboost.sklearn.XGBRFRegressor",
    "xgboost.sklearn.XGBRegressor",
)


def sniff(file: ModelFile) -> bool:
    """Whether it is a zip with the schema that skops writes."""
    return not file.folder and SCHEMA in file.entries


def open(file: ModelFile, said: Facts) -> Opened:
    """The estimator, if it is made of trusted types alone."""
    try:
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException
    except ImportError as error:
        raise UserError("To open scikit-learn models, install skops: pip install 'assay[formats]'.") from error
    _archives.bounded(file)
    version = _version(file)
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            estimator = skops.io.load(file.path, trusted=list(TRUSTED))
    except UntrustedTypesFoundException as error:
        found = sorted(set(skops.io.get_untrusted_types(file=file.path)) - set(TRUSTED))
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise UserError(
            f"{file.name} holds {', '.join(found[:3])}{more}, which is none of the types that are opened from a file."
            " Replace it with one of scikit-learn's, or explain the model from Python with model_zoo.wrap."
        ) from error
    except Exception as error:  # a damaged file may raise anything
        raise UserError(
            f"skops could not load {file.name} ({quoted(error)}). Save it again with the versions of"
            " skops and scikit-learn that are installed here."
        ) from error
    from model_zoo.formats import _estimators

    opened = _estimators.opened(estimator, file.name, f" saved by skops {version}".rstrip())
    other = next((str(one.message) for one in told if "version" in str(one.message)), "")
    note = " ".join(other.split())[:200].rstrip(". ")
    return opened if not note else _estimators.noted(opened, f"scikit-learn warns: {note}.")


def _version(file: ModelFile) -> str:
    try:
        return str(json.loads(file.member(SCHEMA, MOST_SCHEMA))["_skops_version"])[:20]
    except UserError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{file.name} has a {SCHEMA} and is no skops file, or is damaged; save it with skops.io.dump."
        ) from error


FORMAT = Format(
    id="skops_file",
    title="scikit-learn model (skops)",
    endings=(".skops",),
    trust=Trust.SANDBOX,
    sniff=sniff,
    open=open,
    summary="Pipelines and estimators of scikit-learn, explained on their raw columns; forests by tree SHAP too.",
)
