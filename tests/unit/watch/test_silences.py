"""Silences: what they cover, that they end, and that nobody silences everything or for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from tests.unit.watch.planned_work import ANN, NOW, acts, move, read, told, watch_of, write

from opsbook.engine.compile import compile_procedure
from opsbook.engine.journal import as_text
from opsbook.engine.record import as_json
from opsbook.errors import Refused, UsageError
from opsbook.store import silences as store
from opsbook.store.silences import EVERYTHING, Covering, Silence
from opsbook.store.tables import runs, steps
from opsbook.store.windows import Came
from opsbook.watch.contract import Watch
from opsbook.watch.silences import Silences, Wanted, finish, here, make
from opsbook.watch.window_work import entered

HOUR = timedelta(hours=1)
KNOWN = {"id": "known", "checks": ["api-up"], "until": "2026-11-21T20:00:00", "reason": "is replaced tonight"}


def one(name: str, until: float, checks: tuple[str, ...] = (), components: tuple[str, ...] = ()) -> Silence:
    return Silence(name, checks, components, "because", "ann", "cli", 0.0, until)


names = st.sampled_from(["api-up", "db-up", "api", "db", ""])
silences_made = st.lists(
    st.builds(
        one, st.uuids().map(str), st.floats(1, 100), st.lists(names.filter(bool), max_size=2).map(tuple),
        st.lists(names.filter(bool) | st.just(EVERYTHING), max_size=2).map(tuple),
    ),
    max_size=6,
)  # fmt: skip


@given(silences_made, names, names)
def test_many_alerts_are_answered_as_one_is(made: list[Silence], check: str, component: str) -> None:
    found = Covering(made).of(check, component)
    covers = [each for each in made if each.covers(check, component)]
    assert bool(found) == bool(covers)
    assert not covers or next(each for each in covers if each.id == found).until == max(each.until for each in covers)


def test_names_cover_what_they_name_and_nothing_else() -> None:
    assert Covering([one("s", 10, ("api-up", "db-up"))]).of("api-up", "api") == "s"
    assert Covering([one("s", 10, ("api-up",))]).of("", "api") == ""
    assert Covering([one("s", 10, (), (EVERYTHING,))]).of("", "") == "s"


def test_a_silence_of_a_person_covers_until_it_ends_and_is_recorded(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store)
    wanted = Wanted(("daily",), (), "switch of the uplink", NOW + HOUR)
    made = write(watch, lambda connection: make(connection, watch.system, ANN, wanted, NOW))
    assert made.checks == ("api-up", "db-up")

    def covered(at: datetime) -> str:
        where, moment = here(watch.system), at.timestamp()
        return read(watch, lambda connection: store_covering(connection, where, moment))

    assert covered(NOW) == made.id
    assert covered(NOW + HOUR - timedelta(seconds=1)) == made.id
    assert covered(NOW + HOUR) == ""
    write(watch, lambda connection: finish(connection, watch.system, ANN, made.id[-4:], NOW + HOUR / 2))
    assert covered(NOW + HOUR / 2) == ""
    assert acts(watch) == ["silence made", "silence ended"]
    with pytest.raises(UsageError, match="is over"):
        write(watch, lambda connection: finish(connection, watch.system, ANN, made.id, NOW + HOUR / 2))


def store_covering(connection: Any, where: dict[str, str], moment: float) -> str:
    return store.covering(connection, where, "api-up", "api", moment)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted((), (), "x", NOW + HOUR), "never covers everything"),
        (Wanted(("api-upp",), (), "x", NOW + HOUR), "no check or group named 'api-upp'"),
        (Wanted((), ("cache",), "x", NOW + HOUR), "no component named 'cache'"),
        (Wanted(("api-up",), (), " ", NOW + HOUR), "has a reason"),
        (Wanted(("api-up",), (), "x", NOW), "over before it begins"),
        (Wanted(("api-up",), (), "x", NOW + timedelta(days=31)), "at most"),
        (Wanted(("api-up",), (), "x", NOW + HOUR, run="none"), "no run 'none'"),
    ],
)
def test_what_no_silence_may_be_is_said(tmp_path: Path, store: Engine, wanted: Wanted, words: str) -> None:
    watch = watch_of(tmp_path, store)
    with pytest.raises(UsageError, match=words):
        write(watch, lambda connection: make(connection, watch.system, ANN, wanted, NOW))


def test_who_only_looks_silences_nothing(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, access={"viewer": ["ann"], "admin": ["cleo"]})
    with pytest.raises(Refused, match="needs the role responder"):
        write(
            watch, lambda connection: make(connection, watch.system, ANN, Wanted(("api-up",), (), "x", NOW + HOUR), NOW)
        )


async def test_the_books_silences_come_change_and_go_with_the_book(tmp_path: Path, store: Engine) -> None:
    watch = watch_of(tmp_path, store, silences=[KNOWN])

    def going() -> list[Silence]:
        moment = watch.setting.clock.now().timestamp()
        return read(watch, lambda connection: globals()["store"].holding(connection, here(watch.system), moment))

    for _ in range(3):
        await Silences(watch).tick(NOW)
    assert [(each.origin, each.until) for each in going()] == [
        ("book:known", datetime(2026, 11, 21, 19, tzinfo=UTC).timestamp())
    ]
    later = watch_of(tmp_path, store, silences=[{**KNOWN, "components": ["db"]}])
    await Silences(later).tick(NOW)
    assert [each.components for each in going()] == [("db",)]
    write(later, lambda connection: finish(connection, later.system, ANN, going()[0].id, NOW))
    move(later, HOUR)
    await Silences(later).tick(NOW + HOUR)
    assert going() == []
    await Silences(watch_of(tmp_path, store)).tick(NOW)
    assert going() == []


CLOSED = """---
title: Closed for work
risk: disruptive
---
1. Close.
   ```op id=enter
   maintenance.enter: {of: front, message: Back soon}
   ```
