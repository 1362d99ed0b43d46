"""A PostgreSQL database as the subject of a backup."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any

from opsbook.connectors.backups.pipeline import Written
from opsbook.connectors.backups.postgres_dump import Dump, Kind, Server, Stream, dumping
from opsbook.connectors.backups.sources import Child, SourceFailed


class PostgresSubject:
    """Counts rows as they stream by, and has the server sum them up under the same snapshot."""

    def __init__(self, dump: Dump, *, checksums: bool) -> None:
        self._dump, self._checksums = dump, checksums
        self._rows: Counter[str] = Counter()
        self._sums: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def tool(self) -> str:
        return self._dump.tool

    @property
    def data_time(self) -> datetime:
        return self._dump.data_time

    @property
    def streams(self) -> Sequence[Stream]:
        return self._dump.streams

    def source(self, stream: Stream) -> AbstractContextManager[Child]:
        return self._dump.source(stream)

    def wrote(self, stream: Stream, written: Written) -> None:
        """Raises SourceFailed where the server counts other rows than have come."""
        table = stream.table
        if table is None:
            return
        rows, total = written.lines, 0
        if self._checksums:
            rows, total = self._dump.checksums(stream)
            if rows != written.lines and not table.condition:
                raise SourceFailed(
                    f"{table.name}: {written.lines:,} rows came, and the server counts {rows:,}", "try again"
                )
        with self._lock:
            self._rows[table.name] += rows
            self._sums[table.name] += total

    def facts(self) -> Mapping[str, Any]:
        return {"database": self._dump.facts(self._rows, self._sums if self._checksums else None)}


@contextmanager
def postgres_subject(
    server: Server,
    kind: Kind,
    *,
    tables: Sequence[str] = (),
    exclude: Sequence[str] = (),
    passwords: bool = False,
    checksums: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[PostgresSubject]:
    """The database with its snapshot held. Raises SourceFailed."""
    with dumping(server, kind, wanted=tables, exclude=exclude, passwords=passwords, tell=tell) as dump:
        yield PostgresSubject(dump, checksums=checksums)
