"""The search estimator: scikit-learn's own checks, and what it asks, tries and records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import loguniform, randint
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

import metastore
from metastore import DatasetRef, MetaStore
from metastore.errors import InvalidInputError, UnknownNameError
from metastore.types import MetricValue, RunRecord
from recommenders import HeadstartSearchCV
from recommenders.advisor import Advisor
from recommenders.worth import worth

CONFIGS = [{"C": c, "gamma": g} for c in (0.1, 1.0, 30.0) for g in ("scale", 0.3, 3.0)]


def fill(store: MetaStore) -> MetaStore:
    """Record real grid searches on two datasets."""
    for load in (load_iris, load_breast_cancer):
        X, y = load(return_X_y=True)
        X, y = (X / X.max(axis=0))[::3], y[::3]
        ref = store.dataset(X, y, name=load.__name__.removeprefix("load_"))
        grids = [
            (SVC(), {"C": [0.1, 1.0, 30.0], "gamma": ["scale", 0.3, 3.0]}),
            (LogisticRegression(max_iter=200), {"C": [0.1, 1.0]}),
            (Ridge(), {"alpha": [0.1, 1.0]}),
        ]
        for estimator, grid in grids:
            store.record_search(GridSearchCV(estimator, grid, cv=2).fit(X, y), ref)
    return store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MetaStore:
    store = fill(metastore.open(tmp_path_factory.mktemp("search") / "store"))
    store.absorb()
    return store


@pytest.fixture
def store(made: MetaStore, tmp_path: Path) -> MetaStore:
    import shutil  # noqa: PLC0415

    return metastore.open(shutil.copytree(made.paths.folder, tmp_path / "store"))


def wine() -> tuple[Any, Any]:
    X, y = load_wine(return_X_y=True)
    return X / X.max(axis=0), y


def expected_failures(estimator: HeadstartSearchCV) -> dict[str, str]:
    if isinstance(estimator.estimator, Ridge):
        return {"check_supervised_y_2d": "no DataConversionWarning; GridSearchCV fails it as well"}
    return {}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@parametrize_with_checks(
    [
        HeadstartSearchCV(LogisticRegression(), "store", cv=2, n_iter=2, error_score="raise"),
        HeadstartSearchCV(
            Ridge(), "store", DatasetRef("named"), cv=2, n_iter=2, error_score="raise"
        ),
        HeadstartSearchCV(
            make_pipeline(StandardScaler(), LogisticRegression()),
            "store",
            DatasetRef("named"),
            cv=2,
            n_iter=2,
            param_distributions={"logisticregression__C": [0.1, 1.0]},
            error_score="raise",
        ),
    ],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_own_checks(
    estimator: Any, check: Any, store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(store.paths.folder.parent)
    check(estimator)


def test_it_asks_tries_and_records(store: MetaStore) -> None:
    X, y = wine()
    search = HeadstartSearchCV(SVC(), store, "wine", n_iter=4, cv=3).fit(X, y)
    tried = search.cv_results_["params"]
    assert len(tried) == 4 == len(search.recommendations_)
    assert all(params in CONFIGS for params in tried)
    assert search.dataset_ == "wine"
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])
    assert search.predict(X[:3]).shape == (3,)
    runs = store.rows(
        "SELECT count(*) AS n FROM runs JOIN datasets USING (dataset_id) WHERE name = 'wine'"
    )
    assert runs == [{"n": 4}]
    outcomes = store.rows("SELECT count(*) AS n FROM recommendation_outcomes WHERE value > 0")
    assert outcomes == [{"n": 4}]


def test_later_configs_take_the_earlier_ones_into_account(store: MetaStore) -> None:
    X, y = wine()
    search = HeadstartSearchCV(SVC(), store, "wine", n_iter=3, cv=3, recommender="nearest")
    first, *_ = search.fit(X, y).recommendations_
    method = search.recommendations_[-1].evidence
    assert first.evidence.n_datasets == method.n_datasets == 2
    assert len({str(r.config) for r in search.recommendations_}) == 3


def test_fitting_twice_gives_the_same(store: MetaStore) -> None:
    X, y = wine()
    search = HeadstartSearchCV(SVC(), store, "wine", n_iter=4, cv=3)
    first = search.fit(X, y).cv_results_["params"]
    assert search.fit(X, y).cv_results_["params"] == first
    assert clone(search).fit(X, y).cv_results_["params"] == first


def test_distributions_beside_what_the_store_knows(store: MetaStore) -> None:
    X, y = wine()
    search = HeadstartSearchCV(
        SVC(),
        store,
        param_distributions={
            "C": loguniform(0.05, 5),
            "gamma": [0.3, "auto"],
            "degree": randint(2, 4),
        },
        n_iter=8,
        cv=3,
        random_state=0,
    ).fit(X, y)
    tried = search.cv_results_["params"]
    assert len({str(p) for p in tried}) == 8
    assert all(0.05 <= p["C"] <= 5 and p["gamma"] in (0.3, "auto") for p in tried)
    assert {p["degree"] for p in tried} <= {2, 3}


@pytest.fixture
def kernels(tmp_path: Path) -> MetaStore:
    """Where a linear kernel wants a small C, and the other one a large C and gives more."""
    store = metastore.open(tmp_path / "kernels")
    store.add(
        [
            RunRecord(
                DatasetRef(f"past-{number}"),
                "sklearn.svm.SVC",
                {"C": C, **config},
                (MetricValue("accuracy", 0.9 - 0.1 * abs(np.log10(C) - best) + more),),
            )
            for number in range(6)
            for config, best, more in (({"kernel": "linear"}, -1, 0.0), ({}, 2, 0.08))
            for C in (0.01, 0.1, 1.0, 10.0, 100.0)
        ]
    )
    return store


@pytest.mark.parametrize(("kernel", "first"), [("linear", 0.1), ("rbf", 100.0)])
def test_what_the_estimator_sets_itself_is_part_of_what_is_asked(
    kernels: MetaStore, kernel: str, first: float
) -> None:
    X, y = wine()
    search = HeadstartSearchCV(
        SVC(kernel=kernel),
        kernels,
        "wine",
        param_distributions={"C": [0.01, 0.1, 1.0, 10.0, 100.0]},
        n_iter=3,
        cv=2,
    ).fit(X, y)
    assert search.cv_results_["params"][0] == {"C": first}
    assert {r.config.get("kernel", "rbf") for r in search.recommendations_} == {kernel}


def test_past_configs_that_leave_a_setting_to_the_estimator_are_told_with_it(
    kernels: MetaStore,
) -> None:
    X, y = wine()
    search = HeadstartSearchCV(SVC(kernel="linear"), kernels, "wine", n_iter=9, cv=2).fit(X, y)
    assert len({r.config["C"] for r in search.recommendations_}) == 5
    assert {r.config.get("kernel") for r in search.recommendations_} == {"linear"}


def test_advice_to_replace_a_step_is_followed_by_the_run_of_it(store: MetaStore) -> None:
    """The settings of the step that is gone are part of neither."""
    X, y = wine()
    own, other = SVC(C=5.0), LogisticRegression(max_iter=500)
    HeadstartSearchCV(
        make_pipeline(StandardScaler(), own),
        store,
        "wine",
        param_distributions={"svc": [own, other]},
        n_iter=2,
        cv=2,
    ).fit(X, y)
    (found,) = worth(store, "wine").worths
    assert (found.followed, found.advised) == (2, 2)


def test_a_store_that_knows_the_same_data_alone(tmp_path: Path) -> None:
    X, y = wine()
    search = HeadstartSearchCV(
        SVC(), tmp_path / "store", param_distributions={"C": [0.1, 1.0, 10.0]}, n_iter=3, cv=2
    )
    tried = [sorted(p["C"] for p in search.fit(X, y).cv_results_["params"]) for _ in range(2)]
    assert tried == [[0.1, 1.0, 10.0]] * 2


def test_objects_among_the_choices(store: MetaStore) -> None:
    X, y = wine()
    scaler = StandardScaler()
    pipe = make_pipeline(scaler, SVC())
    search = HeadstartSearchCV(
        pipe,
        store,
        param_distributions={"standardscaler": [scaler, "passthrough"], "svc__C": [0.1, 10.0]},
        n_iter=4,
        cv=2,
        random_state=0,
    ).fit(X, y)
    kinds = {type(p["standardscaler"]).__name__ for p in search.cv_results_["params"]}
    assert kinds <= {"StandardScaler", "str"}


def test_a_store_that_knows_nothing_is_filled(tmp_path: Path) -> None:
    X, y = wine()
    empty = metastore.open(tmp_path / "store")
    tree = DecisionTreeClassifier(random_state=0)
    with pytest.raises(InvalidInputError, match=r"param_distributions=\{...\}"):
        HeadstartSearchCV(tree, empty).fit(X, y)
    search = HeadstartSearchCV(
        tree, empty, param_distributions={"max_depth": randint(1, 9)}, n_iter=3, random_state=1
    )
    assert len(search.fit(X, y).cv_results_["params"]) == 3
    iris = load_iris(return_X_y=True)
    later = HeadstartSearchCV(tree, empty, "iris", n_iter=2).fit(*iris)
    assert all(p in search.cv_results_["params"] for p in later.cv_results_["params"])


@pytest.mark.parametrize("n_iter", [2, 3, 6])
def test_with_nothing_known_each_config_is_tried_once(tmp_path: Path, n_iter: int) -> None:
    search = HeadstartSearchCV(
        SVC(),
        metastore.open(tmp_path),
        n_iter=n_iter,
        param_distributions={"C": [0.1, 1.0, 10.0]},
        random_state=1,
    )
    search.fit(*wine())
    tried = [one["C"] for one in search.cv_results_["params"]]
    assert len(set(tried)) == len(tried) == min(n_iter, 3)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore:One or more of the test scores:UserWarning")
@pytest.mark.filterwarnings("ignore:\n.*fits failed:sklearn.exceptions.FitFailedWarning")
@pytest.mark.filterwarnings("ignore:.*not in cv_results_:sklearn.exceptions.FitFailedWarning")
def test_failed_configs_are_failed_runs(store: MetaStore, seed: int) -> None:
    """Wherever in the search they come, alone in their batch as they are."""
    X, y = wine()
    choices = {"C": [-1.0, 0.1, 30.0], "gamma": ["scale"]}
    search = HeadstartSearchCV(
        SVC(), store, param_distributions=choices, n_iter=3, cv=2, random_state=seed
    )
    search.fit(X, y)
    tried = search.cv_results_
    kept = dict(zip([p["C"] for p in tried["params"]], tried["mean_test_score"], strict=True))
    assert np.isnan(kept.pop(-1.0, np.nan))
    assert sorted(kept) == [0.1, 30.0]
    assert np.isfinite(list(kept.values())).all()
    ended = store.rows(
        "SELECT config FROM run_states JOIN configs USING (config_id) WHERE status = 'failed'"
    )
    assert [row["config"] for row in ended] == ['{"C":-1.0,"gamma":"scale"}']


def test_a_search_in_which_nothing_can_be_fitted_fails(store: MetaStore) -> None:
    search = HeadstartSearchCV(SVC(), store, param_distributions={"C": [-1.0, -2.0]}, cv=2)
    with pytest.raises(ValueError, match="must be a float in the range"):
        search.fit(*wine())


def test_a_lower_is_better_metric_guides_by_its_own_direction(
    store: MetaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score of -0.3 is told as a log loss of 0.3, as the store has it."""
    model, grid = LogisticRegression(max_iter=500), {"C": [0.1, 1.0, 10.0]}
    X, y = load_iris(return_X_y=True)
    scoring = ["neg_log_loss", "accuracy"]
    past = GridSearchCV(model, grid, cv=2, scoring=scoring, refit=False).fit(X, y)
    store.record_search(past, "iris")
    told: list[list[float | None]] = []
    ask = Advisor.recommend

    def listen(one: Advisor, observed: Any, *rest: Any) -> Any:
        told.append([o.value for o in observed])
        return ask(one, observed, *rest)

    monkeypatch.setattr(Advisor, "recommend", listen)
    options: dict[str, Any] = {"scoring": scoring, "refit": "neg_log_loss", "n_iter": 3, "cv": 2}
    search = HeadstartSearchCV(model, store, "wine", **options).fit(*wine())
    scores = search.cv_results_["mean_test_neg_log_loss"]
    assert search.best_index_ == int(np.argmax(scores))
    assert told[:3] == [[], [-scores[0]], [-scores[0], -scores[1]]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cv": ShuffleSplit(2)}, InvalidInputError, "random_state=0"),
        ({"n_iter": 0}, ValueError, "n_iter"),
        ({"param_distributions": {"C": 3}}, InvalidInputError, "expected a list"),
        ({"param_distributions": {"C": []}}, InvalidInputError, "expected a list"),
        ({"recommender": "autom"}, UnknownNameError, "did you mean 'auto'"),
    ],
)
def test_wrong_options(
    store: MetaStore, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        HeadstartSearchCV(SVC(), store, **options).fit(*wine())


@pytest.mark.parametrize("scoring", [None, ["neg_log_loss", "accuracy"]])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_was_tried_before_an_interrupt_is_recorded(
    store: MetaStore, scoring: list[str] | None, error: type[BaseException]
) -> None:
    X, y = wine()
    fitted: list[float] = []

    class Interrupted(LogisticRegression):  # type: ignore[misc]
        def fit(self, X: Any, y: Any) -> Interrupted:
            fitted.append(self.C)
            if len(fitted) == 7:
                raise error
            super().fit(X, y)
            return self

    search = HeadstartSearchCV(
        Interrupted(max_iter=500),
        store,
        "wine",
        param_distributions={"C": [0.1, 1.0, 10.0, 100.0]},
        cv=2,
        scoring=scoring,
        refit=scoring[1] if scoring else True,
        algorithm="sklearn.linear_model.LogisticRegression",
        error_score="raise",
    )
    with pytest.raises(error):
        search.fit(X, y)
    (found,) = worth(store, "wine").worths
    assert (found.metric, found.followed, found.advised, found.tried) == ("accuracy", 3, 3, 3)
    assert 0.5 < found.best <= 1
    assert len(search.fit(X, y).cv_results_["params"]) == 4
    fitted.clear()
    with pytest.raises(error):
        search.fit(X, y)
    (again,) = worth(store, "wine").worths
    assert again.tried == 4
    runs = "SELECT count(*) AS n FROM runs JOIN datasets USING (dataset_id) WHERE name = 'wine'"
    assert store.rows(runs) == [{"n": 3 + 4 + 3}]


def test_nothing_is_recorded_where_that_is_asked(store: MetaStore) -> None:
    HeadstartSearchCV(SVC(), store, "wine", n_iter=2, cv=2, record=False).fit(*wine())
    assert store.rows("SELECT count(*) AS n FROM recommendations") == [{"n": 0}]


def test_a_search_within_a_time(store: MetaStore) -> None:
    """However short it is one config is tried; however long, no more than asked for."""
    search = HeadstartSearchCV(SVC(), store, dataset="wine", cv=2, n_iter=4, max_seconds=1e-6)
    search.fit(*wine())
    assert len(search.cv_results_["params"]) == 1
    assert search.recommendations_[0].seconds > 0
    long = clone(search).set_params(max_seconds=1e6).fit(*wine())
    assert len(long.cv_results_["params"]) == 4
    assert len({str(p) for p in long.cv_results_["params"]}) == 4
    most = clone(long).set_params(n_iter=None).fit(*wine())
    assert len(most.cv_results_["params"]) == len(CONFIGS)  # there are no more
    drawn = clone(long).set_params(algorithm="nobody ever ran", max_seconds=1e-6)
    drawn.set_params(param_distributions={"C": loguniform(0.1, 10)}).fit(*wine())
    assert len(drawn.cv_results_["params"]) == 1
    with pytest.raises(ValueError, match="max_seconds"):
        clone(search).set_params(max_seconds=0).fit(*wine())


def test_the_quickest_of_equals_comes_first(tmp_path: Path) -> None:
    """Trees of a forest that made no difference on past datasets, but took their time."""
    store = metastore.open(tmp_path / "store")
    X, y = load_iris(return_X_y=True)
    for columns in ([2], [2, 3]):  # petals tell the first class from the others
        ref = store.dataset(X[:, columns], y == 0, name=f"petals{columns}")
        grid = {"n_estimators": [4, 250], "max_depth": [1, 4]}
        search = GridSearchCV(RandomForestClassifier(random_state=0), grid, cv=5)
        assert set(search.fit(X[:, columns], y == 0).cv_results_["mean_test_score"]) == {1.0}
        store.record_search(search, ref)
    usual = HeadstartSearchCV(RandomForestClassifier(random_state=0), store, cv=2, n_iter=1)
    timed = clone(usual).set_params(max_seconds=60.0)
    assert timed.fit(*wine()).best_params_["n_estimators"] == 4
