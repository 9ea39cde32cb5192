"""What every learner must keep: inherit `LearnerContract`, give `learner` and `episodes`.

Equality is asked in float64, where rounding cannot hide an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
import torch

from learners.checkpoint import Snapshot, load, restore, save
from learners.description import build, describe
from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.execution import Execution
from learners.learner import Learner, State
from learners.training import Budget, Training, meta_train

TOLERANCE = {"rtol": 1e-6, "atol": 1e-8}


def in_double(episodes: Episodes) -> Episodes:
    def part(examples: Examples) -> Examples:
        x, y, mask = examples
        return Examples(x.double(), y.double() if y.is_floating_point() else y, mask)

    return Episodes(part(episodes.support), part(episodes.query), episodes.n_way)


def fresh(learner: Learner) -> State:
    return {name: value.double() for name, value in learner.init(3).items()}


def padded(part: Examples, extra: int) -> Examples:
    """Return the batch with rows of rubbish that the mask hides."""
    x, y, mask = part
    rubbish = torch.full((x.shape[0], extra, *x.shape[2:]), 7.0, dtype=x.dtype)
    more = torch.zeros((y.shape[0], extra, *y.shape[2:]), dtype=y.dtype)
    hidden = torch.zeros((mask.shape[0], extra), dtype=torch.bool)
    return Examples(
        torch.cat([x, rubbish], 1), torch.cat([y, more], 1), torch.cat([mask, hidden], 1)
    )


def permuted(part: Examples, seed: int = 0) -> Examples:
    order = torch.randperm(part.x.shape[1], generator=torch.Generator().manual_seed(seed))
    return Examples(*(values[:, order] for values in part))


class LearnerContract:
    """Tests that any learner passes; subclasses define `learner` and `episodes`."""

    #: Methods that see the support set in an order of their own are excused from permutation.
    ordered = False
    #: Methods whose rows share statistics while predicting are excused from independence.
    transductive = False

    @pytest.fixture
    def state(self, learner: Learner, double: Episodes) -> State:
        return learner.finish(fresh(learner), double)

    @pytest.fixture
    def double(self, episodes: Episodes) -> Episodes:
        return in_double(episodes)

    def predict(self, learner: Learner, state: State, episodes: Episodes) -> torch.Tensor:
        predictor = learner.adapt(state, episodes.support, episodes.n_way)
        return predictor.predict(episodes.query.x, episodes.query.mask)

    def test_init_is_a_flat_dict_that_the_seed_fixes(self, learner: Learner) -> None:
        one, same, other = learner.init(1), learner.init(1), learner.init(2)
        assert one and all(isinstance(value, torch.Tensor) for value in one.values())
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert any(not torch.equal(one[name], other[name]) for name in one)

    def test_adapt_is_pure(self, learner: Learner, state: State, double: Episodes) -> None:
        before = {name: value.clone() for name, value in state.items()}
        first = self.predict(learner, state, double)
        second = self.predict(learner, state, double)
        assert torch.equal(first, second)
        assert all(torch.equal(before[name], state[name]) for name in state)

    def test_batch_equals_one_by_one(
        self, learner: Learner, state: State, double: Episodes
    ) -> None:
        whole = self.predict(learner, state, double)
        for i in range(len(double)):
            support = Examples(*(part[i] for part in double.support))
            alone = learner.adapt(state, support, double.n_way).predict(double.query.x[i])
            torch.testing.assert_close(alone, whole[i], **TOLERANCE)

    def test_order_of_the_support_set_does_not_matter(
        self, learner: Learner, state: State, double: Episodes
    ) -> None:
        if self.ordered:
            pytest.skip("this method reads the support set as a sequence")
        mixed = Episodes(permuted(double.support), double.query, double.n_way)
        torch.testing.assert_close(
            self.predict(learner, state, mixed),
            self.predict(learner, state, double),
            **TOLERANCE,
        )

    def test_padding_changes_nothing(
        self, learner: Learner, state: State, double: Episodes
    ) -> None:
        longer = Episodes(padded(double.support, 3), padded(double.query, 2), double.n_way)
        n_query = double.query.x.shape[1]
        torch.testing.assert_close(
            self.predict(learner, state, longer)[:, :n_query],
            self.predict(learner, state, double),
            **TOLERANCE,
        )

    def test_padding_changes_no_meta_gradient(self, learner: Learner, double: Episodes) -> None:
        state = fresh(learner)
        longer = Episodes(padded(double.support, 3), padded(double.query, 2), double.n_way)
        expected = learner.meta_gradient(state, double, learner.phase(0), Execution())[0]
        found = learner.meta_gradient(state, longer, learner.phase(0), Execution())[0]
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, **TOLERANCE)

    def test_queries_do_not_see_each_other(
        self, learner: Learner, state: State, double: Episodes
    ) -> None:
        if self.transductive:
            pytest.skip("published so: query statistics are shared")
        predictor = learner.adapt(state, double.support, double.n_way)
        whole = predictor.predict(double.query.x)
        alone = predictor.predict(double.query.x[:, :1])
        torch.testing.assert_close(alone, whole[:, :1], **TOLERANCE)

    @pytest.mark.parametrize("chunk", [None, 1, 2])
    def test_chunks_and_loop_equal_the_whole(
        self, learner: Learner, double: Episodes, chunk: int | None
    ) -> None:
        state = fresh(learner)
        whole, losses = learner.meta_gradient(state, double, learner.phase(0), Execution(chunk=0))
        found, same = learner.meta_gradient(state, double, learner.phase(0), Execution(chunk=chunk))
        torch.testing.assert_close(same, losses, **TOLERANCE)
        assert set(whole) == set(state)
        for name, value in whole.items():
            torch.testing.assert_close(found[name], value, **TOLERANCE)

    def test_description_and_checkpoint_round_trip(
        self, learner: Learner, tmp_path, episodes: Episodes
    ) -> None:
        assert build(json.loads(json.dumps(describe(learner)))) == learner
        state = learner.init(5)
        save(tmp_path / "run.json", learner, Snapshot(state))
        loaded = load(tmp_path / "run.json", learner).state
        assert all(torch.equal(loaded[name], state[name]) for name in state)
        assert restore(tmp_path / "run.json")[0] == learner

    def test_a_resumed_run_ends_in_the_same_bits(
        self, learner: Learner, tmp_path, episodes: Episodes
    ) -> None:
        @dataclass(frozen=True)
        class Turning:
            """The episodes at hand, beginning with another one at every index."""

            def sample(self, index: int, n_episodes: int) -> Episodes:
                rows = torch.arange(index, index + n_episodes) % len(episodes)
                support, query = (
                    Examples(*(part[rows] for part in e))
                    for e in (episodes.support, episodes.query)
                )
                return Episodes(support, query, episodes.n_way)

        settings = Training(meta_batch=2, progress=False, checkpoint=tmp_path / "run.json")
        plain = replace(settings, checkpoint=None)
        whole = meta_train(learner, Turning(), Budget(3), plain).state
        meta_train(learner, Turning(), Budget(2), settings)
        resumed = meta_train(learner, Turning(), Budget(3), settings).state
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)
        start = learner.init(settings.seed)
        assert any(not torch.equal(whole[name], start[name]) for name in start)
        again, restored = restore(tmp_path / "run.json")
        assert set(restored) == set(resumed)
        torch.testing.assert_close(
            self.predict(again, restored, episodes), self.predict(learner, resumed, episodes)
        )

    def test_labels_that_are_no_class_are_refused(
        self, learner: Learner, state: State, double: Episodes
    ) -> None:
        x, y, mask = double.support
        if not learner.classification:
            pytest.skip("targets are numbers")
        for wrong, n_way in ((-1, None), (-1, double.n_way), (double.n_way, double.n_way)):
            labels = y.clone()
            labels[-1, -1] = wrong
            with pytest.raises(LearnerError, match="labels must be integers from 0 to"):
                learner.adapt(state, Examples(x, labels, mask), n_way)
        with pytest.raises(LearnerError, match="labels must be"):
            learner.adapt(state, Examples(x[0], y[0] - 1, mask[0]))

    def test_labels_of_the_wrong_kind_are_refused(
        self, learner: Learner, state: State, episodes: Episodes
    ) -> None:
        x, y, mask = episodes.support
        wrong = y.float()[..., None] if learner.classification else y[..., 0].long()
        with pytest.raises(LearnerError, match="expects"):
            learner.adapt(state, Examples(x, wrong, mask))
