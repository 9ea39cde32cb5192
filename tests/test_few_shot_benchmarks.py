"""The few-shot benchmarks at a tiny size; nothing here looks at a time."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.few_shot import run, table
from benchmarks.few_shot.omniglot import Omniglot, embedded
from benchmarks.few_shot.published import ASKED, PUBLISHED
from benchmarks.few_shot.recipes import COMPARING, GRADIENT, METHODS, SETTINGS, Recipe, recipe
from learners.anil import anil
from learners.embedding import EmbeddingLearner
from learners.evaluation import evaluate
from learners.networks import Conv4, Flatten
from learners.protonet import ProtoNet
from learners.samplers import ClassSampler, Shape, class_images
from learners.settled import Settled
from learners.siamese import Siamese
from learners.snail import Snail
from learners.training import Trained, Training

SMALL = Conv4(0, filters=4)


@pytest.fixture(scope="module")
def characters(realdata) -> torch.Tensor:
    """Ten characters of Omniglot, 20 drawings each."""
    images = class_images(realdata("omniglot/omniglot_28x28.npz"))
    return torch.from_numpy(images[:10])[:, :, None]


@pytest.mark.parametrize("learner", [ProtoNet(SMALL), Siamese(SMALL, 4), Snail(SMALL, 4, 5)])
def test_episodes_of_embeddings_score_as_those_of_images(
    learner: EmbeddingLearner, characters: torch.Tensor
) -> None:
    sampler = ClassSampler(characters, Shape(5, 1, 3), 7)
    state = learner.finish(learner.init(0), sampler.sample(0, 4))
    z = embedded(characters, learner.network, state)
    found = evaluate(replace(learner, network=Flatten()), state, replace(sampler, images=z), 30)
    expected = evaluate(learner, state, sampler, 30)
    assert found.mean == pytest.approx(expected.mean, abs=1e-6)


def test_every_method_has_a_recipe_on_characters() -> None:
    for method in METHODS:
        found = recipe(method, "5w1s")
        found.learner.check_ways(5)
        if found.first is not None and not found.fixed:
            mine, first = found.learner.init(0), found.first.learner.init(0)
            shared = {k: v.shape for k, v in first.items() if k.startswith("net.")}
            assert shared and shared.items() <= {k: v.shape for k, v in mine.items()}.items()
    assert {*COMPARING, *GRADIENT} <= set(METHODS)


def test_centred_embeddings_keep_their_distances(characters: torch.Tensor) -> None:
    learner = ProtoNet(SMALL)
    state = learner.finish(learner.init(0), ClassSampler(characters, Shape(5, 1, 3)).sample(0, 4))
    data = Omniglot(characters[:6], characters[6:8], characters[8:])
    found = data.embedded(Trained(learner, state))
    assert float(found.train.mean((0, 1)).abs().max()) < 1e-5
    z = embedded(data.test, SMALL, state)
    torch.testing.assert_close(torch.cdist(found.test[0], found.test[1]), torch.cdist(z[0], z[1]))


def test_a_run_writes_what_it_found_and_what_came_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, realdata
) -> None:
    realdata("omniglot/omniglot_28x28.npz")
    quick = Training(1, validation_episodes=2)
    first = Recipe(ProtoNet(SMALL), quick, Shape(5, 1, 1), iterations=2)
    second = Recipe(Snail(SMALL, 4, 5, scale=0.25), quick, Shape(5, 1, 1), iterations=3)
    made = replace(second, first=first, easier=((1, 2, 1),))
    monkeypatch.setattr(run, "recipe", lambda method, benchmark: made)
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["run", "snail", "5w1s", "--episodes", "20", *folders])
    run.main()
    result = json.loads((tmp_path / "snail-5w1s-0.json").read_text())
    said = "python -m benchmarks.few_shot.run snail 5w1s --episodes 20 --seed 0 --device cpu"
    assert result["command"] == said
    assert set(result["scores"]) == {"5w1s"} and result["iterations"] == 3
    assert [one["iterations"] for one in result["first"]] == [2]
    assert result["begun"]["n_episodes"] == 2
    assert result["cpu_seconds"] > 0 and result["first"][0]["cpu_seconds"] > 0
    assert str(tmp_path) not in json.dumps(result)
    assert table.cpu_seconds(result) == result["cpu_seconds"] + result["first"][0]["cpu_seconds"]


def test_a_run_that_goes_on_from_an_embedding_says_what_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, realdata
) -> None:
    realdata("omniglot/omniglot_28x28.npz")
    quick = Training(1, validation_episodes=4)
    first = Recipe(ProtoNet(SMALL), quick, Shape(5, 1, 1), iterations=2)
    learner = anil(Settled(replace(SMALL, n_out=5)), steps=20)
    made = Recipe(learner, replace(quick, rate=1e-6), Shape(5, 1, 1), iterations=1, first=first)
    monkeypatch.setattr(run, "recipe", lambda method, benchmark: made)
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["run", "anil", "5w1s", "--episodes", "4", *folders])
    run.main()
    result = json.loads((tmp_path / "anil-5w1s-0.json").read_text())
    # A step of no length to speak of leaves what it began with, on the same validation episodes.
    assert result["begun"] == result["history"][-1]["validation"]
    assert set(result["scores"]) == {"5w1s"}


def test_the_table_has_every_method_and_its_published_row(tmp_path: Path, capsys) -> None:
    score = {"mean": 0.875, "half_width": 0.01, "n_episodes": 600, "larger_is_better": True}
    point = {"iteration": 10, "seconds": 60.0, "loss": 1.0, "validation": score}
    measured = {**point, "cpu_seconds": 30.0}
    earlier = {"iterations": 5, "cpu_seconds": 12.0, "history": [measured]}
    result = {
        "scores": {"5w1s": score},
        "first": [earlier],
        "begun": score,
        "iterations": 10,
        "seconds": 90.0,
        "cpu_seconds": 48.0,
        "history": [measured, point],
    }
    (tmp_path / "matching-5w1s-0.json").write_text(json.dumps(result))
    (tmp_path / "matching-sinusoid-0.json").write_text("{}")
    found = table.results(tmp_path)
    lines = list(table.rows(found))
    mine = next(line for line in lines if line[0] == "matching")
    cost = "5 + 10 iterations, 1.0 CPU min, begun at 87.5 on validation characters"
    expected = [cost, "87.5 ± 1.0", *["not run"] * 3]
    assert mine == ["matching", *expected]
    assert {line[0] for line in lines} >= set(METHODS)
    assert ["published", "", "98.1", "98.9", "93.8", "98.5"] in lines
    assert table.curve(result) == ([42.0, 60.0], [87.5, 87.5])
    table.draw(found, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"


def test_figures_belong_to_methods_and_settings() -> None:
    assert {name.partition(",")[0] for name in (*PUBLISHED, *ASKED)} <= set(METHODS)
    assert all(len(row) == len(SETTINGS) for row in (*PUBLISHED.values(), *ASKED.values()))


def test_what_was_timed_and_not_run_says_how_long_it_would_take(tmp_path) -> None:
    timed = {setting: {"seconds": 0.6, "hours": 10.2} for setting in SETTINGS}
    assert list(table.not_run(tmp_path)) == []
    path = tmp_path / "full_protocol.json"
    path.write_text(json.dumps({"iterations": {"maml": timed}}))
    (line,) = table.not_run(tmp_path)
    assert line[0] == "maml, published protocol"
    assert line[2:] == ["not run, 10 h"] * 4
    path.write_text(json.dumps({"iterations": {"maml": {"5w1s": timed["5w1s"]}}}))
    (line,) = table.not_run(tmp_path)
    assert line[2:] == ["not run, 10 h", *["not run"] * 3]
