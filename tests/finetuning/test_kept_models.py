"""Models that are kept predict the same when loaded; what is damaged or edited is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

from learners.maml import maml
from learners.networks import Conv4
from learners.protonet import ProtoNet
from metastore import MetaStore
from metastore.errors import InvalidInputError
from recommenders.starts.finetuned import FineTuned, load, skeleton
from recommenders.starts.finetuning import finetune
from recommenders.starts.fitted import Fitted, fitted_vote
from recommenders.starts.fitting import fit_scratch, fit_start
from recommenders.starts.inputs import prepare
from recommenders.starts.plain_classifiers import PLAIN, fit_plain
from recommenders.starts.support_sets import SupportSet, read_support
from recommenders.starts.tuning import SCRATCH, Tuning
from tests.starts import STEPS, digits, start_of


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
