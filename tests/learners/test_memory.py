from __future__ import annotations

import math

import pytest
import torch

from learners.episode import Episodes, Examples
from learners.errors import LearnerError
from learners.mann import LRUACell, Mann, least_used
from learners.networks import MLP, Conv4, Flatten
from learners.ntm import NTMCell, interpolated, sharpened, shifted, write
from tests.learners.contract import LearnerContract, in_double
from tests.learners.differences import check_gradient, random_state

SMALL = LRUACell(n_slots=7, width=4, n_reads=2, hidden=6)


class MemoryContract(LearnerContract):
    ordered = True

    @pytest.fixture
    def episodes(self, glyph_episodes):
        return glyph_episodes


class TestLeastRecentlyUsed(MemoryContract):
    @pytest.fixture
    def learner(self):
        return Mann(Conv4(5, filters=4), n_features=5, n_way=4, cell=SMALL)


class TestWithStrength(MemoryContract):
    @pytest.fixture
    def learner(self):
        cell = LRUACell(n_slots=7, width=4, n_reads=2, hidden=6, strength=True)
        return Mann(Flatten(), n_features=784, n_way=3, cell=cell)


class TestTuring(MemoryContract):
    @pytest.fixture
    def learner(self):
        cell = NTMCell(n_slots=6, width=4, n_reads=2, hidden=6)
        return Mann(Conv4(5, filters=4), n_features=5, n_way=3, cell=cell)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def cosines(memory: list[list[float]], key: list[float]) -> list[float]:
    def length(row: list[float]) -> float:
        return math.sqrt(sum(v * v for v in row) + 1e-12)

    return [
        sum(a * b for a, b in zip(row, key, strict=True)) / (length(row) * length(key))
        for row in memory
    ]


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(v - max(values)) for v in values]
    return [power / sum(powers) for power in powers]


def torch_lstm(params, x, h, c, hidden):
    """The controller as torch's own cell computes it."""
    cell = torch.nn.LSTMCell(len(x), hidden, dtype=torch.float64)
    weight = params["lstm.weight"].T
    state = {
        "weight_ih": weight[:, : len(x)],
        "weight_hh": weight[:, len(x) :],
        "bias_ih": params["lstm.bias"],
        "bias_hh": torch.zeros_like(params["lstm.bias"]),
    }
    cell.load_state_dict(state)
    with torch.no_grad():
        new_h, new_c = cell(x[None], (h[None], c[None]))
    return new_h[0], new_c[0]


def lrua_by_hand(cell: LRUACell, params, rows: torch.Tensor) -> list[torch.Tensor]:
    """Santoro et al., equations 2 to 8, number by number."""
    n, width, heads = cell.n_slots, cell.width, cell.n_reads
    memory = [[1e-6] * width for _ in range(n)]
    read_at = [[0.0] * n for _ in range(heads)]
    usage, read = [0.0] * n, [0.0] * (heads * width)
    h = c = torch.zeros(cell.hidden, dtype=torch.float64)
    outputs = []
    for x in rows:
        inputs = torch.cat([x, torch.tensor(read, dtype=torch.float64)])
        h, c = torch_lstm(params, inputs, h, c, cell.hidden)
        made = (h @ params["heads.weight"] + params["heads.bias"]).tolist()
        size = len(made) // heads
        made = [made[i * size : (i + 1) * size] for i in range(heads)]
        lowest = sorted(range(n), key=lambda i: (usage[i], i))[:heads]
        for i in lowest:
            memory[i] = [0.0] * width
        write_at = []
        for head in range(heads):
            gate = sigmoid(made[head][width])
            unused = [1.0 if i == lowest[head] else 0.0 for i in range(n)]
            write_at.append([gate * read_at[head][i] + (1 - gate) * unused[i] for i in range(n)])
        for head in range(heads):
            for i in range(n):
                for j in range(width):
                    memory[i][j] += write_at[head][i] * made[head][j]
        read_at, read = [], []
        for head in range(heads):
            similar = cosines(memory, made[head][:width])
            factor = 1 + math.log1p(math.exp(made[head][-1])) if cell.strength else 1.0
            read_at.append(softmax([factor * value for value in similar]))
            read += [sum(read_at[head][i] * memory[i][j] for i in range(n)) for j in range(width)]
        usage = [
            cell.decay * usage[i] + sum(at[i] for at in read_at) + sum(at[i] for at in write_at)
            for i in range(n)
        ]
        outputs.append(torch.cat([h, torch.tensor(read, dtype=torch.float64)]))
    return outputs


