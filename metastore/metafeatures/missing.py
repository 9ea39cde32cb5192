"""Meta-features of missing cells, over the whole table. pymfe has none."""

from __future__ import annotations

import numpy as np

from metastore.metafeatures.feature import FloatVector, Measure, NotApplicable
from metastore.metafeatures.sample import Sample

GROUP = "missing"
_SOURCE = "Feurer et al. 2015 (auto-sklearn)"


def _shares(sample: Sample) -> FloatVector:
    by_column, by_row = sample.missing
    return np.asarray(by_column / len(by_row))


def _linked(sample: Sample) -> float:
    """Excess of rows' missing cells over independence: 0 independent, towards 1 all together."""
    by_column, by_row = sample.missing
    shares = by_column / len(by_row)
    independent = float((shares * (1 - shares)).sum())
    together = float(np.sqrt(shares * (1 - shares)).sum()) ** 2
    if together - independent < 1e-12:
        raise NotApplicable("fewer than two columns have missing cells")
    return (float(by_row.var()) - independent) / (together - independent)


MEASURES = (
    Measure(
        "missing_cells", "Share of missing cells.", _SOURCE, lambda s: float(_shares(s).mean())
    ),
    Measure(
        "missing_rows",
        "Share of rows with a missing cell.",
        _SOURCE,
        lambda s: float((s.missing[1] > 0).mean()),
    ),
    Measure(
        "missing_columns",
        "Share of columns with a missing cell.",
        _SOURCE,
        lambda s: float((_shares(s) > 0).mean()),
    ),
    Measure(
        "missing_share", "Share of missing cells of a column.", "headstart", _shares, ("sd", "max")
    ),
    Measure(
        "missing_all",
        "Share of columns that are missing altogether.",
        "headstart",
        lambda s: float((_shares(s) == 1).mean()),
    ),
    Measure(
        "missing_linked",
        "How far cells are missing together in a row: 0 independently, 1 always together.",
        "headstart",
        _linked,
    ),
)
