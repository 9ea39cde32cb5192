"""Fine-tuning from a store: choice, prediction, keeping, recording, advice, and the commands."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from learners.maml import maml  # noqa: E402
from learners.networks import Conv4, ModuleNetwork  # noqa: E402
from learners.protonet import ProtoNet  # noqa: E402
from metastore import MetaStore  # noqa: E402
from metastore.errors import InvalidInputError, UnknownNameError  # noqa: E402
from metastore.reports import show  # noqa: E402
from metastore.types import DatasetRef  # noqa: E402
from recommenders.starts import kept_estimators  # noqa: E402
from recommenders.starts.finetuned import FineTuned, load, skeleton  # noqa: E402
from recommenders.starts.finetuning import Outcome, finetune  # noqa: E402
from recommenders.starts.fitted import Fitted, fitted_vote  # noqa: E402
from recommenders.starts.fitting import fit_scratch, fit_start  # noqa: E402
from recommenders.starts.inputs import prepare  # noqa: E402
from recommenders.starts.kept_estimators import read, written  # noqa: E402
from recommenders.starts.loading import register  # noqa: E402
from recommenders.starts.plain_classifiers import PLAIN, fit_plain  # noqa: E402
from recommenders.starts.record import past_tasks  # noqa: E402
from recommenders.starts.superseded_runs import TAG, tags_of  # noqa: E402
from recommenders.starts.support_sets import SupportSet, read_query, read_support  # noqa: E402
from recommenders.starts.tuning import SCRATCH, Tuning  # noqa: E402
from recommenders.starts.tuning_advice import Wanted, advised, past  # noqa: E402
from tests.commands import RunIt  # noqa: E402
from tests.starts import digits, start_of, write_folder  # noqa: E402

TREES = kept_estimators._trees
STEPS = Tuning("gradient", 3, 1e-3, "all", "none")


@pytest.fixture(scope="module")
def support() -> SupportSet:
    return read_support(digits(4), name="digits")


@pytest.fixture(scope="module")
def query(support: SupportSet) -> SupportSet:
    return read_query(digits(3, seed=7), support)


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    random = np.random.default_rng(0)
    job = random.choice(["clerk", "cook", "nurse"], 40)
    age = random.integers(20, 60, 40).astype(float)
    age[3] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "job": job,
            "since": pd.date_range("2020-01-01", periods=40, freq="37D"),
            "tall": np.where(job == "cook", "yes", "no"),
        }
    )


def with_starts(store: MetaStore) -> MetaStore:
    learner = ProtoNet(Conv4(0, filters=8))
    scale = {"normalisation": {"scale": "bytes divided by 255"}}
    images = {"kind": "images", "input_shape": (1, 28, 28)} | scale
    register(store, learner, learner.init(0), name="small-proto", method="protonet", **images)
    other = maml(Conv4(5, strided=True, filters=8))
    register(store, other, other.init(0), name="small-maml", method="maml", **images)
    return store


def kept(fitted: Fitted, support: SupportSet, folder: Path) -> FineTuned:
    FineTuned(fitted, skeleton(support), {"note": 1}).save(folder)
    return load(folder)


@pytest.mark.parametrize("kind", ["adapt", "gradient", "maml", "scratch", *PLAIN])
def test_a_kept_model_predicts_the_same(
    kind: str, support: SupportSet, query: SupportSet, tmp_path: Path
) -> None:
    learner = maml(Conv4(5, strided=True, filters=8)) if kind == "maml" else None
    loaded = start_of(learner or ProtoNet(Conv4(0, filters=8)))
    preparation = prepare(loaded.start, support).turned()
    if kind in PLAIN:
        fitted = fit_plain(kind, support)
    elif kind == "scratch":
        fitted = fit_scratch(support, SCRATCH.but(steps=2))
    else:
        tuning = STEPS if kind == "gradient" else Tuning()
        fitted = fit_start(loaded, preparation, support, tuning)
    again = kept(fitted.at(2.0), support, tmp_path / "model")
    assert np.allclose(again.predict_proba(query), fitted.at(2.0).probabilities(query), atol=1e-6)
    assert again.predict(query).tolist() == [
        support.values[k] if support.values else support.classes[k]
        for k in fitted.log_odds(query).argmax(1)
    ]
    assert again.about == {"note": 1}
    assert again.fitted.tuning == fitted.tuning


def test_predictions_of_images_are_the_labels_as_they_came(
    store: MetaStore, query: SupportSet, tmp_path: Path
) -> None:
    images, labels = digits(4)
    model = finetune(store, (images, labels), "nearest centroid", record=False).model
    model.save(tmp_path / "model")
    for one in (model, load(tmp_path / "model")):
        said = one.predict(images)
        assert said.dtype.kind == "i"
        assert (said == labels).mean() > 0.8
    mixed = finetune(store, (images[:8], ["a", 1] * 4), "nearest centroid", record=False).model
    assert {type(one) for one in mixed.predict(images)} == {str, int}


def test_a_kept_model_of_a_mixed_table_predicts_values(mixed: pd.DataFrame, tmp_path: Path) -> None:
    table = read_support(mixed, "tall")
    for name, fitted in (("a", fit_plain("random forest", table)), ("b", fit_scratch(table))):
        again = kept(fitted, table, tmp_path / name)
        asked = mixed.drop(columns="tall")[["since", "job", "age"]]
        assert np.allclose(again.predict_proba(asked), fitted.probabilities(table), atol=1e-6)
        assert (again.predict(asked) == mixed["tall"]).mean() > 0.9


def test_a_model_of_a_users_module_needs_it_to_be_loaded(
    support: SupportSet, query: SupportSet, tmp_path: Path
) -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 16), torch.nn.Tanh())
    learner = ProtoNet(ModuleNetwork(module))
    loaded = replace(start_of(ProtoNet(Conv4(0))), learner=learner, state=learner.init(0))
    for tuning in (STEPS, Tuning(views="shifted")):
        fitted = fit_start(loaded, prepare(loaded.start, support), support, tuning)
        FineTuned(fitted, skeleton(support)).save(tmp_path / tuning.mode)
        with pytest.raises(InvalidInputError, match=r"load\(folder, module=...\)"):
            load(tmp_path / tuning.mode)
        again = load(tmp_path / tuning.mode, module=module)
        assert np.allclose(again.predict_proba(query), fitted.probabilities(query), atol=1e-6)


class Normed(torch.nn.Sequential):
    """A user's own network that keeps statistics."""

    def __init__(self, filters: int = 4) -> None:
        norm = torch.nn.BatchNorm2d(filters)
        pool = torch.nn.AdaptiveAvgPool2d(4)
        super().__init__(torch.nn.Conv2d(1, filters, 3), norm, pool, torch.nn.Flatten())


