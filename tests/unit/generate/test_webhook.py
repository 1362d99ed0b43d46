"""Alertmanager's webhook as signals, and silences here and there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.generate.made import check, system_of

from opsbook.checks.evaluate import State
from opsbook.connectors.contract import ReadFailed
from opsbook.errors import UsageError
from opsbook.store.silences import Silence
from opsbook.watch.alertmanager import LONGEST_TEXT, MOST_LABELS, read_body, signals_of
from opsbook.watch.generate.rules import summary
from opsbook.watch.generate.sight import sights
from opsbook.watch.remote_silences import Remote, difference, foreign, read, taking, wanted, written

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AT = NOW.timestamp()
SYSTEM = system_of(
    check("many-connections", critical="> 80", title="Connections", notify=["chat"]),
    check("api-up", "http.up", "api"),
    severities={"P1": {}, "P2": {}},
    channels={"chat": "${CHAT}"},
)
HERE = {"system": "shop", "environment": "live"}


def alert(status: str = "firing", fingerprint: str = "f1", /, **labels: str) -> dict[str, Any]:
    return {"status": status, "labels": labels, "annotations": {}, "startsAt": "2026-11-21T11:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://p/graph", "fingerprint": fingerprint}  # fmt: skip


def body(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "opsbook",
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://a",
            "alerts": list(alerts), **more}  # fmt: skip


def one(status: str = "firing", /, **labels: str) -> Any:
    (signal,) = signals_of(body(alert(status, **labels)), SYSTEM, NOW)
    return signal


def test_an_alert_of_a_generated_rule_is_of_its_check() -> None:
    for labels in ({"check": "many-connections"}, {"alertname": "ManyConnections"}):
        signal = one(**HERE, **labels)
        assert (signal.check, signal.component, signal.title) == ("many-connections", "db", "Connections")
        assert signal.fingerprint == "alertmanager:f1"
        assert signal.notify == ("chat",)
        assert signal.source == "alertmanager"


def test_what_a_generated_rule_says_does_not_repeat_the_title() -> None:
    def said(text: str, **labels: str) -> str:
        told = alert(**labels) | {"annotations": {"summary": text}}
        return str(signals_of(body(told), SYSTEM, NOW)[0].sentence)

    (found,) = (one for one in sights(SYSTEM, frozenset())[0] if one.check.id == "many-connections")
    made = summary(found, State.CRITICAL, "90")
    assert made == "Connections (db): 90 is critical (> 80)"
    assert said(made, check="many-connections") == "90 is critical (> 80)"
    assert said("Connections (db): of another rule", alertname="A") == "Connections (db): of another rule"


def test_how_bad_it_is_comes_of_the_label_severity() -> None:
    said = {"critical": State.CRITICAL, "page": State.CRITICAL, "warning": State.WARNING, "info": State.WARNING,
            "unknown": State.UNKNOWN, "": State.CRITICAL}  # fmt: skip
    for word, state in said.items():
        assert one(alertname="A", severity=word).state is state
    assert one("resolved", alertname="A", severity="critical").state is State.OK


def test_an_alert_began_when_alertmanager_says_and_never_in_times_to_come() -> None:
    def since(said: str | None) -> datetime | None:
        found: datetime | None = signals_of(body(alert(alertname="A") | {"startsAt": said}), SYSTEM, NOW)[0].since
        return found

    assert since("2026-11-21T12:30:00+01:00") == datetime(2026, 11, 21, 11, 30, tzinfo=UTC)
    assert since("2026-11-21T11:30:00") == datetime(2026, 11, 21, 11, 30, tzinfo=UTC)
    assert since("2026-11-21T12:00:05Z") == NOW
    assert since("0001-01-01T00:00:00Z") is None
    assert since(None) is None


def test_rules_of_a_team_are_of_the_component_that_they_name() -> None:
    assert one(alertname="A", job="api").component == "api"
    assert one(alertname="A", job="elsewhere").component == ""
    assert one(alertname="A", component="db", job="api").component == "db"


def test_a_severity_of_the_book_is_known_by_either_label() -> None:
    assert one(alertname="A", severity="P2").severity == "P2"
    assert one(alertname="A", severity="critical", incident_severity="P1").severity == "P1"
    assert one(alertname="A", severity="P9").severity == ""


def test_alerts_of_other_systems_and_watchdogs_are_let_be() -> None:
    told = body(
        alert(alertname="A", system="other"),
        alert(alertname="A", environment="staging", system="shop"),
        alert(alertname="Watchdog", severity="none"),
    )
    assert signals_of(told, SYSTEM, NOW) == []


def test_the_same_alert_twice_is_one_signal_the_last() -> None:
    (signal,) = signals_of(body(alert(alertname="A"), alert("resolved", alertname="A")), SYSTEM, NOW)
    assert signal.state is State.OK


def test_an_alert_without_a_fingerprint_has_that_of_its_labels() -> None:
    first, again, other = (
        signals_of(body(alert("firing", "", **labels)), SYSTEM, NOW)[0].fingerprint
        for labels in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "2"})
    )
    assert first == again != other


def test_texts_of_others_are_cut_and_printable() -> None:
    labels = {f"l{n}": "x" for n in range(MOST_LABELS + 50)} | {"alertname": "A"}
    told = body({**alert(), "labels": {"alertname": "\x1b[31mA\n" + "x" * 9000, **labels}})
    (signal,) = signals_of(told, SYSTEM, NOW)
    assert len(signal.labels) <= MOST_LABELS
    assert all(len(text) <= LONGEST_TEXT and text.isprintable() for text in signal.labels.values())


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"version": "3", "alerts": []}, "version"),
        ({"version": "4"}, "alerts"),
        ({"version": "4", "alerts": [{"status": "odd"}]}, "alerts.0.status"),
        (b"[]", "the body"),
        (b"{", "the body"),
    ],
)
def test_what_is_no_webhook_is_refused_with_the_place(wrong: Any, place: str) -> None:
    with pytest.raises(UsageError, match=f"no webhook of Alertmanager: {place}"):
        read_body(wrong)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["version", "alerts", "status", "labels", "fingerprint", "x"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_any_body_is_read_or_refused(found: Any) -> None:
    try:
        signals_of(read_body(json.dumps(found)), SYSTEM, NOW)
    except UsageError:
        return


# --- silences ---------------------------------------------------------------------------------------------------


def silence(identity: str = "s1", **keys: Any) -> Silence:
    told = {"checks": ("api-up",), "components": (), "reason": "known", "author": "ann", "origin": "cli",
            "start": AT, "until": AT + 3600, **keys}  # fmt: skip
    return Silence(identity, **told)


def as_there(remote: Remote, identity: str) -> Remote:
    """As Alertmanager gives it back."""
    return read(json.loads(json.dumps({**written(remote), "id": identity, "status": {"state": "active"}})))


def test_what_was_set_is_known_again_and_nothing_is_left_to_do() -> None:
    should = wanted(SYSTEM, [silence(components=("db",)), silence("s2", checks=(), components=("*",))])
    assert len(should) == 3
    there = [as_there(one, f"r{n}") for n, one in enumerate(should)]
    assert difference(SYSTEM, should, there) == difference(SYSTEM, [], [])


def test_what_moved_is_changed_what_is_over_ends_and_a_double_ends() -> None:
    before = [as_there(one, "r1") for one in wanted(SYSTEM, [silence()])]
    later = difference(SYSTEM, wanted(SYSTEM, [silence(until=AT + 7200)]), before)
    assert [(one.id, one.until) for one in later.make] == [("r1", AT + 7200)]
    assert [one.id for one in difference(SYSTEM, [], before).end] == ["r1"]
    double = difference(SYSTEM, wanted(SYSTEM, [silence()]), [*before, as_there(before[0], "r2")])
    assert (double.make, [one.id for one in double.end]) == ((), ["r2"])


def test_silences_of_people_and_of_other_environments_are_left_alone() -> None:
    theirs = Remote("r1", (("alertname", "ApiUp", False, True),), AT, AT + 60, "bob", "upgrade")
    elsewhere = (("system", "shop", False, True), ("environment", "test", False, True))
    other = Remote("r2", elsewhere, AT, AT + 60, "opsbook", "x [opsbook s9 checks]")
    assert difference(SYSTEM, [], [theirs, other]).end == ()


def matching(*matchers: tuple[str, str, bool, bool]) -> tuple[str, ...]:
    found = foreign(SYSTEM, "alerts", [Remote("r1", matchers, AT, AT + 60, "bob", "upgrade")])
    return found[0].checks if found else ()


def test_a_silence_of_others_counts_for_the_checks_that_it_covers_whole() -> None:
    assert matching(("alertname", "ApiUp", False, True)) == ("api-up",)
    assert matching(("component", "db|api", True, True)) == ("many-connections", "api-up")
    assert matching(("check", "api-up", False, False)) == ("many-connections",)
    assert matching(("component", "db", False, True), ("severity", "warning", False, True)) == (), "critical is told"
    assert matching(("instance", "x", False, True)) == ()
    assert matching(("component", "(", True, True)) == (), "Alertmanager's patterns are not all ours"


def test_silences_of_others_come_change_go_and_end_there_when_ended_here() -> None:
    (there,) = foreign(SYSTEM, "alerts", [Remote("r1", (("check", "api-up", False, True),), AT, AT + 60, "b", "c")])
    assert taking("alerts", [], [there], NOW).made == [there]
    assert taking("alerts", [there], [there], NOW).told() == {
        "silence made": [],
        "silence changed": [],
        "silence ended": [],
    }
    gone = taking("alerts", [there], [], NOW)
    assert [one.until for one in gone.ended] == [AT]
    assert taking("other", [there], [], NOW).ended == [], "another Alertmanager does not speak for it"
    assert taking("alerts", [Silence(**{**vars(there), "ended_at": AT})], [there], NOW).end_there == ["r1"]


def test_a_silence_that_is_not_understood_is_told() -> None:
    with pytest.raises(ReadFailed, match="not understood"):
        read({"id": "x"})
