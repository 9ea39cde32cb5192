"""A classifier of rows of any width: the contract, columns in any order, and the equations."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from learners.episode import Episodes, Examples, examples
from learners.errors import LearnerError
from learners.execution import Execution
from learners.learner import Phase
from learners.recipes import Inputs, recipe
from learners.set_encoder import KERNELS, SetEncoder, cells_of, columns_of
from learners.wide_tables import WideShape, WideTableSampler
from tests.learners.contract import LearnerContract

SMALL = SetEncoder(width=6, levels=3)
CLOSE = {"rtol": 1e-8, "atol": 1e-10}


def table(rows: int, columns: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(rows) % classes
    x = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    x[:, 0] += y
    x[:, 1] = (x[:, 1] > 0).double()
    return x, y


@pytest.fixture(scope="module")
def wide() -> Episodes:
    tables = [(x.float(), y) for x, y in (table(40, 5, 3, 0), table(60, 3, 4, 1))]
    shape = WideShape(ways=(2, 4), shots=(3,), n_query=3)
    return WideTableSampler(tables, shape, seed=3).sample(0, 3)


class TestSetEncoder(LearnerContract):
    @pytest.fixture
    def learner(self):
        return SMALL

    @pytest.fixture
    def episodes(self, wide):
        return wide


def trained_state(learner: SetEncoder = SMALL) -> dict[str, torch.Tensor]:
    """A state in which every part says something; heads that begin at zero too."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: value.double() + 0.3 * torch.randn(value.shape, generator=generator).double()
        for name, value in learner.init(2).items()
    }


def predicted(state, support, query_x, learner=SMALL):
    return learner.adapt(state, support).predict(query_x)


def test_columns_in_any_order_of_any_scale_and_padded_ones_change_nothing() -> None:
    x, y = table(24, 5, 3, 0)
    state, order = trained_state(), torch.tensor([3, 0, 4, 2, 1])
    expected = predicted(state, examples(x[:15], y[:15]), x[15:])
    assert expected.std(0).min() > 1e-3  # it does say something
    for change in (
        lambda part: part[:, order],
        lambda part: part * 7.0 - 3.0,
        lambda part: torch.cat([part, torch.zeros(len(part), 2).double()], 1),
        lambda part: torch.cat([part, torch.full((len(part), 1), 4.5).double()], 1),
    ):
        found = predicted(state, examples(change(x[:15]), y[:15]), change(x[15:]))
        torch.testing.assert_close(found, expected, **CLOSE)


def test_a_column_that_the_support_set_says_nothing_of_is_left_out() -> None:
    x, y = table(24, 4, 2, 1)
    support, more = x[:15], torch.arange(24).double()[:, None]
    state = trained_state()
    silent = torch.cat([support, torch.full((15, 1), 2.0).double()], 1)
    found = predicted(state, examples(silent, y[:15]), torch.cat([x[15:], more[15:]], 1))
    torch.testing.assert_close(found, predicted(state, examples(support, y[:15]), x[15:]), **CLOSE)


def test_new_numbers_for_the_classes_give_the_same_columns_of_scores() -> None:
    x, y = table(24, 4, 3, 2)
    state, renamed = trained_state(), torch.tensor([2, 0, 1])
    expected = predicted(state, examples(x[:15], y[:15]), x[15:])
    found = predicted(state, examples(x[:15], renamed[y[:15]]), x[15:])
    torch.testing.assert_close(found[:, renamed], expected, **CLOSE)


def test_absent_classes_get_no_chance_and_change_no_other_score() -> None:
    x, y = table(24, 4, 2, 2)
    state = trained_state()
    found = SMALL.adapt(state, examples(x[:15], y[:15]), 4).predict(x[15:])
    assert torch.isinf(found[:, 2:]).all()
    torch.testing.assert_close(
        found[:, :2], predicted(state, examples(x[:15], y[:15]), x[15:]), **CLOSE
    )