@pytest.mark.parametrize("tuning", [Tuning(), Tuning("linear"), STEPS, Tuning(views="shifted")])
def test_a_users_module_is_loaded_with_what_its_layers_keep(
    tuning: Tuning, store: MetaStore, support: SupportSet, query: SupportSet, tmp_path: Path
) -> None:
    """A fresh module has other running statistics; they belong to the model."""
    trained = Normed()
    start = {"kind": "images", "input_shape": (1, 28, 28)}
    for _ in range(3):
        trained(torch.from_numpy(prepare(None, support).array(support)))
    store.add_start(trained, name="own", **start)
    model = finetune(
        store, support, "own", modules={"own": Normed()}, tuning=tuning, record=False
    ).model
    model.save(tmp_path / "model")
    given = Normed()
    before = given[1].running_mean.clone()
    again = load(tmp_path / "model", module=given)
    assert np.allclose(again.predict_proba(query), model.predict_proba(query), atol=1e-6)
    assert given.training and torch.equal(given[1].running_mean, before)
    with pytest.raises(InvalidInputError, match=r"'0.bias' should be \(4,\), found \(5"):
        load(tmp_path / "model", module=Normed(5))
    with pytest.raises(InvalidInputError, match="of class 'Normed', and the one given is a 'Seq"):
        load(tmp_path / "model", module=torch.nn.Sequential(*Normed()))


