"""The screen of the night: what it says, in which order, and that it fits."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from sqlalchemy import Engine
from tests.unit.watch.planned_work import ANN, NOW, move, watch_of, write

from opsbook.checks.evaluate import State
from opsbook.cli.status_view import print_status
from opsbook.cli.times import ago
from opsbook.engine.executor import interrupted
from opsbook.engine.owner_lock import OwnerLock
from opsbook.store import history, leases
from opsbook.store.tables import runs
from opsbook.watch.alerts import take_in
from opsbook.watch.contract import Signal, Watch
from opsbook.watch.incident_acts import acknowledge, find, open_by_hand
from opsbook.watch.incidents import respond
from opsbook.watch.silences import Wanted, make
from opsbook.watch.status import as_json, status
from opsbook.watch.window_acts import Wanted as Planned
from opsbook.watch.window_acts import open_now

KEYS: dict[str, Any] = {
    "severities": {"P1": {"means": "down", "respond": "15m", "resolve": "2h"}},
    "incidents": {"severity": {"critical": "P1"}},
    "contacts": {"ann": {"name": "Ann", "phone": "+49 30 1234"}},
    "oncall": {"primary": {"members": ["ann"], "start": "2026-11-02T09:00:00"}},
    "windows": [{"id": "weekly", "title": "Weekly upkeep", "rrule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", "lasts": "2h"}],
}


def down(watch: Watch, *causes: str) -> None:
    """The database is down, and what it explains."""
    base = Signal("check:db-up", "check", NOW, State.CRITICAL, "Database", "refused\x1b[2J", "down", "db-up", "db")
    signals = [replace(base, procedure="restart")]
    signals += [
        Signal(
            f"check:{name}", "check", NOW, State.CRITICAL, name, "503", check=name, component="api", cause="check:db-up"
        )
        for name in causes
    ]
    write(watch, lambda connection: take_in(connection, watch.system, signals, NOW, respond))


def test_every_incident_that_goes_on_is_counted_however_many_there_are(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **KEYS)
    for number in range(60):
        write(watch, lambda c, n=number: open_by_hand(c, watch.system, ANN, f"fault {n}", NOW))  # type: ignore[misc]
    assert "60 open" in shown(watch) and len(as_json(status(watch.setting, watch.system))["incidents"]) == 60


def shown(watch: Watch, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False)
    print_status(console, status(watch.setting, watch.system), {})
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def a_run(watch: Watch, state: str, id: str = "r1") -> None:
    """A run that began, whose process is gone: nobody holds the lock of the store."""
    texts = {column.name: "" for column in runs.c if not column.nullable and not column.server_default}
    values: dict[str, Any] = texts | {
        "id": id, "system": "shop", "environment": "test", "procedure": "tidy-up", "state": state, "requester": "ann",
        "requested_at": NOW.timestamp(), "started_at": NOW.timestamp() if state != "submitted" else None,
    }  # fmt: skip
    write(watch, lambda connection: connection.execute(runs.insert().values(values)))


def test_it_says_that_a_run_was_cut_off_and_how_to_go_on(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, NOW, **KEYS)
    a_run(watch, "submitted", "r0")
    found = status(watch.setting, watch.system)
    assert found.exit_code == 0 and "nobody executes it" in shown(watch)
    a_run(watch, "running")
    text = shown(watch)
    assert "cut off" in text and "tidy-up: running, interrupted" in text
    assert "its process is gone, and nobody goes on with it" in text and "→ opsbook runs follow r1" in text
    found = status(watch.setting, watch.system)
    assert found.exit_code == 1
    told = {one["id"]: one["interrupted"] for one in as_json(found)["going"]}
    assert told == {"r0": False, "r1": True}
    lock = OwnerLock(watch.setting.folder)
    assert lock.take()
    try:
        assert "cut off" not in shown(watch) and interrupted(watch.setting, found.going) == set()
    finally:
        lock.give_back()
    assert interrupted(watch.setting, found.going) == {"r1"}


def fresh(watch: Watch) -> None:
    point = history.Point("db-up", watch.setting.now(), "critical", 0.0, "refused")
    write(watch, lambda connection: history.add(connection, "shop", "test", [point]))


def test_it_says_where_nobody_watches_and_what_was_stored_last(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **KEYS)
    fresh(watch)
    move(watch, timedelta(hours=3))
    found = status(watch.setting, watch.system)
    assert (found.watched.lives, [one.watched for one in found.bad], found.exit_code) == (False, [False], 1)
    assert "NOT WATCHED: no `opsbook serve` runs here; newest result 3 h old" in shown(watch)


def test_one_cause_is_one_line_with_the_command_that_helps(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **KEYS)
    down(watch, "api-up")
    move(watch, timedelta(minutes=5))
    text = shown(watch)
    assert "explains 1 more: api-up" in text
    assert "→ opsbook run restart" in text
    assert "nobody has it" in text
    assert "\x1b" not in text
    assert "Ann, +49 30 1234" in text
    assert text.index("Database") < text.index("INCIDENTS") < text.index("Weekly upkeep") < text.index("PEOPLE")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits_a_narrow_terminal(tmp_path: Path, store: Engine, width: int) -> None:
    watch = watch_of(tmp_path, store, **KEYS)
    down(watch, *(f"check-with-a-rather-long-name-{n}" for n in range(5)), "データベースの接続が切れました。" * 4)
    assert [line for line in shown(watch, width).splitlines() if cell_len(line) > width] == []


def test_somebody_who_has_it_quiets_the_exit_code_only_with_what_fires(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **KEYS)
    assert status(watch.setting, watch.system).exit_code == 0
    down(watch)
    write(watch, lambda connection: acknowledge(connection, watch.system, find(connection, watch.system, ""), ANN, NOW))
    found = status(watch.setting, watch.system)
    assert (found.bad[0].who, found.exit_code) == ("ann", 1)
    wanted = Wanted(("db-up",), (), "we know", NOW + timedelta(hours=1))
    write(watch, lambda connection: make(connection, watch.system, ANN, wanted, NOW))
    silenced = status(watch.setting, watch.system)
    assert (bool(silenced.bad[0].silence), silenced.exit_code) == (True, 0)
    assert as_json(silenced)["bad"][0]["suggestion"] == "opsbook run restart"


def test_a_fault_that_two_see_is_one_line(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **KEYS)
    down(watch)
    seen = Signal("prom:1", "alertmanager", NOW, State.CRITICAL, "Database", "down", check="db-up", component="db")
    write(watch, lambda connection: take_in(connection, watch.system, [seen], NOW, respond))
    text = shown(watch)
    assert ("LAST SEEN BAD  1" in text, "alertmanager says so too" in text) == (True, True)


def test_it_names_what_a_window_hides(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, **KEYS)
    down(watch)
    wanted = Planned("patch", timedelta(hours=1), "patches", ("db",))
    write(watch, lambda connection: open_now(connection, watch.system, ANN, wanted, NOW))
    text = shown(watch)
    assert "1 silenced" in text
    assert "hides Database (critical)" in text


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_600, "1 h"),
        (11_100, "3 h 5 min"),
        (90_000, "1 d 1 h"),
        (864_000, "10 d"),
    ],
)
def test_lengths_are_short(seconds: float, told: str) -> None:
    assert ago(seconds) == told


def test_what_is_not_measured_is_no_good_news(tmp_path: Path, store: Engine) -> None:
    checks = [
        {"id": id, "observe": "postgres.database_size", "of": of, "interval": "1m", "warning": "> 1GB"}
        for id, of in (("fresh", "db"), ("old", "db"), ("never", "db"), ("slow", "db2"))
    ]
    parts = {name: {"kind": "postgres", "dsn": "postgresql://localhost/none"} for name in ("db", "db2")}
    watch = watch_of(tmp_path, store, **{**KEYS, "checks": checks, "components": parts})
    now = watch.setting.now()
    points = [("fresh", now - 30, "ok"), ("old", now - 3600, "ok"), ("slow", now - 240, "unknown")]
    found = [history.Point(id, at, state, None, "no answer within 10 s") for id, at, state in points]
    write(watch, lambda connection: history.add(connection, "shop", "test", found))
    name = "watch/{system}/{environment}".format(**watch.where)
    write(watch, lambda connection: leases.take(connection, name, "somebody", now, 60))
    told = as_json(status(watch.setting, watch.system))
    assert (told["not_measured"], told["slow"]) == (["old", "never"], ["db2"])
    text = shown(watch)
    assert "nothing fires, 2 not measured" in text
    assert "no result lately: old, never" in text
    assert "does not answer in time, and is asked less often: db2" in text