def perceptron(state, name: str, values: list[float]) -> list[float]:
    """One hidden layer, number by number."""
    first, second = state[f"{name}.layer0.weight"], state[f"{name}.head.weight"]
    hidden = [
        max(
            0.0,
            sum(v * float(first[i, j]) for i, v in enumerate(values))
            + float(state[f"{name}.layer0.bias"][j]),
        )
        for j in range(first.shape[1])
    ]
    return [
        sum(h * float(second[i, j]) for i, h in enumerate(hidden))
        + float(state[f"{name}.head.bias"][j])
        for j in range(second.shape[1])
    ]


def mean_of(rows: list[list[float]]) -> list[float]:
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def written_out(state, x, y, query, learner: SetEncoder) -> list[list[float]]:
    """The module's equations as loops over rows, columns, classes and levels."""
    n, m_all, classes, levels = len(x), x.shape[1], sorted(set(y.tolist())), learner.levels
    kept = [m for m in range(m_all) if x[:, m].max() > x[:, m].min()]

    def quantile(m: int, b: int) -> float:
        ordered = sorted(x[:, m].tolist())
        place = b / levels * (n - 1)
        low = min(int(place), n - 2)
        return ordered[low] + (place - low) * (ordered[low + 1] - ordered[low])

    knots = {m: [quantile(m, b) for b in range(levels + 1)] for m in kept}

    def s_of(value: float, m: int) -> float:
        column = x[:, m].tolist()
        mean = sum(column) / n
        deviation = math.sqrt(sum((v - mean) ** 2 for v in column) / n)
        return max(-4.0, min(4.0, (value - mean) / deviation))

    def t_of(value: float, m: int) -> list[float]:
        out = []
        for low, high in zip(knots[m], knots[m][1:], strict=False):
            if high > low:
                out.append(max(0.0, min(1.0, (value - low) / (high - low))))
            else:
                out.append(0.5 * (value > low) + 0.5 * (value >= low))
        return out

    def r_of(value: float, m: int) -> float:
        return sum(t_of(value, m)) / levels - 0.5

    v = {}
    for m in kept:
        read = [
            perceptron(state, "f", [s_of(float(x[i, m]), m), r_of(float(x[i, m]), m)])
            for i in range(n)
        ]
        overall, each = mean_of(read), []
        for c in classes:
            own = [row for row, label in zip(read, y, strict=True) if label == c]
            apart = [abs(p - q) for p, q in zip(mean_of(own), overall, strict=True)]
            each.append(perceptron(state, "g", overall + apart + [math.log(len(own))]))
        v[m] = mean_of(each)
    sizes = [math.log(n), math.log(len(kept)), math.log(len(classes))]
    e = perceptron(state, "h", mean_of([v[m] for m in kept]) + sizes)
    w = {
        m: [math.exp(math.tanh(a)) / len(kept) for a in perceptron(state, "column", v[m] + e)]
        for m in kept
    }
    numbers = perceptron(state, "task", e)
    total = sum(math.exp(a) for a in numbers[:-2])
    beta = [math.exp(a) / total for a in numbers[:-2]]
    noise, temperature = math.exp(numbers[-2] - 1.0) + 1e-3, math.exp(numbers[-1] + 1.6)

    def z_of(row) -> list[float]:
        pooled = mean_of(
            [
                [
                    max(0.0, p)
                    for p in perceptron(
                        state, "p", v[m] + [s_of(float(row[m]), m), r_of(float(row[m]), m)]
                    )
                ]
                for m in kept
            ]
        )
        return perceptron(state, "q", pooled)

    def kernel(a, b) -> float:
        linear = stumps = near = forest = 0.0
        for m in kept:
            sa, sb = s_of(float(a[m]), m), s_of(float(b[m]), m)
            ta, tb = t_of(float(a[m]), m), t_of(float(b[m]), m)
            linear += w[m][0] * sa * sb
            stumps += (
                w[m][1]
                * 4
                * sum((p - 0.5) * (q - 0.5) for p, q in zip(ta, tb, strict=True))
                / levels
            )
            near += w[m][2] * (sa - sb) ** 2
            forest += w[m][3] * sum((p - q) ** 2 for p, q in zip(ta, tb, strict=True)) / levels
        za, zb = z_of(a), z_of(b)
        embedded = sum(p * q for p, q in zip(za, zb, strict=True)) / len(za)
        parts = [linear, stumps, math.exp(-0.5 * near), math.exp(-3 * forest), embedded]
        return sum(p * q for p, q in zip(beta, parts, strict=True))

    gram = torch.tensor([[kernel(a, b) for b in x] for a in x], dtype=torch.float64)
    share = [sum(1 for label in y if label == c) / n for c in classes]
    target = torch.tensor(
        [[float(label == c) - share[k] for k, c in enumerate(classes)] for label in y],
        dtype=torch.float64,
    )
    dual = torch.linalg.inv(gram + noise * torch.eye(n, dtype=torch.float64)) @ target
    return [
        [
            temperature * (share[k] + sum(kernel(q, x[i]) * float(dual[i, k]) for i in range(n)))
            for k in range(len(classes))
        ]
        for q in query
    ]


