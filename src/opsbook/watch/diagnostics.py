"""Gathers what the system looks like when an incident opens, and keeps it as evidence.

The most severe incident comes first, and some are gathered for side by side. A process that dies in between gathers
again. It only reads; procedures that the policy lets run unattended are submitted to the engine, and the timeline says
so.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from datetime import datetime, timedelta

from sqlalchemy import Connection

from opsbook.book.catalogue import Risk
from opsbook.engine.output import Mask
from opsbook.engine.policy import rule_of
from opsbook.engine.service import Wish
from opsbook.engine.setting import secrets_of
from opsbook.errors import OpsbookError
from opsbook.printable import printable
from opsbook.store import alerts, runs
from opsbook.store import evidence as evidence_rows
from opsbook.store import incidents as store
from opsbook.store.database import reading
from opsbook.store.due import DUE, Due
from opsbook.store.evidence import Evidence
from opsbook.store.incidents import Event, Incident
from opsbook.watch.contract import Watch
from opsbook.watch.gathering import Gathered, Gathering
from opsbook.watch.registry import part
from opsbook.watch.schedules import run_id

log = logging.getLogger(__name__)

LONGEST = 60_000
BESIDE = 4
"""Incidents that are gathered for at the same time."""
AT_ONCE = 20
"""Incidents of one tick; in a storm the others come with the next ones."""
PLANNING = 60.0
"""Seconds in which a procedure that looks further must be planned."""
YOUNG = timedelta(hours=1)
"""An incident that is older when it is first seen is not looked at any more: the moment is gone."""
REST = timedelta(seconds=10)
DIAGNOSED = "diagnosed"
"""Kind of the line that says that it was done, one for each round."""


@part
class Diagnostics:
    """The part of the watch that gathers."""

    name = "diagnostics"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.gathering = Gathering(watch)

    async def tick(self, now: datetime) -> datetime:
        """Gather for incidents that nothing was gathered for yet, the most severe first, some side by side."""
        taken: set[str] = set()
        turn = asyncio.Lock()

        async def work() -> None:
            while len(taken) < AT_ONCE:
                async with turn:  # which is the most severe one is asked each time: another may have opened
                    waiting = await asyncio.to_thread(self._waiting, now, len(taken) + 1)
                    one = next((each for each in waiting if each.id not in taken), None)
                    if one is None:
                        return
                    taken.add(one.id)
                await self.gather(one, now)

        told = await asyncio.gather(*(work() for _ in range(BESIDE)), return_exceptions=True)
        for error in told:
            if isinstance(error, BaseException):
                raise error
        return now if len(taken) >= AT_ONCE else now + REST

    def _waiting(self, now: datetime, limit: int) -> list[Incident]:
        """The most urgent ones of those that nothing was gathered for yet."""
        since, grades = (now - YOUNG).timestamp(), list(self.watch.system.model.severities)
        with reading(self.watch.setting.store) as connection:
            return store.without_line(connection, self.watch.where, DIAGNOSED, since, limit, grades)

    async def gather(self, one: Incident, now: datetime) -> None:
        """Gather for one incident, and keep it."""
        setting = self.watch.setting
        found = await self.gathering.gather(one, now)
        mask = Mask(await asyncio.to_thread(secrets_of, self.watch.system))
        rows = [_row(one, gathered, mask, now) for gathered in found]

        def keep(connection: Connection) -> None:
            for row in rows:
                evidence_rows.keep(connection, row)

        await setting.in_writer(lambda: setting.write([keep]))
        told = await self._procedures(one)
        bad = sum(bool(row.error) for row in rows)
        text = f"gathered {len(rows) - bad} things" + (f"; {bad} could not be had" if bad else "")
        events = [Event(one.id, now.timestamp(), "opsbook", DIAGNOSED, text, key=_key(one))]
        events += [Event(one.id, now.timestamp(), "opsbook", "run", line) for line in told]
        await setting.in_writer(lambda: setting.write([lambda connection: store.tell(connection, events)]))

    async def _procedures(self, one: Incident) -> list[str]:
        """Submit what looks further, and what the policy lets opsbook do by itself; a line about each."""
        book = self.watch.system.model
        names = dict.fromkeys(book.incidents.diagnostics)
        told = list(await asyncio.gather(*(self._submit(one, name, looking=True) for name in names)))
        if one.procedure and one.rounds == 0 and await asyncio.to_thread(self._own, one):
            told.append(await self._submit(one, one.procedure, looking=False))
        return [line for line in told if line]

    async def _submit(self, one: Incident, name: str, *, looking: bool) -> str:
        service = self.watch.service(f"alert {one.id}")
        try:
            procedure = await asyncio.to_thread(service.procedure, name)
            rule = rule_of(self.watch.system.policy, procedure.risk, procedure.name)
            if looking and procedure.risk is not Risk.READ:
                return f"{name} is not run to look further: it is {procedure.risk}"
            if not looking and not rule.unattended:
                return ""
            # A process that died after it had asked, and before the timeline said so, asks for the same run again.
            wanted = run_id(self.watch.where, Due(f"incident/{one.id}/{one.rounds}/{name}", one.opened_at, DUE))
            if (begun := await asyncio.to_thread(self._run_of, wanted)) is not None and begun.procedure == name:
                return f"run {wanted} of {name} was asked for already"
            async with asyncio.timeout(PLANNING):
                plan = await service.plan(procedure)
            if (pending := await asyncio.to_thread(service.pending, plan)) is not None:
                return f"run {pending.id} of {name} is under way already"
            # The policy has said yes in advance; whatever else it asks for is asked for all the same.
            row = await asyncio.to_thread(service.submit, plan, Wish(confirmed=True, run="" if begun else wanted))
        except OpsbookError as error:
            return f"{name} was not run: {error.message}"
        except TimeoutError:
            return f"{name} was not run: it could not be planned in time"
        why = "to look further" if looking else "by itself, as the policy of this environment allows"
        return f"run {row.id} of {name} was asked for, {why}"

    def _own(self, one: Incident) -> bool:
        """Whether what is suggested is no foreign source's word: that is shown to people, and never done by itself."""
        with reading(self.watch.setting.store) as connection:
            found = alerts.of_incident(connection, one.id)
        sources = {row["source"] for row in found if row["procedure"] == one.procedure}
        return sources != {"alertmanager"}

    def _run_of(self, run: str) -> runs.RunRow | None:
        with reading(self.watch.setting.store) as connection:
            return runs.run_of(connection, run)


def _row(one: Incident, found: Gathered, mask: Mask, now: datetime) -> Evidence:
    text = printable(mask.whole(found.text))[:LONGEST]
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Evidence(one.id, found.name, now.timestamp(), text, digest, printable(mask.whole(found.error))[:500])


def _key(one: Incident) -> str:
    return f"{DIAGNOSED}|{one.id}|{one.rounds}"