2. Open.
   ```op id=leave
   maintenance.leave: {of: front}
   ```
"""
FRONT = {
    "api": {"kind": "http", "url": "http://127.0.0.1:1"}, "db": {"kind": "http", "url": "http://127.0.0.1:2"},
    "front": {"kind": "proxy", "url": "http://127.0.0.1:3", "maintenance": {"include": "/i", "pid_file": "/p"}},
}  # fmt: skip


def closing(tmp_path: Path, store: Engine) -> Watch:
    """A watch, and a run that is about to close the system."""
    watch = watch_of(tmp_path, store, components=FRONT, maintenance={"of": "front", "longest": "1h", "notify": ["ops"]})
    compiled = compile_procedure(CLOSED, "closed.md", watch.system, watch.system.book.catalogue)
    blank = {column.name: "" for column in runs.c if not column.nullable and not column.server_default}
    run = blank | {
        "id": "r1", "system": "shop", "environment": "test", "procedure": "closed", "state": "running",
        "requested_at": NOW.timestamp(), "compiled": as_text(as_json(compiled)),
    }  # fmt: skip
    write(watch, lambda connection: connection.execute(runs.insert().values(run)))
    return watch


async def silent(watch: Watch, at: datetime) -> bool:
    await Silences(watch).tick(move(watch, at))
    return bool(read(watch, lambda connection: store_covering(connection, here(watch.system), at.timestamp())))


def did(watch: Watch, step: str) -> None:
    row = {"run": "r1", "step": step, "position": 0, "state": "done"}
    write(watch, lambda connection: connection.execute(steps.insert().values(row)))


def is_now(watch: Watch, state: str, verdict: str = "") -> None:
    write(watch, lambda connection: connection.execute(runs.update().values(state=state, verdict=verdict)))


async def test_a_run_that_closed_the_system_silences_everything_until_it_has_left_or_ended(
    tmp_path: Path, store: Engine
) -> None:
    watch = closing(tmp_path, store)
    assert not await silent(watch, NOW)
    did(watch, "enter")
    assert [await silent(watch, NOW + hours * HOUR) for hours in (0.5, 1.2, 2.6)] == [True] * 3
    assert told(watch) == ["[maintenance] shop: does the maintenance go on?"]
    did(watch, "leave")
    assert not await silent(watch, NOW + 3 * HOUR)
    is_now(watch, "failed", "failed")
    assert not await silent(watch, NOW + 4 * HOUR)


async def test_a_run_that_goes_back_through_the_maintenance_that_it_had_left_is_silent_again(
    tmp_path: Path, store: Engine
) -> None:
    watch = closing(tmp_path, store)
    did(watch, "enter")
    assert await silent(watch, NOW)
    did(watch, "leave")
    assert not await silent(watch, NOW + HOUR / 4)
    came = Came("weekly", NOW.timestamp(), (NOW + 4 * HOUR).timestamp(), "open")
    assert not entered(watch, came, NOW + HOUR / 4), "a window finds it open again"
    is_now(watch, "undoing", "failed")
    assert entered(watch, came, NOW + HOUR / 2), "and knows that it is closed on the way back"
    assert [await silent(watch, NOW + hours * HOUR) for hours in (0.5, 0.6, 2.6)] == [True] * 3
    assert told(watch) == ["[maintenance] shop: does the maintenance go on?"]
    is_now(watch, "ambiguous", "failed")
    assert await silent(watch, NOW + 2.7 * HOUR)
    is_now(watch, "undone", "failed")
    assert not await silent(watch, NOW + 3 * HOUR)
    assert not entered(watch, came, NOW + 3 * HOUR)


@pytest.mark.parametrize("back", [False, True])
async def test_who_ends_the_silence_of_a_run_goes_on_hearing(tmp_path: Path, store: Engine, back: bool) -> None:
    watch = closing(tmp_path, store)
    did(watch, "enter")
    assert await silent(watch, NOW)
    if back:
        did(watch, "leave")
        assert not await silent(watch, NOW + HOUR / 4)
        is_now(watch, "undoing", "failed")
    at = NOW + HOUR / 2
    assert await silent(watch, at)
    going = read(watch, lambda connection: globals()["store"].holding(connection, here(watch.system), at.timestamp()))
    write(watch, lambda connection: finish(connection, watch.system, ANN, going[0].id, at))
    assert not await silent(watch, at + timedelta(minutes=1))
    assert acts(watch).count("silence made") == 1 + back