def test_scores_are_the_equations_written_out_number_by_number() -> None:
    x, y = table(11, 3, 3, 4)
    x = torch.cat([x, torch.ones(11, 1).double()], 1)
    state = trained_state()
    found = predicted(state, examples(x[:8], y[:8]), x[8:])
    expected = torch.tensor(written_out(state, x[:8], y[:8], x[8:], SMALL), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_stumps_and_forest_compare_places_in_the_column() -> None:
    """Many levels: squared differences of t come to the distance of ranks."""
    x = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
    mask = torch.ones(101, dtype=torch.bool)
    columns = columns_of(x, mask, 100)
    t = cells_of(columns, x)[1]
    distance = (t[:, None] - t[None]).square().mean((2, 3))
    torch.testing.assert_close(distance, (x - x.T).abs(), rtol=0, atol=1e-9)


def test_a_meta_gradient_agrees_with_finite_differences(wide) -> None:
    def part(examples_: Examples) -> Examples:
        return Examples(examples_.x.double(), examples_.y, examples_.mask)

    episodes = Episodes(part(wide.support), part(wide.query), wide.n_way)
    state = trained_state()
    found, _ = SMALL.meta_gradient(state, episodes, Phase(), Execution())
    generator = torch.Generator().manual_seed(0)
    direction = {k: torch.randn(v.shape, generator=generator).double() for k, v in state.items()}

    def loss(step: float) -> float:
        moved = {k: v + step * direction[k] for k, v in state.items()}
        return float(SMALL.meta_gradient(moved, episodes, Phase(), Execution())[1].mean())

    expected = (loss(1e-5) - loss(-1e-5)) / 2e-5
    slope = sum(float((found[k] * direction[k]).sum()) for k in state)
    assert slope == pytest.approx(expected, rel=1e-5)


def test_a_task_embedding_sees_how_classes_differ_and_not_the_order() -> None:
    state = trained_state()
    x, y = table(60, 4, 2, 0)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    base = SMALL.task_embedding(state, examples(x, y), 2)
    assert base.shape == (SMALL.width,)
    same = SMALL.task_embedding(state, examples(x[order][:, [2, 0, 3, 1]], y[order]), 2)
    torch.testing.assert_close(same, base, **CLOSE)
    shuffled = SMALL.task_embedding(state, examples(x[order], y), 2)
    assert (shuffled - base).norm() > 1e-4


@pytest.mark.parametrize("kernel", KERNELS)
def test_each_kernel_alone_gives_finite_gradients_with_padded_columns(wide, kernel: str) -> None:
    learner = replace(SMALL, kernels=(kernel,))
    gradient, losses = learner.meta_gradient(learner.init(0), wide, Phase(), Execution())
    assert torch.isfinite(losses).all()
    assert all(torch.isfinite(value).all() for value in gradient.values())


@pytest.mark.parametrize(
    "settings", [{"width": 0}, {"levels": 0}, {"kernels": ()}, {"kernels": ("linear", "cubic")}]
)
def test_settings_that_make_no_sense_are_refused(settings) -> None:
    with pytest.raises(LearnerError, match="expected a width"):
        SetEncoder(**settings)


def test_images_and_regression_are_refused() -> None:
    with pytest.raises(LearnerError, match="columns of a table"):
        recipe("set_encoder", Inputs((1, 28, 28), 5))
    with pytest.raises(LearnerError, match="regression"):
        recipe("set_encoder", Inputs((4,)))
    assert isinstance(recipe("set_encoder", Inputs((4,), 3)).learner, SetEncoder)
