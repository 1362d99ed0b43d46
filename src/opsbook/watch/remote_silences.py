"""Silences in Alertmanager: those of opsbook are set and ended there too, and those that others set there count here.

What should be there is compared with what is there, at every look: a process that dies between the two leaves nothing
that the next look does not put right. A silence of opsbook carries a mark in its comment by which it is known again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.connectors.contract import ReadFailed
from opsbook.connectors.prometheus import AlertmanagerComponent, AlertmanagerConnector
from opsbook.engine.access import watch_actor
from opsbook.engine.setting import Write
from opsbook.errors import OpsbookError
from opsbook.printable import one_line
from opsbook.store import audit
from opsbook.store import silences as store
from opsbook.store.database import reading
from opsbook.store.silences import EVERYTHING, Silence
from opsbook.watch.acting import act
from opsbook.watch.contract import Watch
from opsbook.watch.generate.names import alert_name, of_check, where
from opsbook.watch.registry import part
from opsbook.watch.waking import wake

ORIGIN = "alertmanager"
"""Of silences that somebody set in Alertmanager."""
PREFIX = "am-"
"""Begins their ids here; their id there follows."""
LOOK = timedelta(seconds=15)
IDLE = timedelta(hours=1)
"""Until the next look where the book has no Alertmanager."""
MARK = re.compile(r"\[opsbook (?P<silence>\S+) (?P<kind>checks|components)\]$")
SLACK = 2.0
"""Seconds by which two ends may differ: Alertmanager keeps milliseconds, and may begin later than it was asked to."""
LONGEST_REASON = 500


@dataclass(frozen=True)
class Remote:
    """A silence as Alertmanager has it. Times are UTC seconds since 1970."""

    id: str
    matchers: tuple[tuple[str, str, bool, bool], ...]
    """Label, value, whether it is a regular expression, whether it must fit (or must not)."""
    start: float
    until: float
    author: str
    comment: str

    @property
    def mark(self) -> str:
        """By which a silence of opsbook is known; empty for those of others."""
        found = MARK.search(self.comment)
        return found[0] if found else ""

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether it covers an alert with these labels."""
        return all(_fits(labels.get(name, ""), *how) for name, *how in self.matchers)  # type: ignore[arg-type]


def _fits(have: str, value: str, regex: bool, equal: bool) -> bool:
    try:
        met = re.fullmatch(value, have) is not None if regex else have == value
    except re.error:
        return False
    return met is equal


@dataclass(frozen=True)
class Difference:
    """What must be done in Alertmanager so that it has what it should have."""

    make: tuple[Remote, ...]
    """Those with an id are changed."""
    end: tuple[Remote, ...]


def wanted(system: System, silences: Iterable[Silence]) -> list[Remote]:
    """The silences of opsbook as Alertmanager should have them."""
    here = tuple((name, value, False, True) for name, value in where(system).items())
    found = []
    for one in silences:
        if one.origin == ORIGIN:
            continue
        for kind, names in (("checks", one.checks), ("components", one.components)):
            if not names:
                continue
            text = f"{one_line(one.reason)[:LONGEST_REASON]} [opsbook {one.id} {kind}]"
            chosen = "|".join(re.escape(name).replace("\\-", "-") for name in sorted(names))
            label = (kind.removesuffix("s"), chosen, True, True)
            matchers = here if EVERYTHING in names else (*here, label)
            found.append(Remote("", matchers, one.start, one.end, f"opsbook ({one.author})", text))
    return found


def difference(system: System, should: Sequence[Remote], found: Sequence[Remote]) -> Difference:
    """Pure. Silences of other environments and of people are left alone."""
    here = {(name, value, False, True) for name, value in where(system).items()}
    mine: dict[str, Remote] = {}
    end = []
    for one in found:
        if one.mark and here <= set(one.matchers):
            if one.mark in mine:
                end.append(one)  # set twice, by a process that died before it could say so
            mine.setdefault(one.mark, one)
    make = []
    for one in should:
        known = mine.pop(one.mark, None)
        if known is None:
            make.append(one)
        elif abs(known.until - one.until) > SLACK or set(known.matchers) != set(one.matchers):
            make.append(Remote(known.id, one.matchers, one.start, one.until, one.author, one.comment))
    return Difference(tuple(make), (*end, *mine.values()))


def foreign(system: System, alertmanager: str, found: Iterable[Remote]) -> list[Silence]:
    """What others silence there of the checks of this book: only what covers a check however bad it is."""
    silences = []
    for one in found:
        if one.mark:
            continue
        covered = tuple(
            check.id
            for check in system.checks
            if all(
                one.fits({**of_check(system, check), "alertname": alert_name(check.id), "severity": state.value})
                for state in (State.CRITICAL, State.WARNING)
            )
        )
        if covered:
            reason, author = one_line(one.comment)[:LONGEST_REASON], one_line(one.author)[:100]
            remote = f"{alertmanager} {one.id}"
            silences.append(Silence(PREFIX + one.id, covered, (), reason, author, ORIGIN, one.start, one.until, remote))
    return silences


