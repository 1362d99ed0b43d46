"""Whether a job is late, failed, or takes too long, from what it said. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from opsbook.book.planned import Job
from opsbook.book.units import show_duration
from opsbook.checks.evaluate import State
from opsbook.store.beats import Beat
from opsbook.watch import calendars

BACK = timedelta(days=400)
"""How far back the last time is looked for at which a job was due."""
SOON = timedelta(minutes=1)
"""Clocks of two hosts differ: a job that says that it began a moment before it was due was that one."""


def last_due(job: Job, zone: str, now: datetime) -> datetime | None:
    """When it should have been done last, its grace included; None where it has no schedule or was not due yet."""
    if job.schedule is None:
        return None
    moments = calendars.between(str(job.schedule), str(job.timezone or zone), now - BACK, now - job.grace)
    return moments[-1] if moments else None


def judge(job: Job, told: Sequence[Beat], watched_since: datetime, zone: str, now: datetime) -> tuple[State, str]:
    """How a job is. `told` is the newest first; nothing was expected of it before `watched_since`.

    The first that is so: it runs for too long, it failed last, it is late; else it is well.
    """
    done = next((one for one in told if one.kind in ("success", "failure")), None)
    begun = next((one for one in told if one.kind == "start"), None)
    running = begun is not None and (done is None or done.number < begun.number)
    if running and begun is not None and job.longest is not None and now - _moment(begun) > job.longest:
        took = show_duration((now - _moment(begun)).total_seconds())
        return State.CRITICAL, f"it has run for {took}, and may for {show_duration(job.longest.total_seconds())}"
    if done is not None and done.kind == "failure":
        code = f" with exit code {done.exit_code}" if done.exit_code is not None else ""
        last = done.log.strip().splitlines()[-1:] if done.log else []
        said = f": {last[0][:200]}" if last else ""
        return State.CRITICAL, f"it failed{code} at {_shown(_moment(done))}{said}"
    due = last_due(job, zone, now)
    if due is not None and due >= watched_since and not (running and job.longest is not None):
        good = [_moment(one) for one in told if one.kind == "success"]
        if not any(one >= due - SOON for one in good):
            heard = f"it was last heard of at {_shown(max(good))}" if good else "it was never heard of"
            return State.CRITICAL, f"it was due at {_shown(due)} and did not come; {heard}"
    if running:
        return State.OK, "it runs"
    return State.OK, f"it was done at {_shown(_moment(done))}" if done is not None else "nothing is due yet"


def _moment(beat: Beat) -> datetime:
    return datetime.fromtimestamp(beat.at, UTC)


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
