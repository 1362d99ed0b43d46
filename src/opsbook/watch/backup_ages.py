"""The part that tells when the newest good backup is too old, whatever the reason: late, failed, lost, damaged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from opsbook.book.recovery import Backup
from opsbook.book.units import show_duration
from opsbook.checks.evaluate import State
from opsbook.errors import OpsbookError
from opsbook.recovery.backups import held, relied_on, taken
from opsbook.recovery.continuous import continuous, held_by
from opsbook.store import due as store
from opsbook.store.database import reading
from opsbook.watch import calendars
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part
from opsbook.watch.scheduled import oldest_good

RHYTHM = timedelta(minutes=10)
"""Stores are listed over the network, and some count what is asked of them."""
AHEAD = timedelta(days=40)
"""The time from which the longest gap between two backups of a schedule is taken: more than a month."""


@dataclass(frozen=True)
class Age:
    """The newest good backup of a book's entry. `age` is None where there is none; `problem` says why it is unseen."""

    backup: Backup
    limit: timedelta
    age: timedelta | None
    problem: str = ""


def limits(watch: Watch, now: datetime) -> dict[str, tuple[Backup, timedelta]]:
    """How old the newest good one of each backup may be, where the book says it or gives it a schedule."""
    found = {}
    for one in (*taken(watch.system), *continuous(watch.system)):
        moments = []
        if one.schedule:
            zone = str(one.timezone or watch.system.model.timezone)
            moments = calendars.between(str(one.schedule), zone, now - AHEAD, now)
        if (limit := oldest_good(one, moments)) is not None:
            found[one.id] = (one, limit)
    return found


def ages(watch: Watch, now: datetime) -> list[Age]:
    """Each backup that has a limit. Blocking: it looks into the stores."""
    found = []
    for backup, limit in limits(watch, now).values():
        try:
            newest = _newest(watch, backup)
        except OpsbookError as error:
            found.append(Age(backup, limit, None, error.message))
        else:
            found.append(Age(backup, limit, None if newest is None else max(now - newest, timedelta(0))))
    return found


def _newest(watch: Watch, backup: Backup) -> datetime | None:
    if backup.method == "pgbackrest":
        whole = held_by(watch.system, backup).whole
        return max((one.stop for one in whole), default=None)
    listed = held(watch.system, [backup])[backup.id].backups
    return max((one.manifest.data_time for one in listed if relied_on(one, watch.system.name)), default=None)


@part
class BackupAges:
    """Looks into the stores now and then."""

    name = "backup ages"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.ages: list[Age] = []
        """As they were seen last."""
        self._first: datetime | None = None

    async def tick(self, now: datetime) -> datetime:
        self._first = self._first or now
        if not limits(self.watch, now):
            return now + timedelta(hours=1)
        self.ages = await asyncio.to_thread(ages, self.watch, now)
        await tell(self.watch, await asyncio.to_thread(self._signals, now))
        return now + RHYTHM

    def _signals(self, now: datetime) -> list[Signal]:
        return [self._signal(one, now) for one in self.ages]

    def _signal(self, one: Age, now: datetime) -> Signal:
        state, sentence = _judged(one, self._expected(one, now))
        return Signal(
            fingerprint=f"backup-age:{one.backup.id}",
            source="opsbook",
            at=now,
            state=state,
            title=f"newest good backup {one.backup.id}",
            sentence=sentence,
            shown="none" if one.age is None else show_duration(one.age.total_seconds()),
            component=one.backup.of,
            procedure=f"backup-{one.backup.id}",
        )

    def _expected(self, one: Age, now: datetime) -> bool:
        """Whether the first one should be there by now: its schedule has been watched for as long as it may be old."""
        with reading(self.watch.setting.store) as connection:
            first = store.first(connection, self.watch.where, f"backup/{one.backup.id}")
        since = self._first if first is None else datetime.fromtimestamp(first.at, UTC)
        return since is not None and now - since > one.limit


def _judged(one: Age, expected: bool) -> tuple[State, str]:
    limit = show_duration(one.limit.total_seconds())
    if one.problem:
        return State.UNKNOWN, f"its store cannot be looked into: {one.problem}"
    if one.age is None:
        return (State.CRITICAL, "there is none") if expected else (State.OK, "there is none yet")
    age = show_duration(one.age.total_seconds())
    if one.age > one.limit:
        return State.CRITICAL, f"it is {age} old, and may be {limit}"
    return State.OK, f"it is {age} old"
