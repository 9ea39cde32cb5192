"""Meta-training: the outer loop around any learner.

One iteration draws a batch of episodes, takes the learner's meta-gradient, and makes one step
of the outer optimizer. Every draw is a function of the seed and the iteration, so a run that
was cut and resumed ends in the same bits as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from types import MappingProxyType

import torch
from torch import Tensor
from tqdm import tqdm

from learners.checkpoint import Report, Snapshot, check_writable, load, save, save_episode
from learners.episode import Episodes, check
from learners.errors import LearnerError, NonFiniteLossError
from learners.evaluation import evaluate
from learners.given import episodes_like
from learners.learner import Learner, State
from learners.outer_settings import SCHEDULES, Budget, Trained, Training
from learners.samplers import Sampler, in_order_for
from learners.sharding import Shard, joined
from learners.starting import begun

__all__ = ["Budget", "Trained", "Training", "meta_train"]

_FINISH = 2**40
"""Index of the training episodes that `Learner.finish` sees: far from any iteration."""


def meta_train(
    learner: Learner,
    sampler: Sampler,
    budget: Budget,
    training: Training | None = None,
    validation: Sampler | None = None,
) -> Trained:
    """Meta-train a learner on a sampler until the budget is spent.

    A checkpoint that is already at `training.checkpoint` is resumed. The process keeps
    freed memory and runs torch on `execution.threads` threads meanwhile.

    Args:
        learner: what to train.
        sampler: training episodes.
        budget: how long.
        training: settings of the outer loop; the defaults if None.
        validation: episodes of other classes, to choose the best state by.

    Returns:
        The learner with its state and learning curve; under torchrun the same in each process.

    Raises:
        NonFiniteLossError: if a loss is NaN or infinite.
        CheckpointError: if the checkpoint there is damaged or of another learner.
        LearnerError: if the sampler's episodes are malformed or not of the learner's kind,
            `training.start` does not fit, or there is no such device here.
    """
    training = training or Training()
    execution = training.execution
    shards = joined(execution.device) if execution.sharded else nullcontext(Shard())
    with execution.prepared(), shards as shard:
        return _Run(learner, (sampler, validation), budget, training, shard).to_the_end()


class _Run:
    """The mutable part of one call of `meta_train`."""

    def __init__(
        self,
        learner: Learner,
        samplers: tuple[Sampler, Sampler | None],
        budget: Budget,
        training: Training,
        shard: Shard,
    ) -> None:
        sampler, validation = samplers
        self.shard = shard
        self.learner, self.validation = learner, validation
        self.sampler = in_order_for(learner, sampler)
        self.budget, self.training = budget, training
        self.device = training.execution.device
        self.started, self.started_cpu = time.monotonic(), time.process_time()
        self.losses: list[Tensor] = []
        if training.checkpoint is not None and shard.first:
            check_writable(training.checkpoint, learner)
        snapshot = self._resumed() or Snapshot(self._begun())
        self.iteration, self.stale = snapshot.iteration, snapshot.stale
        self.begun = self.iteration
        self.earlier_seconds, self.best_score = snapshot.seconds, snapshot.best_score
        self.earlier_cpu = snapshot.cpu_seconds
        self.history = list(snapshot.history)
        self.state = {k: v.to(self.device).clone() for k, v in snapshot.state.items()}
        self.best = {k: v.to(self.device) for k, v in snapshot.best.items()}
        self.optimizer = self._optimizer(snapshot.moments)
        first = sampler.sample(0, 1)
        check(first)
        if learner.classification != bool(first.n_way):
            raise LearnerError(
                f"this {type(learner).__name__} predicts "
                f"{'classes' if learner.classification else 'numbers'}, and the sampler gives "
                f"episodes of {'classes' if first.n_way else 'numbers'}; take a learner for those"
            )
        learner.check_ways(first.n_way)

    def to_the_end(self) -> Trained:
        with tqdm(
            total=self.budget.iterations,
            initial=self.iteration,
            disable=not (self.training.progress and self.shard.first),
            unit="it",
        ) as bar:
            done = self._done()
            while not done:
                self._iterate()
                bar.update()
                done = self._done()
                if done or self.iteration % self.training.validate_every == 0:
                    report = self._report()
                    bar.set_postfix_str(_line(report))
                    # A validation can spend the last of the time, or of the patience.
                    done = done or self._done()
                if not done and self.iteration % self.training.checkpoint_every == 0:
                    self._save()
        state = self.best or self._finished()
        if self.iteration > self.begun:
            self._save({} if self.best else self._changed(state))
        return Trained(self.learner, state, tuple(self.history), self.iteration)

    def _done(self) -> bool:
        patience, seconds = self.budget.patience, self.budget.seconds
        late = seconds is not None and self.shard.agreed(
            self._call_seconds() >= seconds, self.device
        )
        return (
            late
            or self.iteration >= self.budget.iterations
            or bool(patience and self.stale >= patience)
        )

    def _spent(self) -> float:
        """Return the share of the budget that is spent, in all processes the same."""
        spent = self.iteration / self.budget.iterations
        if not (self.budget.by_time and self.budget.seconds):
            return spent
        by_time = self.shard.told(self._call_seconds() / self.budget.seconds, self.device)
        return min(1.0, max(spent, by_time))

    def _call_seconds(self) -> float:
        return time.monotonic() - self.started

    def _cpu_seconds(self) -> float:
        return self.earlier_cpu + time.process_time() - self.started_cpu

    def _iterate(self) -> None:
        training = self.training
        episodes = self._drawn(self.iteration, training.meta_batch, self.state)
        phase = self.learner.phase(self.iteration)
        gradient, losses = self.shard.whole(
            *self.learner.meta_gradient(
                self.state, self.shard.part(episodes), phase, training.execution
            ),
            len(episodes),
        )
        if not _all_finite([losses, *gradient.values()]):
            self._stop(episodes, losses)
        for name, value in self.state.items():
            entry = gradient[name]
            value.grad = (
                entry if training.clip is None else entry.clamp(-training.clip, training.clip)
            )
        factor = SCHEDULES[training.schedule](self._spent())
        for group in self.optimizer.param_groups:
            group["lr"] = training.rate * factor
        self.optimizer.step()
        self.losses.append(losses.mean())
        self.iteration += 1

    def _report(self) -> Report:
        loss = float(torch.stack(self.losses).mean())
        self.losses = []
        score = None
        if self.validation is not None:
            finished = self._finished()
            score = evaluate(
                self.learner,
                finished,
                self.validation,
                self.training.validation_episodes,
                self.training.execution,
            )
            if score.better_than(self.best_score):
                self.best_score, self.best, self.stale = score, finished, 0
            else:
                self.stale += 1
        seconds = self.earlier_seconds + self._call_seconds()
        report = Report(self.iteration, seconds, loss, score, self._cpu_seconds())
        self.history.append(report)
        if self.shard.first:
            for watch in self.training.watch:
                watch(report)
        return report

    def _finished(self) -> State:
        """Return a copy of the state that is ready to predict with."""
        state = {name: value.detach().clone() for name, value in self.state.items()}
        return self.learner.finish(state, self._drawn(_FINISH, 8, state))

    def _drawn(self, index: int, n_episodes: int, state: State) -> Episodes:
        """Return a batch of the sampler's, in the type and on the device of a state."""
        episodes = self.sampler.sample(index, n_episodes)
        device = next(iter(state.values())).device
        return episodes_like(state, episodes, whole=self.learner.own_inputs).to(device)

    def _optimizer(self, moments: State) -> torch.optim.Optimizer:
        parameters = list(self.state.values())
        if self.training.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=self.training.rate)
        optimizer = torch.optim.Adam(parameters, lr=self.training.rate)
        for name, parameter in self.state.items():
            if f"{name}.step" in moments:
                optimizer.state[parameter] = {
                    key: moments[f"{name}.{key}"].clone()
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }
        return optimizer

    def _changed(self, finished: State) -> State:
        """Return what finishing added to the state, or changed in it."""
        return {
            name: value
            for name, value in finished.items()
            if name not in self.state or not torch.equal(value, self.state[name])
        }

    def _save(self, finished: Mapping[str, Tensor] = MappingProxyType({})) -> None:
        if self.training.checkpoint is None or not self.shard.first:
            return
        moments = {
            f"{name}.{key}": entry
            for name, parameter in self.state.items()
            for key, entry in self.optimizer.state[parameter].items()
            if isinstance(entry, Tensor)
        }
        snapshot = Snapshot(
            state=self.state,
            moments=moments,
            best=self.best,
            best_score=self.best_score,
            iteration=self.iteration,
            stale=self.stale,
            seconds=self.earlier_seconds + self._call_seconds(),
            history=tuple(self.history),
            cpu_seconds=self._cpu_seconds(),
            finished=dict(finished),
        )
        save(self.training.checkpoint, self.learner, snapshot, self.training.about)

    def _begun(self) -> State:
        """Return the state that training begins with."""
        if isinstance(getattr(self.learner, "network", None), torch.nn.Module):
            raise LearnerError(
                "a learner takes a module of torch as a network: wrap it, "
                "learners.networks.ModuleNetwork(module)"
            )
        fresh, start = self.learner.init(self.training.seed), self.training.start
        measured: set[str] = set()
        if set(start) - set(fresh):
            # A finished state holds moments, which finishing measures anew.
            measured = set(self.learner.finish(fresh, self._drawn(_FINISH, 1, fresh)))
        return begun(fresh, {k: v for k, v in start.items() if k in fresh or k not in measured})

    def _resumed(self) -> Snapshot | None:
        path = self.training.checkpoint
        return load(path, self.learner) if path is not None and path.exists() else None

    def _stop(self, episodes: Episodes, losses: Tensor) -> None:
        bad = (~torch.isfinite(losses)).nonzero().flatten().tolist()
        # A finite loss with a gradient that is not cannot be pinned on one episode.
        kept = episodes[bad[0] : bad[0] + 1] if bad else episodes
        what = f"the loss of episode {bad[0]}" if bad else "the meta-gradient"
        where = None
        if self.training.checkpoint is not None and self.shard.first:
            where = self.training.checkpoint.with_suffix(f".nonfinite-{self.iteration}.safetensors")
            save_episode(where, self.state, kept)
        raise NonFiniteLossError(
            f"meta-iteration {self.iteration}: {what} is NaN or infinite; lower the inner or the "
            "outer rate, or clip. State and episodes "
            + (
                f"are in {where.name}: learners.checkpoint.load_episode"
                if where
                else "are kept where a checkpoint path is set"
            ),
            where,
        )


def _all_finite(tensors: list[Tensor]) -> bool:
    return bool(torch.stack([torch.isfinite(one).all() for one in tensors]).all())


def _line(report: Report) -> str:
    score = "" if report.validation is None else f", validation {report.validation}"
    return f"loss {report.loss:.3f}{score}"
