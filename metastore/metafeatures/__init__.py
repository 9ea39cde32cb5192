"""Meta-features: numbers that describe a dataset, each with a status and a cost.

One file a family. Importing this package imports neither scikit-learn nor pymfe nor pandas.
"""

from metastore.metafeatures.catalogue import GROUPS
from metastore.metafeatures.extraction import MAX_ROWS, extract
from metastore.metafeatures.feature import EXTRACTOR, VERSION, Measure, MetaFeature, Status

__all__ = [
    "EXTRACTOR",
    "GROUPS",
    "MAX_ROWS",
    "VERSION",
    "Measure",
    "MetaFeature",
    "Status",
    "extract",
]
