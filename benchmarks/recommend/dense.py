"""Adaptive recommenders against six references on a dense table, one dataset group left out.

    python -m benchmarks.recommend.dense [--small] [--metric NAME ...] [--name NAME ...]
        [--out FILE]

Auto-sklearn's table, 140 datasets x 106 pipelines with meta-features: each group of datasets of
the same shape is left out in turn, for each of the five metrics. Numbers are mean
normalised regret x100 after 1, 3, 5, 10 and 25 configs; pooled numbers are geometric means over
metrics. The references (`benchmarks.recommend.references`) run on raw scores. Of `pac_loss`, which
has no bound, what lies far below all others counts as far for everybody
(`recommenders.heavy_tails`).

Asked of `auto`: pooled over metrics and budgets at most 0.62 of greedy, 0.72 of kernel greedy,
0.75 of 15 nearest and 0.68 of the mean of the 5 nearest; in each column at most 0.9 of the best
reference; and in no column of any metric significantly worse than it (paired difference above
two standard errors, near-duplicates counted as one draw). Medians and mean ranks stand beside.

Constants of the recommenders were chosen on half 0 of the groups (every second one, in the order
of the first dataset's name) and on other tables. So the other half is reported alone, too.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.realdata import realdata
from benchmarks.recommend.references import REFERENCES
from benchmarks.results import Report, table
from metastore.view import FloatArray, IntArray, View
from recommenders.backtest import backtest
from recommenders.distances import Support
from recommenders.replay import Answers, best_so_far
from recommenders.scores import Past
from tests.views import view_from_parquet

METRICS = ("bac_loss", "acc_loss", "auc_loss", "f1_loss", "pac_loss")
OURS = ("auto", "empirical_bayes", "nearest")
BUDGETS = (1, 3, 5, 10, 25)
ASKED = {
    "greedy": 0.62,
    "kernel greedy": 0.72,
    "15 nearest": 0.75,
    "mean of the 5 nearest": 0.68,
}
ASKED_COLUMN = 0.9
SEED = 0


@dataclass(frozen=True, eq=False)
class Paths:
    """Regrets of everybody on one metric: `(T, 25)` by name, and the group of each dataset.

    `seconds` is what each took, `held` the share of its 80% intervals that held.
    """

    regret: dict[str, FloatArray]
    groups: IntArray
    seconds: dict[str, float]
    held: dict[str, float]

    def take(self, kept: FloatArray) -> Paths:
        """Return the paths on some of the datasets, `(T,)` booleans."""
        regret = {name: path[kept] for name, path in self.regret.items()}
        return Paths(regret, self.groups[kept], self.seconds, self.held)


def view_of(metric: str) -> View:
    """Return the view of a metric; datasets of the same shape are one group."""
    return view_from_parquet(
        realdata("autosklearn_md/runs.parquet"),
        metric,
        realdata("autosklearn_md/metafeatures.parquet"),
    )


def measure(view: View, names: tuple[str, ...] = OURS) -> Paths:
    """Leave out one group after another."""
    found = backtest(view, names, budget=max(BUDGETS), seed=SEED)
    regret = {one.name: one.regret for one in found.measured}
    regret["random"] = found.random
    regret |= referenced(Past.of(view), found.datasets)
    seconds = {one.name: one.seconds for one in found.measured}
    held = {one.name: one.coverage for one in found.measured}
    return Paths(regret, found.groups, seconds, held)


def referenced(past: Past, datasets: tuple[str, ...]) -> dict[str, FloatArray]:
    """Return the regrets `(T, 25)` of the references on these datasets."""
    paths: dict[str, list[FloatArray]] = {name: [] for name in REFERENCES}
    for name in datasets:
        answers = Answers.of(past.view, name)
        fold = past.without([name])
        told = fold.table(answers.keys)
        scores = fold.best[:, None] - told.regret * fold.spread[:, None]
        values = fold.view.meta.aligned(fold.datasets)
        asked = fold.view.meta.of(name)
        apart = np.full(len(scores), np.nan)
        if asked is not None and values.size:
            apart = Support.fit(values, fold.groups).distances(asked)
        # A failed run counts as the worst, as it does in the regret.
        truth = np.where(np.isnan(answers.score), np.nanmin(answers.score), answers.score)
        for reference, order in REFERENCES.items():
            tried = order(scores, apart, truth, max(BUDGETS))
            paths[reference].append(best_so_far(answers.regret, tried, max(BUDGETS)))
    return {name: np.array(rows) for name, rows in paths.items()}


def columns(paths: Paths) -> dict[str, FloatArray]:
    """Return mean regrets x100 at each budget."""
    at = np.array(BUDGETS) - 1
    return {name: 100 * path[:, at].mean(axis=0) for name, path in paths.regret.items()}


def worse(paths: Paths, name: str, other: str) -> FloatArray:
    """Return by how many standard errors one is worse than another at each budget."""
    at = np.array(BUDGETS) - 1
    apart = paths.regret[name][:, at] - paths.regret[other][:, at]
    mean = apart.mean(axis=0)
    numbers = np.unique(paths.groups, return_inverse=True)[1]
    sums = np.stack([np.bincount(numbers, column) for column in (apart - mean).T])
    count = sums.shape[1]
    error = np.sqrt(count / (count - 1) * (sums**2).sum(axis=1)) / len(apart)
    return np.where(error > 0, mean / np.maximum(error, 1e-12), 0.0)


def summary(paths: Paths) -> list[dict[str, Any]]:
    """Return a row each: means, medians and mean ranks at each budget."""
    names = list(paths.regret)
    at = np.array(BUDGETS) - 1
    cube = np.stack([paths.regret[name][:, at] for name in names])
    lower = (cube[:, None] > cube[None]).sum(axis=1)
    ranks = 1 + lower + ((cube[:, None] == cube[None]).sum(axis=1) - 1) / 2
    rows = []
    for i, name in enumerate(names):
        row: dict[str, Any] = {"recommender": name}
        row |= {f"@{k}": round(100 * float(cube[i, :, j].mean()), 2) for j, k in enumerate(BUDGETS)}
        row["medians"] = " ".join(f"{100 * m:.2f}" for m in np.median(cube[i], axis=0))
        if name in paths.held:
            row["80% interval held"] = f"{paths.held[name]:.2f}"
        row["ranks"] = " ".join(f"{r:.1f}" for r in ranks[i].mean(axis=0))
        rows.append(row)
    return rows


def pooled(found: dict[str, Paths]) -> dict[str, FloatArray]:
    """Return the geometric means over metrics of each column."""
    each = [columns(paths) for paths in found.values()]
    return {
        name: np.exp(np.mean([np.log(one[name] + 1e-9) for one in each], axis=0))
        for name in each[0]
    }


def judge(report: Report, found: dict[str, Paths], name: str, part: str) -> None:
    """Say whether what is asked of `auto` holds for a recommender on some of the datasets."""
    means = pooled(found)
    for other, asked in ASKED.items():
        ratio = float(np.exp(np.log(means[name] / means[other]).mean()))
        report.verdict(
            f"{name}, {part}: {ratio:.2f} of {other} over all columns; asked at most {asked}",
            ratio <= asked,
        )
    for j, k in enumerate(BUDGETS):
        best = min(REFERENCES, key=lambda other: means[other][j])
        ratio = float(means[name][j] / means[best][j])
        report.verdict(
            f"{name}, {part}, at {k}: {ratio:.2f} of the best reference, {best}; asked at most "
            f"{ASKED_COLUMN}",
            ratio <= ASKED_COLUMN,
        )
    harmed = [
        f"{metric} at {k} than {other} ({sigma:.1f} standard errors)"
        for metric, paths in found.items()
        for other in REFERENCES
        for k, sigma in zip(BUDGETS, worse(paths, name, other), strict=True)
        if sigma > 2
    ]
    text = ", ".join(harmed) or "nowhere"
    report.verdict(f"{name}, {part}, is significantly worse than a reference: {text}", not harmed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a trial: one metric, 20 datasets")
    parser.add_argument("--metric", action="append", choices=METRICS, help="all by default")
    parser.add_argument(
        "--name", action="append", choices=OURS, help="recommenders; all by default"
    )
    parser.add_argument("--out", type=Path, help="the result file; the picture goes beside it")
    options = parser.parse_args()
    metrics = tuple(options.metric or METRICS[: 1 if options.small else None])
    settings = {"seed": SEED, "budgets": BUDGETS, "unit": "mean normalised regret x100"}
    report = Report("recommend.dense", options.small, settings)
    found: dict[str, Paths] = {}
    for metric in metrics:
        start = time.process_time()
        view = view_of(metric)
        asked = view.without(view.datasets[20:]) if options.small else view
        found[metric] = measure(asked, tuple(options.name or OURS))
        rows = summary(found[metric])
        spent = time.process_time() - start
        report.results[metric] = {"rows": rows, "cpu_seconds": round(spent, 1)}
        print(f"\n{metric}, {len(found[metric].groups)} datasets, {spent:.0f} s\n{table(rows)}")
    conclude(report, found)
    report.write(options.out)
    if options.out or not options.small:
        draw(found, options.out or Path(__file__).parent / "results/dense.json")


def conclude(report: Report, found: dict[str, Paths]) -> None:
    """Print and record the pooled rows and the verdicts, also of the half nothing was chosen on."""
    unseen = {metric: paths.take(paths.groups % 2 == 1) for metric, paths in found.items()}
    for part, paths in (("all", found), ("half 1", unseen)):
        rows = [
            {
                "recommender": name,
                **{f"@{k}": round(float(v), 2) for k, v in zip(BUDGETS, row, strict=True)},
            }
            for name, row in pooled(paths).items()
        ]
        report.results[f"pooled, {part}"] = rows
        print(f"\npooled over metrics (geometric mean), {part}\n{table(rows)}\n")
        for name in OURS[:2]:
            if all(name in one.regret for one in paths.values()):
                judge(report, paths, name, part)


def draw(found: dict[str, Paths], beside: Path) -> None:
    """Draw regret against configs tried, one panel a metric, into a PNG beside the results."""
    import matplotlib as mpl  # noqa: PLC0415 - only pictures need it

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(2, 3, figsize=(15, 8), squeeze=False, layout="constrained")
    for axis in axes.flat[len(found) :]:
        axis.set_visible(False)
    for axis, (metric, paths) in zip(axes.flat, found.items(), strict=False):
        for name, path in paths.regret.items():
            style = "-" if name in OURS else ":"
            steps = np.arange(1, path.shape[1] + 1)
            axis.plot(steps, 100 * path.mean(axis=0), style, label=name)
        axis.set(title=metric, xlabel="configs tried", ylabel="mean normalised regret x100")
        axis.set_yscale("log")
        axis.grid(alpha=0.3, which="both")
    axes.flat[0].legend(frameon=False, fontsize=7)
    path = beside.with_suffix(".png")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"written: {path.name}")


if __name__ == "__main__":
    main()
