"""What happens to a window: announced, opened, moved, closed. Each is decided in one transaction and recorded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from opsbook.book.planned import Window
from opsbook.book.system import System
from opsbook.book.units import write_duration
from opsbook.book.words import nearest
from opsbook.engine.access import Actor, watch_actor
from opsbook.engine.windows import Occurrence, occurrences
from opsbook.errors import UsageError
from opsbook.store import audit
from opsbook.store import windows as store
from opsbook.store.windows import Came
from opsbook.watch import silences
from opsbook.watch.acting import act, must_be
from opsbook.watch.checklists import Reason, open_list, open_on
from opsbook.watch.outbox import Message, enqueue
from opsbook.watch.silences import here

NOTICED, OPENED, MOVED, CLOSED = "window announced", "window opened", "window moved", "window closed"
LONGEST = timedelta(days=7)
"""A window that a person opens lasts at most so long: it silences alerts, and policies take it for leave."""


NAMED = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""For a window that a person opens stands beside the book's in lists, messages and calendars: as those are named, and
also with upper-case letters, for it is often named after a ticket.
"""


@dataclass(frozen=True)
class Wanted:
    """A window that a person opens now."""

    name: str
    lasts: timedelta | None
    reason: str
    components: tuple[str, ...] = ()


def written(system: System, name: str) -> Window | None:
    """The window of the book that has this name and belongs to this environment."""
    found = (one for one in system.model.windows if one.id == name and system.holds(one.environments))
    return next(found, None)


def planned(system: System, begin: datetime, end: datetime) -> list[Occurrence]:
    """What the book's windows are at between two moments, by their starts."""
    zone = str(system.model.timezone)
    ones = (one for window in system.model.windows if system.holds(window.environments)
            for one in occurrences(window, zone, begin, end))  # fmt: skip
    return sorted(ones)


def announce(connection: Connection, system: System, one: Occurrence, now: datetime) -> None:
    """Tell people that it will come, once."""
    window = written(system, one.window)
    if window is None or store.one(connection, here(system), one.window, one.start.timestamp()):
        return
    row = _row(window, one, now.timestamp())
    store.add(connection, here(system), row)
    told = f"{row.title}: {when_told(system, window, one.start, one.until)}.\n{_affected(row)}"
    _tell(connection, system, row, "announced", f"{row.title} is planned", told, now)
    _record(connection, system, watch_actor(f"window {one.window}"), NOTICED, row, now)


def begin(connection: Connection, system: System, one: Occurrence, now: datetime) -> None:
    """Open a window of the book: its silence, its checklists, its message."""
    window = written(system, one.window)
    row = store.one(connection, here(system), one.window, one.start.timestamp())
    if window is None or (row is not None and row.state != "noticed"):
        return
    if row is None:
        row = _row(window, one)
        store.add(connection, here(system), row)
    _open(connection, system, watch_actor(f"window {one.window}"), row, window, now)


def open_now(connection: Connection, system: System, actor: Actor, wanted: Wanted, now: datetime) -> Came:
    """Open a window by hand: one of the book before its time, or one that only the reason explains.

    Raises UsageError, and Refused where they may not.
    """
    must_be(system, actor, "operator", "open a window")
    window = written(system, wanted.name)
    lasts = wanted.lasts or (window.lasts if window else None)
    _must_be_sound(system, wanted, lasts)
    assert lasts is not None
    for open_one in store.still_open(connection, here(system)):
        if open_one.window == wanted.name:
            raise UsageError(f"the window {wanted.name} is open already", f"`opsbook window extend {wanted.name}`")
    components = wanted.components or (window.components if window else ())
    title = (window.title if window else "") or f"Maintenance: {wanted.reason}"
    row = Came(
        wanted.name, now.timestamp(), (now + lasts).timestamp(), "noticed", title, components, actor.name,
        note=wanted.reason,
    )  # fmt: skip
    store.add(connection, here(system), row)
    _open(connection, system, actor, row, window, now)
    return replace(row, state="open", opened_at=now.timestamp())