@pytest.mark.parametrize("tuning", [Tuning(), Tuning("linear"), STEPS, Tuning(views="shifted")])
def test_a_users_module_that_normalises_by_its_rows(
    tuning: Tuning, store: MetaStore, support: SupportSet, query: SupportSet, tmp_path: Path
) -> None:
    """Without running statistics, by the support set: a prediction hangs on no other query."""

    def module() -> torch.nn.Module:
        torch.manual_seed(0)
        norm = torch.nn.BatchNorm2d(4, track_running_stats=False)
        pool = torch.nn.AdaptiveAvgPool2d(4)
        return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), norm, pool, torch.nn.Flatten())

    store.add_start(module(), name="own", kind="images", input_shape=(1, 28, 28))
    model = finetune(
        store, support, "own", modules={"own": module()}, tuning=tuning, record=False
    ).model
    together = model.predict_proba(query)
    alone = np.concatenate([model.predict_proba(query.take(np.array([i]))) for i in range(3)])
    assert np.allclose(together[:3], alone, atol=1e-5)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model", module=module())
    assert np.allclose(again.predict_proba(query), together, atol=1e-5)


def test_a_damaged_model_is_refused(support: SupportSet, tmp_path: Path) -> None:
    place = tmp_path / "model"
    FineTuned(fit_plain("nearest centroid", support), skeleton(support)).save(place)
    with pytest.raises(InvalidInputError, match="no model in"):
        load(tmp_path)
    whole = (place / "classifier.skops").read_bytes()
    (place / "classifier.skops").write_bytes(whole[:-9] + b"a" + whole[-8:])
    with pytest.raises(InvalidInputError, match="its hash is not the one"):
        load(place)
    (place / "classifier.skops").unlink()
    with pytest.raises(InvalidInputError, match="lacks"):
        load(place)
    said = json.loads((place / "model.json").read_text())
    elsewhere = {"../classifier.skops": next(iter(said["files"].values()))}
    (place / "model.json").write_text(json.dumps(said | {"files": elsewhere}))
    with pytest.raises(InvalidInputError, match="has no file"):
        load(place)
    (place / "model.json").write_text(json.dumps(said | {"schema": 99}))
    with pytest.raises(InvalidInputError, match="later version"):
        load(place)
    (place / "model.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(InvalidInputError, match="damaged: it is no description"):
        load(place)
    (place / "model.json").write_text("{")
    with pytest.raises(InvalidInputError, match="damaged"):
        load(place)


def test_other_things_are_not_overwritten(support: SupportSet, tmp_path: Path) -> None:
    model = FineTuned(fit_plain("nearest centroid", support), skeleton(support))
    for i, (name, text) in enumerate(
        [
            ("letter.txt", "dear"),
            ("model.json", '{"class_name": "Sequential"}'),
            ("model.json", '{"schema": "http://json-schema.org/", "model": 1}'),
            ("model.json", "no json"),
        ]
    ):
        place = tmp_path / str(i)
        place.mkdir()
        (place / name).write_text(text)
        with pytest.raises(InvalidInputError, match="holds something else"):
            model.save(place)
        assert [path.read_text() for path in place.iterdir()] == [text]


def test_a_model_that_is_replaced_leaves_nothing(support: SupportSet, tmp_path: Path) -> None:
    place = tmp_path / "model"
    fits = [fit_plain("nearest centroid", support), fit_scratch(support, SCRATCH.but(steps=1))]
    FineTuned(fitted_vote([*fits, *fits]), skeleton(support)).save(place)
    (place / "notes.txt").write_text("mine")
    assert len(list(place.iterdir())) == 6
    for fitted, file in zip(fits, ("classifier.skops", "tensors.safetensors"), strict=True):
        FineTuned(fitted, skeleton(support)).save(place)
        assert {path.name for path in place.iterdir()} == {"model.json", "notes.txt", file}
        load(place)


@pytest.mark.parametrize("kind", ["nearest centroid", "scratch", "adapt"])
def test_an_edited_description_is_refused(kind: str, support: SupportSet, tmp_path: Path) -> None:
    place = tmp_path / "model"
    if kind == "adapt":
        loaded = start_of(ProtoNet(Conv4(0, filters=4)))
        fitted = fit_start(loaded, prepare(loaded.start, support), support, Tuning())
    elif kind == "scratch":
        fitted = fit_scratch(support, SCRATCH.but(steps=1))
    else:
        fitted = fit_plain(kind, support)
    FineTuned(fitted, skeleton(support)).save(place)
    whole = json.loads((place / "model.json").read_text())

    def edited(**changes: object) -> None:
        said = json.loads(json.dumps(whole))
        for path, value in changes.items():
            *way, last = path.split("__")
            part = said
            for step in way:
                part = part[step]
            part[last] = value
        (place / "model.json").write_text(json.dumps(said))
        with pytest.raises(InvalidInputError, match=r"model.json is damaged|cannot be read"):
            load(place)

    edited(preparation__shape=["x"])
    edited(preparation__shape=[1, 7, 9])
    edited(temperature="x")
    edited(temperature=0)
    edited(temperature=float("nan"))
    edited(like__classes=["0", "1"])
    if kind != "adapt":  # what compares knows no number of classes; those too many get 0
        edited(like__classes=["0", "1"], like__values=[0, 1])
        edited(like__classes=[*map(str, range(11))], like__values=[])
    edited(like__classes=["0"] * 10)
    edited(tuning={"mode": "gradient", "steps": "many"})


def test_a_run_is_recorded_with_its_curve(
    store: MetaStore, support: SupportSet, query: SupportSet
) -> None:
    with_starts(store)
    found: Outcome = finetune(store, support, "small-proto", query, tuning=STEPS)
    view = store.view("accuracy", "finetune")
    assert view.datasets == ("digits",)
    assert view.config(0) == {"start": "small-proto", **STEPS.config()}
    assert view.cell_score[0] == pytest.approx(found.accuracy)
    assert found.accuracy == pytest.approx(found.model.fitted.accuracy(query))
    points = store.rows("SELECT metric, step FROM metric_values WHERE step IS NOT NULL")
    assert {row["step"] for row in points if row["metric"] == "loss"} == {0, 1, 2, 3}
    assert found.probabilities.shape == (30, 10)
    assert found.held_out.n_rows == 40
    finetune(store, support, "nearest centroid")
    configs = {store.view("accuracy", "finetune").config(i)["start"] for i in range(2)}
    assert configs == {"small-proto", "nearest centroid"}


def test_a_failed_run_is_recorded_and_raised(
    store: MetaStore, support: SupportSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Fitted:
        raise InvalidInputError("fine-tuning diverged")

    with_starts(store)
    monkeypatch.setattr("recommenders.starts.fitting.fit_start", broken)
    monkeypatch.setattr("recommenders.starts.image_polarity.fit_start", fit_start)
    with pytest.raises(InvalidInputError, match="diverged"):
        finetune(store, support, "small-proto")
    store.absorb()
    assert [row["status"] for row in store.rows("SELECT status FROM run_states")] == ["failed"]


@pytest.mark.parametrize("labelled", [True, False])
def test_a_table_is_asked_with_and_without_its_target(
    labelled: bool, store: MetaStore, headstart: RunIt, mixed: pd.DataFrame, tmp_path: Path
) -> None:
    query = mixed if labelled else mixed.drop(columns="tall")
    found = finetune(store, mixed, "random forest", query, target="tall", record=False)
    assert (found.query.labels >= 0).all() == labelled
    assert found.probabilities.shape == (40, 2)
    values = finetune(
        store, mixed[["age", "job"]], "random forest", query[:7], target=mixed["tall"].to_numpy()
    )
    assert len(values.probabilities) == 7
    mixed.to_csv(tmp_path / "jobs.csv", index=False)
    query.to_csv(tmp_path / "new.csv", index=False)
    args = ("finetune", "jobs.csv", "--target", "tall", "--start", "nearest centroid")
    shown = headstart(*args, "--query", "new.csv", "--out", "jobs")
    assert shown.status == 0, shown.err
    assert ("labelled query" in shown.out) == labelled
    assert "predicted" in shown.out
    assert headstart("predict", "jobs", "new.csv").status == 0


def test_several_trials_are_recorded_and_the_best_is_kept(
    store: MetaStore, support: SupportSet
) -> None:
    with_starts(store)
    part = support.take(np.flatnonzero(support.labels < 3))
    part = read_support((list(part.images), part.labels), name="three")
    found = finetune(store, part, "small-proto", trials=2)
    view = store.view("accuracy", "finetune")
    assert {view.config(i)["mode"] for i in range(2)} == {"adapt", "gradient"}
    assert found.held_out.accuracy == pytest.approx(view.cell_score.max())


def test_tunings_come_from_past_fine_tunings(store: MetaStore, support: SupportSet) -> None:
    """What did best on three other tasks is advised for a fourth; others' starts count nothing."""
    wanted = Wanted("small-proto", Tuning(), ("adapt", "gradient"))
    assert "by default" in advised(store, support, wanted)[0].why
    good, bad = Tuning("gradient", 20, 1e-3, "top", "jitter"), Tuning()
    images, labels = digits(6)
    for i in range(4):
        rows = np.flatnonzero((labels == i) | (labels == i + 1))
        task = read_support(([images[j] for j in rows], labels[rows]), name=f"pair {i}")
        for start, best in (("small-proto", good), ("other", bad)):
            for tuning in (good, bad):
                config = {"start": start, **tuning.config()}
                with store.run(task.dataset(), "finetune", config) as run:
                    run.result(accuracy=(0.9 if tuning == best else 0.6) + 0.01 * i)
    found = advised(store, support, wanted)
    assert [one.tuning for one in found] == [good]
    assert "8 fine-tunings of it on 4 other tasks" in found[0].why
    assert advised(store, support, replace(wanted, start="other"))[0].tuning == bad
    several = advised(store, support, replace(wanted, n=4))
    assert len({one.tuning for one in several}) == 4
    assert good in {one.tuning for one in several}


def test_what_other_weights_did_under_a_name_is_no_evidence(
    store: MetaStore, support: SupportSet
) -> None:
    """A retrained start begins anew; runs that do not say their weights count for the name."""
    with_starts(store)
    choices = [("small-proto", "adapt"), ("small-maml", "adapt"), ("from scratch", None)]

    def shares() -> list[float | None]:
        odds = past_tasks(store, choices)
        found = 1 / (1 + np.exp(-np.nanmean(odds, axis=0))) if len(odds) else []
        return [None if np.isnan(one) else round(float(one), 2) for one in found]

    def record(start: str, accuracy: float, tags: dict[str, str], name: str = "other") -> None:
        config = {"start": start, **Tuning().config()}
        with store.run(DatasetRef(name), "finetune", config, tags=tags) as run:
            run.result(accuracy=accuracy)

    outcome = finetune(store, support, "small-proto", tuning=Tuning())
    said = show(store, str(outcome.run_id))
    assert said["tags"] == {TAG: store.start("small-proto").weights_sha256}
    assert TAG not in said["config"]
    old = tags_of(store.start("small-proto"))
    for start, tags in (("small-proto", old), ("small-maml", {}), ("from scratch", {})):
        record(start, 0.9, tags)
    assert len(past_tasks(store, choices)) == 2
    learner = ProtoNet(Conv4(0, filters=8))
    said = {"kind": "images", "input_shape": (1, 28, 28)}
    register(store, learner, learner.init(1), name="small-proto", **said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing
        assert shares() == [None, pytest.approx(0.9, abs=0.01), pytest.approx(0.9, abs=0.01)]
    assert len(past_tasks(store, choices)) == 1
    view, _ = past(store, "small-proto", support)
    assert view.n_cells == 0
    record("small-proto", 0.6, tags_of(store.start("small-proto")))  # beside 0.9 in one cell
    assert shares()[0] == pytest.approx(0.6, abs=0.01)
    record("small-proto", 0.8, {})
    assert shares()[0] == pytest.approx(0.7, abs=0.01)
    register(store, learner, learner.init(0), name="small-proto", **said)  # the first weights again
    assert len(past_tasks(store, choices)) == 2


def test_near_duplicates_are_no_other_tasks_at_the_first_question(
    store: MetaStore, mixed: pd.DataFrame
) -> None:
    """A table that grows by some rows a day is one task, whoever asks about it first."""
    tunings = (Tuning("gradient", 5), Tuning("gradient", 10))

    def day(rows: int) -> SupportSet:
        task = read_support(mixed[:rows], "tall", name=f"day {rows}")
        return replace(task, source_id="openml:31")

    def other(i: int) -> SupportSet:
        rows = np.random.default_rng(i).standard_normal((30 + 9 * i, 3 + i)) * (i + 1)
        return read_support((rows, ["a", "b", "c"] * (10 + 3 * i)), name=f"other {i}")

    def record(task: SupportSet, n: int = 2) -> None:
        for i, tuning in enumerate(tunings[:n]):
            config = {"start": "from scratch", **tuning.config()}
            with store.run(task.dataset(), "finetune", config) as run:
                run.result(accuracy=0.5 + 0.1 * i)

    for rows in (20, 24, 28, 32):
        record(day(rows))
    wanted = Wanted("from scratch", SCRATCH, ("gradient",))
    for _ in range(2):
        assert "by default" in advised(store, day(40), wanted)[0].why
    assert len(past_tasks(store, [("from scratch", None)], day(38))) == 0
    for i in range(2):
        record(other(i))
    record(day(40), 1)
    # Of three tasks one is this: two others are too few.
    assert "by default" in advised(store, day(40), wanted)[0].why
    record(other(2))
    assert "3 other tasks" in advised(store, day(40), wanted)[0].why
    assert len(past_tasks(store, [("from scratch", None)], day(39))) == 3


def test_a_wrong_start_is_named(store: MetaStore, support: SupportSet, mixed: pd.DataFrame) -> None:
    with_starts(store)
    with pytest.raises(UnknownNameError, match="Besides starts there are: 'from scratch'"):
        finetune(store, support, "smal-proto")
    with pytest.raises(InvalidInputError, match="takes images, and the support set holds rows"):
        finetune(store, mixed, "small-proto", target="tall")
    with pytest.raises(InvalidInputError, match="either a tuning or a number of trials"):
        finetune(store, support, "small-proto", tuning=STEPS, trials=2)


def test_the_commands(headstart: RunIt, tmp_path: Path, mixed: pd.DataFrame) -> None:
    write_folder(tmp_path / "digits", *digits(3))
    write_folder(tmp_path / "more", *digits(2, seed=5))
    args = ("finetune", "digits", "--start", "nearest centroid", "--query", "more")
    shown = headstart(*args, "--out", "model")
    assert shown.status == 0, shown.err
    assert "30 rows of 10 classes, 3 of each" in shown.out
    assert "labelled query" in shown.out
    assert "headstart predict model QUERY" in shown.out
    said = headstart(*args, "--json").json
    assert said["start"] == "nearest centroid"
    assert len(said["predictions"]) == 20
    rows = headstart("predict", "model", "more/3", "--json").json
    assert [row["predicted"] for row in rows].count("3") >= 1
    assert sum(rows[0][f"p({k})"] for k in range(10)) == pytest.approx(1)
    csv = headstart("predict", "model", "more", "--csv").out.splitlines()
    assert csv[0].startswith("row,label,predicted,probability,p(0)")
    assert len(csv) == 21
    mixed.to_csv(tmp_path / "jobs.csv", index=False)
    shown = headstart(
        "finetune", "jobs.csv", "--target", "tall", "--start", "random forest", "--out", "jobs"
    )
    assert shown.status == 0, shown.err
    assert "random forest" in shown.out
    assert headstart("predict", "jobs", "jobs.csv").status == 0
    assert "finetune" in headstart("runs").out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("finetune", "empty"), "no images below"),
        (("finetune", "one"), "needs two classes or more"),
        (("finetune", "notes.txt", "--target", "y"), "is no table"),
        (("finetune", "jobs.csv"), "Say --target NAME"),
        (("finetune", "jobs.csv", "--target", "tal"), "did you mean 'tall'"),
        (("finetune", "digits", "--query", "jobs.csv"), "the query is of another kind"),
        (("finetune", "digits", "--csv"), "give --query as well"),
        (("finetune", "digits", "--start", "nothing"), "Besides starts there are"),
        (("finetune", "digits", "--start", "from scratch", "--device", "tpu"), "auto, cpu or cuda"),
        (("predict", "empty", "digits"), "no model in empty"),
    ],
)
def test_errors_are_clear(
    args: tuple[str, ...], says: str, headstart: RunIt, tmp_path: Path, mixed: pd.DataFrame
) -> None:
    write_folder(tmp_path / "digits", *digits(2))
    images, labels = digits(2)
    write_folder(tmp_path / "one", images[:2], labels[:2])
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("Dear diary,\ntoday, it rained, and\nI stayed in.\n")
    mixed.to_csv(tmp_path / "jobs.csv", index=False)
    failed = headstart(*args)
    assert failed.status == 2
    assert says in failed.err
    assert "Traceback" not in failed.err


