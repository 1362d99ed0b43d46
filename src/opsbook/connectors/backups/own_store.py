"""opsbook's own store as the subject of a backup: its two SQLite files by SQLite's online backup, each at one moment.

A store on PostgreSQL is dumped as any database is. The signing key goes with it only into an encrypted backup; the
audit chain's head, which proves the chain, always does.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from opsbook.connectors.backups.pipeline import FileSource, Written
from opsbook.connectors.backups.sources import SourceFailed

PAGES = 2_000
"""Copied at a time: writers get in between."""
ENGINE = "engine.db"
BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class StoreFile:
    """The stream of one file."""

    name: str
    path: Path
    role: Literal["store"] = "store"
    table_name: str = ""
    order: int = 0


@dataclass
class StoreSubject:
    """The files of a store."""

    files: Sequence[Path]
    spool: Path
    data_time: datetime
    tool: str = f"SQLite {sqlite3.sqlite_version}"

    @property
    def streams(self) -> Sequence[StoreFile]:
        return [StoreFile(path.name, path) for path in self.files]

    @contextmanager
    def source(self, stream: StoreFile) -> Iterator[FileSource]:
        """A file; a database as it was at the moment when its copy was finished, which is checked."""
        path = stream.path
        if _is_database(path):
            path = self.spool / stream.name
            _copy(stream.path, path)
        with path.open("rb") as file:
            yield FileSource(file)

    def wrote(self, _stream: StoreFile, _written: Written) -> None:
        """Nothing more is known of it."""

    def facts(self) -> Mapping[str, Any]:
        return {}


def _is_database(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _copy(source: Path, target: Path) -> None:
    try:
        origin = sqlite3.connect(f"file:{source}?mode=rw", uri=True, timeout=BUSY_SECONDS)
        copy = sqlite3.connect(target)
        try:
            origin.backup(copy, pages=PAGES, sleep=0.01)
            found = copy.execute("PRAGMA integrity_check").fetchone()
        finally:
            origin.close()
            copy.close()
    except sqlite3.Error as error:
        raise SourceFailed(f"{source}: {error}", "look at the disk of the store") from error
    if found != ("ok",):
        raise SourceFailed(f"{source} is damaged: {found[0]}", "restore the store from an older backup")


@contextmanager
def store_subject(path: Path, *, key: bool) -> Iterator[StoreSubject]:
    """The SQLite store at a path, with its signing key where that is wanted. Raises SourceFailed."""
    if not path.is_file():
        raise SourceFailed(f"there is no store at {path}", "is it the one that OPSBOOK_STORE names?")
    beside = [path.with_name(ENGINE), path.with_name(path.name + ".head")]
    beside += [path.with_name(path.name + ".key")] if key else []
    with tempfile.TemporaryDirectory(prefix="opsbook-store-") as folder:
        now = datetime.now(UTC)
        yield StoreSubject([path, *(one for one in beside if one.is_file())], Path(folder), now)
