"""Dead man's switches, both ways: jobs that should report here, and the beat that opsbook sends out of itself.

A job reports by `POST /ping/<id>` (start, success, failure with an exit code and its log); one that goes silent is an
alert. opsbook's own beat goes to whatever notices its silence: a GET of `dead_man.ping`, as Healthchecks and the like
take it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import httpx
from sqlalchemy import Connection

from opsbook.book.planned import Job
from opsbook.book.references import MissingSecret
from opsbook.checks.evaluate import State
from opsbook.errors import OpsbookError
from opsbook.printable import one_line
from opsbook.store import beats as store
from opsbook.store import due
from opsbook.store.beats import Beat
from opsbook.store.database import reading
from opsbook.watch.contract import Signal, Watch, soonest
from opsbook.watch.deciding import tell
from opsbook.watch.lateness import judge
from opsbook.watch.registry import part
from opsbook.watch.waking import wake

Kind = Literal["start", "success", "failure", "log"]
LONGEST_LOG = 100_000
"""Characters of a job's log that are kept: its end, where the error is."""
RHYTHM = timedelta(seconds=30)
FAILS = 3
"""Beats that must fail in a row before somebody is told: one that is lost is not the end of the watch."""
ANSWER_SECONDS = 10.0
VITAL = ("checks", "incidents", "messages")
"""Parts of the watch without which nobody is told of a fault: while one of them is broken, no beat goes out."""
FAILS_OF_A_PART = 5
"""Ticks that fail in a row: about a minute."""
STUCK = timedelta(minutes=5)
"""A part is called every half minute at least; one that was not for so long hangs in what it did last."""

log = logging.getLogger(__name__)


def record_beat(
    connection: Connection,
    where: Mapping[str, str],
    job: str,
    kind: Kind,
    exit_code: int | None,
    log: str,
    now: datetime,
    origin: str = "",
) -> Beat:
    """Keep what a job said of itself. An exit code other than 0 makes a success a failure."""
    if kind == "success" and exit_code:
        kind = "failure"
    seconds: float | None = None
    if kind in ("success", "failure"):
        before = (one for one in store.latest(connection, where, job) if one.kind != "log")
        if (last := next(before, None)) is not None and last.kind == "start":
            seconds = max(0.0, now.timestamp() - last.at)
    beat = Beat(job, 0, now.timestamp(), kind, one_line(origin)[:200], log[-LONGEST_LOG:], exit_code, seconds)
    wake()
    return store.add(connection, where, beat)


def reporting_jobs(watch: Watch) -> list[Job]:
    """The jobs of this environment that report by themselves; the others are observed."""
    return [job for job in watch.system.model.jobs if job.observe is None and watch.system.holds(job.environments)]


@part
class Beats:
    """Judges the jobs by what they said."""

    name = "jobs"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._told: dict[str, tuple[State, str]] = {}

    async def tick(self, now: datetime) -> datetime:
        jobs = reporting_jobs(self.watch)
        if not jobs:
            return now + timedelta(hours=1)
        found, unknown = await asyncio.to_thread(self._judged, jobs, now)
        if unknown:
            note = [lambda connection: due.add(connection, self.watch.where, unknown)]
            await self.watch.setting.in_writer(lambda: self.watch.setting.write(note))
        new = [one for one in found if self._told.get(one.fingerprint) != (one.state, one.sentence)]
        await tell(self.watch, new)
        self._told |= {one.fingerprint: (one.state, one.sentence) for one in new}
        return now + RHYTHM

    def _judged(self, jobs: Sequence[Job], now: datetime) -> tuple[list[Signal], list[due.Due]]:
        """What is to be said of each, and which of them are seen for the first time. Blocking."""
        where, zone = self.watch.where, str(self.watch.system.model.timezone)
        unknown: list[due.Due] = []
        found = []
        with reading(self.watch.setting.store) as connection:
            for job in jobs:
                first = due.first(connection, where, f"job/{job.id}")
                if first is None:
                    first = due.Due(f"job/{job.id}", now.timestamp(), due.KNOWN, note="first seen")
                    unknown.append(first)
                since = datetime.fromtimestamp(first.at, UTC)
                state, sentence = judge(job, store.latest(connection, where, job.id, 50), since, zone, now)
                found.append(signal_of(job, state, sentence, now))
        return found, unknown


def signal_of(job: Job, state: State, sentence: str, now: datetime) -> Signal:
    """What is said of a job to the desk of alerts."""
    return Signal(
        fingerprint=f"beat:{job.id}",
        source="beat",
        at=now,
        state=state,
        title=f"job {job.id}",
        sentence=sentence,
        component=job.of or "",
        procedure=job.procedure or "",
    )


@part
class DeadMan:
    """Tells somebody outside that this still runs. What goes out is an empty request, and nothing of the system."""

    name = "dead man"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._failed = 0
        self._said_well = False
        self._next: datetime | None = None

    async def tick(self, now: datetime) -> datetime:
        book = self.watch.system.model.dead_man
        if book.ping is None:
            return now + timedelta(hours=1)
        if self._next is not None and now < self._next <= now + book.every:
            return self._next  # woken before its time
        self._next = now + book.every
        if broken := self._broken(now):
            log.error("no beat goes out: %s", broken)
            return self._next
        problem = await self._ping()
        self._failed = self._failed + 1 if problem else 0
        if self._failed >= FAILS or (not problem and not self._said_well):
            await tell(self.watch, [self._signal(problem, now)])
            self._said_well = not problem
        return soonest([self._next], now + book.every)

    def _broken(self, now: datetime) -> str:
        """What of the watch does not do its work, so that it is not alive for whoever waits for pages; else empty."""
        for name in VITAL:
            standing = self.watch.standings.get(name)
            if standing is not None and standing.failed >= FAILS_OF_A_PART:
                return f"{name} failed {standing.failed} times: {standing.error}"
            if standing is not None and standing.ticked_at is not None and now - standing.ticked_at > STUCK:
                return f"{name} has been stuck since {standing.ticked_at:%H:%M:%S} UTC"
        return ""

    async def _ping(self) -> str:
        """Send one beat; why it did not arrive, or empty. The address is a secret, and in no sentence."""
        ping = self.watch.system.model.dead_man.ping
        assert ping is not None
        try:
            address = self.watch.system.resolve(ping)
            async with httpx.AsyncClient(timeout=ANSWER_SECONDS) as client:
                answer = await client.get(address)
        except MissingSecret as error:
            return error.message
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL) as error:
            return f"no answer ({type(error).__name__})"
        except OpsbookError as error:
            return error.message
        return "" if answer.is_success else f"it answers {answer.status_code}"

    def _signal(self, problem: str, now: datetime) -> Signal:
        return Signal(
            fingerprint="dead-man",
            source="opsbook",
            at=now,
            state=State.WARNING if problem else State.OK,
            title="beat to the dead man's switch",
            sentence=f"it does not arrive: {problem}" if problem else "it arrives",
        )
