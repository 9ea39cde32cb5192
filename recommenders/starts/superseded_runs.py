"""Fine-tunings of weights that a start had before others were added under its name.

A run says by a tag which weights it began from. Its config does not, so that fine-tunings of a
start can be compared whatever its weights were. Runs without the tag count for the name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metastore.queries import query

if TYPE_CHECKING:
    from metastore.starts import Start
    from metastore.store import MetaStore

TAG = "start_weights"
"""Name of the tag; the query `tuned_runs` reads it."""


def tags_of(start: Start | None) -> dict[str, str]:
    """Return the tags of a fine-tuning that begins from a start; none where there is no start."""
    return {} if start is None else {TAG: start.weights_sha256}


def superseded(store: MetaStore, algorithm: str) -> list[str]:
    """Return the ids of an algorithm's runs that began from weights that starts no longer have."""
    now = {start.name: start.weights_sha256 for start in store.starts()}
    with store.reader() as con:
        runs = con.execute(query("tuned_runs"), {"algorithm": algorithm}).fetchall()
    return [run for run, start, weights in runs if now.get(start, weights) != weights]
