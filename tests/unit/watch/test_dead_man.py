"""The beat that goes out, and jobs that are seen by what they leave behind."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.unit.watch.watched import START, HandClock, a_watch

from opsbook.book.checks import Check
from opsbook.book.planned import Job
from opsbook.checks.evaluate import Result, State
from opsbook.observations.registry import observations
from opsbook.watch import beats
from opsbook.watch.beats import FAILS, DeadMan
from opsbook.watch.observed_jobs import judge

SECRET = "http://127.0.0.1:1/uuid-that-is-secret"


async def test_a_beat_that_is_lost_once_is_nothing_and_three_are_told_without_the_address(
    store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    watch = a_watch(tmp_path, store, clock, dead_man={"ping": SECRET, "every": "1m"})
    told: list[Any] = []

    async def tell(_: object, signals: list[Any]) -> None:
        told.extend(signals)

    monkeypatch.setattr(beats, "tell", tell)
    part = DeadMan(watch)
    due = await part.tick(clock.now())
    assert due == START + timedelta(minutes=1)
    assert await part.tick(clock.move(seconds=10)) == due
    for _ in range(FAILS - 1):
        assert told == []
        await part.tick(clock.move(minutes=1))
    assert [one.state for one in told] == [State.WARNING]
    assert "secret" not in str(told)

    async def arrives() -> str:
        return ""

    monkeypatch.setattr(part, "_ping", arrives)
    await part.tick(clock.move(minutes=1))
    await part.tick(clock.move(minutes=1))
    assert [one.state for one in told] == [State.WARNING, State.OK]


@pytest.mark.parametrize(
    ("observe", "value", "state", "said"),
    [
        ("files.newest_age", 3600.0, "ok", "it ran 1 h ago"),
        ("files.newest_age", 90_000.0, "critical", "it was due at 2026-01-05 01:00 UTC; the last sign of it is of"),
        ("files.count", 5.0, "warning", "as the thresholds say"),
    ],
)
def test_a_job_is_late_by_the_age_of_what_it_left(observe: str, value: float, state: str, said: str) -> None:
    job = Job.model_validate({"id": "export", "of": "files", "schedule": "0 1 * * *", "observe": observe})
    check = Check.model_validate({"id": "job-export", "observe": observe, "of": "files"})
    spec = observations()[observe].spec
    found = Result(check, spec, State.WARNING, value, "as the thresholds say", START)
    assert judge(job, found, "UTC", START)[0] == state
    assert said in judge(job, found, "UTC", START)[1]
