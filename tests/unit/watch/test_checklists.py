"""Checklists: opened once when they are due, ticked by people, checks and runs, late when nobody did."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.unit.watch.planned_work import ANN, acts, move, read, watch_of, write

from opsbook.errors import Refused, UsageError
from opsbook.store import alerts, history
from opsbook.store import checklists as rows
from opsbook.store.checklists import Opened
from opsbook.store.tables import runs
from opsbook.store.watch_tables import incidents
from opsbook.watch import checklists
from opsbook.watch.checklists import Checklists, note, tick
from opsbook.watch.contract import Watch
from opsbook.watch.silences import here

MORNING = datetime(2026, 11, 23, 7, tzinfo=UTC)
"""08:00 in Berlin."""
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DAILY = {
    "daily": {
        "title": "Daily operations", "every": "0 8 * * *", "within": "2h", "assign": "ops",
        "items": [{"text": "API answers", "check": "api-up"}, {"text": "A backup ran", "procedure": "backup"},
                  "Logs were read", {"text": "Coffee", "optional": True}],
    }
}  # fmt: skip


async def at(watch: Watch, moment: datetime) -> list[Opened]:
    await Checklists(watch).tick(move(watch, moment))
    return list(read(watch, lambda connection: rows.since(connection, here(watch.system), 0.0)))


def measure(watch: Watch, moment: datetime, state: str) -> None:
    point = history.Point("api-up", moment.timestamp(), state, 1.0, "answers in 3 ms")
    write(watch, lambda connection: history.add(connection, "shop", "test", [point]))


def ran(watch: Watch, moment: datetime, state: str = "done") -> None:
    texts = {column.name: "" for column in runs.c if not column.nullable and not column.server_default}
    values: dict[str, Any] = texts | {
        "id": f"r{moment:%H%M%S}", "system": "shop", "environment": "test", "procedure": "backup", "state": state,
        "requested_at": moment.timestamp(), "ended_at": moment.timestamp() + 60,
    }  # fmt: skip
    write(watch, lambda connection: connection.execute(runs.insert().values(values)))


def warned(watch: Watch) -> list[str]:
    found = read(watch, lambda connection: alerts.open_ones(connection, here(watch.system)))
    return [f"{row['title']} {row['phase']}: {row['sentence']}" for row in found]


async def test_a_list_is_opened_once_when_it_is_due(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, MORNING, checklists=DAILY)
    for minutes in (0, 1, 30):
        found = await at(watch, MORNING + minutes * MINUTE)
    assert [(one.name, one.opened_at, one.due_at) for one in found] == [
        ("daily", MORNING.timestamp(), (MORNING + 2 * HOUR).timestamp())
    ]
    assert len(await at(watch, MORNING + timedelta(days=1))) == 2


async def test_no_list_is_due_for_a_time_before_anything_watched(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, MORNING, checklists=DAILY)
    assert await at(watch, MORNING + 3 * HOUR) == [] and warned(watch) == []
    (one,) = await at(watch, MORNING + timedelta(days=1, minutes=10))
    assert one.opened_at == (MORNING + timedelta(days=1)).timestamp()
    # What came due while the watch was down is still to be done.
    assert len(await at(watch, MORNING + timedelta(days=2, hours=5))) == 2


async def test_checks_runs_and_people_tick_what_is_theirs(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, MORNING, checklists=DAILY)
    measure(watch, MORNING - MINUTE, "ok")
    ran(watch, MORNING - MINUTE)
    (one,) = await at(watch, MORNING)
    assert one.ticked == 0, "what was before it was opened proves nothing"
    measure(watch, MORNING + MINUTE, "critical")
    ran(watch, MORNING + MINUTE, "failed")
    assert (await at(watch, MORNING + 2 * MINUTE))[0].ticked == 0
    measure(watch, MORNING + 3 * MINUTE, "ok")
    ran(watch, MORNING + 3 * MINUTE)
    (one,) = await at(watch, MORNING + 5 * MINUTE)
    assert [item.by for item in one.items] == ["check api-up", "run r070300", "", ""]
    write(watch, lambda connection: note(connection, watch.system, ANN, "daily", 3, "two 404s", MORNING + 6 * MINUTE))
    done = write(watch, lambda connection: tick(connection, watch.system, ANN, "daily", 3, "", MORNING + 6 * MINUTE))
    assert (done.done_at, done.items[2].note) == ((MORNING + 6 * MINUTE).timestamp(), "two 404s (ann)")
    assert acts(watch)[-3:] == ["checklist noted", "checklist ticked", "checklist done"]


async def test_a_list_that_is_late_is_a_warning_until_it_is_done(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, MORNING, checklists={"own": {**DAILY["daily"], "items": ["Logs were read"]}})
    await at(watch, MORNING)
    assert warned(watch) == []
    await at(watch, MORNING + 2 * HOUR)
    assert warned(watch) == ["Checklist: Daily operations firing: late; 1 line is not ticked: Logs were read"]
    write(watch, lambda connection: tick(connection, watch.system, ANN, "own", 1, "", MORNING + 3 * HOUR))
    await at(watch, MORNING + 3 * HOUR)
    assert warned(watch) == []


async def test_what_cannot_be_ticked_is_said(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, MORNING, checklists=DAILY, access={"viewer": ["eve"], "responder": ["ann"]})
    await at(watch, MORNING)

    def ticks(name: str, number: int, who: Any = ANN) -> None:
        write(watch, lambda connection: tick(connection, watch.system, who, name, number, "", MORNING))

    with pytest.raises(UsageError, match="no line 5"):
        ticks("daily", 5)
    with pytest.raises(UsageError, match="no open checklist 'weekly'"):
        ticks("weekly", 1)
    ticks("daily", 3)
    with pytest.raises(UsageError, match="ticked already, by ann"):
        ticks("daily", 3)
    with pytest.raises(Refused, match="needs the role responder"):
        ticks("daily", 1, ANN.__class__("eve", "a test"))


async def test_in_a_storm_lists_are_opened_some_at_a_time_and_each_once(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checklists, "AT_ONCE", 3)
    listed = {"first": {"on": "incident", "items": ["Say that you have it"]}}
    watch = watch_of(tmp_path, store, MORNING, checklists=listed)
    ids = [f"i{number}" for number in range(7)]
    for id in ids:
        one = {name: "" for name, column in incidents.c.items() if not column.nullable and not column.server_default}
        row = one | {"id": id, "system": "shop", "environment": "test", "state": "open", "opened_at": 1.0}
        write(watch, lambda connection, row=row: connection.execute(incidents.insert().values(row)))
    part = Checklists(watch)
    soon = [await part.tick(move(watch, MORNING)) == MORNING for _ in range(4)]
    assert soon == [True, True, False, False]
    opened = read(watch, lambda connection: rows.since(connection, here(watch.system), 0.0))
    assert sorted(one.subject for one in opened) == [f"incident:{id}" for id in ids]
    assert [event for event in acts(watch) if event == "checklist opened"] == ["checklist opened"] * 7
