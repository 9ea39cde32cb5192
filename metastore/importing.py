"""The part of a store that imports what others recorded: tables, and the runs of MLflow."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from metastore.engines import FileEngine
from metastore.importers.metafeature_table import import_metafeatures
from metastore.importers.mlflow_runs import MlflowOptions, MlflowReport, records
from metastore.importers.mlflow_server import connect
from metastore.importers.table import ImportReport, import_table
from metastore.importers.table_staging import TableOptions
from metastore.rows import Rows


class Importing:
    """What takes in runs and meta-features of others; `MetaStore` brings the tables."""

    _engine: FileEngine
    _ensure_tables: Callable[[], None]
    absorb: Callable[[], Any]
    add: Callable[..., int]
    rows: Callable[..., Rows]

    def import_table(
        self,
        file: str | Path,
        *,
        algorithm: str = "",
        higher_is_better: bool | None = None,
    ) -> ImportReport:
        """Import a table of runs; twice changes nothing.

        Args:
            file: Parquet, CSV, TSV or JSON lines; see `metastore.importers.table`.
            algorithm: the algorithm of a table without such a column.
            higher_is_better: direction of metrics that the table gives none for.

        Raises:
            InvalidInputError: if the file is no table of runs.
            StoreBusyError: if another process holds the tables too long.
        """
        self._ensure_tables()
        self.absorb()
        with self._engine.write() as con:
            return import_table(con, Path(file), TableOptions(algorithm, higher_is_better))

    def import_metafeatures(self, file: str | Path) -> ImportReport:
        """Import a table of meta-features: a column `dataset`, then numeric columns.

        Raises:
            InvalidInputError: if the file is no such table.
        """
        self._ensure_tables()
        self.absorb()
        with self._engine.write() as con:
            return import_metafeatures(con, Path(file))

    def import_mlflow(
        self,
        tracking_uri: str | None = None,
        *,
        experiments: Sequence[str] = (),
        dataset: str = "",
        algorithm: str = "",
        curves: bool = True,
    ) -> MlflowReport:
        """Record the ended runs of an MLflow tracking server; twice changes nothing.

        Args:
            tracking_uri: of the server, a database (`sqlite:///mlflow.db`) or a folder; None for
                MLflow's own settings.
            experiments: names of experiments; all when empty.
            dataset: the tag or parameter that names the dataset; by default an input dataset, a
                tag or parameter `dataset`, or else the experiment.
            algorithm: the algorithm of all runs; by default what autologging, or a tag or
                parameter `algorithm` or `model`, says.
            curves: whether to read metrics' histories, a request each.

        Raises:
            MissingDependencyError: if MLflow is not installed.
            UnknownNameError: if there is no such experiment.
            InvalidInputError: if there is no such database or folder.
            HeadstartError: if the server cannot be read; what was read until then is recorded.
        """
        names = [experiments] if isinstance(experiments, str) else list(experiments)
        options, report = MlflowOptions(dataset, algorithm, curves), MlflowReport()
        client = connect(tracking_uri)
        found = records(client, names, options, known=self._known_runs, report=report)
        self._ensure_tables()
        self.add(found)
        return report

    def _known_runs(self, ids: Collection[UUID]) -> set[UUID]:
        """Return which of some runs are in the store."""
        asked = {"ids": [str(one) for one in ids]}
        sql = "SELECT run_id FROM runs WHERE list_contains($ids::UUID[], run_id)"
        return {row["run_id"] for row in self.rows(sql, asked)}