def extend(connection: Connection, system: System, actor: Actor, name: str, by: timedelta, now: datetime) -> Came:
    """Let an open window end later than it was to, or than now where that is over. Raises UsageError, Refused."""
    must_be(system, actor, "operator", "extend a window")
    row = the_open(connection, system, name)
    until = max(datetime.fromtimestamp(row.until, UTC), now) + by
    if until - datetime.fromtimestamp(row.start, UTC) > LONGEST:
        raise UsageError(f"a window lasts {_days(LONGEST)} at most", "close it, and plan another in the book")
    store.change(connection, here(system), row, until=until.timestamp(), state="open", reminded_at=None)
    moved = replace(row, until=until.timestamp(), state="open")
    _silence(connection, system, actor, moved, now)
    body = f"It goes on until {_local(system, until)}."
    _tell(connection, system, moved, f"until/{moved.until:.0f}", f"{row.title} takes longer", body, now)
    _record(connection, system, actor, MOVED, moved, now)
    return moved


def finish(connection: Connection, system: System, actor: Actor, name: str, now: datetime, note: str = "") -> Came:
    """Close an open window by hand. Raises UsageError, and Refused where they may not."""
    must_be(system, actor, "operator", "close a window")
    row = the_open(connection, system, name)
    close(connection, system, actor, row, now, note)
    return replace(row, state="closed", closed_at=now.timestamp())


def close(connection: Connection, system: System, actor: Actor, row: Came, now: datetime, note: str = "") -> None:
    """End a window and the silence that belongs to it, and tell people."""
    values = {"state": "closed", "closed_at": now.timestamp(), "note": note or row.note}
    if store.change(connection, here(system), row, **values):
        silences.release(connection, system, actor, _origin(row), now, "its window was closed")
        body = f"Begun {_local(system, _moment(row.start))}, over {_local(system, now)}." + (
            f"\n{note}" if note else ""
        )
        _tell(connection, system, row, "over", f"{row.title} is over", body, now)
        _record(connection, system, actor, CLOSED, row, now, note)


def drop(connection: Connection, system: System, row: Came, why: str, now: datetime) -> None:
    """A window that was announced does not come."""
    if store.change(connection, here(system), row, state="closed", closed_at=now.timestamp(), note=why):
        body = f"It was planned for {_local(system, _moment(row.start))}: {why}."
        _tell(connection, system, row, "dropped", f"{row.title} does not take place", body, now)
        _record(connection, system, watch_actor(f"window {row.window}"), CLOSED, row, now, why)


def overrun(connection: Connection, system: System, row: Came, why: str, now: datetime) -> None:
    """It is beyond its end and its work is not done. Its silence is over: what is bad is heard again."""
    if row.state != "overrun":
        silences.release(
            connection, system, watch_actor(f"window {row.window}"), _origin(row), now, "its window is over"
        )
        store.change(connection, here(system), row, state="overrun", note=why)


def remind(connection: Connection, system: System, row: Came, why: str, now: datetime) -> None:
    """Ask whether it goes on."""
    if store.change(connection, here(system), row, reminded_at=now.timestamp(), note=why):
        lines = [
            f"Begun {_local(system, _moment(row.start))}, planned until {_local(system, _moment(row.until))}.",
            f"{why[:1].upper()}{why[1:]}." if why else "",
            f"Goes on: opsbook window extend {row.window}. Over: opsbook window close {row.window}.",
        ]
        body = "\n".join(line for line in lines if line)
        what, subject = f"reminded/{now.timestamp():.0f}", f"{row.title}: does it go on?"
        _tell(connection, system, row, what, subject, body, now, silences.first_called(system))


def trouble(connection: Connection, system: System, row: Came, key: str, why: str, now: datetime) -> None:
    """Something of it did not happen: it is noted, and told once."""
    store.change(connection, here(system), row, note=why)
    body = "Its further procedures wait. opsbook window list"
    _tell(connection, system, row, key, f"{row.title}: {why}", body, now, silences.first_called(system))


def the_open(connection: Connection, system: System, name: str) -> Came:
    """The open window of this name, or the only one where none is named. Raises UsageError."""
    going = store.still_open(connection, here(system))
    found = [one for one in going if not name or one.window == name]
    if len(found) == 1:
        return found[0]
    if not going:
        raise UsageError("no window is open", "`opsbook window next` shows what comes")
    names = [one.window for one in going]
    raise UsageError(f"no window {name!r} is open" if name else "several windows are open", nearest(name, names))