def ntm_by_hand(cell: NTMCell, params, rows: torch.Tensor) -> list[torch.Tensor]:
    """Graves et al., equations 2 to 9, number by number."""
    n, width, heads, reach = cell.n_slots, cell.width, cell.n_reads + 1, cell.reach
    memory = [[1e-6] * width for _ in range(n)]
    weights = [[1.0] + [0.0] * (n - 1) for _ in range(heads)]
    read = [0.0] * (cell.n_reads * width)
    h = c = torch.zeros(cell.hidden, dtype=torch.float64)
    outputs = []

    def address(raw: list[float], before: list[float]) -> list[float]:
        key, (strength, gate, gamma) = raw[:width], raw[width : width + 3]
        shift = softmax(raw[width + 3 :])
        beta, gamma = math.log1p(math.exp(strength)), 1 + math.log1p(math.exp(gamma))
        content = softmax([beta * value for value in cosines(memory, key)])
        g = sigmoid(gate)
        mixed = [g * content[i] + (1 - g) * before[i] for i in range(n)]
        moved = [
            sum(mixed[(i - s) % n] * shift[s + reach] for s in range(-reach, reach + 1))
            for i in range(n)
        ]
        powers = [max(value, 1e-12) ** gamma for value in moved]
        return [power / sum(powers) for power in powers]

    for x in rows:
        inputs = torch.cat([x, torch.tensor(read, dtype=torch.float64)])
        h, c = torch_lstm(params, inputs, h, c, cell.hidden)
        made = (h @ params["heads.weight"] + params["heads.bias"]).tolist()
        erase, add, rest = made[:width], made[width : 2 * width], made[2 * width :]
        size = len(rest) // heads
        weights[0] = address(rest[:size], weights[0])
        for i in range(n):
            for j in range(width):
                kept = memory[i][j] * (1 - weights[0][i] * sigmoid(erase[j]))
                memory[i][j] = kept + weights[0][i] * add[j]
        read = []
        for head in range(1, heads):
            weights[head] = address(rest[head * size : (head + 1) * size], weights[head])
            read += [sum(weights[head][i] * memory[i][j] for i in range(n)) for j in range(width)]
        outputs.append(torch.cat([h, torch.tensor(read, dtype=torch.float64)]))
    return outputs


CELLS = [
    (SMALL, lrua_by_hand),
    (LRUACell(n_slots=3, width=2, n_reads=3, hidden=4, decay=0.5, strength=True), lrua_by_hand),
    (NTMCell(n_slots=6, width=4, n_reads=2, hidden=5), ntm_by_hand),
    (NTMCell(n_slots=9, width=3, n_reads=1, hidden=5, reach=2), ntm_by_hand),
]


@pytest.mark.parametrize(("cell", "by_hand"), CELLS)
def test_each_step_is_that_of_the_paper(cell, by_hand) -> None:
    generator = torch.Generator().manual_seed(4)
    params = {name: 3 * value.double() for name, value in cell.init(3, generator).items()}
    rows = torch.randn(9, 3, generator=generator).double()
    carry = cell.start(rows)
    for row, expected in zip(rows, by_hand(cell, params, rows), strict=True):
        output, carry = cell.step(params, row, carry)
        torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-12)


def test_least_used_slots_are_those_of_lowest_usage_first_of_equals() -> None:
    usage = torch.tensor([0.2, 0.1, 0.1, 0.0])
    assert least_used(usage, 3).argmax(1).tolist() == [3, 1, 2]


