"""Jobs that do not report: something that they leave behind shows that they ran, and an observation sees it."""

from __future__ import annotations

from datetime import datetime, timedelta

from opsbook.book.checks import Check
from opsbook.book.planned import Job
from opsbook.book.units import Dimension, show_duration
from opsbook.checks.evaluate import Result, State
from opsbook.checks.sweep import sweep
from opsbook.watch.beats import signal_of
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.deciding import tell
from opsbook.watch.lateness import SOON, last_due
from opsbook.watch.registry import part

RHYTHM = timedelta(minutes=5)


def observed_jobs(watch: Watch) -> list[Job]:
    """The jobs of this environment that are seen by an observation."""
    return [job for job in watch.system.model.jobs if job.observe and job.of and watch.system.holds(job.environments)]


def judge(job: Job, found: Result, zone: str, now: datetime) -> tuple[State, str]:
    """How a job is by what was observed of it. Pure.

    Of a time (how old a file is, when a record was written) the schedule tells whether it is too old; of all else the
    observation's own thresholds do.
    """
    due = last_due(job, zone, now)
    if found.spec.dimension is not Dimension.DURATION or due is None or not isinstance(found.value, float | int):
        return found.state, found.sentence
    ran = found.at - timedelta(seconds=float(found.value))
    if ran >= due - SOON:
        return State.OK, f"it ran {show_duration(float(found.value))} ago"
    return State.CRITICAL, f"it was due at {due:%Y-%m-%d %H:%M} UTC; the last sign of it is of {ran:%Y-%m-%d %H:%M} UTC"


@part
class ObservedJobs:
    """Looks for the signs of the jobs now and then."""

    name = "observed jobs"

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self._next: datetime | None = None

    async def tick(self, now: datetime) -> datetime:
        jobs = observed_jobs(self.watch)
        if not jobs:
            return now + timedelta(hours=1)
        if self._next is not None and now < self._next <= now + RHYTHM:
            return self._next
        self._next = now + RHYTHM
        checks = [
            Check.model_validate({"id": f"job-{job.id}", "observe": job.observe, "of": job.of, "with": job.with_})
            for job in jobs
        ]
        async with self.watch.setting.connections(self.watch.system) as connections:
            done = await sweep(self.watch.system, checks, connections, self.watch.setting.clock)
        zone = str(self.watch.system.model.timezone)
        signals: list[Signal] = []
        for job, found in zip(jobs, done.results, strict=True):
            state, sentence = judge(job, found, zone, now)
            signals.append(signal_of(job, state, sentence, now))
        await tell(self.watch, signals)
        return self._next