@pytest.mark.parametrize("wrong", [("--start", "nope"), ("--query", "nowhere")])
def test_what_cannot_be_fine_tuned_makes_no_store(
    wrong: tuple[str, ...], headstart: RunIt, tmp_path: Path
) -> None:
    write_folder(tmp_path / "digits", *digits(2))
    failed = headstart("finetune", "digits", *wrong)
    assert failed.status == 2
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("starts",), "but not on how many rows slow candidates are tried"),
        (("finetune",), "but not on how many rows slow candidates are tried"),
        (("learn",), "but not how far training comes in --minutes"),
        (("zoo", "build"), "but not how far training comes in --minutes"),
    ],
)
def test_help_says_what_a_seed_does_not_fix(
    command: tuple[str, ...], says: str, headstart: RunIt
) -> None:
    shown = headstart(*command, "--help").out
    assert says in " ".join(shown.replace("│", " ").replace("|", " ").split())


def test_without_a_store_the_way_to_starts_is_said(headstart: RunIt, tmp_path: Path) -> None:
    write_folder(tmp_path / "digits", *digits(2))
    for args in (("starts",), ("starts", "digits")):
        failed = headstart(*args)
        assert failed.status == 2
        for way in ("headstart zoo build", "headstart learn", "headstart finetune"):
            assert way in failed.err
        assert "import runs" not in failed.err


