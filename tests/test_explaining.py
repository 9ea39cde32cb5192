"""Why a config, in words a person understands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import metastore
from recommenders import Question, ask, make
from recommenders.explaining import explanation, text
from recommenders.recommender import Evidence, Neighbour, Recommendation
from recommenders.sparseness import thinly_covered
from tests.views import small_view, view_from_parquet


def neighbour(name: str, weight: float, rank: int, configs: int = 40) -> Neighbour:
    return Neighbour(name, 1 - weight, weight, 1, 0.8, rank, configs)


NEAR = (
    neighbour("credit-g", 0.3, 1),
    neighbour("adult", 0.25, 1),
    neighbour("bank", 0.2, 1),
    neighbour("churn", 0.1, 4),
    neighbour("mofn", 0.08, 39),
    neighbour("vote", 0.05, 0),
    neighbour("heart", 0.02, 7),
)


def recommended(*near: Neighbour, **options: object) -> Recommendation:
    evidence = Evidence("nearest", near, n_datasets=50, n_runs=900, **options)  # type: ignore[arg-type]
    return Recommendation("forest", {"max_depth": 40}, 0.83, (0.80, 0.86), 40.0, evidence)


def test_the_whole_sentence() -> None:
    assert explanation(recommended(*NEAR, thin=("max_depth",)), "accuracy") == (
        "3 of your 7 nearest datasets (credit-g, adult, bank) had their best run here; "
        "expected accuracy 0.83 (0.8 to 0.86) in about 40 s; "
        "far from the densest evidence in max_depth"
    )


def test_a_risk_of_failing_is_said_from_one_in_twenty_on() -> None:
    risky = explanation(recommended(*NEAR, risk=0.346), "accuracy")
    assert "in about 40 s; 35% likely to fail, as others did here" in risky
    assert "fail" not in explanation(recommended(*NEAR, risk=0.04), "accuracy")


def test_more_than_three_are_cut_and_one_is_one() -> None:
    many = [neighbour(f"d{i}", 0.3 - i / 100, 1) for i in range(5)]
    assert "5 of your 5 nearest datasets (d0, d1, d2, ...) had" in explanation(
        recommended(*many), "accuracy"
    )
    assert "1 of your 2 nearest datasets (adult) had its best run here" in explanation(
        recommended(NEAR[1], NEAR[4]), "accuracy"
    )


def test_nobodys_best_may_be_among_the_best_tenth() -> None:
    assert explanation(recommended(NEAR[3], NEAR[4]), "accuracy").startswith(
        "on 1 of your 2 nearest datasets (churn) it was among the best tenth; expected"
    )
    assert explanation(recommended(NEAR[4], NEAR[5]), "accuracy").startswith("expected")


def test_no_dataset_is_near_where_all_count_alike() -> None:
    alike = [replace(one, weight=0.02) for one in NEAR]
    assert explanation(recommended(*alike), "accuracy").startswith("expected")
    assert explanation(recommended(*NEAR, abstained=True), "accuracy").startswith("expected")


def test_what_is_unknown_is_not_said() -> None:
    unknown = replace(recommended(), value=math.nan, interval=(math.nan,) * 2, seconds=math.nan)
    assert explanation(unknown, "accuracy") == "expected accuracy unknown"


def test_thin_evidence_is_where_few_runs_lie() -> None:
    configs: list[dict[str, object]] = [
        {"depth": d, "lr": 10.0**-e, "kind": "a", "same": 1}
        for d in (3, 4, 5)
        for e in (1, 2, 3)
        for _ in range(1)
    ]
    configs += [{"depth": 90, "lr": 0.01, "kind": "b", "same": 1}]
    view = small_view(np.full((12, len(configs)), 0.5), configs=configs)
    one = recommended()
    asked = [
        {"depth": 4, "lr": 0.01, "kind": "a", "same": 1},
        {"depth": 60, "lr": 0.1, "kind": "c", "same": 1, "new": 3},
        {"depth": 4, "lr": 30.0, "kind": "a", "same": 1},
    ]
    found = thinly_covered(view, [replace(one, algorithm="a", config=c) for c in asked])
    assert found == [(), ("depth", "kind"), ("lr",)]
    assert thinly_covered(view, [replace(one, algorithm="never seen")]) == [()]


def test_real_advice_explains_itself(realdata: Callable[[str], Path]) -> None:
    folder = realdata("autosklearn_md")
    view = view_from_parquet(folder / "runs.parquet", "bac_loss", folder / "metafeatures.parquet")
    asked = view.datasets[5]
    (one,) = make("nearest").fit(view.without([asked])).recommend(asked, n=1)
    said = explanation(one, "bac_loss")
    assert len(one.evidence.neighbours) == 7
    assert " of your 7 nearest datasets (" in said
    assert "expected bac_loss 0." in said
    assert " s" in said


def test_the_answer_carries_it(small_store: Path) -> None:
    store = metastore.open(small_store)
    question = Question("accuracy", recommender="nearest", as_new=True)
    answer = ask(store, "wine", question=question)
    assert all(isinstance(r.evidence.thin, tuple) for r in answer.recommendations)
    assert "because" in text(answer)


@pytest.mark.parametrize("width", [60, 100])
def test_long_explanations_are_wrapped(small_store: Path, width: int) -> None:
    answer = ask(metastore.open(small_store), "wine", question=Question("accuracy", as_new=True))
    first = replace(answer.recommendations[0], evidence=recommended(*NEAR).evidence)
    shown = text(replace(answer, recommendations=(first,)), width)
    assert max(map(len, shown.splitlines())) <= width
    assert "3 of your 7" in " ".join(shown.split())
