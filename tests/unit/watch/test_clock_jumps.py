"""The machine's clock jumps ahead, as after a sleep or by a wrong time server, and is set right again later."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.unit.watch.on_call import Desk

from opsbook.store import incidents
from opsbook.watch import incident_acts as acts
from opsbook.watch.contract import Became

AHEAD = {"hours": 6.0}
BACK = {"hours": -6.0}
HOLD = timedelta(minutes=5)


@pytest.fixture
def desk(tmp_path: Path, store: Engine) -> Desk:
    return Desk(tmp_path, store)


def test_what_is_pending_fires_once_and_not_again_when_the_clock_is_set_right(desk: Desk) -> None:
    assert desk.bad(hold=HOLD) == []
    desk.clock.move(**AHEAD)
    assert [turn.became for turn in desk.bad(hold=HOLD)] == [Became.FIRING]
    for _ in range(3):
        desk.clock.move(**BACK)
        assert desk.bad(hold=HOLD) == []
        desk.clock.move(**AHEAD)
        assert desk.bad(hold=HOLD) == []
    assert len(desk.incidents) == 1 and desk.told() == ["contact:ana/notify"]


def test_what_a_jump_passed_over_is_told_once_and_not_again_when_the_clock_is_set_right(desk: Desk) -> None:
    desk.bad()
    desk.later(minutes=1)
    for _ in range(3):
        desk.later(**AHEAD)
        desk.later(seconds=1)
    assert desk.told()[:2] == ["contact:ana/notify", "contact:boss/email"]
    assert Counter(desk.told()) == {"contact:ana/notify": 1, "contact:boss/email": 3}, "of a level one page a jump"
    missed = ["respond: the promised 15 min are over", "resolve: the promised 1 h are over"]
    assert desk.lines("clock") == missed
    assert len(desk.lines("reminder")) == 3
    desk.later(hours=-18)
    assert desk.lines("clock") == missed
    following = desk.later(seconds=1)
    assert following is not None and following - desk.now <= timedelta(minutes=10), "the path goes on at its rhythm"


def test_who_has_it_keeps_it_when_the_clock_is_set_right(desk: Desk) -> None:
    desk.bad()
    desk.clock.move(**AHEAD)
    desk.act(acts.acknowledge)
    desk.later(**BACK)
    desk.later(minutes=20)
    assert desk.told() == ["contact:ana/notify"]


def test_it_ends_and_asks_for_updates_in_time_when_the_clock_is_set_right(desk: Desk) -> None:
    desk.bad()
    desk.act(acts.acknowledge)
    desk.clock.move(**AHEAD)
    desk.act(acts.update, "we look at the pool")
    desk.later(**BACK)
    desk.later(minutes=31)
    assert len(desk.lines("reminder")) == 1
    desk.clock.move(**AHEAD)
    desk.well()
    desk.later(**BACK)
    assert desk.one.state == "acknowledged"
    desk.later(minutes=6)
    assert desk.one.state == "resolved"
    assert desk.read(lambda c: incidents.still_bad(c, [desk.one.id])) == set()
