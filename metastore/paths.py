"""Where the files of a store lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metastore.errors import InvalidInputError

SUFFIXES = (".duckdb", ".db")


@dataclass(frozen=True, slots=True)
class StorePaths:
    """The files of one store.

    Args:
        folder: holds everything but, perhaps, the database.
        database: the DuckDB file.
    """

    folder: Path
    database: Path

    @classmethod
    def at(cls, path: str | Path) -> StorePaths:
        """Return the paths of the store at `path`.

        A path that ends in `.duckdb` or `.db` is the database itself, with a folder of the
        same name and `.store` beside it; any other path is the folder.

        >>> StorePaths.at("runs.duckdb").folder.name
        'runs.duckdb.store'
        >>> StorePaths.at("team").database.name
        'store.duckdb'

        Raises:
            InvalidInputError: if the path is empty, or a file where a folder is needed.
        """
        if not str(path):
            raise InvalidInputError("a store needs a path: a folder, or a file ending in .duckdb")
        path = Path(path).expanduser().absolute()
        if "?" in str(path) or "\0" in str(path):
            raise InvalidInputError(
                f"{path}: DuckDB opens no file with a question mark in its path"
            )
        if path.suffix in SUFFIXES and not path.is_dir():
            return cls(path.with_name(path.name + ".store"), path)
        if path.is_file():
            raise InvalidInputError(
                f"{path} is a file, not a Headstart store; name a folder, or a file ending in "
                ".duckdb"
            )
        return cls(path, path / "store.duckdb")

    @property
    def journals(self) -> Path:
        """Folder of the journals that training processes write."""
        return self.folder / "journals"

    @property
    def rejected(self) -> Path:
        """Folder of journal lines that could not be understood, kept as they were."""
        return self.folder / "rejected"

    @property
    def weights(self) -> Path:
        """Folder of the weights of starts."""
        return self.folder / "weights"

    @property
    def snapshot(self) -> Path:
        """A copy of the database, for reading while another process holds it."""
        return self.folder / "snapshot.duckdb"