def when_told(system: System, window: Window | None, start: datetime, until: datetime) -> str:
    """`Sunday 2026-11-22 02:00 to 04:00 (Europe/Berlin)`, by the window's clock."""
    name = str((window.timezone if window else None) or system.model.timezone)
    zone = ZoneInfo(name)
    first, last = start.astimezone(zone), until.astimezone(zone)
    end = f"{last:%H:%M}" if last.date() == first.date() else f"{last:%A %Y-%m-%d %H:%M}"
    return f"{first:%A %Y-%m-%d %H:%M} to {end} ({name})"


def targets(system: System, window: Window | None) -> tuple[str, ...]:
    """Who is told of a window."""
    return tuple(dict.fromkeys([*(window.notify if window else ()), *system.model.maintenance.notify]))


def _open(
    connection: Connection, system: System, actor: Actor, row: Came, window: Window | None, now: datetime
) -> None:
    subject = f"window:{row.window}/{_moment(row.start):%Y-%m-%dT%H:%MZ}"
    named = [one for one in ((window.before, window.checklist) if window else ()) if one]
    lists = [open_list(connection, system, name, Reason(subject, subject), now) for name in named]
    lists += open_on(connection, system, "window", subject, now)
    values = {"state": "open", "opened_at": now.timestamp(), "checklist": " ".join(dict.fromkeys(lists))}
    if store.change(connection, here(system), row, **values):
        _silence(connection, system, actor, row, now)
        _tell(connection, system, row, "begun", f"{row.title} has begun", _affected(row), now)
        _record(connection, system, actor, OPENED, row, now, row.note)


def _silence(connection: Connection, system: System, actor: Actor, row: Came, now: datetime) -> None:
    span = (_moment(row.start), _moment(row.until))
    silences.cover(connection, system, actor, _origin(row), row.components, row.title, span, now)


def _origin(row: Came) -> str:
    return f"window:{row.window}/{row.start:.0f}"


def _row(window: Window, one: Occurrence, noticed_at: float | None = None) -> Came:
    title, span = window.title or f"Maintenance ({window.id})", (one.start.timestamp(), one.until.timestamp())
    return Came(window.id, *span, "noticed", title, tuple(window.components), noticed_at=noticed_at)


def _affected(row: Came) -> str:
    return f"Affected: {', '.join(row.components) or 'the whole system'}."


def _tell(
    connection: Connection, system: System, row: Came, what: str, subject: str, body: str, now: datetime,
    otherwise: tuple[str, ...] = (),
) -> None:  # fmt: skip
    if to := targets(system, written(system, row.window)) or otherwise:
        key = f"window/{system.model.system}/{system.name}/{row.window}/{row.start:.0f}/{what}"
        title = system.model.title or system.model.system
        told = Message(key, "notice", to, f"{title}: {subject}", "warning", body, detail={"window": row.window})
        enqueue(connection, system, told, now)


def _record(
    connection: Connection, system: System, actor: Actor, event: str, row: Came, now: datetime, note: str = ""
) -> None:
    told: dict[str, object] = {"window": row.window, "start": _moment(row.start).isoformat()}
    told |= {"until": _moment(row.until).isoformat(), "components": list(row.components)}
    audit.append(connection, [act(system, actor, now, event, told | ({"note": note} if note else {}))])


def _must_be_sound(system: System, wanted: Wanted, lasts: timedelta | None) -> None:
    if not re.fullmatch(NAMED, wanted.name):
        raise UsageError(
            "a window is named with letters, digits, '-', '_' and '.'", "as in `opsbook window open hotfix`"
        )
    for one in system.model.windows:
        if one.id != wanted.name and one.id.lower() == wanted.name.lower():
            raise UsageError(f"there is no window {wanted.name!r}, and one much like it", f"write {one.id!r}")
    if not wanted.reason.strip():
        raise UsageError("a window that a person opens has a reason", "say it with --reason")
    if lasts is None:
        raise UsageError(f"the book has no window {wanted.name!r}", "say how long this one lasts with --for")
    if not timedelta(0) < lasts <= LONGEST:
        raise UsageError(f"a window lasts {_days(LONGEST)} at most", "plan a longer one in `windows` of the book")
    unknown: Sequence[str] = [one for one in wanted.components if one not in system.components]
    if unknown:
        raise UsageError(f"there is no component named {unknown[0]!r}", nearest(unknown[0], system.components))


def _days(span: timedelta) -> str:
    return write_duration(span.total_seconds())


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _local(system: System, at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo(str(system.model.timezone))):%Y-%m-%d %H:%M} ({system.model.timezone})"
