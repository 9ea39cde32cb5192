"""`headstart learn` and `headstart learners`, as a person would use them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_diabetes

torch = pytest.importorskip("torch")

import metastore  # noqa: E402
from learners import training  # noqa: E402
from learners.catalogue import catalogue  # noqa: E402
from learners.checkpoint import restore  # noqa: E402
from learners.errors import LearnerError  # noqa: E402
from learners.recipes import Inputs, recipe  # noqa: E402
from metastore import MetaStore  # noqa: E402
from metastore.errors import StoreBusyError  # noqa: E402
from recommenders.starts.loading import load_start  # noqa: E402
from recommenders.starts.training import TASKS  # noqa: E402
from tests.commands import RunIt  # noqa: E402
from tests.processes import python  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def images(realdata, tmp_path: Path) -> Path:
    with np.load(realdata("omniglot/omniglot_28x28.npz")) as file:
        np.savez(tmp_path / "images.npz", images=file["images"][:30])
    return tmp_path / "images.npz"


def test_learners_lists_every_method_with_its_citation(headstart: RunIt) -> None:
    rows = headstart("learners", "--json").json
    assert [row["method"] for row in rows] == [method.key for method in catalogue()]
    assert all(row["citation"] and row["needs"] and row["good_for"] for row in rows)
    assert len(list(csv.DictReader(io.StringIO(headstart("learners", "--csv").out)))) == len(rows)
    assert "protonet" in headstart("learners").out


def test_listing_learners_and_help_import_no_torch() -> None:
    for words in (["learners"], ["learn", "--help"]):
        code = (
            f"import sys\nsys.argv = ['headstart', *{words}]\nimport cli\n"
            "try:\n    cli.main()\nexcept SystemExit as end:\n    assert not end.code\n"
            "assert 'torch' not in sys.modules"
        )
        done = python(code)
        assert done.returncode == 0, done.stderr


def test_learn_trains_tests_and_can_go_on(headstart: RunIt, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "starts" / "glyphs.json"
    words = ("learn", images, "--out", out, "--way", 4, "--seed", 3, "--test-episodes", 6)
    first = headstart(*words, "--episodes", 20)
    assert first.status == 0, first.err
    assert re.search(r"5 iterations in \d+ s; on 6 test episodes .*: accuracy 0\.\d+", first.out)
    assert "iteration 5, " in first.err
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    learner, state = restore(out)
    assert all(value.isfinite().all() for value in state.values())
    about = json.loads(out.read_text())["about"]
    assert about["source"] == "images.npz"
    assert not set(about["classes"]["train"]) & set(about["classes"]["test"])
    more = headstart(*words, "--episodes", 40, "--resume")
    assert more.status == 0, more.err
    assert "10 iterations" in more.out
    assert json.loads(out.read_text())["iteration"] == 10
    assert restore(out)[0] == learner


@pytest.mark.parametrize("words", [(), ("--episodes", 160)])
def test_minutes_bring_the_rate_down(
    words: tuple[object, ...], headstart: RunIt, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    train = training.meta_train

    def watched(learner, sampler, budget, *rest):
        seen.append(budget)
        return train(learner, sampler, replace(budget, iterations=1), *rest)

    monkeypatch.setattr(training, "meta_train", watched)
    args = ("learn", images, "--way", 4, "--test-episodes", 2, "--out", "one.json")
    done = headstart(*args, "--minutes", 1, *words)
    assert done.status == 0, done.err
    assert seen[0].by_time and seen[0].seconds == 60


def test_a_name_is_checked_before_training_and_made_of_the_file(
    headstart: RunIt, images: Path
) -> None:
    words = ("learn", images, "--way", 4, "--episodes", 4, "--test-episodes", 2)
    for name in ("my start", "auto", "vote"):
        failed = headstart(*words, "--out", "one.json", "--name", name)
        assert failed.status == 2
        assert repr(name) in failed.err
        assert not Path("one.json").exists()
    done = headstart(*words, "--out", "my start.json")
    assert done.status == 0, done.err
    assert "start 'my-start' is in the registry" in done.out
    added = headstart("start", "add", "my start.json", "--store", "other")
    assert added.status == 0, added.err
    assert "start 'my-start'" in added.out
    assert headstart("start", "add", "my start.json", "--name", "vote").status == 2


def test_what_is_learned_is_a_start_that_can_be_sent_on(
    headstart: RunIt, images: Path, tmp_path: Path
) -> None:
    words = ("learn", images, "--way", 4, "--episodes", 8, "--test-episodes", 6)
    done = headstart(*words, "--out", "glyphs.json", "--name", "letters", "--licence", "MIT")
    assert done.status == 0, done.err
    assert "start 'letters' is in the registry: 2-way 1-shot 0." in done.out
    (start,) = metastore.open("headstart-store").starts()
    assert (start.method, start.kind, start.licence) == ("protonet", "images", "MIT")
    assert start.input_shape == (1, 28, 28)
    assert {(one.n_way, one.k_shot) for one in start.accuracies} == {
        *((2, 1), (2, 5), (4, 1), (4, 5))
    }
    assert len(start.trained_on) == 22
    assert start.trained_on[0].startswith("images.npz:")
    assert start.normalisation["background"] == "dark"
    told = json.loads(Path("glyphs.json").read_text())
    assert told["about"]["method"] == start.method
    own = next(one for one in start.accuracies if (one.n_way, one.k_shot) == (4, 1))
    assert own.n_episodes == 6  # the test that was made anyway
    tasks = start.tasks()
    assert tasks is not None
    assert len(tasks) == TASKS
    loaded, state = load_start(start), restore(Path("glyphs.json"))[1]
    assert all(torch.equal(loaded.state[name], value) for name, value in state.items())
    assert headstart("start", "export", "letters", "one.start").status == 0
    assert headstart("start", "import", "one.start", "--store", "other").status == 0
    assert metastore.open("other").start("letters").start_id == start.start_id
    again = headstart("start", "add", "glyphs.json", "--name", "again", "--note", "sent by post")
    assert again.status == 0, again.err
    assert metastore.open("headstart-store").start("again").method == "protonet"
    assert "0 unused files" in headstart("start", "clean").err
    Path("weights.pt").write_bytes(b"pickle")
    for wrong, message in (
        (("start", "export", "nobody", "x"), "no start 'nobody'"),
        (("start", "export", "letters", "one.start"), "is there already"),
        (("start", "import", "glyphs.json"), "no exported start"),
        (("start", "add", "weights.pt"), "need unpickling"),
        (("start", "add", "one.safetensors"), "cannot be read"),
        (("start", "add", "glyphs.json", "--network", "Conv4"), "a network is JSON"),
    ):
        refused = headstart(*wrong)
        assert refused.status == 2
        assert message in refused.err


def test_a_store_that_cannot_be_written_costs_no_training(
    headstart: RunIt, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StoreBusyError("another process holds it")

    monkeypatch.setattr(MetaStore, "add_start", refuse)
    done = headstart(
        *("learn", images, "--way", 4, "--episodes", 8, "--test-episodes", 6, "--out", "one.json")
    )
    assert done.status == 0
    assert "Add it later: headstart start add one.json --name one" in done.err
    assert restore(Path("one.json"))


@pytest.mark.parametrize(
    "wrong", [("--method", "nobody"), ("--way", 400), ("--device", "tpu"), ("--target", "y")]
)
def test_a_training_that_is_refused_makes_no_store(
    headstart: RunIt, images: Path, wrong: tuple[object, ...]
) -> None:
    refused = headstart("learn", images, "--episodes", 8, "--out", "one.json", *wrong)
    assert refused.status == 2
    assert not Path("headstart-store").exists()


def test_a_regression_start_knows_its_columns(headstart: RunIt, tmp_path: Path) -> None:
    data = load_diabetes(as_frame=True).frame
    data["decade"] = pd.qcut(data.pop("age"), 10, labels=False)
    data.to_parquet("diabetes.parquet")
    done = headstart(
        *("learn", "diabetes.parquet", "--target", "target", "--group", "decade", "--shot", 10),
        *("--method", "cnp", "--episodes", 32, "--test-episodes", 4, "--out", "cnp.json"),
    )
    assert done.status == 0, done.err
    start = metastore.open("headstart-store").start("cnp")
    columns = [name for name in data.columns if name not in ("target", "decade")]
    assert start.normalisation["columns"] == columns
    assert (start.kind, start.input_shape, start.n_way) == ("rows", (len(columns),), 0)
    assert [(one.n_way, one.k_shot) for one in start.accuracies] == [(0, 10)]


def test_a_run_bound_by_minutes_ends_and_waves_need_no_file(
    headstart: RunIt, tmp_path: Path
) -> None:
    out = tmp_path / "waves.json"
    done = headstart(
        *("learn", "sinusoid", "--method", "cnp", "--shot", 10, "--minutes", 0.02, "--out", out)
    )
    assert done.status == 0, done.err
    assert "mean squared error" in done.out


def test_tensorboard_files_are_written(headstart: RunIt, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import (  # noqa: PLC0415
        EventAccumulator,
    )

    words = ("learn", "sinusoid", "--method", "maml", "--shot", 5, "--episodes", 64)
    done = headstart(*words, "--out", tmp_path / "run.json", "--tensorboard", tmp_path / "logs")
    assert done.status == 0, done.err
    events = EventAccumulator(str(tmp_path / "logs")).Reload()
    history = json.loads((tmp_path / "run.json").read_text())["history"]
    losses = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert losses == [(row["iteration"], pytest.approx(row["loss"])) for row in history]
    assert len(events.Scalars("validation/squared_error")) == len(history)


def test_what_cannot_be_done_is_said(headstart: RunIt, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    base = ("learn", images, "--out", out, "--episodes", 4, "--test-episodes", 6)
    for words, message in (
        (("learn", images, "--out", out), "how long?"),
        ((*base, "--device", "gpu"), "choose auto, cpu or cuda"),
        ((*base, "--method", "adam"), "no method named 'adam'"),
        ((*base, "--resume"), "no checkpoint at"),
        ((*base[:4], "--minutes", 0), "minutes are above 0"),
        ((*base[:4], "--minutes", "nan"), "minutes are above 0"),
        ((*base[:4], "--minutes", 1e-9), "over before the first iteration"),
        ((*base, "--way", 20), "30 classes of 6 examples or more are too few"),
        (("learn", "sinusoid", "--out", out, "--episodes", 4), "protonet classifies"),
        (("learn", images, "--out", tmp_path / "run.bin", "--episodes", 4), "a .json file"),
    ):
        done = headstart(*words)
        assert done.status == 2
        assert message in done.err
    assert headstart(*base).status == 0
    assert "is there already" in headstart(*base).err
    assert "other episodes" in headstart(*base, "--resume", "--seed", 1).err
    assert "another learner" in headstart(*base, "--resume", "--method", "siamese").err


def test_images_of_eight_pixels_are_learned(headstart: RunIt, images: Path, tmp_path: Path) -> None:
    with np.load(images) as file:
        for number, drawings in enumerate(file["images"]):
            (tmp_path / "letters" / str(number)).mkdir(parents=True)
            for i, drawing in enumerate(drawings[:6]):
                Image.fromarray(drawing).save(tmp_path / f"letters/{number}/{i}.png")
    out = tmp_path / "run.json"
    words = ("--out", out, "--episodes", 4, "--test-episodes", 6, "--side", 8)
    assert headstart("learn", "letters", *words).status == 0
    assert restore(out)[0].network.n_pooled == 3


ROWS, PICTURES, WAVES = Inputs((6,), 3, 2), Inputs((1, 28, 28), 3, 2), Inputs((2,), 0, 5)
TINY = Inputs((1, 8, 8), 3, 2)
KINDS = {"rows": ROWS, "images": PICTURES, "tiny images": TINY, "regression": WAVES}


@pytest.mark.parametrize("inputs", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("method", [method.key for method in catalogue()])
def test_every_method_has_a_recipe_that_runs_or_a_reason(method: str, inputs: Inputs) -> None:
    from learners.episode import examples  # noqa: PLC0415

    try:
        made = recipe(method, inputs)
    except LearnerError as error:
        reasons = ("classifies", "compare maps", "columns of a table")
        assert any(reason in str(error) for reason in reasons)
        assert inputs.regression or method in ("relation", "set_encoder")
        return
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, *inputs.shape, generator=generator)
    y = torch.randn(6, 1, generator=generator) if inputs.regression else torch.arange(6) % 3
    state = made.learner.init(0)
    found = made.learner.adapt(state, examples(x, y)).predict(x[:2])
    assert found.shape == (2, 1 if inputs.regression else 3)
    assert found.isfinite().all()
