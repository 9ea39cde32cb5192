"""Episodes from tables of different width."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from learners.episode import check
from learners.errors import LearnerError
from learners.wide_tables import WideShape, WideTableSampler


def table(d: int, sizes: tuple[int, ...], offset: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A table whose cells tell their row, column and table."""
    y = torch.cat([torch.full((size,), label) for label, size in enumerate(sizes)])
    rows = torch.arange(len(y))[:, None].float()
    return offset + rows + torch.arange(d) / 100, y


TABLES = [table(3, (30, 30), 1000.0), table(9, (12, 40, 7, 25), 5000.0)]


def test_the_same_index_gives_the_same_batch_and_another_another() -> None:
    sampler = WideTableSampler(TABLES, WideShape(), seed=4)
    one, same, other = sampler.sample(3, 4), sampler.sample(3, 4), sampler.sample(4, 4)
    assert torch.equal(one.support.x, same.support.x) and torch.equal(one.query.y, same.query.y)
    assert one.support.x.shape != other.support.x.shape or not torch.equal(
        one.support.x, other.support.x
    )


def test_episodes_are_rows_of_one_table_no_row_in_both_sets() -> None:
    plain = WideShape(shots=(5,), uneven=0.0, turned=0.0)
    for index in range(20):
        episodes = WideTableSampler(TABLES, plain, seed=1).sample(index, 3)
        check(episodes)
        for b in range(3):
            support = episodes.support.x[b, episodes.support.mask[b]]
            query = episodes.query.x[b, episodes.query.mask[b]]
            cells = torch.cat([support, query])[:, 0]
            assert (cells < 1100).all() or (cells >= 5000).all()
            assert not set(support[:, 0].floor().tolist()) & set(query[:, 0].floor().tolist())
            labels = episodes.support.y[b, episodes.support.mask[b]].bincount()
            assert labels.max() == 5 and labels.min() >= 3  # half of the smallest class


def test_wide_tables_are_cut_and_narrow_ones_padded_with_zeros() -> None:
    shape = WideShape(columns=4, thinned=0.0, turned=0.0)
    found = [WideTableSampler(TABLES, shape).sample(i, 2) for i in range(20)]
    assert max(e.support.x.shape[2] for e in found) == 4
    mixed = next(
        e
        for e in found
        if e.support.x[0, 0, 0] < 2000 <= e.support.x[1, 0, 0] and e.support.x.shape[2] == 4
    )
    assert (mixed.support.x[0, :, 3] == 0).all() and (mixed.query.x[0, :, 3] == 0).all()


def test_many_shots_mean_fewer_classes() -> None:
    wide = [table(4, (60,) * 10, 0.0)]
    shape = WideShape(shots=(25,), rows=100, uneven=0.0, turned=0.0)
    assert max(WideTableSampler(wide, shape).sample(i, 4).n_way for i in range(10)) == 4


def test_a_turned_episode_predicts_a_column_from_the_others() -> None:
    x = torch.arange(60.0)[:, None] * torch.tensor([1.0, 1.0])
    only = WideShape(ways=(2, 5), uneven=0.0, turned=1.0, thinned=0.0)
    for index in range(10):
        episode = WideTableSampler([(x, torch.zeros(60).long() % 2 + (x[:, 0] > 30))], only)
        support = episode.sample(index, 1).support
        assert support.x.shape[2] == 1
        # Labels are places in the order of the column left out, which is the one that is left in.
        spans = [support.x[0, support.y[0] == c, 0] for c in support.y[0].unique()]
        ordered = sorted(spans, key=lambda part: float(part.min()))
        assert all(a.max() < b.min() for a, b in pairwise(ordered))


def test_uneven_classes_differ_in_size() -> None:
    shape = WideShape(shots=(10,), uneven=1.0, turned=0.0)
    sizes = [WideTableSampler([table(4, (60, 60, 60), 0.0)], shape).sample(i, 1) for i in range(10)]
    assert any(len(set(e.support.y[0, e.support.mask[0]].bincount().tolist())) > 1 for e in sizes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: WideShape(ways=(1, 3)),
        lambda: WideShape(ways=(4, 3)),
        lambda: WideShape(shots=(0,)),
        lambda: WideShape(columns=0),
        lambda: WideTableSampler([]),
        lambda: WideTableSampler([table(3, (30, 1), 0.0)]),
    ],
)
def test_settings_and_tables_that_make_no_episode_are_refused(make) -> None:
    with pytest.raises(LearnerError, match=r"expected|fewer"):
        make()
