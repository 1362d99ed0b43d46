"""The audit chain copied outside the store as it grows: `audit.export_to` of the book, a folder or file of JSON lines.

Each line is a record, as `opsbook audit export` prints it, or a signed head (`{"head": …}`). A folder gets one file a
month. Lines are appended whole or not at all: what a crash or a full disk left of one is cut off before the next.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Engine, select

from opsbook.store import audit as chain
from opsbook.store.audit_head import HeadFailed, HeadFile
from opsbook.store.database import reading
from opsbook.store.tables import audit

TAIL = 1_048_576
"""Bytes of the end of a file in which its last whole line is looked for; a record is far smaller."""
BEGINNINGS = (b'{"seq": ', b'{"head": ')
"""Of the lines that are written here: nothing else is ever cut off."""
BATCH = 1_000
"""Records that are appended in one write."""


class ExportFailed(HeadFailed):
    """The chain cannot be copied outside the store."""


class Export:
    """Copies what is new. `target` gives the folder or file, when it is needed first."""

    def __init__(self, target: Callable[[], Path]) -> None:
        self._target = target

    @property
    def target(self) -> Path:
        """Raises OpsbookError where the book names none that can be written."""
        return self._target()

    def check(self, engine: Engine, now: float) -> None:
        """Raises ExportFailed where it cannot be appended to, or holds another chain than the store."""
        with self._open(now) as file:
            self._continues(engine, file)

    def append(self, engine: Engine, head: HeadFile, now: float) -> None:
        """Bring it up to date, and sign how far it is. Raises ExportFailed."""
        while True:
            with reading(engine) as connection:
                newest, _ = chain.last(connection)
            with self._open(now) as file:
                done = self._continues(engine, file)
                if done >= newest:
                    return
                batch = _batch(engine, done)
                lines = [chain.as_line(one) for one in batch]
                signed = head.signed_now(batch[-1].seq, batch[-1].hash, now)
                _add(file, [*lines, json.dumps({"head": {**signed, "key": head.public}})])

    @contextmanager
    def _open(self, now: float) -> Iterator[IO[bytes]]:
        """The file that is appended to, locked and without a torn end."""
        target = self.target
        try:
            path = _current(target, now) if _is_folder(target) else target
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                _mend(file)
                yield file
        except OSError as error:
            raise ExportFailed(
                f"the audit chain cannot be copied to {target}: {error.strerror}",
                "check its folder, permissions and free space, or name another as `audit.export_to`",
            ) from error

    def _continues(self, engine: Engine, file: IO[bytes]) -> int:
        """The number of the last record that is there. Raises ExportFailed where the store's chain is another one."""
        last = _last(file) or self._last_of_earlier(Path(str(file.name)))
        if last is None:
            return 0
        seq, digest = int(last["seq"]), str(last["hash"])
        with reading(engine) as connection:
            newest, _ = chain.last(connection)
            stored = connection.execute(select(audit.c.hash).where(audit.c.seq == seq)).scalar()
        if seq > newest or stored not in (None, digest):
            raise ExportFailed(
                f"{file.name} ends with record {seq} of another audit chain than the store's",
                "`opsbook audit verify` says more; if the store is a new one, name another place as `audit.export_to`",
            )
        return seq

    def _last_of_earlier(self, path: Path) -> dict[str, Any] | None:
        for earlier in sorted(path.parent.glob("audit-*.jsonl"), reverse=True) if _is_folder(self.target) else ():
            if earlier < path and earlier.stat().st_size:
                with earlier.open("rb") as file:
                    return _last(file)
        return None


def _is_folder(target: Path) -> bool:
    return target.is_dir() or (not target.exists() and not target.suffix)


def _current(folder: Path, now: float) -> Path:
    """The file of this month, or the newest one there is: a clock that was set back must not change the order."""
    month = folder / f"audit-{datetime.fromtimestamp(now, UTC):%Y-%m}.jsonl"
    return max([month, *folder.glob("audit-*.jsonl")])


def _batch(engine: Engine, after: int) -> list[chain.Record]:
    found = []
    for record in chain.records(engine, after=after):
        found.append(record)
        if len(found) == BATCH:
            break
    return found


def _last(file: IO[bytes]) -> dict[str, Any] | None:
    """Number and hash of the last line."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - TAIL))
    line = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    if not line:
        return None
    try:
        told = json.loads(line)
        found: dict[str, Any] = told.get("head", told)
        return {"seq": int(found["seq"]), "hash": str(found["hash"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _foreign(file) from error


def _mend(file: IO[bytes]) -> None:
    """Cut off what was left of a line that was never finished."""
    end = file.seek(0, os.SEEK_END)
    start = max(0, end - TAIL)
    file.seek(start)
    tail = file.read()
    begin = tail.rfind(b"\n") + 1
    torn = tail[begin:]
    if not torn:
        return
    if not any(torn.startswith(one) or one.startswith(torn) for one in BEGINNINGS):
        raise _foreign(file)
    file.truncate(start + begin)


def _foreign(file: IO[bytes]) -> ExportFailed:
    return ExportFailed(
        f"the last line of {file.name} is no record of an audit chain", "name another place as `audit.export_to`"
    )


def _add(file: IO[bytes], lines: list[str]) -> None:
    before = file.seek(0, os.SEEK_END)
    try:
        file.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))
        file.flush()
        os.fsync(file.fileno())
    except OSError:
        file.truncate(before)
        raise
