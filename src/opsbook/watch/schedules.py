"""The part that begins what the book schedules: backups, drills, retention, exports.

A time that is due is a row first, and a run of an id that follows from it second: whatever dies in between, it is begun
once. What was missed while nothing watched is noted, and only the newest of it is made up for.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from opsbook.checks.evaluate import State
from opsbook.engine.identity import LETTERS
from opsbook.engine.service import Wish
from opsbook.engine.states import RunState
from opsbook.errors import OpsbookError, Refused, UsageError
from opsbook.store import due as store
from opsbook.store import runs
from opsbook.store.database import reading
from opsbook.store.due import Due
from opsbook.watch import calendars
from opsbook.watch.contract import Signal, Watch, soonest
from opsbook.watch.deciding import tell
from opsbook.watch.registry import part
from opsbook.watch.scheduled import Item, items, newly_due, on_demand, prune_of

log = logging.getLogger(__name__)

TRIED_FOR = timedelta(hours=1)
"""How long something that cannot be planned (its component does not answer) is tried again."""
AGAIN = timedelta(minutes=1)
LOOK = timedelta(seconds=10)
"""How often a run that was begun is looked at."""


def run_id(where: dict[str, str], due: Due, extra: str = "") -> str:
    """The id of the run of a due time: always the same."""
    text = f"{where['system']}\n{where['environment']}\n{due.key}\n{due.at:.3f}\n{extra}"
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    letters = ""
    for _ in range(4):
        number, one = divmod(number, len(LETTERS))
        letters += LETTERS[one]
    return f"{datetime.fromtimestamp(due.at, UTC):%y%m%d-%H%M}-{letters}"


@part
class Schedules:
    """Begins what is due, follows it, and tells what failed or waits for somebody."""

    name = "schedules"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.items = {item.key: item for item in items(watch.system)}
        self._told: dict[str, tuple[State, str]] = {}
        self._tried: dict[tuple[str, float], tuple[datetime, str]] = {}

    async def tick(self, now: datetime) -> datetime:
        await self._follow(now)
        await self._note(now)
        open_ones = await asyncio.to_thread(self._going)
        for one in open_ones:
            if one.state == store.DUE:
                await self._begin(one, now)
        await self._tell(now)
        upcoming = (calendars.first_after(item.cron, item.zone, now) for item in self.items.values())
        return min(soonest(upcoming, now + AGAIN), now + (LOOK if open_ones else AGAIN))

    def _going(self) -> list[Due]:
        with reading(self.watch.setting.store) as connection:
            return store.going(connection, self.watch.where)

    async def _write(self, *writes: object) -> None:
        await self.watch.setting.in_writer(lambda: self.watch.setting.write(writes))  # type: ignore[arg-type]

    async def _note(self, now: datetime) -> None:
        """Make rows of what is due since the last time, all in one transaction."""
        if new := await asyncio.to_thread(self._newly_due, now):
            await self._write(lambda connection: store.add(connection, self.watch.where, new))
        missed = Counter(one.key for one in new if one.state == store.MISSED)
        for key, times in missed.items():
            log.info("%s was missed %d times: nothing was watching", key, times)

    def _newly_due(self, now: datetime) -> list[Due]:
        where = self.watch.where
        new: list[Due] = []
        with reading(self.watch.setting.store) as connection:
            busy = {one.key: one.run or "that is about to begin" for one in store.going(connection, where)}
            for item in self.items.values():
                last = store.newest(connection, where, item.key)
                if last is None:
                    new.append(Due(item.key, now.timestamp(), store.KNOWN, note="first seen"))
                else:
                    new += newly_due(item, last, busy.get(item.key, ""), now)
        return new

    async def _begin(self, due: Due, now: datetime) -> None:
        """Ask for its run, unless that was done already by a process that died."""
        item = self.items.get(due.key) or on_demand(self.watch.system, due.key)
        if item is None:
            await self._end(due, store.FAILED, "it is no longer in the book", now)
            return
        tried_at, _ = self._tried.get((due.key, due.at), (None, ""))
        if tried_at is not None and timedelta(0) <= now - tried_at < AGAIN:
            return
        wanted = await asyncio.to_thread(self._free_id, due, item)
        if isinstance(wanted, runs.RunRow):
            await self._started(due, wanted.id, now)
            return
        service = self.watch.service(f"schedule {due.key}")
        try:
            plan = await service.plan(await asyncio.to_thread(service.procedure, item.procedure))
            # Policy may look for backups in a bucket: neither the loop nor who writes waits for that.
            row = await asyncio.to_thread(service.submit, plan, Wish(run=wanted))
        except (Refused, UsageError) as error:
            await self._end(due, store.REFUSED, _sentence(error), now)
        except OpsbookError as error:
            self._tried[due.key, due.at] = now, _sentence(error)
            if now - datetime.fromtimestamp(due.at, UTC) > TRIED_FOR:
                await self._end(due, store.FAILED, f"it could not be planned: {_sentence(error)}", now)
        else:
            log.info("%s: run %s", due.key, row.id)
            await self._started(due, row.id, now)

    def _free_id(self, due: Due, item: Item) -> str | runs.RunRow:
        """The id that its run gets, or the run where it has begun."""
        with reading(self.watch.setting.store) as connection:
            for extra in ("", "again", "and again"):
                wanted = run_id(self.watch.where, due, extra)
                found = runs.run_of(connection, wanted)
                if found is None:
                    return wanted
                if found.procedure == item.procedure and found.environment == self.watch.system.name:
                    return found
        raise OpsbookError(f"every id for {due.key} of {_shown(due.at)} is taken")

    async def _started(self, due: Due, run: str, now: datetime) -> None:
        values = {"state": store.RUNNING, "run": run, "started_at": now.timestamp()}
        await self._write(lambda c: store.change(c, self.watch.where, due.key, due.at, **values))

    async def _end(self, due: Due, state: str, note: str, now: datetime) -> None:
        self._tried.pop((due.key, due.at), None)
        values = {"state": state, "note": note, "ended_at": now.timestamp()}
        await self._write(lambda c: store.change(c, self.watch.where, due.key, due.at, **values))

    async def _follow(self, now: datetime) -> None:
        """See which runs have ended; a backup that was taken is followed by the deletion of what it replaces."""
        where = self.watch.where
        for due, run in await asyncio.to_thread(self._begun):
            if run is None:
                await self._end(due, store.FAILED, f"run {due.run} is gone", now)
            elif (state := RunState(run.state)).ended:
                well = state is RunState.DONE
                note = run.message or ("" if well else f"the run ended {state}")
                ended = {
                    "state": store.DONE if well else store.FAILED,
                    "note": note,
                    "ended_at": run.ended_at or now.timestamp(),
                }
                kind, _, name = due.key.partition("/")
                next_one = prune_of(self.watch.system, name) if well and kind == "backup" else None

                def write(
                    connection: Connection,
                    due: Due = due,
                    ended: dict[str, object] = ended,
                    item: Item | None = next_one,
                ) -> None:
                    store.change(connection, where, due.key, due.at, **ended)
                    if item is not None:
                        store.add(connection, where, [Due(item.key, due.at, store.DUE)])

                await self._write(write)

    def _begun(self) -> list[tuple[Due, runs.RunRow | None]]:
        with reading(self.watch.setting.store) as connection:
            going = store.going(connection, self.watch.where)
            return [(one, runs.run_of(connection, one.run)) for one in going if one.run]

    async def _tell(self, now: datetime) -> None:
        """Say how each schedule stands, where that is something new."""
        found = await asyncio.to_thread(self._all_standings)
        new = [one for one in found if self._told.get(one.fingerprint) != (one.state, one.sentence)]
        # Said again the next time where it could not be stored.
        await tell(self.watch, [replace(one, at=now) for one in new])
        self._told |= {one.fingerprint: (one.state, one.sentence) for one in new}

    def _all_standings(self) -> list[Signal]:
        with reading(self.watch.setting.store) as connection:
            return list(self._standings(connection))

    def _standings(self, connection: Connection) -> Iterator[Signal]:
        where = self.watch.where
        open_ones: dict[str, Due] = {one.key: one for one in store.going(connection, where)}
        for item in self._all():
            standings = [
                (due, self._standing(connection, due))
                for due in (open_ones.get(item.key), store.last_told(connection, where, item.key))
                if due is not None
            ]
            if not standings:
                continue
            # One that failed stays so until the next one is done.
            due, (state, sentence) = next((one for one in standings if one[1][0] is not State.OK), standings[0])
            yield Signal(
                fingerprint=f"schedule:{item.key}",
                source="opsbook",
                at=datetime.fromtimestamp(due.at, UTC),
                state=state,
                title=f"{item.kind} {item.id}, as scheduled",
                sentence=sentence,
                component=item.component if item.component in self.watch.system.components else "",
            )

    def _all(self) -> Sequence[Item]:
        system = self.watch.system
        keys = [f"prune/{item.id}" for item in self.items.values() if item.kind == "backup"]
        keys += [f"certificate/{one.id}" for one in system.model.certificates if one.method == "acme"]
        more = [on_demand(system, key) for key in keys]
        return [*self.items.values(), *(one for one in more if one is not None)]

    def _standing(self, connection: Connection, due: Due) -> tuple[State, str]:
        at = _shown(due.at)
        if due.state == store.DUE:
            _, why = self._tried.get((due.key, due.at), (None, ""))
            return (State.WARNING, f"that of {at} cannot begin yet: {why}") if why else (State.OK, "begins")
        if due.state == store.RUNNING:
            run = runs.run_of(connection, due.run)
            if run is not None and RunState(run.state).parked:
                return State.WARNING, f"run {due.run} of {at} {run.state}: {run.message}".rstrip(": ")
            return State.OK, f"run {due.run} has begun"
        if due.state == store.DONE:
            return State.OK, f"run {due.run} did it"
        return (State.WARNING if due.state == store.REFUSED else State.CRITICAL), (
            f"that of {at} {'was refused' if due.state == store.REFUSED else 'failed'}: {due.note}"
        )


def _sentence(error: OpsbookError) -> str:
    return error.message + (f" → {error.hint}" if error.hint else "")


def _shown(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
