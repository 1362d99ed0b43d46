"""A window begins, a fault comes: silence, recorded. The window ends with the fault still there: a page."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, Engine
from tests.unit.watch.planned_work import move, read, told, watch_of, write
from tests.unit.watch.test_windows import SUNDAY, WEEKLY

from opsbook.checks.evaluate import State
from opsbook.store import alerts
from opsbook.watch.alerts import take_in
from opsbook.watch.contract import Became, Signal, Watch
from opsbook.watch.incidents import respond
from opsbook.watch.silences import here
from opsbook.watch.windows import Windows

MINUTE = timedelta(minutes=1)
KEYS = {
    "windows": [WEEKLY], "escalation": [{"level": "L1", "notify": "ops"}], "severities": {"P1": {"means": "down"}},
    "incidents": {"severity": {"critical": "P1"}},
}  # fmt: skip


def is_down(watch: Watch, at: datetime) -> list[Became]:
    signal = Signal(
        "check:api-up", "check", at, State.CRITICAL, "API health", "refused", check="api-up", component="api"
    )

    def decide(connection: Connection) -> list[Became]:
        return [turn.became for turn in take_in(connection, watch.system, [signal], at, respond)]

    return list(write(watch, decide))


async def test_a_fault_is_silent_in_its_window_and_pages_when_it_is_over(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, SUNDAY, **KEYS)
    await Windows(watch).tick(SUNDAY)
    assert is_down(watch, move(watch, 30 * MINUTE)) == [Became.SILENCED]
    assert is_down(watch, move(watch, 30 * MINUTE)) == []
    (alert,) = read(watch, lambda connection: alerts.open_ones(connection, here(watch.system)))
    assert alert["silenced_by"], "it is recorded which silence hid it"
    assert not [subject for subject in told(watch) if "API health" in subject]
    await Windows(watch).tick(move(watch, 60 * MINUTE))
    assert is_down(watch, move(watch, MINUTE)) == [Became.HEARD]
    (page,) = [subject for subject in told(watch) if "API health" in subject]
    assert page.startswith("[P1] API health")
