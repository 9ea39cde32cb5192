"""Backtest of the recommenders on the real tables: regret after k, gain, harm, coverage.

    python -m benchmarks.backtest_tables OUT.json [TABLE ...]

Tables: autosklearn_md (bac_loss), sklearn_benchmarks, openml_pimp svc and random_forest. Where
every dataset has configs of its own, the pool is those of the dataset left out.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.realdata import realdata
from recommenders import usual
from recommenders.backtest import backtest
from tests.views import view_from_parquet

TABLES = {
    "autosklearn_md": ("runs.parquet", "bac_loss"),
    "sklearn_benchmarks": ("runs_logreg.parquet", "accuracy_mean30"),
    "openml_pimp/svc": ("runs_svc.parquet", "predictive_accuracy"),
    "openml_pimp/random_forest": ("runs_random_forest.parquet", "predictive_accuracy"),
}


def main(out: Path, tables: list[str]) -> None:
    results = {}
    for name in tables or list(TABLES):
        file, metric = TABLES[name]
        folder = name.split("/", maxsplit=1)[0]
        view = view_from_parquet(
            realdata(f"{folder}/{file}"), metric, realdata(f"{folder}/metafeatures.parquet")
        )
        start = time.process_time()
        result = backtest(view, usual())
        results[name] = {**result.to_dict(), "cpu_seconds": time.process_time() - start}
        print(f"{name} {metric}: {results[name]['cpu_seconds']:.0f} s of CPU time")
        for row in result.rows():
            regrets = [f"{row[f'regret@{k}']:.2f}±{row[f'se@{k}']:.2f}" for k in result.budgets]
            told = {k: round(row[k], 2) for k in ("gain_over_single", "harmed", "coverage")}
            print(
                f"  {row['recommender']:16}", *regrets, told, f"{row['seconds']:.0f} s", flush=True
            )
        out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