def test_a_folder_that_is_taken_is_refused_before_fitting(
    headstart: RunIt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "digits", *digits(2))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("dear")
    monkeypatch.setattr("recommenders.starts.finetuning.choose", None)
    failed = headstart("finetune", "digits", "--out", "taken")
    assert failed.status == 2
    assert "holds something else" in failed.err


def test_without_torch_a_plain_classifier_still_works(
    store: MetaStore, support: SupportSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys  # noqa: PLC0415

    for name in ("recommenders.starts.image_polarity", "recommenders.starts.fitting", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    found = finetune(store, support, "nearest centroid")
    assert found.accuracy > 0.5
    with pytest.raises(InvalidInputError.__mro__[1], match="fine-tuning needs torch"):
        finetune(store, support, "from scratch")


@pytest.mark.parametrize("name", ["random forest", "gradient boosting"])
def test_a_tree_that_leads_astray_is_refused(
    name: str, support: SupportSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiled code would follow the numbers out of memory; the file's hash does not help."""
    estimator = fit_plain(name, support).model.estimator
    data = written(estimator)
    read(data, "the forest")
    monkeypatch.setattr(kept_estimators, "_trees", lambda _: iter([turned(estimator, name)]))
    with pytest.raises(InvalidInputError, match="do not lead downwards"):
        read(data, "the forest")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_n_support", lambda old: old + 1),
        ("support_vectors_", lambda old: old[:, :-1].copy()),
        ("_dual_coef_", lambda old: old[:, :-1].copy()),
        ("_intercept_", lambda old: old[:1]),
        ("_probA", lambda old: np.zeros(3)),
    ],
)
def test_support_vectors_that_do_not_fit_each_other_are_refused(
    name: str, value: Callable[[np.ndarray], np.ndarray], support: SupportSet
) -> None:
    """Compiled code would read past the end of the shorter array."""
    estimator = fit_plain("support vectors", support).model.estimator
    read(written(estimator), "the vectors")
    setattr(estimator, name, value(getattr(estimator, name)))
    with pytest.raises(InvalidInputError, match="do not fit each other"):
        read(written(estimator), "the vectors")


def turned(estimator, name: str) -> tuple:
    nodes, n_features = next(iter(TREES(estimator)))
    leaf, left, right, feature = (np.array(part) for part in nodes)
    left[0] = len(leaf) + 5
    return (leaf, left, right, feature), n_features
