from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from learners.episode import Episodes, Examples, bucket, check, examples, pad
from learners.errors import LearnerError
from learners.evaluation import evaluate
from learners.networks import Conv4
from learners.protonet import ProtoNet
from learners.samplers import (
    ClassSampler,
    Shape,
    Shuffled,
    Stages,
    TableSampler,
    UnevenClassSampler,
    class_images,
    quarter_turns,
    split_classes,
)
from learners.sinusoid import SinusoidSampler
from learners.training import Budget, Training, meta_train


@given(st.integers(1, 10_000))
def test_bucket_is_the_next_power_of_two(size: int) -> None:
    found = bucket(size)
    assert found >= size > found / 2
    assert found & (found - 1) == 0


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_padding_keeps_each_set_and_marks_the_rest(sizes: list[int]) -> None:
    sets = [examples(torch.full((n, 2), float(n)), torch.arange(n)) for n in sizes]
    batch = pad(sets)
    assert batch.mask.sum(1).tolist() == sizes
    for row, one in enumerate(sets):
        assert torch.equal(batch.x[row][batch.mask[row]], one.x)
        assert torch.equal(batch.y[row][batch.mask[row]], one.y)


@given(st.integers(2, 30), st.integers(0, 5))
def test_split_is_disjoint_and_seeded(n: int, seed: int) -> None:
    first, second = split_classes(n, (n // 2, n - n // 2), seed)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(n))
    assert torch.equal(first, split_classes(n, (n // 2,), seed)[0])


def test_class_sampler_draws_distinct_images_of_distinct_classes() -> None:
    images = torch.arange(6 * 5).reshape(6, 5, 1)
    episodes = ClassSampler(images, Shape(4, 2, 3), seed=2).sample(0, 50)
    check(episodes)
    drawn = torch.cat([episodes.support.x, episodes.query.x], 1)[..., 0]
    for row, labels in zip(
        drawn, torch.cat([episodes.support.y, episodes.query.y], 1), strict=True
    ):
        assert len(set(row.tolist())) == 20
        for label in range(4):
            assert len({int(value) // 5 for value in row[labels == label]}) == 1
        assert len({int(value) // 5 for value in row}) == 4


def test_class_sampler_reaches_every_class_and_drawing() -> None:
    images = torch.arange(6 * 5).reshape(6, 5, 1)
    episodes = ClassSampler(images, Shape(2, 1, 1)).sample(0, 500)
    assert set(episodes.support.x.flatten().tolist()) == set(range(30))


@pytest.mark.parametrize(
    "sampler",
    [
        ClassSampler(torch.rand(9, 4, 1), Shape(3, 1, 2), seed=3),
        SinusoidSampler(seed=3),
        TableSampler([(torch.rand(12, 2), torch.rand(12))], (2, 6), 3, seed=3),
    ],
    ids=lambda sampler: type(sampler).__name__,
)
def test_a_batch_depends_on_seed_and_index_alone(sampler) -> None:
    sampler.sample(0, 4)
    first, same, other = sampler.sample(5, 4), sampler.sample(5, 4), sampler.sample(6, 4)
    assert torch.equal(first.support.x, same.support.x)
    assert torch.equal(first.query.y, same.query.y)
    assert not torch.equal(first.support.x, other.support.x)


def test_bytes_become_shares() -> None:
    images = torch.full((2, 2, 1), 255, dtype=torch.uint8)
    assert ClassSampler(images, Shape(2, 1, 1)).sample(0, 1).support.x.unique().tolist() == [1.0]


def test_table_sampler_pads_and_never_repeats_a_row() -> None:
    table = (torch.arange(10.0)[:, None], torch.arange(10.0))
    episodes = TableSampler([table], (2, 6), 8).sample(0, 40)
    check(episodes)
    assert set(episodes.support.mask.sum(1).tolist()) == {2, 3, 4, 5, 6}
    for support, query in zip(_rows(episodes.support), _rows(episodes.query), strict=True):
        assert len(query) == min(8, 10 - len(support))
        assert not set(support) & set(query)


def _rows(part: Examples) -> list[list[float]]:
    return [x[mask, 0].tolist() for x, mask in zip(part.x, part.mask, strict=True)]


def test_quarter_turns_are_classes_of_their_own() -> None:
    image = torch.tensor([[1, 2], [3, 4]])[None, None, None]
    turned = quarter_turns(image)
    assert turned.shape == (4, 1, 1, 2, 2)
    assert len({tuple(one.flatten().tolist()) for one in turned}) == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClassSampler(torch.rand(3, 4, 1), Shape(4, 1, 1)), "cannot be drawn"),
        (lambda: ClassSampler(torch.rand(3, 4, 1), Shape(2, 3, 2)), "cannot be drawn"),
        (lambda: TableSampler([], (1, 2), 1), "support sizes"),
        (lambda: split_classes(3, (2, 2), 0), "cannot split"),
        (lambda: pad([]), "no sets"),
        (lambda: pad([examples(torch.ones(3, 1), torch.ones(3))], 2), "more than the padded"),
        (lambda: examples(torch.ones(3, 1), torch.ones(2)), "as many labels"),
        (lambda: examples(torch.full((1, 1), torch.nan), torch.ones(1)), "NaN or infinity"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(make, message: str) -> None:
    with pytest.raises(LearnerError, match=message):
        make()


def test_check_names_what_is_wrong() -> None:
    good = Examples(torch.zeros(1, 2, 3), torch.tensor([[0, 1]]), torch.ones(1, 2) > 0)
    check(Episodes(good, good, 2))
    with pytest.raises(LearnerError, match="labels must be integers from 0 to 0"):
        check(Episodes(good, good, 1))
    with pytest.raises(LearnerError, match="query: mask"):
        check(Episodes(good, good._replace(mask=torch.zeros(1, 2) > 0), 2))
    with pytest.raises(LearnerError, match="must agree"):
        check(Episodes(good._replace(y=torch.tensor([[0]])), good, 2))


def test_a_file_without_the_array_is_refused(tmp_path) -> None:

    np.savez(tmp_path / "a.npz", other=np.zeros(3), images=np.zeros((2, 3)))
    with pytest.raises(LearnerError, match="has no array 'glyphs'"):
        class_images(tmp_path / "a.npz", "glyphs")
    with pytest.raises(LearnerError, match="must be"):
        class_images(tmp_path / "a.npz")


def test_uneven_classes_give_their_own_rows_and_no_row_twice() -> None:
    """Row j of class c is the number 10 c + j, so that every number says where it is from."""
    sizes = [4, 9, 6, 5]
    classes = [10.0 * c + torch.arange(n)[:, None] for c, n in enumerate(sizes)]
    sampler = UnevenClassSampler(classes, Shape(3, 1, 3), seed=2)
    seen: set[float] = set()
    for index in range(60):
        episodes = sampler.sample(index, 2)
        for i in range(2):
            numbers = torch.cat([episodes.support.x[i, :, 0], episodes.query.x[i, :, 0]])
            labels = torch.cat([episodes.support.y[i], episodes.query.y[i]])
            assert len(set(numbers.tolist())) == len(numbers)
            for label in range(3):
                assert len(set((numbers[labels == label] // 10).tolist())) == 1
            seen |= set(numbers.tolist())
    assert seen == {float(value) for one in classes for value in one.flatten()}


def test_uneven_classes_that_are_too_small_are_refused() -> None:
    classes = [torch.zeros(5, 1), torch.zeros(3, 1)]
    with pytest.raises(LearnerError, match="2 classes of 3 or more"):
        UnevenClassSampler(classes, Shape(2, 2, 2))


def test_shuffling_moves_whole_rows_of_the_support_set_alone(glyphs) -> None:
    plain = ClassSampler(glyphs, Shape(5, 1, 2), seed=1)
    mixed, sorted_ = Shuffled(plain).sample(3, 4), plain.sample(3, 4)
    assert torch.equal(mixed.query.x, sorted_.query.x)
    orders = set()
    for i in range(4):
        order = mixed.support.y[i]
        assert sorted(order.tolist()) == [0, 1, 2, 3, 4]
        assert torch.equal(mixed.support.x[i], sorted_.support.x[i][order])
        orders.add(tuple(order.tolist()))
    assert len(orders) > 1
    assert torch.equal(Shuffled(plain).sample(3, 4).support.y, mixed.support.y)


def test_a_learner_that_reads_a_sequence_never_sees_classes_in_order(glyphs) -> None:
    """Meta-training and evaluation shuffle for it, and only for it."""
    seen: list[torch.Tensor] = []

    @dataclass(frozen=True)
    class Watching(ProtoNet):
        reads_order: bool = True

        @property
        def ordered(self) -> bool:
            return self.reads_order

        def meta_gradient(self, state, episodes, phase, execution):
            seen.append(episodes.support.y)
            return super().meta_gradient(state, episodes, phase, execution)

        def adapt(self, state, support, n_way=None):
            seen.append(support.y)
            return super().adapt(state, support, n_way)

    sampler = ClassSampler(glyphs, Shape(5, 1, 1))
    for reads_order in (True, False):
        seen.clear()
        learner = Watching(Conv4(0, filters=2), reads_order)
        state = meta_train(learner, sampler, Budget(2), Training(4, progress=False)).state
        evaluate(learner, state, sampler, 4)
        assert len(seen) >= 3
        in_order = [bool((y.diff() > 0).all()) for y in seen]
        assert in_order == [not reads_order] * len(seen)


def test_stages_follow_each_other(glyphs) -> None:
    samplers = [ClassSampler(glyphs, Shape(way, 1, 1)) for way in (2, 3, 5)]
    stages = Stages(tuple(zip((3, 7, 9), samplers, strict=True)))
    assert [stages.sample(i, 1).n_way for i in (0, 2, 3, 6, 7, 2**40)] == [2, 2, 3, 3, 5, 5]
    with pytest.raises(LearnerError, match="one after the other"):
        Stages(tuple(zip((3, 1), samplers, strict=False)))
