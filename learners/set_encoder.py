"""A classifier of rows with any number of columns: what a column is worth is read off the support.

Column encoder: Jomaa, Schmidt-Thieme and Grabocka, "Dataset2Vec: Learning Dataset
Meta-Features", Data Mining and Knowledge Discovery 2021, section 4.1 (a set of sets: rows within
columns within a table). Head: one regression on class indicators under a sum of kernels, solved
in closed form, as Bertinetto et al., "Meta-learning with differentiable closed-form solvers",
ICLR 2019, equation 6, and the label regression of Patacchiola et al., NeurIPS 2020, section 4.2.

Notation
    N, M, T     rows of the support set, columns that vary in it, classes that it has
    s_nm        cell in deviations from the column's mean, at most 4
    t_nm        cell against B + 1 quantiles of its column `(B,)`: each entry from 0 to 1 within
                its interval; r_nm is their mean, the share of the column below the cell
    v_m         (1/T) sum_t g( f_m, |f_tm - f_m|, log N_t ), f_m the mean over rows of
                f(s_nm, r_nm) and f_tm that over the N_t rows of class t; the paper's
                g( (1/N) sum_n f(x_nm, y_nt) ) with how a class differs written out
    e           h( (1/M) sum_m v_m, log N, log M, log T ), the embedding of the task
    w_m         exp(tanh a(v_m, e)) / M, what the column counts in each kernel: up to e times
                more or less than others, for few rows say little
    k           beta(e)-weighted sum, softmax weights, of
                  linear     sum_m w_m s_m s'_m
                  stumps     sum_m w_m 4 <t_m - 1/2, t'_m - 1/2> / B
                  rbf        exp(-1/2 sum_m w_m (s_m - s'_m)^2)
                  forest     exp(-3 sum_m w_m |t_m - t'_m|^2 / B)
                  embedding  <z, z'> / d_z, z = q( (1/M) sum_m p(v_m, s_m, r_m) )
    scores      tau(e) (b + k(x, X) (K + lambda(e) I)^-1 (Y - b)), b the classes' shares

Stumps is the covariance of a sum of random threshold functions a column; forest is that of a
product over columns of them, the limit of randomly grown trees. Everything is a sum or a mean
over rows, columns and classes, so that their order and padding change nothing; a column that is
constant in the support set is left out, and padded columns are constant. The embedding kernel
alone follows the column-conditional encoder of rows in Iwata and Kumagai, "Meta-learning from
Tasks with Heterogeneous Attribute Spaces", NeurIPS 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as nnf

from learners.episode import Examples
from learners.errors import LearnerError
from learners.learner import Learner, State
from learners.losses import at_least_float32
from learners.networks import MLP, Params

KERNELS = ("linear", "stumps", "rbf", "forest", "embedding")
FARTHEST = 4.0
"""Deviations from the mean beyond which a cell is not told from others."""

_LEAST_NOISE = 1e-3
_START = {"noise": -1.0, "temperature": 1.6}


@dataclass(frozen=True)
class SetEncoder(Learner):
    """Kernel regression on class indicators whose kernel is read off the support set.

    Args:
        width: of the hidden layers of f, g, h, a, p and q, and of v and e.
        levels: B, intervals between quantiles.
        kernels: which of `KERNELS` are summed.
    """

    width: int = 32
    levels: int = 8
    kernels: tuple[str, ...] = KERNELS

    def __post_init__(self) -> None:
        known = set(self.kernels) <= set(KERNELS) and len(set(self.kernels)) == len(self.kernels)
        if self.width < 1 or self.levels < 1 or not self.kernels or not known:
            raise LearnerError(
                f"expected a width and levels of 1 or more and kernels out of {KERNELS}, got "
                f"width={self.width}, levels={self.levels}, kernels={self.kernels}"
            )

    def init(self, seed: int) -> State:
        """Return the parameters of every part; kernels and columns start out equal."""
        generator = torch.Generator().manual_seed(seed)
        state: State = {}
        for name, part in self._parts().items():
            made = part.init(generator)
            if name in ("column", "task"):
                made = {k: torch.zeros_like(v) if "head" in k else v for k, v in made.items()}
            state |= {f"{name}.{key}": value for key, value in made.items()}
        return state

    def fit(self, state: State, support: Examples, n_way: int) -> State:
        """Return what the support set says: quantiles, relevances, and the solved regression."""
        x = at_least_float32(support.x)
        context = columns_of(x, support.mask, self.levels)
        context |= self._read(state, context, x, support, n_way)
        features = self._features(state, context, x)
        context |= {f"support.{name}": value for name, value in features.items()}
        kernel = self._kernel(context, features, features)
        weight = support.mask.to(x.dtype)
        kernel = kernel * weight[:, None] * weight
        member = nnf.one_hot(support.y, n_way).to(x.dtype) * weight[:, None]
        share = member.sum(0) / weight.sum()
        noise = context["noise"] * torch.eye(len(x), dtype=x.dtype, device=x.device)
        residual = (member - share) * weight[:, None]
        context |= {"dual": torch.linalg.solve(kernel + noise, residual), "share": share}
        return context

    def scores(self, state: State, context: State, query: Examples, n_way: int) -> Tensor:
        """Return log-odds `(n_query, n_way)`; classes that the support set lacks get -inf."""
        features = self._features(state, context, at_least_float32(query.x))
        prefix = "support."
        known = {k.removeprefix(prefix): v for k, v in context.items() if k.startswith(prefix)}
        found = context["share"] + self._kernel(context, features, known) @ context["dual"]
        return torch.where(context["share"] > 0, context["temperature"] * found, -torch.inf)

    def task_embedding(self, state: State, support: Examples, n_way: int) -> Tensor:
        """Return e `(width,)`: tasks that are worked alike lie near each other."""
        x = at_least_float32(support.x)
        columns = columns_of(x, support.mask, self.levels)
        return self._read(state, columns, x, support, n_way)["task"]

    def _parts(self) -> dict[str, MLP]:
        wide, n_kernels = self.width, len(self.kernels)
        return {
            "f": MLP((2, wide, wide)),
            "g": MLP((2 * wide + 1, wide, wide)),
            "h": MLP((wide + 3, wide, wide)),
            "column": MLP((2 * wide, wide, n_kernels)),
            "task": MLP((wide, wide, n_kernels + 2)),
            "p": MLP((wide + 2, wide, wide)),
            "q": MLP((wide, wide, wide)),
        }

    def _apply(self, state: State, name: str, x: Tensor) -> Tensor:
        """Return a part's output for `x` `(..., d)`, in one product over all leading axes."""
        prefix = f"{name}."
        params: Params = {
            k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)
        }
        flat = x.reshape(-1, x.shape[-1])
        mask = torch.ones(flat.shape[0], dtype=torch.bool, device=x.device)
        out = self._parts()[name](params, flat, mask)
        return at_least_float32(out).reshape(*x.shape[:-1], -1)

    def _read(
        self, state: State, columns: State, x: Tensor, support: Examples, n_way: int
    ) -> State:
        """Return columns v, the task e, relevances, weights of kernels, noise, temperature."""
        present, weight = columns["present"], support.mask.to(x.dtype)
        member = nnf.one_hot(support.y, n_way).to(x.dtype) * weight[:, None]
        has = (member.sum(0) > 0).to(x.dtype)
        n_rows, n_columns, n_classes = weight.sum(), present.sum().clamp(min=1), has.sum()
        s, t = cells_of(columns, x)
        cells = torch.stack([s, t.mean(-1) - 0.5], -1)
        read = self._apply(state, "f", cells)
        overall = torch.einsum("n,nmh->mh", weight / n_rows, read)
        counts = member.sum(0).clamp(min=1)
        apart = (torch.einsum("nt,nmh->tmh", member / counts, read) - overall).abs()
        size = counts.log()[:, None, None].expand(-1, len(present), 1)
        told = torch.cat([overall.expand_as(apart), apart, size], -1)
        v = torch.einsum("t,tmh->mh", has / n_classes, self._apply(state, "g", told))
        sizes = torch.stack([n_rows, n_columns, n_classes]).log()
        mean_column = torch.einsum("m,mh->h", present / n_columns, v)
        e = self._apply(state, "h", torch.cat([mean_column, sizes]))
        told = torch.cat([v, e.expand(len(v), -1)], -1)
        relevance = self._apply(state, "column", told).tanh().exp()
        numbers = self._apply(state, "task", e)
        return {
            "v": v,
            "task": e,
            "relevance": relevance / n_columns,
            "columns": present / n_columns,
            "kernels": numbers[:-2].softmax(0),
            "noise": (numbers[-2] + _START["noise"]).exp() + _LEAST_NOISE,
            "temperature": (numbers[-1] + _START["temperature"]).exp(),
        }

    def _features(self, state: State, context: State, x: Tensor) -> State:
        """Return what kernels compare: cells s `(n, M)`, t `(n, M, B)`, rows z `(n, width)`."""
        s, t = cells_of(context, x)
        features = {"s": s, "t": (t - 0.5) * context["present"][:, None]}
        if "embedding" in self.kernels:
            v = context["v"].expand(len(s), -1, -1)
            cells = torch.cat([v, torch.stack([s, t.mean(-1) - 0.5], -1)], -1)
            pooled = torch.einsum(
                "m,nmh->nh", context["columns"], self._apply(state, "p", cells).relu()
            )
            features["z"] = self._apply(state, "q", pooled)
        return features

    def _kernel(self, context: State, left: State, right: State) -> Tensor:
        """Return k `(n_left, n_right)`."""
        total = torch.zeros((), dtype=left["s"].dtype, device=left["s"].device)
        for i, name in enumerate(self.kernels):
            w = context["relevance"][:, i]
            total = total + context["kernels"][i] * _one(name, w, left, right)
        return total