def test_a_full_shift_moves_every_weight_round_the_ring() -> None:
    weights = torch.tensor([[0.1, 0.2, 0.7]])
    assert shifted(weights, torch.tensor([[0.0, 0.0, 1.0]])).tolist() == weights.roll(1).tolist()
    assert shifted(weights, torch.tensor([[1.0, 0.0, 0.0]])).tolist() == weights.roll(-1).tolist()


def test_addressing_keeps_a_distribution() -> None:
    weights = torch.rand(3, 8, generator=torch.Generator().manual_seed(0)).softmax(1)
    mixed = interpolated(weights, weights.flip(1), torch.full((3, 1), 0.3))
    moved = shifted(mixed, torch.tensor([[0.2, 0.5, 0.3]]))
    sharp = sharpened(moved, torch.full((3, 1), 5.0))
    for one in (mixed, moved, sharp):
        torch.testing.assert_close(one.sum(1), torch.ones(3))
    assert torch.all(sharp.max(1).values > moved.max(1).values)


def test_writing_with_full_erase_replaces_a_slot() -> None:
    memory, new = torch.ones(3, 2), torch.tensor([5.0, 6.0])
    written = write(memory, torch.tensor([0.0, 1.0, 0.0]), torch.ones(2), new)
    assert written.tolist() == [[1.0, 1.0], [5.0, 6.0], [1.0, 1.0]]


@pytest.mark.parametrize("cell", [SMALL, NTMCell(n_slots=5, width=3, n_reads=2, hidden=4)])
def test_meta_gradient_equals_finite_differences(cell, glyph_episodes: Episodes) -> None:
    learner = Mann(Conv4(4, filters=3), n_features=4, n_way=3, cell=cell)
    check_gradient(learner, random_state(learner), in_double(glyph_episodes))


def test_the_label_is_seen_a_step_after_its_input() -> None:
    """The label of the last row reaches a query; that of an input beside it does not exist."""
    learner = Mann(MLP((2, 2)), n_features=2, n_way=3, cell=SMALL)
    state = {name: value.double() for name, value in learner.init(0).items()}
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).double()
    mask = torch.ones(4, dtype=torch.bool)
    answers = [
        learner.adapt(state, Examples(x, torch.tensor([0, 1, 2, last]), mask), 3).predict(x[:1])
        for last in (0, 1)
    ]
    assert not torch.equal(*answers)


@pytest.mark.parametrize("cell", [SMALL, NTMCell(n_slots=5, width=3, n_reads=2, hidden=4)])
def test_a_row_is_its_input_beside_the_label_of_the_row_before(cell) -> None:
    """The stream x_1, 0; x_2, y_1; ...; a query, y_n, stepped through one by one."""
    learner = Mann(Flatten(), n_features=2, n_way=3, cell=cell)
    state = {name: value.double() for name, value in learner.init(0).items()}
    params = {name[5:]: value for name, value in state.items() if name.startswith("cell.")}
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0)).double()
    labels, none = torch.tensor([1, 0, 2, 1]), torch.zeros(3, dtype=torch.float64)
    shown = torch.stack([none, *torch.eye(3, dtype=torch.float64)[labels]])
    carry = cell.start(x)
    for row in torch.cat([x, shown], 1):
        output, carry = cell.step(params, row, carry)
    support = Examples(x[:4], labels, torch.ones(4, dtype=torch.bool))
    found = learner.adapt(state, support, 3).predict(x[4:])
    expected = output @ state["out.weight"] + state["out.bias"]
    torch.testing.assert_close(found[0], expected, rtol=1e-9, atol=1e-12)


def test_more_classes_than_it_was_made_for_are_refused(glyph_episodes: Episodes) -> None:
    learner = Mann(Flatten(), n_features=784, n_way=2, cell=SMALL)
    with pytest.raises(LearnerError, match="at most 2 classes, got an episode of 3"):
        learner.adapt(learner.init(0), glyph_episodes.support, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LRUACell(n_reads=5, n_slots=4),
        lambda: LRUACell(decay=2.0),
        lambda: NTMCell(reach=64),
        lambda: NTMCell(width=0),
        lambda: Mann(Flatten()),
    ],
)
def test_impossible_sizes_are_refused(make) -> None:
    with pytest.raises(LearnerError):
        make()
