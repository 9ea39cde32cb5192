"""Stored names become estimators; anything outside the allowed packages does not."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils import all_estimators

from metastore.errors import InvalidInputError, MissingDependencyError
from metastore.importers.flows import flow_name, settings
from recommenders.estimators import to_estimator
from recommenders.recommender import Evidence, Recommendation


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.svm.SVC",
        "sklearn.svm._classes.SVC",
        "sklearn.svm.classes.SVC",
        "SVC",
        "sklearn.SVC",
    ],
)
def test_every_way_to_name_a_class(name: str) -> None:
    estimator = to_estimator(name, {"C": 3.0})
    assert type(estimator) is SVC
    assert estimator.C == 3.0


def test_a_recommendation_becomes_an_estimator() -> None:
    recommendation = Recommendation(
        "sklearn.RandomForestClassifier", {"max_depth": 3}, 0.9, (0.8, 1.0), 1.0, Evidence("x")
    )
    assert repr(recommendation.to_estimator()) == "RandomForestClassifier(max_depth=3)"


def test_other_packages() -> None:
    pytest.importorskip("lightgbm")
    assert to_estimator("lightgbm.LGBMClassifier", {"num_leaves": 7}).num_leaves == 7


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(with_mean=False), SVC(C=2.0)),
        CalibratedClassifierCV(SVC(kernel="linear"), cv=2),
        OneVsRestClassifier(LogisticRegression(C=0.5)),
        VotingClassifier([("a", SVC(C=3.0)), ("b", "drop")], voting="soft"),
        GaussianProcessRegressor(RBF(2.0) + WhiteKernel(0.5), alpha=0.1),
        make_pipeline("passthrough", TfidfVectorizer(ngram_range=(1, 2))),
        MLPClassifier(hidden_layer_sizes=(5, 5)),
    ],
    ids=flow_name,
)
def test_a_flow_comes_back_from_its_name_and_settings(estimator: Any) -> None:
    again = to_estimator(flow_name(estimator), settings(estimator))
    assert repr(again) == repr(estimator)


def test_every_estimator_of_scikit_learn_has_a_name_that_comes_back() -> None:
    for _, kind in all_estimators():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # deprecated classes
            try:
                estimator = kind()
            except TypeError:  # needs an argument
                continue
        assert settings(estimator) == {}, kind
        name = flow_name(estimator)
        assert not name.split(".")[-2].startswith("_"), name
        assert kind.__name__ == name.rpartition(".")[2]


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("os.system", {}, "only classes of sklearn, lightgbm"),
        ("subprocess.Popen", {"args": ["true"]}, "only classes of sklearn, lightgbm"),
        ("sklearnx.svm.SVC", {}, "only classes of sklearn"),
        ("sklearn.utils.os", {}, "not an estimator"),
        ("sklearn.svm._classes.np.ndarray", {}, "not an estimator"),
        ("sklearn.datasets.load_iris", {}, "not an estimator"),
        ("sklearn.svm.SVX", {}, "did you mean SVR, SVC"),
        ("sklearn..svm.Nothing", {}, "not an estimator"),
        ("sklearn.nothing.Nothing", {}, "not an estimator"),
        ("Unheard", {}, "is not an estimator"),
        ("", {}, "not the name of a flow"),
        ("sklearn.svm.SVC(", {}, "not the name of a flow"),
        ("sklearn.svm.SVC)x", {}, "not the name of a flow"),
        ("sklearn.pipeline.Pipeline", {}, "needs 'steps'"),
        ("sklearn.svm.SVC(a=sklearn.svm.SVC)", {}, "no part named 'a'"),
        ("sklearn.compose.ColumnTransformer(a=passthrough)", {}, "cannot be rebuilt"),
        (
            "sklearn.svm.SVC",
            {"c": 1.0},
            "no parameter 'c'; .*did you mean|no parameter 'c'; it has",
        ),
        ("sklearn.svm.SVC", {"svc__C": 1.0}, "no parameter 'svc__C'; did you mean C"),
        ("sklearn.svm.SVC", {"kernel": "sklearn.datasets.load_files"}, "not an estimator"),
        ("sklearn.svm.SVC", {"kernel": "sklearn.metrics._x"}, "not a function"),
        ("sklearn.svm.SVC", {"kernel": "sklearn.metrics.np"}, "not a function"),
    ],
)
def test_what_cannot_be_built_says_why(name: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        to_estimator(name, config)


def test_a_missing_package_is_named() -> None:
    if "catboost" in sys.modules:
        pytest.skip("catboost is installed")
    with pytest.raises(MissingDependencyError, match="pip install catboost"):
        to_estimator("catboost.CatBoostClassifier", {})


def test_a_foreign_class_inside_an_allowed_module_is_not_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    foreign = type("Foreign", (SVC,), {"__module__": "elsewhere"})
    monkeypatch.setattr("sklearn.svm.Foreign", foreign, raising=False)
    with pytest.raises(InvalidInputError, match="not an estimator"):
        to_estimator("sklearn.svm.Foreign", {})


def test_settings_leave_out_what_is_no_hyperparameter() -> None:
    forest = RandomForestClassifier(max_depth=2, random_state=3, n_jobs=2, verbose=1)
    assert settings(forest) == {"max_depth": 2}


def test_building_leaves_defaults_alone() -> None:
    assert to_estimator("RandomForestClassifier", {}).get_params() == (
        RandomForestClassifier().get_params()
    )
