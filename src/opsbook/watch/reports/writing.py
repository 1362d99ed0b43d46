"""Reports that the book schedules: written where it says, and sent to whom it names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from opsbook.book.planned import Report
from opsbook.book.system import System
from opsbook.connectors.objectstore.addresses import open_store
from opsbook.engine.setting import Setting
from opsbook.errors import OpsbookError
from opsbook.recovery import report as recovery
from opsbook.recovery import report_page
from opsbook.store import due as store
from opsbook.store.database import reading
from opsbook.store.due import Due
from opsbook.watch import calendars
from opsbook.watch.contract import Watch, soonest
from opsbook.watch.outbox import Message, enqueue
from opsbook.watch.registry import part
from opsbook.watch.reports import data, pages
from opsbook.watch.reports.facts import gather
from opsbook.watch.reports.spans import KINDS, TITLE, span_of
from opsbook.watch.silences import here
from opsbook.watch.waking import wake

log = logging.getLogger(__name__)

TRIED_FOR = timedelta(hours=1)
"""How long one that cannot be written is tried again: a bucket may be away."""
REST = timedelta(minutes=1)
LONGEST_MAIL = 15_000
"""Characters of a report that a message carries; the rest is where it was written."""

Files = dict[str, tuple[str, str]]
"""Ending of the name → text and type of its content."""


def made(setting: Setting, system: System, kind: str, at: datetime) -> tuple[str, Files]:
    """The summary and the files of a report as it is at a moment. Blocking. Raises StoreFailed."""
    for known in KINDS:
        if kind == known:
            facts = gather(setting, system, known, span_of(known, at, str(system.model.timezone)))
            files = {
                "html": (pages.as_html(facts), "text/html; charset=utf-8"),
                "md": (pages.as_markdown(facts), "text/markdown; charset=utf-8"),
                "json": (data.as_json(facts), "application/json"),
            }
            return pages.summary(facts), files
    found = recovery.report(setting, system, at)
    return report_page.summary(found), {"html": (report_page.as_html(found), "text/html; charset=utf-8")}


@part
class Reports:
    """Writes what is due. Of what was missed while nothing watched, the newest of each."""

    name = "reports"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    async def tick(self, now: datetime) -> datetime:
        reports = self.watch.system.model.reports
        if not reports:
            return now + timedelta(hours=1)
        failed: OpsbookError | None = None
        for one in reports:
            try:
                await self._look_at(one, now)
            except OpsbookError as error:
                failed = error  # the others are written all the same
        if failed is not None:
            raise failed
        upcoming = (calendars.first_after(one.schedule, self._zone(one), now) for one in reports)
        return soonest(upcoming, now + REST)

    def _zone(self, one: Report) -> str:
        return str(one.timezone or self.watch.system.model.timezone)

    async def _look_at(self, one: Report, now: datetime) -> None:
        key, where = f"report/{one.id}", here(self.watch.system)
        last = await asyncio.to_thread(self._last, key)
        if last is None:
            first = Due(key, now.timestamp(), store.KNOWN, note="first seen")
            await self._write(lambda connection: store.add(connection, where, [first]))
            return
        after = datetime.fromtimestamp(last.at, UTC)
        moments = calendars.between(one.schedule, self._zone(one), after, now)
        if moments:
            await self._make(one, key, moments[-1], now)

    def _last(self, key: str) -> Due | None:
        with reading(self.watch.setting.store) as connection:
            return store.newest(connection, here(self.watch.system), key)

    async def _make(self, one: Report, key: str, at: datetime, now: datetime) -> None:
        where, setting, system = here(self.watch.system), self.watch.setting, self.watch.system
        try:
            summary, files = await asyncio.to_thread(made, setting, system, one.kind, at)
            place = await asyncio.to_thread(written, system, one, at, files) if one.to else ""
        except OpsbookError as error:
            if now - at < TRIED_FOR:
                raise
            log.warning("the report %s is given up: %s", one.id, error.message)
            row = Due(key, at.timestamp(), store.FAILED, note=error.message, ended_at=now.timestamp())
            await self._write(lambda connection: store.add(connection, where, [row]))
            return
        row = Due(key, at.timestamp(), store.DONE, note=place, started_at=now.timestamp(), ended_at=now.timestamp())

        def note(connection: Connection) -> None:
            store.add(connection, where, [row])
            if one.notify:
                enqueue(connection, system, message(system, one, at, summary, place, files), now)

        await self._write(note)
        wake()

    async def _write(self, write: Callable[[Connection], object]) -> None:
        await self.watch.setting.in_writer(lambda: self.watch.setting.write([write]))


def written(system: System, one: Report, at: datetime, files: Files) -> str:
    """Put the files where the book says; the address of the first. Doing it again writes the same names."""
    assert one.to is not None
    target = open_store(system, one.to)
    try:
        stem = f"{one.id}-{at:%Y-%m-%dT%H%MZ}"
        for ending, (text, kind) in files.items():
            target.put(f"{stem}.{ending}", text.encode(), content_type=kind)
        return f"{target.address}/{stem}.{next(iter(files))}"
    finally:
        target.close()


def message(system: System, one: Report, at: datetime, summary: str, place: str, files: Files) -> Message:
    """What is sent of a report: its summary, where it lies, and as much of its text as a message takes."""
    title = TITLE[one.kind] if one.kind in KINDS else "Report of recovery"
    text = files["md"][0] if "md" in files else ""
    if len(text) > LONGEST_MAIL:
        text = text[:LONGEST_MAIL].rsplit("\n", 1)[0] + "\n\n… the rest is in the file."
    body = "\n\n".join(part for part in (summary, f"Written to {place}" if place else "", text) if part)
    key = f"report/{system.model.system}/{system.name}/{one.id}/{at.timestamp():.0f}"
    subject = f"{system.model.title or system.model.system}: {title}, {at:%Y-%m-%d}"
    return Message(key, "report", tuple(one.notify), subject, "info", body, detail={"report": one.id})
