"""Windows to come, for people and as iCalendar (RFC 5545)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from opsbook.book.system import System
from opsbook.errors import OpsbookError
from opsbook.printable import lines_of
from opsbook.store import windows as store
from opsbook.watch.silences import here
from opsbook.watch.window_acts import planned, when_told, written

AHEAD = timedelta(days=90)


@dataclass(frozen=True)
class Coming:
    """A window that is open or comes, as every face shows it. Times are aware UTC."""

    window: str
    title: str
    start: datetime
    until: datetime
    state: str
    """planned, noticed, open or overrun."""
    components: tuple[str, ...]
    when: str
    """In words, by the window's clock."""
    author: str = ""
    note: str = ""
    run: str = ""
    checklist: str = ""

    def as_json(self) -> dict[str, object]:
        """For `--format json` and the API."""
        told = {**vars(self), "components": list(self.components)}
        return {**told, "start": self.start.isoformat(), "until": self.until.isoformat()}


def coming(connection: Connection, system: System, now: datetime, ahead: timedelta = AHEAD) -> list[Coming]:
    """What is open, and what comes within a time, by their starts. One that was closed early is no longer there."""
    moment = now.timestamp()
    rows = store.came(connection, here(system), since=moment)
    known = {(row.window, row.start): row for row in rows}
    found = [_of_row(system, row) for row in rows if row.open or (row.state == "noticed" and row.until > moment)]
    for one in planned(system, now, now + ahead):
        window = written(system, one.window)
        if window is not None and (one.window, one.start.timestamp()) not in known:
            title, when = window.title or f"Maintenance ({one.window})", when_told(system, window, one.start, one.until)
            state = "open" if one.holds(now) else "planned"
            found.append(Coming(one.window, title, one.start, one.until, state, tuple(window.components), when))
    return sorted(found, key=lambda one: (one.start, one.window))


def as_ical(system: System, found: Sequence[Coming], now: datetime) -> bytes:
    """A calendar that a calendar program can subscribe to: the same window has the same UID whenever it is written.

    Raises OpsbookError where the package for it is not installed.
    """
    try:
        from icalendar import Calendar, Event, vText
    except ImportError:
        raise OpsbookError("a calendar needs icalendar", "pip install 'opsbook[serve]'") from None
    calendar = Calendar()
    calendar.add("prodid", "-//opsbook//maintenance windows//EN")
    calendar.add("version", "2.0")
    # A property beyond the standard is text too (3.8.8.2): it is escaped like one.
    name = f"{system.model.title or system.model.system}: maintenance ({system.name})"
    calendar.add("x-wr-calname", vText(_text(name)))
    for one in found:
        event = Event()
        place = f"{system.name}.{system.model.system}"
        event.add("uid", f"{one.window}-{one.start:%Y%m%dT%H%M%SZ}@{place}.opsbook")
        event.add("dtstamp", now.astimezone(UTC).replace(microsecond=0))
        event.add("dtstart", one.start.replace(microsecond=0))
        event.add("dtend", one.until.replace(microsecond=0))
        event.add("summary", _text(one.title))
        event.add("description", _text(f"{one.when}\nAffected: {', '.join(one.components) or 'the whole system'}"))
        event.add("status", "CONFIRMED")
        event.add("transp", "TRANSPARENT")
        calendar.add_component(event)
    return bytes(calendar.to_ical())


def _text(text: str) -> str:
    """Text without the control characters that section 3.1 forbids."""
    return "\n".join(lines_of(text))


def _of_row(system: System, row: store.Came) -> Coming:
    start, until = (datetime.fromtimestamp(at, UTC) for at in (row.start, row.until))
    when = when_told(system, written(system, row.window), start, until)
    return Coming(
        row.window, row.title, start, until, row.state, row.components, when, row.author, row.note, row.run,
        row.checklist,
    )  # fmt: skip