def read(told: Mapping[str, Any]) -> Remote:
    """A silence of Alertmanager's API version 2. Raises ReadFailed."""
    try:
        matchers = tuple(
            (str(m["name"]), str(m["value"]), bool(m["isRegex"]), bool(m.get("isEqual", True)))
            for m in told["matchers"]
        )
        start, until = (datetime.fromisoformat(told[name]).timestamp() for name in ("startsAt", "endsAt"))
        return Remote(str(told["id"]), matchers, start, until, str(told["createdBy"]), str(told["comment"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ReadFailed(f"Alertmanager has a silence that is not understood: {error!r}") from error


def written(one: Remote) -> dict[str, Any]:
    """As the API takes it."""
    return {
        **({"id": one.id} if one.id else {}),
        "matchers": [
            {"name": name, "value": value, "isRegex": regex, "isEqual": equal}
            for name, value, regex, equal in one.matchers
        ],
        "startsAt": _iso(one.start),
        "endsAt": _iso(one.until),
        "createdBy": one.author,
        "comment": one.comment,
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


async def mirror_silences(watch: Watch, alertmanager: str, now: datetime) -> None:
    """Make the silences of one Alertmanager and of the store agree. Raises OpsbookError."""
    connector = watch.connections.of(alertmanager)
    assert isinstance(connector, AlertmanagerConnector)
    own, taken = await asyncio.to_thread(_stored, watch, now)
    found = [read(one) for one in await connector.silences() if one.get("status", {}).get("state") != "expired"]
    todo = difference(watch.system, wanted(watch.system, own), found)
    change = taking(alertmanager, taken, foreign(watch.system, alertmanager, found), now)
    ids: dict[str, list[str]] = {}
    for remote in (*(one.id for one in todo.end), *change.end_there):
        await connector.end_silence(remote)
    for one in todo.make:
        set_there = await connector.set_silence(written(one))
        ids.setdefault(MARK.search(one.comment)["silence"], []).append(set_there)  # type: ignore[index]
    writes = [_remember(one, " ".join((alertmanager, *remotes))) for one, remotes in ids.items()]
    writes += [_taken(watch, one, event, now) for event, silences in change.told().items() for one in silences]
    if writes:
        await watch.setting.in_writer(lambda: watch.setting.write(writes))
        wake()


def _stored(watch: Watch, now: datetime) -> tuple[list[Silence], list[Silence]]:
    """Those that hold or will, and all that were taken over from an Alertmanager."""
    with reading(watch.setting.store) as connection:
        return (
            store.not_over(connection, watch.where, now.timestamp()),
            store.made_by(connection, watch.where, ORIGIN),
        )


@dataclass
class Taking:
    """What becomes of the silences of others."""

    made: list[Silence] = field(default_factory=list)
    changed: list[Silence] = field(default_factory=list)
    ended: list[Silence] = field(default_factory=list)
    end_there: list[str] = field(default_factory=list)
    """Ids in Alertmanager of those that somebody ended here."""

    def told(self) -> dict[str, list[Silence]]:
        """By the event that the audit chain has."""
        return {"silence made": self.made, "silence changed": self.changed, "silence ended": self.ended}


def taking(alertmanager: str, taken: Sequence[Silence], there: Sequence[Silence], now: datetime) -> Taking:
    """Pure. What is gone there is over here, and comes back when it does; what was ended here is ended there.

    Of several Alertmanagers that share their silences the first that told of one speaks for it.
    """
    found, known = Taking(), {one.id: one for one in taken}
    for one in there:
        old = known.pop(one.id, None)
        if old is None:
            found.made.append(one)
        elif old.ended_at is not None:
            found.end_there.append(one.id.removeprefix(PREFIX))
        elif old.remote.split()[:1] == [alertmanager] and abs(old.until - one.until) > SLACK:
            found.changed.append(one)
    for one in known.values():
        if one.remote.split()[:1] == [alertmanager] and one.end > now.timestamp():
            found.ended.append(replace(one, until=now.timestamp()))
    return found


def _remember(silence: str, remote: str) -> Write:
    return lambda connection: store.is_in_alertmanager(connection, silence, remote)


def _taken(watch: Watch, one: Silence, event: str, now: datetime) -> Write:
    """The write of a silence of others, with its record."""
    told = {"silence": one.id, "origin": ORIGIN, "checks": list(one.checks), "author": one.author}

    def write(connection: Connection) -> None:
        if event == "silence made":
            store.add(connection, watch.where, one)
        else:
            store.extend(connection, one.id, one.until)
        audit.append(connection, [act(watch.system, watch_actor("alertmanager"), now, event, told)])

    return write


@part
class AlertmanagerSilences:
    """Keeps the silences of opsbook and of every Alertmanager of the book alike."""

    name = "alertmanager-silences"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        components = watch.system.components.items()
        self.servers = [name for name, one in components if isinstance(one, AlertmanagerComponent)]

    async def tick(self, now: datetime) -> datetime:
        """One that does not answer keeps no other from agreeing."""
        failed: OpsbookError | None = None
        for name in self.servers:
            try:
                await mirror_silences(self.watch, name, now)
            except OpsbookError as error:
                failed = error
        if failed is not None:
            raise failed
        return now + (LOOK if self.servers else IDLE)
