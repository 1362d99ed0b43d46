"""Rules for Prometheus of the checks of a book."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.unit.generate.made import check, system_of

from opsbook.checks.evaluate import State
from opsbook.observations.registry import observations
from opsbook.watch.generate import proofs
from opsbook.watch.generate.exporters import TABLE
from opsbook.watch.generate.options import Places
from opsbook.watch.generate.promql import duration, quoted, selector
from opsbook.watch.generate.rules import rules_text
from opsbook.watch.generate.sight import Sight, Unseen, sight_of

NONE: frozenset[str] = frozenset()


def seen(written: dict[str, Any], exporters: frozenset[str] = NONE) -> Sight:
    system = system_of(written)
    found = sight_of(system, system.checks[0], exporters)
    assert isinstance(found, Sight)
    return found


@pytest.mark.parametrize(
    ("limit", "expression"),
    [
        ("> 80", "max(V) > 80"),
        ("<= 3", "min(V) <= 3"),
        ("!= 5", "max(V) != 5"),
        ("outside 10..20", "max(V) < 10 or max(V) > 20"),
        ("within 10..20", "max(V) >= 10 <= 20"),
        ("< 50% of 7d", "min(V) < 0.5 * max(quantile_over_time(0.5, V[7d]))"),
    ],
)
def test_it_writes_a_threshold_as_a_comparison_with_opsbooks_own_metric(limit: str, expression: str) -> None:
    series = 'opsbook_check_value{check="c", component="db", system="shop", environment="live"}'
    assert seen(check("c", warning=limit)).bad(State.WARNING) == expression.replace("V", series)


def test_units_are_canonical() -> None:
    assert seen(check("c", "postgres.replication_lag", warning="> 200ms")).bad(State.WARNING).endswith("> 0.2")
    assert seen(check("c", "postgres.connections_ratio", warning="> 80%")).bad(State.WARNING).endswith("> 0.8")
    assert seen(check("c", "postgres.database_size", warning="> 2GiB")).bad(State.WARNING).endswith("> 2147483648")


def test_states_and_words_and_missing_data_that_is_bad_are_read_from_the_state() -> None:
    for written in (
        check("c", "postgres.up"),
        check("c", "postgres.version", critical="!= 15"),
        check("c", critical="> 5", unknown="critical"),
    ):
        assert seen(written).bad(State.CRITICAL).startswith("max(opsbook_check_state{")
        assert seen(written).bad(State.CRITICAL).endswith("== 2")


def test_a_query_of_the_book_is_recorded_in_canonical_units_and_held_against_the_limit() -> None:
    with_ = {"query": "sum(lag_ms)", "unit": "ms"}
    found = seen(check("c", "prometheus.duration", "prom", critical="> 1s", **{"with": with_}))
    assert found.expression == "(sum(lag_ms)) * 0.001"
    assert found.bad(State.CRITICAL).startswith("opsbook:check_value{")
    with_ = {"query": "busy", "take": "max", "percent": True}
    found = seen(check("c", "prometheus.ratio", "prom", critical="> 70%", **{"with": with_}))
    assert found.expression == "(max(busy)) * 0.01"


def test_a_count_of_firing_alerts_never_counts_the_alerts_of_the_book_itself() -> None:
    expression = seen(check("c", "prometheus.firing_alerts", "prom")).expression
    assert expression == 'count(ALERTS{alertstate="firing", check=""}) or vector(0)'


def test_missing_data_that_counts_as_bad_fires_the_alert_of_that_state() -> None:
    with_ = {"query": "jobs"}
    found = seen(check("c", "prometheus.query", "prom", critical="> 1", unknown="critical", **{"with": with_}))
    assert " or absent(opsbook:check_value{" in found.bad(State.CRITICAL)


def test_prometheus_cannot_see_that_it_is_down() -> None:
    system = system_of(check("c", "prometheus.up", "prom"))
    assert isinstance(sight_of(system, system.checks[0], NONE), Unseen)
    assert "Left out: c: Prometheus cannot tell that it is down itself" in rules_text(system, Places())


def test_an_exporter_is_asked_only_where_it_is_scraped_and_means_the_same() -> None:
    exporters = frozenset({"postgres"})
    assert seen(check("c", "postgres.up")).expression == ""
    assert seen(check("c", "postgres.up"), exporters).expression == 'min(pg_up{component="db"})'
    whole = check("c", "postgres.database_size", warning="> 1GB")
    assert seen(whole, exporters).expression == "", "the exporter cannot know which database the address names"
    named = seen({**whole, "with": {"database": "app"}}, exporters)
    assert named.expression == 'max(pg_database_size_bytes{component="db", datname="app"})'


def test_the_table_of_exporters_names_observations_that_there_are_with_their_parameters() -> None:
    for name, row in TABLE.items():
        spec = observations()[name].spec
        assert {parameter for parameter, _ in row.takes} <= set(spec.parameters.model_fields), name
        assert "<of>" in row.expression, name
        assert {one.metric for one in row.inputs} == {
            one.metric for one in row.inputs if f"{one.metric}{{" in row.expression
        }, name


def test_alerts_carry_who_and_where_and_how_bad_and_what_to_do() -> None:
    system = system_of(
        check("many-connections", critical="> 80", procedure="p", title='a {{ "b" }}', **{"for": "5m"}),
        severities={"P1": {}, "P2": {}},
    )
    rule = yaml.safe_load(rules_text(system, Places(opsbook="https://ops.example.org")))["groups"][0]["rules"][0]
    assert rule["alert"] == "ManyConnections"
    assert rule["for"] == "5m"
    assert rule["labels"] == {
        "check": "many-connections", "component": "db", "system": "shop", "environment": "live",
        "severity": "critical", "incident_severity": "P1",
    }  # fmt: skip
    assert rule["annotations"]["runbook_url"] == "https://ops.example.org/procedures/p"
    assert rule["annotations"]["summary"].startswith('a {{ "{{" }} "b" }} (db): {{ $value | humanize }} is critical')


def test_checks_with_a_rhythm_of_their_own_are_a_group_of_their_own() -> None:
    system = system_of(check("a", warning="> 1"), check("b", warning="> 1", interval="5m"))
    groups = yaml.safe_load(rules_text(system, Places()))["groups"]
    assert [(one["name"], one.get("interval")) for one in groups[:2]] == [
        ("shop/live/db", None), ("shop/live/db/5m", "5m"),
    ]  # fmt: skip


def test_a_service_level_burns_over_two_windows_at_once_and_what_can_never_be_is_left_out() -> None:
    slos = [{"id": "a", "check": "c", "target": "99.9%"}, {"id": "b", "check": "c", "target": "90%"}]
    text = rules_text(system_of(check("c", "postgres.up"), slos=slos), Places())
    assert 'slo="a"} > 0.0144 and opsbook:slo_bad:ratio_5m{' in text
    assert 'slo="a"} > 0.006 and opsbook:slo_bad:ratio_30m{' in text
    assert "Left out: c: critical of the service level b: its budget of 10 % cannot burn 14.4 times too fast" in text


def test_what_cannot_be_tested_is_said() -> None:
    with_ = {"query": "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))"}
    system = system_of(check("c", "prometheus.query", "prom", critical="> 1", **{"with": with_}))
    assert set(proofs.tests_of(system, Places()).untested) == {"c"}


def test_text_of_a_book_cannot_leave_its_string() -> None:
    assert selector("m", {"a": 'x"} or vector(1) #', "b": "~a|b"}) == 'm{a="x\\"} or vector(1) #", b=~"a|b"}'
    assert quoted("a\nb\\") == '"a\\nb\\\\"'


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (90, "1m30s"), (0.25, "250ms"), (604800, "7d"), (3600, "1h")])
def test_durations_are_written_as_prometheus_reads_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
