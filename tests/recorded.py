"""What a store has of runs, read back as plain as it is."""

from __future__ import annotations

import pandas as pd

from metastore import MetaStore


def runs(store: MetaStore) -> pd.DataFrame:
    return store.query(
        "SELECT r.*, d.name AS dataset, c.config FROM run_states AS r "
        "LEFT JOIN latest_datasets AS d USING (dataset_id) "
        "LEFT JOIN configs AS c USING (config_id) ORDER BY started_at"
    )


def values(store: MetaStore, metric: str) -> list[tuple[int | None, float]]:
    rows = store.query(
        "SELECT step, value FROM metric_values WHERE metric = ? ORDER BY ALL", [metric]
    )
    return [(None if pd.isna(s) else int(s), v) for s, v in rows.to_numpy()]
