"""The part of a store that keeps starts: add, list, export, import, clean up."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metastore.engines import FileEngine
from metastore.paths import StorePaths
from metastore.start_checks import lacking, spec_of
from metastore.start_files import read_file, write_file
from metastore.start_registry import Registry
from metastore.starts import Start, StartSpec, described, weights_of

if TYPE_CHECKING:
    import duckdb


class Starting:
    """What keeps initializations; `MetaStore` brings the tables."""

    paths: StorePaths
    _engine: FileEngine
    _ensure_tables: Callable[[], None]
    reader: Callable[[], Any]

    def add_start(self, weights: Any, *, name: str, tasks: Any = None, **said: Any) -> Start:
        """Keep an initialization; the same one again changes nothing.

        A network that `learners` builds is described by `learner`, and is used by its name. Of
        your own module the weights are kept and no code, so the module is passed at each use:

            store.add_start(module, name="mine", input_shape=(1, 28, 28))
            finetune(store, support, "mine", modules={"mine": module})

        What is not said and will be needed is warned of.

        Args:
            weights: a torch module, its `state_dict()`, a mapping of names to arrays, or the path
                of a safetensors file. bfloat16 becomes float32.
            name: what to call it; of several starts of one name the one added last counts.
            tasks: embeddings `(n_tasks, d)` of tasks that it was trained on, by itself; None for
                none.
            said: the other fields of `metastore.starts.StartSpec`: method, learner, kind,
                input_shape, n_way, normalisation, trained_on, accuracies, seconds, licence,
                source.

        Raises:
            InvalidInputError: if the weights are no finite tensors, or a field is wrong.
            StoreBusyError: if another process holds the tables too long; call it again.
        """
        spec = spec_of(name, {"learner": described(weights)} | said)
        added = self._keep(spec, weights_of(weights, tasks))
        if lacks := lacking(spec):
            warnings.warn(
                f"start {name!r} is kept, and cannot be used as it is: {lacks}", stacklevel=2
            )
        return added

    def starts(self) -> list[Start]:
        """Return the newest start of every name, by name."""
        with self._registry() as registry:
            return registry.all()

    def start(self, name: str) -> Start:
        """Return the start of a name, an id, or the first four or more digits of one.

        Raises:
            UnknownNameError: if there is none.
        """
        with self._registry() as registry:
            return registry.one(name)

    def export_start(self, name: str, file: str | Path) -> Start:
        """Write a start as one new file, for `import_start` of another store.

        Raises:
            UnknownNameError: if there is no such start.
            InvalidInputError: if its weights are damaged, or the file is there already.
        """
        start = self.start(name)
        write_file(start, Path(file))
        return start

    def import_start(self, file: str | Path) -> Start:
        """Add a start that was exported; twice changes nothing.

        Raises:
            InvalidInputError: if the file is no exported start, or is damaged.
        """
        return self._keep(*read_file(Path(file)))

    def unused_weights(self, *, delete: bool = False, superseded: bool = False) -> list[Path]:
        """Return files of weights that no start names, and delete them if asked to.

        Those written within the last hour are left alone: a start may be just being added.

        Args:
            delete: whether to delete them.
            superseded: whether starts count as gone after which another was added under their
                name. Deleted, such a start can be used by its id no more until it is added or
                imported again; runs and fine-tuned models need no start's file.
        """
        with self._registry() as registry:
            found = registry.unused(superseded=superseded)
        for path in found if delete else ():
            path.unlink(missing_ok=True)
        return found

    def _keep(self, spec: StartSpec, data: bytes) -> Start:
        self._ensure_tables()
        with self._engine.write() as con:
            return Registry(con, self.paths.weights).add(spec, data)

    @contextmanager
    def _registry(self) -> Iterator[Registry]:
        con: duckdb.DuckDBPyConnection
        with self.reader() as con:
            yield Registry(con, self.paths.weights)
