"""A running server as what a database is made of: its rows go straight from one server into the other, and are summed
up under the same snapshot, so that what arrived is held against what was there as a stored backup is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from opsbook import __version__
from opsbook.book.recovery import Backup
from opsbook.connectors.backups.manifest import Manifest, Part
from opsbook.connectors.backups.pipeline import Written
from opsbook.connectors.backups.postgres_dump import Dump, Server, Stream, dumping
from opsbook.connectors.backups.postgres_subject import PostgresSubject
from opsbook.connectors.backups.sources import SourceFailed

BLOCK = 256 << 10


class Through:
    """The contents of a database of a running server, read while they are restored elsewhere."""

    def __init__(self, dump: Dump, backup: Backup, stamp: str, data_time: datetime, environment: str) -> None:
        self._subject = PostgresSubject(dump, checksums=True)
        self._streams: dict[str, Stream] = {one.name: one for one in dump.streams if one.role != "globals"}
        self._lock = threading.Lock()
        now = datetime.now(UTC)
        self._manifest = Manifest(
            system="", environment=environment, backup=backup.id, component=backup.of, method=backup.method,
            stamp=stamp, attempt="", started=now, finished=now, data_time=data_time, tool=dump.tool,
            opsbook=__version__, compression="none", encryption="none",
            parts=tuple(_part(one) for one in self._streams.values()), **self._subject.facts(),
        )  # fmt: skip

    @property
    def manifest(self) -> Manifest:
        """With what was read until now."""
        return self._manifest

    def faults(self) -> list[str]:
        """None: it is read as it stands."""
        return []

    def remarks(self) -> list[str]:
        return []

    def check(self, _part: Part) -> str:
        """Nothing is stored."""
        return ""

    def read(self, part: Part, sink: Callable[[bytes], object]) -> None:
        """Raises SourceFailed where the server counts other rows than have come."""
        stream, plain, lines = self._streams[part.key], 0, 0
        with self._subject.source(stream) as source:
            while block := source.read(BLOCK):
                sink(block)
                plain, lines = plain + len(block), lines + block.count(b"\n")
            source.finish()
        self._subject.wrote(stream, Written(plain, "", 0, "", lines))
        with self._lock:
            self._manifest = self._manifest.model_copy(update=dict(self._subject.facts()))


def _part(stream: Stream) -> Part:
    return Part(
        key=stream.name, role=stream.role, stored=0, sha256="", plain=stream.size, plain_sha256="",
        table=stream.table_name, order=stream.order,
    )  # fmt: skip


@contextmanager
def through(
    server: Server, backup: Backup, stamp: str, data_time: datetime, environment: str, tell: Callable[[str], None]
) -> Iterator[Through]:
    """The database of a server, with its snapshot held. Raises SourceFailed."""
    with dumping(server, "dump", wanted=(), exclude=(), passwords=False, tell=tell) as dump:
        if dump.database is None:
            raise SourceFailed("there is no database", "name one")
        yield Through(dump, backup, stamp, data_time, environment)
