"""Prints docs/metafeatures.md."""

import sys

from metastore.metafeatures.catalogue import markdown

sys.stdout.write(markdown())
