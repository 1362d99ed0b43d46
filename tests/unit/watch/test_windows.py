"""Maintenance windows on a clock that the test moves: announced, opened, closed, dropped, overrun."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from tests.unit.watch.planned_work import ANN, NOW, acts, move, read, told, watch_of, write

from opsbook.book.planned import Window
from opsbook.engine.open_windows import windows_open
from opsbook.engine.windows import occurrences, open_windows
from opsbook.errors import Refused, UsageError
from opsbook.store import silences
from opsbook.store import windows as rows
from opsbook.watch import checklists, window_work
from opsbook.watch.contract import Watch
from opsbook.watch.silences import here
from opsbook.watch.window_acts import Wanted, extend, finish, open_now
from opsbook.watch.window_work import Progress
from opsbook.watch.windows import Windows

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SUNDAY = datetime(2026, 11, 22, 1, tzinfo=UTC)
"""02:00 in Berlin."""
WEEKLY = {
    "id": "weekly", "title": "Weekly upkeep", "rrule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", "lasts": "2h", "notice": "3d",
    "notify": ["ops"], "components": ["api"],
}  # fmt: skip
SUNDAYS = {"rrule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=2", "lasts": "2h"}
MONTHLY = {"rrule": "FREQ=MONTHLY;BYDAY=1SU;BYHOUR=2", "lasts": "4h"}
LEAP_DAY = {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "lasts": "1d"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(**keys: Any) -> Window:
    return Window.model_validate({"id": "w", **keys})


@pytest.mark.parametrize(
    ("keys", "zone", "begin", "expected"),
    [
        (SUNDAYS, "UTC", "2026-11-22", "2026-11-22T02:00 2026-11-22T04:00"),
        # 02:00 is left out when summer time begins: it counts as 03:00, and two hours stay two hours.
        (SUNDAYS, "Europe/Berlin", "2026-03-29", "2026-03-29T01:00 2026-03-29T03:00"),
        (SUNDAYS, "Europe/Berlin", "2026-10-25", "2026-10-25T00:00 2026-10-25T02:00"),
        (MONTHLY, "America/Mexico_City", "2026-12-06", "2026-12-06T08:00 2026-12-06T12:00"),
        (LEAP_DAY, "UTC", "2028-02-29", "2028-02-29T00:00 2028-03-01T00:00"),
        ({"rrule": "DTSTART;TZID=Europe/Berlin:20260104T020000\nRRULE:FREQ=WEEKLY;BYDAY=SU", "lasts": "2h"}, "UTC",
         "2026-07-05", "2026-07-05T00:00 2026-07-05T02:00"),
        ({"rrule": "DTSTART:20260104T020000Z\nRRULE:FREQ=WEEKLY", "lasts": "2h"}, "Europe/Berlin", "2026-07-05",
         "2026-07-05T02:00 2026-07-05T04:00"),
        ({"at": "2026-12-01T22:00:00", "lasts": "3h"}, "Europe/Berlin", "2026-12-01",
         "2026-12-01T21:00 2026-12-02T00:00"),
        ({"at": "2026-12-01T22:00:00+02:00", "lasts": "3h"}, "UTC", "2026-12-01", "2026-12-01T20:00 2026-12-01T23:00"),
    ],
)  # fmt: skip
def test_a_window_comes_by_its_own_clock(keys: dict[str, str], zone: str, begin: str, expected: str) -> None:
    found = occurrences(window(**keys), zone, at(begin), at(begin) + timedelta(days=1))
    assert [f"{one.start:%Y-%m-%dT%H:%M} {one.until:%Y-%m-%dT%H:%M}" for one in found] == [expected]


moments = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
rules = st.sampled_from(
    ["FREQ=DAILY;BYHOUR=2;BYMINUTE=30", "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU;BYHOUR=1", "FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=3"]
)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/Mexico_City", "Australia/Lord_Howe"])


@given(moments, rules, zones, st.integers(5, 60 * 30))
def test_a_window_is_open_exactly_within_its_occurrences(moment: datetime, rule: str, zone: str, minutes: int) -> None:
    one = window(rrule=rule, lasts=f"{minutes}m")
    around = occurrences(one, zone, moment - timedelta(days=3), moment + timedelta(days=3))
    assert bool(open_windows([one], "e", [], zone, moment)) == any(each.holds(moment) for each in around)
    assert around == sorted(set(around))
    assert all(each.until - each.start == timedelta(minutes=minutes) for each in around)


def states(watch: Watch) -> list[str]:
    return [one.state for one in read(watch, lambda connection: rows.came(connection, here(watch.system), since=0))]


def silent(watch: Watch, component: str) -> bool:
    moment = watch.setting.clock.now().timestamp()
    return bool(
        read(watch, lambda connection: silences.covering(connection, here(watch.system), "", component, moment))
    )


async def tick(watch: Watch, to: datetime) -> None:
    await Windows(watch).tick(move(watch, to))


async def test_a_window_is_announced_begun_silenced_and_over(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, windows=[WEEKLY])
    for _ in range(2):
        await tick(watch, NOW)
    assert (states(watch), silent(watch, "api")) == (["noticed"], False)
    for moment in (SUNDAY, SUNDAY + MINUTE):
        await tick(watch, moment)
    assert (states(watch), silent(watch, "api"), silent(watch, "db")) == (["open"], True, False)
    assert windows_open(store, watch.system, ["api"], SUNDAY) == ("weekly",)
    await tick(watch, SUNDAY + 2 * HOUR)
    assert (states(watch), silent(watch, "api")) == (["closed"], False)
    assert told(watch) == [
        "[maintenance] shop: Weekly upkeep is planned",
        "[maintenance] shop: Weekly upkeep has begun",
        "[maintenance] shop: Weekly upkeep is over",
    ]
    assert acts(watch) == ["window announced", "silence made", "window opened", "window closed"]


async def test_a_watch_that_was_away_begins_late_and_does_not_begin_what_is_over(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, SUNDAY + HOUR, windows=[WEEKLY])
    await tick(watch, SUNDAY + HOUR)
    assert states(watch) == ["open"]
    other = watch_of(tmp_path, store, NOW, system="other", windows=[WEEKLY])
    await tick(other, NOW)
    await tick(other, SUNDAY + 3 * HOUR)
    assert told(other)[-1] == "[maintenance] other: Weekly upkeep does not take place"


async def test_a_window_that_the_book_plans_no_more_is_taken_back(tmp_path: Path, store: Engine) -> None:
    await tick(watch_of(tmp_path, store, windows=[WEEKLY]), NOW)
    watch = watch_of(tmp_path, store, windows=[{**WEEKLY, "rrule": "FREQ=WEEKLY;BYDAY=SU;BYHOUR=4"}])
    await tick(watch, NOW)
    assert states(watch) == ["closed", "noticed"]
    assert "[maintenance] shop: Weekly upkeep does not take place" in told(watch)


async def test_a_window_closes_when_its_checklist_is_done_and_overruns_when_it_is_not(
    tmp_path: Path, store: Engine
) -> None:
    keys = {
        "windows": [{**WEEKLY, "checklist": "upkeep"}],
        "checklists": {"upkeep": {"items": ["Logs were rotated", {"text": "Coffee", "optional": True}]}},
    }
    watch = watch_of(tmp_path, store, SUNDAY, **keys)
    await tick(watch, SUNDAY)
    await tick(watch, SUNDAY + 2 * HOUR)
    assert (states(watch), silent(watch, "api")) == (["closed"], False)
    quick = watch_of(tmp_path, store, SUNDAY, system="quick", **keys)
    await tick(quick, SUNDAY)
    write(quick, lambda connection: checklists.tick(connection, quick.system, ANN, "upkeep", 1, "", SUNDAY + MINUTE))
    await tick(quick, SUNDAY + 2 * MINUTE)
    assert (states(quick), silent(quick, "api")) == (["closed"], False)


async def test_no_procedure_begins_before_the_list_for_it_is_ticked(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "procedures").mkdir()
    (tmp_path / "procedures" / "work.md").write_text("---\ntitle: Work\nrisk: safe\n---\n1. - [ ] It is done.\n")
    watch = watch_of(
        tmp_path, store, SUNDAY - MINUTE,
        windows=[{**WEEKLY, "notice": None, "before": "ready", "procedures": ["work"]}],
        checklists={"ready": {"items": ["A backup of today is there", {"text": "Coffee", "optional": True}]}},
    )  # fmt: skip
    asked: list[datetime] = []

    async def submitted(_: Watch, name: str, __: str) -> Progress:
        asked.append(watch.setting.clock.now())
        return Progress(waits=f"{name} running")

    monkeypatch.setattr(window_work, "_submit", submitted)
    for to in (SUNDAY, SUNDAY + HOUR):
        await tick(watch, to)
    (row,) = read(watch, lambda connection: rows.came(connection, here(watch.system), since=0.0))
    assert (asked, row.state) == ([], "open")
    assert row.note == "work waits: the checklist ready has 1 line that is not ticked"
    write(watch, lambda connection: checklists.tick(connection, watch.system, ANN, "ready", 1, "", SUNDAY + HOUR))
    await tick(watch, SUNDAY + HOUR + MINUTE)
    assert asked == [SUNDAY + HOUR + MINUTE]
    late = watch_of(
        tmp_path, store, SUNDAY, system="late", checklists={"ready": {"items": ["A backup of today is there"]}},
        windows=[{**WEEKLY, "before": "ready", "procedures": ["work"]}],
    )  # fmt: skip
    for to in (SUNDAY, SUNDAY + HOUR, SUNDAY + 2 * HOUR):
        await tick(late, to)
    (row,) = read(late, lambda connection: rows.came(connection, here(late.system), since=0.0))
    assert row.state == "closed" and len(asked) == 1
    assert "work did not begin before its window was over (work waits: the checklist ready" in row.note


async def test_a_window_is_not_over_because_the_list_before_it_is_ticked(tmp_path: Path, store: Engine) -> None:
    keys = {"windows": [{**WEEKLY, "before": "ready"}], "checklists": {"ready": {"items": ["Users know"]}}}
    watch = watch_of(tmp_path, store, SUNDAY, **keys)
    await tick(watch, SUNDAY)
    write(watch, lambda connection: checklists.tick(connection, watch.system, ANN, "ready", 1, "", SUNDAY + MINUTE))
    await tick(watch, SUNDAY + 2 * MINUTE)
    assert states(watch) == ["open"]
    await tick(watch, SUNDAY + 2 * HOUR)
    assert states(watch) == ["closed"]


async def test_people_open_move_and_close_windows_that_policies_take_for_leave(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store)
    system = watch.system
    wanted = Wanted("hotfix", HOUR, "patch of the day", ("db",))
    write(watch, lambda connection: open_now(connection, system, ANN, wanted, NOW))
    assert windows_open(store, system, ["db"], NOW) == ("hotfix",)
    assert windows_open(store, system, ["db", "api"], NOW) == ()
    assert (silent(watch, "db"), silent(watch, "api")) == (True, False)
    with pytest.raises(UsageError, match="open already"):
        write(watch, lambda connection: open_now(connection, system, ANN, wanted, NOW))
    write(watch, lambda connection: extend(connection, system, ANN, "", HOUR, NOW))
    move(watch, 90 * MINUTE)
    assert silent(watch, "db")
    assert windows_open(store, system, ["db"], NOW + 90 * MINUTE) == ("hotfix",)
    write(watch, lambda connection: finish(connection, system, ANN, "hotfix", NOW + 90 * MINUTE))
    assert not silent(watch, "db")
    assert windows_open(store, system, ["db"], NOW + 90 * MINUTE) == ()


async def test_a_window_of_the_book_that_was_closed_early_allows_nothing_more(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, SUNDAY, windows=[WEEKLY])
    assert windows_open(store, watch.system, ["api"], SUNDAY) == ("weekly",)
    await tick(watch, SUNDAY)
    write(watch, lambda connection: finish(connection, watch.system, ANN, "weekly", SUNDAY + MINUTE))
    await tick(watch, SUNDAY + 2 * MINUTE)
    assert states(watch) == ["closed"]
    assert windows_open(store, watch.system, ["api"], SUNDAY + 2 * MINUTE) == ()


def test_a_responder_opens_no_window(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, access={"responder": ["ann"], "admin": ["cleo"]})
    with pytest.raises(Refused, match="needs the role operator"):
        write(watch, lambda connection: open_now(connection, watch.system, ANN, Wanted("x", HOUR, "why"), NOW))


@pytest.mark.parametrize("name", ["\x1b[31mevil", "../etc", "", "Two words"])
def test_a_window_is_named_as_those_of_the_book_are(tmp_path: Path, store: Engine, name: str) -> None:
    watch = watch_of(tmp_path, store)
    with pytest.raises(UsageError, match="a window is named with"):
        write(watch, lambda connection: open_now(connection, watch.system, ANN, Wanted(name, HOUR, "why"), NOW))


def test_a_window_may_be_named_after_a_ticket_but_not_almost_as_one_of_the_book(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, windows=[WEEKLY])
    write(watch, lambda connection: open_now(connection, watch.system, ANN, Wanted("DB-2024", HOUR, "why"), NOW))
    assert windows_open(store, watch.system, ["db"], NOW) == ("DB-2024",)
    with pytest.raises(UsageError, match="one much like it") as caught:
        write(watch, lambda connection: open_now(connection, watch.system, ANN, Wanted("Weekly", HOUR, "why"), NOW))
    assert caught.value.hint == "write 'weekly'"


async def test_a_system_that_is_still_in_maintenance_is_heard_again_after_the_window(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opsbook.watch.window_work.entered", lambda *_: True)
    monkeypatch.setattr("opsbook.watch.windows.entered", lambda *_: True)
    keys = {"windows": [WEEKLY], "maintenance": {"longest": "1h", "notify": ["ops"]}}
    watch = watch_of(tmp_path, store, SUNDAY, **keys)
    for hours in (0, 2, 2.5, 3.1):
        await tick(watch, SUNDAY + hours * HOUR)
    assert (states(watch), silent(watch, "api")) == (["overrun"], False)
    assert [one for one in told(watch) if "does it go on?" in one] == [
        "[maintenance] shop: Weekly upkeep: does it go on?"
    ] * 2


async def test_work_that_could_not_begin_in_its_window_does_not_begin_after_it(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "procedures").mkdir()
    (tmp_path / "procedures" / "work.md").write_text("---\ntitle: Work\nrisk: safe\n---\n1. - [ ] It is done.\n")
    planned = {"id": "weekly", "title": "Upkeep", "procedures": ["work"], **SUNDAYS}
    path = [{"level": "L1", "notify": "ops"}]
    watch = watch_of(tmp_path, store, SUNDAY - MINUTE, windows=[planned], escalation=path)
    asked: list[datetime] = []

    async def unreachable(_: Watch, name: str, __: str) -> window_work.Progress:
        asked.append(watch.setting.clock.now())
        return window_work.Progress(trouble=f"{name} could not be planned: no answer", key=f"planned/{name}")

    monkeypatch.setattr(window_work, "_submit", unreachable)
    for to in (SUNDAY, SUNDAY + HOUR, SUNDAY + 2 * HOUR, SUNDAY + 8 * HOUR):
        await Windows(watch).tick(move(watch, to))
    assert asked == [SUNDAY, SUNDAY + HOUR]
    (row,) = read(watch, lambda c: rows.came(c, here(watch.system), since=0.0))
    assert row.state == "closed" and row.note == (
        "work did not begin before its window was over (work could not be planned: no answer)"
    )
    # The book names nobody for windows: the first that a fault would call is asked.
    assert "[maintenance] shop: Upkeep: work could not be planned: no answer" in told(watch)


async def test_a_window_whose_servers_hang_holds_no_other(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung, looked = asyncio.Event(), list[str]()

    async def advance(_watch: Watch, row: rows.Came, _now: datetime) -> Progress:
        looked.append(row.window)
        if row.window == "slow":
            await hung.wait()
        return Progress(done=True)

    monkeypatch.setattr("opsbook.watch.windows.advance", advance)
    monkeypatch.setattr("opsbook.watch.windows.PATIENCE", 0.01)
    both = [{**WEEKLY, "id": name, "notice": None} for name in ("slow", "quick")]
    watch = watch_of(tmp_path, store, SUNDAY, windows=both)
    part = Windows(watch)

    def states() -> dict[str, str]:
        came = read(watch, lambda connection: rows.came(connection, here(watch.system), since=0.0))
        return {one.window: one.state for one in came}

    async with asyncio.timeout(60):
        while states().get("quick") != "closed":
            await part.tick(move(watch, SUNDAY + MINUTE))
        assert states()["slow"] == "open" and looked.count("slow") == 1
        hung.set()
        while states()["slow"] != "closed":
            await part.tick(move(watch, SUNDAY + 2 * MINUTE))
    await part.close()


async def test_a_look_that_takes_too_long_is_given_up_and_begun_anew(
    tmp_path: Path, store: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def advance(*_: object) -> Progress:
        await asyncio.Event().wait()
        return Progress()

    monkeypatch.setattr("opsbook.watch.windows.advance", advance)
    monkeypatch.setattr("opsbook.watch.windows.LONGEST", 0.01)
    watch = watch_of(tmp_path, store, SUNDAY, windows=[{**WEEKLY, "notice": None}])
    part = Windows(watch)
    await part.tick(move(watch, SUNDAY + MINUTE))
    (one,) = read(watch, lambda connection: rows.came(connection, here(watch.system), since=0.0))
    assert (one.state, one.note) == ("open", "its work was not seen within 0.01 s; it is looked at again")
    await part.close()
