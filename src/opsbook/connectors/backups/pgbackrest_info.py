"""What a repository of pgBackRest holds, as `pgbackrest info --output=json` tells it, and the choices made of that.

Pure. The format is that of pgBackRest's command reference, "info".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from opsbook.connectors.change import ChangeFailed

KEY = "opsbook"
"""The annotation by which a change finds the backup that it took."""
NO_STANZA = frozenset({1, 2, 3})
"""Codes of a stanza that is not there, has no backup yet, or lacks its data."""


@dataclass(frozen=True)
class Held:
    """One backup of a repository."""

    label: str
    type: str
    """full, diff or incr."""
    start: datetime
    stop: datetime
    lsn_start: str
    lsn_stop: str
    wal_start: str
    wal_stop: str
    size: int
    """Bytes of the cluster."""
    stored: int
    """Bytes that this backup alone added to the repository."""
    error: bool = False
    """pgBackRest met a page whose checksum is wrong."""
    reference: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Repository:
    """What a stanza holds, oldest first."""

    stanza: str
    code: int
    message: str
    backups: tuple[Held, ...] = ()
    wal_first: str = ""
    wal_last: str = ""
    locked: bool = False
    """A backup is being taken."""
    cipher: str = "none"

    @property
    def whole(self) -> tuple[Held, ...]:
        """Those that can be restored from."""
        return tuple(one for one in self.backups if not one.error)

    def taken_by(self, key: str) -> Held | None:
        """The backup of a change."""
        return next((one for one in self.backups if one.annotations.get(KEY) == key), None)

    def named(self, label: str) -> Held | None:
        """By its label, or the beginning of it; the newest where left out. None where there is none."""
        found = [one for one in self.backups if one.label.startswith(label)]
        return found[-1] if found else None


def read_info(text: str, stanza: str) -> Repository:
    """The stanza of an answer. Raises ChangeFailed where it is none."""
    try:
        told = json.loads(text)
        if not isinstance(told, list):
            raise ValueError("it is no list")
        found = next((one for one in told if one["name"] == stanza), None)
        if found is None:
            return Repository(stanza, 1, "there is no such stanza")
        return _repository(found, stanza)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChangeFailed(f"pgBackRest answers what is no list of backups: {error}", "is it 2.41 or newer?") from error


def _repository(told: Mapping[str, Any], stanza: str) -> Repository:
    archives = [one for one in told.get("archive") or () if one.get("max")]
    backups = tuple(sorted((_held(one) for one in told.get("backup") or ()), key=lambda one: one.stop))
    status = told["status"]
    last = archives[-1] if archives else {}
    return Repository(
        stanza, int(status["code"]), str(status["message"]), backups, str(last.get("min") or ""),
        str(last.get("max") or ""), bool(((status.get("lock") or {}).get("backup") or {}).get("held")),
        str(told.get("cipher") or "none"),
    )  # fmt: skip


def _held(told: Mapping[str, Any]) -> Held:
    info, archive, lsn = told["info"], told.get("archive") or {}, told.get("lsn") or {}
    repository = info.get("repository") or {}
    return Held(
        label=str(told["label"]), type=str(told["type"]),
        start=datetime.fromtimestamp(told["timestamp"]["start"], UTC),
        stop=datetime.fromtimestamp(told["timestamp"]["stop"], UTC),
        lsn_start=str(lsn.get("start") or ""), lsn_stop=str(lsn.get("stop") or ""),
        wal_start=str(archive.get("start") or ""), wal_stop=str(archive.get("stop") or ""),
        size=int(info["size"]), stored=int(repository.get("delta") or repository.get("size") or 0),
        error=bool(told.get("error")), reference=tuple(told.get("reference") or ()),
        annotations=dict(told.get("annotation") or {}),
    )  # fmt: skip


def due_type(backups: Sequence[Held], usual: str, full_every: timedelta, now: datetime) -> str:
    """`full` where there is none or the last is as old as that, else the usual type."""
    full = [one.stop for one in backups if one.type == "full" and not one.error]
    return "full" if not full or now - max(full) >= full_every else usual


@dataclass(frozen=True)
class Point:
    """Where a recovery is to stop."""

    kind: str
    """`time`, `lsn`, `name`, `xid`, or `latest`: the end of what was archived."""
    target: str = ""
    """As pgBackRest and PostgreSQL read it; a time in UTC."""

    @property
    def time(self) -> datetime | None:
        """The instant, where it is one."""
        return datetime.fromisoformat(self.target) if self.kind == "time" else None

    def __str__(self) -> str:
        if self.kind == "latest":
            return "the end of what was archived"
        return f"{self.target} UTC"[:19] + " UTC" if self.kind == "time" else f"{self.kind} {self.target}"


@dataclass(frozen=True)
class Range:
    """Between which moments a database can be recovered to; the ends are in it."""

    first: datetime
    last: datetime

    def holds(self, moment: datetime) -> bool:
        return self.first <= moment <= self.last

    def __str__(self) -> str:
        # What lies a fraction of a second before the first whole one is not in it.
        first = self.first + timedelta(seconds=1) if self.first.microsecond else self.first
        return f"{first:%Y-%m-%d %H:%M:%S}+00 to {self.last:%Y-%m-%d %H:%M:%S}+00"


def candidates(repository: Repository, point: Point, label: str = "") -> tuple[Held, ...]:
    """The backups that a point can be reached from, the quickest first.

    Of a time and a place in the log it is known from which; a name or a transaction is looked for from the newest on.
    """
    whole = [one for one in repository.whole if one.label.startswith(label)]
    if point.kind == "time" and (moment := point.time):
        whole = [one for one in whole if one.stop <= moment]
    if point.kind == "lsn":
        whole = [one for one in whole if lsn_number(one.lsn_stop) <= lsn_number(point.target)]
    newest = tuple(reversed(whole))
    return newest if point.kind in ("name", "xid") else newest[:1]


def lsn_number(text: str) -> int:
    """A place in the log as a number. Raises ValueError."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
