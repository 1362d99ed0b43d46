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
from opsbook.store import beats as rows
from opsbook.store.database import writing
from opsbook.watch import beats
from opsbook.watch.beats import FAILS, DeadMan
from opsbook.watch.contract import Standing
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


async def test_no_beat_goes_out_while_nobody_would_be_told_of_a_fault(
    store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandClock()
    watch = a_watch(tmp_path, store, clock, dead_man={"ping": SECRET, "every": "1m"})
    part, sent = DeadMan(watch), []

    async def ping() -> str:
        sent.append(clock.now())
        return ""

    monkeypatch.setattr(part, "_ping", ping)
    checks = watch.standings["checks"] = Standing("checks", ticked_at=clock.now())
    await part.tick(clock.now())
    checks.failed, checks.error = beats.FAILS_OF_A_PART, "the store is gone"
    await part.tick(clock.move(minutes=1))
    assert len(sent) == 1
    checks.failed = 0
    await part.tick(clock.move(minutes=1))
    assert len(sent) == 2
    await part.tick(clock.move(minutes=10))
    assert len(sent) == 2, "a part that hangs tells nobody anything either"


def test_logs_of_old_beats_are_not_kept(store: Engine, tmp_path: Path) -> None:
    watch = a_watch(tmp_path, store, HandClock())
    with writing(store) as connection:
        for number in range(rows.LOGS_KEPT + 2):
            beats.record_beat(connection, watch.where, "nightly", "success", 0, f"log {number}", START)
        found = rows.latest(connection, watch.where, "nightly", 1000)
    assert [one.log for one in found[-3:]] == ["log 2", "", ""]
    assert found[0].log == f"log {rows.LOGS_KEPT + 1}"
