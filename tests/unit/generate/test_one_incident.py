"""The same fault, seen by opsbook and by Prometheus, is one incident; and what Alertmanager forgot ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine
from tests.unit.watch.watched import START, HandClock, a_watch

from opsbook.checks.evaluate import State
from opsbook.store import incidents
from opsbook.store.database import reading, writing
from opsbook.watch.alertmanager import signals_of
from opsbook.watch.alerts import take_in
from opsbook.watch.contract import Signal
from opsbook.watch.generate.options import Places
from opsbook.watch.generate.rules import AlertRule, rule_groups
from opsbook.watch.incidents import respond
from opsbook.watch.remote_alerts import FORGOTTEN_FOR, NOT_REPEATED_FOR, Forgotten

CHECK = {
    "id": "connections",
    "observe": "postgres.connections",
    "of": "database",
    "warning": "> 50",
    "critical": "> 80",
}


def test_opsbooks_own_alert_and_those_of_the_generated_rules_are_one_incident(store: Engine, tmp_path: Path) -> None:
    watch = a_watch(tmp_path, store, HandClock(), checks=[CHECK])
    rules = [rule for group in rule_groups(watch.system, Places())[0] for rule in group.rules]
    alerts = [
        {"status": "firing", "labels": {"alertname": rule.name, **rule.labels}, "annotations": dict(rule.annotations),
         "fingerprint": f"f{n}"}
        for n, rule in enumerate(rules) if isinstance(rule, AlertRule) and rule.labels.get("check") == "connections"
    ]  # fmt: skip
    assert len(alerts) == 2
    own = Signal("check:connections", "check", START, State.CRITICAL, "connections", check="connections",
                 component="database")  # fmt: skip
    with writing(store) as connection:
        take_in(connection, watch.system, [own], START, respond)
    for n in range(100):  # Alertmanager may send the same group again and again
        now = START + timedelta(seconds=n)
        signals = signals_of({"version": "4", "alerts": alerts}, watch.system, now)
        with writing(store) as connection:
            turns = take_in(connection, watch.system, signals, now, respond)
        assert bool(turns) is (n == 0), "told once"
    with reading(store) as connection:
        (incident,) = incidents.open_ones(connection, watch.where)
        critical = {row.fingerprint for row in incidents.alerts_of(connection, incident.id)}
        assert critical == {"check:connections", "alertmanager:f0"}, "the warning is no work for people by itself"
        assert incident.component == "database"


def told(*names: str) -> dict[str, datetime]:
    return dict.fromkeys(names, START)


def test_what_was_held_and_is_no_longer_is_over_after_a_while() -> None:
    known = Forgotten()
    assert known.look(told("a", "b"), {"a"}, START) == []
    assert known.look(told("a", "b"), set(), START + timedelta(minutes=1)) == [], "it may be starting"
    later = START + timedelta(minutes=1) + FORGOTTEN_FOR
    assert known.look(told("a", "b"), set(), later) == ["a"], "b was never seen there"


def test_what_comes_back_or_ended_here_is_not_ended_again() -> None:
    known = Forgotten()
    known.look(told("a"), {"a"}, START)
    known.look(told("a"), set(), START + timedelta(minutes=1))
    known.look(told("a"), {"a"}, START + timedelta(minutes=2))
    assert known.look(told("a"), set(), START + FORGOTTEN_FOR) == []
    assert known.look({}, set(), START + timedelta(hours=1)) == []


def test_what_nobody_repeats_is_over_though_this_process_never_saw_it() -> None:
    assert Forgotten().look(told("a"), set(), START + NOT_REPEATED_FOR) == ["a"]
    assert Forgotten().look(told("a"), {"a"}, START + NOT_REPEATED_FOR) == []
