"""The public status page: gathered from the store, written whole to a folder or a bucket, each minute anew."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from opsbook.book.people import StatusPage
from opsbook.book.system import System
from opsbook.checks.evaluate import State
from opsbook.connectors.objectstore.addresses import open_store
from opsbook.connectors.objectstore.folder import FolderStore
from opsbook.engine.setting import Setting
from opsbook.errors import OpsbookError, UsageError
from opsbook.store import alerts, history, windows
from opsbook.store.database import reading
from opsbook.watch import public_page
from opsbook.watch.alert_rows import from_row
from opsbook.watch.contract import Alert, Phase, Watch
from opsbook.watch.public import Health, Page, Part, Planned, as_json, local_days, problems, worst
from opsbook.watch.public_days import Day, Span, day_of, deciding, uptime
from opsbook.watch.registry import part
from opsbook.watch.silences import here
from opsbook.watch.window_acts import written
from opsbook.watch.window_calendar import Coming, coming

RHYTHM = timedelta(minutes=1)
SETTLED = timedelta(days=2)
"""Days further back do not change any more, and are not counted again."""
STALE_AFTER = 5.0
"""As many usual intervals without a result mean that nothing is known of now."""
HTML, JSON = "index.html", "status.json"

Known = dict[tuple[str, str], Day]
"""Component and day → what it was like: what does not change any more."""


def page(setting: Setting, system: System, now: datetime, known: Known | None = None) -> Page:
    """The page as it is now. Blocking. Raises UsageError where the book has none."""
    shown = system.model.status_page
    if shown is None:
        raise UsageError("the book has no `status_page`", "name the components that the public may see there")
    with reading(setting.store) as connection:
        return _page(connection, system, shown, now, {} if known is None else known)


def html(found: Page) -> str:
    """As one file."""
    return public_page.as_html(found)


def data(found: Page) -> str:
    """As JSON."""
    return json.dumps(as_json(found), indent=2, ensure_ascii=False) + "\n"


def publish(system: System, found: Page, to: Path | None = None) -> str:
    """Write both files where the book says, or into this folder; each is there whole or as it was. Says where."""
    shown = system.model.status_page
    assert shown is not None
    files = {HTML: (html(found), "text/html; charset=utf-8"), JSON: (data(found), "application/json")}
    if to is not None:
        _into_folder(to, files)
        return str(to)
    if shown.to is None:
        raise UsageError("`status_page.to` is not set", "name a folder or an s3:// address there")
    store = open_store(system, shown.to)
    try:
        if isinstance(store, FolderStore):
            _into_folder(store.root, files)
        else:
            for name, (text, kind) in files.items():
                store.put(name, text.encode(), content_type=kind)
        return store.address
    finally:
        store.close()


@part
class PublicPage:
    """Writes the page while it is to be written."""

    name = "status page"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._known: Known = {}

    async def tick(self, now: datetime) -> datetime:
        shown = self.watch.system.model.status_page
        if shown is None or shown.to is None:
            return now + timedelta(hours=1)
        await asyncio.to_thread(self._write, now)
        return now + RHYTHM

    def _write(self, now: datetime) -> None:
        publish(self.watch.system, page(self.watch.setting, self.watch.system, now, self._known))


def _page(connection: Connection, system: System, shown: StatusPage, now: datetime, known: Known) -> Page:
    where, zone = here(system), str(system.model.timezone)
    newest = history.newest_at(connection, system.model.system, system.name)
    stale = newest is None or now.timestamp() - newest > (system.model.intervals.check * STALE_AFTER).total_seconds()
    bad = [from_row(row) for row in alerts.open_ones(connection, where)]
    found = coming(connection, system, now, timedelta(days=30))
    spans = _maintenance(connection, system, now, shown.history)
    days = local_days(zone, now, max(1, shown.history.days))
    parts = []
    for component, name in shown.components.items():
        checks = deciding(system.checks, component)
        own = [span for span, touched in spans if not touched or component in touched]
        line = []
        for day in days:
            key = (component, day.isoformat())
            if key not in known or day > (now - SETTLED).date():
                known[key] = day_of(connection, where, checks, day, zone, own, now)
            line.append(known[key])
        parts.append(Part(name, _health(system, component, bad, found, stale), uptime(line), tuple(line)))
    return Page(
        shown.title or system.model.title or system.model.system, now, worst(one.health for one in parts),
        tuple(parts), tuple(problems(connection, system, now)), tuple(_planned(system, shown, found, now)), zone,
        shown.contact, shown.url,
    )  # fmt: skip


def _health(system: System, component: str, bad: Sequence[Alert], found: Sequence[Coming], stale: bool) -> Health:
    going = [one for one in found if one.state in ("open", "overrun")]
    if any(not one.components or component in one.components for one in going):
        return "maintenance"
    if stale:
        return "unknown"
    mine = [one for one in bad if one.component == component and (one.phase is Phase.FIRING or one.cause)]
    vital = {check.id for check in deciding(system.checks, component)}
    if any(one.state is State.CRITICAL and one.check in vital for one in mine):
        return "down"
    return "impaired" if any(one.state in (State.CRITICAL, State.WARNING) for one in mine) else "well"


def _maintenance(
    connection: Connection, system: System, now: datetime, history_of: timedelta
) -> list[tuple[Span, tuple[str, ...]]]:
    """When windows were open, and what each touched: nothing named is everything."""
    since = (now - history_of - timedelta(days=1)).timestamp()
    found = []
    for row in windows.came(connection, here(system), since=since):
        if row.opened_at is not None:
            # What goes on beyond its end is no planned time any more.
            until = min(row.closed_at if row.closed_at is not None else now.timestamp(), row.until)
            found.append(((row.opened_at, until), row.components))
    return found


def _planned(system: System, shown: StatusPage, found: Sequence[Coming], now: datetime) -> list[Planned]:
    told = []
    for one in found:
        window = written(system, one.window)
        names = tuple(name for component, name in shown.components.items() if component in one.components)
        goes_on = one.state in ("open", "overrun")
        notice = (window.notice if window else None) or timedelta(0)
        if (one.components and not names) or not (goes_on or one.start - notice <= now):
            continue
        # Only the book's title is written for the public; what a person gave as reason is not.
        title = window.title if window else ""
        told.append(Planned(title, one.start.astimezone(UTC), one.until.astimezone(UTC), goes_on, names))
    return told


def _into_folder(folder: Path, files: Mapping[str, tuple[str, str]]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (text, _) in files.items():
            descriptor, made = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                # It is for everybody: the web server runs as somebody else.
                Path(made).chmod(0o644)
                Path(made).replace(folder / name)
            except OSError:
                with suppress(OSError):
                    Path(made).unlink()
                raise
    except OSError as error:
        raise OpsbookError(
            f"the status page cannot be written to {folder}: {error.strerror}", "check the folder"
        ) from error
