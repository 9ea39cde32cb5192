"""Every meta-feature there is, by group, and the table of them in docs/metafeatures.md.

`python -m metastore.metafeatures > docs/metafeatures.md` writes the page anew.
"""

from __future__ import annotations

from metastore.metafeatures import (
    categorical,
    information,
    landmarking,
    missing,
    simple,
    statistical,
)
from metastore.metafeatures.feature import EXTRACTOR, VERSION, Measure

GROUPS: dict[str, tuple[Measure, ...]] = {
    family.GROUP: family.MEASURES
    for family in (simple, missing, categorical, statistical, information, landmarking)
}
"""Measures by group, in the order in which groups are computed: the cheap ones first."""

_HEAD = f"""# Meta-features

Extractor `{EXTRACTOR}`, version {VERSION}. Written by `python -m metastore.metafeatures`.

A value carries a status: `computed`, `timed_out`, `not_applicable` or `failed`; only a computed
one is a number. A name with a dot is a summary over columns (or classes): `mean`, `sd`
(population), `min`, `max` of the finite values.

How tables are read:

- Simple and missing-value features come from all rows. The others come from at most 10,000 rows,
  a seeded sample stratified by class, and at most 256 columns; landmarkers from at most 2,000 rows.
- Rows without a target are left out. Infinite numbers count as missing outside the missing group.
- Numeric columns are imputed by their median, standardised, and dropped where constant. Dates are
  numbers of days. Text, categories and booleans are categorical.
- For information theory numbers are cut into equal-frequency bins (at most 16 a column, 8 for a
  numeric target), and missing cells are a level of their own.
- Landmarkers are scored over five folds: accuracy for classes, R^2 (at least -1) for numbers.
- The time limit is looked at between features, between folds, and between columns where a
  feature may be slow; the samples above keep what lies between two looks short.
"""


def markdown() -> str:
    """Return docs/metafeatures.md."""
    lines = [_HEAD, "| name | group | meaning | source |", "|---|---|---|---|"]
    for group, measures in GROUPS.items():
        for m in measures:
            names = ", ".join(f"`{name}`" for name in m.names)
            lines.append(f"| {names} | {group} | {m.meaning} | {m.source} |")
    return "\n".join(lines) + "\n"
