"""Leaves out fine-tunings of weights that a start had before others were added under its name.

A run says by a tag which weights it began from. Its config does not, so that fine-tunings of a
start can be compared whatever its weights were. Runs without the tag count for the name.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from metastore.queries import query

if TYPE_CHECKING:
    from metastore.starts import Start
    from metastore.store import MetaStore
    from metastore.view import View

TAG = "start_weights"
"""Name of the tag; the query `tuned_runs` reads it."""

_Cell = tuple[str, str]


def tags_of(start: Start | None) -> dict[str, str]:
    """Return the tags of a fine-tuning that begins from a start; none where there is no start."""
    return {} if start is None else {TAG: start.weights_sha256}


def of_present_weights(store: MetaStore, view: View, algorithm: str) -> View:
    """Return a view of fine-tunings without what was told of weights that starts no longer have.

    Args:
        store: where the view and the starts come from.
        view: runs of the algorithm alone.
        algorithm: its name.
    """
    kept, gone = _cells(store, view.metric, algorithm)
    if not gone:
        return view
    texts = [str(text) for text in view.config_texts]
    score, repeats = view.cell_score.copy(), view.cell_repeats.copy()
    stays = np.ones(len(score), dtype=bool)
    for i, (d, c) in enumerate(zip(view.cell_dataset, view.cell_config, strict=True)):
        cell = (view.datasets[d], texts[c])
        if cell in gone:
            values = [value for value in kept.get(cell, ()) if value is not None]
            stays[i], repeats[i] = bool(values), len(values)
            score[i] = view.score(float(np.mean(values))) if values else np.nan
    failed = [
        (view.datasets[d], texts[c]) not in gone or (view.datasets[d], texts[c]) in kept
        for d, c in zip(view.failed_dataset, view.failed_config, strict=True)
    ]
    still = np.array(failed, dtype=bool)
    left = replace(
        view,
        cell_dataset=view.cell_dataset[stays],
        cell_config=view.cell_config[stays],
        cell_score=score[stays],
        cell_repeats=repeats[stays],
        cell_seconds=view.cell_seconds[stays],
        failed_dataset=view.failed_dataset[still],
        failed_config=view.failed_config[still],
        failed_seconds=view.failed_seconds[still],
    )
    return left.where(lambda *_: True)  # without datasets and configs that have no cell any more


def _cells(
    store: MetaStore, metric: str, algorithm: str
) -> tuple[dict[_Cell, list[float | None]], set[_Cell]]:
    """Return what runs of present weights told, by dataset and config, and where others told."""
    now = {start.name: start.weights_sha256 for start in store.starts()}
    kept: dict[_Cell, list[float | None]] = defaultdict(list)
    gone: set[_Cell] = set()
    with store.reader() as con:
        con.execute(query("labels"))
        found = con.execute(
            f"WITH results AS ({query('last_results')}) {query('tuned_runs')}",
            {"metric": metric, "algorithm": algorithm},
        ).fetchall()
    for dataset, config, start, weights, value in found:
        if weights is not None and now.get(start, weights) != weights:
            gone.add((dataset, config))
        else:
            kept[dataset, config].append(value)
    return kept, gone
