"""A page for practice: whom it goes to, and what is measured of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.unit.watch.on_call import ANA, Desk

from opsbook.errors import UsageError
from opsbook.store import messages
from opsbook.watch import incident_acts as acts
from opsbook.watch import practice
from opsbook.watch.incident_facts import OPSBOOK


@pytest.fixture
def desk(tmp_path: Path, store: Engine) -> Desk:
    return Desk(tmp_path, store)


def begin(desk: Desk, target: str = "") -> str:
    return desk.write(lambda connection: practice.begin(connection, desk.system, ANA, target, desk.now)).id


def delivered(desk: Desk) -> None:
    rows = [row.id for row in desk.messages("practice")]

    def settle(connection: object) -> None:
        claimed = messages.claim(connection, desk.watch.where, "contact:ana/notify", "s", desk.now.timestamp(), 9, 9)  # type: ignore[arg-type]
        assert [row.id for row in claimed] == rows
        messages.settle(connection, rows, "s", state="delivered", delivered_at=desk.now.timestamp())  # type: ignore[arg-type]

    desk.write(settle)


def test_it_goes_to_the_first_level_and_no_further_and_counts_no_promise(desk: Desk) -> None:
    begin(desk)
    assert desk.told("practice") == ["contact:ana/notify"]
    assert desk.messages("practice")[0].subject.startswith("[practice]")
    desk.later(hours=3)
    assert len(desk.messages()) == 1 and desk.lines("clock") == [] and desk.lines("reminder") == []


@pytest.mark.parametrize(("target", "address"), [("boss", "contact:boss/email"), ("chat", "channel:chat")])
def test_it_goes_to_whom_is_named(desk: Desk, target: str, address: str) -> None:
    begin(desk, target)
    assert desk.told("practice") == [address]


@pytest.mark.parametrize(("target", "told"), [("frist", "no channel, rotation or contact"), ("nobody", "no address")])
def test_it_is_refused_where_nobody_is_reached(desk: Desk, target: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        begin(desk, target)
    assert desk.incidents == []


def test_the_way_there_and_the_answer_are_measured(desk: Desk) -> None:
    id = begin(desk)

    def measured() -> practice.Measured:
        return desk.read(lambda connection: practice.measured(connection, id))

    assert measured().told == "not delivered yet; no answer"
    desk.clock.move(seconds=4)
    delivered(desk)
    assert measured().told == "delivered by contact:ana/notify after 4 s; no answer"
    desk.clock.move(seconds=86)
    desk.act(acts.acknowledge)
    found = measured()
    assert (found.delivered, found.answered) == ((("contact:ana/notify", 4.0),), 90.0)
    assert found.told.endswith("answered by ana after 1 min 30 s")


def test_it_ends_without_a_word_and_what_was_not_sent_is_dropped(desk: Desk) -> None:
    begin(desk)
    desk.write(lambda c: acts.finish_practice(c, desk.one, OPSBOOK, "nobody answered within 1 s", desk.now))
    assert (desk.one.state, [row.state for row in desk.messages()]) == ("resolved", ["dropped"])
    assert desk.lines("resolved") == ["nobody answered within 1 s"]
    desk.bad()
    assert len(desk.incidents) == 2, "a fault is no part of a practice"


def test_a_fault_during_a_practice_is_an_incident_of_its_own(desk: Desk) -> None:
    begin(desk)
    desk.bad()
    assert sorted(one.kind for one in desk.incidents) == ["fault", "practice"]
