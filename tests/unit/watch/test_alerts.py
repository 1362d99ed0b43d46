"""What becomes of an alert, signal by signal, and of thousands in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine
from tests.unit.watch.watched import START, a_signal, a_system

from opsbook.checks.evaluate import State
from opsbook.store import alerts as rows
from opsbook.store.database import reading, writing
from opsbook.store.silences import Silence, add
from opsbook.watch.alert_rows import as_row, from_row
from opsbook.watch.alerts import CALM, FLAPS, decide, reconsider, take_in
from opsbook.watch.contract import Alert, Became, Phase, Signal, Turn

WHERE = {"system": "shop", "environment": "production"}


def told(*states: str, every: float = 60, silences: Sequence[str] = (), **keys: Any) -> tuple[Alert | None, list[str]]:
    """The alert after signals at a rhythm, and what was turned: `minute:became`."""
    alert: Alert | None = None
    turned = []
    for n, state in enumerate(states):
        at = START + timedelta(seconds=every * n)
        silence = silences[n] if n < len(silences) else ""
        alert, turn = decide(alert, a_signal(state, at, **keys), silence, at)
        if turn:
            turned.append(f"{n}:{turn.became}")
    return alert, turned


def test_what_another_saw_first_began_when_that_one_saw_it_but_not_before_it_was_well() -> None:
    ago, at = timedelta(minutes=3), START + timedelta(minutes=10)
    alert, _ = decide(None, replace(a_signal("critical", START), since=START - ago), "", START)
    assert alert is not None and (alert.since, alert.fired_at, alert.seen_at) == (START - ago, START, START)
    again, _ = decide(alert, replace(a_signal("critical", at), since=at), "", at)
    assert again is not None and again.since == START - ago
    over = replace(alert, phase=Phase.RESOLVED, resolved_at=START + timedelta(minutes=5))
    anew, _ = decide(over, replace(a_signal("critical", at), since=START - ago), "", at)
    assert anew is not None and anew.since == over.resolved_at


@pytest.mark.parametrize(
    ("states", "hold", "expected"),
    [
        (["critical"], 0, ["0:firing"]),
        (["critical"] * 5, 120, ["2:firing"]),
        (["critical", "critical", "ok", "critical", "critical"], 120, []),
        (["critical", "ok", "critical", "ok", "ok"], 0, ["0:firing", "4:resolved"]),
        (["critical", "ok", "unknown", "ok", "critical"], 0, ["0:firing"]),
        (["warning", "critical", "warning"], 0, ["0:firing", "1:worse", "2:better"]),
        (["critical", "unknown", "critical"], 0, ["0:firing"]),
        (["warning", "unknown"], 0, ["0:firing", "1:worse"]),
        (["unknown", "unknown"], 60, ["1:firing"]),
        (["ok", "ok"], 0, []),
    ],
)
def test_it_fires_after_its_time_and_resolves_when_it_was_well_twice(
    states: list[str], hold: float, expected: list[str]
) -> None:
    assert told(*states, hold=timedelta(seconds=hold))[1] == expected


def test_what_is_told_once_resolves_at_the_first_word() -> None:
    assert told("critical", "ok", source="alertmanager")[1] == ["0:firing", "1:resolved"]


def test_missing_data_takes_nothing_back() -> None:
    alert, _ = told("critical", "unknown")
    assert alert is not None
    assert alert.state is State.CRITICAL


@pytest.mark.parametrize(
    ("states", "hold", "expected", "state"),
    [
        (["warning"] * 7 + ["critical"], 300, ["5:firing"], "warning"),
        (["warning"] * 7 + ["critical"] * 6, 300, ["5:firing", "12:worse"], "critical"),
        (["warning"] * 3 + ["critical"] * 6, 300, ["5:firing", "8:worse"], "critical"),
        (["warning"] * 6 + ["critical"] * 5 + ["warning"] + ["critical"] * 5, 300, ["5:firing"], "warning"),
        (["warning"] * 6 + ["critical"] * 5 + ["ok"] + ["critical"] * 5, 300, ["5:firing"], "warning"),
        (["critical"] * 6 + ["warning"], 300, ["5:firing", "6:better"], "warning"),
        (["warning"] * 6 + ["unknown"], 300, ["5:firing"], "warning"),
    ],
)
def test_each_state_is_held_for_its_own_time(states: list[str], hold: float, expected: list[str], state: str) -> None:
    alert, turned = told(*states, hold=timedelta(seconds=hold))
    assert alert is not None
    assert (turned, alert.state, alert.flapping) == (expected, state, False)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["critical"] * 5 + ["unknown"], ["5:firing"]),
        (["critical"] + ["unknown"] * 5, ["5:firing"]),
        (
            ["warning"] * 6 + ["critical", "unknown", "critical", "unknown", "critical", "unknown"],
            ["5:firing", "11:worse"],
        ),
    ],
)
def test_missing_data_takes_back_nothing_of_what_is_pending(states: list[str], expected: list[str]) -> None:
    alert, turned = told(*states, hold=timedelta(minutes=5))
    assert alert is not None
    assert (turned, alert.state) == (expected, State.CRITICAL)


def test_what_follows_from_a_cause_is_told_when_that_is_gone_and_it_is_still_bad() -> None:
    alert: Alert | None = None
    turned = []
    for n, cause in enumerate(["check:db", "check:db", "", ""]):
        at = START + timedelta(minutes=n)
        alert, turn = decide(alert, a_signal("critical", at, cause=cause), "", at)
        turned.append(turn and turn.became)
    assert turned == [None, None, None, Became.FIRING]


def test_one_that_fires_stays_so_when_a_cause_is_found_later() -> None:
    alert, _ = told("critical")
    at = START + timedelta(minutes=1)
    alert, turn = decide(alert, a_signal("critical", at, cause="check:db"), "", at)
    assert alert is not None
    assert (alert.phase, alert.cause, turn) == (Phase.FIRING, "check:db", None)


@pytest.mark.parametrize(
    ("states", "silences", "expected"),
    [
        (["critical", "critical", "critical"], ["s", "s", ""], ["0:silenced", "2:heard"]),
        (["critical", "critical", "critical"], ["", "s", ""], ["0:firing", "1:silenced", "2:heard"]),
        (["critical", "ok", "ok"], ["s", "s", "s"], ["0:silenced", "2:resolved"]),
        (["critical", "ok", "critical"], ["s", "", ""], ["0:silenced", "2:heard"]),
        (["warning", "critical", "critical"], ["s", "s", "s"], ["0:silenced"]),
    ],
)
def test_a_silence_keeps_it_quiet_and_it_is_told_when_that_ends(
    states: list[str], silences: list[str], expected: list[str]
) -> None:
    assert told(*states, silences=silences)[1] == expected


def test_to_and_fro_is_told_once_and_ends_when_it_was_calm() -> None:
    alert: Alert | None = None
    known: Alert | None = None
    turned = []
    at = START
    for _ in range(20):
        for state in ("critical", "critical", "ok", "ok"):
            alert, turn = decide(known, a_signal(state, at), "", at)
            known = alert if alert is not None else known
            turned += [turn.became] if turn else []
            at += timedelta(seconds=30)
    assert alert is not None
    assert alert.flapping
    assert len(turned) < FLAPS
    first_ok = at
    while alert is not None and alert.phase is Phase.FIRING:
        alert, turn = decide(alert, a_signal("ok", at), "", at)
        at += timedelta(seconds=30)
    assert at - first_ok >= CALM - timedelta(minutes=2)
    assert turn is not None
    assert turn.became is Became.RESOLVED


def test_a_clock_that_is_set_back_neither_fires_nor_resolves_nor_starts_anew() -> None:
    hold = timedelta(minutes=5)
    alert, _ = decide(None, a_signal("critical", START, hold=hold), "", START)
    at = START + timedelta(minutes=3)
    alert, _ = decide(alert, a_signal("critical", at, hold=hold), "", at)
    back = at - timedelta(hours=1)
    alert, turn = decide(alert, a_signal("critical", back, hold=hold), "", back)
    assert turn is None
    later = back + timedelta(minutes=2)
    alert, turn = decide(alert, a_signal("critical", later, hold=hold), "", later)
    assert turn is not None
    assert turn.became is Became.FIRING


def test_old_news_changes_nothing() -> None:
    alert, _ = told("critical", "critical")
    now = START + timedelta(minutes=2)
    assert decide(alert, a_signal("ok", START), "", now) == (alert, None)


STATES = st.sampled_from(["ok", "warning", "critical", "unknown"])
STEPS = st.lists(
    st.tuples(STATES, st.integers(-3600, 900), st.sampled_from(["", "check:x"]), st.sampled_from(["", "s"])),
    max_size=40,
)


@given(STEPS, st.integers(0, 600))
def test_whatever_comes_the_invariants_hold(steps: list[tuple[str, int, str, str]], hold: int) -> None:
    known: Alert | None = None
    at = START
    for state, seconds, cause, silence in steps:
        at += timedelta(seconds=seconds)
        signal = replace(a_signal(state, at, hold=timedelta(seconds=hold)), cause=cause)
        before = known
        alert, turn = decide(known, signal, silence, at)
        if turn is not None:
            assert turn.alert == alert
            if turn.became in (Became.FIRING, Became.WORSE, Became.BETTER):
                assert not silence
            if turn.became in (Became.FIRING, Became.SILENCED) and (before is None or before.phase is not Phase.FIRING):
                assert not cause
            if turn.became is Became.RESOLVED:
                assert state == "ok"
        if alert is not None and alert.phase is not Phase.RESOLVED:
            again, twice = decide(alert, signal, silence, at)
            assert (again, twice) == (alert, None) or alert.phase is Phase.PENDING
            assert from_row({**as_row(alert, WHERE), "incident": ""}) == alert
        known = alert if alert is not None else (known if known and known.phase is Phase.RESOLVED else None)


def nobody(_c: Connection, _s: object, _t: Sequence[Turn], _n: datetime) -> None: ...


def taken(store: Engine, tmp_path: Path, signals: list[Signal], at: datetime, respond: Any = nobody) -> list[Turn]:
    with writing(store) as connection:
        return take_in(connection, a_system(tmp_path / "book"), signals, at, respond)


def test_thousands_of_signals_are_decided_in_one_go_and_again_changes_nothing(store: Engine, tmp_path: Path) -> None:
    responded: list[int] = []

    def respond(_c: Connection, _s: object, turns: Sequence[Turn], _n: datetime) -> None:
        responded.append(len(turns))

    many = [a_signal("critical", START, f"check:c{n}") for n in range(1_000)]
    assert len(taken(store, tmp_path, many, START, respond)) == 1_000
    assert taken(store, tmp_path, many, START, respond) == []
    assert responded == [1_000]
    with reading(store) as connection:
        assert rows.count_by_phase(connection, WHERE) == {"firing": 1_000}


def test_an_alert_that_comes_again_is_another_one_and_to_and_fro_is_seen_over_both(
    store: Engine, tmp_path: Path
) -> None:
    ids, at = set(), START
    for _ in range(5):
        for state in ("critical", "ok"):
            turns = taken(store, tmp_path, [a_signal(state, at, "am:1", source="alertmanager")], at)
            ids |= {turn.alert.id for turn in turns}
            at += timedelta(minutes=1)
    with reading(store) as connection:
        (open_one,) = rows.open_ones(connection, WHERE)
    assert len(ids) == FLAPS // 2
    assert open_one["flapping"]


def test_what_never_fired_leaves_nothing(store: Engine, tmp_path: Path) -> None:
    hold = timedelta(minutes=5)
    taken(store, tmp_path, [a_signal("critical", START, hold=hold)], START)
    at = START + timedelta(minutes=1)
    taken(store, tmp_path, [a_signal("ok", at, hold=hold)], at)
    with reading(store) as connection:
        assert rows.open_ones(connection, WHERE) == []


def test_a_failing_response_takes_the_alerts_with_it(store: Engine, tmp_path: Path) -> None:
    def respond(_c: Connection, _s: object, _t: Sequence[Turn], _n: datetime) -> None:
        raise ValueError("it died here")

    with pytest.raises(ValueError, match="died"):
        taken(store, tmp_path, [a_signal("critical", START)], START, respond)
    with reading(store) as connection:
        assert rows.open_ones(connection, WHERE) == []


def test_silences_and_checks_that_are_gone_are_noticed_without_a_signal(store: Engine, tmp_path: Path) -> None:
    check = {"id": "db-up", "observe": "postgres.up", "of": "database"}
    system = a_system(tmp_path / "book", checks=[check])
    taken(store, tmp_path, [a_signal("critical", START)], START)
    silence = Silence("s1", ("db-up",), (), "known", "ann", "cli", START.timestamp(), START.timestamp() + 60)
    with writing(store) as connection:
        add(connection, WHERE, silence)
        (turn,) = reconsider(connection, system, START, nobody)
        assert turn.became is Became.SILENCED
        assert reconsider(connection, system, START, nobody) == []
        later = START + timedelta(minutes=2)
        (turn,) = reconsider(connection, system, later, nobody)
        assert turn.became is Became.HEARD
        (turn,) = reconsider(connection, a_system(tmp_path / "other"), later, nobody)
        assert turn.became is Became.RESOLVED
