"""Images of any size and tables of any columns become what a start takes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from metastore.errors import InvalidInputError
from recommenders.image_sizes import light_background, resampling, stacked
from recommenders.starts.inputs import Preparation, misfit, prepare
from recommenders.starts.support_sets import SupportSet, read_query, read_support
from recommenders.starts.table_columns import fit_columns
from tests.starts import digits


@dataclass(frozen=True)
class Start:
    """What `misfit` and `prepare` look at."""

    name: str = "a-start"
    kind: str = "images"
    input_shape: tuple[int, ...] = (1, 28, 28)
    n_way: int | None = None
    normalisation: dict[str, Any] = field(default_factory=lambda: {"scale": "bytes divided by 255"})


@pytest.fixture(scope="module")
def pictures() -> SupportSet:
    return read_support(digits(2))


@pytest.fixture(scope="module")
def iris(realdata) -> SupportSet:
    return read_support(realdata("pmlb/parquet/iris.parquet"), "target")


@pytest.fixture
def mixed() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": [25.0, 61, None, 38, np.inf, 52],
            "job": ["clerk", "nurse", "clerk", None, "cook", "nurse"],
            "since": pd.to_datetime(["2020-01-05", "2011-07-01", None] * 2),
            "owner": [True, False, True, True, False, False],
            "bought": ["yes", "no", "no", "yes", "yes", "no"],
        }
    )


@given(st.integers(1, 60), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_resampling_is_pillows(size: int, side: int) -> None:
    # A pixel on the border of two boxes goes to one of them, in Pillow as floats are rounded.
    assume(size <= side or not any((2 * j + 1) * side % (2 * size) == 0 for j in range(size)))
    image_module = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(size * 64 + side).integers(0, 256, (size, 5), dtype=np.uint8)
    method = image_module.Resampling.BOX if size > side else image_module.Resampling.BILINEAR
    theirs = np.asarray(image_module.fromarray(image).resize((5, side), method), dtype=float)
    ours = resampling(size, side) @ image.astype(np.float32)
    assert np.abs(ours - theirs).max() <= 0.51
    assert np.allclose(resampling(size, side).sum(1), 1, atol=1e-6)


def test_colours_become_grey_as_pillow_has_it_and_grey_is_repeated() -> None:
    image_module = pytest.importorskip("PIL.Image")
    colour = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    theirs = np.asarray(image_module.fromarray(colour).convert("L"), dtype=float)
    ours = resampling(9, 9) @ stacked([colour.transpose(1, 0, 2)], 1, 9)[0, 0]
    assert ours.shape == (9, 9)
    same_size = stacked([colour[:7, :7]], 1, 7)[0, 0]
    assert np.abs(same_size - theirs[:, :7]).max() <= 1
    grey = stacked([colour[..., :1]], 3, 7)[0]
    assert np.array_equal(grey[0], grey[2])


def test_images_of_their_own_size_stay_as_they_are(pictures: SupportSet) -> None:
    start = Start(input_shape=(1, 8, 8))
    prepared = prepare(start, pictures)
    x = prepared.array(pictures)
    assert x.shape == (20, 1, 8, 8)
    assert np.allclose(x[:, 0] * 255, [image[:, :, 0] for image in pictures.images])
    assert prepared.notes == ("the background is dark",)
    assert np.allclose(prepared.turned().array(pictures), 1 - x)


def test_notes_say_what_was_done() -> None:
    images = [np.full((10, 12, 3), 255, np.uint8), np.full((9, 9, 1), 255, np.uint8)]
    support = read_support((images, ["a", "b"]))
    notes = "; ".join(prepare(Start(), support).notes)
    assert "9 x 9 and 10 x 12 pixels were resized to 28 x 28" in notes
    assert "not square were stretched" in notes
    assert "colours were turned to grey" in notes
    assert "background is light" in notes
    assert "repeated as red" in "; ".join(prepare(None, support).notes)
    many = read_support(([np.zeros((k, k, 1), np.uint8) for k in (9, 12, 10)], ["a", "b", "b"]))
    assert "images of 3 sizes from 9 x 9 to 12 x 12 pixels" in prepare(Start(), many).notes[0]


def test_channels_are_scaled_as_the_start_was_trained(pictures: SupportSet) -> None:
    scale = {"mean": [0.4, 0.5, 0.6], "deviation": [0.1, 0.2, 0.3]}
    x = prepare(Start(input_shape=(3, 8, 8), normalisation={"scale": scale}), pictures)
    plain = prepare(Start(input_shape=(3, 8, 8)), pictures).array(pictures)
    assert np.allclose(x.array(pictures)[:, 1], (plain[:, 1] - 0.5) / 0.2, atol=1e-5)


def test_the_background_is_found(pictures: SupportSet) -> None:
    assert not light_background(pictures.images)
    assert light_background([255 - image for image in pictures.images])


def test_a_table_is_what_scikit_learn_makes_of_it(iris: SupportSet) -> None:
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415 - slow to import

    frame = iris.frame
    prepared = prepare(None, iris.take(range(0, 150, 3)))
    expected = StandardScaler().fit(frame.iloc[::3].to_numpy()).transform(frame.to_numpy())
    assert np.allclose(prepared.array(iris), expected, atol=1e-5)


def test_mixed_columns_become_numbers(mixed: pd.DataFrame) -> None:
    support = read_support(mixed, "bought")
    prepared = prepare(None, support)
    x = prepared.array(support)
    # age, since, owner; gaps in age and since; four levels of job, the missing one among them
    assert x.shape == (6, 3 + 2 + 4)
    assert prepared.shape == (9,)
    assert np.isfinite(x).all()
    assert np.allclose(x[:, :5].mean(0), 0, atol=1e-6)
    assert (x[:, 5:].sum(1) == 1).all()
    assert "1 of them categories" in prepared.notes[0]
    unseen = read_query(mixed.assign(job="astronaut", age=None), support)
    assert np.isfinite(prepared.array(unseen)).all()
    assert (prepared.array(unseen)[:, 5:] == 0).all()


def test_text_that_names_the_rows_is_left_out() -> None:
    from sklearn.datasets import load_wine  # noqa: PLC0415 - slow to import

    frame = load_wine(as_frame=True).frame[::9].reset_index(drop=True)
    named = frame.assign(bottle=[f"W{i}" for i in range(len(frame))])
    support = read_support(named, "target")
    prepared = prepare(None, support)
    assert prepared.shape == (13,)
    assert prepared.notes[1].endswith("every row has a text of its own there: bottle")
    without = prepare(None, read_support(frame, "target"))
    assert len(without.notes) == 1
    unnamed = read_query(frame.assign(bottle="another"), support)
    plain = without.array(read_support(frame, "target"))
    assert np.array_equal(prepared.array(unnamed), plain)
    few = read_support(named[3:12], "target")
    assert prepare(None, few).shape == (13 + 9,)  # nine rows are too few to tell


def test_a_column_that_changed_its_kind_is_refused(mixed: pd.DataFrame) -> None:
    support = read_support(mixed, "bought")
    prepared = prepare(None, support)
    text = read_query(mixed.assign(age="old"), support)
    with pytest.raises(InvalidInputError, match="'age' held numbers"):
        prepared.array(text)
    with pytest.raises(InvalidInputError, match="'since' held dates"):
        prepared.array(read_query(mixed.assign(since="never"), support))


def test_rare_levels_share_a_column() -> None:
    frame = pd.DataFrame({"id": [f"user{i}" for i in range(60)]})
    assert fit_columns(frame).apply(frame).shape == (60, 20)


@pytest.mark.parametrize("source", ["pictures", "iris", "mixed"])
def test_a_preparation_survives_json(source: str, request: pytest.FixtureRequest) -> None:
    given = request.getfixturevalue(source)
    support = read_support(given, "bought") if source == "mixed" else given
    prepared = prepare(None, support)
    prepared = prepared.turned() if source == "pictures" else prepared
    again = Preparation.from_json(json.loads(json.dumps(prepared.to_json())))
    assert np.array_equal(again.array(support), prepared.array(support))
    assert again.notes == prepared.notes


def test_a_damaged_preparation_is_refused(iris: SupportSet) -> None:
    kept = prepare(None, iris).to_json()
    kept["columns"] = {**kept["columns"], "numbers": "AAAA"}
    with pytest.raises(InvalidInputError, match="preprocessor of the numbers cannot be read"):
        Preparation.from_json(kept)
    with pytest.raises(InvalidInputError, match="fit and save the model again"):
        Preparation.from_json({"kind": "images"})


def test_a_preprocessor_of_a_foreign_type_is_not_built(iris: SupportSet) -> None:
    import base64  # noqa: PLC0415

    from skops import io  # noqa: PLC0415 - slow to import

    kept = prepare(None, iris).to_json()
    foreign = base64.b64encode(io.dumps(SupportSet)).decode()
    kept["columns"] = {**kept["columns"], "numbers": foreign}
    with pytest.raises(InvalidInputError, match=r"(?i)untrusted"):
        Preparation.from_json(kept)


def test_rows_are_scaled_by_the_start_and_gaps_are_its_mean(iris: SupportSet) -> None:
    scale = {"mean": [5.0, 3.0, 4.0, 1.0], "deviation": [1.0, 2.0, 4.0, 0.5]}
    start = Start(kind="rows", input_shape=(4,), normalisation={"scale": scale})
    prepared = prepare(start, iris)
    frame = iris.frame.to_numpy()
    assert np.allclose(prepared.array(iris), (frame - scale["mean"]) / scale["deviation"])
    holed = iris.frame.copy()
    holed.iloc[0, 2] = np.nan
    assert prepared.array(read_query(holed, iris))[0, 2] == 0


def test_columns_of_a_row_start_go_by_name(iris: SupportSet) -> None:
    names = [str(name) for name in iris.frame.columns]
    scale = {"mean": [5.0, 3.0, 4.0, 1.0], "deviation": [1.0, 2.0, 4.0, 0.5]}
    start = Start(
        kind="rows", input_shape=(4,), normalisation={"scale": scale, "columns": names[::-1]}
    )
    expected = (iris.frame[names[::-1]].to_numpy() - scale["mean"]) / scale["deviation"]
    for order in (names, names[::-1], [names[2], names[0], names[3], names[1]]):
        support = read_support((iris.frame[order], iris.labels))
        prepared = prepare(start, support)
        assert np.allclose(prepared.array(support), expected)
        again = Preparation.from_json(json.loads(json.dumps(prepared.to_json())))
        assert np.allclose(again.array(support), expected)
        assert prepared.notes == ()
    other = iris.frame.rename(columns={names[1]: "salary"})
    with pytest.raises(InvalidInputError, match=f"lacks '{names[1]}'.* has 'salary' instead"):
        prepare(start, read_support((other, iris.labels)))
    nameless = read_support((iris.frame.to_numpy(), iris.labels))
    prepared = prepare(start, nameless)
    assert "without names, are taken for" in prepared.notes[0]
    assert np.allclose(prepared.array(nameless), (iris.frame - scale["mean"]) / scale["deviation"])


def test_tensors_carry_labels_and_a_mask(pictures: SupportSet) -> None:
    pytest.importorskip("torch")
    examples = prepare(Start(), pictures).tensors(pictures)
    assert examples.x.shape == (20, 1, 28, 28)
    assert examples.y.tolist() == pictures.labels.tolist()
    assert examples.mask.all()


@pytest.mark.parametrize(
    ("start", "source", "says"),
    [
        (Start(), "pictures", ""),
        (Start(n_way=5), "pictures", ""),
        (Start(kind="surrogate"), "pictures", "predicts numbers"),
        (Start(n_way=0), "iris", "predicts numbers"),
        (Start(), "iris", "takes images, and the support set holds rows"),
        (Start(kind="tables"), "pictures", "takes rows of a table, and the support set holds im"),
        (Start(input_shape=(2, 28, 28)), "pictures", "register it with that input_shape"),
        (Start(kind="tables", input_shape=()), "iris", ""),
        (Start(kind="rows", input_shape=(4,)), "iris", ""),
        (Start(kind="rows", input_shape=(7,)), "iris", "rows of 7 columns, and the .* has 4"),
        (Start(normalisation={"scale": "by hand"}), "pictures", "not understood: 'by hand'"),
    ],
)
def test_misfits_are_named(
    start: Start, source: str, says: str, request: pytest.FixtureRequest
) -> None:
    support = request.getfixturevalue(source)
    reason = misfit(start, support)
    if not says:
        assert reason == ""
        return
    import re  # noqa: PLC0415

    assert re.search(says, reason)
    with pytest.raises(InvalidInputError, match=f"cannot be fine-tuned on this: .*{says}"):
        prepare(start, support)


def test_a_row_start_refuses_text(mixed: pd.DataFrame) -> None:
    start = Start(kind="rows", input_shape=(4,))
    assert "job, since hold something else" in misfit(start, read_support(mixed, "bought"))
