"""What the store forgets, and what it never does."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from tests.unit.watch.on_call import ANA, WHERE, Desk

from opsbook.store import actions, audit, beats, checklists, evidence, incidents, silences, windows
from opsbook.store import watch_tables as tables
from opsbook.store.beats import Beat
from opsbook.store.checklists import Item, Opened
from opsbook.store.evidence import Evidence
from opsbook.store.history import Point, add, history
from opsbook.store.silences import Silence
from opsbook.store.windows import Came
from opsbook.watch import housekeeping
from opsbook.watch import incident_acts as acts
from opsbook.watch.housekeeping import Housekeeping


@pytest.fixture
def desk(tmp_path: Path, store: Engine) -> Desk:
    return Desk(tmp_path, store)


def count(desk: Desk, table: str) -> int:
    query = select(func.count()).select_from(tables.metadata.tables[table])
    return int(desk.read(lambda connection: connection.execute(query).scalar()) or 0)


def closed(desk: Desk, name: str) -> str:
    """An incident that was resolved, with evidence; its id."""
    desk.hears((name, "critical"))
    (one,) = desk.read(lambda connection: incidents.open_ones(connection, WHERE))
    kept = Evidence(one.id, "database.facts", desk.now.timestamp(), "full", "sum")
    desk.write(lambda connection: evidence.keep(connection, kept))
    desk.write(lambda connection: acts.resolve(connection, desk.system, one, ANA, "mended", desk.now))
    desk.hears((name, "ok"))
    desk.clock.move(seconds=10)
    desk.hears((name, "ok"))
    desk.clock.move(days=1)
    return one.id


async def test_an_incident_goes_with_all_that_is_its_own_but_not_while_something_is_to_do(desk: Desk) -> None:
    old, owed, going = closed(desk, "check:a"), closed(desk, "check:b"), ""
    first = desk.read(lambda connection: incidents.of_id(connection, owed))
    assert first is not None
    desk.write(lambda c: acts.add_action(c, desk.system, first, ANA, "limit the pool", "bob", None, desk.now))
    desk.hears(("check:c", "critical"))
    (still,) = desk.read(lambda connection: incidents.open_ones(connection, WHERE))
    going = still.id
    desk.write(lambda c: evidence.keep(c, Evidence(going, "x", desk.now.timestamp(), "full", "sum")))
    before = count(desk, "incident_events")

    await Housekeeping(desk.watch).tick(desk.clock.move(days=100))
    assert {one.id for one in desk.incidents} == {old, owed, going}
    gathered = {id: desk.read(lambda c, id=id: evidence.of_incident(c, id)) for id in (old, owed, going)}
    assert [bool(gathered[id]) for id in (old, owed, going)] == [False, True, True]
    lines = desk.read(lambda connection: incidents.timeline(connection, old))
    assert lines[-1].text == "what was gathered was kept for 90 d, and is dropped"
    assert count(desk, "incident_events") == before + 1

    await Housekeeping(desk.watch).tick(desk.clock.move(days=700))
    assert {one.id for one in desk.incidents} == {owed, going}
    for table in ("incident_events", "alerts", "messages"):
        column = tables.metadata.tables[table].c.incident
        left = desk.read(lambda c, column=column: set(c.execute(select(column)).scalars()))
        assert old not in left and going in left, table
    acted = [one.act for one in audit.records(desk.watch.setting.store)]
    told = {one.event: one.detail for one in acted}
    assert old in str(told["evidence forgotten"]) and old in str(told["incidents forgotten"])
    assert owed not in str(told["incidents forgotten"])

    desk.write(lambda connection: actions.end(connection, 1, "ana", desk.now.timestamp()))
    await Housekeeping(desk.watch).tick(desk.clock.move(hours=2))
    assert {one.id for one in desk.incidents} == {going}
    assert count(desk, "actions") == 0


async def test_many_go_a_few_at_a_time_and_soon_after_one_another(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abcde":
        closed(desk, f"check:{name}")
    monkeypatch.setattr(housekeeping, "INCIDENTS", 2)
    monkeypatch.setattr(housekeeping, "TURNS", 1)
    keeping = Housekeeping(desk.watch)
    left, now = [], desk.clock.move(days=740)
    for _ in range(4):
        now = await keeping.tick(now)
        left.append(len(desk.incidents))
    assert left == [3, 1, 0, 0]
    assert now - desk.clock.at == 2 * housekeeping.SOON + 2 * housekeeping.EVERY


async def test_what_is_over_goes_and_what_holds_stays(desk: Desk) -> None:
    start, where = desk.now.timestamp(), desk.watch.where
    ago = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    kept = [
        Silence("old", ("a",), (), "", "ana", "cli", ago, ago + 60),
        Silence("ended, and would begin anew", ("a",), (), "", "ana", "book:a", ago, start * 2, ended_at=ago + 60),
    ]
    listed = [
        Opened(name, name, "daily", "", (Item("look"),), subject, "", ago, None, done)
        for name, subject, done in (("old", "", ago), ("not done", "", None), ("its", "incident:i9", ago))
    ]

    def write(connection: object) -> None:
        for one in kept:
            silences.add(connection, where, one)  # type: ignore[arg-type]
        checklists.add_all(connection, where, listed)  # type: ignore[arg-type]
        for number in range(60):
            beats.add(connection, where, Beat("import", 0, ago + number, "success", "", ""))  # type: ignore[arg-type]

    desk.write(write)
    for number, state in enumerate(("closed", "noticed", "overrun")):
        desk.write(lambda c, n=number, s=state: windows.add(c, where, Came("w", ago + n, ago + 60, s)))  # type: ignore[misc]
    desk.write(lambda c: windows.add(c, where, Came("w", ago + 9, ago + 60, "closed", closed_at=start)))
    await Housekeeping(desk.watch).tick(desk.now)
    left = desk.read(lambda c: sorted(c.execute(select(tables.occurrences.c.start)).scalars()))
    assert left == [ago + 2, ago + 9]
    assert desk.read(lambda c: [one.id for one in silences.since(c, where, 0)]) == [kept[1].id]
    assert desk.read(lambda c: sorted(one.id for one in checklists.since(c, where, 0))) == ["its", "not done"]
    assert desk.read(lambda c: [one.number for one in beats.latest(c, where, "import", 99)]) == list(range(60, 10, -1))


async def test_results_that_no_figure_was_made_of_are_not_dropped(desk: Desk) -> None:
    point = Point("db-up", desk.now.timestamp(), "ok", 1.0, "")
    desk.write(lambda connection: add(connection, "shop", "production", [point]))
    await Housekeeping(desk.watch).tick(desk.clock.move(days=30))
    assert len(history(desk.watch.setting.store, "shop", "production", "db-up")) == 1
