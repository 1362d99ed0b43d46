"""What people do to incidents, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.unit.watch.on_call import ANA, WHERE, Desk

from opsbook.engine.access import Actor
from opsbook.errors import Refused, UsageError
from opsbook.store import actions, audit, checklists
from opsbook.store.database import reading
from opsbook.watch import incident_acts as acts
from opsbook.watch.delivery import Delivery
from opsbook.watch.incident_views import view_of
from opsbook.watch.security import COURSE, open_security

EVE = Actor("eve", "a test")


@pytest.fixture
def desk(tmp_path: Path, store: Engine) -> Desk:
    found = Desk(tmp_path, store)
    found.bad()
    return found


def test_acknowledging_twice_is_no_mistake(desk: Desk) -> None:
    desk.act(acts.acknowledge)
    assert desk.act(acts.acknowledge, actor=EVE) == f"{desk.one.id} was acknowledged by ana already"


def test_every_act_is_in_the_timeline_and_in_the_audit_chain(desk: Desk) -> None:
    desk.act(acts.acknowledge)
    desk.act(acts.note, "it is the pool")
    desk.act(acts.assign, "bob")
    desk.act(acts.take_role, "commander", "boss")
    desk.act(acts.set_severity, "P2")
    desk.act(acts.mitigate, "restarted")
    desk.act(acts.resolve, "it holds")
    desk.act(acts.reopen, "it does not")
    with reading(desk.watch.setting.store) as connection:
        kinds = [event.kind for event in acts.store.timeline(connection, desk.one.id) if event.actor == "ana"]
    assert kinds == [
        "acknowledged", "note", "assigned", "role", "severity", "mitigated", "resolved", "reopened",
    ]  # fmt: skip
    told = [one.act for one in audit.records(desk.watch.setting.store) if one.act.actor == "ana"]
    assert len(told) == 8 and all(one.detail["incident"] == desk.one.id for one in told)
    assert audit.verify(desk.watch.setting.store).broken is None


def test_it_is_not_over_while_an_alert_fires_unless_somebody_says_why(desk: Desk) -> None:
    with pytest.raises(Refused, match="still fires"):
        desk.act(acts.resolve, "")
    assert "is resolved after 0 s" in desk.act(acts.resolve, "the check is wrong")
    with pytest.raises(Refused, match="was resolved at"):
        desk.act(acts.acknowledge)


def test_nobody_has_what_is_reopened_until_somebody_acknowledges_in_every_face(desk: Desk) -> None:
    desk.act(acts.acknowledge)
    desk.act(acts.resolve, "it holds")
    desk.act(acts.reopen, "it does not", actor=EVE)
    told = desk.read(lambda connection: view_of(connection, desk.system, desk.one, desk.now)).as_json()
    assert (told["assignee"], told["acknowledged_by"], told["reopened"]) == (None, None, 1)
    desk.act(acts.acknowledge, actor=EVE)
    assert (desk.one.assignee, desk.one.acknowledged_by) == ("eve", "eve")


def test_who_has_no_role_may_not_act(tmp_path: Path, store: Engine) -> None:
    desk = Desk(tmp_path, store, access={"responder": ["ana"]})
    desk.bad()
    with pytest.raises(Refused, match="eve may not acknowledge incidents"):
        desk.act(acts.acknowledge, actor=EVE)
    assert desk.one.state == "open"
    # A signed link is the role: it was sent to the one who is to answer.
    said = desk.write(
        lambda connection: acts.acknowledge(connection, desk.system, desk.one, EVE, desk.now, by_link="eve")
    )
    assert "acknowledged by eve" in said


def test_names_that_the_book_does_not_know_are_refused_with_the_nearest(desk: Desk) -> None:
    with pytest.raises(UsageError, match="no contact 'anna'") as error:
        desk.act(acts.assign, "anna")
    assert "ana" in error.value.hint
    with pytest.raises(UsageError, match="no severity 'P9'"):
        desk.act(acts.set_severity, "P9")
    with pytest.raises(UsageError, match="needs words"):
        desk.act(acts.note, "  ")


def test_assigning_tells_the_one_who_gets_it(desk: Desk) -> None:
    desk.act(acts.assign, "bob")
    assert [(row.channel, row.urgency) for row in desk.messages("update")] == [("contact:bob/notify", "page")]


def test_merging_moves_the_alerts_and_takes_the_worse_severity(desk: Desk) -> None:
    desk.clock.move(hours=1)
    desk.bad("check:other", "warning")
    first, second = desk.incidents
    said = desk.write(lambda connection: acts.merge(connection, desk.system, first, ANA, second, desk.now))
    first, second = desk.incidents
    assert said == f"{first.id} is part of {second.id} now"
    assert (first.state, first.merged_into, second.severity) == ("merged", second.id, "P1")
    assert len(desk.read(lambda connection: acts.store.alerts_of(connection, second.id))) == 2
    with pytest.raises(Refused, match="into itself"):
        desk.write(lambda connection: acts.merge(connection, desk.system, second, ANA, second, desk.now))


def test_a_person_reports_one_and_it_pages_and_stays_until_a_person_ends_it(desk: Desk) -> None:
    one = desk.write(
        lambda connection: acts.open_by_hand(connection, desk.system, ANA, "users see errors", desk.now, severity="P2")
    )
    assert "channel:chat" in desk.told()
    desk.later(days=2)
    found = desk.read(lambda connection: acts.find(connection, desk.system, one.id))
    assert found.state == "open"


def test_a_security_incident_brings_its_course(desk: Desk) -> None:
    one = desk.write(lambda connection: open_security(connection, desk.system, ANA, "a key leaked", desk.now))
    (opened,) = desk.read(lambda connection: checklists.not_done(connection, WHERE))
    assert opened.subject == f"incident:{one.id}" and len(opened.items) == len(COURSE)
    assert any(f"opsbook incident evidence {one.id} --to" in item.text for item in opened.items)


def test_an_incident_is_found_by_a_part_of_its_id_or_by_being_the_only_one(desk: Desk) -> None:
    id = desk.one.id
    for text in (id, id[-4:], id[:8], ""):
        assert desk.read(lambda connection, text=text: acts.find(connection, desk.system, text)).id == id  # type: ignore[misc]
    with pytest.raises(UsageError, match="no incident 'zzzzz'"):
        desk.read(lambda connection: acts.find(connection, desk.system, "zzzzz"))


def test_lowered_before_an_answer_it_calls_each_level_of_the_new_path_and_nobody_twice(
    tmp_path: Path, store: Engine
) -> None:
    lower = [
        {"level": "L1", "notify": "first"},
        {"level": "chat", "notify": "chat", "within": "5m"},
        {"level": "lead", "notify": "bob", "within": "1h"},
    ]
    desk = Desk(tmp_path, store, severities={"P1": {"respond": "5m"}, "P2": {"respond": "1h", "escalation": lower}})
    desk.bad()
    desk.later(minutes=14)
    assert desk.told() == ["contact:ana/notify", "contact:boss/email"]
    desk.act(acts.set_severity, "P2")
    desk.later(minutes=0)
    desk.later(minutes=1)
    assert desk.told()[2:] == ["channel:chat"], "it waits for no time of its own: it has been open for long enough"
    desk.later(minutes=44)
    assert desk.told()[3:] == []
    desk.later(minutes=1)
    assert desk.told()[3:] == ["contact:bob/notify"]
    missed = [line for line in desk.lines("clock") if "are over" in line]
    assert missed == [f"respond: the promised {time} are over" for time in ("5 min", "1 h")]
    assert desk.lines("paged") == [
        "L1: paging first", "L2: paging boss", "chat: paging chat", "lead: paging bob",
    ]  # fmt: skip


def test_actions_stay_open_until_somebody_says_that_they_are_done(desk: Desk) -> None:
    said = desk.act(lambda c, s, o, a, now: acts.add_action(c, s, o, a, "limit the pool", "bob", now, now))
    assert said == "action 1: limit the pool (bob)"
    desk.later(days=1)
    rows = desk.read(lambda c: [row for row in c.execute(acts.messages.messages.select()) if row.kind == "reminder"])
    assert any("action 1 of" in row.subject and row.channel == "contact:bob/notify" for row in rows)
    done = desk.write(lambda connection: acts.end_action(connection, desk.system, 1, ANA, desk.now))
    assert done == "action 1 is done: limit the pool"


def test_actions_of_a_system_are_listed_however_old_and_ended_by_no_other(desk: Desk, tmp_path: Path) -> None:
    desk.act(lambda c, s, o, a, now: acts.add_action(c, s, o, a, "limit the pool", "bob", None, now))
    elsewhere = {"system": "shop", "environment": "elsewhere"}
    assert [one.text for one in desk.read(lambda c: actions.of_system(c, WHERE, open_only=True))] == ["limit the pool"]
    assert desk.read(lambda c: actions.of_system(c, elsewhere)) == []
    (tmp_path / "other").mkdir()
    other = Desk(tmp_path / "other", desk.watch.setting.store, system="bank")
    with pytest.raises(UsageError, match="there is no action 1"):
        other.write(lambda connection: acts.end_action(connection, other.system, 1, ANA, other.now))
    desk.write(lambda connection: acts.end_action(connection, desk.system, 1, ANA, desk.now))
    assert desk.read(lambda c: actions.of_system(c, WHERE, open_only=True)) == []
    assert [one.done_by for one in desk.read(lambda c: actions.of_system(c, WHERE))] == ["ana"]


def test_late_actions_of_nobody_do_not_keep_others_from_being_reminded(desk: Desk) -> None:
    for owner in [*[""] * 60, "bob"]:
        desk.act(lambda c, s, o, a, now, owner=owner: acts.add_action(c, s, o, a, "look", owner, now, now))
    desk.later(days=1)
    assert any("action 61 of" in row.subject for row in _reminders(desk))


def test_who_has_acknowledged_is_not_reminded_that_nobody_has(desk: Desk) -> None:
    desk.later(minutes=13)
    (waits,) = [row for row in _reminders(desk) if "|respond|" in row.key]
    desk.act(acts.acknowledge)
    found = {row.id: row for row in _reminders(desk)}
    assert (found[waits.id].state, found[waits.id].error) == ("dropped", "ana acknowledged before it was sent")
    desk.later(minutes=45)
    resolve = [row for row in _reminders(desk) if "|resolve|" in row.key]
    assert resolve and {row.state for row in resolve} == {"waiting"}


def test_a_reminder_that_its_channel_gave_back_is_not_sent_once_somebody_has_acknowledged(desk: Desk) -> None:
    desk.later(minutes=13)
    (waits,) = [row for row in _reminders(desk) if "|respond|" in row.key]
    sender, here, now = Delivery(desk.watch), desk.watch.where, desk.now.timestamp()
    taken = desk.write(lambda c: acts.messages.claim(c, here, waits.channel, sender.who, now, 60, 9))
    assert waits.id in {row.id for row in taken}
    assert waits.id in {row.id for row in desk.write(lambda c: sender._still_wanted(c, taken))}
    desk.act(acts.acknowledge)
    assert desk.write(lambda c: sender._still_wanted(c, taken)) == []
    assert {row.state for row in _reminders(desk) if row.id == waits.id} == {"dropped"}


def _reminders(desk: Desk) -> list[acts.messages.MessageRow]:
    table = acts.messages.messages
    query = table.select().where(table.c.kind == "reminder").order_by(table.c.id)
    return desk.read(lambda c: [acts.messages.MessageRow(**row._mapping) for row in c.execute(query)])
