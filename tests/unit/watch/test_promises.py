"""From when the promised minutes of an incident count, whatever becomes of it, and when an update is asked for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.unit.watch.on_call import Desk

from opsbook.watch import incident_acts as acts
from opsbook.watch.clocks import clocks


@pytest.fixture
def desk(tmp_path: Path, store: Engine) -> Desk:
    return Desk(tmp_path, store)


def used(desk: Desk) -> dict[str, int]:
    """Minutes that each clock of the only incident has run for."""
    return {one.name: int(one.used.total_seconds() // 60) for one in clocks(desk.system.model, desk.one, desk.now)}


def by_an_alert(desk: Desk) -> None:
    desk.bad()


def by_hand(desk: Desk) -> None:
    desk.act(acts.set_severity, "P1")


RAISES = pytest.mark.parametrize("worse", [by_an_alert, by_hand])


@RAISES
def test_a_raise_wipes_no_promise(desk: Desk, worse: Callable[[Desk], None]) -> None:
    desk.bad(state="warning")
    desk.later(minutes=40)
    worse(desk)
    assert (desk.one.severity, desk.one.rounds) == ("P1", 1)
    assert used(desk) == {"respond": 40, "resolve": 40}
    desk.later(minutes=0)
    assert desk.lines("clock") == ["respond: the promised 15 min are over"]
    assert desk.told()[1:] == ["channel:chat", "contact:ana/notify"], "the new path begins now"
    desk.later(minutes=5)
    assert desk.told()[3:] == ["contact:boss/email"]
    assert "Nobody has acknowledged for 45 min" in desk.messages("page")[-1].body
    assert "after 45 min; respond: missed, 45 min of 15 min" in desk.act(acts.acknowledge)
    desk.clock.move(minutes=20)
    assert "resolve: missed" in desk.act(acts.resolve, "mended")


@RAISES
def test_what_was_reopened_counts_from_then_also_where_it_is_raised(desk: Desk, worse: Callable[[Desk], None]) -> None:
    desk.bad(state="warning")
    desk.act(acts.resolve, "mended")
    desk.clock.move(minutes=30)
    desk.act(acts.reopen, "it is not")
    assert set(used(desk).values()) == {0}
    desk.later(minutes=10)
    worse(desk)
    assert (desk.one.reopened, desk.one.rounds) == (1, 2)
    assert used(desk) == {"respond": 10, "resolve": 10}


@pytest.mark.parametrize("reopens", [False, True])
def test_where_the_clock_was_set_back_promises_count_from_then(desk: Desk, reopens: bool) -> None:
    desk.bad(state="warning")
    if reopens:
        desk.act(acts.resolve, "mended")
        desk.act(acts.reopen, "it is not")
    desk.later(hours=-3)
    desk.later(minutes=10)
    by_hand(desk)
    desk.later(minutes=5)
    assert used(desk) == {"respond": 15, "resolve": 15}


def test_an_update_is_asked_for_in_business_hours_only(tmp_path: Path, store: Engine) -> None:
    severities = {"P3": {"update_every": "1h", "business_hours": {"start": "09:00", "end": "17:00"}}}
    desk = Desk(tmp_path, store, severities=severities, incidents={})
    desk.clock.at = desk.now.replace(hour=15, minute=30)
    desk.bad()
    asked: list[tuple[int, int, int]] = []
    following: datetime | None = None
    for _ in range(4 * 24):
        before = len(desk.lines("reminder"))
        following = desk.later(minutes=15)
        if len(desk.lines("reminder")) > before:
            asked.append((desk.now.day, desk.now.hour, desk.now.minute))
    first, morning = (5, 16, 30), [(6, hour, 30) for hour in range(9, 16)]
    assert asked == [first, *morning]
    assert following is not None and following <= desk.now.replace(hour=16, minute=30)
