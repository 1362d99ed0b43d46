"""What becomes of alerts: incidents that open, join, worsen, end and come again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine
from tests.unit.watch.on_call import WHERE, Desk

from opsbook.store import audit, incidents
from opsbook.store.silences import Silence, add
from opsbook.watch import incident_acts as acts
from opsbook.watch.alerts import reconsider
from opsbook.watch.incidents import respond


@pytest.fixture
def desk(tmp_path: Path, store: Engine) -> Desk:
    return Desk(tmp_path, store)


def test_an_alert_opens_an_incident_pages_the_first_level_and_is_recorded(desk: Desk) -> None:
    desk.bad(procedure="mend", component="database", sentence="it refuses connections")
    assert (desk.one.severity, desk.one.state, desk.one.procedure) == ("P1", "open", "mend")
    assert desk.told() == ["contact:ana/notify"]
    assert desk.lines() == ["database is critical: it refuses connections", "L1: paging first"]
    assert "Suggested procedure: opsbook run mend" in desk.messages()[0].body
    events = [record.act.event for record in audit.records(desk.watch.setting.store)]
    assert events == ["incident opened"]


def test_nobody_answers_and_it_climbs_until_somebody_does(desk: Desk) -> None:
    desk.bad()
    assert desk.later(minutes=4) == desk.clock.at.replace(minute=5)
    assert desk.told() == ["contact:ana/notify"]
    desk.later(minutes=1)
    assert desk.told() == ["contact:ana/notify", "contact:boss/email"]
    desk.later(minutes=10)
    assert desk.told()[2:] == ["contact:boss/email"]
    said = desk.act(acts.acknowledge)
    assert "acknowledged by ana after 15 min; respond: kept, 15 min of 15 min" in said
    assert "2 pages not sent any more" in said or "3 pages not sent any more" in said
    desk.later(hours=2)
    assert len(desk.told()) == 3


def test_deciding_twice_for_the_same_signals_tells_nothing_twice(desk: Desk) -> None:
    desk.bad()
    desk.bad()
    desk.later(minutes=0)
    desk.later(minutes=0)
    assert len(desk.incidents) == 1 and len(desk.messages()) == 1 and len(desk.lines()) == 2


def test_opsbooks_check_and_alertmanager_make_one_incident_of_one_fault(desk: Desk) -> None:
    desk.hears(("check:api-up", "critical"), component="api")
    desk.hears(("am:77", "critical"), source="alertmanager", component="api")
    assert len(desk.incidents) == 1
    assert desk.lines("alert") == ["also database: critical"]


def test_a_rule_that_names_the_check_joins_it_however_late(desk: Desk) -> None:
    desk.hears(("check:api-up", "critical"))
    desk.clock.move(hours=3)
    signal = desk.hears
    from dataclasses import replace

    from tests.unit.watch.watched import a_signal

    from opsbook.watch.alerts import take_in
    from opsbook.watch.incidents import respond

    assert signal
    named = replace(a_signal("critical", desk.now, "am:1", source="alertmanager"), check="api-up")
    desk.write(lambda connection: take_in(connection, desk.system, [named], desk.now, respond))
    assert len(desk.incidents) == 1


def test_what_a_component_needs_and_what_needs_it_are_one_incident_while_it_is_young(desk: Desk) -> None:
    desk.hears(("check:api-up", "critical"), component="api")
    desk.hears(("check:db-up", "critical"), component="database")
    assert len(desk.incidents) == 1
    desk.clock.move(minutes=20)
    desk.hears(("check:db-full", "critical"), component="database")
    assert len(desk.incidents) == 2


def test_grouping_by_check_keeps_them_apart(tmp_path: Path, store: Engine) -> None:
    desk = Desk(tmp_path, store, incidents={"group_by": "check"})
    desk.hears(("check:a", "critical"), ("check:b", "critical"), component="api")
    assert len(desk.incidents) == 2


def test_a_warning_gets_the_severity_of_its_state_and_the_path_of_that(desk: Desk) -> None:
    desk.bad(state="warning")
    assert (desk.one.severity, desk.told()) == ("P2", ["channel:chat"])


def test_a_warning_that_turns_critical_pages_along_the_path_of_the_new_severity(desk: Desk) -> None:
    desk.bad(state="warning")
    desk.clock.move(minutes=3)
    desk.bad()
    assert (desk.one.severity, desk.one.rounds) == ("P1", 1)
    assert desk.told() == ["channel:chat", "contact:ana/notify"]
    desk.later(minutes=5)
    assert desk.told()[2:] == ["contact:boss/email"]


def test_who_has_it_is_told_that_it_got_worse_and_nobody_else_is_woken(desk: Desk) -> None:
    desk.bad(state="warning")
    desk.act(acts.acknowledge)
    desk.clock.move(minutes=3)
    desk.bad()
    assert desk.one.severity == "P1" and desk.one.acknowledged_by == "ana"
    assert [(row.channel, row.urgency) for row in desk.messages("update")] == [("channel:chat", "page")]
    desk.later(hours=1)
    assert desk.told() == ["channel:chat"]


def test_it_ends_by_itself_when_all_was_well_long_enough(desk: Desk) -> None:
    desk.bad()
    desk.clock.move(minutes=1)
    desk.well()
    desk.later(minutes=4)
    assert desk.one.state == "open"
    desk.later(minutes=2)
    assert (desk.one.state, desk.one.resolved_by) == ("resolved", "opsbook")
    assert desk.told("resolved") == ["contact:ana/notify"]
    assert "incident resolved" in [one.act.event for one in audit.records(desk.watch.setting.store)]


def test_while_all_is_well_nobody_further_is_called_and_the_path_goes_on_if_it_was_not(desk: Desk) -> None:
    desk.bad()
    desk.clock.move(minutes=4)
    desk.well()
    desk.later(minutes=3)
    assert desk.told() == ["contact:ana/notify"]
    desk.bad()
    desk.later(minutes=0)
    assert desk.told() == ["contact:ana/notify", "contact:boss/email"] and len(desk.incidents) == 1


def test_the_same_fault_soon_after_reopens_it_and_begins_again(desk: Desk) -> None:
    desk.bad()
    desk.act(acts.acknowledge)
    desk.well()
    desk.later(minutes=6)
    assert desk.one.state == "resolved"
    desk.clock.move(minutes=30)
    desk.bad()
    assert (desk.one.state, desk.one.reopened, desk.one.acknowledged_at) == ("open", 1, None)
    assert (desk.one.assignee, desk.one.acknowledged_by) == ("", ""), "nobody has it until somebody acknowledges"
    assert desk.told() == ["contact:ana/notify", "contact:ana/notify"]


def test_long_after_it_is_another_one(desk: Desk) -> None:
    desk.bad()
    desk.well()
    desk.later(minutes=6)
    desk.clock.move(hours=2)
    desk.bad()
    assert [one.state for one in desk.incidents] == ["resolved", "open"]


def test_channels_that_fail_together_are_one_incident_that_names_each(desk: Desk) -> None:
    ways = [f"contact:{name}/notify" for name in ("ana", "bob", "cy", "dee", "eve")] + ["channel:chat"]
    for name in ways:
        desk.bad(f"channel:{name}", source="opsbook", title=f"messages to {name} are not delivered")
    named = "channel:chat, contact:ana/notify, contact:bob/notify, contact:cy/notify, contact:dee/notify"
    assert desk.one.title == f"6 channels do not deliver: {named} and 1 more"
    assert all(any(f"messages to {name} are" in line for line in desk.lines()) for name in ways)
    desk.bad("channel:nobody:first", source="opsbook")
    assert len(desk.incidents) == 2, "that nobody is on call is another fault"


def test_an_incident_of_channels_is_called_by_those_that_do_not_deliver_now(desk: Desk) -> None:
    for name in ("a", "b"):
        desk.bad(f"channel:channel:{name}", source="opsbook", title=f"messages to channel:{name} are not delivered")
    for name in ("a", "b"):
        desk.hears((f"channel:channel:{name}", "ok"), source="opsbook")
    desk.later(minutes=6)
    desk.bad("channel:channel:b", source="opsbook", title="messages to channel:b are not delivered")
    assert (desk.one.reopened, desk.one.title) == (1, "messages to channel:b are not delivered")


def test_what_a_silence_covers_opens_nothing_and_pages_when_the_silence_ends(desk: Desk) -> None:
    until = desk.now.timestamp() + 3600
    silence = Silence("s1", ("db-up",), (), "known", "ana", "cli", desk.now.timestamp(), until)
    desk.write(lambda connection: add(connection, desk.watch.where, silence))
    desk.bad()
    assert desk.incidents == []
    desk.clock.move(hours=2)
    desk.bad()
    assert desk.told() == ["contact:ana/notify"]


def test_a_storm_of_ten_thousand_alerts_of_one_cause_is_one_incident_and_one_page(desk: Desk) -> None:
    names = [(f"am:{number}", "critical") for number in range(10_000)]
    desk.hears(*names, source="alertmanager", component="database")
    assert len(desk.incidents) == 1 and len(desk.messages()) == 1
    assert desk.read(lambda connection: incidents.count_alerts(connection, desk.one.id)) == 10_000
    assert len(desk.lines()) < 30 and any("9979 more" in line for line in desk.lines())


def test_promises_are_counted_and_told_before_and_when_they_are_missed(desk: Desk) -> None:
    desk.bad()
    desk.later(minutes=12)
    assert [row.urgency for row in desk.messages("reminder")] == ["warning"]
    desk.later(minutes=3)
    assert desk.lines("clock")[1] == "respond: the promised 15 min are over"
    assert {row.urgency for row in desk.messages("reminder")[1:]} == {"page"}
    desk.later(minutes=1)
    desk.later(minutes=1)
    assert len(desk.lines("clock")) == 2
    assert "promise missed" in [one.act.event for one in audit.records(desk.watch.setting.store)]


def test_an_update_is_asked_for_at_its_rhythm_until_somebody_writes_one(desk: Desk) -> None:
    desk.bad()
    desk.act(acts.acknowledge)
    desk.later(minutes=29)
    assert desk.lines("reminder") == []
    desk.later(minutes=1)
    desk.later(minutes=1)
    assert len(desk.lines("reminder")) == 1 and desk.messages("reminder")[0].channel == "contact:ana/notify"
    assert desk.act(acts.update, "we look at the pool").startswith("1 told")
    desk.later(minutes=29)
    assert len(desk.lines("reminder")) == 1


def test_a_post_mortem_that_is_late_is_asked_for_once_a_day(tmp_path: Path, store: Engine) -> None:
    desk = Desk(tmp_path, store, severities={"P1": {"postmortem": True}}, incidents={"postmortem_within": "2d"})
    desk.bad()
    desk.act(acts.resolve, "mended")
    desk.later(days=1)
    assert desk.told("reminder") == []
    desk.later(days=1, hours=1)
    desk.later(hours=1)
    assert desk.told("reminder") == ["contact:ana/notify"]
    desk.later(days=1)
    assert len(desk.told("reminder")) == 2


def test_the_check_and_the_severity_may_name_more_who_are_told_at_once(tmp_path: Path, store: Engine) -> None:
    severities = {"P1": {"notify": ["mail"]}}
    desk = Desk(
        tmp_path,
        store,
        severities=severities,
        incidents={},
        channels={"chat": "json://x:1", "mail": "smtp://x:1?to=a@b.c"},
    )
    desk.bad(notify=("chat",))
    assert desk.told("update") == ["channel:chat", "channel:mail"]


def test_a_figure_that_is_no_work_for_people_is_told_to_those_who_asked_for_it(tmp_path: Path, store: Engine) -> None:
    desk = Desk(tmp_path, store, incidents={"open_for": ["critical"]})
    desk.bad(state="warning", notify=("chat",))
    assert desk.incidents == []
    from opsbook.store.watch_tables import messages

    rows = desk.read(lambda connection: connection.execute(messages.select()).all())
    assert [(row.channel, row.urgency, row.kind) for row in rows] == [("channel:chat", "warning", "alert")]


def test_what_was_not_looked_at_in_this_round_is_found_by_its_line(desk: Desk) -> None:
    def waiting(since: float = 0.0, limit: int = 9) -> list[str]:
        found = desk.read(lambda c: incidents.without_line(c, WHERE, "diagnosed", since, limit, ["P1"]))
        return [one.id for one in found]

    desk.bad()
    one = desk.one
    assert waiting() == [one.id] and waiting(desk.now.timestamp()) == [] and waiting(limit=0) == []
    line = incidents.Event(one.id, desk.now.timestamp(), "opsbook", "diagnosed", "done", key=f"diagnosed|{one.id}|0")
    desk.write(lambda c: incidents.tell(c, [line]))
    assert waiting() == []
    desk.write(lambda c: incidents.change(c, one.id, rounds=1))
    assert waiting() == [one.id]


def test_an_end_says_what_was_well_and_what_was_only_silenced_or_is_not_measured(tmp_path: Path, store: Engine) -> None:
    keys = {"id": "kept", "observe": "postgres.up", "of": "database"}, {"id": "api", "observe": "http.up", "of": "api"}
    desk = Desk(tmp_path, store, checks=keys)
    desk.hears(("check:kept", "critical"), ("check:gone", "critical"), ("check:api", "critical"), component="database")
    desk.well("check:kept", component="database")
    at = desk.now.timestamp()
    desk.write(lambda c: add(c, WHERE, Silence("s1", ("api",), (), "known", "ana", "cli", at, at + 9e6)))
    desk.write(lambda connection: reconsider(connection, desk.system, desk.now, respond))
    desk.later(minutes=10)
    why = (
        "of its alerts 1 well, 1 bad still, and silenced, 1 not measured any more (its check is no longer in the book)"
    )
    assert desk.lines("resolved") == [f"resolved: {why}"]
    assert why in desk.messages("resolved")[0].body


def test_an_end_after_everything_was_well_says_so(desk: Desk) -> None:
    desk.bad()
    desk.well()
    desk.later(minutes=10)
    assert desk.lines("resolved") == ["resolved: everything has been well"]


def test_what_hurries_is_not_sent_once_it_is_over(desk: Desk) -> None:
    desk.bad()
    desk.act(acts.acknowledge)
    desk.later(minutes=65)
    hurry = [row for row in desk.messages("reminder") if row.state == "waiting"]
    assert {row.key.partition("|")[0] for row in hurry} == {"update", "clock"}
    desk.act(acts.resolve, "mended")
    assert {row.state for row in desk.messages("reminder")} == {"dropped"}