def _one(name: str, w: Tensor, left: State, right: State) -> Tensor:
    if name == "embedding":
        return left["z"] @ right["z"].T / left["z"].shape[1]
    if name in ("linear", "rbf"):
        a, b = left["s"] * w.sqrt(), right["s"] * w.sqrt()
    else:
        scale = (w / left["t"].shape[-1]).sqrt()[:, None]
        a, b = (left["t"] * scale).flatten(1), (right["t"] * scale).flatten(1)
    if name in ("linear", "stumps"):
        return (a @ b.T) * (1.0 if name == "linear" else 4.0)
    distance = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    return (distance.clamp(min=0) * (-0.5 if name == "rbf" else -3.0)).exp()


def columns_of(x: Tensor, mask: Tensor, levels: int) -> State:
    """Return mean, deviation, quantiles `(levels + 1, M)` and presence of the support's columns.

    A column is present where two of its real rows differ.
    """
    weight = mask.to(x.dtype)[:, None]
    n = weight.sum()
    low = torch.where(mask[:, None], x, torch.inf).amin(0)
    high = torch.where(mask[:, None], x, -torch.inf).amax(0)
    mean = torch.where(mask[:, None], x, 0.0).sum(0) / n
    variance = (torch.where(mask[:, None], x - mean, 0.0).square()).sum(0) / n
    present = high > low
    ordered = torch.where(mask[:, None], x, torch.inf).sort(0).values
    place = torch.linspace(0, 1, levels + 1, dtype=x.dtype, device=x.device) * (n - 1)
    below = place.floor().long()
    above = torch.minimum(below + 1, (n - 1).long())
    first, second = (ordered.index_select(0, index) for index in (below, above))
    knots = first + (place - below)[:, None] * (second - first)
    return {
        "mean": mean,
        "deviation": torch.where(present, variance, 1.0).sqrt(),
        "knots": knots,
        "present": present.to(x.dtype),
    }


def cells_of(columns: State, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return s `(n, M)`, 0 in columns that are not present, and t `(n, M, B)`."""
    here = columns["present"]
    s = ((x - columns["mean"]) / columns["deviation"]).clamp(-FARTHEST, FARTHEST) * here
    low, high = columns["knots"][:-1].T, columns["knots"][1:].T
    cell, wide = x[:, :, None], high > low
    within = ((cell - low) / torch.where(wide, high - low, 1.0)).clamp(0, 1)
    # Where two quantiles coincide the cell is below, above, or half of both.
    tied = 0.5 * ((cell > low).to(x.dtype) + (cell >= low).to(x.dtype))
    return s, torch.where(wide, within, tied)
